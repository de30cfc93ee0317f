//! Prints the quality of the broadcast trees: `network [NODES [SEED [SCENARIO]]]`, the scenario one
//! of `everybody`, `some`, `bursts` and `crash`, else all.

use std::time::{Duration, Instant};

use peerline_testkit::quality::scenarios;

fn main() {
    let mut args = std::env::args().skip(1);
    let count = args.next().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let seed = args.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let only = args.next();
    let wants = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let began = Instant::now();
    let done = || println!("    ({:.1} s)", began.elapsed().as_secs_f64());
    if wants("everybody") {
        println!("everybody, once a second, {count} nodes");
        for figures in scenarios::everybody(count, 300, 3, seed, Duration::ZERO) {
            println!("  {figures}");
        }
        done();
    }
    if wants("some") {
        println!("20 senders, 120 each, {count} nodes");
        for figures in scenarios::some(count, 20, 120, seed, Duration::ZERO) {
            println!("  {figures}");
        }
        done();
    }
    if wants("bursts") {
        println!("bursts of 20 senders, jitter 15 ms, {count} nodes");
        for (figures, changes, unreached) in
            scenarios::bursts(count, 20, 5, seed, Duration::from_millis(15))
        {
            println!("  {figures}  changes {:.2} %  unreached {unreached}", changes * 100.0);
        }
        done();
    }
    if wants("crash") {
        for percent in [50, 70, 80, 90] {
            let [first, second] = scenarios::crash(count, percent, seed);
            println!("crash of {percent} %: first {first:?}, second {second:?}");
        }
        done();
    }
}
