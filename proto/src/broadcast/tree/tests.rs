//! The tree of one stream by itself: each condition from both sides.

use super::*;
use crate::id::NodeId;
use crate::limits::Limits;
use alloc::vec::Vec;

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn rules() -> Rules {
    Limits::default().rules()
}

/// A race that began then, which link 3 could have won.
fn race(millis: u64) -> Race {
    let key = ((NodeId::from_random_bytes([9; 16]), 7), millis);
    Race { key, at: at(millis), best: Some((3, at(millis))) }
}

/// A stream that is spoken in: link 1 is the parent, and a race began at 1000 ms.
fn tree() -> Tree {
    let (parent, race) = (Some(1), Some(race(1000)));
    Tree { parent, race, heard: at(1000), ..Tree::default() }
}

#[test]
fn nothing_changes_while_the_parent_brings_a_burst_and_a_race_is_on() {
    let steady = |tree: &Tree, index, millis| tree.is_steady(index, rules(), at(millis));
    assert!(steady(&tree(), 1, 1000) && steady(&tree(), 1, 1199));
    assert!(!steady(&tree(), 1, 1200), "the race is over");
    assert!(!steady(&tree(), 2, 1000), "not the parent");
    let banned = [(1, (at(0), BANNED))].into_iter().collect();
    for (other, why) in [
        (Tree { parent: None, ..tree() }, "no parent"),
        (Tree { candidate: Some((2, None)), ..tree() }, "a candidate"),
        (Tree { banned, ..tree() }, "the next would end its ban"),
        (Tree { race: None, ..tree() }, "no race"),
    ] {
        assert!(!steady(&other, 1, 1000), "{why}");
    }
}

#[test]
fn a_link_is_pruned_once_in_5_s_and_anew_when_it_was_grafted() {
    let mut tree = tree();
    let prune = |tree: &mut Tree, index, millis| tree.prune(index, rules(), at(millis));
    assert!(prune(&mut tree, 2, 0) && !prune(&mut tree, 2, 10) && prune(&mut tree, 3, 10));
    tree.wanted_again(2);
    assert!(prune(&mut tree, 2, 20) && !prune(&mut tree, 3, 20));
    assert!(!prune(&mut tree, 2, 4999), "counted from the first");
    assert!(prune(&mut tree, 2, 5000) && prune(&mut tree, 3, 5000));
    assert!(!prune(&mut tree, 2, 9999) && prune(&mut tree, 2, 10_000));
}

#[test]
fn a_candidate_has_2_s_from_when_it_was_asked_or_the_stream_goes_on() {
    let mut tree = tree();
    tree.try_out(2, true, rules(), at(0));
    assert_eq!(tree.candidate, Some((2, Some(at(2000)))));
    tree.try_out(2, false, rules(), at(0));
    assert_eq!((tree.candidate, tree.parent), (Some((2, None)), Some(1)));
    tree.settle(at(60_000));
    assert_eq!(tree.candidate, Some((2, None)), "its time has not begun");
    tree.came_by(1, at(100));
    tree.came_by(1, at(200));
    assert_eq!(tree.candidate, Some((2, Some(at(2100)))), "begun once");
    tree.settle(at(2099));
    assert_eq!((tree.candidate.is_some(), tree.banned.len()), (true, 0));
    tree.settle(at(2100));
    assert_eq!((tree.candidate, tree.banned.len()), (None, 1));
}

#[test]
fn who_brings_it_first_is_the_parent_if_it_is_the_candidate_or_there_is_none() {
    let fresh = || Tree { wins: Some((3, 2)), ..tree() };
    let mut same = fresh();
    same.came_by(2, at(0));
    assert_eq!((same.parent, same.wins, same.race.is_some()), (Some(1), Some((3, 2)), true));
    let mut first = Tree { parent: None, ..fresh() };
    first.came_by(2, at(0));
    assert_eq!((first.parent, first.wins, first.race.is_some()), (Some(2), None, false));
    let mut proved = Tree { candidate: Some((2, None)), ..fresh() };
    proved.came_by(2, at(0));
    assert_eq!((proved.parent, proved.candidate, proved.wins), (Some(2), None, None));
    let mut other = Tree { candidate: Some((4, None)), parent: None, ..fresh() };
    other.came_by(2, at(0));
    assert_eq!((other.parent, other.candidate), (Some(2), Some((4, Some(at(2000))))));
}

/// Link `index` is the candidate and its time is over then.
fn fails(tree: &mut Tree, index: Index, millis: u64) {
    tree.candidate = Some((index, Some(at(millis))));
    tree.settle(at(millis));
}

#[test]
fn a_ban_doubles_until_the_link_brings_something() {
    let mut tree = tree();
    let free = |tree: &Tree, millis| tree.may_win(2, rules(), at(millis));
    assert!(free(&tree, 0));
    fails(&mut tree, 2, 0);
    assert!(!free(&tree, 59_999) && free(&tree, 60_000));
    assert!(tree.may_win(3, rules(), at(0)));
    fails(&mut tree, 2, 100_000);
    assert!(!free(&tree, 219_999) && free(&tree, 220_000));
    tree.came_by(3, at(100_000));
    assert!(!free(&tree, 100_000), "another brought it");
    tree.came_by(2, at(100_000));
    assert!(free(&tree, 100_000));
    fails(&mut tree, 2, 300_000);
    assert!(!free(&tree, 359_999) && free(&tree, 360_000), "as long as at first");
}

