//! Queries and results: their words, which were passed on already, and which results were asked
//! for.
//!
//! Decides what may be remembered of strangers' words, and that a query makes no more noise than
//! one round: the same one is passed on once. It sends nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use peerline_mio::NodeId;

use super::library::is_name;

/// Queries remembered. When full: the oldest goes. 1,024: eight a second for as long as one is
/// remembered, half of what a single guest may ask.
const QUERIES: usize = 1024;

/// How long a query is remembered. Two minutes, as lines that are passed on are: longer than any
/// copy of it wanders.
const REMEMBERED: Duration = Duration::from_secs(120);

/// The longest key, bytes: the longest name of a file, for a longer one matches none.
const MOST_KEY: usize = 255;

/// The longest return id and the longest id of an owner, bytes: what a guest may call itself.
const MOST_ID: usize = 64;

/// How often a query is passed on at most. 32 steps, as other lines; the memory bounds the noise.
const MOST_TTL: i64 = 32;

/// Searches of ours whose results are taken. When full: those of the oldest are no more. 16, more
/// than anybody types in two minutes.
const SEARCHES: usize = 16;

/// Results told of the searches together. When full: no more are, until a new search. 1,024: more
/// than anybody reads.
const RESULTS: usize = 1024;

/// A query: who asks, for what, and how far.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Query {
    /// Where results go, as it was said.
    pub(super) to: String,
    /// A part of the names that are sought.
    pub(super) key: String,
    /// How often it may be passed on.
    pub(super) ttl: u8,
}

/// Where results go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Asker {
    /// To a native node, wherever it is.
    Node(NodeId),
    /// To whoever listens at this port.
    Place { host: String, port: u16 },
}

impl Query {
    /// The query of these words; none if they are not three, or not good.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (to, key, ttl) = (words.next()?, words.next()?, words.next()?);
        let is_good = words.next().is_none() && to.len() <= MOST_ID && is_key(key);
        let ttl = ttl.parse::<i64>().ok()?.clamp(0, MOST_TTL);
        let ttl = u8::try_from(ttl).ok()?;
        is_good.then(|| Self { to: to.to_owned(), key: key.to_owned(), ttl })
    }

    /// The words of it.
    pub(super) fn words(&self) -> String {
        format!("{} {} {}", self.to, self.key, self.ttl)
    }

    /// Where its results go; nowhere if its return id names neither a node nor a port.
    pub(super) fn asker(&self) -> Option<Asker> {
        if let Ok(id) = self.to.parse() {
            return Some(Asker::Node(id));
        }
        let (host, port) = self.to.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Asker::Place { host, port })
    }
}

/// Whether a word may be searched for.
pub(super) fn is_key(key: &str) -> bool {
    (1..=MOST_KEY).contains(&key.len()) && !key.contains(char::is_whitespace)
}

/// Queries that were passed on, or are ours.
#[derive(Debug, Default)]
pub(super) struct Passed {
    until: BTreeMap<(String, String), Instant>,
    order: VecDeque<((String, String), Instant)>,
}

impl Passed {
    /// Whether a query is to be passed on: true once, and again when it is forgotten.
    pub(super) fn is_new(&mut self, query: &Query, now: Instant) -> bool {
        while self.order.front().is_some_and(|(_, until)| *until <= now) {
            self.forget_oldest();
        }
        let name = (query.to.clone(), query.key.clone());
        if self.until.contains_key(&name) {
            return false;
        }
        if self.order.len() >= QUERIES {
            self.forget_oldest();
        }
        let until = now + REMEMBERED;
        self.order.push_back((name.clone(), until));
        self.until.insert(name, until);
        true
    }

    fn forget_oldest(&mut self) {
        if let Some((name, _)) = self.order.pop_front() {
            self.until.remove(&name);
        }
    }
}

/// A file somewhere, as somebody tells it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Found {
    pub(super) file: String,
    pub(super) owner: String,
}

impl Found {
    /// The result of these words: a name, which may have blanks, and an id.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (file, owner) = text.trim_end().rsplit_once(char::is_whitespace)?;
        let is_good = is_name(file) && (1..=MOST_ID).contains(&owner.len());
        is_good.then(|| Self { file: file.to_owned(), owner: owner.to_owned() })
    }

    /// The words of it.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.file, self.owner)
    }
}

/// Our own searches, and what came of them.
#[derive(Debug, Default)]
pub(super) struct Searches {
    keys: VecDeque<(String, Instant)>,
    heard: BTreeSet<Found>,
}

impl Searches {
    /// A search begins.
    pub(super) fn begin(&mut self, key: &str, now: Instant) {
        self.heard.clear();
        self.keys.retain(|(known, _)| known != key);
        if self.keys.len() >= SEARCHES {
            self.keys.pop_front();
        }
        self.keys.push_back((key.to_owned(), now + REMEMBERED));
    }

