//! Lines for programs to read: events, peers, and answers to commands.
//!
//! Decides their shape: a word for what happened, who it was, and what is to be said of it. Message
//! bodies are whole, as JSON that means the same and holds nothing that could command a terminal.
//! Each line is printed at once and by itself, so that no two of them mix.

use std::io::{self, Write};
use std::net::SocketAddr;

use peerline_mio::{
    Delivery, Dialect, Event, GuestInfo, Handle, Message, NodeId, PeerId, PeerInfo, Side,
};

use crate::escape;

/// Prints a line, or lines, of which every part from others has been escaped.
pub(crate) fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// An event as lines; none for what only a log is interested in.
pub(crate) fn event(event: &Event) -> Option<String> {
    Some(match event {
        Event::PeerUp { peer, addr, side, .. } => {
            format!("up {} {addr} {}", name(peer), side_word(*side))
        }
        Event::PeerDown { peer, reason, .. } => format!("down {} {reason}", name(peer)),
        Event::Message(message) => message_line(message),
        Event::ConnectionFailed { side: Side::Dialer, addr, reason, .. } => {
            format!("failed {addr} {reason}")
        }
        Event::GuestJoined { peer, dialect, addr } => {
            format!("joined {} {addr} {dialect}", name(peer))
        }
        Event::GuestLeft { peer, dialect, addr } => format!("left {} {addr} {dialect}", name(peer)),
        Event::JoinRefused { addr, dialect, text } => {
            format!("refused {addr} {dialect} {}", escape::text(text, escape::MOST_TEXT))
        }
        Event::GuestPeers { from, peers } => return told(from, peers),
        Event::Isolated => "isolated".to_owned(),
        Event::ConnectionFailed { .. }
        | Event::Request(_)
        | Event::Reply(_)
        | Event::RequestFailed { .. }
        | Event::Writable { .. }
        | Event::Rejected { .. }
        | Event::PeerError { .. }
        | Event::Impersonated { .. } => return None,
        // Another crate's enum, which may grow; what is new is in the log.
        _ => return None,
    })
}

/// Whom a guest knows, a line each; none of them is joined by itself.
fn told(from: &PeerId, peers: &[(std::sync::Arc<str>, SocketAddr)]) -> Option<String> {
    let line = |(id, addr): &(std::sync::Arc<str>, SocketAddr)| {
        format!("knows {} {} {addr}", name(from), word(id))
    };
    let lines: Vec<String> = peers.iter().map(line).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn message_line(message: &Message) -> String {
    let how = match message.delivery() {
        Delivery::Broadcast => "broadcast",
        Delivery::Direct => "message",
        // Another crate's enum, which may grow.
        _ => "other",
    };
    let from = name(message.from());
    format!("{how} {from} {}", kind_and_body(message.kind(), message.body()))
}

/// A kind, quoted, and a body, both harmless.
pub(crate) fn kind_and_body(kind: &str, body: &str) -> String {
    let kind = serde_json::Value::from(kind).to_string();
    format!("{} {}", escape::json(&kind), escape::json(body))
}

/// All peers and guests, a line each, and their number.
pub(crate) fn peers(handle: &Handle) -> String {
    let known = handle.with(|cx| {
        let guests: Vec<GuestInfo> = cx.guests().collect();
        (cx.peers().collect::<Vec<PeerInfo>>(), guests)
    });
    let Ok((peers, guests)) = known.wait() else { return "error the node has stopped".into() };
    let mut lines: Vec<String> = peers.iter().map(peer_line).collect();
    lines.extend(
        guests
            .iter()
            .map(|guest| format!("guest {} {} {}", name(&guest.peer), guest.addr, guest.dialect)),
    );
    lines.push(format!("ok {}", lines.len()));
    lines.join("\n")
}

fn peer_line(info: &PeerInfo) -> String {
    let time = info
        .round_trip
        .map_or_else(String::new, |time| format!(" {:.1} ms", time.as_secs_f64() * 1000.0));
    format!("peer {} {} {}{time}", name(&info.peer), info.addr, side_word(info.side))
}

fn side_word(side: Side) -> &'static str {
    match side {
        Side::Dialer => "dialled",
        Side::Listener => "accepted",
    }
}

/// A peer as one word: what `find` finds it by, unless that is harmful.
pub(crate) fn name(peer: &PeerId) -> String {
    match peer {
        PeerId::Node(id) => id.to_string(),
        PeerId::Guest(name) => word(name),
        // Another crate's enum, which may grow.
        _ => word(&peer.to_string()),
    }
}

/// A text from others as one harmless word.
fn word(text: &str) -> String {
    escape::text(text, escape::MOST_NAME).replace(char::is_whitespace, "_")
}

/// The one peer that somebody names: by its id or name, or the beginning of it. A node that is not
/// known here may be named by its whole id.
///
/// # Errors
/// An answer that says why there is none.
pub(crate) fn find(handle: &Handle, who: &str) -> Result<PeerId, String> {
    let found = handle.find(who).wait().map_err(|error| format!("error {error}"))?;
    match found.as_slice() {
        [peer] => Ok(peer.clone()),
        [] => match who.parse::<NodeId>() {
            Ok(id) => Ok(PeerId::Node(id)),
            Err(_) => Err(format!("error nobody is called {}", word(who))),
        },
        several => {
            let names: Vec<String> = several.iter().take(8).map(name).collect();
            Err(format!("error which one: {}", names.join(" ")))
        }
    }
}

/// Joins whoever is at an address, and answers; a name may take a while.
pub(crate) fn join(handle: &Handle, addr: &str, dialect: Dialect) -> String {
    match handle.add(addr, dialect).wait() {
        Ok(_) => format!("ok joining {}", word(addr)),
        Err(error) => format!("error {}", escape::text(&error.to_string(), escape::MOST_TEXT)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn guest() -> PeerId {
        PeerId::Guest("a b\u{1b}".into())
    }

    fn check(event: &Event, expected: Option<&str>) {
        assert_eq!(super::event(event).as_deref(), expected);
    }

    #[test]
    fn guests_are_told_in_words_that_harm_nobody() {
        let (peer, dialect, addr) = (guest(), Dialect::Btpeer, "192.0.2.1:7".parse().unwrap());
        let joined = Event::GuestJoined { peer: peer.clone(), dialect, addr };
        check(&joined, Some("joined a_b\\u{1b} 192.0.2.1:7 BTPeer"));
        let left = Event::GuestLeft { peer: peer.clone(), dialect: Dialect::Chat, addr };
        check(&left, Some("left a_b\\u{1b} 192.0.2.1:7 chat"));
        let refused = Event::JoinRefused { addr, dialect, text: "no\nroom".into() };
        check(&refused, Some("refused 192.0.2.1:7 BTPeer no\\u{a}room"));
        let peers = vec![("x:1".into(), addr), ("y z".into(), addr)];
        let lines = "knows a_b\\u{1b} x:1 192.0.2.1:7\nknows a_b\\u{1b} y_z 192.0.2.1:7";
        check(&Event::GuestPeers { from: peer.clone(), peers }, Some(lines));
        check(&Event::GuestPeers { from: peer.clone(), peers: vec![] }, None);
        check(&Event::Writable { peer }, None);
    }

    #[test]
    fn a_kind_is_quoted_and_a_body_means_the_same() {
        assert_eq!(kind_and_body("A \"B\u{9b}", "{\"x\": 1}"), r#""A \"B\u009b" {"x": 1}"#);
    }
}
