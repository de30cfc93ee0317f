//! What connections owe whoever uses them: room, time, and each its own end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::limits::LOSERS;
use crate::session::opening::Opening;
use crate::session::{Callee, Greeting, Say};
use alloc::{format, vec};

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn addr() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5999))
}

fn links(limits: &Limits) -> Links {
    Links::new(limits)
}

/// An accepted connection whose first line is awaited for 10 s.
fn accept(links: &mut Links) -> ConnId {
    let (until, since) = (at(10_000), at(0));
    let greeting = Greeting { until, since, bytes: 0, opening: Opening::ANY };
    links.open(addr(), Phase::Greeting(greeting), at(0))
}

fn dial(links: &mut Links, call: Call) -> ConnId {
    links.open(addr(), Phase::Dialing { until: at(5000), call }, at(0))
}

/// A frame that a queue is charged so much for.
fn frame(cost: usize) -> Frame {
    Frame::new(&format!("{}\n", "x".repeat(cost - FRAME_COST - 1)))
}

fn push(links: &mut Links, conn: ConnId, cost: usize, class: Class) -> (Result<(), Full>, u64) {
    let mut stats = Stats::default();
    let done = links.enqueue(conn, frame(cost), class, &mut stats, at(0));
    (done, stats.skipped)
}

fn actions(links: &mut Links) -> Vec<Action> {
    core::iter::from_fn(|| links.poll_action()).collect()
}

#[test]
fn what_is_lost_with_a_connection_is_counted_once_and_its_name_used_once() {
    let mut links = links(&Limits::default());
    let (conn, other) = (accept(&mut links), accept(&mut links));
    (0..3).for_each(|_| assert_eq!(push(&mut links, conn, 100, Class::Direct), (Ok(()), 0)));
    links.block(conn);
    assert_eq!((links.buffered(), links.half_open().len()), (3 * 36 + 2 * FRAME_COST, 2));
    actions(&mut links);
    assert_eq!((links.drop_now(conn), links.drop_now(conn)), (3, 0));
    assert_eq!(actions(&mut links), [Action::Drop { conn }]);
    assert!(links.get(conn).is_none() && !links.is_blocked(conn) && !links.is_empty());
    assert_eq!((links.buffered(), links.half_open().len()), (0, 1));
    let next = accept(&mut links);
    assert!(next.slot() == conn.slot() && next != conn && links.get_mut(conn).is_none());
    assert_eq!(links.iter().map(|(conn, _)| conn).collect::<Vec<_>>(), [next, other]);
    assert_eq!([next, other].map(|conn| links.drop_now(conn)), [0, 0]);
    assert!(links.is_empty() && links.next_deadline().is_none());
}

#[test]
fn a_dial_is_known_by_its_nonce_until_it_is_greeted() {
    let mut links = links(&Limits::default());
    let [one, two] = [5, 6].map(|nonce| dial(&mut links, Call::Native { nonce }));
    assert_eq!([5, 6, 7].map(|nonce| links.dialled_with(nonce)), [Some(one), Some(two), None]);
    assert!(links.half_open().is_empty());
    let connect = [one, two].map(|conn| Action::Connect { conn, addr: addr() });
    assert_eq!(actions(&mut links), connect);
    links.greeted(one);
    assert_eq!([5, 6].map(|nonce| links.dialled_with(nonce)), [None, Some(two)]);
}

#[test]
fn there_is_room_again_when_a_queue_and_all_together_are_half_empty() {
    // Charged to the waiting connection, to another one, and whether there is room.
    for (own, other, expected) in
        [(1000, 1000, true), (1000, 1001, false), (1001, 500, false), (1000, 65, true)]
    {
        let limits = Limits { send_queue: 2000, queued_total: 4000, ..Limits::default() };
        let mut links = links(&limits);
        let (conn, busy) = (accept(&mut links), accept(&mut links));
        assert_eq!(links.unblock(), None, "nobody waits");
        assert_eq!(push(&mut links, conn, own, Class::Direct), (Ok(()), 0));
        assert_eq!(push(&mut links, busy, other, Class::Direct), (Ok(()), 0));
        links.block(conn);
        assert!(links.is_blocked(conn) && !links.is_blocked(busy));
        assert_eq!(links.unblock().is_some(), expected, "{own} {other}");
        assert_eq!((links.is_blocked(conn), links.unblock()), (!expected, None));
    }
}

