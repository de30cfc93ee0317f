//! How the program ends, and what it tells the shell.
//!
//! Decides the exit status. A reader of our output that went away is no error: whoever pipes us
//! into `head` has what they wanted.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// A problem that ends the program.
pub(crate) type Failure = Box<dyn Error>;

/// An end that is no problem of the program's own.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// All is done, or somebody asked for the end at the keyboard: status 0.
    Done,
    /// What was to be shown is not so: status 1.
    Failed,
    /// A signal of this number: status 128 and the number, as shells do.
    Signal(u8),
}

impl End {
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Signal(number) => 128_u8.saturating_add(number),
        }
    }
}

/// The exit status; a failure is told on stderr first.
pub(crate) fn exit_code(ended: Result<End, Failure>) -> ExitCode {
    match ended {
        Ok(end) => ExitCode::from(end.status()),
        Err(failure) if is_broken_pipe(failure.as_ref()) => ExitCode::SUCCESS,
        Err(failure) => {
            writeln!(io::stderr(), "peerline: {failure}").ok();
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(failure: &(dyn Error + 'static)) -> bool {
    failure.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_gives_the_status_that_shells_give() {
        assert_eq!(End::Signal(2).status(), 130);
        assert_eq!(End::Signal(15).status(), 143);
    }

    #[test]
    fn only_a_broken_pipe_is_a_quiet_end() {
        let pipe: Failure = Box::new(io::Error::from(io::ErrorKind::BrokenPipe));
        let other: Failure = Box::new(io::Error::from(io::ErrorKind::NotFound));
        assert!(is_broken_pipe(pipe.as_ref()));
        assert!(!is_broken_pipe(other.as_ref()));
    }
}
