//! The rules of the trees, one by one, at a node with a few links.

use super::*;
use crate::id::NodeId;
use core::num::NonZeroU32;

mod bounds;

/// A node's trees, the time, and what was ordered last.
struct Bench {
    trees: Trees,
    now: Instant,
    out: Vec<Order>,
}

fn conn(slot: u32) -> ConnId {
    ConnId::new(slot, NonZeroU32::MIN)
}

fn stream(number: u8) -> StreamId {
    (NodeId::from_random_bytes([number; 16]), 7)
}

fn frame(seq: u64) -> Frame {
    Frame::new(&alloc::format!("{{\"seq\":{seq}}}\n"))
}

impl Bench {
    /// Links 0, 1, 2, …; our node id is the smaller one on each.
    fn new(links: u32) -> Self {
        let mut trees = Trees::new(&Limits::default());
        (0..links).for_each(|slot| trees.link_up(conn(slot), false, Instant::ZERO));
        Self { trees, now: Instant::ZERO, out: Vec::new() }
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// Number `seq` of stream 9 comes for the first time.
    fn gets(&mut self, seq: u64, link: u32) -> Vec<Order> {
        self.trees.received(
            (stream(9), seq),
            frame(seq),
            conn(link),
            None,
            self.now,
            &mut self.out,
        );
        core::mem::take(&mut self.out)
    }

    fn gets_again(&mut self, seq: u64, link: u32) -> Vec<Order> {
        self.trees.duplicate((stream(9), seq), conn(link), self.now, &mut self.out);
        core::mem::take(&mut self.out)
    }

    /// We publish number `seq` of stream 5. Whom it is pushed to.
    fn publishes(&mut self, seq: u64) -> Vec<usize> {
        self.trees.publish((stream(5), seq), frame(seq), self.now, &mut self.out);
        pushed(&core::mem::take(&mut self.out))
    }

    fn hears_of(&mut self, seq: u64, link: u32) {
        let hold = Duration::ZERO;
        assert!(self.trees.announced_new((stream(9), seq), conn(link), hold, self.now));
    }

    fn tends(&mut self) -> Vec<Order> {
        self.trees.tend(self.now, &mut self.out);
        core::mem::take(&mut self.out)
    }

    fn parent(&mut self) -> Option<Index> {
        self.trees.tree(stream(9))?.parent
    }

    /// What is announced on a link when that is due.
    fn announces(&mut self, link: u32) -> Vec<(u64, u64)> {
        let mut due = Vec::new();
        self.trees.announcements_due(self.now, &mut due);
        if !due.contains(&conn(link)) {
            return Vec::new();
        }
        let ranges = self.trees.announcement(conn(link), self.now);
        ranges.iter().map(|range| (range.from, range.to)).collect()
    }
}

fn pushed(orders: &[Order]) -> Vec<usize> {
    let conns = orders.iter().filter_map(|order| {
        let Order::Push { conn, .. } = order else { return None };
        Some(conn.slot())
    });
    conns.collect()
}

fn pruned(orders: &[Order]) -> Vec<(usize, bool)> {
    let conns = orders.iter().filter_map(|order| {
        let Order::Prune { conn, stream } = order else { return None };
        Some((conn.slot(), stream.is_none()))
    });
    conns.collect()
}

fn grafted(orders: &[Order]) -> Vec<(usize, bool)> {
    let conns = orders.iter().filter_map(|order| {
        let Order::Graft { conn, stream, .. } = order else { return None };
        Some((conn.slot(), stream.is_none()))
    });
    conns.collect()
}

#[test]
fn a_first_broadcast_goes_to_all_but_where_it_came_from() {
    let mut bench = Bench::new(4);
    assert_eq!(pushed(&bench.gets(1, 2)), [0, 1, 3]);
    assert_eq!(bench.parent(), Some(2));
}

#[test]
fn the_copy_of_a_first_broadcast_prunes_both_trees_and_of_a_later_one_its_own() {
    let mut bench = Bench::new(3);
    bench.gets(1, 0);
    assert_eq!(pruned(&bench.gets_again(1, 1)), [(1, false), (1, true)]);
    assert_eq!(pruned(&bench.gets_again(1, 1)), [], "once is enough");
    bench.gets(2, 0);
    assert_eq!(pruned(&bench.gets_again(2, 2)), [(2, false)]);
    bench.pass(5000);
    assert_eq!(pruned(&bench.gets_again(2, 2)), [(2, false)], "the word was lost");
}

#[test]
fn of_first_broadcasts_that_cross_only_the_smallest_stream_prunes_the_shared_tree() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    let smaller = (stream(1), 1);
    bench.trees.received(smaller, frame(1), conn(0), None, bench.now, &mut Vec::new());
    assert_eq!(pruned(&bench.gets_again(1, 1)), [(1, false)]);
    bench.trees.duplicate(smaller, conn(1), bench.now, &mut bench.out);
    assert_eq!(pruned(&bench.out), [(1, false), (1, true)]);
}

