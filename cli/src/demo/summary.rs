//! The last page of the demonstration: a table, and one line that says whether all is well.
//!
//! Decides what counts as well: everybody found everybody, every message arrived exactly once
//! where it should and nowhere else, and the loss was noticed once by each who was left.

use std::fmt;

use super::ledger::{Count, Ledger};

/// What became of one node.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) runtime: &'static str,
    /// Nodes it found.
    pub(super) found: usize,
    /// Its broadcasts, messages and answers.
    pub(super) counts: [Count; 3],
    /// How often it noticed the loss; none for the one who was lost.
    pub(super) losses: Option<usize>,
}

/// Whether all is well, as a value that can be shown.
#[derive(Debug)]
pub(super) struct Verdict<'s> {
    /// The story was told to its end.
    pub(super) is_whole: bool,
    pub(super) rows: &'s [Row],
    pub(super) ledger: &'s Ledger,
}

impl Verdict<'_> {
    pub(super) fn is_good(&self) -> bool {
        self.is_whole && self.all_found() && self.all_noticed() && self.ledger.is_right()
    }

    fn all_found(&self) -> bool {
        self.rows.iter().all(|row| row.found + 1 == self.rows.len())
    }

    fn all_noticed(&self) -> bool {
        self.rows.iter().all(|row| row.losses.is_none_or(|losses| losses == 1))
    }

    fn faults(&self) -> Vec<String> {
        let total = self.ledger.total();
        let counts = [
            (total.missing(), "messages are missing"),
            (total.repeats, "arrivals are repeats"),
            (self.ledger.strays(), "messages arrived where they should not"),
        ];
        let counted = counts.into_iter().filter(|(count, _)| *count > 0);
        let mut faults: Vec<_> = counted.map(|(count, what)| format!("{count} {what}")).collect();
        for (holds, otherwise) in [
            (self.all_found(), "not everybody found everybody once"),
            (self.all_noticed(), "not everybody noticed the loss once"),
            (self.is_whole, "it took too long"),
        ] {
            faults.extend((!holds).then(|| otherwise.to_owned()));
        }
        faults
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_good() {
            let due = self.ledger.total().due;
            return write!(f, "OK: all {due} messages arrived exactly once where they should");
        }
        write!(f, "FAILED: {}", self.faults().join("; "))
    }
}

/// The table, a line for each node.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = line(
        ["node", "runtime", "found"],
        &["broadcasts", "messages", "answers"].map(String::from),
        "noticed the loss",
    );
    let others = rows.len().saturating_sub(1);
    for row in rows {
        let found = format!("{} of {others}", row.found);
        let noticed = match row.losses {
            None => "was lost".to_owned(),
            Some(0) => "no".to_owned(),
            Some(1) => "yes".to_owned(),
            Some(times) => format!("{times} times"),
        };
        table += &line([row.name, row.runtime, &found], &row.counts.map(cell), &noticed);
    }
    table
}

fn cell(count: Count) -> String {
    let repeats = match count.repeats {
        0 => String::new(),
        repeats => format!(" +{repeats}"),
    };
    format!("{} of {}{repeats}", count.arrived, count.due)
}

fn line(begin: [&str; 3], counts: &[String; 3], end: &str) -> String {
    let [name, runtime, found] = begin;
    let [news, notes, echoes] = counts;
    format!("  {name:6} {runtime:8} {found:7} {news:11} {notes:9} {echoes:9} {end}\n")
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Letter, Purpose};
    use super::*;

    const LETTER: Letter = Letter { purpose: Purpose::News, from: 0, number: 1 };

    fn rows() -> Vec<Row> {
        let row = |name, losses| Row {
            name,
            runtime: "mio",
            found: 1,
            counts: [Count { due: 9, arrived: 9, repeats: 0 }; 3],
            losses,
        };
        vec![row("anna", None), row("bert", Some(1))]
    }

    fn ledger(arrivals: &[usize]) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.expect(1, LETTER);
        for at in arrivals {
            ledger.arrived(*at, LETTER);
        }
        ledger
    }

    fn check(is_whole: bool, rows: &[Row], ledger: &Ledger, expected: &str) {
        let verdict = Verdict { is_whole, rows, ledger };
        assert_eq!(verdict.to_string(), expected);
        assert_eq!(verdict.is_good(), expected.starts_with("OK"));
    }

    #[test]
    fn all_is_well_or_the_fault_is_named() {
        let good = "OK: all 1 messages arrived exactly once where they should";
        check(true, &rows(), &ledger(&[1]), good);
        check(true, &rows(), &ledger(&[]), "FAILED: 1 messages are missing");
        check(true, &rows(), &ledger(&[1, 1]), "FAILED: 1 arrivals are repeats");
        let stray = "FAILED: 1 messages arrived where they should not";
        check(true, &rows(), &ledger(&[1, 0]), stray);
        check(false, &rows(), &ledger(&[1]), "FAILED: it took too long");
    }

    #[test]
    fn a_node_not_found_or_a_loss_not_noticed_is_a_fault() {
        let mut lonely = rows();
        for row in &mut lonely {
            row.found = 0;
        }
        check(true, &lonely, &ledger(&[1]), "FAILED: not everybody found everybody once");
        for losses in [0, 2] {
            let mut blind = rows();
            for row in &mut blind {
                row.losses = row.losses.map(|_| losses);
            }
            check(true, &blind, &ledger(&[1]), "FAILED: not everybody noticed the loss once");
        }
    }

    #[test]
    fn the_table_shows_what_arrived_of_what_was_due() {
        let mut rows = rows();
        for row in &mut rows {
            row.counts = [Count { due: 9, arrived: 8, repeats: 2 }; 3];
        }
        let table = table(&rows);
        assert_eq!(table.lines().count(), 3);
        assert!(table.contains("8 of 9 +2"), "{table}");
        assert!(table.contains("was lost"), "{table}");
    }
}
