//! A pseudo-terminal: somebody who types, and a transcript of everything that is shown.
//!
//! Decides nothing about programs. A thread reads whatever comes; who waits is woken by it, and
//! gives up with the whole transcript when that takes too long. The terminal is left as it comes
//! from the system: it echoes, and it turns Ctrl-C and Ctrl-D into what they mean.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Instant;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::PATIENCE;

/// A terminal as its user has it.
pub(super) struct Screen {
    keyboard: File,
    shown: Arc<Shown>,
    /// Bytes of the transcript that were waited for already.
    seen: usize,
}

#[derive(Default)]
struct Shown {
    transcript: Mutex<Transcript>,
    more: Condvar,
}

#[derive(Default)]
struct Transcript {
    bytes: Vec<u8>,
    /// Nobody has the terminal open any more.
    is_over: bool,
}

impl Screen {
    /// Starts a program with a new terminal, which is its controlling one.
    pub(super) fn start(program: &Command) -> (Self, Child) {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = || open(&name, flags, Mode::empty()).unwrap();
        // A new session, whose terminal this is: without one there is no Ctrl-C.
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        (Self::new(master), child)
    }

    fn new(master: OwnedFd) -> Self {
        let keyboard = File::from(master);
        let mut output = keyboard.try_clone().unwrap();
        let shown = Arc::new(Shown::default());
        let writer = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error is the end: the program closed its side.
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                writer.transcript.lock().unwrap().bytes.extend_from_slice(&buffer[..count]);
                writer.more.notify_all();
            }
            writer.transcript.lock().unwrap().is_over = true;
            writer.more.notify_all();
        });
        Self { keyboard, shown, seen: 0 }
    }

    /// Presses keys.
    pub(super) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line and the return key.
    pub(super) fn type_line(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Waits until this text is shown, after what was waited for before.
    #[track_caller]
    pub(super) fn wait_for(&mut self, text: &str) {
        let found = self.find(self.seen, text);
        let Some(at) = found else { panic!("{text:?} is not shown:\n{}", self.everything()) };
        self.seen = at + text.len();
    }

    /// Waits until this text is shown, and the end of its line; returns what stands between.
    #[track_caller]
    pub(super) fn seen_after(&mut self, text: &str) -> String {
        self.wait_for(text);
        let start = self.seen;
        self.wait_for("\r\n");
        let transcript = self.shown.transcript.lock().unwrap();
        String::from_utf8_lossy(&transcript.bytes[start..self.seen - 2]).into_owned()
    }

    /// Everything shown so far.
    pub(super) fn everything(&self) -> String {
        let transcript = self.shown.transcript.lock().unwrap();
        String::from_utf8_lossy(&transcript.bytes).into_owned()
    }

    /// Where the text is, once it is there.
    fn find(&self, from: usize, text: &str) -> Option<usize> {
        let deadline = Instant::now() + PATIENCE;
        let mut transcript = self.shown.transcript.lock().unwrap();
        loop {
            let place = |window: &[u8]| window == text.as_bytes();
            if let Some(at) = transcript.bytes[from..].windows(text.len()).position(place) {
                return Some(from + at);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if transcript.is_over || left.is_zero() {
                return None;
            }
            transcript = self.shown.more.wait_timeout(transcript, left).unwrap().0;
        }
    }
}
