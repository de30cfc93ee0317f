//! Prints what becomes of lines for one node when part of the network is silently dead, and what
//! broadcasts cost beside: `route [NODES [SEED [LINES [DEAD]]]]`, DEAD a percentage, else 0, 20 and
//! 50 and then the broadcasts.

use std::time::{Duration, Instant};

use peerline_proto::Keyspace;
use peerline_testkit::quality::routes;

fn main() {
    let mut args = std::env::args().skip(1).filter_map(|text| text.parse::<usize>().ok());
    let count = args.next().unwrap_or(1000);
    let seed = args.next().unwrap_or(1) as u64;
    let lines = args.next().unwrap_or(1000);
    let only = args.next();
    let began = Instant::now();
    for dead in [0, 20, 50].into_iter().filter(|dead| only.is_none_or(|only| only == *dead)) {
        let mut net = routes::network(Keyspace::On, count, seed, Duration::from_secs(120));
        let links = routes::links(&mut net);
        routes::kill(&mut net, dead);
        println!("{count} nodes, {dead:2} % silently dead: {}", routes::write(&mut net, lines));
        println!("    {links:?} ({:.1} s)", began.elapsed().as_secs_f64());
    }
    for keyspace in [Keyspace::Off, Keyspace::On].into_iter().filter(|_| only.is_none()) {
        let mut net = routes::network(keyspace, count, seed, Duration::from_secs(120));
        println!("broadcasts, {keyspace:?}: {}", routes::broadcasts(&mut net, 100));
        println!("    {:?} ({:.1} s)", routes::links(&mut net), began.elapsed().as_secs_f64());
    }
}
