//! Ctrl-C and the polite kill.
//!
//! Decides that the node says bye and the program ends within a second of them, whatever else
//! hangs: a terminal that is stopped takes no output, and the program's loop may wait for it.
//! Elsewhere than on Unix the system ends the program by itself.

use std::io;

use peerline_mio::Handle;

use crate::inbox::{Input, Teller};

/// Tells of the signals from now on.
#[cfg(unix)]
pub(crate) fn watch(tell: Teller, node: Handle) -> io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};

    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let number = u8::try_from(signal).unwrap_or_default();
            insist(number, node.clone());
            if tell.send(Input::Signal(number)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// Ends the program if it has not ended by itself in time.
#[cfg(unix)]
fn insist(number: u8, node: Handle) {
    use crate::end::End;
    use crate::start;
    use std::process;
    use std::thread;
    use std::time::Duration;

    /// How long the program's loop may take to hear of the signal; the bye comes on top.
    const PATIENCE: Duration = Duration::from_millis(300);

    let wait = move || {
        thread::sleep(PATIENCE);
        start::stop(&node);
        process::exit(End::Signal(number).status().into())
    };
    if thread::Builder::new().spawn(wait).is_err() {
        // Without a thread to wait in there is no time to be polite.
        process::exit(End::Signal(number).status().into());
    }
}

/// Nothing is told: the system ends the program.
#[cfg(not(unix))]
pub(crate) fn watch(_tell: Teller, _node: Handle) -> io::Result<()> {
    Ok(())
}
