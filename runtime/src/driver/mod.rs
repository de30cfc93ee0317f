//! The driver: everything between a node and an event loop, written once.
//!
//! Decides the order of a turn and how long the loop may sleep after it. It never blocks, awaits,
//! or knows a rule of the protocol. A turn takes commands and timers, accepts, reads each ready
//! socket once, tells the handlers, takes the commands that came meanwhile, writes each ready
//! socket once; what is left over makes the next turn follow at once, so that no socket keeps the
//! others waiting. The node's actions are done after each input.

mod links;
mod listeners;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use peerline_proto::{Event, Instant, Node, PeerId};

use crate::asked::{self, Asked};
use crate::builder::Setup;
use crate::clock::Clock;
use crate::cx::Cx;
use crate::error::StartError;
use crate::events::Outlet;
use crate::handle::Handle;
use crate::handlers::{Handlers, run_command};
use crate::io::Io;
use crate::log::{DRIVER, log_event};
use crate::names::Names;
use crate::remote::{Command, Remote};
use crate::saved::BookFile;
use links::Links;
use listeners::Listeners;

/// A node with its sockets, handlers and commands; driven by an event loop that calls
/// [`ready`](Self::ready) and [`turn`](Self::turn).
///
/// ```text
/// loop {
///     sleep until an edge, a wake, or the time `turn` gave
///     for each edge: driver.ready(key, readable, writable)
///     driver.turn()
/// }
/// ```
pub struct Driver<I: Io> {
    io: I,
    node: Node,
    clock: Clock,
    now: Instant,
    links: Links<I>,
    listeners: Listeners<I>,
    handlers: Handlers,
    names: Names,
    asked: Asked,
    book: BookFile,
    outlet: Option<Outlet>,
    remote: Arc<Remote>,
    /// Commands taken and not yet done; empty between turns.
    commands: VecDeque<Command>,
    stopped: bool,
}

/// What a key given to [`Io`] stands for. Even ones are connections, by their slot.
#[derive(Copy, Clone)]
enum Key {
    Connection(usize),
    Listener(usize),
}

impl Key {
    fn of(number: usize) -> Self {
        if number & 1 == 0 { Self::Connection(number >> 1) } else { Self::Listener(number >> 1) }
    }

    fn number(self) -> usize {
        match self {
            Self::Connection(slot) => slot << 1,
            Self::Listener(index) => index << 1 | 1,
        }
    }
}

impl<I: Io> Driver<I> {
    /// Binds the listeners and makes the node. `waker` wakes the loop from any thread, so that it
    /// calls [`turn`](Self::turn); it must work for as long as a [`Handle`] exists.
    ///
    /// # Errors
    /// [`StartError::Listen`] with the address that cannot be listened at; [`StartError::Book`].
    pub fn new(setup: Setup, mut io: I, waker: Waker) -> Result<(Self, Handle), StartError> {
        let listeners = Listeners::bind(&mut io, &setup.listen)?;
        let clock = Clock::new();
        let now = clock.now();
        let addrs = listeners.addrs();
        let mut node = Node::new(setup.config, setup.identity, setup.seed, clock.start());
        for addr in &addrs {
            log::debug!(target: crate::log::LISTEN, "listening at {addr}");
            node.listening(*addr, now);
        }
        let book = BookFile::open(setup.book, &mut node, now)?;
        let remote = Remote::new(node.id(), addrs, waker);
        let handle = Handle::new(Arc::clone(&remote));
        if let Some(outlet) = &setup.outlet {
            outlet.connect(&remote);
        }
        let mut driver = Self {
            io,
            node,
            clock,
            now,
            links: Links::new(),
            listeners,
            handlers: setup.handlers,
            names: Names::default(),
            asked: Asked::default(),
            book,
            outlet: setup.outlet,
            remote,
            commands: VecDeque::new(),
            stopped: false,
        };
        driver.handlers.begin(now);
        if let Some(route) = driver.handlers.router.take() {
            driver.node.set_router(route);
        }
        for addr in setup.bootstrap {
            driver.cx().1.add_bootstrap(addr);
        }
        Ok((driver, handle))
    }

    /// A socket's edge: it can be read from, written to, or both.
    pub fn ready(&mut self, key: usize, readable: bool, writable: bool) {
        match Key::of(key) {
            Key::Connection(slot) => self.links.ready(slot, readable, writable),
            Key::Listener(index) => self.listeners.ready(index),
        }
    }

    /// The event loop knows that the other side has ended its writing half, or all of it. A loop
    /// tells this if one edge may stand for both "bytes" and "end"; the socket is then read to
    /// its end without waiting for another edge.
    pub fn ended(&mut self, key: usize) {
        match Key::of(key) {
            Key::Connection(slot) => self.links.ended(slot),
            Key::Listener(_) => {}
        }
    }

    /// The event loop's sockets.
    pub fn io(&mut self) -> &mut I {
        &mut self.io
    }

