//! `peerline node`: a node without a screen.
//!
//! Decides the shape of its lines, which are meant for programs: a word for what happened, who it
//! was, and what is to be said of it. Message bodies are printed whole, as JSON that means the
//! same and holds nothing that could command a terminal. stdout has events only; the rest goes to
//! stderr.

use std::io::{self, Write};

use peerline_mio::{Delivery, Event, Message, PeerId, Side};

use crate::args::NodeArgs;
use crate::end::{End, Failure};
use crate::escape;
use crate::inbox::{Inbox, Input};
use crate::start::{self, Started};

/// Runs a node until a signal ends it.
pub(crate) fn run(args: &NodeArgs) -> Result<End, Failure> {
    let Started { handle, events } = start::start(&args.net, args.agent.as_deref(), None)?;
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
    let ended = print_events(&inbox);
    start::stop(&handle);
    ended
}

fn print_events(inbox: &Inbox) -> Result<End, Failure> {
    loop {
        match inbox.next() {
            Input::Event(event) => {
                if let Some(line) = line(&event) {
                    writeln!(io::stdout(), "{line}")?;
                }
            }
            Input::NodeEnded => return Err("the node has ended by itself".into()),
            Input::Signal(number) => return Ok(End::Signal(number)),
            // Nobody asks for these here.
            Input::Line(_) | Input::LongLine | Input::Closed | Input::Found { .. } => {}
        }
    }
}

/// An event as a line; none for what only a log is interested in.
fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::PeerUp { peer, addr, side, .. } => {
            let side = match side {
                Side::Dialer => "dialled",
                Side::Listener => "accepted",
            };
            format!("up {} {addr} {side}", name(peer))
        }
        Event::PeerDown { peer, reason, .. } => format!("down {} {reason}", name(peer)),
        Event::Message(message) => message_line(message),
        Event::ConnectionFailed { side: Side::Dialer, addr, reason, .. } => {
            format!("failed {addr} {reason}")
        }
        Event::ConnectionFailed { .. }
        | Event::Request(_)
        | Event::Reply(_)
        | Event::RequestFailed { .. }
        | Event::GuestJoined { .. }
        | Event::GuestLeft { .. }
        | Event::JoinRefused { .. }
        | Event::GuestPeers { .. }
        | Event::Writable { .. }
        | Event::PeerError { .. }
        | Event::Impersonated { .. } => return None,
        // Another crate's enum, which may grow; what is new is in the log.
        _ => return None,
    })
}

fn message_line(message: &Message) -> String {
    let how = match message.delivery() {
        Delivery::Broadcast => "broadcast",
        Delivery::Direct => "message",
        // Another crate's enum, which may grow.
        _ => "other",
    };
    let kind = serde_json::Value::from(message.kind()).to_string();
    let (kind, body) = (escape::json(&kind), escape::json(message.body()));
    format!("{how} {} {kind} {body}", message.from())
}

/// A peer as one word.
fn name(peer: &PeerId) -> String {
    match peer.node() {
        Some(id) => id.to_string(),
        None => escape::text(&peer.to_string(), escape::MOST_NAME).replace(' ', "_"),
    }
}
