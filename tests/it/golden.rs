//! A committed run: a small network's whole life as text, which every build must repeat to the
//! byte.
//!
//! `PEERLINE_BLESS=1` writes it anew, for a reviewer to read what changed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use peerline_proto::Payload;
use peerline_testkit::net::{HostId, Net};

const SECOND: Duration = Duration::from_secs(1);

/// Three nodes meet through one, talk, lose one, and part.
fn small_network() -> String {
    let mut net = Net::new(2026);
    net.start_trace();
    let hosts: Vec<HostId> = (0..3).map(|_| net.add()).collect();
    for host in &hosts[1..] {
        net.bootstrap(*host, hosts[0]);
    }
    net.run_for(5 * SECOND);
    assert_eq!(net.broadcast(hosts[1], "NEWS", "to all \u{1f600}").queued, 2);
    let (to, body) = (net.id(hosts[2]), Payload::encode(&(1, "to one")).unwrap());
    net.with(hosts[0], |node, now| node.send(&to, "NOTE", &body, now)).unwrap();
    net.run_for(5 * SECOND);
    net.kill(hosts[2]);
    net.run_for(10 * SECOND);
    net.with(hosts[0], |node, now| node.shutdown(SECOND, now));
    net.run_for(5 * SECOND);
    net.trace().to_owned()
}

fn golden_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/small-network.txt"))
}

#[test]
fn golden_trace_of_a_small_network_is_the_committed_one() {
    let trace = small_network();
    if std::env::var_os("PEERLINE_BLESS").is_some() {
        fs::write(golden_file(), &trace).unwrap();
    }
    let committed = fs::read_to_string(golden_file()).unwrap();
    let differs = trace.lines().zip(committed.lines()).position(|(a, b)| a != b);
    assert_eq!(differs, None, "first line that differs");
    assert_eq!(trace.len(), committed.len());
}

#[test]
fn golden_trace_is_the_same_in_another_process() {
    let test = "golden::golden_trace_of_a_small_network_is_the_committed_one";
    let again = Command::new(std::env::current_exe().unwrap()).args(["--exact", test]).output();
    let output = again.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
