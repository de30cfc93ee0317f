//! The scripts: one behaviour each, on any stage.
//!
//! Where real sockets may order things in several ways, a script waits for each node on its own,
//! and notes what it counted instead of what it saw.

use std::time::Duration;

use peerline_proto::{Limits, Payload};

use super::{Command, PATIENCE, Play, Setup, hello};
use crate::entropy::Entropy;

/// A script's name and itself.
pub type Script = (&'static str, fn(&mut Play<'_>));

/// All scripts.
pub const ALL: &[Script] = &[
    ("two nodes meet, talk and part", meet_and_part),
    ("five nodes find each other from one address", five_from_one),
    ("a dial nobody answers fails", nobody_there),
    ("bad strangers cost themselves", bad_strangers),
    ("a line too long ends its connection", line_too_long),
    ("bytes one by one are understood", byte_by_byte),
    ("a half-close comes after what was said", half_close),
    ("a reset takes the peer down", reset),
    ("a peer that never reads is dropped", never_reads),
    ("an application that does not poll is waited for", application_sleeps),
    ("a shutdown loses nothing", shutdown_under_load),
    ("a peer that is disconnected is told", disconnect),
];

fn meet_and_part(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    play.broadcast(a, "NEWS", "to all \u{1f600}", 1);
    play.wait(b, "broadcast of a: NEWS \"to all \u{1f600}\"");
    play.send(b, a, "NOTE", "to you").expect("connected");
    play.wait(a, "message of b: NOTE \"to you\"");
    play.command(b, Command::Shutdown(Duration::from_secs(5))).expect("it stops");
    play.wait(b, "down a: closed here");
    play.wait(a, "down b: the peer said bye: shutdown");
}

fn five_from_one(play: &mut Play<'_>) {
    let first = play.start(Setup::default());
    let bootstrap = vec![play.stage().addr(first)];
    let nodes: Vec<usize> = (0..4)
        .map(|_| play.start(Setup { bootstrap: bootstrap.clone(), ..Setup::default() }))
        .collect();
    let all: Vec<usize> = std::iter::once(first).chain(nodes).collect();
    for node in &all {
        while play.stage().peers(*node).len() < 4 {
            play.next(*node);
        }
    }
    for node in &all {
        play.broadcast(*node, "NEWS", &node.to_string(), 4);
    }
    for node in &all {
        let mut got: Vec<String> = Vec::new();
        while got.len() < 4 {
            got.extend(Some(play.next(*node)).filter(|event| event.starts_with("broadcast")));
        }
        got.sort();
        for event in got {
            play.note(*node, &event);
        }
    }
}

fn nobody_there(play: &mut Play<'_>) {
    let a = play.start(Setup::default());
    let addr = play.stage().nowhere();
    play.command(a, Command::Dial(addr)).expect("it can dial");
    play.wait(a, "failed, dialled: connection refused");
}

/// Two nodes that keep talking while strangers misbehave.
fn still_talking(play: &mut Play<'_>, a: usize, b: usize) {
    play.broadcast(b, "STILL", "here", 1);
    play.wait(a, "broadcast of b: STILL \"here\"");
}

fn bad_strangers(play: &mut Play<'_>) {
    let mut limits = Limits::default();
    limits.handshake_timeout = Duration::from_secs(1);
    let (a, b) = play.pair(&limits);

    let mut entropy = Entropy::new(7);
    let mut noise: Vec<u8> = (0..1 << 20).map(|_| entropy.below(256) as u8).collect();
    noise[0] = 0xfe;
    let stranger = play.stage().connect(a);
    play.stage().say(stranger, &noise);
    play.wait(a, "failed: first byte 0xfe begins no dialect spoken here");
    assert!(play.stage().is_cut(stranger, PATIENCE));
    still_talking(play, a, b);

    let stranger = play.stranger(a);
    play.stage().say(stranger, b"{\"msgtype\":\"x\",\"\xff\":1}\n");
    play.wait(a, "down stranger: line is not UTF-8 at byte 16");
    still_talking(play, a, b);

    let stranger = play.stranger(a);
    play.stage().say(stranger, hello().as_bytes());
    play.wait(a, "down stranger: a second hello");
    still_talking(play, a, b);

    let silent = play.stage().connect(a);
    play.wait(a, "failed: no hello in time");
    assert!(play.stage().is_cut(silent, PATIENCE));
    still_talking(play, a, b);
}

