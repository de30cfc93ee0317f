//! `peerline chat`: what is typed is said, what is heard is printed.
//!
//! Decides what the screen shows. It is one loop over one queue: a line from the keyboard, an
//! event of the node, a signal. It never waits for the network. Everything that others chose,
//! names as well as words, is escaped before it is printed.

mod command;
mod names;
mod said;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use peerline_mio::{
    CloseReason, ConnId, Delivery, DialError, Event, Handle, Message, NakCode, PeerId, PeerInfo,
    Side,
};

use crate::args::ChatArgs;
use crate::end::{End, Failure};
use crate::escape;
use crate::inbox::{Inbox, Input};
use crate::start::{self, Started};
use command::Command;
use names::{Found, Names};
use said::{KIND, Said};

/// Addresses whose failure was told; beyond that no more are. 64 is more than anybody reads.
const TOLD: usize = 64;

const HELP: &str =
    "  what you type            is said to all; begin with // to say a line that begins with /
  /to WHO text             say it to one: a name, or the first digits of a name or an id
  /peers                   who is connected
  /join ADDR               connect to host:port
  /quit                    leave; Ctrl-D does the same
  LIST, JOIN host port, REQUEST host:port, BROADCAST text, QUIT do what they did in the original";

/// Chats until somebody wants no more.
pub(crate) fn run(args: &ChatArgs) -> Result<End, Failure> {
    let Started { handle, events } = start::start(&args.net, start::Wishes::named(&args.name))?;
    let inbox = Inbox::new(&handle, events)?;
    let mut chat = Chat::new(&args.name, &handle, inbox);
    let ended = chat.welcome(args).and_then(|()| {
        chat.inbox.read_stdin()?;
        chat.run()
    });
    start::stop(&handle);
    ended
}

/// What a chat knows besides what its node does.
struct Chat<'h> {
    handle: &'h Handle,
    inbox: Inbox,
    /// Our own name on the wire.
    me: String,
    names: Names,
    /// Dials that somebody typed and whose end is to be told.
    asked: BTreeSet<ConnId>,
    /// Addresses that failed while nobody was connected, told once each.
    told: BTreeSet<SocketAddr>,
}

impl<'h> Chat<'h> {
    fn new(name: &str, handle: &'h Handle, inbox: Inbox) -> Self {
        Self {
            me: said::chat_id(name, handle.id()),
            handle,
            inbox,
            names: Names::default(),
            asked: BTreeSet::new(),
            told: BTreeSet::new(),
        }
    }

