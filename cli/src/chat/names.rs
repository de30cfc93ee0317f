//! Who is called what.
//!
//! Decides whom to believe. A node says its name with each line it speaks, and the name ends in
//! four digits of the node's id; a name whose digits fit the node it came from is that node's.
//! Any other belongs to somebody behind that node, or is a lie: it is shown with the node it came
//! through. Names are escaped before they leave here.

use std::collections::BTreeMap;

use peerline_mio::{NodeId, PeerId};

use super::said;
use crate::escape;

/// Names remembered. When full: no more are. 1,024: more than can be connected by default.
const NAMES: usize = 1024;

/// The names learned so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<NodeId, String>,
}

/// What a search for a peer found.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// Just one.
    One(PeerId),
    /// No one.
    Nobody,
    /// Several, of these names.
    Several(Vec<String>),
}

impl Names {
    /// The name to print before a line that came from this peer, said by whoever it names.
    pub(super) fn speaker(&mut self, from: &PeerId, originator: &str) -> String {
        let shown = escape::text(originator, escape::MOST_NAME);
        // A chat peer has no other name than the one it says.
        let Some(from) = from.node() else { return shown };
        if !said::is_name_of(originator, from) {
            return format!("{shown} (through {})", self.show(&PeerId::from(from)));
        }
        if self.known.contains_key(&from) || self.known.len() < NAMES {
            let name = originator.chars().take(escape::MOST_NAME).collect();
            self.known.insert(from, name);
        }
        shown
    }

    /// A peer's name, else its id's first digits.
    pub(super) fn show(&self, peer: &PeerId) -> String {
        self.known(peer).unwrap_or_else(|| short(peer))
    }

    /// A peer's name, if it said one.
    pub(super) fn known(&self, peer: &PeerId) -> Option<String> {
        self.as_said(peer).map(|name| escape::text(name, escape::MOST_NAME))
    }

    /// A peer left.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        if let Some(id) = peer.node() {
            self.known.remove(&id);
        }
    }

    /// The peer that somebody typed: by its whole name, or by the beginning of its name or id.
    pub(super) fn find(&self, who: &str, peers: &[PeerId]) -> Found {
        let whole = |peer: &&PeerId| self.as_said(peer).is_some_and(|name| name == who);
        if let Some(peer) = peers.iter().find(whole) {
            return Found::One(peer.clone());
        }
        let begins = |peer: &&PeerId| {
            let by_name = self.as_said(peer).is_some_and(|name| name.starts_with(who));
            by_name || id_text(peer).starts_with(who)
        };
        let found: Vec<&PeerId> = peers.iter().filter(begins).collect();
        match found.as_slice() {
            [] => Found::Nobody,
            [peer] => Found::One((*peer).clone()),
            several => Found::Several(several.iter().map(|peer| self.show(peer)).collect()),
        }
    }

    fn as_said(&self, peer: &PeerId) -> Option<&str> {
        self.known.get(&peer.node()?).map(String::as_str)
    }
}

/// The first digits of a peer's id: enough to tell peers apart.
pub(super) fn short(peer: &PeerId) -> String {
    match peer.node() {
        Some(id) => format!("{id:?}"),
        None => escape::text(&id_text(peer), escape::MOST_NAME),
    }
}

/// A peer's id as text. A guest's was chosen by itself.
fn id_text(peer: &PeerId) -> String {
    match peer {
        PeerId::Node(id) => id.to_string(),
        PeerId::Guest(name) => name.to_string(),
        // Another crate's enum, which may grow.
        _ => peer.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BOB: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    const ANN: &str = "67e5aaaa-10b1-426f-9247-bb680e5fe0c8";

    fn id(text: &str) -> NodeId {
        text.parse().unwrap()
    }

    fn peers() -> Vec<PeerId> {
        vec![id(BOB).into(), id(ANN).into()]
    }

    #[test]
    fn a_node_is_called_what_it_calls_itself() {
        let mut names = Names::default();
        let bob = PeerId::from(id(BOB));
        assert_eq!(names.show(&bob), "67e55044");
        assert_eq!(names.speaker(&id(BOB).into(), "bob-67e5"), "bob-67e5");
        assert_eq!(names.show(&bob), "bob-67e5");
        names.forget(&bob);
        assert_eq!(names.show(&bob), "67e55044");
    }

    #[test]
    fn a_name_that_cannot_be_the_nodes_own_is_not_learned() {
        let mut names = Names::default();
        assert_eq!(names.speaker(&id(BOB).into(), "ann-1234"), "ann-1234 (through 67e55044)");
        assert_eq!(names.show(&id(BOB).into()), "67e55044");
    }

    #[test]
    fn names_are_escaped_and_cut() {
        let mut names = Names::default();
        let evil = format!("\u{1b}]0;{}-67e5", "x".repeat(100));
        let shown = names.speaker(&id(BOB).into(), &evil);
        assert!(
            shown.starts_with("\\u{1b}]0;xxx") && shown.ends_with("more characters)"),
            "{shown}"
        );
        assert!(!names.show(&id(BOB).into()).contains('\u{1b}'));
        let guest = PeerId::Guest("a\u{1b}b".into());
        assert_eq!(names.show(&guest), "a\\u{1b}b");
    }

    #[test]
    fn a_peer_is_found_by_the_beginning_of_its_name_or_id() {
        let mut names = Names::default();
        names.speaker(&id(BOB).into(), "bob-67e5");
        let bob = Found::One(id(BOB).into());
        for who in ["bob-67e5", "b", "67e55", BOB] {
            assert_eq!(names.find(who, &peers()), bob, "{who}");
        }
        assert_eq!(names.find("zoe", &peers()), Found::Nobody);
        let both = ["bob-67e5", "67e5aaaa"].map(String::from).to_vec();
        assert_eq!(names.find("67e5", &peers()), Found::Several(both));
    }

    #[test]
    fn a_whole_name_is_no_beginning_of_another() {
        let mut names = Names::default();
        names.speaker(&id(BOB).into(), "b-67e5");
        names.speaker(&id(ANN).into(), "b-67e5-67e5");
        assert_eq!(names.find("b-67e5", &peers()), Found::One(id(BOB).into()));
    }
}
