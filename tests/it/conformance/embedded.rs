//! Loops that the test brings itself: a mio `Poll` that all nodes of a stage share, and an executor
//! of one thread that knows nothing of smol. A node in either passes the scripts as it does in a
//! loop of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};

use peerline_mio::mio;
use peerline_runtime::Handle;
use peerline_testkit::conformance::{Runtime, Setup};

use super::{Running, builder};

/// A node to be started, and where its handle goes.
type Request<B> = (B, Sender<Handle>);

/// Starts a node elsewhere and waits for its handle.
fn ask<B>(requests: &Sender<Request<B>>, builder: B, wake: impl FnOnce()) -> Handle {
    let (give, take) = channel();
    requests.send((builder, give)).unwrap();
    wake();
    take.recv().unwrap()
}

/// All nodes in one `Poll`, driven by a loop of the test's own.
pub(super) struct OwnPoll {
    requests: Sender<Request<peerline_mio::Builder>>,
    waker: Arc<mio::Waker>,
}

impl OwnPoll {
    /// The loop lives until the stage and its nodes are gone.
    pub(super) fn new() -> Self {
        let poll = mio::Poll::new().unwrap();
        let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).unwrap());
        let (requests, received) = channel();
        let own = Arc::clone(&waker);
        thread::spawn(move || run_poll(poll, &own, &received));
        Self { requests, waker }
    }
}

impl Runtime for OwnPoll {
    type Subject = Running;

    fn start(&self, setup: Setup) -> Running {
        let (builder, events) = builder::<peerline_mio::Runner>(setup);
        let handle = ask(&self.requests, builder, || self.waker.wake().unwrap());
        Running::new(handle, events)
    }
}

fn run_poll(
    mut poll: mio::Poll,
    waker: &Arc<mio::Waker>,
    requests: &Receiver<Request<peerline_mio::Builder>>,
) {
    let mut events = mio::Events::with_capacity(64);
    let mut nodes: Vec<peerline_mio::Embedded> = Vec::new();
    let mut tokens = (0..).map(|number| mio::Token((number << 24) + 1));
    loop {
        match requests.try_recv() {
            Ok((builder, answer)) => {
                let base = tokens.next().unwrap();
                let started = peerline_mio::Embedded::new(builder, poll.registry(), waker, base);
                let (node, handle) = started.unwrap();
                nodes.push(node);
                answer.send(handle).unwrap();
            }
            Err(TryRecvError::Disconnected) if nodes.is_empty() => return,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
        let before = nodes.len();
        let sleeps: Vec<_> = nodes.iter_mut().filter_map(peerline_mio::Embedded::turn).collect();
        nodes.retain(|node| !node.is_stopped());
        // After the last end it is looked whether another node may come.
        if before == nodes.len() || !nodes.is_empty() {
            poll.poll(&mut events, sleeps.into_iter().min()).unwrap();
        }
        for event in &events {
            let owners =
                nodes.iter_mut().filter_map(|node| node.ready(event).then_some(())).count();
            assert!(owners <= 1, "a token is one node's");
        }
    }
}

/// All nodes on one thread, polled by the plainest executor there is.
pub(super) struct OwnExecutor {
    requests: Sender<Request<peerline_smol::Builder>>,
    thread: Thread,
}

/// Wakes the executor's thread, whichever task it is for.
struct Alarm(Thread);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl OwnExecutor {
    /// The thread lives until the stage and its nodes are gone.
    pub(super) fn new() -> Self {
        let (requests, received) = channel();
        let thread = thread::spawn(move || run_tasks(&received)).thread().clone();
        Self { requests, thread }
    }
}

impl Runtime for OwnExecutor {
    type Subject = Running;

    fn start(&self, setup: Setup) -> Running {
        let (builder, events) = builder::<peerline_smol::Runner>(setup);
        let handle = ask(&self.requests, builder, || self.thread.unpark());
        Running::new(handle, events)
    }
}

fn run_tasks(requests: &Receiver<Request<peerline_smol::Builder>>) {
    let waker = Waker::from(Arc::new(Alarm(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    loop {
        match requests.try_recv() {
            Ok((builder, answer)) => {
                let (node, handle) = peerline_smol::Embedded::new(builder).unwrap();
                tasks.push(Box::pin(node));
                answer.send(handle).unwrap();
            }
            Err(TryRecvError::Disconnected) if tasks.is_empty() => return,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
        let before = tasks.len();
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        // After the last end it is looked whether another node may come.
        if before == tasks.len() || !tasks.is_empty() {
            thread::park();
        }
    }
}
