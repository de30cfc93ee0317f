//! How an application sets a node up, in the same words on every runtime.
//!
//! Decides the order of things: settings are only collected until [`Builder::build`] checks them,
//! binds the listeners and makes the node. Nothing runs before that. What differs between event
//! loops is behind [`Runtime`]; each runtime names its own `Builder<…>`.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use peerline_proto::{
    CloseReason, Config, ConfigBuilder, Dialect, Event, GuestHosts, Identity, Keyspace, Limits,
    Listen, Message, NodeId, PeerId, Request, Verdict,
};

use crate::clock;
use crate::cx::Cx;
use crate::error::StartError;
use crate::events::{self, Events, Outlet};
use crate::handle::Handle;
use crate::handlers::Handlers;
use crate::log::DRIVER;
use crate::names;
use crate::responder::Responder;

/// An event loop that can run a node.
pub trait Runtime: Sized + Send + 'static {
    /// The shape in which this loop's users expect a stream of events.
    type Events: From<Events>;

    /// Makes the loop and, on it, the node, which listens from here on.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind then.
    fn new(setup: Setup) -> Result<(Self, Handle), StartError>;

    /// Runs the node on this thread until it has stopped.
    ///
    /// # Errors
    /// The event loop failed; the node is gone.
    fn run(self) -> io::Result<()>;
}

/// Everything a node is made of, checked: what a [`Builder`] hands to its runtime, and a runtime
/// to the [`Driver`](crate::Driver).
#[derive(Debug)]
pub struct Setup {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) seed: [u8; 32],
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) bootstrap: Vec<String>,
    pub(crate) book: Option<PathBuf>,
    pub(crate) handlers: Handlers,
    pub(crate) outlet: Option<Outlet>,
}

/// Collects the settings and handlers of a node.
///
/// Handlers run on the thread that drives the node and must not block. One that panics is logged
/// and counted, and called again for the next event. Several handlers for the same are called in
/// the order given.
#[must_use]
pub struct Builder<R> {
    config: ConfigBuilder,
    identity: Option<Identity>,
    seed: Option<[u8; 32]>,
    listen: Vec<String>,
    bootstrap: Vec<String>,
    book: Option<PathBuf>,
    handlers: Handlers,
    outlet: Option<Outlet>,
    runtime: PhantomData<fn() -> R>,
}

impl<R: Runtime> Builder<R> {
    /// A node that listens nowhere and knows nobody yet.
    #[allow(clippy::new_without_default)] // one way to begin is enough
    pub fn new() -> Self {
        Self {
            config: Config::builder(),
            identity: None,
            seed: None,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            book: None,
            handlers: Handlers::default(),
            outlet: None,
            runtime: PhantomData,
        }
    }

    // ---- where

    /// Listens at this address; may be said several times. `[::]:5999` takes IPv4 connections
    /// too, unless the same port is asked for there separately. Port 0 lets the system choose.
    pub fn listen(mut self, addr: impl ToString) -> Self {
        self.listen.push(addr.to_string());
        self
    }

    /// Adds addresses, or names with a port, that are dialled whenever connections are few. Names
    /// are looked up while the node runs, until they have an address.
    pub fn bootstrap<I>(mut self, addrs: I) -> Self
    where
        I: IntoIterator,
        I::Item: ToString,
    {
        self.bootstrap.extend(addrs.into_iter().map(|addr| addr.to_string()));
        self
    }

    /// Keeps the address book in this file over a restart: it is read at the start, if it is there,
    /// and saved a minute after it, then every ten minutes while it changes, and when the node
    /// stops. A file that is damaged, or no address book, is put aside with `.bad` behind its
    /// name and a warning in the log. No two nodes may have the same file.
    pub fn book(mut self, path: impl Into<PathBuf>) -> Self {
        self.book = Some(path.into());
        self
    }

    // ---- settings

    /// The network's name, 1 to 64 bytes; only nodes of one network connect. Default `peerline`.
    pub fn network(mut self, name: impl Into<String>) -> Self {
        self.config = self.config.network(name);
        self
    }

