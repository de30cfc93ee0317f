//! Figures as Markdown, and the block of `BENCHMARKS.md` that is made of them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::SIZES;
use crate::entrants::{ENTRANTS, Scene};
use crate::goals::{judge, word};
use crate::plot;
use crate::rows::{Rows, Spread, results};
use crate::workloads::WORKLOADS;

const BEGIN: &str = "<!-- made by `--bench speed -- --report`: begin -->\n";
const END: &str = "<!-- end -->\n";
const RUNTIMES: [&str; 2] = ["mio", "smol"];

/// The goals of one runtime.
pub(crate) fn goals(rows: &Rows, who: &str) -> String {
    let mut text = format!("| goal, {who} | wanted | measured | |\n|---|---|---|---|\n");
    for verdict in judge(rows, who) {
        let met = word(verdict.met);
        let (what, wanted, measured) = (verdict.text, verdict.wanted, verdict.measured);
        writeln!(text, "| {what} | {wanted} | {measured} | {met} |").unwrap();
    }
    text
}

/// Every table there are figures for.
pub(crate) fn all(rows: &Rows) -> String {
    let mut text = String::new();
    for scene in Scene::ALL {
        for size in SIZES {
            text.push_str(&stream(rows, scene, size));
        }
    }
    text.push_str(&trips(rows));
    text.push_str(&idle(rows));
    text.push_str(&core(rows));
    text
}

fn stream(rows: &Rows, scene: Scene, size: usize) -> String {
    let test = format!("{}/{size}", scene.word());
    let limit = rows.median(&test, "limit", "rate");
    let mut body = String::new();
    for entrant in ENTRANTS {
        let Some(rate) = rows.get(&test, entrant.word, "rate") else { continue };
        let median = |figure: &str| rows.median(&test, entrant.word, figure).unwrap_or(f64::NAN);
        let lost = rows.get(&test, entrant.word, "lost").map_or(f64::NAN, |lost| lost.max);
        let ratio = limit.map_or_else(String::new, |limit| format!("{:.3}", rate.median / limit));
        writeln!(
            body,
            "| {} | {} | {ratio} | {:.0} | {:.2} / {:.2} / {:.2} | {} |",
            entrant.name,
            thousands(rate),
            median("cpu-ns"),
            median("wall"),
            median("cpu-sender"),
            median("cpu-receivers"),
            if lost == 0.0 { "none".into() } else { format!("up to {lost:.0}") },
        )
        .unwrap();
    }
    let heads = "| | min | median | max | × limit | CPU ns each | wall / CPU s sender / \
                 receivers | lost |\n|---|---|---|---|---|---|---|---|\n";
    let title = format!("#### {}, {size} B, thousand deliveries per second\n\n", scene.name());
    if body.is_empty() { body } else { format!("{title}{heads}{body}\n") }
}

fn thousands(rate: Spread) -> String {
    let [min, median, max] = [rate.min, rate.median, rate.max].map(|rate| {
        let digits = usize::from(rate < 1e5);
        format!("{:.digits$}", rate / 1e3)
    });
    format!("{min} | {median} | {max}")
}

fn trips(rows: &Rows) -> String {
    let mut text = String::from(
        "#### Round trips, both ends on one core, µs\n\n\
         | | p50 min | p50 | p50 max | p99 |\n|---|---|---|---|---|\n",
    );
    for (word, name) in [
        ("raw-mio", "raw echo on mio"),
        ("mio", "peerline on mio, from a handler"),
        ("raw-mio-hops", "raw echo on mio, two thread hops"),
        ("mio-hops", "peerline on mio, by a handle"),
        ("raw-smol", "raw echo on smol"),
        ("smol", "peerline on smol, from a handler"),
        ("raw-smol-hops", "raw echo on smol, two thread hops"),
        ("smol-hops", "peerline on smol, by a handle"),
    ] {
        let Some(Spread { min, median, max, .. }) = rows.get("trip/64", word, "p50-us") else {
            continue;
        };
        let p99 = rows.median("trip/64", word, "p99-us").unwrap_or(f64::NAN);
        writeln!(text, "| {name} | {min:.1} | {median:.1} | {max:.1} | {p99:.1} |").unwrap();
    }
    if rows.tests().iter().any(|test| test == "trip/64") { text + "\n" } else { String::new() }
}

fn idle(rows: &Rows) -> String {
    let mut text = String::from(
        "#### Many connections to one node\n\n\
         | | connections | bytes each | set up per second | CPU ns of a message beside them |\n\
         |---|---|---|---|---|\n",
    );
    let mut any = false;
    for test in rows.tests().iter().filter(|test| test.starts_with("idle/")) {
        for who in RUNTIMES {
            let Some(bytes) = rows.median(test, who, "bytes-each") else { continue };
            let figure = |figure| rows.median(test, who, figure).unwrap_or(f64::NAN);
            let (setups, message) = (figure("setups"), figure("message-ns"));
            let count = test.trim_start_matches("idle/");
            writeln!(text, "| {who} | {count} | {bytes:.0} | {setups:.0} | {message:.0} |")
                .unwrap();
            any = true;
        }
    }
    if any { text + "\n" } else { String::new() }
}

fn core(rows: &Rows) -> String {
    let mut text = String::new();
    if rows.median("core", "receive_64", "rate").is_some() {
        text.push_str("#### The node in memory, one core, thousand steps per second\n\n");
        text.push_str(
            "| a step, as for the instructions | min | median | max |\n|---|---|---|---|\n",
        );
        for workload in WORKLOADS {
            let Some(rate) = rows.get("core", workload.name, "rate") else { continue };
            writeln!(text, "| `{}` | {} |", workload.name, thousands(rate)).unwrap();
        }
        text.push('\n');
    }
    let rate = rows.median("sim/30", "core", "rate");
    if let Some((rate, times)) = rate.zip(rows.median("sim/30", "core", "times-real")) {
        writeln!(
            text,
            "The simulator, 30 nodes, every rule checked after every event: {:.0} thousand packets \
             and timers per second on one core, {times:.0} × real time.\n",
            rate / 1e3
        )
        .unwrap();
    }
    text
}

/// Writes the pictures, and the block of the document, from what is kept.
pub(crate) fn report() {
    let mut rows = Rows::read("mio.csv");
    rows.fill_from(&Rows::read("smol.csv"));
    rows.fill_from(&Rows::read("build.csv"));
    let mut text = String::from(BEGIN);
    for remark in &rows.remarks {
        writeln!(text, "{remark}.  ").unwrap();
    }
    for who in RUNTIMES {
        write!(text, "\n{}", goals(&rows, who)).unwrap();
    }
    for (name, picture) in plot::all(&rows) {
        fs::write(results().join(&name), picture).unwrap();
        let what = name.trim_end_matches(".svg");
        write!(text, "\n![{what}](tests/benches/results/{name})\n").unwrap();
    }
    write!(text, "\n{}{END}", all(&rows)).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../BENCHMARKS.md");
    let document = fs::read_to_string(&path).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the mark where the block begins");
    let (_, after) = rest.split_once(END).expect("the mark where it ends");
    fs::write(path, format!("{before}{text}{after}")).unwrap();
}