    fn welcome(&self, args: &ChatArgs) -> Result<(), Failure> {
        let me = escape::text(&self.me, escape::MOST_NAME);
        show(&format!("* you are {me}, on {}; /help lists the commands", args.net.runtime.name()))?;
        let join = start::how_to_join("chat", &args.net, self.handle.local_addrs());
        match join {
            Some(line) if line.contains("127.0.0.1") => {
                show(&format!("* to join you: {line}"))?;
                show("* from another machine, with this one's address instead of 127.0.0.1")?;
            }
            Some(line) => show(&format!("* to join you: {line}"))?,
            None => {}
        }
        Ok(())
    }

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
            Input::Line(line) => return self.on_line(&line),
            Input::LongLine => show("* that line is too long; nobody heard it")?,
            Input::Event(event) => self.on_event(event)?,
            Input::Found { name, addrs } => self.on_found(&name, addrs)?,
            // Nobody works for a chat.
            Input::Said(_) | Input::Bar(_) => {}
            Input::Closed => return Ok(Some(End::Done)),
            Input::Signal(number) => return Ok(Some(End::Signal(number))),
            Input::NodeEnded => return Err("the node has ended by itself".into()),
        }
        Ok(None)
    }

    // ---- what is typed

    fn on_line(&mut self, line: &str) -> Result<Option<End>, Failure> {
        match command::parse(line) {
            Command::Nothing => {}
            Command::Say(text) => self.say(text)?,
            Command::To { who, text } => self.say_to(who, text)?,
            Command::Peers => self.show_peers()?,
            Command::Join(addr) => self.join(addr)?,
            Command::Request(addr) => {
                show("* a node that is joined is asked for its peers at once; they are dialled")?;
                self.join(addr)?;
            }
            Command::Help => show(HELP)?,
            Command::Wrong(why) => show(&format!("* {why}"))?,
            Command::Quit => return Ok(Some(End::Done)),
        }
        Ok(None)
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        match self.handle.broadcast(KIND, text).wait() {
            Ok(receipt) if receipt.offered() == 0 => {
                show("* nobody is connected; nobody heard that")
            }
            Ok(receipt) if receipt.skipped > 0 => {
                show(&format!("* {} were too slow to hear that", receipt.skipped))
            }
            Ok(_) => Ok(()),
            Err(error) => show(&format!("* not said: {error}")),
        }
    }

    fn say_to(&mut self, who: &str, text: &str) -> io::Result<()> {
        let peers: Vec<PeerId> = self.peers().into_iter().map(|info| info.peer).collect();
        let peer = match self.names.find(who, &peers) {
            Found::One(peer) => peer,
            Found::Nobody => {
                let who = escape::text(who, escape::MOST_NAME);
                return show(&format!("* nobody here is called {who}; /peers lists who is here"));
            }
            Found::Several(names) => return show(&format!("* which one: {}?", names.join(", "))),
        };
        let said = Said::now(&self.me, text);
        match self.handle.send(peer, KIND, &said).wait() {
            Ok(()) => Ok(()),
            Err(error) => show(&format!("* not said: {error}")),
        }
    }

    fn peers(&self) -> Vec<PeerInfo> {
        // A node that does not answer has ended, and the next input says so.
        self.handle.peers().wait().unwrap_or_default()
    }

    fn show_peers(&self) -> io::Result<()> {
        let peers = self.peers();
        if peers.is_empty() {
            return show("* nobody is connected");
        }
        for info in peers {
            let name = self.names.known(&info.peer).unwrap_or_else(|| "-".into());
            let id = names::short(&info.peer);
            let side = if info.side == Side::Dialer { "dialled" } else { "accepted" };
            let round_trip = info.round_trip.map_or_else(|| "-".into(), millis);
            let addr = info.addr;
            show(&format!("*   {name:20} {id:8}  {addr:21}  {side:8}  {round_trip}"))?;
        }
        Ok(())
    }

    fn join(&mut self, addr: String) -> io::Result<()> {
        match addr.parse() {
            Ok(addr) => self.dial(addr),
            Err(_) => self.inbox.look_up(addr),
        }
    }

    fn on_found(&mut self, name: &str, addrs: io::Result<Vec<SocketAddr>>) -> io::Result<()> {
        let name = escape::text(name, escape::MOST_NAME);
        match addrs {
            Ok(addrs) if addrs.is_empty() => show(&format!("* {name} has no address")),
            Ok(addrs) => addrs.into_iter().try_for_each(|addr| self.dial(addr)),
            Err(error) => show(&format!("* cannot find {name}: {error}")),
        }
    }

    fn dial(&mut self, addr: SocketAddr) -> io::Result<()> {
        match self.handle.dial(addr).wait() {
            Ok(conns) => self.asked.extend(conns),
            Err(DialError::Dialing { .. }) => show(&format!("* {addr} is being dialled already"))?,
            Err(error) => show(&format!("* not dialled: {error}"))?,
        }
        Ok(())
    }

    // ---- what happens

    fn on_event(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Message(message) => self.on_message(&message),
            Event::PeerUp { peer, conn, addr, .. } => {
                self.asked.remove(&conn);
                show(&format!("+ {} is here, at {addr}", self.names.show(&peer)))
            }
            Event::PeerDown { peer, reason, .. } => {
                let name = self.names.show(&peer);
                self.names.forget(&peer);
                show(&format!("- {name} is gone: {reason}"))
            }
            Event::ConnectionFailed { conn, addr, side, reason, .. } => {
                self.on_failure(conn, addr, side, &reason)
            }
            Event::Isolated => show("* nobody is connected; those known are called on"),
            Event::Impersonated { .. } => show("* somebody speaks under the id of this node"),
            Event::Request(request) => {
                self.handle.responder(&request).refuse(NakCode::NoHandler).detach();
                Ok(())
            }
            Event::GuestJoined { peer, dialect, addr } => {
                show(&format!("+ {} is here with {dialect}, at {addr}", self.names.show(&peer)))
            }
            Event::GuestLeft { peer, dialect, .. } => {
                show(&format!("- {} with {dialect} is gone", self.names.show(&peer)))
            }
            Event::JoinRefused { addr, text, .. } => {
                let text = escape::text(&text, escape::MOST_TEXT);
                show(&format!("* {addr} did not take us: {text}"))
            }
            Event::GuestPeers { .. }
            | Event::Reply(_)
            | Event::RequestFailed { .. }
            | Event::Writable { .. }
            | Event::Rejected { .. }
            | Event::PeerError { .. } => Ok(()),
            // Another crate's enum, which may grow; what is new is in the log.
            _ => Ok(()),
        }
    }

    fn on_message(&mut self, message: &Message) -> io::Result<()> {
        if message.kind() != KIND {
            return Ok(());
        }
        let from = message.from();
        let (name, text) = match message.parse::<Said>() {
            Ok(said) => (self.names.speaker(from, &said.originator), said.text()),
            Err(_) => (self.names.show(from), message.body().to_owned()),
        };
        let text = escape::text(&text, escape::MOST_TEXT);
        let to = if message.delivery() == Delivery::Direct { " to you" } else { "" };
        show(&format!("{name}{to}: {text}"))
    }

    /// A connection that came to nothing is told if somebody typed it, or if we are alone: then
    /// it is the reason why.
    fn on_failure(
        &mut self,
        conn: ConnId,
        addr: SocketAddr,
        side: Side,
        reason: &CloseReason,
    ) -> io::Result<()> {
        let was_asked = self.asked.remove(&conn);
        if was_asked && *reason == CloseReason::Duplicate {
            return show(&format!("* {addr} is connected already"));
        }
        let is_new =
            || side == Side::Dialer && self.told.len() < TOLD && !self.told.contains(&addr);
        if was_asked {
            show(&format!("* no connection to {addr}: {reason}"))?;
        } else if is_new() && self.peers().is_empty() {
            self.told.insert(addr);
            show(&format!("* no connection to {addr} yet: {reason}; it is tried again"))?;
        }
        Ok(())
    }
}

/// Prints a line, or lines, of which every part from others has been escaped.
fn show(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
