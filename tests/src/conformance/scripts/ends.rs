//! How connections end: in order, broken, or with the node itself.

use std::time::Duration;

use peerline_proto::{Limits, Payload, PeerId};

use super::{ROOM, still_talking, wait_for};
use crate::conformance::{Command, PATIENCE, Play, STRANGER, Setup};

pub(super) fn half_close(play: &mut Play<'_>) {
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

pub(super) fn reset(play: &mut Play<'_>) {
    let a = play.start(Setup::default());
    let stranger = play.stranger(a);
    // Whoever writes when the connection breaks may be told of it in place of who reads.
    wait_for(play, a, |play| play.stage().heard(stranger).contains("getaddr"));
    play.stage().reset(stranger);
    play.wait(a, "down stranger: connection reset");
}

pub(super) fn shutdown_under_load(play: &mut Play<'_>) {
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

pub(super) fn half_close_here(play: &mut Play<'_>) {
    let mut limits = Limits::default();
    // The stranger itself ends it here, however slow the machine is.
    (limits.linger, limits.flush_timeout) = (PATIENCE, PATIENCE);
    let (a, b) = play.pair(&limits);
    let stranger = play.stranger(a);
    part_from_stranger(play, a);
    assert!(play.stage().is_cut(stranger, PATIENCE));
    let told = play.stage().heard(stranger);
    let last = told.lines().last().unwrap_or_default();
    assert!(last.contains("\"msgtype\":\"bye\"") && last.contains("\"disconnect\""), "{last}");
    assert!(told.ends_with('\n'));
    for _ in 0..3 {
        play.stage().say(stranger, b"{\"msgtype\":\"ping\",\"nonce\":1}\n");
    }
    assert!(play.is_quiet(a));
    play.stage().hang_up(stranger);
    assert!(play.is_quiet(a));
    assert!(!play.stage().was_reset(stranger), "what it says is not read to the end");
    play.note(a, "said bye, and was spoken to after that");
    still_talking(play, a, b);
}

/// Publishes until the queue of a deaf stranger is full, whatever its system takes. Another peer
/// gets all of it.
///
/// Full is what stays full: on a loaded machine a line is skipped before the node's writes to the
/// stranger have had their turn, and a system asks a closed window again after a fifth of a second.
fn fill(play: &mut Play<'_>, a: usize, b: usize) {
    const SKIPPED_IN_A_ROW: usize = 10;
    let text = "w".repeat(90_000);
    let mut in_a_row = 0;
    for _ in 0..1_000 {
        let body = Payload::encode(&text).expect("a text is JSON");
        let receipt = play.command(a, Command::Broadcast("BULK".to_owned(), body));
        assert_eq!(play.next(b), format!("broadcast of a: BULK \"{text}\""));
        let is_skipped = receipt.expect("it can publish").skipped > 0;
        in_a_row = if is_skipped && is_still_full(play, a) { in_a_row + 1 } else { 0 };
        if in_a_row == SKIPPED_IN_A_ROW {
            return;
        }
    }
    panic!("the queue is never full");
}

fn is_still_full(play: &mut Play<'_>, node: usize) -> bool {
    let event = play.next_soon(node);
    assert!(event.as_deref().is_none_or(|event| event == ROOM), "{event:?}");
    event.is_none()
}

/// Waits for an event of a node whose stranger may have room after all.
fn wait_past_room(play: &mut Play<'_>, node: usize, expected: &str) {
    while play.comes_early(node, ROOM, expected) {}
}

fn part_from_stranger(play: &mut Play<'_>, a: usize) {
    let peer = PeerId::Node(STRANGER.parse().expect("a constant UUID"));
    play.command(a, Command::Disconnect(peer)).expect("it parts");
    wait_past_room(play, a, "down stranger: closed here");
}

pub(super) fn reset_with_unread(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let stranger = play.stranger(a);
    play.stage().turn_deaf(stranger);
    fill(play, a, b);
    play.stage().reset(stranger);
    wait_past_room(play, a, "down stranger: connection reset");
    wait_for(play, a, |play| play.stage().stats(a).lost_at_close > 0);
    play.note(a, "counted what it could not send");
    still_talking(play, a, b);
}

pub(super) fn parted_without_flush(play: &mut Play<'_>) {
    let mut limits = Limits::default();
    limits.flush_timeout = Duration::from_millis(500);
    let (a, b) = play.pair(&limits);
    let stranger = play.stranger(a);
    play.stage().turn_deaf(stranger);
    fill(play, a, b);
    part_from_stranger(play, a);
    wait_for(play, a, |play| play.stage().stats(a).lost_at_close > 0);
    play.note(a, "counted what it could not send");
    still_talking(play, a, b);
}

pub(super) fn shutdown_with_slow_peer(play: &mut Play<'_>) {
    let mut limits = Limits::default();
    // Long beyond the deadline, which alone is to end this: whatever wakes the node ends it too.
    let long = 3 * PATIENCE;
    (limits.flush_timeout, limits.write_stall, limits.linger) = (long, long, long);
    (limits.ping_after, limits.dead_after) = (2 * PATIENCE, long);
    (limits.dial_timeout, limits.handshake_timeout) = (long, long);
    let (a, b) = play.pair(&limits);
    let stranger = play.stranger(a);
    play.stage().turn_deaf(stranger);
    fill(play, a, b);
    let text = "l".repeat(50_000);
    for _ in 0..10 {
        let body = Payload::encode(&text).expect("a text is JSON");
        play.command(a, Command::Broadcast("LAST".to_owned(), body)).expect("it can publish");
    }
    play.command(a, Command::Shutdown(Duration::from_millis(500))).expect("it stops");
    for _ in 0..10 {
        assert_eq!(play.next(b), format!("broadcast of a: LAST \"{text}\""));
    }
    play.note(b, "got all 10 broadcasts");
    play.wait(b, "down a: the peer said bye: shutdown");
    wait_past_room(play, a, "down b: closed here");
    wait_past_room(play, a, "down stranger: closed here");
    assert!(play.stage().is_stopped(a, PATIENCE), "the deadline passed");
    play.note(a, "stopped");
}
