//! How connections end: what each end tells, counts and leaves behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::queue::FRAME_COST;

const DUPLICATE: &str = r#"{"msgtype":"bye","reason":"duplicate"}"#;

/// Two connections of node 0, the second its rival.
fn rivals(scene: &mut Scene) -> [ConnId; 2] {
    let first = scene.meet(0);
    let second = scene.node.accepted(addr(20), scene.now).unwrap();
    scene.greet(second, 0);
    scene.told();
    [first, second]
}

#[test]
fn a_broken_connection_takes_its_peer_along() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.told();
    scene.ordered();
    scene.counts("connections_closed 1", |scene| {
        scene.node.closed(two, TransportError::Reset, scene.now);
        scene.node.closed(two, TransportError::Reset, scene.now);
    });
    let told = scene.told();
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("down 2: "));
    assert_eq!(scene.ordered(), [Action::Drop { conn: two }]);
    assert!(!scene.node.is_open(two) && !scene.is_up(2));
}

#[test]
fn the_last_peer_that_goes_leaves_us_isolated_after_a_while() {
    let after = Limits::default().isolated_after;
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.now = scene.now + SECOND;
    scene.node.closed(two, TransportError::Reset, scene.now);
    assert_eq!(scene.node.overlay.next_deadline(), None);
    scene.node.closed(three, TransportError::Reset, scene.now);
    assert_eq!(scene.node.overlay.next_deadline(), Some(scene.now + after));
    scene.told();
    scene.run_for(after);
    assert_eq!(scene.told(), ["Isolated"]);
}

#[test]
fn a_rival_that_ends_is_no_peer_that_goes() {
    let mut scene = Scene::new();
    let [first, second] = rivals(&mut scene);
    scene.node.closed(second, TransportError::Reset, scene.now);
    let told = scene.told();
    assert!(told.len() == 1 && told[0].starts_with("failed: "), "{told:?}");
    assert_eq!(scene.node.peers.conn(&PeerId::Node(id(0))), Some(first));
}

#[test]
fn what_the_application_waits_for_at_a_connection_that_ends_it_gets_at_the_other() {
    for blocked in [false, true] {
        let mut scene = Scene::new();
        let [first, _second] = rivals(&mut scene);
        if blocked {
            scene.node.links.block(first);
        }
        scene.node.closed(first, TransportError::Reset, scene.now);
        let told = scene.told();
        assert!(told[0].starts_with("failed: "));
        assert_eq!(&told[1..], &["writable 0".to_string()][..usize::from(blocked)]);
    }
}

#[test]
fn violations_are_blamed_on_those_who_dialled_or_said_hello() {
    let mut scene = Scene::new();
    let dial = scene.node.dial(addr(2), scene.now).unwrap();
    scene.node.connected(dial, scene.now);
    scene.heard(dial, "");
    scene.counts("connections_closed 1", |scene| scene.say(dial, "{}"));
    assert_eq!(scene.node.discouraged(), 0);
    let up = scene.dial(3);
    scene.counts("connections_closed 1, violations 1", |scene| scene.say(up, "{}"));
    assert_eq!(scene.node.discouraged(), 1);
    let accepted = scene.node.accepted(addr(4), scene.now).unwrap();
    scene.counts("connections_closed 1, violations 1", |scene| scene.say(accepted, "{}"));
    assert_eq!(scene.node.discouraged(), 2);
}

#[test]
fn a_violation_on_what_ends_already_ends_it_at_once() {
    let mut scene = Scene::new();
    let [first, _] = rivals(&mut scene);
    scene.say(first, DUPLICATE);
    scene.told();
    assert!(scene.node.is_open(first));
    scene.counts("violations 1", |scene| scene.say(first, "{}"));
    assert!(!scene.node.is_open(first));
    assert!(scene.told().is_empty());
}

#[test]
fn the_book_learns_how_dials_end() {
    let entry = |scene: &Scene| scene.node.book.iter().next().unwrap().1.clone();
    let mut scene = Scene::new();
    let dial = scene.node.dial(addr(2), scene.now).unwrap();
    scene.node.closed(dial, TransportError::Reset, scene.now);
    let failed = entry(&scene);
    assert!(failed.not_before > scene.now && failed.alive.is_none());
    assert_eq!(scene.node.overlay.spare_dials(), 0, "it was refused at once");
    let mut scene = Scene::new();
    let dial = scene.node.dial(addr(2), scene.now).unwrap();
    scene.run_for(Limits::default().dial_timeout);
    assert!(!scene.node.is_open(dial));
    assert_eq!(scene.node.overlay.spare_dials(), 3);
    let mut scene = Scene::new();
    let up = scene.dial(2);
    scene.now = scene.now + SECOND;
    scene.say(up, "");
    let heard = scene.now;
    scene.now = scene.now + SECOND;
    scene.node.closed(up, TransportError::Reset, scene.now);
    assert_eq!(entry(&scene).alive, Some(heard));
    // Who dialled us is no dial of ours.
    let mut scene = Scene::new();
    scene.node.add_bootstrap(addr(2), scene.now);
    let before = entry(&scene);
    let two = scene.meet(2);
    scene.node.closed(two, TransportError::Reset, scene.now);
    let after = entry(&scene);
    assert_eq!((after.not_before, after.alive), (before.not_before, before.alive));
}

