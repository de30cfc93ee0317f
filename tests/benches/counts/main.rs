//! Instructions that named workloads take, compared with a committed table.
//!
//! `cargo bench -p peerline-testkit --bench counts` runs each workload under callgrind and fails
//! when one takes 2 % more than the table says; `-- --bless` writes the table; names choose
//! workloads. Counts do not depend on what else the machine does, so they show what a clock
//! cannot. They do depend on the compiler, which the table names.
//!
//! Nodes lie in memory and are used through the public API. Only what stands in [`counted`] is
//! counted: not the set-up. `-- --once NAME` runs one workload without valgrind.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // fails loudly, as a test

mod workloads;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::{env, fs};

use workloads::{WORKLOADS, Workload};

/// More than this many per cent above the table is a fault.
const TOLERANCE: f64 = 2.0;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, name] = args.as_slice() {
        if flag == "--once" {
            return once(name);
        }
    }
    let (flags, names): (Vec<_>, Vec<_>) = args.into_iter().partition(|arg| arg.starts_with("--"));
    if flags.iter().any(|flag| flag != "--bless") {
        eprintln!("usage: counts [--bless] [--once] [NAME…]");
        return ExitCode::FAILURE;
    }
    let chosen = WORKLOADS
        .iter()
        .filter(|work| names.is_empty() || names.iter().any(|name| name == work.name));
    compare(chosen, !flags.is_empty())
}

fn once(name: &str) -> ExitCode {
    let Some(workload) = WORKLOADS.iter().find(|work| work.name == name) else {
        eprintln!("no workload is called {name}");
        return ExitCode::FAILURE;
    };
    let mut work = (workload.prepare)(workload.times);
    counted(&mut *work);
    ExitCode::SUCCESS
}

/// What callgrind counts: this function, and what it calls.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    black_box(()); // so that the call above is not the last thing, and stays inside
}

/// Counts, shows a table, and judges or writes it.
fn compare<'a>(chosen: impl Iterator<Item = &'a Workload>, bless: bool) -> ExitCode {
    let (before, of_compiler) = read_table();
    let compiler = compiler();
    if of_compiler.as_deref() != Some(&compiler) && !bless {
        println!("the table is of {}", of_compiler.as_deref().unwrap_or("nothing"));
        println!("this is {compiler}: differences may be the compiler's");
    }
    let mut table = before.clone();
    let mut faults = 0;
    println!("{:<18} {:>12} {:>12} {:>9}", "instructions for", "now", "table", "");
    for workload in chosen {
        let now = instructions(workload) / workload.times;
        let known = before.get(workload.name).copied();
        let more = known.map(|known| (now as f64 / known as f64 - 1.0) * 100.0);
        let bad = more.is_none_or(|more| more > TOLERANCE);
        faults += u32::from(bad);
        let shown = more.map_or_else(|| "new".into(), |more| format!("{more:+.2} %"));
        let mark = if bad && !bless { "  TOO MANY" } else { "" };
        let name = workload.name;
        println!("{name:<18} {now:>12} {:>12} {shown:>9}{mark}", known.unwrap_or_default());
        table.insert(name.to_owned(), now);
    }
    if bless {
        table.retain(|name, _| WORKLOADS.iter().any(|work| work.name == *name));
        write_table(&table, &compiler);
    }
    if faults == 0 || bless { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a workload under callgrind.
fn instructions(workload: &Workload) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg("--toggle-collect=counts::counted")
        .arg(env::current_exe().unwrap())
        .args(["--once", workload.name])
        .output()
        .unwrap_or_else(|error| panic!("valgrind must be installed (apt: valgrind): {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.lines().find_map(|line| line.split_once("Collected : ")?.1.parse().ok());
    match count {
        Some(count) if output.status.success() && count > 0 => count,
        _ => panic!("{} was not counted:\n{text}", workload.name),
    }
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

fn table_path() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "benches", "counts.txt"].iter().collect()
}

/// The committed counts by name, and the compiler they are of.
fn read_table() -> (BTreeMap<String, u64>, Option<String>) {
    let text = fs::read_to_string(table_path()).unwrap_or_default();
    let compiler = text.lines().find_map(|line| line.strip_prefix("# compiler: "));
    let rows = text.lines().filter_map(|line| {
        let (name, count) = line.split_once(' ')?;
        Some((name.to_owned(), count.trim().parse().ok()?))
    });
    (rows.collect(), compiler.map(str::to_owned))
}

fn write_table(table: &BTreeMap<String, u64>, compiler: &str) {
    let mut text =
        String::from("# instructions of one step of each workload in counts/workloads.rs\n");
    text.push_str(&format!("# compiler: {compiler}\n"));
    for (name, count) in table {
        text.push_str(&format!("{name:<18} {count:>9}\n"));
    }
    fs::write(table_path(), text).unwrap();
}
