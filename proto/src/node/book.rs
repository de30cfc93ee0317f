//! The address book kept over a restart.

use alloc::vec::Vec;

use crate::error::BookError;
use crate::id::PeerId;
use crate::node::Node;
use crate::node::queries::is_listening;
use crate::time::Instant;

impl Node {
    /// The address book as bytes, at most [`Limits::book_bytes`](crate::Limits::book_bytes): what
    /// [`import_book`](Self::import_book) reads after a restart.
    ///
    /// They hold the key that hides which addresses share a place in the book: whoever may read
    /// them may aim at one.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(Config::default(), id, [7; 32], Start::default());
    /// assert!(node.export_book().len() < 100, "nobody is known yet");
    /// node.add_bootstrap("192.0.2.1:5999".parse()?, Instant::ZERO);
    /// assert!(node.export_book().len() > 60);
    /// # Ok::<(), core::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn export_book(&self) -> Vec<u8> {
        self.book.export(self.start, self.now)
    }

    /// Reads a saved book, and tells how many of its addresses are known now. What is known
    /// already stays. Do it once, before the node runs.
    ///
    /// The addresses are dialled as those that the node met itself, first of all those of the
    /// peers that it was connected to longest. A bootstrap address is an ordinary one in a saved
    /// book: give it anew.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut before = Node::new(Config::default(), id.clone(), [7; 32], Start::default());
    /// # let mut node = Node::new(Config::default(), id, [8; 32], Start::default());
    /// before.add_bootstrap("192.0.2.1:5999".parse()?, Instant::ZERO);
    /// let saved = before.export_book();
    /// assert_eq!(node.import_book(&saved, Instant::ZERO)?, 1);
    /// assert_eq!(node.export_book(), saved);
    ///
    /// let cut = &saved[..saved.len() - 1];
    /// let said = node.import_book(cut, Instant::ZERO).map_err(|error| error.to_string());
    /// assert_eq!(said, Err("the book is 68 bytes; it says that it has 69".to_string()));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`BookError`]; nothing was changed.
    pub fn import_book(&mut self, bytes: &[u8], now: Instant) -> Result<usize, BookError> {
        self.advance(now);
        let (id, listening) = (PeerId::Node(self.id), &self.listening);
        let ours = |addr, peer: Option<&PeerId>| peer == Some(&id) || is_listening(listening, addr);
        let known = self.book.import(bytes, (self.start, self.now), ours)?;
        self.plan_soon();
        Ok(known)
    }
}