#[test]
fn room_is_half_of_what_guests_leave() {
    for (cost, expected) in [(1500, true), (1501, false)] {
        let mut links = links(&Limits { queued_total: 4000, ..Limits::default() });
        let (say, to) = (Say::Ping, Callee::Joined);
        let guest = dial(&mut links, Call::Chat { say, to });
        links.will_ask(guest, vec![0; 1000 - FRAME_COST]);
        let conn = accept(&mut links);
        assert_eq!(push(&mut links, conn, cost, Class::Direct), (Ok(()), 0));
        links.block(conn);
        assert_eq!(links.unblock(), Some(conn).filter(|_| expected), "{cost}");
    }
}

#[test]
fn a_queue_that_takes_no_byte_for_so_long_is_stalled() {
    let stall = Duration::from_millis(700);
    let mut links = links(&Limits { write_stall: stall, ..Limits::default() });
    assert_eq!(links.write_stall(), stall);
    let conn = accept(&mut links);
    let stalled = |links: &Links, millis| links.get(conn).unwrap().is_stalled(stall, at(millis));
    assert!(!stalled(&links, 10_000), "nothing waits");
    assert_eq!(links.next_deadline(), Some(at(10_000)));
    assert_eq!(push(&mut links, conn, 200, Class::Direct), (Ok(()), 0));
    assert_eq!(links.next_deadline(), Some(at(700)));
    assert!(!stalled(&links, 699) && stalled(&links, 700));
    let mut stats = Stats::default();
    links.sent(conn, 0, &mut stats, at(100));
    assert!(stalled(&links, 700), "that was none");
    links.sent(conn, 1, &mut stats, at(100));
    assert!(!stalled(&links, 799) && stalled(&links, 800));
    assert_eq!((stats.bytes_out, links.buffered()), (1, 199));
    assert_eq!(links.due(at(699)), None);
    assert_eq!(links.due(at(700)), Some(conn), "early");
    links.reschedule(conn, at(700));
    assert_eq!(links.next_deadline(), Some(at(800)));
    assert_eq!(links.due(at(800)), Some(conn));
    links.reschedule(conn, at(800));
    assert_eq!(links.next_deadline(), Some(at(801)), "never now");
}

#[test]
fn the_longest_wait_is_the_longest_of_all() {
    let second = Duration::from_secs(1);
    let least = Limits {
        dead_after: second,
        write_stall: second,
        dial_timeout: second,
        handshake_timeout: second,
        flush_timeout: second,
        linger: second,
        ..Limits::default()
    };
    let long = Duration::from_secs(77);
    for limits in [
        Limits { dead_after: long, ..least },
        Limits { write_stall: long, ..least },
        Limits { dial_timeout: long, ..least },
        Limits { handshake_timeout: long, ..least },
        Limits { flush_timeout: long, ..least },
        Limits { linger: long, ..least },
    ] {
        assert_eq!(links(&limits).longest_wait, long, "{limits:?}");
    }
    assert_eq!(longest_wait(&least), second);
}

#[test]
fn deadlines_start_anew_once_within_the_longest_of_them() {
    let limits = Limits { dial_timeout: Duration::from_secs(9), ..Limits::default() };
    let mut links = links(&limits);
    let longest = links.longest_wait;
    let conn = dial(&mut links, Call::Native { nonce: 1 });
    let until = |links: &Links| {
        let Phase::Dialing { until, .. } = links.get(conn).unwrap().phase else { return at(0) };
        until
    };
    links.start_anew(at(5000), at(20_000));
    assert_eq!(until(&links), at(29_000));
    let last = at(20_000) + longest;
    links.start_anew(last, last);
    assert_eq!(until(&links), at(29_000), "they had their time");
    let later = last + Duration::from_nanos(1);
    links.start_anew(later, later);
    assert_eq!(until(&links), later + Duration::from_secs(9));
}