fn line_too_long(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let stranger = play.stranger(a);
    play.stage().say(stranger, "x".repeat(300 * 1024).as_bytes());
    play.wait(a, "down stranger: line is too long; the limit is 262144");
    assert!(play.stage().is_cut(stranger, PATIENCE));
    still_talking(play, a, b);
}

fn byte_by_byte(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let stranger = play.stranger(a);
    let ping = b"{\"msgtype\":\"ping\",\"nonce\":12345}\n";
    let mut bytes = 0;
    while bytes < 100_000 {
        for byte in ping {
            play.stage().say(stranger, &[*byte]);
        }
        bytes += ping.len();
    }
    let pings = bytes / ping.len();
    let pongs = |told: &str| told.matches("\"msgtype\":\"pong\",\"nonce\":12345").count();
    wait_for(play, a, |play| pongs(&play.stage().heard(stranger)) >= pings);
    play.note(a, &format!("answered {pings} pings"));
    still_talking(play, a, b);
}

fn half_close(play: &mut Play<'_>) {
    let a = play.start(Setup::default());
    let stranger = play.stranger(a);
    let line = "{\"msgtype\":\"broadcast\",\"originator\":\"22222222-2222-4222-8222-222222222222\",\
                \"epoch\":1,\"seq\":1,\"time\":0,\"kind\":\"LAST\",\"msg\":[1, 2]}\n";
    play.stage().say(stranger, line.as_bytes());
    play.stage().hang_up(stranger);
    play.wait(a, "broadcast of 22222222-2222-4222-8222-222222222222: LAST [1, 2]");
    play.wait(a, "down stranger: end of stream");
    assert!(play.stage().is_cut(stranger, PATIENCE));
}

fn reset(play: &mut Play<'_>) {
    let a = play.start(Setup::default());
    let stranger = play.stranger(a);
    play.stage().reset(stranger);
    play.wait(a, "down stranger: connection reset");
}

fn never_reads(play: &mut Play<'_>) {
    let mut limits = Limits::default();
    limits.write_stall = Duration::from_secs(2);
    let bound = limits.send_queue + limits.control_reserve;
    let (a, b) = play.pair(&limits);
    let deaf = play.stranger(a);
    play.stage().turn_deaf(deaf);
    let text = "x".repeat(100_000);
    let mut skipped = 0;
    for number in 0.. {
        let body = Payload::encode(&text).expect("a text is JSON");
        let receipt = play.command(a, Command::Broadcast("BULK".to_owned(), body));
        let receipt = receipt.expect("it can publish");
        skipped += receipt.skipped;
        assert_eq!(play.next(b), format!("broadcast of a: BULK \"{text}\""), "{number}");
        let most = play.stage().peers(a).iter().map(|info| info.queued).max();
        assert!(most.unwrap_or_default() <= bound, "{most:?} bytes are queued");
        if skipped >= 3 {
            break;
        }
    }
    play.wait(a, "down stranger: the peer did not read for too long");
    still_talking(play, a, b);
}

fn application_sleeps(play: &mut Play<'_>) {
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

fn shutdown_under_load(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let text = "y".repeat(5_000);
    for _ in 0..100 {
        play.broadcast(a, "LAST", &text, 1);
    }
    play.command(a, Command::Shutdown(Duration::from_secs(10))).expect("it stops");
    for _ in 0..100 {
        assert_eq!(play.next(b), format!("broadcast of a: LAST \"{text}\""));
    }
    play.note(b, "got all 100 broadcasts");
    play.wait(b, "down a: the peer said bye: shutdown");
    play.wait(a, "down b: closed here");
}

fn disconnect(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let peer = play.peer(b);
    play.command(a, Command::Disconnect(peer)).expect("it parts");
    play.wait(a, "down b: closed here");
    play.wait(b, "down a: the peer said bye: disconnect");
    assert!(play.is_quiet(a) && play.is_quiet(b));
}

/// Waits until something a script can see is so.
fn wait_for(play: &mut Play<'_>, node: usize, mut done: impl FnMut(&mut Play<'_>) -> bool) {
    for _ in 0..400 {
        if done(play) {
            return;
        }
        assert!(play.is_quiet(node), "an event nobody waits for");
    }
    panic!("waited in vain");
}

impl Play<'_> {
    /// Waits for a broadcast, whatever else comes before it, without noting it.
    fn wait_for_broadcast(&mut self, node: usize, expected: &str) {
        while self.next(node) != expected {}
    }
}
