//! Everything a program of ours waits for, in one queue.
//!
//! Decides how much may wait: the queue is short, and who fills it waits. So a node whose events
//! are not taken stops reading its peers, as it should, and a pipe on stdin is read no faster
//! than its lines are said. Each source has a thread; the program itself is one plain loop.

use std::io::{self, BufRead, Read};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use peerline_mio::{Event, Handle};

use crate::signals;

/// Inputs that may wait. When full: their sources wait. 64: enough to work in batches.
const WAITING: usize = 64;

/// The longest line taken from stdin, bytes. A broadcast carries 256 KiB, and JSON may write a
/// byte as six: this many always fit.
const MOST_LINE: u64 = 40 * 1024;

/// Something happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// Our node tells.
    Event(Event),
    /// Our node has ended by itself.
    NodeEnded,
    /// A line was typed, without its end.
    Line(String),
    /// A line was typed that is too long, and was not kept.
    LongLine,
    /// Nothing more will be typed.
    Closed,
    /// A name was looked up.
    Found {
        /// What was looked up.
        name: String,
        /// Its addresses.
        addrs: io::Result<Vec<SocketAddr>>,
    },
    /// Work on another thread has a line to print, in which nothing is harmful.
    Said(String),
    /// What a transfer shows of itself, harmless too; nothing when it is over.
    Bar(Option<String>),
    /// A signal of this number.
    Signal(u8),
}

/// By which a source tells what happens.
#[derive(Clone, Debug)]
pub(crate) struct Teller(SyncSender<Input>);

/// Nobody listens any more.
#[derive(Debug)]
pub(crate) struct Unheard;

/// Whether somebody still listens.
pub(crate) type Told = Result<(), Unheard>;

impl Teller {
    /// Tells; waits while too much waits already.
    pub(crate) fn send(&self, input: Input) -> Told {
        self.0.send(input).map_err(|_| Unheard)
    }
}

/// The queue, and what feeds it.
pub(crate) struct Inbox {
    tell: Teller,
    inputs: Receiver<Input>,
}

impl Inbox {
    /// A queue that hears of signals and of a node's events.
    pub(crate) fn new(
        node: &Handle,
        events: Box<dyn Iterator<Item = Event> + Send>,
    ) -> io::Result<Self> {
        let (tell, inputs) = mpsc::sync_channel(WAITING);
        let tell = Teller(tell);
        signals::watch(tell.clone(), node.clone())?;
        let inbox = Self { tell, inputs };
        inbox.feed("events", move |tell| {
            for event in events {
                tell.send(Input::Event(event))?;
            }
            tell.send(Input::NodeEnded)
        })?;
        Ok(inbox)
    }

    /// Reads lines from stdin from now on.
    pub(crate) fn read_stdin(&self) -> io::Result<()> {
        self.feed("stdin", |tell| read_lines(io::stdin().lock(), tell))
    }

    /// Looks a name with a port up, which may take its time.
    pub(crate) fn look_up(&self, name: String) -> io::Result<()> {
        self.feed("resolve", move |tell| {
            let addrs = name.to_socket_addrs().map(Iterator::collect);
            tell.send(Input::Found { name, addrs })
        })
    }

    /// The next thing that happens.
    pub(crate) fn next(&self) -> Input {
        // Fails only without a sender, and we hold one.
        self.inputs.recv().unwrap_or(Input::NodeEnded)
    }

    /// Runs a source on a thread of its own, until it ends or nobody listens.
    pub(crate) fn feed<F>(&self, name: &str, source: F) -> io::Result<()>
    where
        F: FnOnce(&Teller) -> Told + Send + 'static,
    {
        let tell = self.tell.clone();
        thread::Builder::new().name(name.into()).spawn(move || source(&tell).ok())?;
        Ok(())
    }
}

/// Tells of each line, and of the end. An error is an end too: the terminal is gone.
fn read_lines(mut input: impl BufRead, tell: &Teller) -> Told {
    loop {
        let mut line = Vec::new();
        match input.by_ref().take(MOST_LINE).read_until(b'\n', &mut line) {
            Ok(1..) => {}
            Ok(0) | Err(_) => return tell.send(Input::Closed),
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < MOST_LINE;
        if !is_whole {
            // What is left of it goes nowhere; an error shows again at the next read.
            skip_line(&mut input).ok();
            tell.send(Input::LongLine)?;
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        tell.send(Input::Line(text.trim_end_matches(['\n', '\r']).to_owned()))?;
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let read = input.fill_buf()?;
        let end = read.iter().position(|byte| *byte == b'\n');
        let (count, is_over) = match end {
            Some(at) => (at + 1, true),
            None => (read.len(), read.is_empty()),
        };
        input.consume(count);
        if is_over {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    /// What `read_lines` makes of a text.
    fn inputs(text: &[u8]) -> Vec<String> {
        let (tell, inputs) = mpsc::sync_channel(100);
        read_lines(text, &Teller(tell)).unwrap();
        inputs
            .iter()
            .map(|input| match &input {
                Input::Line(line) if line.len() > 20 => format!("{} bytes", line.len()),
                Input::Line(line) => line.clone(),
                Input::LongLine => "long".into(),
                Input::Closed => "closed".into(),
                Input::Event(_)
                | Input::NodeEnded
                | Input::Found { .. }
                | Input::Said(_)
                | Input::Bar(_)
                | Input::Signal(_) => panic!("stdin says {input:?}"),
            })
            .collect()
    }

    #[test]
    fn lines_come_one_by_one_and_then_the_end() {
        assert_eq!(inputs(b"a\n\nb\r\nc"), ["a", "", "b", "c", "closed"]);
        assert_eq!(inputs(b""), ["closed"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(inputs(b"a\xffb\n"), ["a\u{fffd}b", "closed"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_and_forgotten() {
        let most = usize::try_from(MOST_LINE).unwrap();
        let line = |len: usize| [vec![b'x'; len], b"\nnext\n".to_vec()].concat();
        let fits = format!("{} bytes", most - 1);
        assert_eq!(inputs(&line(most - 1)), [&fits, "next", "closed"]);
        assert_eq!(inputs(&line(most)), ["long", "next", "closed"]);
        assert_eq!(inputs(&line(3 * most)), ["long", "next", "closed"]);
        assert_eq!(inputs(&vec![b'x'; 3 * most]), ["long", "closed"]);
    }
}
