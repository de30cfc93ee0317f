//! How fast a line is read, beside serde_json reading the same line in the same run.
//!
//! `cargo bench -p peerline-testkit --bench parser` times whole broadcast lines, from bytes to a
//! checked message. The other side is what one would write without a parser of one's own:
//! `str::from_utf8`, then `serde_json::from_str` into a flat struct of the fields, its body checked
//! but not taken apart. That does a little less than is asked of ours (a body's place, its depth,
//! fields that occur twice), so the ratio is rather too small.
//!
//! A word as argument chooses the rows that have it in their name.
//!
//! Both are timed in turns and the best turn counts: what else the machine does only adds. Before
//! the clock starts, an allocator that counts has seen that ours allocates nothing.

#![allow(clippy::unwrap_used, clippy::panic)] // fails loudly, as a test

use std::alloc::System;
use std::hint::black_box;
use std::time::{Duration, Instant};

use peerline_proto::testing::is_valid;
use serde::Deserialize;
use serde::de::IgnoredAny;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Turns of each side.
const TURNS: usize = 200;
/// Lines in one turn: less than a millisecond, so that some turn is likely to keep its core.
const LINES: u32 = 500;

/// What a broadcast says.
#[derive(Deserialize)]
struct Flat<'a> {
    msgtype: &'a str,
    originator: &'a str,
    epoch: u32,
    seq: u64,
    time: u64,
    kind: &'a str,
    msg: IgnoredAny,
}

/// A body, and how much faster than serde_json its line is to be read.
struct Case {
    name: &'static str,
    body: String,
    goal: f64,
}

fn main() {
    let deep = format!("{}1{}", "{\"a\":[".repeat(10), "]}".repeat(10));
    let row = format!("{{\"id\":12345,\"on\":true,\"of\":[1.5,null,\"x\"],\"deep\":{deep}}}");
    let cases = [
        Case { name: "string, 64 B", body: string(64), goal: 3.0 },
        Case { name: "string, 1 KiB", body: string(1024), goal: 3.0 },
        Case { name: "string, 16 KiB", body: string(16 * 1024), goal: 3.0 },
        Case {
            name: "1 KiB, an escape in 4 bytes",
            body: format!("\"{}\"", "a \\\"q\\\" \\n\\u00e4 ".repeat(60)),
            goal: 1.5,
        },
        Case {
            name: "1 KiB, 20 levels deep",
            body: format!("[{}]", [row.as_str(); 7].join(",")),
            goal: 1.5,
        },
    ];
    println!("{:<28} {:>10} {:>12} {:>7} {:>7}", "", "peerline", "serde_json", "ratio", "goal");
    let word = std::env::args().skip(1).find(|arg| !arg.starts_with("--")).unwrap_or_default();
    for case in cases.into_iter().filter(|case| case.name.contains(&word)) {
        let line = line(&case.body);
        without_allocation(&line);
        let (ours, theirs) = times(&line);
        let ratio = theirs / ours;
        let mark = if ratio < case.goal { "  MISSED" } else { "" };
        println!(
            "{:<28} {ours:>7.0} ns {theirs:>9.0} ns {ratio:>6.2}× {:>6.1}×{mark}",
            case.name, case.goal
        );
    }
}

fn string(len: usize) -> String {
    format!("\"{}\"", "x".repeat(len - 2))
}

fn line(body: &str) -> Vec<u8> {
    let line = format!(
        "{{\"msgtype\":\"broadcast\",\"originator\":\"67e55044-10b1-426f-9247-bb680e5fe0c8\",\
         \"epoch\":2871638122,\"seq\":48211,\"time\":1795233600123,\"kind\":\"NEWS\",\
         \"msg\":{body}}}\n"
    );
    line.into_bytes()
}

/// Fails if reading the line allocates.
fn without_allocation(line: &[u8]) {
    let region = Region::new(ALLOCATOR);
    let valid = is_valid(black_box(line));
    let change = region.change();
    assert!(valid, "the line is not valid");
    assert_eq!((change.allocations, change.reallocations), (0, 0), "reading a line allocated");
}

/// Nanoseconds of one line, ours and theirs.
fn times(line: &[u8]) -> (f64, f64) {
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..TURNS {
        ours = ours.min(turn(|| is_valid(black_box(line))));
        theirs = theirs.min(turn(|| by_serde(black_box(line))));
    }
    (ours.as_nanos() as f64 / f64::from(LINES), theirs.as_nanos() as f64 / f64::from(LINES))
}

fn turn(mut read: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    for _ in 0..LINES {
        assert!(read(), "a line was not taken");
    }
    start.elapsed()
}

fn by_serde(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else { return false };
    let Ok(flat) = serde_json::from_str::<Flat<'_>>(text) else { return false };
    let Flat { msgtype, originator, epoch, seq, time, kind, msg: IgnoredAny } = black_box(flat);
    msgtype == "broadcast"
        && !originator.is_empty()
        && epoch > 0
        && seq > 0
        && time > 0
        && !kind.is_empty()
}
