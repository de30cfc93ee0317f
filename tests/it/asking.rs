//! Requests on real sockets and both runtimes: answered at once, later, in parts or not at all;
//! read slowly or not; of and to strangers that speak frames.

mod crowd;
mod guests;
mod peers;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crowd::each_of_many_ends_once;
use guests::{a_guest_is_answered, a_guest_is_asked};
use peerline_proto::{Event, NakCode, PeerId, Reply};
use peerline_runtime::{
    Builder, CommandError, Handle, ReplyError, RequestError, Responder, Runtime,
};
use peerline_testkit::reserved::Reserved;
use peers::peers_are_added_found_counted_and_forgotten;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

macro_rules! on {
    ($($runtime:ident: $runner:ty),*: $tests:tt) => { $(on! { @ $runtime $runner: $tests })* };
    (@ $runtime:ident $runner:ty: [$($test:ident),*]) => {
        mod $runtime {
            $(
                #[test]
                fn $test() {
                    super::$test::<$runner>();
                }
            )*
        }
    };
}

on! { mio: peerline_mio::Runner, smol: peerline_smol::Runner: [
    an_answer_comes_at_once_later_and_in_parts,
    a_request_that_nobody_answers_ends,
    a_responder_in_a_handler_waits_for_nothing,
    a_handler_asks_and_is_called_back,
    an_event_that_is_a_request_is_answered,
    an_answer_too_long_is_a_no,
    a_slow_reader_gets_all,
    a_reader_that_stops_is_left_behind_alone,
    each_of_many_ends_once,
    a_guest_is_answered,
    a_guest_is_asked,
    peers_are_added_found_counted_and_forgotten
] }

fn node<R: Runtime>() -> Builder<R> {
    Builder::new().listen(Reserved::for_good())
}

/// Starts two nodes, which are connected then. The first one asks.
fn pair<R: Runtime>(asker: Builder<R>, answerer: Builder<R>) -> (Handle, Handle) {
    let answerer = answerer.start().unwrap();
    let asker = asker.bootstrap(answerer.local_addrs()).start().unwrap();
    meet(&asker, 1);
    meet(&answerer, 1);
    (asker, answerer)
}

/// Waits until a node has this many peers.
fn meet(node: &Handle, peers: usize) {
    let begun = Instant::now();
    while node.with(|cx| cx.peer_count()).wait().unwrap() < peers {
        assert!(begun.elapsed() < PATIENCE, "they do not meet");
        thread::yield_now();
    }
}

fn ask(asker: &Handle, answerer: &Handle, kind: &str) -> Result<String, RequestError> {
    let pending = asker.request(answerer.id(), kind, &"?", PATIENCE);
    pending.wait().map(|reply| said(&reply))
}

fn said(reply: &Reply) -> String {
    format!("{} {}", reply.kind(), reply.body())
}

fn code(result: Result<String, RequestError>) -> NakCode {
    match result {
        Err(RequestError::Nak { code, at: Some(_) }) => code,
        other => panic!("{other:?}"),
    }
}

fn an_answer_comes_at_once_later_and_in_parts<R: Runtime>() {
    let (give, work) = channel::<Responder>();
    let answerer = node::<R>()
        .on_request("ECHO", |_, request, responder| {
            responder.finish(&request.parse::<&str>().unwrap()).detach();
        })
        .on_request("LATER", move |_, _, responder| give.send(responder).unwrap())
        .on_request("PARTS", |_, _, responder| {
            thread::spawn(move || {
                for number in 0..5 {
                    responder.send_as("PART", &number).wait().unwrap();
                }
                responder.finish(&"all").wait().unwrap();
            });
        });
    let (asker, answerer) = pair(node::<R>(), answerer);
    assert_eq!(ask(&asker, &answerer, "ECHO").unwrap(), "REPL \"?\"");

    let pending = asker.request(answerer.id(), "LATER", &1, PATIENCE);
    let responder = recv(&work);
    responder.finish_as("DONE", &[1, 2]).wait().unwrap();
    assert_eq!(said(&pending.wait().unwrap()), "DONE [1,2]");

    let mut replies = asker.request_stream(answerer.id(), "PARTS", &1, PATIENCE);
    let heard: Vec<_> = std::iter::from_fn(|| replies.next_within(PATIENCE)).collect();
    let heard: Vec<_> = heard.iter().map(|reply| said(reply.as_ref().unwrap())).collect();
    let expected = ["PART 0", "PART 1", "PART 2", "PART 3", "PART 4", "REPL \"all\""];
    assert_eq!(heard, expected);
    assert!(replies.next().is_none() && replies.try_next().is_none(), "the end stays");
    assert_eq!(ask(&asker, &answerer, "PARTS").unwrap(), "REPL \"all\"", "the last alone");
}

