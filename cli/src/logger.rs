//! Log lines on stderr.
//!
//! Decides which lines are shown: warnings and errors always, more with each `-v`. Text is escaped
//! whatever it is, since much of it came from peers. A stderr that is gone is no reason to fail.

use std::io::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

use crate::escape;

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && metadata.target().starts_with("peerline")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = escape::text(&record.args().to_string(), escape::MOST_TEXT);
            writeln!(io::stderr(), "{:5} {}: {text}", record.level(), record.target()).ok();
        }
    }

    fn flush(&self) {}
}

/// Starts logging; `verbosity` is how often `-v` was said.
pub(crate) fn start(verbosity: u8) {
    // Fails only if there is a logger already, and there is none.
    if log::set_boxed_logger(Box::new(Stderr)).is_ok() {
        log::set_max_level(level(verbosity));
    }
}

fn level(verbosity: u8) -> LevelFilter {
    match verbosity {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        3.. => LevelFilter::Trace,
    }
}