    /// Whether a result is to be told: it was asked for, and is new.
    pub(super) fn take(&mut self, found: &Found, now: Instant) -> bool {
        self.keys.retain(|(_, until)| now < *until);
        let asked = self.keys.iter().any(|(key, _)| found.file.contains(key));
        asked && self.heard.len() < RESULTS && self.heard.insert(found.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn query(to: &str, key: &str, ttl: u8) -> Query {
        Query { to: to.into(), key: key.into(), ttl }
    }

    #[test]
    fn a_query_has_three_words() {
        let text = "127.0.0.1:47001 nosuchkey 0";
        let parsed = query("127.0.0.1:47001", "nosuchkey", 0);
        assert_eq!(Query::parse(text), Some(parsed.clone()));
        assert_eq!(parsed.words(), text);
        assert_eq!(Query::parse(" a:1\tk \n 99 ").unwrap(), query("a:1", "k", 32));
        assert_eq!(Query::parse("a:1 k -1").unwrap().ttl, 0);
        let (long, far) = ("x".repeat(256), "x".repeat(65));
        for text in ["", "one two", "a:1 k 0 more", "a:1 k x", "a:1 k 1.0", "a:1 k "] {
            assert_eq!(Query::parse(text), None, "{text:?}");
        }
        assert_eq!(Query::parse(&format!("a:1 {long} 0")), None);
        assert_eq!(Query::parse(&format!("{far} k 0")), None);
    }

    #[test]
    fn a_return_id_is_a_node_or_a_port() {
        let asker = |to: &str| query(to, "k", 0).asker();
        let place = |host: &str| Some(Asker::Place { host: host.into(), port: 7 });
        assert_eq!(asker(ID), Some(Asker::Node(ID.parse().unwrap())));
        assert_eq!(asker("10.0.0.1:7"), place("10.0.0.1"));
        assert_eq!(asker("[::1]:7"), place("::1"));
        assert_eq!(asker("some.host:7"), place("some.host"));
        for to in ["nobody", "a:0", "a:65536", "a:", ":"] {
            assert_eq!(asker(to), None, "{to}");
        }
    }

    #[test]
    fn a_query_is_passed_on_once() {
        let (mut passed, now) = (Passed::default(), Instant::now());
        assert!(passed.is_new(&query("a:1", "k", 3), now));
        assert!(!passed.is_new(&query("a:1", "k", 9), now + REMEMBERED / 2));
        for other in [query("a:2", "k", 3), query("a:1", "l", 3)] {
            assert!(passed.is_new(&other, now));
        }
        assert!(passed.is_new(&query("a:1", "k", 3), now + REMEMBERED));
    }

    #[test]
    fn a_flood_of_queries_is_forgotten_from_its_beginning() {
        let (mut passed, now) = (Passed::default(), Instant::now());
        for number in 0..3 * QUERIES {
            assert!(passed.is_new(&query("a:1", &number.to_string(), 1), now));
            assert!(passed.until.len() <= QUERIES && passed.order.len() == passed.until.len());
        }
        assert!(!passed.is_new(&query("a:1", &(2 * QUERIES).to_string(), 1), now));
        assert!(passed.is_new(&query("a:1", &(2 * QUERIES - 1).to_string(), 1), now));
    }

    #[test]
    fn a_result_is_a_name_and_an_owner() {
        let found = |file: &str, owner: &str| Found { file: file.into(), owner: owner.into() };
        let text = "hello.txt 127.0.0.1:21000";
        assert_eq!(Found::parse(text), Some(found("hello.txt", "127.0.0.1:21000")));
        assert_eq!(Found::parse(text).unwrap().words(), text);
        assert_eq!(Found::parse("a b c:1"), Some(found("a b", "c:1")));
        for text in ["", "one", "../x c:1", ".x c:1", " c:1", "/x c:1", "a\u{1b}b c:1"] {
            assert_eq!(Found::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn only_results_that_were_asked_for_are_told_and_once() {
        let (mut searches, now) = (Searches::default(), Instant::now());
        let found = Found::parse("hello.txt a:1").unwrap();
        assert!(!searches.take(&found, now), "nothing was asked");
        searches.begin("ell", now);
        assert!(searches.take(&found, now));
        assert!(!searches.take(&found, now), "told already");
        assert!(searches.take(&Found::parse("hello.txt a:2").unwrap(), now));
        assert!(!searches.take(&Found::parse("other a:1").unwrap(), now));
        let late = now + REMEMBERED;
        assert!(!searches.take(&Found::parse("bell a:1").unwrap(), late));
        searches.begin("ell", late);
        assert!(searches.take(&found, late), "a new search tells again");
    }

    #[test]
    fn results_are_bounded() {
        let (mut searches, now) = (Searches::default(), Instant::now());
        searches.begin("x", now);
        let told = (0..2 * RESULTS).filter(|number| {
            searches.take(&Found { file: format!("x{number}"), owner: "a:1".into() }, now)
        });
        assert_eq!(told.count(), RESULTS);
        for key in 0..100 {
            searches.begin(&key.to_string(), now);
        }
        assert_eq!(searches.keys.len(), SEARCHES);
    }
}
