//! A peer of the BTPeer framework, as a model: one request per connection, answered and closed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::vectors::{frame, frames};

/// The peer.
#[derive(Clone, Debug)]
pub struct BtPeer {
    /// Where it listens, which is its name too.
    pub addr: SocketAddr,
    /// Whom it knows, as host and port.
    pub peers: BTreeMap<String, (String, String)>,
    /// How many that may be; 0: any number.
    pub max_peers: usize,
    /// Frames of other kinds that it was sent.
    pub taken: Vec<(String, String)>,
}

impl BtPeer {
    /// A peer that knows nobody.
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, peers: BTreeMap::new(), max_peers: 0, taken: Vec::new() }
    }

    /// Its name.
    pub fn id(&self) -> String {
        self.addr.to_string()
    }

    /// Its request to be added to another's peers.
    pub fn join(&self) -> Vec<u8> {
        let (id, ip, port) = (self.id(), self.addr.ip(), self.addr.port());
        frame("JOIN", format!("{id} {ip} {port}").as_bytes())
    }

    /// What it writes about what it read; `None` while the request is not whole.
    pub fn hear(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (kind, text) = frames(bytes)?.into_iter().next()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let reply = |kind: &str, text: &str| frame(kind, text.as_bytes());
        Some(match (kind.as_str(), &words[..]) {
            ("NAME", _) => reply("REPL", &self.id()),
            ("LIST", _) => self.list(),
            ("JOIN", _) if self.max_peers != 0 && self.peers.len() >= self.max_peers => {
                reply("ERRO", "Join: too many peers")
            }
            ("JOIN", [id, host, port]) => {
                if self.peers.contains_key(*id) || *id == self.id() {
                    reply("ERRO", &format!("Join: peer already inserted {id}"))
                } else {
                    self.peers.insert((*id).into(), ((*host).into(), (*port).into()));
                    reply("REPL", &format!("Join: peer added: {id}"))
                }
            }
            ("JOIN", _) => reply("ERRO", "Join: incorrect arguments"),
            ("QUIT", [id]) => match self.peers.remove(*id) {
                Some(_) => reply("REPL", &format!("Quit: peer removed: {id}")),
                None => reply("ERRO", &format!("Quit: peer not found: {id}")),
            },
            ("PING", _) => Vec::new(),
            (kind, _) => {
                self.taken.push((kind.to_owned(), text.clone()));
                Vec::new()
            }
        })
    }

    fn list(&self) -> Vec<u8> {
        let count = frame("REPL", self.peers.len().to_string().as_bytes());
        let rows = self.peers.iter().map(|(id, (host, port))| format!("{id} {host} {port}"));
        let rows = rows.map(|row| frame("REPL", row.as_bytes()));
        [count].into_iter().chain(rows).collect::<Vec<_>>().concat()
    }
}