#[test]
fn a_peer_is_parted_from_with_a_bye_and_is_not_dialled_for_long() {
    let mut scene = Scene::new();
    scene.dial(2);
    let old = scene.meet_old(3, "old");
    scene.told();
    let two = scene.node.peers.conn(&PeerId::Node(id(2))).unwrap();
    scene.counts("connections_closed 1", |scene| {
        assert!(scene.node.disconnect(&PeerId::Node(id(2)), scene.now));
    });
    assert!(!scene.node.disconnect(&PeerId::Node(id(2)), scene.now));
    assert_eq!(scene.told(), ["down 2: closed here"]);
    let bye = r#"{"msgtype":"bye","reason":"disconnect","retry":3600}"#;
    assert_eq!(scene.heard(two, ""), [bye]);
    let held = scene.node.book.iter().next().unwrap().1.not_before;
    assert_eq!(held, scene.now + Limits::default().backoff_max);
    assert!(scene.node.disconnect(&PeerId::Guest("old".into()), scene.now));
    assert!(scene.heard(old, "bye").is_empty(), "it knows no bye");
}

#[test]
fn a_closing_connection_waits_for_the_other_side_and_no_longer() {
    let limits = Limits::default();
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.node.disconnect(&PeerId::Node(id(2)), scene.now);
    scene.ordered();
    scene.heard(two, "");
    assert_eq!(scene.ordered(), [Action::Finish { conn: two }]);
    scene.run_for(limits.linger - Duration::from_nanos(1));
    assert!(scene.node.is_open(two));
    scene.run_for(Duration::from_nanos(1));
    assert!(!scene.node.is_open(two));
    // Its end ends ours.
    let three = scene.meet(3);
    scene.node.disconnect(&PeerId::Node(id(3)), scene.now);
    scene.heard(three, "");
    scene.node.closed(three, TransportError::Eof, scene.now);
    assert!(!scene.node.is_open(three));
    // One whose end comes first is closed when all is said.
    let four = scene.meet(4);
    scene.node.disconnect(&PeerId::Node(id(4)), scene.now);
    scene.node.closed(four, TransportError::Eof, scene.now);
    assert!(scene.node.is_open(four));
    assert_eq!(scene.heard(four, "bye").len(), 1);
    assert!(!scene.node.is_open(four));
    // What broke takes nothing any more.
    let five = scene.meet(5);
    scene.node.disconnect(&PeerId::Node(id(5)), scene.now);
    scene.counts("lost_at_close 1", |scene| {
        scene.node.closed(five, TransportError::Reset, scene.now);
    });
    assert!(!scene.node.is_open(five));
}

#[test]
fn of_too_many_that_are_closing_the_oldest_goes() {
    let mut scene = Scene::limited(|limits| limits.closing = 2);
    let conns = [2, 3, 4].map(|number| {
        scene.now = scene.now + SECOND / 10;
        let conn = scene.meet(number);
        scene.node.disconnect(&PeerId::Node(id(number)), scene.now);
        conn
    });
    assert_eq!(conns.map(|conn| scene.node.is_open(conn)), [false, true, true]);
}

#[test]
fn what_the_application_waited_for_is_told_when_there_is_room() {
    let mut scene = Scene::limited(|limits| limits.send_queue = 4096);
    let two = scene.meet(2);
    scene.told();
    let to = PeerId::Node(id(2));
    let mut sent = 0;
    while scene.node.send(&to, "K", &body(&"x".repeat(500)), scene.now).is_ok() {
        sent += 1;
    }
    let queued = scene.node.peer(&to).unwrap().queued;
    assert!(sent > 3 && queued <= 4096 && queued + 700 > 4096);
    assert!(queued > FRAME_COST * sent);
    // A first write is staged; a line each, so that half is passed by little.
    while scene.node.peer(&to).unwrap().queued > 2048 {
        assert!(scene.told().is_empty());
        let count = scene.node.outgoing(two).copy_to(&mut Vec::new(), 100);
        scene.node.sent(two, count, scene.now);
    }
    assert_eq!(scene.told(), ["writable 2"]);
    scene.heard(two, "");
    assert!(scene.told().is_empty());
}

#[test]
fn after_a_peer_is_gone_another_is_looked_for() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.run_for(SECOND);
    assert_ne!(scene.node.plan_at, Some(scene.now));
    scene.node.closed(two, TransportError::Reset, scene.now);
    assert_eq!(scene.node.plan_at, Some(scene.now));
    scene.node.handle_timeout(scene.now);
    assert_eq!(scene.node.plan_at, None);
    scene.node.shutdown(SECOND, scene.now);
    scene.node.plan_soon();
    assert_eq!(scene.node.plan_at, None);
}
