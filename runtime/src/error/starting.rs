//! Why a node did not start, and why its book was not saved: what the system refused.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use peerline_proto::ConfigError;

use super::CommandError;

with_command_errors!(SaveError);

/// Why the address book was not saved.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `NoBook` | the caller's: the node was given no file | no | no |
/// | `Write` | the file system's | no: the file is as it was | when there is room, say |
/// | `Busy`, `Stopped`, `WouldDeadlock` | see [`CommandError`] | | |
#[derive(Debug)]
#[non_exhaustive]
pub enum SaveError {
    /// The node has no file for its book.
    NoBook,
    /// The file could not be written.
    Write(io::Error),
    /// Too many commands wait for the driver, or too many callers for a save.
    Busy {
        /// What waits, in words.
        what: &'static str,
        /// How many wait.
        waiting: usize,
        /// How many may.
        limit: usize,
    },
    /// The node has ended, or is about to.
    Stopped,
    /// Waiting here would wait for ever.
    WouldDeadlock,
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBook => f.write_str("the node has no file for its address book"),
            Self::Write(error) => write!(f, "cannot write the address book: {error}"),
            &Self::Busy { what, waiting, limit } => {
                CommandError::Busy { what, waiting, limit }.fmt(f)
            }
            Self::Stopped => CommandError::Stopped.fmt(f),
            Self::WouldDeadlock => CommandError::WouldDeadlock.fmt(f),
        }
    }
}

impl Error for SaveError {}

/// Why a node did not start, or could not go on.
///
/// | variant | whose fault | state changed? | retry? |
/// |---|---|---|---|
/// | `Config`, `Address` | the caller's | no | with other settings |
/// | `Listen` | somebody else has the address, or it is not ours | no | later, or elsewhere |
/// | `Book` | the caller's: no such folder, or no right to read | no | with another path |
/// | `System` | the operating system's | no | later |
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A setting does not fit.
    Config(ConfigError),
    /// A text is no address to listen at.
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        error: io::Error,
    },
    /// We cannot listen there.
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The file of the address book cannot be read. One that is no book is no error.
    Book {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The system gave no randomness, thread or event queue.
    System(io::Error),
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Address { text, error } => write!(f, "{text:?} is no address: {error}"),
            Self::Listen { addr, error } => write!(f, "cannot listen at {addr}: {error}"),
            Self::Book { path, error } => {
                write!(f, "cannot read the address book {}: {error}", path.display())
            }
            Self::System(error) => error.fmt(f),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(_) => None,
            Self::Address { error, .. } | Self::Listen { error, .. } | Self::Book { error, .. } => {
                Some(error)
            }
            Self::System(error) => error.source(),
        }
    }
}
