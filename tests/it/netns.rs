//! Nodes on hosts of their own, in network namespaces that the test makes: partitions, lost packets
//! and a plug that is pulled. Needs root, `ip` and `nft`; see `lab.rs` for leaving it out.

mod lab;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lab::{Host, Lab};

/// How long a test waits for what has no figure of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a host that is gone without a word may count as a peer.
const GONE_AFTER: Duration = Duration::from_secs(20);

#[test]
fn a_partition_is_noticed_and_heals() {
    let Some(mut lab) = Lab::new("a partition and its end") else { return };
    let [a, b, c] = lab.three();
    c.filter("ip saddr 10.77.0.0/24 counter drop");
    let since = Instant::now();
    a.wait_for_all("down", [&c.id]);
    b.wait_for_all("down", [&c.id]);
    c.wait_for_all("down", [&a.id, &b.id]);
    assert!(since.elapsed() <= GONE_AFTER, "{:?}", since.elapsed());
    // The two that still see each other go on as before.
    next_number(a, &b.id);
    next_number(b, &a.id);
    assert!(!a.has_said(&format!("down {}", b.id)) && !b.has_said(&format!("down {}", a.id)));

    c.filter("");
    a.wait_for_all("up", [&c.id]);
    b.wait_for_all("up", [&c.id]);
    c.wait_for_all("up", [&a.id, &b.id]);
    for (receiver, sender) in [(&mut *a, &c.id), (&mut *b, &c.id)] {
        next_number(receiver, sender);
    }
    next_number(c, &a.id);
}

#[test]
fn a_host_that_loses_a_third_of_what_it_is_sent_misses_nothing() {
    let Some(mut lab) = Lab::new("packets lost one way") else { return };
    let [a, b, c] = lab.three();
    c.filter("numgen random mod 100 < 30 counter drop");
    let first = next_number(c, &a.id) + 1;
    let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
    c.wait(PATIENCE, |line| {
        if let Some(number) = number(line, &a.id) {
            *seen.entry(number).or_default() += 1;
        }
        (first..first + 10).all(|number| seen.contains_key(&number))
    });
    assert!(seen.values().all(|count| *count == 1), "delivered twice: {seen:?}");
    assert!(!c.rules().contains("packets 0 "), "nothing was lost: {}", c.rules());
    // What it says itself is not lost, and nobody has given it up.
    next_number(a, &c.id);
    next_number(b, &c.id);
    for host in [a, b, c] {
        assert!(!host.has_said("down "), "a connection was given up");
    }
}

#[test]
fn a_host_that_vanishes_is_gone_within_twenty_seconds() {
    let Some(mut lab) = Lab::new("a host that vanishes") else { return };
    let [a, b, c] = lab.three();
    c.unplug();
    let since = Instant::now();
    a.wait_for_all("down", [&c.id]);
    b.wait_for_all("down", [&c.id]);
    assert!(since.elapsed() <= GONE_AFTER, "{:?}", since.elapsed());
    next_number(a, &b.id);
    assert!(!a.has_said(&format!("down {}", b.id)));
}

/// The number that a host gets next from this node.
fn next_number(host: &mut Host, from: &str) -> u64 {
    let line = host.wait(PATIENCE, |line| number(line, from).is_some());
    number(&line, from).unwrap()
}

/// The number in a line that tells of one from this node.
fn number(line: &str, from: &str) -> Option<u64> {
    line.strip_prefix("got ")?.strip_prefix(from)?.trim_start().parse().ok()
}
