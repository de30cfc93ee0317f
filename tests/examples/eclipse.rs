//! Prints how often an attack on the address book takes all outbound connections of a victim that
//! restarts: `eclipse [SEEDS [HOURS]]`, 200 seeds and 5 hours unless told.

use peerline_testkit::eclipse::{Attack, Outcome, play};

fn main() {
    let mut args = std::env::args().skip(1);
    let seeds = args.next().and_then(|text| text.parse().ok()).unwrap_or(200_u32);
    let hours = args.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    println!(
        "| attackers | seeds | with anchors | without | of tried | of new | of 8 before | dials |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|");
    for addresses in [400, 4600] {
        let attack = Attack { addresses, hours };
        let played: Vec<Outcome> = (0..seeds).map(|seed| play(&attack, seed.into())).collect();
        let mean = |of: fn(&Outcome) -> f64| played.iter().map(of).sum::<f64>() / f64::from(seeds);
        let with = mean(|outcome| f64::from(u8::from(outcome.with_anchors)) * 100.0);
        let without = mean(|outcome| f64::from(u8::from(outcome.without)) * 100.0);
        let (tried, new) = (mean(|outcome| outcome.of_tried), mean(|outcome| outcome.of_new));
        let before = mean(|outcome| outcome.before as f64);
        let dials = mean(|outcome| outcome.dials.into());
        println!(
            "| {addresses} | {seeds} | {with:.1} % | {without:.1} % | {tried:.0} % | {new:.0} % \
             | {before:.1} | {dials:.0} |"
        );
    }
}