/// Much waits on one connection, its first 70,000 bytes staged and 20 of 5000 behind them.
fn busy() -> (Links, ConnId) {
    let limits = Limits { queued_total: 200_000, send_queue: 180_000, ..Limits::default() };
    let mut links = links(&limits);
    let conn = accept(&mut links);
    assert_eq!(push(&mut links, conn, 70_000, Class::Forwarded), (Ok(()), 0));
    (0..20).for_each(|_| assert_eq!(push(&mut links, conn, 5000, Class::Own), (Ok(()), 0)));
    (links, conn)
}

#[test]
fn when_all_queues_are_full_the_longest_gives_a_sixteenth_more_than_is_needed() {
    let (mut links, long) = busy();
    let conn = accept(&mut links);
    assert_eq!(push(&mut links, conn, 30_000, Class::Direct), (Ok(()), 0), "just full");
    assert_eq!(links.queued, 200_000);
    // Forwarded gives way to nothing here; 200,000 - 12,500 - 64 are left of all.
    let full = Err(Full { queued: 200_000, limit: 200_000 });
    assert_eq!(push(&mut links, conn, 65, Class::Forwarded), (full, 0));
    assert_eq!(push(&mut links, conn, 65, Class::Direct), (Ok(()), 3));
    assert_eq!(links.queued, 185_000 + 65);
    let dropped = links.take_dropped();
    assert!(dropped.iter().all(|(conn, frame)| *conn == long && frame.len() == 5000 - FRAME_COST));
    assert_eq!((dropped.len(), links.take_dropped().len()), (3, 0));
}

#[test]
fn what_a_control_line_finds_full_it_passes_and_others_do_not() {
    let mut links = links(&Limits { queued_total: 1000, ..Limits::default() });
    let conn = accept(&mut links);
    assert_eq!(push(&mut links, conn, 1000, Class::Direct), (Ok(()), 0));
    for class in [Class::Direct, Class::Own, Class::Forwarded] {
        assert!(push(&mut links, conn, 100, class).0.is_err(), "{class:?}");
    }
    assert_eq!(push(&mut links, conn, 100, Class::Control), (Ok(()), 0));
    assert_eq!(push(&mut links, ConnId::new(9, NonZeroU32::MIN), 100, Class::Own), (Ok(()), 0));
    let dial = dial(&mut links, Call::Native { nonce: 1 });
    assert_eq!(push(&mut links, dial, 100, Class::Control), (Ok(()), 0));
    assert_eq!(links.get(dial).map(Link::queued), Some(0), "nobody is there yet");
}

#[test]
fn an_end_in_order_waits_for_the_queue_and_then_for_the_other() {
    let limits = Limits { flush_timeout: Duration::from_secs(4), ..Limits::default() };
    let (mut links, linger) = (links(&limits), limits.linger);
    let conn = accept(&mut links);
    assert_eq!(push(&mut links, conn, 100, Class::Direct), (Ok(()), 0));
    actions(&mut links);
    links.close(conn, Some(frame(70)), None, at(60_000), at(1000));
    let closing = |links: &Links| {
        let Phase::Closing(closing) = &links.get(conn).unwrap().phase else {
            return (true, true, at(0));
        };
        (closing.finished, closing.ended, closing.until)
    };
    assert_eq!((closing(&links), links.half_open().len()), ((false, false, at(5000)), 0));
    assert_eq!((actions(&mut links), links.outgoing(conn).len()), (vec![], 42));
    let mut stats = Stats::default();
    links.sent(conn, 41, &mut stats, at(2000));
    assert_eq!((closing(&links).2, actions(&mut links)), (at(5000), vec![]), "no guest");
    links.sent(conn, 1, &mut stats, at(3000));
    assert_eq!(closing(&links), (true, false, at(3000) + linger));
    assert_eq!(actions(&mut links), [Action::Finish { conn }]);
    links.ended(conn);
    assert_eq!(actions(&mut links), [Action::Drop { conn }]);
}

