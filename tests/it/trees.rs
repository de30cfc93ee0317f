//! The quality of broadcast trees at a small size, with bounds so loose that only a broken tree is
//! outside them. The tables are printed by `--example network`.

use std::time::Duration;

use peerline_proto::Config;
use peerline_testkit::quality::Setup;
use peerline_testkit::quality::crashes::{crash, later, silence};
use peerline_testkit::quality::hostile::floods;
use peerline_testkit::quality::narrow::{boasters, careless, crossing, cut_off, judged};
use peerline_testkit::quality::scenarios::{bursts, everybody, some};

#[test]
fn broadcasts_of_everybody_reach_everybody_with_few_copies_too_many() {
    for figures in everybody(&Setup::new(60, 1), 60, 2) {
        assert_eq!(figures.missed, 0, "{figures}");
        assert!(figures.rmr <= 0.05 && figures.ldh <= 9.0, "{figures}");
        assert!(figures.worst <= Duration::from_millis(250), "{figures}");
        assert!(figures.control <= 0.8 * 1024.0, "{figures}");
    }
}

/// Somebody changes one link for another every 15 s.
#[test]
fn links_that_come_and_go_make_trees_no_worse() {
    for figures in everybody(&Setup::new(40, 1), 900, 3) {
        eprintln!("{figures}");
        assert_eq!(figures.missed, 0, "{figures}");
        assert!(figures.rmr <= 0.02 && figures.ldh <= 9.0, "{figures}");
        assert!(figures.last <= Duration::from_millis(150), "{figures}");
    }
}

#[test]
fn trees_of_some_senders_settle() {
    let [first, second] = some(&Setup::new(60, 1), 5, 30);
    assert_eq!(first.missed + second.missed, 0, "{first} {second}");
    assert!(second.rmr <= 0.02 && second.ldh <= 7.0, "{second}");
}

#[test]
fn bursts_with_jitter_leave_every_node_reachable_over_eager_links() {
    let rows = bursts(&Setup::new(60, 1).jittered(15), 5, 60, 3, false);
    for burst in &rows {
        assert!(burst.figures.missed == 0 && burst.figures.rmr <= 0.5, "{burst}");
        assert!(burst.changes <= 0.02, "{burst}");
    }
    let last = rows.last().expect("three bursts");
    assert!(last.figures.rmr <= 0.3 && last.unreached == 0, "{last}");
}

#[test]
fn what_a_crash_leaves_connected_is_reached_without_new_connections() {
    for seed in 1..4 {
        for reached in crash(&Setup::new(60, seed), 50) {
            assert!(reached.all() && reached.last <= Duration::from_secs(3), "{seed} {reached:?}");
        }
    }
}

#[test]
fn a_host_that_falls_silent_is_soon_nobodys_parent() {
    let (demoted, gone) = silence(&Setup::new(40, 1));
    assert!(demoted <= Duration::from_secs(5), "{demoted:?}");
    assert!(gone <= Duration::from_secs(20), "{gone:?}");
}

#[test]
fn those_that_a_crash_of_most_leaves_find_each_other_before_the_dead_are_closed() {
    for seed in 1..6 {
        let reached = later(&Setup::new(100, seed), 90, Duration::from_secs(20));
        assert!(reached.all() && reached.last <= Duration::from_secs(1), "{seed} {reached:?}");
    }
}

#[test]
fn floods_garbage_and_silence_keep_nothing_from_the_honest() {
    let figures = floods(&Setup::new(40, 1), 20);
    assert_eq!(figures.missed, 0, "{figures}");
}

#[test]
fn a_stream_that_speaks_rarely_settles_too() {
    // 40 broadcasts of each of ten nodes, 10 s between two of the same.
    let parts = everybody(&Setup::new(10, 1), 400, 4);
    let last = parts.last().expect("four parts");
    assert!(last.rmr <= 0.01, "{last}");
}

/// One of the honest has eight liars among its 17 neighbours, who all announce first.
#[test]
fn neighbours_that_boast_of_what_they_never_serve_keep_nothing_from_the_honest() {
    let figures = boasters(&Setup::new(100, 1), 40);
    assert_eq!(figures.missed, 0, "{figures}");
}

#[test]
fn first_words_that_cross_do_not_take_the_shared_tree_away() {
    let figures = crossing(&Setup::new(100, 1), 8);
    assert!(figures.missed == 0 && figures.rmr <= 0.01, "{figures}");
    assert!(figures.last <= Duration::from_millis(180), "{figures}");
}

#[test]
fn a_publisher_whose_only_link_went_pushes_to_the_others_at_once() {
    let figures = cut_off(&Setup::new(60, 1));
    assert!(figures.casts > 0 && figures.missed == 0, "{figures}");
    assert!(figures.last <= Duration::from_millis(650), "{figures}");
}

#[test]
fn a_stream_that_speaks_every_3_s_finds_better_parents() {
    let [_, second] = some(&Setup::new(60, 1), 30, 20);
    assert!(second.missed == 0 && second.rmr <= 0.03 && second.ldh <= 4.5, "{second}");
}

#[test]
fn what_all_lose_now_and_then_is_asked_for() {
    let figures = careless(&Setup::new(30, 1), 100);
    assert_eq!(figures.missed, 0, "{figures}");
}

#[test]
fn what_was_judged_is_not_pushed_to_who_has_it_by_then() {
    let mut setup = Setup::new(60, 1);
    setup.config = Config::builder().validate("Q").build().expect("the usual bounds");
    let figures = judged(&setup);
    assert!(figures.missed == 0 && figures.rmr <= 12.5, "{figures}");
}
