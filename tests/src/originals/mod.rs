//! Small models of the three older programs, and a world in which they live beside real nodes.
//!
//! A model is what the vectors and the programs' own words say, and no more: bytes in, bytes out.
//! The [`World`] carries them: over the pipes of a [`Net`] where a node is at the other end, by its
//! own mail between two originals. What an original cannot take in time it loses, as a listener
//! with a short backlog does.

pub mod article;
pub mod btpeer;
pub mod chat;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{Instant, Payload};
use serde_json::Value;

use crate::entropy::Entropy;
use crate::net::{Cut, HostId, Net, Stranger};
use article::Article;
use btpeer::BtPeer;
use chat::{ChatPeer, Letter};

/// Objects that wait for an original that is busy.
const BACKLOG: usize = 128;
/// How long an original takes for an object; the world's tick.
const TICK: Duration = Duration::from_millis(5);
/// The second that clocks show when a run begins, as those of the nodes do.
const EPOCH: i64 = 1_600_000_000;

/// A chat peer, and what waits for it.
#[derive(Debug)]
struct Chatting {
    peer: ChatPeer,
    /// It is gone: nobody listens there.
    gone: bool,
    seen: usize,
    /// Connections on which nothing has come yet.
    open: Vec<Stranger>,
    backlog: VecDeque<Vec<u8>>,
}

/// A BTPeer peer.
#[derive(Debug)]
struct Framing {
    peer: BtPeer,
    seen: usize,
    open: Vec<Stranger>,
}

/// A connection of the article's node.
#[derive(Debug)]
struct Talking {
    node: Article,
    stranger: Stranger,
    heard: usize,
}

/// An address of the article's node, where it may be dialled.
#[derive(Debug)]
struct Listening {
    addr: SocketAddr,
    id: String,
    seen: usize,
}

