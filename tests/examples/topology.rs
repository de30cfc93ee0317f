//! Prints who finds whom: `topology [NODES [SEEDS [SCENARIO]]]`, the scenario one of `crowd`,
//! `halves`, `anew`, `mute`, `flood`, `siege`, `groups`, `holes` and `restless`, else all.
//!
//! In a build with `--cfg peerline_planted` each part of the overlay is left out in turn, so that
//! one sees what it is good for; there SCENARIO may be `PART`, the part's name.

use std::time::{Duration, Instant};

use peerline_proto::Config;
use peerline_testkit::quality::topology;

/// The settings, and the name of what is left out of them.
#[cfg(not(peerline_planted))]
fn settings() -> Vec<(String, Config)> {
    vec![("everything".to_owned(), Config::default())]
}

#[cfg(peerline_planted)]
#[allow(clippy::expect_used)] // bounds that cannot be wrong
fn settings() -> Vec<(String, Config)> {
    let left_out = |bug: Option<peerline_proto::Bug>| {
        let mut limits = Config::default().limits().clone();
        limits.planted = bug;
        let name = bug.map_or_else(|| "everything".to_owned(), |bug| format!("{bug:?}"));
        (name, Config::builder().limits(limits).build().expect("the usual bounds"))
    };
    let parts = peerline_proto::Bug::PARTS.into_iter().map(Some);
    std::iter::once(None).chain(parts).map(left_out).collect()
}

/// Which parts of the overlay a scenario is about.
fn concerns(scenario: &str, part: &str) -> bool {
    let parts: &[&str] = match scenario {
        "crowd" => &["NoEviction"],
        "halves" => &["NoFeeler", "NoRotation"],
        "anew" => &["NoFeeler", "NoHoming"],
        "siege" => &["NoEviction", "NoNear", "NoNews", "NoOld", "NoDiscouragement"],
        "groups" => &["NoGroups"],
        "holes" => &["NoRotation"],
        _ => &[],
    };
    part == "everything" || parts.contains(&part)
}

fn main() {
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().and_then(|text| text.parse().ok()).unwrap_or(100);
    let seeds: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(3);
    let only = args.next();
    let scenarios =
        ["crowd", "halves", "anew", "mute", "flood", "siege", "groups", "holes", "restless"];
    for scenario in scenarios {
        if only.as_deref().is_some_and(|only| only != scenario) {
            continue;
        }
        println!("{scenario}, {count} nodes");
        for (part, config) in settings().into_iter().filter(|(part, _)| concerns(scenario, part)) {
            for seed in 1..=seeds {
                let began = Instant::now();
                let row = play(scenario, count, seed, &config);
                println!(
                    "  {part:<16} seed {seed}: {row} ({:.1} s)",
                    began.elapsed().as_secs_f64()
                );
            }
        }
    }
}

fn play(scenario: &str, count: usize, seed: u64, config: &Config) -> String {
    let shown = |whole: Option<Duration>| {
        whole.map_or_else(
            || "never".to_owned(),
            |after| format!("after {:.1} s", after.as_secs_f64()),
        )
    };
    match scenario {
        "crowd" => format!("{:?}", topology::crowd(count, seed, config)),
        "halves" => {
            let parted = Duration::from_secs(600);
            format!("one again {}", shown(topology::halves(count, seed, parted, config)))
        }
        "anew" => format!("back {}", shown(topology::bootstrap_anew(count, seed, config))),
        "mute" => format!("{:?}", topology::mute(count, 30, seed, config)),
        "flood" => format!("{:?}", topology::flood(count, seed, config)),
        "siege" => {
            let taken = topology::all_places_taken(seed, config);
            let [first, last] = [true, false].map(|first| topology::overrun(first, seed, config));
            let garbage = topology::garbage(seed, config);
            let rows = format!("taken {taken:?}\n    honest first {first:?}");
            format!("\n    {rows}\n    honest last {last:?}\n    garbage {garbage:?}\n   ")
        }
        "holes" => {
            let each = Duration::from_secs(1200);
            format!("deaf {:?}", topology::black_holes(40, each, seed, config))
        }
        "groups" => {
            let lasts = Duration::from_secs(1800);
            let (share, most, lost) = topology::two_networks(count, seed, lasts, config);
            format!(
                "{share:.0} % of what they opened is his; {most} have most with him, {lost} all"
            )
        }
        _ => {
            let (missed, wanted, rotated, evicted) =
                topology::restless(count, seed, Duration::from_secs(60));
            format!("missed {missed} of {wanted}; {rotated} rotated, {evicted} gave way")
        }
    }
}
