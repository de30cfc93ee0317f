//! The original chat program, as a model: one object per connection, read once, 2,048 bytes at
//! most; a window of ten (message, time) pairs; nobody is ever forgotten.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use peerline_proto::ctime;
use serde_json::{Value, json};

/// What it reads of a connection.
pub const READ_ONCE: usize = 2_048;
/// Messages that it knows again.
pub const WINDOW: usize = 10;

/// Bytes for somebody's address.
pub type Letter = (SocketAddr, Vec<u8>);

/// The peer.
#[derive(Clone, Debug)]
pub struct ChatPeer {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Seconds that its clock shows more than UTC.
    pub offset: i32,
    /// It writes what it passes on anew, as `json.dumps` does.
    pub rewrites: bool,
    /// Whom it knows.
    pub peers: BTreeMap<String, SocketAddr>,
    /// Originator, message and time of each broadcast and trial that it showed.
    pub shown: Vec<(String, Value, String)>,
    window: VecDeque<(Value, String)>,
}

impl ChatPeer {
    /// A peer that knows nobody.
    pub fn new(name: &str, addr: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            addr,
            offset: 0,
            rewrites: false,
            peers: BTreeMap::new(),
            shown: Vec::new(),
            window: VecDeque::new(),
        }
    }

    fn object(&self, kind: &str, msg: &Value, second: i64) -> Vec<u8> {
        let time = ctime(second, self.offset);
        let name = &self.name;
        self.write(&json!({"msg_type": kind, "msg": msg, "originator": name, "time": time}))
    }

    fn write(&self, object: &Value) -> Vec<u8> {
        let text = object.to_string();
        if self.rewrites { as_python(&text).into_bytes() } else { text.into_bytes() }
    }

    fn place(&self) -> Value {
        json!([self.addr.ip().to_string(), self.addr.port()])
    }

    /// Its user joins whoever is at an address.
    pub fn join(&self, addr: SocketAddr, second: i64) -> Letter {
        (addr, self.object("PING", &self.place(), second))
    }

    /// Its user asks one whom it knows for others.
    pub fn ask(&self, addr: SocketAddr, second: i64) -> Letter {
        (addr, self.object("ADVERTISE", &json!(""), second))
    }

    /// Its user says something. Returns the time it carries, and the letters.
    pub fn say(&mut self, msg: &Value, second: i64) -> (String, Vec<Letter>) {
        let time = ctime(second, self.offset);
        self.is_new(msg, &time);
        let bytes = self.object("BROADCAST", msg, second);
        (time, self.peers.values().map(|addr| (*addr, bytes.clone())).collect())
    }

    /// Whether it does not know this from its window, in which it is from now on.
    fn is_new(&mut self, msg: &Value, time: &str) -> bool {
        let seen = self.window.iter().any(|(known, at)| known == msg && at == time);
        if !seen {
            self.window.push_back((msg.clone(), time.to_owned()));
            if self.window.len() > WINDOW {
                self.window.pop_front();
            }
        }
        !seen
    }

    /// What it read of a connection; returns what it sends for it.
    pub fn hear(&mut self, bytes: &[u8], second: i64) -> Vec<Letter> {
        let bytes = &bytes[..bytes.len().min(READ_ONCE)];
        let Ok(object) = serde_json::from_slice::<Value>(bytes) else { return Vec::new() };
        let (Some(from), Some(time)) = (object["originator"].as_str(), object["time"].as_str())
        else {
            return Vec::new();
        };
        match (object["msg_type"].as_str(), place_of(&object["msg"])) {
            (Some("PING"), Some(addr)) => {
                self.peers.insert(from.to_owned(), addr);
                vec![(addr, self.object("PONG", &self.place(), second))]
            }
            (Some("PONG"), Some(addr)) => {
                self.peers.insert(from.to_owned(), addr);
                Vec::new()
            }
            (Some("ADVERTISE"), _) => self.tell(from, second),
            (Some("ADVERTISE_REPLY"), _) => {
                let told = place_of(&object["msg"][1]);
                told.filter(|addr| *addr != self.addr)
                    .map(|addr| self.join(addr, second))
                    .into_iter()
                    .collect()
            }
            (Some("BROADCAST"), _) => self.pass_on(from, time, &object, bytes),
            _ => Vec::new(),
        }
    }

    fn tell(&self, asker: &str, second: i64) -> Vec<Letter> {
        let Some(addr) = self.peers.get(asker) else { return Vec::new() };
        let others = self.peers.iter().filter(|(name, _)| *name != asker);
        let told = others.map(|(name, at)| json!([name, [at.ip().to_string(), at.port()]]));
        told.map(|msg| (*addr, self.object("ADVERTISE_REPLY", &msg, second))).collect()
    }

    fn pass_on(&mut self, from: &str, time: &str, object: &Value, bytes: &[u8]) -> Vec<Letter> {
        if !self.is_new(&object["msg"], time) {
            return Vec::new();
        }
        self.shown.push((from.to_owned(), object["msg"].clone(), time.to_owned()));
        let bytes = if self.rewrites { self.write(object) } else { bytes.to_vec() };
        let others = self.peers.iter().filter(|(name, _)| *name != from);
        others.map(|(_, addr)| (*addr, bytes.clone())).collect()
    }
}

fn place_of(msg: &Value) -> Option<SocketAddr> {
    let (ip, port) = (msg[0].as_str()?.parse().ok()?, msg[1].as_u64()?);
    Some(SocketAddr::new(ip, u16::try_from(port).ok()?))
}

/// A JSON text as Python's module writes it: ASCII alone, blanks after signs, whole floats with
/// their `.0`.
fn as_python(text: &str) -> String {
    let mut written = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for character in text.chars() {
        let ends = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        quoted ^= ends;
        if character.is_ascii() {
            written.push(character);
        } else {
            let units = character.encode_utf16(&mut [0; 2]).to_vec();
            written.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
        if !quoted && (character == ',' || character == ':') {
            written.push(' ');
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_writes_the_same_value_in_other_bytes() {
        let text = "{\"a\":[1,\"h\u{e9},:\\\"\u{1f600}\"]}";
        let written = as_python(text);
        assert_eq!(written, "{\"a\": [1, \"h\\u00e9,:\\\"\\ud83d\\ude00\"]}");
        let values = [text, &written].map(|text| serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(values[0], values[1]);
    }
}
