//! The conformance scripts on every stage: virtual time, each runtime, each example driver, and
//! nodes embedded in loops of the test's own.

mod embedded;

#[path = "../examples/on_threads.rs"]
#[allow(dead_code, unreachable_pub)] // it is a program of its own
mod on_threads;
#[path = "../examples/on_tokio.rs"]
#[allow(dead_code, unreachable_pub)] // it is a program of its own
mod on_tokio;

use std::fs;
use std::marker::PhantomData;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use peerline_proto::{Config, Event, Identity, Node, NodeId, PeerInfo, Receipt, Start, Stats};
use peerline_runtime::{Builder, Handle};
use peerline_testkit::conformance::loopback::Loopback;
use peerline_testkit::conformance::simulated::Simulated;
use peerline_testkit::conformance::{Command, Runtime, Setup, Subject, check_all, done, play_all};
use peerline_testkit::entropy::{Entropy, seeds};
use peerline_testkit::reserved::Reserved;
use smol::stream::StreamExt as _;

#[test]
fn scripts_pass_on_virtual_time_whatever_the_seed() {
    if std::env::var_os("PEERLINE_BLESS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/conformance.txt");
        return fs::write(file, play_all(|| Simulated::new(1))).unwrap();
    }
    for seed in seeds(2) {
        check_all(|| Simulated::new(seed));
    }
}

#[test]
fn scripts_pass_on_mio() {
    check_all(|| Loopback::new(Library::<peerline_mio::Runner>::new()));
}

#[test]
fn scripts_pass_on_smol() {
    check_all(|| Loopback::new(Library::<peerline_smol::Runner>::new()));
}

#[test]
fn scripts_pass_on_tokio() {
    check_all(|| Loopback::new(Library::<on_tokio::Tokio>::new()));
}

#[test]
fn scripts_pass_on_threads() {
    check_all(|| Loopback::new(Threads));
}

#[test]
fn scripts_pass_on_a_poll_that_nodes_share() {
    check_all(|| Loopback::new(embedded::OwnPoll::new()));
}

#[test]
fn scripts_pass_on_an_executor_of_ones_own() {
    check_all(|| Loopback::new(embedded::OwnExecutor::new()));
}

/// Nodes of the runtime library, on whichever event loop.
struct Library<R>(PhantomData<fn() -> R>);

impl<R> Library<R> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

/// A stream of events in whatever shape the runtime gives it.
trait NextEvent: Send {
    fn next_within(&mut self, within: Duration) -> Option<Event>;
}

impl NextEvent for peerline_runtime::Events {
    fn next_within(&mut self, within: Duration) -> Option<Event> {
        self.next_within(within)
    }
}

impl NextEvent for peerline_smol::Events {
    fn next_within(&mut self, within: Duration) -> Option<Event> {
        smol::block_on(smol::future::or(self.next(), async {
            smol::Timer::after(within).await;
            None
        }))
    }
}

impl<R: peerline_runtime::Runtime<Events: NextEvent + 'static>> Runtime for Library<R> {
    type Subject = Running;

    fn start(&self, setup: Setup) -> Running {
        let (builder, events) = builder::<R>(setup);
        Running::new(builder.start().unwrap(), events)
    }
}

fn builder<R: peerline_runtime::Runtime>(setup: Setup) -> (Builder<R>, R::Events) {
    let builder = Builder::new().listen(Reserved::for_good()).bootstrap(setup.bootstrap);
    builder.limits(setup.limits).events()
}

struct Running {
    handle: Handle,
    events: Mutex<Box<dyn NextEvent>>,
}

impl Running {
    fn new(handle: Handle, events: impl NextEvent + 'static) -> Self {
        Self { handle, events: Mutex::new(Box::new(events)) }
    }
}

impl Subject for Running {
    fn addr(&self) -> SocketAddr {
        self.handle.local_addrs()[0]
    }

    fn id(&self) -> NodeId {
        self.handle.id()
    }

