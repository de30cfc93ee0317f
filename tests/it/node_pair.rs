//! A few nodes on virtual time: handshake, broadcasts, duplicates, keep-alive, limits, ends.

use std::time::Duration;

use peerline_testkit::net::Net;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_nodes_meet_and_talk_however_their_bytes_are_cut() {
    for seed in 0..50 {
        let mut net = Net::new(seed);
        let (a, b) = (net.add(), net.add());
        net.dial(a, b);
        assert!(net.run_until(SECOND, |net| net.are_peers(a, b)), "seed {seed}");
        assert_eq!(net.broadcast(a, "NEWS", "from a").queued, 1);
        assert_eq!(net.broadcast(b, "NEWS", "from b").queued, 1);
        net.run_for(SECOND);
        let got = |text: &str| [("NEWS".to_string(), format!("\"{text}\""))];
        assert_eq!(net.received(a), got("from b"), "seed {seed}");
        assert_eq!(net.received(b), got("from a"), "seed {seed}");
    }
}
