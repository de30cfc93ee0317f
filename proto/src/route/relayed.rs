//! What was passed on, and from whom: so that a line passes once, and its answers find back.
//!
//! An answer goes back over the neighbour that the try it answers came from, which is the one whose
//! next hop the answer comes from. Each step back is one step of the way there, so no answer
//! circles.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::id::NodeId;
use crate::limits::Limits;
use crate::sorted::SortedMap;
use crate::time::Instant;

/// The most that tries may be numbered: the first, and two more.
pub(crate) const LAST_TRY: u64 = 2;

/// A line's name: its id, which is unique per node, and the node.
type Name = (Box<str>, NodeId);

/// The memory.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Relayed {
    lines: SortedMap<Name, Line>,
    /// By when they were first passed on; each once, under its `since`.
    order: SortedMap<(Instant, u64), Name>,
    count: u64,
    capacity: usize,
    keep: Duration,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Line {
    to: NodeId,
    tries: Vec<Try>,
}

#[derive(Copy, Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
struct Try {
    number: u64,
    before: NodeId,
    next: Option<NodeId>,
}

/// The way back of something: whose it was, to whom, and the neighbour it came from.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Back {
    pub(crate) to: NodeId,
    pub(crate) before: NodeId,
}

impl Relayed {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            lines: SortedMap::new(),
            order: SortedMap::new(),
            count: 0,
            capacity: limits.relayed,
            keep: limits.relayed_for,
        }
    }

    /// A line came from `before`. False if this try of it came already: it went in a circle.
    pub(crate) fn note(
        &mut self,
        (id, from): (&str, NodeId),
        to: NodeId,
        number: u64,
        before: NodeId,
        now: Instant,
    ) -> bool {
        self.make_room(now);
        let name = (Box::from(id), from);
        let new = Try { number, before, next: None };
        if let Some(line) = self.lines.get_mut(&name) {
            let again = line.tries.iter().any(|known| known.number == number);
            if again || number > LAST_TRY {
                return false;
            }
            line.tries.push(new);
            return true;
        }
        self.count = self.count.saturating_add(1);
        self.order.insert((now, self.count), name.clone());
        self.lines.insert(name, Line { to, tries: Vec::from([new]) });
        number <= LAST_TRY
    }

    /// The try went on to `next`.
    pub(crate) fn passed(&mut self, (id, from): (&str, NodeId), number: u64, next: NodeId) {
        let Some(line) = self.lines.get_mut(&(Box::from(id), from)) else { return };
        if let Some(known) = line.tries.iter_mut().find(|known| known.number == number) {
            known.next = Some(next);
        }
    }

    /// The try is at nobody's any more.
    pub(crate) fn withdrawn(&mut self, (id, from): (&str, NodeId), number: u64) {
        let Some(line) = self.lines.get_mut(&(Box::from(id), from)) else { return };
        if let Some(known) = line.tries.iter_mut().find(|known| known.number == number) {
            known.next = None;
        }
    }

    /// The way back of an answer that came from `next`.
    pub(crate) fn back(&self, (id, from): (&str, NodeId), next: NodeId) -> Option<Back> {
        let line = self.lines.get(&(Box::from(id), from))?;
        let known = line.tries.iter().rev().find(|known| known.next == Some(next))?;
        Some(Back { to: line.to, before: known.before })
    }

    /// The way back of the answer to a search, which went to everybody; the first answer only.
    pub(crate) fn back_of_search(
        &mut self,
        (id, from): (&str, NodeId),
        next: NodeId,
    ) -> Option<Back> {
        let line = self.lines.get_mut(&(Box::from(id), from))?;
        let known = line.tries.first_mut().filter(|known| known.next.is_none())?;
        known.next = Some(next);
        Some(Back { to: line.to, before: known.before })
    }

    /// The ways back of a refusal by `next`, which names no node: of every line with this id that
    /// went there, once each.
    pub(crate) fn refused(&mut self, id: &str, next: NodeId) -> Vec<Back> {
        let [least, most] = [uuid::Uuid::nil(), uuid::Uuid::max()].map(NodeId::new);
        let same = self.lines.range((Box::from(id), least)..=(Box::from(id), most));
        let names: Vec<Name> = same.map(|(name, _)| name.clone()).collect();
        let mut backs = Vec::new();
        for name in names {
            let Some(line) = self.lines.get_mut(&name) else { continue };
            for known in line.tries.iter_mut().filter(|known| known.next == Some(next)) {
                known.next = None;
                backs.push(Back { to: line.to, before: known.before });
            }
        }
        backs
    }

    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.order.clear();
    }

    /// Forgets what is old, and the oldest until another one fits.
    fn make_room(&mut self, now: Instant) {
        while let Some((since, name)) = self.order.first_key_value() {
            if self.lines.len() < self.capacity && now < since.0 + self.keep {
                return;
            }
            self.lines.remove(name);
            self.order.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::from_random_bytes([number; 16])
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn relayed(capacity: usize) -> Relayed {
        Relayed::new(&Limits { relayed: capacity, ..Limits::default() })
    }

    #[test]
    fn a_try_passes_once_and_its_answer_goes_back_where_it_came_from() {
        let (mut relayed, name) = (relayed(10), ("a.1", node(1)));
        assert!(relayed.note(name, node(9), 0, node(2), at(0)));
        assert!(!relayed.note(name, node(9), 0, node(3), at(0)), "a circle");
        relayed.passed(name, 0, node(4));
        assert!(relayed.note(name, node(9), 1, node(3), at(0)));
        relayed.passed(name, 1, node(5));
        assert!(!relayed.note(name, node(9), 3, node(3), at(0)), "no such try");
        let before = |next| relayed.back(name, node(next)).map(|back| back.before);
        assert_eq!([before(4), before(5), before(6)], [Some(node(2)), Some(node(3)), None]);
        assert_eq!(relayed.back(("a.1", node(7)), node(4)), None);
    }

    #[test]
    fn a_refusal_goes_back_once_to_everybody_who_may_be_meant() {
        let mut relayed = relayed(10);
        for from in [1, 2] {
            assert!(relayed.note(("x", node(from)), node(9), 0, node(from), at(0)));
            relayed.passed(("x", node(from)), 0, node(5));
        }
        assert!(relayed.note(("xx", node(3)), node(9), 0, node(3), at(0)));
        relayed.passed(("xx", node(3)), 0, node(5));
        let to = node(9);
        let both = [Back { to, before: node(1) }, Back { to, before: node(2) }];
        assert!(relayed.refused("x", node(6)).is_empty());
        assert_eq!(relayed.refused("x", node(5)), both);
        assert!(relayed.refused("x", node(5)).is_empty());
    }

    #[test]
    fn the_oldest_are_forgotten_by_number_and_by_time() {
        let mut relayed = relayed(2);
        for (id, seconds) in [("a", 0), ("b", 1), ("c", 2)] {
            assert!(relayed.note((id, node(1)), node(9), 0, node(2), at(seconds)));
        }
        assert_eq!((relayed.lines.len(), relayed.order.len()), (2, 2));
        assert!(relayed.note(("a", node(1)), node(9), 0, node(2), at(121)), "forgotten");
        assert_eq!((relayed.lines.len(), relayed.order.len()), (2, 2));
        assert!(relayed.back_of_search(("a", node(1)), node(3)).is_some());
        assert!(relayed.back_of_search(("a", node(1)), node(3)).is_none(), "once");
    }

    #[test]
    fn what_is_withdrawn_is_that_try_alone() {
        let (mut relayed, name) = (relayed(10), ("a", node(1)));
        for number in 0..=LAST_TRY {
            assert!(relayed.note(name, node(9), number, node(2 + number as u8), at(0)));
            relayed.passed(name, number, node(5 + number as u8));
        }
        let before = |relayed: &Relayed| {
            [5, 6, 7].map(|next| relayed.back(name, node(next)).map(|back| back.before))
        };
        assert_eq!(before(&relayed), [Some(node(2)), Some(node(3)), Some(node(4))]);
        relayed.withdrawn(name, 1);
        assert_eq!(before(&relayed), [Some(node(2)), None, Some(node(4))]);
        assert!(relayed.refused("a", node(6)).is_empty());
        assert_eq!(relayed.refused("a", node(7)), [Back { to: node(9), before: node(4) }]);
        relayed.clear();
        assert_eq!((before(&relayed), relayed.order.len()), ([None; 3], 0));
    }

    #[test]
    fn a_try_beyond_the_last_is_not_passed_but_known() {
        let (mut relayed, name) = (relayed(10), ("a", node(1)));
        assert!(!relayed.note(name, node(9), LAST_TRY + 1, node(2), at(0)));
        assert!(relayed.note(name, node(9), LAST_TRY, node(2), at(0)));
        assert!(relayed.note(("b", node(1)), node(9), LAST_TRY, node(2), at(0)));
    }

    #[test]
    fn a_line_is_known_for_two_minutes_and_not_longer() {
        for (seconds, fresh) in [(119, false), (120, true)] {
            let mut relayed = relayed(10);
            assert!(relayed.note(("a", node(1)), node(9), 0, node(2), at(0)));
            assert_eq!(relayed.note(("a", node(1)), node(9), 0, node(2), at(seconds)), fresh);
        }
    }
}
