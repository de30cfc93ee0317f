//! `peerline node`: a node without a screen, which obeys its standard input.
//!
//! Decides what each command does, and its answer: one line, `ok …` or `error …`, in the order of
//! the commands; only a join by name is answered later, when the name is looked up. Replies to
//! requests come later too, with the number that `ok` gave. stdout has answers and events only; the
//! rest goes to stderr. The end of stdin ends nothing.

mod command;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use peerline_mio::{Dialect, Event, Handle, NakCode, PeerId};
use serde_json::Value;

use crate::args::NodeArgs;
use crate::end::{End, Failure};
use crate::escape;
use crate::inbox::{Inbox, Input, Teller, Told};
use crate::lines;
use crate::start::{self, Started, Wishes};
use command::{Command, Who};

/// How long a request may take. A minute, as long as the framework's own peers wait.
const DEADLINE: Duration = Duration::from_secs(60);

/// Requests and names looked up at once, a thread each. When reached: the command is answered so.
/// 64, as many as may visit guests.
const MOST_WORK: usize = 64;

/// Runs a node until it is told to quit, or a signal ends it.
pub(crate) fn run(args: &NodeArgs) -> Result<End, Failure> {
    let wishes = Wishes::agent(args.agent.as_deref());
    let Started { handle, events } = start::start(&args.net, wishes)?;
    let inbox = Inbox::new(&handle, events)?;
    let mut notes = io::stderr();
    let runtime = args.net.runtime.name();
    writeln!(notes, "peerline node {} on {runtime}", handle.id()).ok();
    for addr in handle.local_addrs() {
        writeln!(notes, "listening at {addr}").ok();
    }
    if let Some(line) = start::how_to_join("chat", &args.net, handle.local_addrs()) {
        writeln!(notes, "to join: {line}").ok();
    }
    inbox.read_stdin()?;
    let ended = Obedient { handle: &handle, inbox, requests: 0, work: Arc::new(()) }.run();
    start::stop(&handle);
    ended
}

/// A node and who commands it.
struct Obedient<'h> {
    handle: &'h Handle,
    inbox: Inbox,
    /// Requests made, which numbers them.
    requests: u64,
    /// Held by each thread that works for a command.
    work: Arc<()>,
}

/// What a request is made of.
struct Ask {
    number: u64,
    to: Target,
    kind: String,
    body: Value,
}

/// Whom a request goes to.
enum Target {
    Peer(PeerId),
    /// A host and a port, which may have to be looked up.
    Place(String),
}