    /// The program's name and version, told to peers, up to 64 bytes.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.config = self.config.agent(agent);
        self
    }

    /// Where the node says that it listens, if others see it elsewhere than it does itself.
    pub fn advertise(mut self, listen: Listen) -> Self {
        self.config = self.config.advertise(listen);
        self
    }

    /// How many peers there may be in all; 0, the default, means any number within [`Limits`].
    pub fn max_peers(mut self, peers: usize) -> Self {
        self.config = self.config.max_peers(peers);
        self
    }

    /// Whether private addresses are exempt from the rules on network groups. Default true.
    pub fn private_exempt(mut self, exempt: bool) -> Self {
        self.config = self.config.private_exempt(exempt);
        self
    }

    /// Whether a guest dialect is spoken. Default: both are; the native one always is.
    pub fn speak(mut self, dialect: Dialect, on: bool) -> Self {
        self.config = self.config.speak(dialect, on);
        self
    }

    /// Where guests are dialled. Default: where they speak from, at the port they name.
    pub fn guest_hosts(mut self, hosts: GuestHosts) -> Self {
        self.config = self.config.guest_hosts(hosts);
        self
    }

    /// The name in chat, 1 to 59 bytes; four digits of the node's id are added. Default `peerline`.
    pub fn chat_name(mut self, name: impl Into<String>) -> Self {
        self.config = self.config.chat_name(name);
        self
    }

    /// How far the time in chat is ahead of UTC, in seconds. Default 0.
    pub fn utc_offset(mut self, seconds: i32) -> Self {
        self.config = self.config.utc_offset(seconds);
        self
    }

    /// Broadcasts of this kind are passed on only when they were accepted, by a handler
    /// [`on_validated`](Self::on_validated) or by [`Handle::verdict`] for the message's
    /// [`token`](Message::token). By default all are passed on at once.
    pub fn validate(mut self, kind: impl Into<String>) -> Self {
        self.config = self.config.validate(kind);
        self
    }

    /// The same for broadcasts of every kind.
    pub fn validate_all(mut self) -> Self {
        self.config = self.config.validate_all();
        self
    }

    /// Whether lines for one node find their way by its id, for networks of more than some thousand
    /// nodes. Default [`Keyspace::Off`]; only nodes that are set so take part.
    pub fn keyspace(mut self, keyspace: Keyspace) -> Self {
        self.config = self.config.keyspace(keyspace);
        self
    }

    /// The node's bounds. Default [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config = self.config.limits(limits);
        self
    }

    /// Who the node is. Default: a new random id.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The seed of the node's own choices, for tests. Default: from the operating system. Who
    /// knows it can foresee what the node does.
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    // ---- handlers

    /// Calls this for messages of a kind.
    pub fn on(
        mut self,
        kind: &str,
        call: impl FnMut(&mut Cx<'_>, &Message) + Send + 'static,
    ) -> Self {
        self.handlers.on(kind, Box::new(call));
        self
    }

    /// Asks this about each broadcast of a kind before it is passed on. Those accepted go on to
    /// the handlers [`on`](Self::on) that kind, or the way of events that no handler takes;
    /// nobody hears of the others. Said twice for a kind, the second counts. One that panics
    /// ignores.
    ///
    /// For a verdict that takes longer say [`validate`](Self::validate) and `on`, and give it
    /// later by [`Handle::verdict`].
    pub fn on_validated(
        mut self,
        kind: &str,
        judge: impl FnMut(&mut Cx<'_>, &Message) -> Verdict + Send + 'static,
    ) -> Self {
        self.config = self.config.validate(kind);
        self.handlers.on_validated(kind, Box::new(judge));
        self
    }

    /// Calls this for requests of a kind, from native peers and, if the kind has four letters,
    /// from BTPeer guests. The [`Responder`] answers, in the handler or later; dropped, it
    /// refuses. Said twice for a kind, the second counts. A request whose kind has no handler
    /// goes the way of events that nobody takes; if nobody is there either, whoever asked hears
    /// that.
    pub fn on_request(
        mut self,
        kind: &str,
        call: impl FnMut(&mut Cx<'_>, &Request, Responder) + Send + 'static,
    ) -> Self {
        self.handlers.on_request(kind, Box::new(call));
        self
    }

    /// Asks this by which neighbour a node is reached, before any search. It must be quick and
    /// must not block: it is asked for each message to a node that is no neighbour. Answers that
    /// name no neighbour are ignored. Said twice, the second counts.
    pub fn router(
        mut self,
        route: impl Fn(&PeerId) -> Option<PeerId> + Send + Sync + 'static,
    ) -> Self {
        self.handlers.router = Some(Box::new(route));
        self
    }

    /// Calls this when a peer is connected.
    pub fn on_peer_up(mut self, call: impl FnMut(&mut Cx<'_>, PeerId) + Send + 'static) -> Self {
        self.handlers.on_peer_up(Box::new(call));
        self
    }

    /// Calls this when the last connection to a peer has ended.
    pub fn on_peer_down(
        mut self,
        call: impl FnMut(&mut Cx<'_>, PeerId, CloseReason) + Send + 'static,
    ) -> Self {
        self.handlers.on_peer_down(Box::new(call));
        self
    }

    /// Calls this again and again, the first time one period after the start. At least one
    /// millisecond; a period missed is not made up for.
    pub fn every(
        mut self,
        period: Duration,
        call: impl FnMut(&mut Cx<'_>) + Send + 'static,
    ) -> Self {
        self.handlers.every(period, Box::new(call));
        self
    }

    /// Calls this for every event that no handler above takes. Not called while somebody reads
    /// the stream of [`events`](Self::events). Said twice, the second counts.
    pub fn otherwise(mut self, call: impl FnMut(&mut Cx<'_>, Event) + Send + 'static) -> Self {
        self.handlers.otherwise(Box::new(call));
        self
    }

    /// Gives a stream of every event that no handler takes. It must be read, or dropped: an
    /// unread stream in time stops the reading of those who send. Requests in it are the reader's
    /// to answer, by [`Handle::responder`]. Said twice, the second counts, and the first ends.
    pub fn events(mut self) -> (Self, R::Events) {
        let (outlet, events) = events::channel();
        if let Some(before) = self.outlet.replace(outlet) {
            before.end();
        }
        (self, events.into())
    }

    // ---- the end of it

    /// Runs the node on a thread of its own.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind then.
    pub fn start(self) -> Result<Handle, StartError> {
        let (runner, handle) = self.build()?;
        thread::Builder::new().name("peerline".into()).spawn(move || {
            if let Err(error) = runner.run() {
                log::error!(target: DRIVER, "the event loop failed: {error}");
            }
        })?;
        Ok(handle)
    }

    /// Runs the node on this thread, until a handler shuts it down.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn run(self) -> Result<(), StartError> {
        let (runner, handle) = self.build()?;
        runner.run()?;
        drop(handle); // kept until here, for the last one dropped stops the node
        Ok(())
    }

    /// Makes the node without running it: for a handle before the start, and for loops of your
    /// own. The node listens from here on.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left behind then.
    pub fn build(self) -> Result<(R, Handle), StartError> {
        R::new(self.setup()?)
    }

    /// Checks the settings, for a runtime that makes the node in a way of its own.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn setup(self) -> Result<Setup, StartError> {
        let mut listen = Vec::new();
        for text in &self.listen {
            let found = names::look_up(text);
            let found = found.map_err(|error| StartError::Address { text: text.clone(), error })?;
            listen.extend(found);
        }
        Ok(Setup {
            config: self.config.build()?,
            identity: match self.identity {
                Some(identity) => identity,
                None => random_identity()?,
            },
            seed: match self.seed {
                Some(seed) => seed,
                None => clock::seed()?,
            },
            listen,
            bootstrap: self.bootstrap,
            book: self.book,
            handlers: self.handlers,
            outlet: self.outlet,
        })
    }
}

fn random_identity() -> io::Result<Identity> {
    let mut bytes = [0; 16];
    for (byte, random) in bytes.iter_mut().zip(clock::seed()?) {
        *byte = random;
    }
    Ok(Identity::new(NodeId::from_random_bytes(bytes)))
}

impl<R> fmt::Debug for Builder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listen", &self.listen)
            .field("bootstrap", &self.bootstrap)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}
