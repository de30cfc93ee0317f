//! An API for this project's own tests and fuzz targets, without promise of stability.
//!
//! It shows parts that are private otherwise, and adds no behaviour.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Violation;
use crate::session::{self, PhaseName};
use crate::wire::framing::Framer;
use crate::wire::native::{self, MsgKind};

/// Reads one line as a node does: `Ok(None)` for an empty one, else the name of its kind and the
/// number of its fields that are unknown.
///
/// # Errors
/// The violation that would end the connection.
pub fn decode(line: &[u8]) -> Result<Option<(String, u32)>, Violation> {
    let text = native::text(line)?;
    if text.is_empty() {
        return Ok(None);
    }
    let decoded = native::decode(text)?;
    Ok(Some((kind_name(decoded.msg.kind()), decoded.unknown_fields)))
}

fn kind_name(kind: MsgKind) -> String {
    format!("{kind:?}").to_lowercase()
}

/// Cuts a stream into lines as a connection does.
#[derive(Clone, Debug, Default)]
pub struct Lines(Framer);

impl Lines {
    /// Feeds a piece of the stream and appends the whole lines to `lines`.
    ///
    /// # Errors
    /// The violation that would end the connection.
    pub fn feed(
        &mut self,
        mut piece: &[u8],
        limit: usize,
        lines: &mut Vec<Vec<u8>>,
    ) -> Result<(), Violation> {
        while let Some(line) = self.0.next(&mut piece, limit)? {
            lines.push(line.into_owned());
        }
        Ok(())
    }

    /// Bytes kept of an unfinished line.
    pub fn pending(&self) -> usize {
        self.0.pending()
    }
}

/// The table of states as Markdown: what becomes of which message in which phase.
pub fn state_table() -> String {
    let mut table = String::from("| |");
    for phase in PhaseName::ALL {
        table.push_str(&format!(" {phase:?} |"));
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(PhaseName::ALL.len()));
    for kind in MsgKind::ALL {
        table.push_str(&format!("\n| {} |", kind_name(kind)));
        for phase in PhaseName::ALL {
            table.push_str(&format!(" {:?} |", session::reception(phase, kind)));
        }
    }
    table.push('\n');
    table
}
