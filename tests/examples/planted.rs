//! For each planted bug: which rule finds it, and how many seeds it takes. Built with
//! `RUSTFLAGS='--cfg peerline_planted' cargo run --profile sim --target-dir target/planted
//! -p peerline-testkit --example planted`.

#[cfg(peerline_planted)]
fn main() {
    use peerline_proto::Bug;
    use peerline_testkit::swarm::{Options, run};

    const MOST: u64 = 500;
    std::panic::set_hook(Box::new(|_| {})); // every failure here is expected, and told below
    let first = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(0);
    let mut missed = 0;
    println!("{:<20} {:<28} {:>6}", "bug", "rule", "seeds");
    for bug in Bug::ALL {
        let mut options = Options::new(first, MOST);
        options.planted = Some(bug);
        let report = run(&options);
        let caught = report.failed.first().and_then(|run| run.broken());
        let rule = caught.map_or("-", |rule| rule.name());
        missed += i32::from(caught.is_none());
        println!("{:<20} {rule:<28} {:>6}", format!("{bug:?}"), report.seeds);
    }
    std::process::exit(missed.min(1));
}

#[cfg(not(peerline_planted))]
fn main() {
    println!("no bugs are planted in this build; the first lines of this file say how");
}