    /// The driver's time when the last turn ended: what the sleep it gave counts from.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether the node has stopped: its sockets are closed, and no turn will do anything.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Does what there is to do, a bounded amount of it. Returns how long the loop may sleep
    /// unless an edge or the waker wakes it: zero if there is more to do, `None` for as long as
    /// it likes.
    pub fn turn(&mut self) -> Option<Duration> {
        if self.stopped {
            return None;
        }
        self.remote.drive();
        self.now = self.clock.now();
        self.do_timers();
        self.do_commands();
        self.names.ask(&self.remote, self.now);
        self.listeners.accept_round(&mut self.links, &mut self.io, &mut self.node, self.now);
        self.links.read_round(&mut self.io, &mut self.node, self.now);
        self.settle();
        // What handlers answer by a responder leaves with this turn's writes.
        self.do_commands();
        self.links.write_round(&mut self.io, &mut self.node, self.now);
        self.settle();
        if self.node.is_stopped() {
            // The rest is told whether or not there is room, so that every peer that came has
            // gone; the node's own bound is the bound.
            while self.tell_one() {}
            self.stop();
            return None;
        }
        self.sleep()
    }

    fn do_timers(&mut self) {
        if let Some(unix) = self.clock.jumped(self.now) {
            log::info!(target: DRIVER, "the wall clock jumped");
            self.node.wall_clock(unix, self.now);
        }
        if self.node.poll_timeout().is_some_and(|due| due <= self.now) {
            self.node.handle_timeout(self.now);
        }
        if self.handlers.next_due().is_some_and(|due| due <= self.now) {
            let (handlers, mut cx) = self.cx();
            handlers.tick(&mut cx);
        }
        self.book.tend(&self.node, self.now);
        self.act();
    }

    fn do_commands(&mut self) {
        let mut commands = std::mem::take(&mut self.commands);
        let shutdown = self.remote.take(&mut commands);
        for command in commands.drain(..) {
            run_command(&mut self.cx().1, command);
            self.act();
        }
        self.commands = commands;
        if let Some(within) = shutdown {
            self.node.shutdown(within, self.now);
        }
        self.act();
    }

    /// Actions to sockets and events to the application, until there are no more of either.
    fn settle(&mut self) {
        self.act();
        while self.has_room() && self.tell_one() {
            self.act();
        }
    }

    /// Tells the application one event; false if there is none.
    fn tell_one(&mut self) -> bool {
        let Some(event) = self.node.poll_event() else { return false };
        log_event(&event);
        let (handlers, mut cx) = self.cx();
        // Most are messages: these are told where they lie, for an event is long to hand over.
        if let Event::Message(message) = &event {
            if !handlers.tell_message(&mut cx, message) {
                self.pass_on(event);
            }
            return true;
        }
        let left = asked::tell(&mut cx, event).and_then(|event| handlers.tell(&mut cx, event));
        if let Some(event) = left {
            self.pass_on(event);
        }
        true
    }

    fn act(&mut self) {
        self.links.act(&mut self.io, &mut self.node, self.now);
    }

    /// Whether the application takes another event. While it does not, the node keeps them, and
    /// its own brake works.
    fn has_room(&mut self) -> bool {
        let readers = self.asked.has_room(&self.remote, self.now);
        readers && self.outlet.as_ref().is_none_or(Outlet::has_room)
    }

    /// An event that no handler took: to the stream, else to `otherwise`.
    fn pass_on(&mut self, event: Event) {
        let left = match &self.outlet {
            Some(outlet) => outlet.push(event).err(),
            None => Some(event),
        };
        if let Some(event) = left {
            let (handlers, mut cx) = self.cx();
            handlers.tell_otherwise(&mut cx, event);
        }
    }

    fn cx(&mut self) -> (&mut Handlers, Cx<'_>) {
        let Self { handlers, node, names, asked, book, remote, now, .. } = self;
        (handlers, Cx { node, names, asked, book, remote, now: *now })
    }

    fn sleep(&mut self) -> Option<Duration> {
        if self.links.is_busy() || self.listeners.is_busy() || !self.remote.may_sleep() {
            return Some(Duration::ZERO);
        }
        let next = [
            self.node.poll_timeout(),
            self.handlers.next_due(),
            self.listeners.next_due(),
            self.names.next_due(),
            self.asked.next_due(),
            self.book.next_due(),
        ];
        let next = next.into_iter().flatten().min()?;
        self.now = self.clock.now();
        Some(next.saturating_since(self.now))
    }

    /// Closes everything and tells everybody.
    fn stop(&mut self) {
        self.stopped = true;
        self.links.clear();
        self.listeners.clear();
        if let Some(outlet) = self.outlet.take() {
            outlet.end();
        }
        self.asked = Asked::default();
        self.book.close(&self.node);
        self.remote.stop(self.node.stats());
        log::debug!(target: DRIVER, "stopped");
    }
}

impl<I: Io> Drop for Driver<I> {
    /// Nobody who waits for an answer hangs, however the driver ends.
    fn drop(&mut self) {
        if !self.stopped {
            self.stop();
        }
    }
}

impl<I: Io> fmt::Debug for Driver<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("node", &PeerId::from(self.node.id()))
            .field("links", &self.links)
            .field("stopped", &self.stopped)
            .finish_non_exhaustive()
    }
}
