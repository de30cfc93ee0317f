//! Requests and replies: of nodes, of a stranger that speaks lines, and in frames.

use std::time::Duration;

use peerline_proto::{Limits, NakCode, Payload};

use crate::conformance::{Command, PATIENCE, Play, STRANGER, Setup};

const GONE: &str = "answered already, or too late";

pub(super) fn in_parts(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    play.ask(a, b, "ASK", "how many?").expect("connected");
    let request = play.wait_for_request(b, "request of a: ASK \"how many?\"");
    for (number, last) in [("one", false), ("two", false), ("three", true)] {
        play.reply(b, &request, number, last).expect("it is open");
    }
    assert_eq!(play.reply(b, &request, "four", false), Err(GONE.to_owned()));
    play.wait(a, "reply 0 of b: REPL \"one\"");
    play.wait(a, "reply 1 of b: REPL \"two\"");
    play.wait(a, "reply 2 of b: REPL \"three\", the last");
    assert!(play.is_quiet(a));
}

pub(super) fn without_answer(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    play.ask(a, b, "ASK", "please").expect("connected");
    let request = play.wait_for_request(b, "request of a: ASK \"please\"");
    play.reply(b, &request, "wait", false).expect("it is open");
    let refuse = Command::Refuse(request.reply_to(), NakCode::Refused);
    play.command(b, refuse.clone()).expect("it is open");
    assert_eq!(play.command(b, refuse), Err(GONE.to_owned()));
    play.wait(a, "reply 0 of b: REPL \"wait\"");
    play.wait(a, "request failed: refused, says b");

    let (peer, body) = (play.peer(b), Payload::encode("soon").expect("a text is JSON"));
    let soon = Duration::from_millis(300);
    let ask = Command::Request(peer, "ASK".to_owned(), body, soon);
    play.command(a, ask).expect("connected");
    let request = play.wait_for_request(b, "request of a: ASK \"soon\"");
    play.wait(a, "request failed: no answer in time");
    // Nobody tells the other side: it finds out when its own time is up.
    for _ in 0..400 {
        if play.reply(b, &request, "late", false).is_err() {
            break;
        }
        assert!(play.is_quiet(b));
    }
    assert_eq!(play.reply(b, &request, "later", true), Err(GONE.to_owned()));
    assert!(play.is_quiet(a));
    let own = play.ask(a, a, "ASK", "myself");
    assert_eq!(own, Err("a request to ourselves".to_owned()));
}

pub(super) fn asked_leaves(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    play.ask(a, b, "ASK", "there?").expect("connected");
    play.wait_for_request(b, "request of a: ASK \"there?\"");
    play.ask(b, a, "ASK", "and you?").expect("connected");
    play.wait_for_request(a, "request of b: ASK \"and you?\"");
    play.command(b, Command::Shutdown(Duration::from_secs(5))).expect("it stops");
    // The end of the request and of the peer come together, in an order that is nobody's promise.
    for (node, expected) in [
        (b, ["down a: closed here", "request failed: the node is shutting down"]),
        (a, ["down b: the peer said bye: shutdown", "request failed: no route, says a"]),
    ] {
        let mut events = [play.next(node), play.next(node)];
        events.sort();
        assert_eq!(events, expected);
        play.note(node, "the peer went, and the request with it");
    }
    let late = play.ask(a, b, "ASK", "still there?");
    assert!(late.is_err() || play.next(a) == "request failed: no route, says a", "{late:?}");
}

/// The id of the first request that a stranger was told.
fn asked(heard: &str) -> Option<String> {
    let line = heard.lines().find(|line| line.starts_with("{\"msgtype\":\"request\""))?;
    let (_, after) = line.split_once("\"id\":\"")?;
    Some(after.split_once('"')?.0.to_owned())
}

pub(super) fn out_of_order(play: &mut Play<'_>) {
    let a = play.start(Setup::default());
    let stranger = play.stranger(a);
    let node = play.stage().id(a);
    let peer = STRANGER.parse().expect("a constant UUID");
    let body = Payload::encode("which?").expect("a text is JSON");
    let ask = Command::Request(peer_of(peer), "ASK".to_owned(), body, PATIENCE);
    play.command(a, ask).expect("connected");
    let mut id = None;
    super::wait_for(play, a, |play| {
        id = asked(&play.stage().heard(stranger));
        id.is_some()
    });
    let id = id.expect("it was told");
    for (number, text, last) in
        [(2, "c", true), (1, "b", false), (1, "not b", false), (0, "a", false), (0, "not a", false)]
    {
        let reply = format!(
            "{{\"msgtype\":\"reply\",\"re\":\"{id}\",\"n\":{number},\"from\":\"{STRANGER}\",\
             \"to\":\"{node}\",\"kind\":\"REPL\",\"msg\":\"{text}\",\"last\":{last}}}\n"
        );
        play.stage().say(stranger, reply.as_bytes());
    }
    play.wait(a, "reply 0 of stranger: REPL \"a\"");
    play.wait(a, "reply 1 of stranger: REPL \"b\"");
    play.wait(a, "reply 2 of stranger: REPL \"c\", the last");
    assert!(play.is_quiet(a));
}

