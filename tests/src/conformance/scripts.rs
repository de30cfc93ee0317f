//! The scripts: one behaviour each, on any stage.
//!
//! Where real sockets may order things in several ways, a script waits for each node on its own,
//! and notes what it counted instead of what it saw.

mod asking;
mod crowds;
mod ends;
mod slow;
mod strangers;
mod talk;

use super::Play;

/// A script's name and itself.
pub type Script = (&'static str, fn(&mut Play<'_>));

/// All scripts.
pub const ALL: &[Script] = &[
    ("two nodes meet, talk and part", talk::meet_and_part),
    ("five nodes find each other from one address", talk::five_from_one),
    ("a dial nobody answers fails", talk::nobody_there),
    ("bad strangers cost themselves", strangers::bad_strangers),
    ("a line too long ends its connection", strangers::line_too_long),
    ("bytes one by one are understood", strangers::byte_by_byte),
    ("a half-close comes after what was said", ends::half_close),
    ("a half-close of ours leaves the other its word", ends::half_close_here),
    ("a reset takes the peer down", ends::reset),
    ("a reset with unread data loses what is counted", ends::reset_with_unread),
    ("a peer that never reads is dropped", slow::never_reads),
    ("a peer that reads byte by byte gets all", slow::reads_by_bytes),
    ("a peer that reads again is written to again", slow::reads_again),
    ("an application that does not poll is waited for", slow::application_sleeps),
    ("a shutdown loses nothing", ends::shutdown_under_load),
    ("a shutdown keeps its deadline whoever is slow", ends::shutdown_with_slow_peer),
    ("a peer that is disconnected is told", talk::disconnect),
    ("a peer that cannot be told is left in time", ends::parted_without_flush),
    ("a thousand strangers are served at once", crowds::crowd),
    ("hundreds that come and go disturb nobody", crowds::accept_storm),
    ("a request is answered in parts", asking::in_parts),
    ("a request nobody answers ends once", asking::without_answer),
    ("a request ends with whom it was put to", asking::asked_leaves),
    ("replies out of order are told in order", asking::out_of_order),
    ("a request is passed on and answered by the way it came", asking::passed_on),
    ("a guest is answered in frames", asking::guest_asks),
    ("a node asks as a guest", asking::asks_as_guest),
];

/// What a node says where a stranger's system takes more than it had seemed to.
const ROOM: &str = "writable stranger";

/// Two nodes that keep talking while strangers misbehave.
fn still_talking(play: &mut Play<'_>, a: usize, b: usize) {
    play.broadcast(b, "STILL", "here", 1);
    play.wait(a, "broadcast of b: STILL \"here\"");
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
