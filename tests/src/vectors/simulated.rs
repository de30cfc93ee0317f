//! A node on virtual time, with the peers of the vectors at its door.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{Config, Event, Node, Payload, Request};

use super::{Bench, End, Reaction, Then};
use crate::net::{Cut, HostId, Net, Stranger};

/// Where the peers of the vectors listen.
const PORTS: [u16; 3] = [47001, 47002, 47003];
/// Longer than the files' 1.5 s of watching.
const WATCHED: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);

/// A node on virtual time.
#[derive(Debug)]
pub struct Simulated {
    /// The network.
    pub net: Net,
    /// The node.
    pub host: HostId,
    dials: u16,
    answered: usize,
    heard: BTreeMap<u16, usize>,
}

impl Simulated {
    /// A fresh node.
    pub fn new(seed: u64) -> Self {
        Self::with_config(seed, Config::default())
    }

    /// A fresh node with these settings.
    pub fn with_config(seed: u64, config: Config) -> Self {
        let mut net = Net::new(seed);
        net.latency(1, 5);
        net.cut(Cut::Whole);
        let host = net.add_with(config);
        Self { net, host, dials: 0, answered: 0, heard: BTreeMap::new() }
    }

    fn place(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// Lets time pass, and the application answer.
    fn pass(&mut self, time: Duration) {
        let end = self.net.now() + time;
        while self.net.now() < end {
            self.net.run_for(STEP);
            let events = &self.net.events(self.host)[self.answered..];
            let requests: Vec<Request> = events
                .iter()
                .filter_map(|event| match event {
                    Event::Request(request) => Some(request.clone()),
                    _ => None, // Event may grow; this answers requests alone
                })
                .collect();
            self.answered += events.len();
            for request in requests {
                self.net.with(self.host, |node, now| answer(node, &request, now));
            }
        }
    }

    fn calls(&mut self) -> BTreeMap<u16, Vec<Vec<u8>>> {
        let mut calls = BTreeMap::new();
        for port in PORTS {
            let seen = self.heard.entry(port).or_default();
            let lured: Vec<Stranger> = self.net.lured(Self::place(port))[*seen..].to_vec();
            *seen += lured.len();
            if !lured.is_empty() {
                let heard = lured.iter().map(|stranger| self.net.heard_bytes(*stranger));
                calls.insert(port, heard.map(<[u8]>::to_vec).collect());
            }
        }
        calls
    }
}

/// The part of a program that shares files, as far as the vectors need it.
pub fn answer_of(kind: &str, text: &str) -> Option<(&'static str, String)> {
    match kind {
        "QUER" => Some(match text.split_whitespace().collect::<Vec<_>>()[..] {
            [_, key, _] => ("REPL", format!("Query ACK: {key}")),
            _ => ("ERRO", "Query: incorrect arguments".to_owned()),
        }),
        "FGET" => Some(("ERRO", "File not found".to_owned())),
        _ => None,
    }
}

fn answer(node: &mut Node, request: &Request, now: peerline_proto::Instant) {
    let text: String = request.parse().unwrap_or_default();
    let to = request.reply_to();
    let done = match answer_of(request.kind(), &text) {
        Some((kind, text)) => {
            let body = Payload::encode(&text).expect("a text is JSON");
            node.reply(to, kind, &body, true, now)
        }
        None => node.refuse(to, peerline_proto::NakCode::NoHandler, now),
    };
    done.expect("the asker waits");
}

impl Bench for Simulated {
    fn play(
        &mut self,
        segments: &[&[u8]],
        then: Then,
        _done: &dyn Fn(&Reaction) -> bool,
    ) -> Reaction {
        PORTS[..2].iter().for_each(|port| self.net.lure(Self::place(*port)));
        self.dials += 1;
        let from = Self::place(50_000 + self.dials % 10_000);
        let peer = self.net.intrude(self.host, from);
        self.pass(STEP);
        for segment in segments.iter().filter(|segment| !segment.is_empty()) {
            self.net.say(peer, segment);
            self.pass(STEP);
        }
        match then {
            Then::Keep => {}
            Then::Shutdown => self.net.hang_up(peer),
            Then::Close => self.net.break_off(peer),
        }
        self.pass(WATCHED);
        let end = match (self.net.is_cut(peer), self.net.was_reset(peer)) {
            (false, _) => End::Open,
            (true, false) => End::Eof,
            (true, true) => End::Reset,
        };
        let reply = self.net.heard_bytes(peer).to_vec();
        let messages = self.calls();
        self.net.hang_up(peer);
        self.pass(WATCHED);
        Reaction { reply, end, messages }
    }

    fn check_live(&mut self) {
        PORTS.iter().for_each(|port| self.net.unlure(Self::place(*port)));
        self.net.with(self.host, Node::check_live);
        self.pass(WATCHED);
    }
}