impl Obedient<'_> {
    fn run(&mut self) -> Result<End, Failure> {
        loop {
            let input = self.inbox.next();
            if let Some(end) = self.on_input(input)? {
                return Ok(end);
            }
        }
    }

    fn on_input(&mut self, input: Input) -> Result<Option<End>, Failure> {
        match input {
            Input::Event(event) => self.on_event(&event)?,
            Input::Line(line) => return self.on_line(&line),
            Input::LongLine => lines::print("error that line is too long")?,
            Input::Said(line) => lines::print(&line)?,
            Input::NodeEnded => return Err("the node has ended by itself".into()),
            Input::Signal(number) => return Ok(Some(End::Signal(number))),
            // The end of stdin is no end of ours; nobody asks for the others here.
            Input::Closed | Input::Found { .. } | Input::Bar(_) => {}
        }
        Ok(None)
    }

    fn on_line(&mut self, line: &str) -> Result<Option<End>, Failure> {
        let command = command::parse(line);
        let is_last = command == Ok(Command::Quit);
        if let Some(answer) = self.obey(command)? {
            lines::print(&answer)?;
        }
        Ok(is_last.then_some(End::Done))
    }

    fn on_event(&self, event: &Event) -> io::Result<()> {
        if let Event::Request(request) = event {
            // Nobody here could answer, and who asks need not wait to learn that.
            self.handle.responder(request).refuse(NakCode::NoHandler).detach();
        }
        lines::event(event).map_or(Ok(()), |line| lines::print(&line))
    }

    /// Carries a command out; the answer, unless it comes later.
    fn obey(&mut self, command: Result<Command<'_>, &str>) -> io::Result<Option<String>> {
        let handle = self.handle;
        Ok(Some(match command {
            Err(why) => format!("error {why}"),
            Ok(Command::Nothing) => return Ok(None),
            Ok(Command::Join { dialect, addr }) => return self.join(addr, dialect),
            Ok(Command::Broadcast { kind, body }) => match handle.broadcast(kind, &body).wait() {
                Ok(sent) => format!("ok {}", sent.offered()),
                Err(error) => failed(&error),
            },
            Ok(Command::Send { to, kind, body }) => self.send(to, kind, &body),
            Ok(Command::Request { to, kind, body }) => self.request(to, kind, body)?,
            Ok(Command::Peers) => lines::peers(handle),
            Ok(Command::Ask(who)) => self.about(who, |peer| handle.ask_for_peers(peer).wait()),
            Ok(Command::Forget(who)) => self.about(who, |peer| handle.forget(peer).wait()),
            Ok(Command::Live) => match handle.check_live().wait() {
                Ok(()) => "ok".to_owned(),
                Err(error) => failed(&error),
            },
            Ok(Command::Save) => match handle.save_book().wait() {
                Ok(()) => "ok".to_owned(),
                Err(error) => failed(&error),
            },
            Ok(Command::Quit) => "ok".to_owned(),
        }))
    }

    fn send(&self, to: &str, kind: &str, body: &Value) -> String {
        let peer = match lines::find(self.handle, to) {
            Ok(peer) => peer,
            Err(answer) => return answer,
        };
        match self.handle.send(peer, kind, body).wait() {
            Ok(()) => "ok".to_owned(),
            Err(error) => failed(&error),
        }
    }

    /// A command about one peer, which may turn out not to be known.
    fn about<E: std::fmt::Display>(
        &self,
        who: &str,
        verb: impl FnOnce(PeerId) -> Result<bool, E>,
    ) -> String {
        let peer = match lines::find(self.handle, who) {
            Ok(peer) => peer,
            Err(answer) => return answer,
        };
        let name = lines::name(&peer);
        match verb(peer) {
            Ok(true) => format!("ok {name}"),
            Ok(false) => format!("error {name} is not known"),
            Err(error) => failed(&error),
        }
    }

    fn join(&self, addr: &str, dialect: Dialect) -> io::Result<Option<String>> {
        if addr.parse::<SocketAddr>().is_ok() {
            return Ok(Some(lines::join(self.handle, addr, dialect)));
        }
        let (handle, addr) = (self.handle.clone(), addr.to_owned());
        self.work(move |tell| tell.send(Input::Said(lines::join(&handle, &addr, dialect))))
            .map(|taken| if taken { None } else { Some(too_much()) })
    }

    fn request(&mut self, to: Who<'_>, kind: &str, body: Value) -> io::Result<String> {
        let to = match to {
            Who::Place(addr) => Target::Place(addr.to_owned()),
            Who::Peer(who) => match lines::find(self.handle, who) {
                Ok(peer) => Target::Peer(peer),
                Err(answer) => return Ok(answer),
            },
        };
        let number = self.requests + 1;
        let (handle, kind) = (self.handle.clone(), kind.to_owned());
        // What it says is printed after this answer: the thread only tells this loop of it.
        if !self.work(move |tell| ask(&handle, Ask { number, to, kind, body }, tell))? {
            return Ok(too_much());
        }
        self.requests = number;
        Ok(format!("ok {number}"))
    }

    /// Works on another thread; false if too much is under way already.
    fn work(&self, work: impl FnOnce(&Teller) -> Told + Send + 'static) -> io::Result<bool> {
        if Arc::strong_count(&self.work) > MOST_WORK {
            return Ok(false);
        }
        let held = Arc::clone(&self.work);
        self.inbox.feed("command", move |tell| {
            let told = work(tell);
            drop(held);
            told
        })?;
        Ok(true)
    }
}

fn too_much() -> String {
    format!("error {MOST_WORK} commands are under way already")
}

fn failed(error: &impl std::fmt::Display) -> String {
    format!("error {}", escape::text(&error.to_string(), escape::MOST_TEXT))
}

/// Asks, and tells of each reply and of the end.
fn ask(handle: &Handle, ask: Ask, tell: &Teller) -> Told {
    let Ask { number, to, kind, body } = ask;
    let replies = match to {
        Target::Peer(peer) => handle.request_stream(peer, &kind, &body, DEADLINE),
        Target::Place(place) => match start::look_up(&place) {
            Ok(addr) => handle.request_stream_at(addr, &kind, &body, DEADLINE),
            Err(error) => return tell.send(Input::Said(format!("failed {number} {error}"))),
        },
    };
    for reply in replies {
        match reply {
            Ok(reply) => {
                let words = lines::kind_and_body(reply.kind(), reply.body());
                tell.send(Input::Said(format!("reply {number} {words}")))?;
            }
            Err(error) => {
                let why = escape::text(&error.to_string(), escape::MOST_TEXT);
                return tell.send(Input::Said(format!("failed {number} {why}")));
            }
        }
    }
    tell.send(Input::Said(format!("end {number}")))
}
