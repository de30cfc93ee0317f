//! For each planted bug: how many seeds it takes until its own rule is broken; then, how many
//! states the explorer visits until it meets the bug on two connections. Fails if one is missed.
//!
//! `RUSTFLAGS='--cfg peerline_planted' cargo run --profile sim --target-dir target/planted
//! -p peerline-testkit --example planted [MOST [FIRST [BUG]]]`: at most so many seeds for each bug,
//! by default 500, from seed FIRST on; BUG shows the other rules it broke.

#[cfg(peerline_planted)]
fn main() {
    use peerline_proto::Bug;
    use peerline_testkit::swarm::{explored, hunt};

    std::panic::set_hook(Box::new(|_| {})); // every failure here is expected, and told below
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|arg| arg.parse::<u64>().ok());
    let (most, first) = (number(0).unwrap_or(500), number(1).unwrap_or(0));
    let only = |bug: &Bug| args.get(2).is_none_or(|name| *name == format!("{bug:?}"));
    let mut missed = 0;
    println!("{:<20} {:<28} {:>6}", "bug", "its rule", "seeds");
    for bug in Bug::ALL.into_iter().filter(only) {
        let hunt = hunt(bug, first, most);
        println!("{hunt}");
        if hunt.seed.is_none() || args.len() > 2 {
            hunt.others.iter().for_each(|other| println!("    {other}"));
        }
        missed += usize::from(hunt.seed.is_none());
    }
    match explored(Bug::MutualKill, 250_000) {
        Some((name, states, what)) => println!("explored: {name:?}, {states} states: {what}"),
        None => missed += 1,
    }
    println!("{} planted, {missed} missed", Bug::ALL.len());
    std::process::exit(i32::from(missed > 0));
}

#[cfg(not(peerline_planted))]
fn main() {
    println!("no bugs are planted in this build; the first lines of this file say how");
}
