//! Nodes on mio and real sockets: they meet, talk and part.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use peerline_mio::{
    Builder, CloseReason, CommandError, Embedded, Event, Events, Handle, PeerId, Runtime,
    TransportError, mio,
};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn node() -> (Builder, Events) {
    Builder::new().listen("127.0.0.1:0").events()
}

fn start((builder, events): (Builder, Events)) -> (Handle, Events) {
    (builder.start().unwrap(), events)
}

/// The next event of which `pick` makes something.
fn wait<T>(events: &mut Events, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
    loop {
        let event = events.next_within(PATIENCE).expect("an event in time");
        if let Some(picked) = pick(&event) {
            return picked;
        }
    }
}

fn up(event: &Event) -> Option<PeerId> {
    let Event::PeerUp { peer, .. } = event else { return None };
    Some(peer.clone())
}

fn down(event: &Event) -> Option<(PeerId, CloseReason)> {
    let Event::PeerDown { peer, reason, .. } = event else { return None };
    Some((peer.clone(), reason.clone()))
}

fn failed(event: &Event) -> Option<CloseReason> {
    let Event::ConnectionFailed { reason, .. } = event else { return None };
    Some(reason.clone())
}

fn message(event: &Event) -> Option<String> {
    let Event::Message(message) = event else { return None };
    Some(format!("{} {}", message.kind(), message.body()))
}

#[test]
fn nodes_meet_talk_and_part() {
    let (a, mut a_events) = start(node());
    let (builder, events) = node();
    let (b, mut b_events) = start((builder.bootstrap(a.local_addrs()), events));
    assert_eq!(wait(&mut a_events, up), PeerId::from(b.id()));
    assert_eq!(wait(&mut b_events, up), PeerId::from(a.id()));

    assert_eq!(a.broadcast("NEWS", &"hello").wait().unwrap().queued, 1);
    assert_eq!(wait(&mut b_events, message), "NEWS \"hello\"");
    b.send(a.id(), "NOTE", &[1, 2]).wait().unwrap();
    assert_eq!(wait(&mut a_events, message), "NOTE [1,2]");
    assert_eq!(a.peers().wait().unwrap().len(), 1);

    assert!(b.disconnect(a.id()).wait().unwrap());
    assert_eq!(wait(&mut b_events, down), (PeerId::from(a.id()), CloseReason::Local));
    let (peer, reason) = wait(&mut a_events, down);
    assert_eq!(peer, PeerId::from(b.id()));
    assert!(matches!(reason, CloseReason::Goodbye(_)), "{reason:?}");

    a.shutdown(PATIENCE).wait().unwrap();
    assert_eq!(a.peers().wait(), Err(CommandError::Stopped));
    let last = a_events.last();
    assert!(last.is_none_or(|event| failed(&event) == Some(CloseReason::Local)), "then the end");
}

#[test]
fn a_slow_application_stops_the_sender_and_loses_nothing() {
    let (a, mut a_events) = start(node());
    let (b, mut b_events) = start(node());
    b.dial(a.local_addrs()[0]).detach();
    wait(&mut b_events, up);
    let text = "x".repeat(100_000);
    let mut sent = 0;
    while b.broadcast("BIG", &text).wait().unwrap().skipped == 0 {
        sent += 1;
        assert!(sent < 1_000, "nobody stopped us");
    }
    for _ in 0..sent {
        assert_eq!(wait(&mut a_events, message).len(), "BIG ".len() + text.len() + 2);
    }
    wait(&mut b_events, |event| matches!(event, Event::Writable { .. }).then_some(()));
}

#[test]
fn a_name_is_looked_up_and_dialled() {
    let (a, mut a_events) = start(node());
    let (b, _b_events) = start(node());
    let port = a.local_addrs()[0].port();
    assert!(!b.dial(format!("localhost:{port}")).wait().unwrap().is_empty());
    assert_eq!(wait(&mut a_events, up), PeerId::from(b.id()));
}

#[test]
fn bytes_and_end_in_one_edge_are_both_seen() {
    let (node, mut events) = start(node());
    for _ in 0..20 {
        let mut stream = TcpStream::connect(node.local_addrs()[0]).unwrap();
        stream.write_all(b"\n").unwrap();
        drop(stream);
        let reason = wait(&mut events, failed);
        assert_eq!(reason, CloseReason::Transport(TransportError::Eof));
    }
}

#[test]
fn both_families_listen() {
    let builder = Builder::new().listen("[::]:0");
    // A machine without IPv6 has nothing to show here.
    let Ok(node) = builder.start() else { return };
    let port = node.local_addrs()[0].port();
    let (other, mut events) = start(Builder::new().events());
    other.dial(SocketAddr::from(([127, 0, 0, 1], port))).detach();
    assert_eq!(wait(&mut events, up), PeerId::from(node.id()));
}

#[test]
fn a_taken_address_is_an_error_with_its_name() {
    let (node, _events) = start(node());
    let taken = node.local_addrs()[0];
    let error = Builder::new().listen(taken).start().unwrap_err();
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}

#[test]
fn the_same_thread_may_drive() {
    let (a, mut events) = start(node());
    let builder = Builder::new().bootstrap(a.local_addrs());
    let builder = builder.on_peer_up(|cx, _| cx.shutdown(Duration::from_secs(1)));
    let (runner, handle) = builder.build().unwrap();
    runner.run().unwrap();
    assert_eq!(wait(&mut events, up), PeerId::from(handle.id()));
    assert_eq!(wait(&mut events, down).0, PeerId::from(handle.id()));
}

#[test]
fn two_nodes_share_one_poll() {
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(64);
    let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
    let (builder, mut a_events) = node();
    let base = mio::Token(1);
    let (mut a, a_handle) = Embedded::new(builder, poll.registry(), &waker, base).unwrap();
    let builder = Builder::new().bootstrap(a_handle.local_addrs());
    let base = mio::Token(1 << 24 | 1);
    let (mut b, b_handle) = Embedded::new(builder, poll.registry(), &waker, base).unwrap();

    let (mut met, mut foreign) = (false, 0);
    loop {
        let sleeps = [a.turn(), b.turn(), Some(PATIENCE)];
        if a.is_stopped() && b.is_stopped() {
            break;
        }
        poll.poll(&mut events, sleeps.into_iter().flatten().min()).unwrap();
        for event in &events {
            foreign += usize::from(!a.ready(event) && !b.ready(event));
        }
        if !met && a_events.try_next().as_ref().and_then(up).is_some() {
            met = true;
            a_handle.shutdown(Duration::from_secs(1)).detach();
            b_handle.shutdown(Duration::from_secs(1)).detach();
        }
    }
    assert!(met && foreign > 0, "the waker's events are the loop's");
}
