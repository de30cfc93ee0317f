//! What was measured, as rows: the one form in which figures are kept, shown and judged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The least, the middle and the most of several runs.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
    pub(crate) runs: usize,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut all: Vec<f64> = values.into_iter().collect();
        all.sort_by(f64::total_cmp);
        let at = |index: usize| all.get(index).copied().unwrap_or(f64::NAN);
        let runs = all.len();
        Self { min: at(0), median: at(runs / 2), max: at(runs.saturating_sub(1)), runs }
    }
}

/// What a row is of: `two/1024`, `mio`, `rate`.
pub(crate) type Key = (String, String, String);

/// All figures of one run of the benchmark, and the remarks that go with them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) remarks: Vec<String>,
    rows: BTreeMap<Key, Spread>,
    order: Vec<Key>,
}

impl Rows {
    pub(crate) fn add(&mut self, test: &str, who: &str, figure: &str, spread: Spread) {
        let key = (test.to_owned(), who.to_owned(), figure.to_owned());
        if self.rows.insert(key.clone(), spread).is_none() {
            self.order.push(key);
        }
    }

    pub(crate) fn get(&self, test: &str, who: &str, figure: &str) -> Option<Spread> {
        self.rows.get(&(test.to_owned(), who.to_owned(), figure.to_owned())).copied()
    }

    /// The middle of a figure.
    pub(crate) fn median(&self, test: &str, who: &str, figure: &str) -> Option<f64> {
        self.get(test, who, figure).map(|spread| spread.median).filter(|value| value.is_finite())
    }

    pub(crate) fn tests(&self) -> Vec<String> {
        let mut tests: Vec<String> = Vec::new();
        for (test, _, _) in &self.order {
            if !tests.contains(test) {
                tests.push(test.clone());
            }
        }
        tests
    }

    /// Takes over the rows of another run that this one has not.
    pub(crate) fn fill_from(&mut self, other: &Self) {
        for key in &other.order {
            if !self.rows.contains_key(key) {
                self.add(&key.0, &key.1, &key.2, other.rows[key]);
            }
        }
    }

    /// The rows that this holds for.
    pub(crate) fn only(&self, keep: impl Fn(&Key) -> bool) -> Self {
        let mut rest = Self { remarks: self.remarks.clone(), ..Self::default() };
        for key in self.order.iter().filter(|key| keep(key)) {
            rest.add(&key.0, &key.1, &key.2, self.rows[key]);
        }
        rest
    }

    // ---- as a file

    pub(crate) fn to_csv(&self) -> String {
        let mut text: String = self.remarks.iter().map(|remark| format!("# {remark}\n")).collect();
        text.push_str("test,who,figure,min,median,max,runs\n");
        for key @ (test, who, figure) in &self.order {
            let Spread { min, median, max, runs } = self.rows[key];
            let numbers = [min, median, max].map(short).join(",");
            writeln!(text, "{test},{who},{figure},{numbers},{runs}").unwrap();
        }
        text
    }

    pub(crate) fn from_csv(text: &str) -> Self {
        let mut rows = Self::default();
        let remarks = text.lines().filter_map(|line| line.strip_prefix("# "));
        rows.remarks = remarks.map(str::to_owned).collect();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let cells: Vec<&str> = line.split(',').collect();
            let [test, who, figure, numbers @ ..] = cells.as_slice() else { continue };
            let numbers: Vec<f64> = numbers.iter().filter_map(|cell| cell.parse().ok()).collect();
            if let [min, median, max, runs] = numbers[..] {
                rows.add(test, who, figure, Spread { min, median, max, runs: runs as usize });
            }
        }
        rows
    }

    pub(crate) fn read(name: &str) -> Self {
        Self::from_csv(&fs::read_to_string(results().join(name)).unwrap_or_default())
    }

    pub(crate) fn write(&self, name: &str) {
        fs::write(results().join(name), self.to_csv()).unwrap();
    }
}

/// Where results are kept.
pub(crate) fn results() -> PathBuf {
    let at = env::var_os("PEERLINE_RESULTS").map(PathBuf::from);
    at.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results"))
}

/// Four digits are more than a busy machine can tell.
fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() || value.abs() >= 1e4 {
        return format!("{value:.0}");
    }
    let digits = (3 - value.abs().log10().floor() as i32).max(0) as usize;
    format!("{value:.digits$}")
}

/// The processor as the kernel names it.
pub(crate) fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = info.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let models: Vec<&str> = models.map(|(_, model)| model).collect();
    format!("{} × {}", models.len(), models.first().unwrap_or(&"unknown"))
}

/// Processes that wanted a core in the last minute, on average.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