#[test]
fn a_link_that_pruned_us_is_announced_to() {
    let mut bench = Bench::new(3);
    bench.gets(1, 0);
    bench.trees.on_prune(conn(1), Some(stream(9)));
    assert_eq!(pushed(&bench.gets(2, 0)), [2]);
    bench.pass(20);
    assert_eq!((bench.announces(1), bench.announces(2)), (Vec::from([(2, 2)]), Vec::new()));
    bench.trees.on_graft(conn(1), Some(stream(9)), [(2, 3)].into_iter(), &mut bench.out);
    let out = core::mem::take(&mut bench.out);
    assert_eq!(pushed(&out), [1]);
    assert!(matches!(out.last(), Some(Order::Gone { seqs: (3, 3), .. })), "{out:?}");
    assert_eq!(pushed(&bench.gets(3, 0)), [1, 2]);
}

#[test]
fn what_is_announced_and_does_not_come_is_asked_for() {
    let mut bench = Bench::new(3);
    bench.gets(1, 0);
    bench.hears_of(2, 1);
    bench.pass(299);
    assert!(bench.tends().is_empty());
    bench.pass(1);
    let orders = bench.tends();
    assert_eq!(grafted(&orders), [(1, false)]);
    assert!(matches!(orders.last(), Some(Order::Ping { conn }) if conn.slot() == 0), "{orders:?}");
    assert_eq!((bench.gets(2, 1).len(), bench.parent()), (2, Some(1)), "it proved itself");
}

#[test]
fn a_stream_known_by_announcement_alone_grafts_the_shared_tree_too() {
    let mut bench = Bench::new(2);
    bench.trees.on_prune(conn(1), None);
    bench.hears_of(1, 1);
    bench.pass(300);
    assert_eq!(grafted(&bench.tends()), [(1, false), (1, true)]);
}

#[test]
fn a_candidate_whose_copy_comes_second_is_pruned() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    bench.hears_of(2, 1);
    bench.pass(300);
    bench.tends();
    bench.gets(2, 0);
    assert_eq!(pruned(&bench.gets_again(2, 1)), [(1, false)]);
    assert_eq!(bench.parent(), Some(0));
}

#[test]
fn a_candidate_that_was_first_before_it_was_one_is_not_pruned_for_it() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    bench.gets(2, 1);
    bench.hears_of(3, 1);
    bench.pass(300);
    assert_eq!(grafted(&bench.tends()), [(1, false)]);
    assert_eq!(pruned(&bench.gets_again(2, 0)), [], "it would be our parent and push nothing");
    bench.gets(4, 1);
    assert_eq!(bench.parent(), Some(1));
    assert_eq!(pruned(&bench.gets_again(4, 0)), [(0, false)]);
}

/// A broadcast that link 1 announced long before link 0 brought it.
fn win(bench: &mut Bench, seq: u64) -> Vec<(usize, bool)> {
    bench.hears_of(seq, 1);
    bench.pass(200);
    grafted(&bench.gets(seq, 0))
}

