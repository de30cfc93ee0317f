//! What is to be reached, and whether it is.

use crate::rows::Rows;

/// One goal, for both runtimes.
pub(crate) struct Goal {
    pub(crate) text: &'static str,
    at_least: bool,
    /// For mio and for smol.
    wanted: [f64; 2],
    unit: &'static str,
    measure: fn(&Rows, &str) -> Option<f64>,
}

const GOALS: [Goal; 18] = [
    at_least("1 KiB between two nodes, × the limit", [0.60, 0.55], "×", |rows, who| {
        times(rows, "two/1024", who, &["limit"])
    }),
    at_least("the same, × gossipsub as it comes", [100.0, 90.0], "×", |rows, who| {
        times(rows, "two/1024", who, &["signed", "signed-free"])
    }),
    at_least("the same, × gossipsub anonymous", [40.0, 36.0], "×", |rows, who| {
        times(rows, "two/1024", who, &["anonymous", "anonymous-free", "plain"])
    }),
    at_least("the same, × iroh-gossip", [25.0, 22.0], "×", |rows, who| {
        times(rows, "two/1024", who, &["iroh", "iroh-free"])
    }),
    at_least("64 B between two nodes, × the limit", [0.20, 0.18], "×", |rows, who| {
        times(rows, "two/64", who, &["limit"])
    }),
    at_least("a line of 5, 1 KiB, × iroh-gossip", [12.0, 10.0], "×", |rows, who| {
        times(rows, "line/1024", who, &["iroh", "iroh-free"])
    }),
    at_least("a line of 5, 1 KiB, × gossipsub anonymous", [25.0, 20.0], "×", |rows, who| {
        times(rows, "line/1024", who, &["anonymous", "anonymous-free"])
    }),
    at_most("a mesh of 10, CPU per delivery, × the line's", [1.5, 1.5], "×", |rows, who| {
        let mesh = rows.median("mesh/1024", who, "cpu-ns")?;
        Some(mesh / rows.median("line/1024", who, "cpu-ns")?)
    }),
    at_least("a mesh of 10, 1 KiB, × iroh-gossip", [10.0, 9.0], "×", |rows, who| {
        times(rows, "mesh/1024", who, &["iroh", "iroh-free"])
    }),
    at_most("round trip from a handler, × a raw echo", [1.2, 1.2], "×", |rows, who| {
        let trip = rows.median("trip/64", who, "p50-us")?;
        Some(trip / rows.median("trip/64", &format!("raw-{who}"), "p50-us")?)
    }),
    at_most("round trip by a handle, × an echo with its hops", [1.2, 1.2], "×", |rows, who| {
        let trip = rows.median("trip/64", &format!("{who}-hops"), "p50-us")?;
        Some(trip / rows.median("trip/64", &format!("raw-{who}-hops"), "p50-us")?)
    }),
    at_most("memory of an idle connection, of 10,000", [1024.0, 2048.0], "B", |rows, who| {
        rows.median("idle/10000", who, "bytes-each")
    }),
    at_most("a message beside 10,000, × beside 64", [1.1, 1.1], "×", |rows, who| {
        let many = rows.median("idle/10000", who, "message-ns")?;
        Some(many / rows.median("idle/64", who, "message-ns")?)
    }),
    at_most("idle node with 64 peers, % of a core", [0.05, 0.05], "%", |rows, who| {
        rows.median("idle/64", who, "cpu-percent")
    }),
    at_most("clean release build of a chat, CPU seconds", [12.0, 25.0], "s", |rows, who| {
        rows.median("build", who, "cpu-s")
    }),
    at_most("packages in the tree", [24.0, 52.0], "", |rows, who| {
        rows.median("build", who, "packages")
    }),
    at_least("node in memory, 64 B, million messages/s", [1.0, 1.0], "M", |rows, _| {
        Some(rows.median("core", "receive_64", "rate")? / 1e6)
    }),
    at_least("simulator, 30 nodes, × real time", [1000.0, 1000.0], "×", |rows, _| {
        rows.median("sim/30", "core", "times-real")
    }),
];

const fn at_least(
    text: &'static str,
    wanted: [f64; 2],
    unit: &'static str,
    measure: fn(&Rows, &str) -> Option<f64>,
) -> Goal {
    Goal { text, at_least: true, wanted, unit, measure }
}

const fn at_most(
    text: &'static str,
    wanted: [f64; 2],
    unit: &'static str,
    measure: fn(&Rows, &str) -> Option<f64>,
) -> Goal {
    Goal { text, at_least: false, wanted, unit, measure }
}

/// How many times as much as the best of the others.
fn times(rows: &Rows, test: &str, who: &str, others: &[&str]) -> Option<f64> {
    let rates = others.iter().filter_map(|other| rows.median(test, other, "rate"));
    let best = rates.max_by(f64::total_cmp)?;
    Some(rows.median(test, who, "rate")? / best)
}

/// What came of one goal with one runtime.
pub(crate) struct Verdict {
    pub(crate) text: &'static str,
    pub(crate) wanted: String,
    pub(crate) measured: String,
    /// None if it was not measured.
    pub(crate) met: Option<bool>,
}

/// Every goal, judged by what was measured.
pub(crate) fn judge(rows: &Rows, who: &str) -> Vec<Verdict> {
    let verdict = |goal: &Goal| {
        let wanted = goal.wanted[usize::from(who != "mio")];
        let value = (goal.measure)(rows, who);
        let met = value.map(|value| if goal.at_least { value >= wanted } else { value <= wanted });
        let sign = if goal.at_least { "≥" } else { "≤" };
        let unit = goal.unit;
        Verdict {
            text: goal.text,
            wanted: format!("{sign} {wanted} {unit}").trim_end().to_owned(),
            measured: value.map_or_else(|| "not measured".into(), |value| figure(value, unit)),
            met,
        }
    };
    GOALS.iter().map(verdict).collect()
}

fn figure(value: f64, unit: &str) -> String {
    let digits = if value < 0.1 {
        3
    } else if value < 10.0 {
        2
    } else {
        0
    };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}

/// The word for a verdict.
pub(crate) fn word(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "not measured",
    }
}
