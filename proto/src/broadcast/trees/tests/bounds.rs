//! The bounds of the trees: each condition from both sides.
#![allow(clippy::indexing_slicing)]

use super::*;

#[test]
fn a_new_link_is_told_soon_if_anything_is_kept() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.trees.next_deadline(), None);
    bench.gets(1, 0);
    bench.trees.link_up(conn(0), false, bench.now);
    let soon = bench.now + Duration::from_millis(20);
    assert!(bench.trees.next_deadline() > Some(soon), "it was there");
    bench.trees.link_up(conn(1), false, bench.now);
    assert_eq!(bench.trees.next_deadline(), Some(soon));
}

#[test]
fn a_new_link_hears_of_the_last_256_streams() {
    for (streams, expected) in [(255_u16, 255), (256, 256), (257, 256)] {
        let mut bench = Bench::new(1);
        for number in 0..streams {
            let mut id = [3; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            let key = ((NodeId::from_random_bytes(id), 1), 1);
            bench.trees.received(key, frame(1), conn(0), None, bench.now, &mut bench.out);
        }
        bench.trees.link_up(conn(1), false, bench.now);
        let told = (0..9).map(|_| {
            bench.pass(20);
            bench.announces(1).len()
        });
        assert_eq!(told.sum::<usize>(), expected, "{streams}");
    }
}

/// The parent and the candidate.
fn places(bench: &mut Bench) -> (Option<Index>, Option<Index>) {
    let tree = bench.trees.tree(stream(9));
    tree.map_or((None, None), |tree| (tree.parent, tree.candidate.map(|(link, _)| link)))
}

#[test]
fn who_becomes_suspect_loses_its_own_place_alone_and_once() {
    let mut bench = Bench::new(3);
    bench.gets(1, 0);
    bench.hears_of(2, 1);
    bench.pass(300);
    bench.tends();
    bench.trees.suspect(conn(2), true);
    bench.trees.suspect(conn(0), false);
    assert_eq!(places(&mut bench), (Some(0), Some(1)));
    bench.trees.suspect(conn(1), true);
    assert_eq!(places(&mut bench), (Some(0), None));
    bench.trees.suspect(conn(0), true);
    assert_eq!(places(&mut bench), (None, None));
    bench.gets(2, 0);
    bench.trees.suspect(conn(0), true);
    assert_eq!(places(&mut bench), (Some(0), None), "it was suspect already");
}

#[test]
fn patience_is_two_round_trips_and_the_hold_between_300_and_1000_ms() {
    for (round_trip, hold, expected) in
        [(None, 0, 300), (Some(149), 0, 300), (Some(200), 0, 400), (Some(200), 50, 450)]
            .into_iter()
            .chain([(Some(501), 0, 1000), (Some(100), 101, 301), (None, 2000, 1000)])
    {
        let mut bench = Bench::new(1);
        let measured = round_trip.map(Duration::from_millis);
        measured.into_iter().for_each(|time| bench.trees.measured(conn(0), time));
        let hold = Duration::from_millis(hold);
        assert!(bench.trees.announced_new((stream(9), 1), conn(0), hold, bench.now));
        let due = bench.now + Duration::from_millis(expected);
        assert_eq!(bench.trees.next_deadline(), Some(due), "{round_trip:?} {hold:?}");
    }
}

#[test]
fn a_link_is_better_by_a_quarter_of_its_round_trip_and_10_ms_at_least() {
    let mut bench = Bench::new(1);
    bench.pass(1000);
    for (round_trip, margin) in [(0, 10), (40, 10), (44, 11), (400, 100)] {
        bench.trees.measured(conn(0), Duration::from_millis(round_trip));
        let sooner = |trees: &Trees, millis| {
            trees.is_sooner(0, bench.now.earlier(Duration::from_millis(millis)), bench.now)
        };
        assert!(sooner(&bench.trees, margin) && !sooner(&bench.trees, margin - 1), "{margin}");
    }
    assert!(!bench.trees.is_sooner(1, Instant::ZERO, bench.now), "no link");
    bench.trees.suspect(conn(0), true);
    assert!(!bench.trees.is_sooner(0, Instant::ZERO, bench.now), "a suspect");
}

fn gone_of(orders: &[Order]) -> Vec<(u64, u64)> {
    let seqs = orders.iter().filter_map(|order| match order {
        Order::Gone { seqs, .. } => Some(*seqs),
        Order::Push { .. } | Order::Prune { .. } | Order::Graft { .. } | Order::Ping { .. } => None,
    });
    seqs.collect()
}

#[test]
fn one_graft_is_answered_for_512_numbers() {
    let asks = |want: &[(u64, u64)]| {
        let (mut bench, want) = (Bench::new(1), want.iter().copied());
        bench.trees.on_graft(conn(0), Some(stream(9)), want, &mut bench.out);
        assert_eq!(bench.trees.trees.len(), 0, "nothing is there");
        gone_of(&bench.out)
    };
    assert_eq!(asks(&[(1, 511)]), [(1, 511)]);
    assert_eq!(asks(&[(1, 1000)]), [(1, 512)]);
    assert_eq!(asks(&[(1, 500), (600, 700), (800, 900)]), [(1, 500), (600, 611)]);
    assert_eq!(asks(&[(1, 500), (9, 8), (600, 700)]), [(1, 500), (600, 611)], "that is none");
    let last = u64::MAX;
    assert_eq!(asks(&[(last, last)]), [(last, last)]);
    assert_eq!(asks(&[(last - 1, last), (1, 600)]), [(last - 1, last), (1, 510)]);
}

#[test]
fn the_highest_number_there_is_may_be_gone() {
    let (mut bench, last) = (Bench::new(1), u64::MAX);
    bench.hears_of(last, 0);
    bench.trees.on_gone(conn(0), stream(9), (last, last));
    bench.pass(300);
    assert!(bench.tends().is_empty());
}

#[test]
fn who_asks_for_a_stream_is_pushed_to_if_there_is_anything_of_it() {
    let mut bench = Bench::new(3);
    bench.gets(1, 0);
    (1..3).for_each(|link| bench.trees.on_prune(conn(link), Some(stream(9))));
    bench.trees.on_graft(conn(1), Some(stream(9)), [].into_iter(), &mut bench.out);
    assert_eq!(pushed(&bench.gets(2, 0)), [1], "the tree is enough");
    bench.trees.trees.remove(&stream(9));
    bench.trees.on_prune(conn(2), None);
    bench.trees.on_graft(conn(2), Some(stream(9)), [(2, 2)].into_iter(), &mut bench.out);
    bench.out.clear();
    assert_eq!(pushed(&bench.gets(3, 0)), [1, 2], "what is kept is enough");
}

#[test]
fn of_what_is_gone_512_numbers_count() {
    let mut bench = Bench::new(1);
    (512..514).for_each(|seq| bench.hears_of(seq, 0));
    bench.trees.on_gone(conn(0), stream(9), (1, 1000));
    bench.pass(300);
    let orders = bench.tends();
    let wanted = orders.iter().find_map(|order| match order {
        Order::Graft { want, .. } => Some(want.as_slice()),
        Order::Push { .. } | Order::Prune { .. } | Order::Gone { .. } | Order::Ping { .. } => None,
    });
    assert_eq!(wanted, Some([(513, 513)].as_slice()));
}

#[test]
fn a_publisher_that_only_suspects_would_hear_pushes_to_the_others() {
    let mut bench = Bench::new(3);
    bench.trees.suspect(conn(0), true);
    (1..3).for_each(|link| bench.trees.on_prune(conn(link), None));
    assert_eq!(bench.publishes(1), [1, 2]);
}

#[test]
fn a_publisher_learns_to_how_many_it_is_announced() {
    let mut bench = Bench::new(4);
    let publishes = |bench: &mut Bench, seq| {
        let key = (stream(5), seq);
        bench.trees.publish(key, frame(seq), bench.now, &mut bench.out)
    };
    assert_eq!(publishes(&mut bench, 1), 0);
    bench.trees.on_prune(conn(1), Some(stream(5)));
    assert_eq!(publishes(&mut bench, 2), 1);
    bench.trees.suspect(conn(2), true);
    assert_eq!(publishes(&mut bench, 3), 2);
}

#[test]
fn the_tree_that_was_used_longest_ago_gives_way() {
    let mut trees = Trees::new(&Limits { streams: 2, ..Limits::default() });
    trees.link_up(conn(0), false, Instant::ZERO);
    let mut heard = |number| {
        let (key, out) = ((stream(number), 1), &mut Vec::new());
        trees.received(key, frame(1), conn(0), None, Instant::ZERO, out);
        let all = (1..9).filter(|number| trees.trees.contains_key(&stream(*number)));
        assert_eq!(trees.order.len(), trees.trees.len());
        all.collect::<Vec<_>>()
    };
    assert_eq!([heard(1), heard(2)], [Vec::from([1]), Vec::from([1, 2])]);
    assert_eq!([heard(1), heard(3)], [Vec::from([1, 2]), Vec::from([1, 3])]);
    assert_eq!(heard(4), [3, 4]);
}

#[test]
fn of_two_that_bring_the_same_who_is_not_the_parent_is_pruned() {
    let mut bench = Bench::new(3);
    bench.gets(1, 0);
    bench.gets(2, 1);
    assert_eq!(pruned(&bench.gets_again(2, 1)), [], "it repeats itself");
    assert_eq!(pruned(&bench.gets_again(2, 0)), [(1, false)], "the parent was late");
    assert_eq!(pruned(&bench.gets_again(2, 2)), [(2, false)]);
    assert_eq!(pruned(&bench.gets_again(7, 2)), [], "nobody has it");
}