#[test]
fn three_wins_running_graft_and_a_candidate_that_brings_nothing_is_banned() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    // A race is over when the next begins.
    assert!((2..5).all(|seq| win(&mut bench, seq).is_empty()));
    assert_eq!(win(&mut bench, 5), [(1, false)]);
    for seq in 6..20 {
        assert_eq!(win(&mut bench, seq), [], "{seq}");
    }
    for seq in 20..23 {
        bench.pass(20_000);
        bench.gets(seq, 0);
    }
    let later: Vec<(usize, bool)> = (23..28).flat_map(|seq| win(&mut bench, seq)).collect();
    assert_eq!(later, [(1, false)]);
}

/// Link 0 brings it, and before or after that links 1 and 2 announce it, link 1 as the first.
fn a_race(bench: &mut Bench, seq: u64, is_after: bool) -> Vec<(usize, bool)> {
    let announce = |bench: &mut Bench, (link, hold)| {
        let (key, hold) = ((stream(9), seq), Duration::from_millis(hold));
        match is_after {
            true => bench.trees.announced_known(key, conn(link), hold, bench.now),
            false => assert!(bench.trees.announced_new(key, conn(link), hold, bench.now)),
        }
    };
    let mut orders = if is_after { bench.gets(seq, 0) } else { Vec::new() };
    bench.pass(20);
    [(1, 150), (2, 100)].into_iter().for_each(|who| announce(bench, who));
    if !is_after {
        orders = bench.gets(seq, 0);
    }
    bench.pass(200);
    grafted(&orders)
}

#[test]
fn a_banned_link_that_is_always_first_keeps_no_other_from_winning() {
    for is_after in [false, true] {
        let mut bench = Bench::new(3);
        bench.gets(1, 0);
        let grafts = (2..25).flat_map(|seq| a_race(&mut bench, seq, is_after));
        assert_eq!(grafts.collect::<Vec<_>>(), [(1, false), (2, false)], "{is_after}");
    }
}

#[test]
fn a_candidate_of_a_stream_that_speaks_rarely_has_its_time_when_it_speaks() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    let rare = |bench: &mut Bench, seq| {
        bench.pass(4_700);
        win(bench, seq)
    };
    assert_eq!((2..6).flat_map(|seq| rare(&mut bench, seq)).collect::<Vec<_>>(), [(1, false)]);
    bench.pass(20_000);
    bench.gets(6, 1);
    assert_eq!(bench.parent(), Some(1));
    assert_eq!(pruned(&bench.gets_again(6, 0)), [(0, false)]);
}

#[test]
fn a_stream_that_speaks_less_than_every_5_s_has_no_races() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    let rare = |bench: &mut Bench, seq| {
        bench.pass(4_801);
        win(bench, seq)
    };
    assert!((2..20).all(|seq| rare(&mut bench, seq).is_empty()));
}

#[test]
fn an_announcement_after_the_payload_wins_too_if_it_was_held_back() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    let late = |bench: &mut Bench, seq, hold| {
        bench.pass(1000);
        let orders = grafted(&bench.gets(seq, 0));
        bench.pass(50);
        let hold = Duration::from_millis(hold);
        bench.trees.announced_known((stream(9), seq), conn(1), hold, bench.now);
        orders
    };
    assert!((2..9).all(|seq| late(&mut bench, seq, 60).is_empty()), "10 ms are no margin");
    let orders: Vec<(usize, bool)> = (9..13).flat_map(|seq| late(&mut bench, seq, 120)).collect();
    assert_eq!(orders, [(1, false)]);
}

#[test]
fn streams_that_are_only_announced_or_asked_for_drive_out_no_tree() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    for number in 0..5000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        let made_up =
            (NodeId::from_random_bytes([high, low, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 1);
        bench.trees.on_graft(conn(1), Some(made_up), [(1, 1)].into_iter(), &mut bench.out);
        bench.trees.announced_new((made_up, 1), conn(1), Duration::ZERO, bench.now);
    }
    bench.pass(300);
    assert!(grafted(&bench.tends()).len() > 1000);
    assert_eq!(bench.trees.trees.len(), 1);
    assert_eq!(bench.trees.trees.get(&stream(9)).and_then(|tree| tree.parent), Some(0));
}