#[test]
fn eight_links_are_banned_and_who_would_be_free_first_goes() {
    let mut tree = tree();
    [5, 2, 3, 4, 6, 7, 8]
        .into_iter()
        .zip(0..)
        .for_each(|(link, when)| fails(&mut tree, link, when));
    fails(&mut tree, 9, 7);
    let banned = |tree: &Tree| tree.banned.keys().copied().collect::<Vec<_>>();
    assert_eq!(banned(&tree), [2, 3, 4, 5, 6, 7, 8, 9]);
    fails(&mut tree, 9, 8);
    assert_eq!(banned(&tree), [2, 3, 4, 5, 6, 7, 8, 9], "it was there");
    fails(&mut tree, 10, 9);
    assert_eq!(banned(&tree), [2, 3, 4, 6, 7, 8, 9, 10]);
}

#[test]
fn three_wins_running_are_enough_and_the_next_begins_anew() {
    let mut tree = Tree { race: None, ..tree() };
    let run = |tree: &mut Tree, seconds: u64| tree.race(race(seconds * 1000), rules());
    let won: Vec<_> = (1..=7).map(|seconds| run(&mut tree, seconds)).collect();
    assert_eq!(won, [None, None, None, Some(3), None, None, Some(3)]);
    assert_eq!(tree.wins, None);
    assert_eq!(tree.race(race(7199), rules()), None);
    assert_eq!(tree.race.map(|race| race.at), Some(at(7000)), "one is on");
    assert_eq!((tree.race(race(7200), rules()), tree.wins), (None, Some((3, 1))));
}

#[test]
fn a_win_of_nobody_another_the_parent_or_a_banned_link_breaks_the_row() {
    let two = || Tree { wins: Some((3, 2)), ..tree() };
    let count = |mut tree: Tree, winner| (tree.count_win(winner, rules(), at(0)), tree.wins);
    assert_eq!(count(two(), Some(3)), (Some(3), None));
    assert_eq!(count(two(), Some(4)), (None, Some((4, 1))));
    assert_eq!(count(two(), None), (None, None));
    assert_eq!(count(two(), Some(1)), (None, None), "the parent");
    let banned = [(3, (at(1), BANNED))].into_iter().collect();
    assert_eq!(count(Tree { banned, ..two() }, Some(3)), (None, None));
    let trying = Tree { candidate: Some((5, None)), ..two() };
    assert_eq!(count(trying, Some(3)), (None, Some((3, 2))), "one at a time");
}

#[test]
fn a_stream_that_is_rare_forgets_its_race_and_one_that_is_quiet_its_tree() {
    let mut tree = Tree { wins: Some((3, 2)), ..tree() };
    tree.hear(at(6000));
    assert!(!tree.is_rare && tree.race(race(6000), rules()).is_some());
    tree.wins = Some((3, 2));
    tree.hear(at(11_001));
    assert!(tree.is_rare);
    assert_eq!(tree.race(race(11_001), rules()), None);
    assert!(tree.race.is_none() && tree.wins.is_none());
    assert!(!tree.is_quiet(at(36_000)) && tree.is_quiet(at(36_001)));
}

#[test]
fn the_soonest_leads_a_race_and_of_two_at_once_the_first() {
    let mut race = Race { best: None, ..race(1000) };
    let mut lead = |index, could| {
        race.enter(index, at(could));
        race.best
    };
    assert_eq!(lead(4, 900), Some((4, at(900))));
    assert_eq!((lead(5, 900), lead(6, 901)), (Some((4, at(900))), Some((4, at(900)))));
    assert_eq!(lead(7, 899), Some((7, at(899))));
}

#[test]
fn a_link_that_is_gone_leaves_nothing_and_takes_nothing_of_others() {
    let full = || {
        let mut tree = Tree { candidate: Some((1, None)), wins: Some((1, 2)), ..tree() };
        tree.race = Some(Race { best: Some((1, at(0))), ..race(0) });
        tree.banned.insert(1, (at(0), BANNED));
        tree.eager.set(1);
        tree.pruned.set(1);
        tree
    };
    let has = |tree: &Tree| {
        let best = tree.race.as_ref().and_then(|race| race.best);
        let sets = [tree.eager.has(1), tree.pruned.has(1), tree.banned.contains_key(&1)];
        let places = [tree.parent.is_some(), tree.candidate.is_some(), tree.wins.is_some()];
        (sets, places, best.is_some())
    };
    let (mut own, mut other) = (full(), full());
    own.forget(1);
    assert_eq!(has(&own), ([false; 3], [false; 3], false));
    other.forget(2);
    assert_eq!(has(&other), ([true; 3], [true; 3], true));
}
