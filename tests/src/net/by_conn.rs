//! What is kept for each connection that a host has, by its slot.

use std::collections::BTreeMap;

use peerline_proto::ConnId;

/// The entries.
#[derive(Debug)]
pub(crate) struct ByConn<T> {
    slots: Vec<Option<(ConnId, T)>>,
    /// Of connections that are to be dropped, and whose slots have others already.
    late: BTreeMap<ConnId, T>,
    count: usize,
}

impl<T> Default for ByConn<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), late: BTreeMap::new(), count: 0 }
    }
}

impl<T> ByConn<T> {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn contains(&self, conn: ConnId) -> bool {
        self.get(conn).is_some()
    }

    pub(crate) fn get(&self, conn: ConnId) -> Option<&T> {
        match self.slots.get(conn.slot()) {
            Some(Some((there, value))) if *there == conn => Some(value),
            Some(_) | None => self.late.get(&conn),
        }
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut T> {
        match self.slots.get_mut(conn.slot()) {
            Some(Some((there, value))) if *there == conn => Some(value),
            Some(_) | None => self.late.get_mut(&conn),
        }
    }

    /// Keeps something for a connection that has nothing yet.
    pub(crate) fn insert(&mut self, conn: ConnId, value: T) {
        if conn.slot() >= self.slots.len() {
            self.slots.resize_with(conn.slot() + 1, || None);
        }
        self.late.extend(self.slots[conn.slot()].replace((conn, value)));
        self.count += 1;
    }

    /// What is kept for the connection; if there is nothing yet, what it begins with.
    pub(crate) fn of(&mut self, conn: ConnId) -> &mut T
    where
        T: Default,
    {
        if !self.contains(conn) {
            self.insert(conn, T::default());
        }
        self.get_mut(conn).unwrap()
    }

    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<T> {
        let place = self.slots.get_mut(conn.slot());
        let there = place.and_then(|place| place.take_if(|(there, _)| *there == conn));
        let value = there.map(|(_, value)| value).or_else(|| self.late.remove(&conn))?;
        self.count -= 1;
        Some(value)
    }

    pub(crate) fn conns(&self) -> impl Iterator<Item = ConnId> {
        let there = self.slots.iter().flatten().map(|(conn, _)| *conn);
        self.late.keys().copied().chain(there)
    }

    /// In the order of [`conns`](Self::conns).
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        let there = self.slots.iter().flatten().map(|(_, value)| value);
        self.late.values().chain(there)
    }

    /// In the order of [`conns`](Self::conns).
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        let there = self.slots.into_iter().flatten().map(|(_, value)| value);
        self.late.into_values().chain(there)
    }
}

#[cfg(test)]
mod tests {
    use peerline_proto::{Config, Identity, Instant, Node, NodeId, Start, TransportError};

    use super::*;

    #[test]
    fn a_slot_may_have_another_before_its_connection_is_dropped() {
        let id = Identity::new(NodeId::from_random_bytes([1; 16]));
        let mut node = Node::new(Config::default(), id, [1; 32], Start::default());
        let open =
            |node: &mut Node| node.accepted("192.0.2.1:5".parse().unwrap(), Instant::ZERO).unwrap();
        let (one, two) = (open(&mut node), open(&mut node));
        node.closed(two, TransportError::Reset, Instant::ZERO);
        while node.poll_action().is_some() {}
        let three = open(&mut node);
        assert_eq!((three.slot(), three == two), (two.slot(), false), "the slot is used again");

        let mut kept = ByConn::default();
        kept.insert(two, 2);
        kept.insert(one, 1);
        assert_eq!((kept.get(one), kept.get(two), kept.get(three)), (Some(&1), Some(&2), None));
        assert!(kept.conns().eq([one, two]) && kept.values().eq(&[1, 2]));
        assert_eq!((kept.remove(three), kept.len()), (None, 2));
        // The old one waits for its drop.
        *kept.of(three) += 30;
        *kept.of(two) += 20;
        assert_eq!((kept.get(two), kept.get(three), kept.len()), (Some(&22), Some(&30), 3));
        assert!(kept.conns().eq([two, one, three]) && kept.values().eq(&[22, 1, 30]));
        assert_eq!((kept.remove(two), kept.remove(two), kept.len()), (Some(22), None, 2));
        assert_eq!((kept.contains(two), kept.contains(three)), (false, true));
        *kept.of(one) += 10;
        assert!(kept.into_values().eq([11, 30]));
    }
}
