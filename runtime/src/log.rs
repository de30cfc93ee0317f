//! The log lines of a node, made from its events in one place.
//!
//! Decides level, target and words of each. Targets are stable, so that a filter written once
//! keeps working. A line for each message exists only at trace; an ordinary end is debug. Text
//! that came from a peer is escaped before it is shown.

use log::{debug, info, trace, warn};
use peerline_proto::{CloseReason, Event};

/// Target of lines about peers that come and go.
pub(crate) const PEER: &str = "peerline::peer";
/// Target of lines about connections that came to nothing.
pub(crate) const CONNECTION: &str = "peerline::connection";
/// Target of lines about single messages: at trace, but for a request of ours that failed.
pub(crate) const MESSAGE: &str = "peerline::message";
/// Target of lines about listening and accepting.
pub(crate) const LISTEN: &str = "peerline::listen";
/// Target of lines about host names.
pub(crate) const RESOLVE: &str = "peerline::resolve";
/// Target of lines about the application's handlers.
pub(crate) const HANDLER: &str = "peerline::handler";
/// Target of lines about the address book's file.
pub(crate) const BOOK: &str = "peerline::book";
/// Target of lines about the driver and its loop.
pub(crate) const DRIVER: &str = "peerline::driver";

/// Logs an event, under one of the targets `peerline::peer`, `peerline::connection` and
/// `peerline::message`. The driver's own lines have `peerline::listen`, `peerline::resolve`,
/// `peerline::handler`, `peerline::book` and `peerline::driver`.
pub fn log_event(event: &Event) {
    match event {
        Event::PeerUp { peer, conn, addr, side } => {
            info!(target: PEER, "up: {peer} at {addr} ({conn}, {side:?})");
        }
        Event::PeerDown { peer, conn, reason } if is_ordinary(reason) => {
            debug!(target: PEER, "down: {peer} ({conn}): {reason}");
        }
        Event::PeerDown { peer, conn, reason } => {
            info!(target: PEER, "down: {peer} ({conn}): {reason}");
        }
        Event::ConnectionFailed { conn, addr, side, reason, repeats } => {
            debug!(target: CONNECTION, "{conn} with {addr} ({side:?}): {reason}; {repeats} more");
        }
        Event::Message(message) => trace!(
            target: MESSAGE,
            "{:?} from {} by {}: {:?}, {} bytes",
            message.delivery(),
            message.from(),
            message.conn(),
            message.kind(),
            message.body().len(),
        ),
        Event::Request(request) => trace!(
            target: MESSAGE,
            "request of {}: {:?}, {} bytes",
            request.from(),
            request.kind(),
            request.body().len(),
        ),
        Event::Reply(reply) => trace!(
            target: MESSAGE,
            "reply {} to {} of {}: {:?}, {} bytes",
            reply.n(),
            reply.request(),
            reply.from(),
            reply.kind(),
            reply.body().len(),
        ),
        Event::RequestFailed { request, reason } => {
            debug!(target: MESSAGE, "{request} failed: {reason}");
        }
        Event::Writable { peer } => trace!(target: MESSAGE, "room again for {peer}"),
        Event::PeerError { peer, re, code } => {
            debug!(target: PEER, "{peer} reports {code:?} about {re:?}");
        }
        Event::GuestJoined { peer, dialect, addr } => {
            info!(target: PEER, "joined: {peer} at {addr} ({dialect})");
        }
        Event::GuestLeft { peer, dialect, addr } => {
            info!(target: PEER, "left: {peer} at {addr} ({dialect})");
        }
        Event::JoinRefused { addr, dialect, text } => {
            info!(target: PEER, "{addr} ({dialect}) does not add us: {text:?}");
        }
        Event::GuestPeers { from, peers } => {
            debug!(target: PEER, "{from} knows {} peers", peers.len());
        }
        Event::Rejected { from, via } => {
            debug!(target: PEER, "rejected: a broadcast of {from}, heard through {via}");
        }
        Event::Isolated => info!(target: PEER, "nobody is connected; the known are dialled on"),
        Event::Impersonated { via } => {
            warn!(target: PEER, "somebody uses our node id; heard through {via}");
        }
        // The enum may grow; what is new there has no words here yet.
        other => debug!(target: PEER, "{other:?}"),
    }
}

/// Whether a peer went the way peers go.
fn is_ordinary(reason: &CloseReason) -> bool {
    matches!(reason, CloseReason::Local | CloseReason::Goodbye(_) | CloseReason::Duplicate)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use log::{Level, LevelFilter, Log, Metadata, Record};
    use peerline_proto::{ByeReason, PeerId, TransportError};
    use std::cell::RefCell;

    thread_local! {
        static LINES: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    }

    /// Keeps the lines of each thread apart.
    struct Keep;

    impl Log for Keep {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let line = format!("{} {}", record.target(), record.args());
            LINES.with_borrow_mut(|lines| lines.push((record.level(), line)));
        }

        fn flush(&self) {}
    }

    fn line(event: &Event) -> (Level, String) {
        // An error means that another test was first.
        log::set_logger(&Keep).ok();
        log::set_max_level(LevelFilter::Trace);
        log_event(event);
        LINES.with_borrow_mut(Vec::pop).unwrap()
    }

    fn guest() -> PeerId {
        PeerId::Guest("\u{1b}[2J".into())
    }

    #[test]
    fn an_ordinary_end_is_no_more_than_debug() {
        let transport = CloseReason::Transport(TransportError::Reset);
        for (reason, expected) in [
            (CloseReason::Local, Level::Debug),
            (CloseReason::Goodbye(ByeReason::Shutdown), Level::Debug),
            (CloseReason::Duplicate, Level::Debug),
            (transport, Level::Info),
        ] {
            let conn = conn();
            let (level, _) = line(&Event::PeerDown { peer: guest(), conn, reason });
            assert_eq!(level, expected);
        }
    }

    #[test]
    fn what_peers_say_is_escaped() {
        let (re, code) = ("\r\n".into(), "\u{1b}[2J".into());
        let (_, line) = line(&Event::PeerError { peer: guest(), re, code });
        let expected = r#"guest \u{1b}[2J reports "\u{1b}[2J" about "\r\n""#;
        assert_eq!(line, format!("peerline::peer {expected}"));
    }

    /// Any connection's id.
    fn conn() -> peerline_proto::ConnId {
        use peerline_proto::{Config, Identity, Instant, Node, NodeId, Start};
        let identity = Identity::new(NodeId::from_random_bytes([7; 16]));
        let mut node = Node::new(Config::default(), identity, [7; 32], Start::default());
        node.accepted("192.0.2.1:1".parse().unwrap(), Instant::ZERO).unwrap()
    }
}