fn a_request_that_nobody_answers_ends<R: Runtime>() {
    let (give, held) = channel();
    let answerer = node::<R>()
        .on_request("DROP", |_, _, responder| drop(responder))
        .on_request("BOOM", |_, _, _responder| panic!("as planned"))
        .on_request("NO", |_, _, responder| responder.refuse(NakCode::Busy).detach())
        .on_request("HOLD", move |_, _, responder| give.send(responder).unwrap());
    let (asker, answerer) = pair(node::<R>(), answerer);
    assert_eq!(code(ask(&asker, &answerer, "DROP")), NakCode::Refused);
    assert_eq!(code(ask(&asker, &answerer, "BOOM")), NakCode::Refused);
    assert_eq!(code(ask(&asker, &answerer, "BOOM")), NakCode::Refused);
    assert_eq!(answerer.stats().wait().unwrap().handler_panics, 2);
    assert_eq!(code(ask(&asker, &answerer, "NO")), NakCode::Busy);
    assert_eq!(code(ask(&asker, &answerer, "WHAT")), NakCode::NoHandler);

    let soon = Duration::from_millis(200);
    let pending = asker.request(answerer.id(), "HOLD", &1, soon);
    let responder = recv(&held);
    let late = pending.wait();
    assert!(matches!(late, Err(RequestError::Timeout)), "{late:?}");
    let begun = Instant::now();
    while responder.send(&"late").wait().is_ok() {
        assert!(begun.elapsed() < PATIENCE, "the answerer never notices the deadline");
    }
    let gone = responder.finish(&"later").wait();
    assert!(matches!(gone, Err(ReplyError::Gone)), "{gone:?}");

    let streamed = asker.request_stream(answerer.id(), "BOOM", &1, PATIENCE).last().unwrap();
    assert_eq!(code(streamed.map(|reply| said(&reply))), NakCode::Refused);
    let own = asker.request(asker.id(), "ECHO", &1, PATIENCE).wait();
    assert!(matches!(own, Err(RequestError::Own)), "{own:?}");
    let lonely = node::<R>().start().unwrap();
    let none = lonely.request(asker.id(), "ECHO", &1, PATIENCE).wait();
    assert!(matches!(none, Err(RequestError::NoRoute)), "{none:?}");

    let pending = asker.request(answerer.id(), "HOLD", &1, PATIENCE);
    let streamed = asker.request_stream(answerer.id(), "HOLD", &1, PATIENCE);
    let responder = recv(&held);
    asker.shutdown(PATIENCE).wait().unwrap();
    let stopped = pending.wait();
    assert!(matches!(stopped, Err(RequestError::Stopped)), "{stopped:?}");
    let stopped: Vec<_> = streamed.collect();
    assert!(matches!(&stopped[..], [Err(RequestError::Stopped)]), "{stopped:?}");
    answerer.shutdown(PATIENCE).wait().unwrap();
    let stopped = responder.finish(&1).wait();
    assert!(matches!(stopped, Err(ReplyError::Stopped)), "{stopped:?}");
}

fn a_responder_in_a_handler_waits_for_nothing<R: Runtime>() {
    let (give, told) = channel();
    let answerer = node::<R>().on_request("WAIT", move |_, _, responder| {
        // More than the queue of commands holds.
        let parts: Vec<_> = (0..2_000).map(|part| responder.send(&part)).collect();
        let last = responder.finish(&"all").wait();
        give.send(format!("{last:?}")).unwrap();
        parts.into_iter().for_each(peerline_runtime::Pending::detach);
    });
    let (asker, answerer) = pair(node::<R>(), answerer);
    let replies = asker.request_stream(answerer.id(), "WAIT", &"?", PATIENCE);
    let heard: Vec<String> = replies.map(|reply| reply.unwrap().body().to_owned()).collect();
    assert_eq!(recv(&told), "Err(WouldDeadlock)");
    let numbers = (0..2_000).map(|number| number.to_string());
    assert_eq!(heard, numbers.chain(["\"all\"".to_owned()]).collect::<Vec<_>>());
}

