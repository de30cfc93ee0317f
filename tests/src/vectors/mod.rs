//! The recorded vectors of the three older programs, replayed against a running node.
//!
//! A vector is bytes, in segments, and what the original does about them. A [`Bench`] is a place
//! where a node runs and peers dial it; [`replay`] plays a file on it, in order, and [`judge`] says
//! whether the node reacted as the file demands. What the node may do otherwise, and why, is in
//! `peerline` of each vector; nothing else is allowed.

mod judge;
mod simulated;

use std::collections::BTreeMap;

use serde_json::Value;

pub use judge::{frame, frames, judge};
pub use simulated::{Simulated, answer_of};

/// A file of vectors.
#[derive(Debug)]
pub struct File {
    /// The vectors, in the order in which they are played.
    pub vectors: Vec<Vector>,
}

/// Some bytes, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Vector {
    /// Its name.
    pub name: String,
    /// `A`: BTPeer, `B`: chat, `C`: the article.
    pub dialect: String,
    /// Who writes the bytes, and where: `to-node`, `from-node`, `dialled-by-node`.
    pub direction: String,
    segments: Vec<String>,
    /// What the sender does after them.
    pub then: Then,
    /// What they mean to their reader.
    pub fields: Value,
    /// What the original does.
    pub original: Option<Original>,
    /// What a node is to do.
    pub peerline: Option<Demand>,
}

/// What a sender does after its last segment.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Then {
    /// It waits.
    Keep,
    /// It ends its half.
    Shutdown,
    /// It closes the connection.
    Close,
}

/// How the original reacts.
#[derive(Clone, Debug)]
pub struct Original {
    /// What comes back on the same connection.
    pub reply: Vec<Value>,
    /// How the connection ends.
    pub end: String,
    /// What comes on new connections, by port.
    pub messages: BTreeMap<u16, Vec<Value>>,
    /// Among other messages.
    pub among_others: bool,
}

/// What a node is to do.
#[derive(Clone, Debug)]
pub struct Demand {
    /// `same`, `accept`, `either`, `alive`.
    pub verdict: String,
    /// The vector whose reaction is due, for `accept`.
    pub like: Option<String>,
}

/// How a connection ended.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub enum End {
    /// It did not.
    #[default]
    Open,
    /// In order.
    Eof,
    /// It was broken.
    Reset,
}

/// What a node did about a vector.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reaction {
    /// What it wrote on the same connection.
    pub reply: Vec<u8>,
    /// How it ended that.
    pub end: End,
    /// What it wrote on connections that it opened, by port.
    pub messages: BTreeMap<u16, Vec<Vec<u8>>>,
}

/// A running node, peers that dial it from one address, and that address's ports where they listen.
pub trait Bench {
    /// A peer dials the node, writes the segments, each by itself, and goes on as it does. Returns
    /// what the node does within reason: until `done` says that it is enough, or no more comes.
    fn play(
        &mut self,
        segments: &[&[u8]],
        then: Then,
        done: &dyn Fn(&Reaction) -> bool,
    ) -> Reaction;

    /// The node's application looks whether its peers live, as the original does now and then.
    /// Nobody answers for the peers of the vectors.
    fn check_live(&mut self);
}

impl File {
    /// The file of this name, without its ending.
    ///
    /// # Panics
    /// If there is none.
    pub fn read(name: &str) -> Self {
        let text = match name {
            "article" => include_str!("../../fixtures/vectors/article.json"),
            "btpeer" => include_str!("../../fixtures/vectors/btpeer.json"),
            "chat" => include_str!("../../fixtures/vectors/chat.json"),
            other => panic!("no vectors of {other}"),
        };
        let file: Value = serde_json::from_str(text).expect("JSON");
        Self { vectors: list(&file["vectors"]).iter().map(Vector::from).collect() }
    }

    /// The vector of this name.
    ///
    /// # Panics
    /// If there is none.
    pub fn get(&self, name: &str) -> &Vector {
        let found = self.vectors.iter().find(|vector| vector.name == name);
        found.unwrap_or_else(|| panic!("no vector {name}"))
    }

    /// Those that are written to a node.
    pub fn to_node(&self) -> impl Iterator<Item = &Vector> {
        self.vectors.iter().filter(|vector| vector.direction == "to-node")
    }

