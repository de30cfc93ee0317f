//! The quality of broadcast trees at a small size, with bounds so loose that only a broken tree is
//! outside them. The tables are printed by `--example network`.

use std::time::Duration;

use peerline_testkit::quality::scenarios::{bursts, crash, everybody, some};

#[test]
fn broadcasts_of_everybody_reach_everybody_with_few_copies_too_many() {
    for figures in everybody(40, 60, 2, 1, Duration::ZERO) {
        assert_eq!(figures.missed, 0, "{figures}");
        assert!(figures.rmr <= 0.2 && figures.ldh <= 9.0, "{figures}");
        assert!(figures.worst <= Duration::from_millis(600), "{figures}");
    }
}

#[test]
fn trees_of_some_senders_settle() {
    let halves = some(40, 5, 20, 1, Duration::ZERO);
    let last = halves.last().expect("two halves");
    assert_eq!(halves.iter().map(|half| half.missed).sum::<usize>(), 0, "{last}");
    assert!(last.rmr <= 0.1 && last.ldh <= 7.0, "{last}");
}

#[test]
fn bursts_with_jitter_leave_every_node_reachable_over_eager_links() {
    let rows = bursts(40, 5, 4, 1, Duration::from_millis(15));
    assert_eq!(rows.iter().map(|(figures, ..)| figures.missed).sum::<usize>(), 0);
    let (figures, changes, unreached) = rows.last().expect("four bursts");
    assert!(figures.rmr <= 0.3 && *changes <= 0.05, "{figures} {changes}");
    assert_eq!(*unreached, 0);
}

#[test]
fn half_of_a_network_dies_and_the_rest_is_reached() {
    for seed in 1..4 {
        for (got, component, took) in crash(40, 50, seed) {
            assert!(got >= component, "seed {seed}: {got} of {component} in {took:?}");
        }
    }
}