fn a_handler_asks_and_is_called_back<R: Runtime>() {
    let (give, told) = channel();
    let answerer = node::<R>()
        .on_request("ECHO", |_, request, responder| {
            responder.send(&"not the last").detach();
            responder.finish(&request.parse::<u32>().unwrap()).detach();
        })
        .on_request("BOOM", |_, _, _| panic!("as planned"));
    let answerer = answerer.start().unwrap();
    let asker = node::<R>().bootstrap(answerer.local_addrs()).on_peer_up(move |cx, peer| {
        let own = PeerId::from(cx.id());
        let refused = cx.request(own, "ECHO", &7, PATIENCE, |_, _| panic!("not to be called"));
        assert!(matches!(refused, Err(RequestError::Own)), "{refused:?}");
        for kind in ["ECHO", "BOOM"] {
            let give = give.clone();
            let asked = cx.request(&peer, kind, &7, PATIENCE, move |cx, end| {
                let end = end.map(|reply| said(&reply)).map_err(|error| error.to_string());
                give.send((cx.peer_count(), end)).unwrap();
                panic!("as planned")
            });
            asked.unwrap();
        }
    });
    let asker = asker.start().unwrap();
    let told: Vec<_> = (0..2).map(|_| recv(&told)).collect();
    let refused = format!("refused, says {}", answerer.id());
    assert!(told.contains(&(1, Ok("REPL 7".to_owned()))), "{told:?}");
    assert!(told.contains(&(1, Err(refused))), "{told:?}");
    let begun = Instant::now();
    while asker.stats().wait().unwrap().handler_panics < 2 {
        assert!(begun.elapsed() < PATIENCE, "panics of callbacks are not counted");
    }
}

fn an_event_that_is_a_request_is_answered<R: Runtime>() {
    let (give, requests) = channel();
    let answerer = node::<R>().otherwise(move |cx, event| {
        if let Event::Request(request) = event {
            assert_ne!(request.kind(), "BOOM", "as planned");
            give.send((cx.responder(&request), request)).unwrap();
        }
    });
    let (asker, answerer) = pair(node::<R>(), answerer);
    let pending = asker.request(answerer.id(), "ODD", &"?", PATIENCE);
    let (responder, request) = recv(&requests);
    assert_eq!((request.kind(), request.from()), ("ODD", &PeerId::from(asker.id())));
    responder.finish(&"even").wait().unwrap();
    assert_eq!(said(&pending.wait().unwrap()), "REPL \"even\"");
    assert_eq!(code(ask(&asker, &answerer, "BOOM")), NakCode::Refused);
    assert_eq!(answerer.stats().wait().unwrap().unknown_kinds, 0);

    // A stream that is dropped with a request in it.
    let (builder, events) = node::<R>().events();
    let answerer = builder.start().unwrap();
    asker.dial(answerer.local_addrs()[0]).wait().unwrap();
    meet(&asker, 2);
    let pending = asker.request(answerer.id(), "ODD", &"?", PATIENCE);
    let begun = Instant::now();
    while answerer.stats().wait().unwrap().delivered == 0 {
        assert!(begun.elapsed() < PATIENCE, "the request does not arrive");
    }
    drop(events);
    let answered = pending.wait().map(|reply| said(&reply));
    assert_eq!(code(answered), NakCode::NoHandler);
    assert_eq!(code(ask(&asker, &answerer, "ODD")), NakCode::NoHandler, "nobody listens now");
}

fn an_answer_too_long_is_a_no<R: Runtime>() {
    let (give, told) = channel();
    let answerer = node::<R>().on_request("BIG", move |cx, request, responder| {
        let (kind, body) = request.parse::<(String, usize)>().unwrap();
        let pending = responder.finish_as(&kind, &"x".repeat(body));
        let (give, handle) = (give.clone(), cx.handle());
        thread::spawn(move || {
            give.send(pending.wait()).unwrap();
            drop(handle);
        });
    });
    let (asker, answerer) = pair(node::<R>(), answerer);
    let big = |kind: &str, body: usize| {
        let asked = asker.request(answerer.id(), "BIG", &(kind, body), PATIENCE);
        let end = asked.wait().map(|reply| said(&reply));
        (code(end), recv(&told))
    };
    let (heard, told) = big("REPL", 2_000_000);
    assert_eq!(heard, NakCode::TooLarge);
    assert!(matches!(told, Err(ReplyError::TooLarge { .. })), "{told:?}");
    let (heard, told) = big(&"K".repeat(200), 1);
    assert_eq!(heard, NakCode::Refused);
    assert!(matches!(told, Err(ReplyError::KindTooLong { .. })), "{told:?}");
}

