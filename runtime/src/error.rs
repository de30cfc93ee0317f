//! What can go wrong with a command or a start: one flat enum for each.
//!
//! Decides how the node's own errors and the three that only a driver knows (`Busy`, `Stopped`,
//! `WouldDeadlock`) are put into one type, so that a caller matches once. It never hides which of
//! them it was. Each table says whose fault it is, whether anything changed, and whether trying
//! again helps.

use std::error::Error;
use std::fmt;

/// The three stand in the enum of each command that can fail otherwise too.
macro_rules! with_command_errors {
    ($($name:ident),*) => { $(
        impl From<CommandError> for $name {
            fn from(error: CommandError) -> Self {
                match error {
                    CommandError::Busy { what, waiting, limit } => {
                        Self::Busy { what, waiting, limit }
                    }
                    CommandError::Stopped => Self::Stopped,
                    CommandError::WouldDeadlock => Self::WouldDeadlock,
                }
            }
        }
    )* };
}

mod asking;
mod sending;
mod starting;

pub use asking::{ReplyError, RequestError};
pub use sending::{BroadcastError, DialError, SendError};
pub use starting::{SaveError, StartError};

/// Why a command that the node itself always takes was not done.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Busy` | the caller's: commands come faster than they are done | no | later |
/// | `Stopped` | nobody's: the node has ended | the command may have been done | no |
/// | `WouldDeadlock` | the caller's: waits on the driver's thread | done later | do not wait |
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CommandError {
    /// Too many commands wait for the driver.
    Busy {
        /// What waits, in words.
        what: &'static str,
        /// How many wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// The node ended before it answered.
    Stopped,
    /// Waiting here would wait for ever.
    WouldDeadlock,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { what, waiting, limit } => {
                write!(f, "{waiting} {what} wait; the limit is {limit}")
            }
            Self::Stopped => f.write_str("the node has stopped"),
            Self::WouldDeadlock => {
                f.write_str("waiting on the thread that drives the node would never end")
            }
        }
    }
}

impl Error for CommandError {}

#[cfg(test)]
mod tests {
    use super::{CommandError, ReplyError, SaveError};

    #[test]
    fn a_full_queue_says_what_waits_and_how_much_may() {
        let full = CommandError::Busy { what: "commands", waiting: 1024, limit: 1000 };
        let text = "1024 commands wait; the limit is 1000";
        assert_eq!(full.to_string(), text);
        assert_eq!(ReplyError::from(full).to_string(), text);
        assert_eq!(SaveError::from(full).to_string(), text);
    }
}