#[test]
fn wins_in_one_moment_are_one_win() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    (2..50).for_each(|seq| bench.hears_of(seq, 1));
    bench.pass(200);
    for seq in 2..50 {
        assert_eq!(grafted(&bench.gets(seq, 0)), [], "{seq}");
    }
}

#[test]
fn the_larger_id_waits_and_is_silent_about_what_the_other_announced() {
    let mut trees = Trees::new(&Limits::default());
    trees.link_up(conn(0), false, Instant::ZERO);
    trees.link_up(conn(1), true, Instant::ZERO);
    let mut bench = Bench { trees, now: Instant::ZERO, out: Vec::new() };
    bench.gets(1, 0);
    bench.trees.on_prune(conn(1), Some(stream(9)));
    bench.gets(2, 0);
    bench.gets(3, 0);
    bench.pass(20);
    assert_eq!(bench.announces(1), []);
    let hold = Duration::from_millis(20);
    bench.trees.announced_known((stream(9), 2), conn(1), hold, bench.now);
    bench.pass(100);
    assert_eq!(bench.announces(1), [(3, 3)]);
}

#[test]
fn what_had_to_be_asked_for_is_announced_at_once_by_the_larger_id_too() {
    let mut trees = Trees::new(&Limits::default());
    (0..3).for_each(|slot| trees.link_up(conn(slot), true, Instant::ZERO));
    let mut bench = Bench { trees, now: Instant::ZERO, out: Vec::new() };
    bench.gets(1, 0);
    bench.trees.on_prune(conn(1), Some(stream(9)));
    bench.hears_of(2, 2);
    bench.pass(300);
    bench.tends();
    bench.gets(2, 2);
    assert_eq!(bench.announces(1), [(2, 2)]);
    bench.hears_of(3, 0);
    bench.gets(3, 2);
    bench.pass(20);
    assert_eq!(bench.announces(1), [], "nobody was asked for this one");
}

#[test]
fn a_new_link_hears_what_is_kept() {
    let mut bench = Bench::new(1);
    (1..=5).for_each(|seq| drop(bench.gets(seq, 0)));
    bench.trees.link_up(conn(1), false, bench.now);
    bench.pass(20);
    assert_eq!(bench.announces(1), [(1, 5)]);
    assert!(pushed(&bench.gets(6, 0)).is_empty(), "a new link is lazy in a known stream");
}

#[test]
fn a_link_that_is_gone_or_suspect_is_nobodys_parent() {
    let mut bench = Bench::new(3);
    bench.gets(1, 0);
    bench.trees.suspect(conn(0), true);
    assert_eq!(bench.parent(), None);
    assert_eq!(pushed(&bench.gets(2, 1)), [2], "a suspect is not pushed to");
    bench.trees.suspect(conn(0), false);
    assert_eq!(pushed(&bench.gets(3, 1)), [0, 2]);
    bench.trees.link_down(conn(1), bench.now);
    assert_eq!((bench.parent(), pushed(&bench.gets(4, 2))), (None, Vec::from([0])));
}

#[test]
fn a_hole_counts_as_announced_by_who_brought_the_next() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    let hole = Some((2, 1000));
    let key = (stream(9), 1001);
    bench.trees.received(key, frame(1001), conn(0), hole, bench.now, &mut bench.out);
    bench.out.clear();
    bench.pass(300);
    let orders = bench.tends();
    let wanted = orders.iter().map(|order| match order {
        Order::Graft { want, .. } => want.as_slice(),
        Order::Push { .. } | Order::Prune { .. } | Order::Gone { .. } | Order::Ping { .. } => &[],
    });
    let wanted: Vec<&[(u64, u64)]> = wanted.collect();
    assert_eq!(wanted, [&[(745, 1000)]], "no more than 256");
    bench.trees.on_gone(conn(0), stream(9), (745, 1000));
    bench.pass(9_000);
    assert!(bench.tends().is_empty(), "who has it no longer is not asked again");
}

