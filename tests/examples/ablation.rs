//! Each rule of the broadcast trees, with it and without: the figures of a run made to show it.
//!
//! `RUSTFLAGS='--cfg peerline_planted' cargo run --profile sim --target-dir target/planted
//! -p peerline-testkit --example ablation [SIZE [RULE [SEEDS]]]`: so many nodes, 200 by
//! default; one seed.

#[cfg(peerline_planted)]
fn main() {
    use peerline_proto::TreeRule;
    use peerline_testkit::quality::ablation::run;

    let args: Vec<String> = std::env::args().skip(1).collect();
    let size = args.first().and_then(|size| size.parse().ok()).unwrap_or(200);
    let seeds = args.get(2).and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    let wanted = |rule: &TreeRule| args.get(1).is_none_or(|name| *name == format!("{rule:?}"));
    for rule in TreeRule::ALL.into_iter().filter(wanted) {
        println!("{rule:?}");
        for seed in 1..=seeds {
            println!("    with     {}", run(rule, true, size, seed));
            println!("    without  {}", run(rule, false, size, seed));
        }
    }
}

#[cfg(not(peerline_planted))]
fn main() {
    println!("no rule can be left out in this build; the first lines of this file say how");
}