    fn command(&self, command: Command) -> Result<Receipt, String> {
        let result = self.handle.with(move |cx| match command {
            Command::Dial(addr) => done(cx.dial(addr)),
            Command::Broadcast(kind, body) => {
                cx.broadcast_payload(&kind, &body).map_err(|error| error.to_string())
            }
            Command::Send(peer, kind, body) => done(cx.send_payload(&peer, &kind, &body)),
            Command::Request(peer, kind, body, within) => {
                done(cx.request_payload(&peer, &kind, &body, within))
            }
            Command::RequestAt(addr, kind, body, within) => {
                done(cx.request_payload_at(addr, &kind, &body, within))
            }
            Command::Reply(to, kind, body, last) => done(cx.reply_payload(to, &kind, &body, last)),
            Command::Refuse(to, code) => done(cx.refuse(to, code)),
            Command::Disconnect(peer) => {
                cx.disconnect(&peer);
                Ok(Receipt::default())
            }
            Command::Shutdown(within) => {
                cx.shutdown(within);
                Ok(Receipt::default())
            }
        });
        result.wait().unwrap()
    }

    fn peers(&self) -> Vec<PeerInfo> {
        self.handle.peers().wait().unwrap()
    }

    fn stats(&self) -> Stats {
        self.handle.stats().wait().unwrap()
    }

    fn next_event(&self, within: Duration) -> Option<Event> {
        self.events.lock().unwrap().next_within(within)
    }

    fn is_stopped(&self, within: Duration) -> bool {
        let (stopped, (give, take)) = (self.handle.stopped(), channel());
        thread::spawn(move || give.send(stopped.wait()));
        take.recv_timeout(within).is_ok_and(|stopped| stopped.is_ok())
    }
}

/// Nodes of the threads example.
struct Threads;

struct OnThreads {
    threads: Arc<on_threads::Threads>,
    addr: SocketAddr,
}

impl Runtime for Threads {
    type Subject = OnThreads;

    fn start(&self, setup: Setup) -> OnThreads {
        let listener = TcpListener::bind(Reserved::for_good()).unwrap();
        let addr = listener.local_addr().unwrap();
        let mut entropy = Entropy::new(u64::from(addr.port()));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&entropy.seed()[..16]);
        let identity = Identity::new(NodeId::from_random_bytes(bytes));
        let config = Config::builder().limits(setup.limits).build().unwrap();
        let node = Node::new(config, identity, entropy.seed(), Start::default());
        let threads = on_threads::Threads::start(node, listener).unwrap();
        for addr in setup.bootstrap {
            threads.with(|node, now| node.add_bootstrap(addr, now));
        }
        OnThreads { threads, addr }
    }

    /// Two threads for each connection, which all wake for each change, are not for crowds.
    fn crowd(&self) -> usize {
        100
    }
}

impl Drop for OnThreads {
    fn drop(&mut self) {
        self.threads.with(|node, now| node.shutdown(Duration::ZERO, now));
    }
}

impl Subject for OnThreads {
    fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn id(&self) -> NodeId {
        self.threads.with(|node, _| node.id())
    }

    fn command(&self, command: Command) -> Result<Receipt, String> {
        self.threads.with(|node, now| command.apply(node, now))
    }

    fn peers(&self) -> Vec<PeerInfo> {
        self.threads.with(|node, _| node.peers().collect())
    }

    fn stats(&self) -> Stats {
        self.threads.with(|node, _| node.stats())
    }

    fn next_event(&self, within: Duration) -> Option<Event> {
        self.threads.next_event(within)
    }

    fn is_stopped(&self, within: Duration) -> bool {
        let end = Instant::now() + within;
        while !self.threads.with(|node, _| node.is_stopped()) && Instant::now() < end {
            let event = self.threads.next_event(Duration::from_millis(20));
            assert!(event.is_none(), "all events were taken");
        }
        self.threads.with(|node, _| node.is_stopped())
    }
}
