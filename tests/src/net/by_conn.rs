//! What is kept for each connection that a host has, by its slot: a node uses a slot again when it
//! has dropped the connection, so there is one at most in each.

use peerline_proto::ConnId;

/// The entries.
#[derive(Debug)]
pub(crate) struct ByConn<T> {
    slots: Vec<Option<(ConnId, T)>>,
    count: usize,
}

impl<T> Default for ByConn<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), count: 0 }
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
        let (there, value) = self.slots.get(conn.slot())?.as_ref()?;
        (*there == conn).then_some(value)
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut T> {
        let (there, value) = self.slots.get_mut(conn.slot())?.as_mut()?;
        (*there == conn).then_some(value)
    }

    /// In place of what was kept for an earlier connection of the slot.
    pub(crate) fn insert(&mut self, conn: ConnId, value: T) {
        if conn.slot() >= self.slots.len() {
            self.slots.resize_with(conn.slot() + 1, || None);
        }
        let before = self.slots[conn.slot()].replace((conn, value));
        self.count += usize::from(before.is_none());
    }

    /// What is kept for the connection; if there is nothing yet, what it begins with.
    pub(crate) fn of(&mut self, conn: ConnId) -> &mut T
    where
        T: Default,
    {
        if !self.contains(conn) {
            self.insert(conn, T::default());
        }
        let entry = self.slots[conn.slot()].get_or_insert_with(|| (conn, T::default()));
        &mut entry.1
    }

    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<T> {
        self.contains(conn).then_some(())?;
        self.count -= 1;
        self.slots[conn.slot()].take().map(|(_, value)| value)
    }

    /// All of them, in the order of the slots, as below.
    pub(crate) fn into_values(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().flatten().map(|(_, value)| value)
    }

    pub(crate) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.slots.iter().flatten().map(|(conn, _)| *conn)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use peerline_proto::{Config, Identity, Instant, Node, NodeId, Start, TransportError};

    use super::*;

    #[test]
    fn a_slot_holds_what_belongs_to_its_last_connection() {
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
        *kept.of(three) += 30;
        assert_eq!(kept.get_mut(two), None);
        assert_eq!(kept.get_mut(three), Some(&mut 30));
        assert_eq!((kept.get(two), kept.len()), (None, 2));
        *kept.of(one) += 10;
        assert_eq!((kept.remove(one), kept.remove(one), kept.len()), (Some(11), None, 1));
    }
}
