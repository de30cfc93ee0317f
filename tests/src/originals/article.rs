//! The article's node, as a model: JSON lines, and a connection is dropped for a line that is cut.
//!
//! It reads what has come, splits it at line ends and takes each part for a whole line; a part
//! that is none is an error that its framework answers by closing. It is strict where the article's
//! is by accident: what it cannot stand, it remembers as a fault.

use serde_json::{Value, json};

/// The most that it reads at once.
pub const READ_AT_ONCE: usize = 1_200;

/// One connection of the node.
#[derive(Clone, Debug)]
pub struct Article {
    /// Its name.
    pub id: String,
    /// Where it says that it listens.
    pub listens: String,
    /// It was dialled: so it answers a hello.
    pub listener: bool,
    /// The hello of the other side, once it came.
    pub peer: Option<String>,
    /// What it was told of others.
    pub told: Vec<(String, String)>,
    /// What it could not stand; the first ends the connection.
    pub faults: Vec<String>,
    /// Lines by their kind.
    pub lines: Vec<String>,
}

impl Article {
    /// A connection that has just been made.
    pub fn new(id: &str, listens: &str, listener: bool) -> Self {
        Self {
            id: id.to_owned(),
            listens: listens.to_owned(),
            listener,
            peer: None,
            told: Vec::new(),
            faults: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// What it writes first if it dialled.
    pub fn hello(&self) -> String {
        line(&json!({"nodeid": self.id, "msgtype": "hello"}))
    }

    /// Whether it has closed the connection.
    pub fn is_over(&self) -> bool {
        !self.faults.is_empty()
    }

    /// What came in one piece; returns what it writes, in one piece.
    pub fn hear(&mut self, piece: &[u8]) -> String {
        if piece.len() > READ_AT_ONCE {
            self.faults.push(format!("{} bytes at once", piece.len()));
        }
        let text = String::from_utf8_lossy(piece).into_owned();
        if !text.ends_with('\n') {
            self.faults.push(format!("a cut line: {text}"));
        }
        let mut written = String::new();
        for part in text.lines() {
            match serde_json::from_str::<Value>(part) {
                Ok(object) => written += &self.on_line(&object, part),
                Err(error) => self.faults.push(format!("no line, {error}: {part}")),
            }
        }
        written
    }

    fn on_line(&mut self, object: &Value, text: &str) -> String {
        let kind = object["msgtype"].as_str().unwrap_or_default().to_owned();
        self.lines.push(kind.clone());
        let first = self.lines.len() == 1;
        match kind.as_str() {
            "hello" if first => {
                self.peer = object["nodeid"].as_str().map(str::to_owned);
                if self.peer.is_none() {
                    self.faults.push(format!("a hello of nobody: {text}"));
                }
                self.greet()
            }
            "ping" if !first => line(&json!({"msgtype": "pong"})),
            "pong" if !first => String::new(),
            "getaddr" if !first => {
                line(&json!({"msgtype": "addr", "peers": [[self.listens, self.id]]}))
            }
            "addr" if !first => {
                self.on_addr(object, text);
                String::new()
            }
            _ => {
                self.faults.push(format!("nothing for the article: {text}"));
                String::new()
            }
        }
    }

    /// After a hello: its own if it was dialled, then a ping, where it listens, and a question.
    fn greet(&self) -> String {
        let own = if self.listener { self.hello() } else { String::new() };
        let addr = json!({"msgtype": "addr", "peers": [self.listens]});
        let rest = [json!({"msgtype": "ping"}), addr, json!({"msgtype": "getaddr"})];
        rest.iter().fold(own, |text, object| text + &line(object))
    }

    fn on_addr(&mut self, object: &Value, text: &str) {
        let keys = object.as_object().map_or(0, serde_json::Map::len);
        let peers = object["peers"].as_array().cloned().unwrap_or_default();
        if keys != 2 || peers.len() > 16 {
            self.faults.push(format!("no addr of the article: {text}"));
        }
        for peer in peers {
            match (peer[0].as_str(), peer[1].as_str(), peer.as_array().map(Vec::len)) {
                (Some(addr), Some(id), Some(2)) => self.told.push((addr.into(), id.into())),
                _ => self.faults.push(format!("no pair of two: {text}")),
            }
        }
    }
}

fn line(object: &Value) -> String {
    format!("{object}\n")
}