/// Nodes and originals.
#[derive(Debug)]
pub struct World {
    /// The nodes.
    pub net: Net,
    entropy: Entropy,
    chats: Vec<Chatting>,
    frames: Vec<Framing>,
    articles: Vec<Listening>,
    talks: Vec<Talking>,
    mail: BTreeMap<(Instant, u64), Letter>,
    posted: u64,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        let mut net = Net::new(seed);
        net.cut(Cut::Whole);
        Self {
            net,
            entropy: Entropy::new(!seed),
            chats: Vec::new(),
            frames: Vec::new(),
            articles: Vec::new(),
            talks: Vec::new(),
            mail: BTreeMap::new(),
            posted: 0,
        }
    }

    // ---- who is there ----

    /// A chat peer at this address.
    pub fn add_chat(&mut self, name: &str, addr: SocketAddr) -> usize {
        self.net.lure(addr);
        let peer = ChatPeer::new(name, addr);
        let (open, backlog) = (Vec::new(), VecDeque::new());
        self.chats.push(Chatting { peer, gone: false, seen: 0, open, backlog });
        self.chats.len() - 1
    }

    /// A chat peer's state.
    pub fn chat(&mut self, number: usize) -> &mut ChatPeer {
        &mut self.chats[number].peer
    }

    /// A chat peer ends, without a word.
    pub fn kill_chat(&mut self, number: usize) {
        self.chats[number].gone = true;
        self.net.unlure(self.chats[number].peer.addr);
    }

    /// A BTPeer peer at this address.
    pub fn add_btpeer(&mut self, addr: SocketAddr) -> usize {
        self.net.lure(addr);
        self.frames.push(Framing { peer: BtPeer::new(addr), seen: 0, open: Vec::new() });
        self.frames.len() - 1
    }

    /// A BTPeer peer's state.
    pub fn btpeer(&mut self, number: usize) -> &mut BtPeer {
        &mut self.frames[number].peer
    }

    /// The article's node at this address.
    pub fn add_article(&mut self, id: &str, addr: SocketAddr) {
        self.net.lure(addr);
        self.articles.push(Listening { addr, id: id.to_owned(), seen: 0 });
    }

    /// A node of the article dials one of ours.
    pub fn article_dials(&mut self, number: usize, host: HostId) {
        let Listening { addr, id, .. } = &self.articles[number];
        let node = Article::new(id, &addr.to_string(), false);
        let from = SocketAddr::new(addr.ip(), 40_000);
        let stranger = self.net.intrude(host, from);
        self.net.say(stranger, node.hello());
        self.talks.push(Talking { node, stranger, heard: 0 });
    }

    /// All connections of the article's nodes so far.
    pub fn articles(&self) -> impl Iterator<Item = &Article> {
        self.talks.iter().map(|talk| &talk.node)
    }

    // ---- what they do ----

    /// The second that all clocks show.
    pub fn second(&self) -> i64 {
        let passed = self.net.now().saturating_since(Instant::ZERO).as_secs();
        EPOCH + i64::try_from(passed).expect("a short run")
    }

    /// A chat peer joins whoever is at an address.
    pub fn chat_joins(&mut self, number: usize, addr: SocketAddr) {
        let letter = self.chats[number].peer.join(addr, self.second());
        self.send(number, letter);
    }

    /// A chat peer asks somebody whom he knows.
    pub fn chat_asks(&mut self, number: usize, addr: SocketAddr) {
        let letter = self.chats[number].peer.ask(addr, self.second());
        self.send(number, letter);
    }

    /// A chat peer says something. Returns what it is known by.
    pub fn chat_says(&mut self, number: usize, msg: &Value) -> (String, Value, String) {
        let second = self.second();
        let (time, letters) = self.chats[number].peer.say(msg, second);
        letters.into_iter().for_each(|letter| self.send(number, letter));
        (self.chats[number].peer.name.clone(), msg.clone(), time)
    }

    /// One of our nodes says something in chat.
    pub fn node_says(&mut self, host: HostId, msg: &Value) {
        let body = Payload::encode(msg).expect("a value is JSON");
        let said = self.net.with(host, |node, now| node.broadcast("CHAT", &body, now));
        said.expect("it fits");
    }

    /// A BTPeer peer writes to a node; what it hears back, in the end.
    pub fn btpeer_asks(&mut self, from: SocketAddr, host: HostId, bytes: &[u8]) -> Stranger {
        let stranger = self.net.intrude(host, SocketAddr::new(from.ip(), 40_000));
        self.net.say(stranger, bytes);
        stranger
    }

    /// Bytes for an address, from an original's.
    fn send(&mut self, from: usize, (to, bytes): Letter) {
        let host = (0..self.net.hosts()).find(|host| self.net.addr(*host) == to);
        if let Some(host) = host {
            let from = SocketAddr::new(self.chats[from].peer.addr.ip(), 40_000);
            let stranger = self.net.intrude(host, from);
            self.net.say(stranger, bytes);
            return self.net.hang_up(stranger);
        }
        self.posted += 1;
        let at = self.net.now() + self.entropy.millis(1, 60);
        self.mail.insert((at, self.posted), (to, bytes));
    }

    // ---- time ----

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.net.now() + time;
        while self.net.now() < end {
            self.net.run_for(TICK);
            self.deliver_mail();
            (0..self.chats.len()).for_each(|number| self.tend_chat(number));
            (0..self.frames.len()).for_each(|number| self.tend_btpeer(number));
            self.tend_articles();
        }
    }

    fn deliver_mail(&mut self) {
        let now = self.net.now();
        while let Some(entry) = self.mail.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, bytes) = entry.remove();
            let reader = self.chats.iter_mut().find(|chat| chat.peer.addr == to && !chat.gone);
            if let Some(reader) = reader.filter(|reader| reader.backlog.len() < BACKLOG) {
                reader.backlog.push_back(bytes);
            }
        }
    }

    /// Takes what came for a chat peer, and lets it read one object.
    fn tend_chat(&mut self, number: usize) {
        let second = self.second();
        let chat = &mut self.chats[number];
        if chat.gone {
            return;
        }
        let lured = self.net.lured(chat.peer.addr);
        chat.open.extend(lured.get(chat.seen..).unwrap_or_default());
        chat.seen = lured.len();
        let net = &self.net;
        let Chatting { open, backlog, .. } = chat;
        open.retain(|stranger| {
            let bytes = net.heard_bytes(*stranger);
            if !bytes.is_empty() && backlog.len() < BACKLOG {
                backlog.push_back(bytes.to_vec());
            }
            bytes.is_empty() && !net.is_cut(*stranger)
        });
        let Some(bytes) = chat.backlog.pop_front() else { return };
        let letters = chat.peer.hear(&bytes, second);
        letters.into_iter().for_each(|letter| self.send(number, letter));
    }

    fn tend_btpeer(&mut self, number: usize) {
        let Framing { peer, seen, open } = &mut self.frames[number];
        let lured = self.net.lured(peer.addr);
        open.extend(lured.get(*seen..).unwrap_or_default());
        *seen = lured.len();
        let net = &mut self.net;
        open.retain(|stranger| {
            let Some(reply) = peer.hear(net.heard_bytes(*stranger)) else { return true };
            if !reply.is_empty() {
                net.say(*stranger, reply);
            }
            net.hang_up(*stranger);
            false
        });
    }

    fn tend_articles(&mut self) {
        for Listening { addr, id, seen } in &mut self.articles {
            for stranger in self.net.lured(*addr).get(*seen..).unwrap_or_default() {
                let node = Article::new(id, &addr.to_string(), true);
                self.talks.push(Talking { node, stranger: *stranger, heard: 0 });
            }
            *seen = self.net.lured(*addr).len();
        }
        for Talking { node, stranger, heard } in &mut self.talks {
            let piece = self.net.heard_bytes(*stranger)[*heard..].to_vec();
            *heard += piece.len();
            if piece.is_empty() || node.is_over() {
                continue;
            }
            let written = node.hear(&piece);
            if node.is_over() {
                self.net.break_off(*stranger);
            } else if !written.is_empty() {
                self.net.say(*stranger, written);
            }
        }
    }
}