#[test]
fn who_ended_first_is_dropped_when_all_is_sent_and_no_sooner() {
    let mut links = links(&Limits::default());
    let conn = accept(&mut links);
    links.ended(conn); // it is not closing
    assert_eq!(push(&mut links, conn, 100, Class::Direct), (Ok(()), 0));
    links.close(conn, None, None, at(60_000), at(0));
    actions(&mut links);
    links.ended(conn);
    assert!(actions(&mut links).is_empty());
    links.sent(conn, 36, &mut Stats::default(), at(0));
    assert_eq!(actions(&mut links), [Action::Finish { conn }, Action::Drop { conn }]);
    assert!(links.is_empty() && links.closing.is_empty());
}

#[test]
fn of_too_many_that_close_the_one_that_began_first_goes() {
    let mut links = links(&Limits::default());
    let [one, two, three] = [0; 3].map(|_| accept(&mut links));
    for (conn, when) in [(two, 1), (one, 2), (three, 3)] {
        links.close(conn, None, None, at(60_000), at(when));
    }
    assert_eq!((links.one_closing_too_many(3), links.one_closing_too_many(2)), (None, Some(two)));
    links.drop_now(two);
    assert_eq!((links.one_closing_too_many(2), links.one_closing_too_many(1)), (None, Some(one)));
}

#[test]
fn so_many_that_lost_are_read_to_their_ends() {
    let mut links = links(&Limits::default());
    let peer = || Some(crate::id::PeerId::Guest("x".into()));
    let conns: Vec<ConnId> = (0..=LOSERS as u64).map(|_| accept(&mut links)).collect();
    let is_read = |links: &Links, index: usize| {
        links.get(conns[index]).unwrap().phase.name() == PhaseName::Losing
    };
    for (conn, when) in conns.iter().zip(0..) {
        assert!(links.get(conns[0]).is_some() && (when == 0 || is_read(&links, 0)));
        links.close(*conn, None, peer(), at(60_000), at(when));
    }
    assert!(!is_read(&links, 0) && (1..=LOSERS).all(|index| is_read(&links, index)));
}

#[test]
fn what_guests_may_have_waiting_is_a_part_of_all() {
    let limits = Limits { queued_total: 4000, guest_queued: 1000, ..Limits::default() };
    let mut links = links(&limits);
    let (fits, over) = (1000 - FRAME_COST, 1001 - FRAME_COST);
    assert_eq!(links.room_for_guests(fits), Ok(()));
    let full = |queued, limit| Full { queued, limit };
    assert_eq!(links.room_for_guests(over), Err(("guest_queued", full(1001, 1000))));
    let guest = dial(&mut links, Call::Chat { say: Say::Ping, to: Callee::Joined });
    links.will_ask(guest, vec![0; 500]);
    assert_eq!(links.room_for_guests(436 - FRAME_COST), Ok(()));
    assert!(links.room_for_guests(437 - FRAME_COST).is_err());
    assert_eq!(links.take_question(guest).len(), 500);
    assert_eq!((links.take_question(guest).len(), links.buffered()), (0, 0));
    let conn = accept(&mut links);
    assert_eq!(push(&mut links, conn, 3500, Class::Direct), (Ok(()), 0));
    assert_eq!(links.room_for_guests(500 - FRAME_COST), Ok(()));
    let error = Err(("queued_total", full(4001, 4000)));
    assert_eq!(links.room_for_guests(501 - FRAME_COST), error);
}

#[test]
fn dials_to_guests_are_counted_by_who_wants_them() {
    let mut links = links(&Limits::default());
    for (to, guests, told) in
        [(Callee::Joined, 1, 0), (Callee::Known("x".into()), 1, 0), (Callee::Told, 1, 1)]
    {
        dial(&mut links, Call::Chat { say: Say::Ping, to });
        assert_eq!((links.guests_under_way(), links.told_under_way()), (guests, told));
    }
    dial(&mut links, Call::Native { nonce: 1 });
    accept(&mut links);
    assert_eq!((links.guests_under_way(), links.told_under_way()), (1, 1));
}
