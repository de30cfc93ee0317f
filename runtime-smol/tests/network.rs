//! Nodes on smol and real sockets: they meet, talk and part.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use peerline_smol::{
    Builder, CloseReason, CommandError, Embedded, Event, Events, PeerId, TransportError, smol,
};
use smol::Timer;
use smol::future::{self, FutureExt};
use smol::stream::StreamExt;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

fn node() -> (Builder, Events) {
    Builder::new().listen("127.0.0.1:0").events()
}

/// The first event of which `pick` makes something.
async fn find<T>(events: &mut Events, pick: impl FnMut(Event) -> Option<T>) -> T {
    let late = async {
        Timer::after(PATIENCE).await;
        panic!("nothing in time");
    };
    events.find_map(pick).or(late).await.expect("the node lives")
}

fn peer_up(event: Event) -> Option<PeerId> {
    if let Event::PeerUp { peer, .. } = event { Some(peer) } else { None }
}

fn peer_down(event: Event) -> Option<CloseReason> {
    if let Event::PeerDown { reason, .. } = event { Some(reason) } else { None }
}

fn writable(event: Event) -> Option<()> {
    matches!(event, Event::Writable { .. }).then_some(())
}

fn failed(event: Event) -> Option<CloseReason> {
    if let Event::ConnectionFailed { reason, .. } = event { Some(reason) } else { None }
}

fn body(event: Event) -> Option<String> {
    if let Event::Message(message) = event { Some(message.body().to_owned()) } else { None }
}

#[test]
fn nodes_meet_talk_and_part() {
    smol::block_on(async {
        let ((a, mut a_events), (b, mut b_events)) = (node(), node());
        let a = a.start().unwrap();
        let b = b.bootstrap(a.local_addrs()).start().unwrap();
        let met = future::zip(find(&mut a_events, peer_up), find(&mut b_events, peer_up)).await;
        assert_eq!(met, (PeerId::from(b.id()), PeerId::from(a.id())));

        assert_eq!(b.broadcast("NEWS", "hello").await.unwrap().queued, 1);
        assert_eq!(find(&mut a_events, body).await, "\"hello\"");
        a.send(b.id(), "NOTE", &[1, 2]).await.unwrap();
        assert_eq!(find(&mut b_events, body).await, "[1,2]");

        assert!(a.disconnect(b.id()).await.unwrap());
        assert_eq!(find(&mut a_events, peer_down).await, CloseReason::Local);
        let reason = find(&mut b_events, peer_down).await;
        assert!(matches!(reason, CloseReason::Goodbye(_)), "{reason:?}");

        b.shutdown(PATIENCE).await.unwrap();
        assert_eq!(b.peers().await, Err(CommandError::Stopped));
        assert!(b_events.next().await.is_none());
    });
}

#[test]
fn a_slow_application_stops_the_sender_and_loses_nothing() {
    smol::block_on(async {
        let ((a, mut a_events), (b, mut b_events)) = (node(), node());
        let a = a.start().unwrap();
        let b = b.bootstrap(a.local_addrs()).start().unwrap();
        find(&mut b_events, peer_up).await;
        let text = "x".repeat(100_000);
        let mut sent = 0;
        while b.broadcast("BIG", &text).await.unwrap().skipped == 0 {
            sent += 1;
            assert!(sent < 1_000, "nobody stopped us");
        }
        for _ in 0..sent {
            assert_eq!(find(&mut a_events, body).await.len(), text.len() + 2);
        }
        find(&mut b_events, writable).await;
    });
}

#[test]
fn bytes_and_end_at_once_are_both_seen() {
    smol::block_on(async {
        let (builder, mut events) = node();
        let node = builder.start().unwrap();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(node.local_addrs()[0]).unwrap();
            stream.write_all(b"\n").unwrap();
            drop(stream);
            let reason = find(&mut events, failed).await;
            assert_eq!(reason, CloseReason::Transport(TransportError::Eof));
        }
    });
}

#[test]
fn nodes_run_on_an_executor_of_the_callers() {
    let executor = smol::Executor::new();
    let (builder, mut events) = node();
    let (a, a_handle) = Embedded::new(builder).unwrap();
    let builder = Builder::new().bootstrap(a_handle.local_addrs());
    let (b, b_handle) = Embedded::new(builder).unwrap();
    let tasks = [executor.spawn(a), executor.spawn(b)];
    smol::block_on(executor.run(async {
        assert_eq!(find(&mut events, peer_up).await, PeerId::from(b_handle.id()));
        drop((a_handle, b_handle)); // the last handles: both stop
        for task in tasks {
            task.await;
        }
    }));
}

#[test]
fn a_dropped_task_answers_who_waits() {
    let (embedded, handle) = Embedded::new(Builder::new()).unwrap();
    let pending = handle.peers();
    drop(embedded);
    assert_eq!(pending.wait(), Err(CommandError::Stopped));
}