/// Streams replies of 10,000 bytes, as many as asked for, and waits for room when there is none.
/// Tells when it has said all.
fn streamer<R: Runtime>(done: Sender<()>) -> Builder<R> {
    node::<R>().on_request("MANY", move |_, request, responder| {
        let (count, done) = (request.parse::<u32>().unwrap(), done.clone());
        thread::spawn(move || {
            stream(&responder, count);
            responder.finish(&()).detach();
            done.send(()).unwrap();
        });
    })
}

/// Says so many replies, as far as somebody waits for them.
fn stream(responder: &Responder, count: u32) {
    let (mut number, text) = (0, "x".repeat(10_000));
    while number < count {
        match responder.send(&(number, &text)).wait() {
            Ok(()) => number += 1,
            Err(ReplyError::Full { .. } | ReplyError::Busy { .. }) => thread::yield_now(),
            Err(_) => return,
        }
    }
}

/// 20 MB through a stream that holds one: the sender is slowed down, and nothing is lost.
fn a_slow_reader_gets_all<R: Runtime>() {
    let (give, done) = channel();
    let (asker, answerer) = pair(node::<R>(), streamer(give));
    let mut replies = asker.request_stream(answerer.id(), "MANY", &2_000, 3 * PATIENCE);
    for number in 0..2_000 {
        // A reader with something else to do.
        asker.stats().wait().unwrap();
        let reply = replies.next_within(PATIENCE).expect("a reply in time").unwrap();
        assert_eq!(reply.parse::<(u32, &str)>().unwrap().0, number);
        assert_eq!(reply.n(), u64::from(number));
    }
    assert!(replies.next().unwrap().unwrap().is_last());
    assert!(replies.next().is_none());
    recv(&done);
}

fn a_reader_that_stops_is_left_behind_alone<R: Runtime>() {
    let (give, done) = channel();
    let answerer = streamer::<R>(give).on_request("ECHO", |_, _, responder| {
        responder.finish(&"still here").detach();
    });
    let (asker, answerer) = pair(node::<R>(), answerer);
    let unread = asker.request_stream(answerer.id(), "MANY", &2_000, PATIENCE);
    let dropped = asker.request_stream(answerer.id(), "MANY", &500, PATIENCE);
    drop(dropped);
    assert_eq!(ask(&asker, &answerer, "ECHO").unwrap(), "REPL \"still here\"");
    for _ in 0..2 {
        recv(&done);
    }
    // Replies come in order: when this one is here, those before it are.
    assert_eq!(ask(&asker, &answerer, "ECHO").unwrap(), "REPL \"still here\"");
    let heard: Vec<_> = unread.collect();
    let (last, heard) = heard.split_last().unwrap();
    assert!(matches!(last, Err(RequestError::Behind { .. })), "{last:?}");
    assert!(heard.iter().all(Result::is_ok) && heard.len() < 300, "{}", heard.len());
    assert_eq!(ask(&asker, &answerer, "ECHO").unwrap(), "REPL \"still here\"");
}

/// Waits for the end of something that another thread does.
fn recv<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(PATIENCE).expect("it does not happen")
}

#[test]
fn a_stream_read_on_the_driving_thread_ends_at_once() {
    let (give, told) = channel();
    let handle = node::<peerline_mio::Runner>().start().unwrap();
    let done = handle.with(move |cx| {
        let handle = cx.handle();
        let replies = handle.request_stream(cx.id(), "ECHO", &1, PATIENCE);
        let heard: Vec<_> = replies.map(|reply| reply.map(|_| ()).unwrap_err()).collect();
        give.send(format!("{heard:?}")).unwrap();
    });
    assert_eq!(recv(&told), "[WouldDeadlock]");
    assert_eq!(done.wait(), Ok::<(), CommandError>(()));
}
