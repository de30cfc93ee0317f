//! Many at once: a thousand strangers that stay, and hundreds that do not.

use peerline_proto::{Event, Limits};

use super::{still_talking, wait_for};
use crate::conformance::{PATIENCE, Play, hello_of};

/// Connections that come and go at once.
const STORM: u64 = 500;

pub(super) fn crowd(play: &mut Play<'_>) {
    let crowd = play.stage().crowd();
    let mut limits = Limits::default();
    (limits.half_open, limits.max_inbound) = (crowd, crowd + 1);
    // Strangers answer no pings, and a slow machine may take long over a thousand hellos.
    (limits.handshake_timeout, limits.dead_after) = (6 * PATIENCE, 6 * PATIENCE);
    let (a, b) = play.pair(&limits);
    let strangers: Vec<usize> = (0..crowd).map(|_| play.stage().connect(a)).collect();
    for (number, stranger) in strangers.iter().enumerate() {
        play.stage().say(*stranger, hello_of(number).as_bytes());
    }
    for _ in 0..crowd {
        let event = play.next(a);
        assert!(event.starts_with("up "), "{event}");
    }
    play.note(a, "a crowd is up");
    play.broadcast(a, "NEWS", "to all", crowd + 1);
    play.wait(b, "broadcast of a: NEWS \"to all\"");
    for stranger in &strangers {
        wait_for(play, a, |play| play.stage().heard(*stranger).contains("\"kind\":\"NEWS\""));
    }
    play.note(a, "all of it was told");
    still_talking(play, a, b);
    for stranger in strangers {
        play.stage().leave(stranger);
    }
    for _ in 0..crowd {
        let event = play.next(a);
        assert!(event.starts_with("down "), "{event}");
    }
    play.note(a, "the crowd is gone");
    still_talking(play, a, b);
}

pub(super) fn accept_storm(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let mut failed = 0;
    for number in 0..STORM {
        let stranger = play.stage().connect(a);
        play.stage().leave(stranger);
        if number % 50 == 0 {
            play.broadcast(a, "NEWS", &number.to_string(), 1);
            play.wait_for_broadcast(b, &format!("broadcast of a: NEWS \"{number}\""));
            play.broadcast(b, "STILL", "here", 1);
            while let Some(count) = failures(play, a) {
                failed += count;
            }
        }
    }
    while failed < STORM {
        failed += failures(play, a).expect("nothing else happens");
    }
    assert_eq!(failed, STORM);
    play.note(a, &format!("{failed} came and went"));
    still_talking(play, a, b);
}

/// How many failed, by the next event; none if it is a message.
fn failures(play: &mut Play<'_>, node: usize) -> Option<u64> {
    match play.next_event(node) {
        Event::ConnectionFailed { repeats, .. } => Some(1 + u64::from(repeats)),
        Event::Message(_) => None,
        other => panic!("an event nobody waits for: {other:?}"),
    }
}