#[test]
fn a_publisher_whom_all_have_pruned_pushes_to_all_again() {
    let mut bench = Bench::new(3);
    (0..3).for_each(|link| bench.trees.on_prune(conn(link), None));
    assert_eq!(bench.publishes(1), [0, 1, 2]);
    (1..3).for_each(|link| bench.trees.on_prune(conn(link), Some(stream(5))));
    assert_eq!(bench.publishes(2), [0]);
    bench.trees.on_prune(conn(0), Some(stream(5)));
    assert_eq!(bench.publishes(3), [0, 1, 2]);
}

#[test]
fn what_did_not_fit_a_queue_is_announced() {
    let mut bench = Bench::new(2);
    bench.gets(1, 0);
    bench.trees.not_pushed((stream(9), 1), conn(1), bench.now);
    bench.pass(20);
    assert_eq!(bench.announces(1), [(1, 1)]);
    bench.trees.postpone(conn(1), bench.now);
    bench.pass(20);
    assert_eq!(bench.announces(1), [], "told once");
}

#[test]
fn what_a_queue_lost_is_announced_though_later_ones_were() {
    let mut bench = Bench::new(2);
    (1..=3).for_each(|seq| drop(bench.gets(seq, 0)));
    bench.pass(20);
    assert_eq!(bench.announces(1), []);
    bench.trees.not_pushed((stream(9), 2), conn(1), bench.now);
    bench.pass(20);
    assert_eq!(bench.announces(1), [(2, 2)]);
}

#[test]
fn a_stream_that_was_quiet_begins_anew_with_the_shared_tree() {
    let mut bench = Bench::new(3);
    bench.gets(1, 0);
    bench.trees.on_prune(conn(1), Some(stream(9)));
    bench.pass(24_999);
    assert_eq!(pushed(&bench.gets(2, 0)), [2]);
    bench.pass(25_000);
    assert_eq!(pushed(&bench.gets(3, 1)), [0, 2]);
    assert_eq!((bench.parent(), bench.trees.order.len()), (Some(1), 1));
    assert_eq!(pruned(&bench.gets_again(3, 2)), [(2, false), (2, true)], "a first one again");
    bench.pass(25_000);
    bench.hears_of(4, 2);
    bench.pass(300);
    assert_eq!(grafted(&bench.tends()), [(2, false), (2, true)], "and so is the next");
}

#[test]
fn for_a_link_of_the_shared_tree_that_goes_the_two_nearest_are_put_in() {
    let mut bench = Bench::new(5);
    for (link, millis) in [(1, 30), (2, 10), (3, 20), (4, 1)] {
        bench.trees.measured(conn(link), Duration::from_millis(millis));
        bench.trees.on_prune(conn(link), None);
    }
    bench.trees.suspect(conn(4), true);
    bench.gets(1, 0);
    bench.trees.link_down(conn(0), bench.now);
    assert_eq!(bench.trees.next_deadline(), Some(bench.now + Duration::from_millis(20)));
    bench.pass(20);
    assert_eq!(grafted(&bench.tends()), [(2, true), (3, true)]);
    assert_eq!(bench.publishes(1), [2, 3], "our own bits are set, too");
}

#[test]
fn a_link_that_was_sooner_at_three_first_broadcasts_is_put_into_the_shared_tree() {
    let mut bench = Bench::new(2);
    bench.trees.on_prune(conn(1), None);
    let mut first = |number: u8| {
        let key = (stream(number), 1);
        bench.trees.announced_new(key, conn(1), Duration::ZERO, bench.now);
        bench.pass(200);
        bench.trees.received(key, frame(1), conn(0), None, bench.now, &mut bench.out);
        grafted(&core::mem::take(&mut bench.out))
    };
    // A race is over when the next begins.
    assert_eq!((1..4).flat_map(&mut first).collect::<Vec<_>>(), []);
    assert_eq!((first(4), first(5)), (Vec::from([(1, true)]), Vec::new()));
    bench.pass(1000);
    assert_eq!(bench.publishes(1), [0, 1]);
}