fn peer_of(node: peerline_proto::NodeId) -> peerline_proto::PeerId {
    peerline_proto::PeerId::Node(node)
}

/// A stranger asks through one node for another, which it does not know.
pub(super) fn passed_on(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let stranger = play.stranger(a);
    let node = play.stage().id(b);
    let request = format!(
        "{{\"msgtype\":\"request\",\"id\":\"1.1\",\"from\":\"{STRANGER}\",\"to\":\"{node}\",\
         \"kind\":\"ASK\",\"time\":1,\"ttl\":8,\"deadline\":20000,\"try\":0,\"msg\":\"far?\"}}\n"
    );
    play.stage().say(stranger, request.as_bytes());
    let request = play.wait_for_request(b, "request of stranger: ASK \"far?\"");
    play.reply(b, &request, "not far", true).expect("it is open");
    super::wait_for(play, a, |play| {
        let heard = play.stage().heard(stranger);
        heard.lines().any(|line| line.contains("\"reply\"") && line.contains("\"not far\""))
    });
    play.note(a, "passed on a request and its reply");
}

/// A frame as the BTPeer dialect has it.
fn frame(kind: &str, payload: &str) -> Vec<u8> {
    let mut bytes = kind.as_bytes().to_vec();
    bytes.extend(u32::try_from(payload.len()).expect("a short text").to_be_bytes());
    bytes.extend(payload.as_bytes());
    bytes
}

pub(super) fn guest_asks(play: &mut Play<'_>) {
    let a = play.start(Setup::default());
    let guest = play.stage().connect(a);
    play.stage().say(guest, &frame("ASKS", "what?"));
    let request = play.wait_for_request(a, "request of a guest: ASKS \"what?\"");
    play.reply(a, &request, "this", false).expect("it is open");
    play.reply(a, &request, "and that", true).expect("it is open");
    assert_eq!(play.reply(a, &request, "no more", false), Err(GONE.to_owned()));
    assert!(play.stage().is_cut(guest, PATIENCE));
    let expected = [frame("REPL", "this"), frame("REPL", "and that")].concat();
    assert_eq!(play.stage().heard(guest).into_bytes(), expected);

    let guest = play.stage().connect(a);
    play.stage().say(guest, &frame("ASKS", "no?"));
    let request = play.wait_for_request(a, "request of a guest: ASKS \"no?\"");
    play.command(a, Command::Refuse(request.reply_to(), NakCode::Refused)).expect("it is open");
    assert!(play.stage().is_cut(guest, PATIENCE));
    assert_eq!(play.stage().heard(guest), "");
    assert!(play.is_quiet(a));
}

pub(super) fn asks_as_guest(play: &mut Play<'_>) {
    let (a, b) = (play.start(Setup::default()), play.start(Setup::default()));
    let addr = play.stage().addr(b);
    let ask = |kind: &str| {
        let body = Payload::encode("how?").expect("a text is JSON");
        Command::RequestAt(addr, kind.to_owned(), body, PATIENCE)
    };
    play.command(a, ask("ASKS")).expect("it can dial");
    let request = play.wait_for_request(b, "request of a guest: ASKS \"how?\"");
    play.reply(b, &request, "so", false).expect("it is open");
    play.reply(b, &request, "and so", true).expect("it is open");
    play.wait(a, "reply 0 of a guest: REPL \"so\"");
    play.wait(a, "reply 1 of a guest: REPL \"and so\", the last");

    play.command(a, ask("ASKS")).expect("it can dial");
    let request = play.wait_for_request(b, "request of a guest: ASKS \"how?\"");
    play.command(b, Command::Refuse(request.reply_to(), NakCode::Refused)).expect("it is open");
    play.wait(a, "request failed: no handler");
    play.wait(a, "failed, dialled: end of stream");
    assert!(play.is_quiet(b));
    let long = play.command(a, ask("LONGER"));
    assert_eq!(long, Err("kind is 6 bytes; the limit is 4".to_owned()));
}
