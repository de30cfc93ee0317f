//! Those who read slowly, or not at all: peers and the application.

use std::time::Duration;

use peerline_proto::{Limits, Payload, PeerId};

use super::{ROOM, still_talking, wait_for};
use crate::conformance::{Command, PATIENCE, Play, STRANGER, Setup};

pub(super) fn never_reads(play: &mut Play<'_>) {
    let mut limits = Limits::default();
    limits.write_stall = Duration::from_secs(1);
    let bound = limits.send_queue + limits.control_reserve;
    let (a, b) = play.pair(&limits);
    let deaf = play.stranger(a);
    play.stage().turn_deaf(deaf);
    let text = "x".repeat(100_000);
    let mut is_full = false;
    for number in 0..1_000 {
        let body = Payload::encode(&text).expect("a text is JSON");
        let receipt = play.command(a, Command::Broadcast("BULK".to_owned(), body));
        is_full |= receipt.expect("it can publish").skipped > 0;
        assert_eq!(play.next(b), format!("broadcast of a: BULK \"{text}\""), "{number}");
        let most = play.stage().peers(a).iter().map(|info| info.queued).max();
        assert!(most.unwrap_or_default() <= bound, "{most:?} bytes are queued");
        // What its system takes late, on a loaded machine, makes room for more.
        let event = if is_full { play.next_soon(a) } else { None };
        let Some(event) = event.filter(|event| event != ROOM) else { continue };
        assert_eq!(event, "down stranger: the peer did not read for too long");
        play.note(a, &event);
        return still_talking(play, a, b);
    }
    panic!("it need not read at all");
}

pub(super) fn application_sleeps(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let c = play.start(Setup::default());
    play.dial(c, a);
    play.wait(c, "up a, dialled");
    play.wait(a, "up c");
    // From here on nobody takes the events of a, until c can send no more.
    let text = "x".repeat(50_000);
    let mut sent = 0;
    while play.send(c, a, "BULK", &text).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "the sender is never stalled");
        let stalled = sent % 50 == 0;
        // The other peer of a is served all the while.
        if stalled {
            play.broadcast(a, "NEWS", &sent.to_string(), 2);
            play.wait_for_broadcast(b, &format!("broadcast of a: NEWS \"{sent}\""));
        }
    }
    for _ in 0..sent {
        let event = next_message(play, a);
        assert_eq!(event, format!("message of c: BULK \"{text}\""));
    }
    play.note(a, "got all that was sent");
    let peers = play.stage().peers(a).len();
    play.note(a, &format!("still has {peers} peers"));
}

/// The next event that is a one-to-one message.
fn next_message(play: &mut Play<'_>, node: usize) -> String {
    loop {
        let event = play.next(node);
        if event.starts_with("message") {
            return event;
        }
    }
}

/// Half a megabyte for one who takes a byte at a time: the node's writes are cut anywhere.
pub(super) fn reads_by_bytes(play: &mut Play<'_>) {
    const LINES: usize = 10;
    let (a, b) = play.pair(&Limits::default());
    let stranger = play.stranger(a);
    play.stage().turn_deaf(stranger);
    let text = "z".repeat(60_000);
    for _ in 0..LINES {
        play.broadcast(a, "BULK", &text, 2);
        play.wait_for_broadcast(b, &format!("broadcast of a: BULK \"{text}\""));
    }
    let (mut line, mut lines, mut sips) = (Vec::new(), 0, 0);
    while lines < LINES {
        sips += 1;
        let most = if sips <= 20_000 { 1 } else { 1 + sips % 4_099 };
        let bytes = play.stage().sip(stranger, most, PATIENCE);
        assert!(!bytes.is_empty() && bytes.len() <= most, "{} of {most} bytes", bytes.len());
        for byte in bytes {
            line.push(byte);
            if byte == b'\n' {
                lines += usize::from(is_next(&line, lines, &text));
                line.clear();
            }
        }
    }
    play.note(b, "the other got all of it too");
    still_talking(play, a, b);
}

/// Whether a line is the next broadcast of these; other lines are of no interest.
fn is_next(line: &[u8], before: usize, text: &str) -> bool {
    let line = std::str::from_utf8(line).expect("lines are text");
    let is_bulk = line.contains("\"kind\":\"BULK\"");
    if is_bulk {
        assert!(line.contains(&format!("\"seq\":{},", before + 1)), "out of order");
        assert!(line.ends_with(&format!("\"msg\":\"{text}\"}}\n")), "not what was sent");
    }
    is_bulk
}

pub(super) fn reads_again(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let slow = play.stranger(a);
    play.stage().turn_deaf(slow);
    let peer = PeerId::Node(STRANGER.parse().expect("a constant UUID"));
    let mut sent = 0;
    let send = |play: &mut Play<'_>, kind: &str, text: &str| {
        let body = Payload::encode(text).expect("a text is JSON");
        play.command(a, Command::Send(peer.clone(), kind.to_owned(), body))
    };
    let text = "x".repeat(50_000);
    let full = loop {
        match send(play, "BULK", &text) {
            Ok(_) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 10_000, "the sender is never stalled");
    };
    assert!(full.ends_with("bytes wait for the peer; the limit is 1048576"), "{full}");
    play.note(a, "can send no more");
    // A driver on a loaded machine may find room at its socket still, and say so early.
    play.broadcast(b, "STILL", "here", 1);
    let mut early = false;
    while play.comes_early(a, ROOM, "broadcast of b: STILL \"here\"") {
        early = true;
    }
    play.stage().listen(slow);
    if early {
        play.note(a, ROOM);
    } else {
        play.wait_while_hearing(a, slow, ROOM);
    }
    send(play, "LAST", "now").expect("there is room");
    wait_for(play, a, |play| play.stage().heard(slow).contains("\"kind\":\"LAST\""));
    assert_eq!(play.stage().heard(slow).matches("\"kind\":\"BULK\"").count(), sent);
    play.note(a, "all that it took arrived");
}
