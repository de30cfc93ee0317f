//! Runs seeds of the simulator and prints what came of them: `swarm [count [first [hosts]]]`. With
//! `PEERLINE_TRACE` set it tells also what happened, of a run that failed or of one alone; with
//! `PEERLINE_KEYSPACE` set all networks route by keyspace, not a fifth of them.

use peerline_testkit::swarm::{Options, run};

fn main() {
    let mut args = std::env::args().skip(1).map_while(|arg| arg.parse::<u64>().ok());
    let (count, first) = (args.next().unwrap_or(256), args.next().unwrap_or(0));
    let mut options = Options::new(first, count);
    options.stop_at_failure = false;
    options.hosts = args.next().map(|hosts| hosts as usize);
    options.trace = std::env::var_os("PEERLINE_TRACE").is_some();
    options.keyspace = std::env::var_os("PEERLINE_KEYSPACE").is_some();
    let report = run(&options);
    let shown = report.failed.iter().chain(report.passed.iter().filter(|_| count == 1));
    for run in shown.filter(|run| !run.trace.is_empty()) {
        println!("{}", run.trace);
    }
    print!("{report}");
    println!("{}", report.summary());
    std::process::exit(i32::from(!report.failed.is_empty()));
}
