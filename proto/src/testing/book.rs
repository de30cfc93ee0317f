//! The address book alone, for tests that are about nothing else.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::book::{self, Book, Place};
use crate::error::BookError;
use crate::id::PeerId;
use crate::limits::Limits;
use crate::node::Node;
use crate::rng::Rng;
use crate::time::{Instant, Start};

/// Where an address stands in a book.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Shelf {
    /// The application gave it.
    Given,
    /// Told, in this bucket.
    New(u16),
    /// Reached by a dial, in this bucket.
    Tried(u16),
}

/// An address book, and the randomness that a node would lend it.
#[derive(Clone, Debug)]
pub struct AddressBook {
    book: Book,
    rng: Rng,
}

impl AddressBook {
    /// An empty one.
    pub fn new(limits: &Limits, private_exempt: bool, seed: [u8; 32]) -> Self {
        let mut rng = Rng::new(seed);
        let key = (rng.u64(), rng.u64());
        Self { book: Book::new(limits, private_exempt, key), rng }
    }

    /// Somebody at `source` tells an address.
    pub fn learn(&mut self, addr: SocketAddr, source: SocketAddr, now: Instant) -> bool {
        self.book.learn(addr, None, source, now, &mut self.rng)
    }

    /// The application gives one.
    pub fn give(&mut self, addr: SocketAddr, now: Instant) -> bool {
        self.book.add_bootstrap(addr, now, &mut self.rng)
    }

    /// A dial to it begins.
    pub fn dialled(&mut self, addr: SocketAddr, until: Instant) {
        self.book.dialled(addr, until);
    }

    /// It ends in a hello of this peer.
    pub fn reached(&mut self, addr: SocketAddr, peer: &PeerId, now: Instant) {
        self.book.reached(addr, peer, now, &mut self.rng);
    }

    /// It fails.
    pub fn failed(&mut self, addr: SocketAddr, now: Instant) {
        self.book.failed(addr, now, &mut self.rng);
    }

    /// The connection, last heard at `alive`, ends.
    pub fn ended(&mut self, addr: SocketAddr, alive: Instant, now: Instant) {
        self.book.ended(addr, alive, now, &mut self.rng);
    }

    /// It is to be left alone.
    pub fn hold(&mut self, addr: SocketAddr, duration: Duration, now: Instant) {
        self.book.hold(addr, duration, now);
    }

    /// It is ourselves.
    pub fn own(&mut self, addr: SocketAddr, now: Instant) {
        self.book.mark_own(addr, now);
    }

    /// Whom to dial.
    pub fn select(
        &mut self,
        urgent: bool,
        now: Instant,
        skip: &mut dyn FnMut(SocketAddr) -> bool,
    ) -> Option<SocketAddr> {
        self.book.select(urgent, now, &mut self.rng, &mut |addr, _| skip(addr))
    }

    /// Whom to test.
    pub fn feeler(&self, now: Instant) -> Option<SocketAddr> {
        self.book.feeler(now)
    }

    /// The addresses to begin with after a start.
    pub fn set_anchors(&mut self, anchors: Vec<SocketAddr>) {
        self.book.set_anchors(anchors);
    }

    /// The same.
    pub fn anchors(&self) -> &[SocketAddr] {
        self.book.anchors()
    }

    /// All addresses in order: where each stands, and whether it is proven.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, Shelf, bool)> + '_ {
        self.book.iter().map(|(addr, entry)| (addr, shelf(entry), entry.proven))
    }

    /// Where one stands; none if it is not there.
    pub fn shelf(&self, addr: SocketAddr) -> Option<Shelf> {
        self.book.get(addr).map(shelf)
    }

    /// How many there are.
    #[allow(clippy::len_without_is_empty)] // a count to check, nothing to ask otherwise
    pub fn len(&self) -> usize {
        self.book.len()
    }

    /// The bytes to be kept over a restart.
    pub fn export(&self, start: Start, now: Instant) -> Vec<u8> {
        self.book.export(start, now)
    }

    /// Reads them.
    ///
    /// # Errors
    /// See [`BookError`]; nothing was changed.
    pub fn import(&mut self, bytes: &[u8], start: Start, now: Instant) -> Result<usize, BookError> {
        self.book.import(bytes, (start, now), |_, _| false)
    }

    /// Breaks off if anything in it does not fit together.
    ///
    /// # Panics
    /// If tables and entries disagree.
    pub fn check_invariants(&self) {
        self.book.check_invariants();
    }
}

/// The addresses in a node's book: where each stands, and whether a dial of ours proved it.
pub fn book(node: &Node) -> impl Iterator<Item = (SocketAddr, Shelf, bool)> + '_ {
    node.book().iter().map(|(addr, entry)| (addr, shelf(entry), entry.proven))
}

/// How often dials to an address failed one after another, as far as a node's book remembers.
pub fn failures(node: &Node, addr: SocketAddr) -> Option<u32> {
    node.book().get(addr).map(|entry| entry.failures)
}

/// The body of a saved book, without its length, version and checksum, made whole.
pub fn sealed_book(bytes: &[u8]) -> Vec<u8> {
    book::sealed(bytes)
}

fn shelf(entry: &book::Entry) -> Shelf {
    match entry.place() {
        Place::Given => Shelf::Given,
        Place::New(bucket) => Shelf::New(bucket),
        Place::Tried(bucket) => Shelf::Tried(bucket),
    }
}
