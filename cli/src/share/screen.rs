//! Where a sharer prints: lines to stdout, and under them the bar of a long transfer.
//!
//! Decides that the bar is seen only by people: it goes to stderr, and only if that is a terminal.
//! Before a line is printed it is wiped away, so that the two never share one.

use std::io::{self, IsTerminal, Write};

use crate::lines;

/// Places of the bar itself.
const WIDTH: usize = 20;

/// A screen, or two pipes.
#[derive(Debug)]
pub(super) struct Screen {
    is_watched: bool,
    bar: Option<String>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { is_watched: io::stderr().is_terminal(), bar: None }
    }

    /// Prints a line, or lines, of which every part from others has been escaped.
    pub(super) fn line(&mut self, line: &str) -> io::Result<()> {
        self.wipe();
        lines::print(line)?;
        self.draw();
        Ok(())
    }

    /// Shows a bar, escaped too, in the place of the last one; none for none.
    pub(super) fn bar(&mut self, bar: Option<String>) {
        self.wipe();
        self.bar = bar.filter(|_| self.is_watched);
        self.draw();
    }

    // A bar that cannot be shown is no reason to stop.

    fn wipe(&self) {
        if self.bar.is_some() {
            io::stderr().write_all(b"\r\x1b[K").ok();
        }
    }

    fn draw(&self) {
        if let Some(bar) = &self.bar {
            io::stderr().write_all(bar.as_bytes()).ok();
        }
    }
}

/// A bar for so many bytes of so many; of an unknown number only what has come, in so many seconds.
pub(super) fn bar(name: &str, (held, total): (usize, Option<usize>), seconds: u64) -> String {
    let size = |bytes: usize| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{name} {} in {seconds} s", size(held));
    };
    let share = |of: usize| held.min(total).saturating_mul(of) / total;
    let full = share(WIDTH);
    let (full, empty) = ("#".repeat(full), ".".repeat(WIDTH.saturating_sub(full)));
    format!("{name} [{full}{empty}] {}% of {}", share(100), size(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_from_the_left() {
        let mib = 1 << 20;
        for (held, expected) in [
            (0, "a [....................] 0% of 2.0 MiB"),
            (mib, "a [##########..........] 50% of 2.0 MiB"),
            (3 * mib, "a [####################] 100% of 2.0 MiB"),
        ] {
            assert_eq!(bar("a", (held, Some(2 * mib)), 1), expected);
        }
        assert_eq!(bar("a", (mib, None), 7), "a 1.0 MiB in 7 s");
        assert_eq!(bar("a", (0, Some(0)), 7), "a 0.0 MiB in 7 s");
        assert!(bar("a", (usize::MAX, Some(usize::MAX)), 1).starts_with("a ["));
    }
}