    /// What a node is to do about a vector.
    pub fn demanded<'a>(&'a self, vector: &'a Vector) -> &'a Original {
        let like = vector.peerline.as_ref().and_then(|demand| demand.like.as_deref());
        let vector = like.map_or(vector, |like| self.get(like));
        vector.original.as_ref().expect("what the original does")
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl From<&Value> for Vector {
    fn from(value: &Value) -> Self {
        let then = match value["then"].as_str() {
            Some("keep") => Then::Keep,
            Some("shutdown") => Then::Shutdown,
            Some("close") => Then::Close,
            other => panic!("then {other:?}"),
        };
        Self {
            name: text(&value["name"]),
            dialect: text(&value["dialect"]),
            direction: text(&value["direction"]),
            segments: list(&value["segments"]).iter().map(text).collect(),
            then,
            fields: value["fields"].clone(),
            original: value.get("original").map(Original::from),
            peerline: value.get("peerline").map(|demand| Demand {
                verdict: text(&demand["verdict"]),
                like: demand["as"].as_str().map(str::to_owned),
            }),
        }
    }
}

impl From<&Value> for Original {
    fn from(value: &Value) -> Self {
        let messages = value["messages"].as_object().into_iter().flatten();
        let port = |text: &String| text.parse().expect("a port");
        Self {
            reply: list(&value["reply"]).to_vec(),
            end: text(&value["end"]),
            messages: messages.map(|(at, all)| (port(at), list(all).to_vec())).collect(),
            among_others: value["among_others"] == true,
        }
    }
}

impl Vector {
    /// Its segments.
    ///
    /// # Panics
    /// If they are not in hexadecimal.
    pub fn segments(&self) -> Vec<Vec<u8>> {
        let digits = |text: &str| u8::from_str_radix(text, 16).expect("hexadecimal");
        let bytes = |text: &String| {
            (0..text.len() / 2).map(|at| digits(&text[2 * at..2 * at + 2])).collect()
        };
        self.segments.iter().map(bytes).collect()
    }

    /// All its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.segments().concat()
    }

    /// The demanded verdict.
    pub fn verdict(&self) -> &str {
        self.peerline.as_ref().map_or("", |demand| &demand.verdict)
    }
}

/// A PING of the chat peer `vec-b`, of whom the vectors speak without showing it.
pub fn chat_ping(name: &str, port: u16) -> Vec<u8> {
    let object = serde_json::json!({
        "msg_type": "PING", "msg": ["127.0.0.1", port], "originator": name,
        "time": "Fri Nov 20 15:55:40 2026",
    });
    object.to_string().into_bytes()
}

/// What the original did between two vectors, which the files do not show: a second chat peer
/// joined, and the BTPeer peer was visited, and found gone.
pub fn before(bench: &mut impl Bench, name: &str) {
    match name {
        "b-advertise" => {
            let joined = |reaction: &Reaction| !reaction.messages.is_empty();
            let reaction = bench.play(&[&chat_ping("vec-b", 47002)], Then::Shutdown, &joined);
            assert!(joined(&reaction), "vec-b is answered: {reaction:?}");
        }
        "a-quit-unknown" => bench.check_live(),
        _ => {}
    }
}

/// Plays a vector, its bytes cut as they are given.
pub fn play(bench: &mut impl Bench, file: &File, vector: &Vector, segments: &[&[u8]]) -> Reaction {
    bench.play(segments, vector.then, &|reaction| judge(file, vector, reaction).is_ok())
}

/// Plays all vectors of a file that are written to a node, segment by segment, in order, and after
/// each looks whether the node serves on.
///
/// # Panics
/// If the node does anything else than what is demanded.
pub fn replay(bench: &mut impl Bench, file: &File, skip: &[&str]) {
    let first = file.to_node().next().expect("vectors");
    for vector in file.to_node().filter(|vector| !skip.contains(&vector.name.as_str())) {
        before(bench, &vector.name);
        let segments = vector.segments();
        let segments: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
        for (vector, segments) in [(vector, segments), (first, vec![&first.bytes()[..]])] {
            let reaction = play(bench, file, vector, &segments);
            if let Err(fault) = judge(file, vector, &reaction) {
                panic!("{}: {fault}: {reaction:?}", vector.name);
            }
        }
    }
}
