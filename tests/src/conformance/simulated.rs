//! The stage of virtual time: the scripts on a [`Net`], without sockets or waiting.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{Config, Event, NodeId, PeerInfo, Receipt, Stats};

use super::{Command, Setup, Stage};
use crate::net::{Net, Stranger};

/// The stage.
#[derive(Debug)]
pub struct Simulated {
    net: Net,
    strangers: Vec<Stranger>,
}

impl Simulated {
    /// An empty stage; the seed decides latencies and cuts.
    pub fn new(seed: u64) -> Self {
        let mut net = Net::new(seed);
        net.latency(1, 20);
        Self { net, strangers: Vec::new() }
    }
}

impl Stage for Simulated {
    fn start(&mut self, setup: Setup) -> usize {
        let config = Config::builder().limits(setup.limits).build().expect("limits that fit");
        let host = self.net.add_with(config);
        self.net.drain(host, false);
        for addr in setup.bootstrap {
            self.net.with(host, |node, now| node.add_bootstrap(addr, now));
        }
        host
    }

    fn addr(&self, node: usize) -> SocketAddr {
        self.net.addr(node)
    }

    fn id(&self, node: usize) -> NodeId {
        self.net.node(node).id()
    }

    fn command(&mut self, node: usize, command: Command) -> Result<Receipt, String> {
        self.net.with(node, |node, now| command.apply(node, now))
    }

    fn peers(&self, node: usize) -> Vec<PeerInfo> {
        self.net.node(node).peers().collect()
    }

    fn stats(&self, node: usize) -> Stats {
        self.net.node(node).stats()
    }

    fn next_event(&mut self, node: usize, within: Duration) -> Option<Event> {
        let mut event = self.net.take_event(node);
        self.net.run_while(within, |net| {
            event = event.take().or_else(|| net.take_event(node));
            event.is_none()
        });
        event
    }

    fn is_stopped(&mut self, node: usize, within: Duration) -> bool {
        self.net.run_until(within, |net| net.node(node).is_stopped())
    }

    /// A tenth of a thousand: here the number proves nothing, and every step looks at all pipes.
    fn crowd(&self) -> usize {
        100
    }

    fn nowhere(&mut self) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 99], 5999))
    }

    fn connect(&mut self, node: usize) -> usize {
        let number = u16::try_from(self.strangers.len()).expect("some strangers");
        let from = SocketAddr::from(([192, 0, 2, (number % 99) as u8], 40_000 + number));
        self.strangers.push(self.net.intrude(node, from));
        self.strangers.len() - 1
    }

    fn say(&mut self, stranger: usize, bytes: &[u8]) {
        self.net.say(self.strangers[stranger], bytes);
    }

    fn heard(&mut self, stranger: usize) -> String {
        self.net.heard(self.strangers[stranger])
    }

    fn turn_deaf(&mut self, stranger: usize) {
        self.net.turn_deaf(self.strangers[stranger]);
    }

    fn listen(&mut self, stranger: usize) {
        self.net.listen(self.strangers[stranger]);
    }

    fn sip(&mut self, stranger: usize, most: usize, within: Duration) -> Vec<u8> {
        let stranger = self.strangers[stranger];
        self.net.run_until(within, |net| net.has_unread(stranger));
        self.net.sip(stranger, most)
    }

    /// To the node it is the same as hanging up, for there is nothing more to be told.
    fn leave(&mut self, stranger: usize) {
        self.hang_up(stranger);
    }

    fn hang_up(&mut self, stranger: usize) {
        self.net.hang_up(self.strangers[stranger]);
    }

    fn reset(&mut self, stranger: usize) {
        self.net.break_off(self.strangers[stranger]);
    }

    fn is_cut(&mut self, stranger: usize, within: Duration) -> bool {
        let stranger = self.strangers[stranger];
        self.net.run_until(within, |net| net.is_cut(stranger))
    }

    fn was_reset(&mut self, stranger: usize) -> bool {
        self.net.was_reset(self.strangers[stranger])
    }
}
