//! A contestant that lives on a tokio runtime, in a thread of its own.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread::spawn;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::child::{Contestant, Pace};

/// What the parent wants of it.
#[derive(Debug)]
pub(crate) enum Command {
    Dial(String),
    Warm,
    Begin(Pace),
    /// There is room in the window.
    Resume,
}

/// Links that are there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links(Arc<AtomicUsize>);

impl Links {
    pub(crate) fn set(&self, count: usize) {
        self.0.store(count, Relaxed);
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// What stands before the thread.
pub(crate) struct Remote {
    commands: UnboundedSender<Command>,
    links: Links,
    address: String,
}

impl Remote {
    /// Runs a node. It calls the last argument with its address, as soon as it has one.
    pub(crate) fn start<F: Future<Output = ()>>(
        free: bool,
        node: impl FnOnce(UnboundedReceiver<Command>, Links, Box<dyn FnOnce(String) + Send>) -> F
        + Send
        + 'static,
    ) -> Self {
        let (commands, taken) = unbounded_channel();
        let (tell, told) = channel();
        let links = Links::default();
        let inside = links.clone();
        spawn(move || {
            let tell = Box::new(move |address| tell.send(address).expect("somebody waits"));
            runtime(free).block_on(node(taken, inside, tell));
        });
        Self { commands, links, address: told.recv().expect("an address") }
    }

    fn command(&self, command: Command) {
        self.commands.send(command).expect("the node runs");
    }
}

fn runtime(free: bool) -> Runtime {
    let mut builder =
        if free { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder.enable_all().build().expect("a runtime")
}

impl Contestant for Remote {
    fn address(&mut self) -> String {
        self.address.clone()
    }

    fn dial(&mut self, to: &str) {
        self.command(Command::Dial(to.to_owned()));
    }

    fn links(&self) -> usize {
        self.links.0.load(Relaxed)
    }

    fn warm(&mut self) {
        self.command(Command::Warm);
    }

    fn begin(&mut self, pace: Pace) {
        self.command(Command::Begin(pace));
    }

    fn resume(&self) -> Box<dyn Fn() + Send> {
        let commands = self.commands.clone();
        Box::new(move || drop(commands.send(Command::Resume)))
    }
}
