//! The book as bytes, to be kept over a restart.
//!
//! ```text
//! "peerbook"  version u16  length of what follows u32
//! key 2 × u64   anchors u8, each an address   addresses u32, each one entry
//! checksum u64, of all before it
//! ```
//!
//! Numbers are little-endian, times Unix milliseconds. The checksum is SipHash without a key: it is
//! against damage, not against attackers. Reading changes nothing unless all of it is sound, and
//! takes no memory but that of the addresses it adds.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use uuid::Uuid;

use crate::book::Book;
use crate::book::buckets::NEW_BUCKETS;
use crate::book::entry::{Entry, Place};
use crate::error::BookError;
use crate::group::{canonical, is_dialable};
use crate::hash::SipHasher;
use crate::id::{NodeId, PeerId};
use crate::limits::{ANCHORS, BOOK_HEAD, DEFAULTS, MAX_GUEST_NAME, book_bytes};
use crate::time::{Instant, Start, UnixTime};

const MAGIC: [u8; 8] = *b"peerbook";
const FORMAT: u16 = 1;
/// The bits of an entry's first byte.
const IS_V6: u8 = 1;
const IS_TRIED: u8 = 2;
const IS_PROVEN: u8 = 4;
const IS_HELD: u8 = 8;
const IS_NODE: u8 = 16;
const IS_GUEST: u8 = 32;
const KNOWN_BITS: u8 = IS_V6 | IS_TRIED | IS_PROVEN | IS_HELD | IS_NODE | IS_GUEST;

/// An entry as it is saved.
#[derive(Clone, Debug)]
struct Saved {
    addr: SocketAddr,
    peer: Option<PeerId>,
    /// Its bucket of `New`; `None` if it was tried.
    bucket: Option<u16>,
    proven: bool,
    held: bool,
    /// 0 if never.
    alive: u64,
    /// No dial before this; 0 if it may be dialled.
    rest: u64,
    failures: u8,
}

impl Book {
    /// The book as bytes.
    pub(crate) fn export(&self, start: Start, now: Instant) -> Vec<u8> {
        let (k0, k1) = self.buckets.key();
        let mut body = Vec::new();
        body.extend(k0.to_le_bytes().into_iter().chain(k1.to_le_bytes()));
        body.push(u8::try_from(self.anchors.len()).unwrap_or(u8::MAX));
        for anchor in &self.anchors {
            body.push(u8::from(anchor.is_ipv6()));
            write_address(&mut body, *anchor);
        }
        body.extend((self.entries.len() as u32).to_le_bytes());
        let saved = |entry: &(&SocketAddr, &Entry)| self.saved(*entry.0, entry.1, start, now);
        let entries = || self.entries.iter().map(|entry| saved(&entry));
        // The best first, if there is less room when they are read.
        entries().filter(|saved| saved.bucket.is_none()).for_each(|saved| saved.write(&mut body));
        entries().filter(|saved| saved.bucket.is_some()).for_each(|saved| saved.write(&mut body));
        sealed(&body)
    }

    fn saved(&self, addr: SocketAddr, entry: &Entry, start: Start, now: Instant) -> Saved {
        let bucket = match entry.place {
            Place::Tried(_) => None,
            Place::New(bucket) => Some(bucket),
            // What the application gives it gives again; here it counts as what it proved to be.
            Place::Given if entry.proven => None,
            Place::Given => match self.buckets.new_place(addr, addr) {
                Place::New(bucket) | Place::Tried(bucket) => Some(bucket),
                Place::Given => None,
            },
        };
        let rests = entry.not_before > now;
        Saved {
            addr,
            peer: entry.peer.clone(),
            bucket,
            proven: entry.proven,
            held: entry.held && rests,
            alive: entry.alive.map_or(entry.alive_before.as_millis(), |at| unix(start, at)),
            rest: if rests { unix(start, entry.not_before) } else { 0 },
            failures: u8::try_from(entry.failures).unwrap_or(u8::MAX),
        }
    }

    /// Adds what was saved: tells how many of its addresses the book has now. `ours` says which
    /// addresses and peers are ourselves.
    ///
    /// # Errors
    /// What is wrong with the bytes; nothing was changed.
    pub(crate) fn import(
        &mut self,
        bytes: &[u8],
        clock: (Start, Instant),
        ours: impl Fn(SocketAddr, Option<&PeerId>) -> bool,
    ) -> Result<usize, BookError> {
        let mut body = self.check(bytes)?;
        let key = (body.u64()?, body.u64()?);
        let anchors = body.anchors()?;
        let (count, rows) = (body.u32()?, body);
        for _ in 0..count {
            body.entry()?;
        }
        body.ended()?;
        self.buckets.set_key(key);
        let (mut loaded, mut rows) = (0, rows);
        for _ in 0..count {
            let saved = rows.entry()?;
            if !ours(saved.addr, saved.peer.as_ref()) {
                loaded += usize::from(self.load(saved, clock.0, clock.1));
            }
        }
        self.anchors = anchors.into_iter().filter(|addr| self.entries.contains_key(addr)).collect();
        self.first.clone_from(&self.anchors);
        Ok(loaded)
    }

    /// The part between head and checksum, if both are right.
    fn check<'a>(&self, bytes: &'a [u8]) -> Result<Reader<'a>, BookError> {
        let (len, limit) = (bytes.len(), book_bytes(self.capacity.max(DEFAULTS.book)));
        if len > limit {
            return Err(BookError::TooLarge { len, limit });
        }
        let mut head = Reader { rest: bytes, at: 0 };
        let (got, expected) = (head.u64()?, u64::from_le_bytes(MAGIC));
        if got != expected {
            return Err(BookError::Foreign { got, expected });
        }
        let got = head.u16()?;
        if got != FORMAT {
            return Err(BookError::Version { got, known: FORMAT });
        }
        let expected = usize::try_from(head.u32()?).unwrap_or(usize::MAX).saturating_add(BOOK_HEAD);
        if len != expected {
            return Err(BookError::Length { len, expected });
        }
        let at = len.saturating_sub(8);
        let (said, sum) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
        let (got, expected) = (Reader { rest: sum, at }.u64()?, checksum(said));
        if got != expected {
            return Err(BookError::Damaged { got, expected });
        }
        let rest = said.get(BOOK_HEAD..).unwrap_or_default();
        Ok(Reader { rest, at: BOOK_HEAD })
    }

    /// Adds one entry, or what it says of an address that is there already. False if it is
    /// unusable, our own, or there is no room.
    fn load(&mut self, saved: Saved, start: Start, now: Instant) -> bool {
        let addr = canonical(saved.addr);
        if !is_dialable(addr) || self.is_own(addr, now) {
            return false;
        }
        let place = saved.bucket.map_or_else(|| self.buckets.tried_place(addr), Place::New);
        if let Some(entry) = self.entries.get_mut(&addr) {
            entry.recall(saved, start, now, self.backoff_max);
            if let Place::Tried(_) = place {
                self.promote(addr);
            }
            return true;
        }
        let new = self.buckets.new_place(addr, addr);
        let places = [place, new].into_iter();
        let mut free = places.filter(|place| !self.buckets.is_full(*place));
        let place = free.next().filter(|_| self.entries.len() < self.capacity);
        let Some(place) = place else { return false };
        let mut entry = Entry::new(None, place, now);
        entry.recall(saved, start, now, self.backoff_max);
        self.buckets.insert(place, addr);
        self.entries.insert(addr, entry);
        true
    }
}

impl Entry {
    /// Takes over what was known in an earlier run, as far as this one knows no better.
    fn recall(&mut self, saved: Saved, start: Start, now: Instant, most: core::time::Duration) {
        self.peer = self.peer.take().or(saved.peer);
        self.alive_before = self.alive_before.max(UnixTime::from_millis(saved.alive));
        self.proven |= saved.proven;
        if self.last_try.is_none() && self.alive.is_none() && !self.held {
            let rest = saved.rest.saturating_sub(unix(start, now));
            let rest = core::time::Duration::from_millis(rest).min(most);
            self.held = saved.held && !rest.is_zero();
            self.failures = self.failures.max(u32::from(saved.failures));
            self.not_before = self.not_before.max(now + rest);
        }
    }
}

impl Saved {
    fn write(&self, out: &mut Vec<u8>) {
        let bit = |is: bool, bit: u8| if is { bit } else { 0 };
        let kind = match self.peer {
            None => 0,
            Some(PeerId::Node(_)) => IS_NODE,
            Some(PeerId::Guest(_)) => IS_GUEST,
        };
        out.push(
            bit(self.addr.is_ipv6(), IS_V6)
                | bit(self.bucket.is_none(), IS_TRIED)
                | bit(self.proven, IS_PROVEN)
                | bit(self.held, IS_HELD)
                | kind,
        );
        write_address(out, self.addr);
        match &self.peer {
            None => {}
            Some(PeerId::Node(id)) => out.extend(id.uuid().as_bytes()),
            Some(PeerId::Guest(name)) => {
                out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                out.extend(name.bytes());
            }
        }
        out.extend(self.bucket.into_iter().flat_map(u16::to_le_bytes));
        out.extend(self.alive.to_le_bytes().into_iter().chain(self.rest.to_le_bytes()));
        out.push(self.failures);
    }
}

fn write_address(out: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    out.extend(addr.port().to_le_bytes());
}

/// Reads forward, and says where it stopped.
#[derive(Copy, Clone, Debug)]
struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BookError> {
        let taken = self.rest.split_at_checked(count);
        let (taken, rest) = taken.ok_or_else(|| self.malformed("the end"))?;
        (self.rest, self.at) = (rest, self.at.saturating_add(count));
        Ok(taken)
    }

    fn malformed(&self, what: &'static str) -> BookError {
        BookError::Malformed { at: self.at, what }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], BookError> {
        let at = *self;
        self.take(N)?.try_into().map_err(|_| at.malformed("the end"))
    }

    fn u8(&mut self) -> Result<u8, BookError> {
        Ok(u8::from_le_bytes(self.bytes()?))
    }

    fn u16(&mut self) -> Result<u16, BookError> {
        Ok(u16::from_le_bytes(self.bytes()?))
    }

    fn u32(&mut self) -> Result<u32, BookError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn u64(&mut self) -> Result<u64, BookError> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn address(&mut self, is_v6: bool) -> Result<SocketAddr, BookError> {
        let ip = if is_v6 {
            IpAddr::V6(Ipv6Addr::from(self.bytes::<16>()?))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.bytes::<4>()?))
        };
        Ok(SocketAddr::new(ip, self.u16()?))
    }

    fn anchors(&mut self) -> Result<Vec<SocketAddr>, BookError> {
        let start = *self;
        let count = usize::from(self.u8()?);
        if count > ANCHORS {
            return Err(start.malformed("more than two anchors"));
        }
        let mut anchors = Vec::new();
        for _ in 0..count {
            let start = *self;
            let is_v6 = match self.u8()? {
                0 => false,
                1 => true,
                _ => return Err(start.malformed("no kind of address")),
            };
            anchors.push(canonical(self.address(is_v6)?));
        }
        Ok(anchors)
    }

    fn entry(&mut self) -> Result<Saved, BookError> {
        let start = *self;
        let flags = self.u8()?;
        let is = |bit: u8| flags & bit != 0;
        if flags & !KNOWN_BITS != 0
            || (is(IS_TRIED) && !is(IS_PROVEN))
            || (is(IS_NODE) && is(IS_GUEST))
        {
            return Err(start.malformed("no kind of entry"));
        }
        let addr = self.address(is(IS_V6))?;
        let peer = match (is(IS_NODE), is(IS_GUEST)) {
            (true, _) => Some(PeerId::Node(NodeId::new(Uuid::from_bytes(self.bytes()?)))),
            (_, true) => Some(self.guest()?),
            (false, false) => None,
        };
        let bucket = if is(IS_TRIED) { None } else { Some(self.bucket()?) };
        let (alive, rest, failures) = (self.u64()?, self.u64()?, self.u8()?);
        let (proven, held) = (is(IS_PROVEN), is(IS_HELD));
        Ok(Saved { addr, peer, bucket, proven, held, alive, rest, failures })
    }

    fn guest(&mut self) -> Result<PeerId, BookError> {
        let start = *self;
        let len = usize::from(self.u8()?);
        if len > MAX_GUEST_NAME {
            return Err(start.malformed("a name of more than 64 bytes"));
        }
        let name = core::str::from_utf8(self.take(len)?);
        let name = name.map_err(|_| start.malformed("a name that is no text"))?;
        Ok(PeerId::Guest(name.into()))
    }

    fn bucket(&mut self) -> Result<u16, BookError> {
        let start = *self;
        let bucket = self.u16()?;
        if bucket >= NEW_BUCKETS {
            return Err(start.malformed("no such bucket"));
        }
        Ok(bucket)
    }

    fn ended(&self) -> Result<(), BookError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("more than it says")) }
    }
}

/// The wall-clock time of an instant, also of one before the clock was last read.
fn unix(start: Start, at: Instant) -> u64 {
    let before = start.now.saturating_since(at).as_millis();
    let before = u64::try_from(before).unwrap_or(u64::MAX);
    start.unix_at(at).as_millis().saturating_sub(before)
}

/// The body of a book with head and checksum.
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BOOK_HEAD + body.len() + 8);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend((body.len() as u32).saturating_add(8).to_le_bytes());
    bytes.extend(body);
    let sum = checksum(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher::new((0, 0));
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::limits::Limits;
    use crate::rng::Rng;
    use alloc::string::ToString;
    use core::time::Duration;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn clock(unix: u64, now: Instant) -> (Start, Instant) {
        (Start::new(now, UnixTime::from_millis(unix)), now)
    }

    fn addr(number: u8) -> SocketAddr {
        SocketAddr::from(([20, number, 30, 40], 5999))
    }

    fn empty() -> Book {
        Book::new(&Limits::default(), true, (3, 4))
    }

    fn nobody(_: SocketAddr, _: Option<&PeerId>) -> bool {
        false
    }

    /// A book of every sort of address, at second 100.
    fn sorts() -> (Book, Start) {
        let (mut book, mut rng) = (Book::new(&Limits::default(), true, (1, 2)), Rng::new([9; 32]));
        let start = Start::new(Instant::ZERO, UnixTime::from_millis(1_700_000_000_000));
        let node = PeerId::Node(NodeId::from_random_bytes([7; 16]));
        book.add_bootstrap(addr(1), at(0), &mut rng);
        book.learn(addr(2), Some(node.clone()), addr(50), at(0), &mut rng);
        book.learn("[2001:db8::1]:7".parse().unwrap(), None, addr(50), at(0), &mut rng);
        for number in 3..=5 {
            book.reached(addr(number), &node, at(u64::from(number)), &mut rng);
        }
        book.reached(addr(6), &PeerId::Guest("ünï".into()), at(9), &mut rng);
        for _ in 0..300 {
            book.failed(addr(5), at(99), &mut rng);
        }
        book.hold(addr(4), Duration::from_secs(600), at(100));
        book.set_anchors(alloc::vec![addr(3), addr(6), addr(5)]);
        (book, start)
    }

    #[test]
    fn what_is_saved_is_read_again_in_another_run() {
        let (book, start) = sorts();
        let saved = book.export(start, at(100));
        let (mut read, later) = (empty(), clock(1_700_000_100_000, at(5)));
        assert_eq!(read.import(&saved, later, nobody), Ok(7));
        assert_eq!(read.export(later.0, later.1), saved, "nothing is lost");
        assert_eq!(read.anchors(), [addr(3), addr(6)]);
        assert_eq!(read.buckets.key(), (1, 2));
        let entry = |number| read.entries.get(&addr(number)).unwrap();
        assert_eq!(entry(4).not_before, at(605));
        assert_eq!(entry(3).alive, None, "before the origin of time there is none");
        assert_eq!(entry(3).alive_before, UnixTime::from_millis(1_700_000_003_000));
        assert_eq!((entry(5).failures, entry(2).failures), (255, 0));
        assert!(entry(5).not_before > at(5 + 1000) && !entry(1).is_given());
        assert!(saved.len() < Limits { book: 7, ..Limits::default() }.book_bytes());
    }

    #[test]
    fn anchors_are_dialled_first_and_once() {
        let (book, start) = sorts();
        let (mut read, mut rng) = (empty(), Rng::new([1; 32]));
        read.import(&book.export(start, at(100)), clock(0, at(0)), nobody).unwrap();
        let mut next = |read: &Book, now| read.select(true, now, &mut rng, &mut |_, _| false);
        assert_eq!(next(&read, at(0)), Some(addr(3)));
        read.dialled(addr(3), at(20));
        assert_eq!(next(&read, at(0)), Some(addr(6)));
        read.dialled(addr(6), at(20));
        let rest: Vec<_> = (0..50).filter_map(|_| next(&read, at(30))).collect();
        assert!(rest.iter().any(|other| ![addr(3), addr(6)].contains(other)));
    }

    #[test]
    fn what_is_known_already_stays() {
        let (book, start) = sorts();
        let (mut read, mut rng) = (empty(), Rng::new([1; 32]));
        let mine = PeerId::Guest("mine".into());
        read.add_bootstrap(addr(2), at(0), &mut rng);
        read.reached(addr(5), &mine, at(1), &mut rng);
        let saved = book.export(start, at(100));
        let ours = |other: SocketAddr, _: Option<&PeerId>| other == addr(6);
        assert_eq!(read.import(&saved, clock(1_700_000_100_000, at(2)), ours), Ok(6));
        let entry = |number| read.entries.get(&addr(number)).unwrap();
        assert!(entry(2).is_given() && entry(2).peer.is_some());
        assert_eq!((entry(5).peer.clone(), entry(5).failures), (Some(mine), 0));
        assert_eq!(read.anchors(), [addr(3)], "the other is ourselves");
        assert!(!read.entries.contains_key(&addr(6)));
    }

    #[test]
    fn a_smaller_book_takes_the_proven_first_and_no_rest_is_too_long() {
        let (book, start) = sorts();
        let saved = book.export(start, at(100));
        let mut small = Book::new(&Limits { book: 4, ..Limits::default() }, true, (3, 4));
        assert_eq!(small.import(&saved, clock(0, at(0)), nobody), Ok(4));
        assert!(small.entries.values().all(|entry| entry.proven));
        let longest = small.entries.values().map(|entry| entry.not_before).max();
        assert_eq!(longest, Some(at(3600)), "the clock fell back by years");
    }

    #[test]
    fn damage_is_named_and_changes_nothing() {
        let (book, start) = sorts();
        let good = book.export(start, at(100));
        let check = |bytes: &[u8], expected: &str| {
            let mut read = empty();
            let said = read.import(bytes, clock(0, at(0)), nobody).unwrap_err().to_string();
            assert!(said.starts_with(expected), "{said}");
            assert_eq!(read.len(), 0);
            assert_eq!((read.buckets.key(), read.anchors().len()), ((3, 4), 0));
        };
        check(b"", "the end at byte 0 of the book");
        check(b"#!/bin/sh", "this is no book: it begins with 0x732f6e69622f2123, not 0x");
        check(&good[..20], "the book is 20 bytes; it says that it has ");
        let long = alloc::vec![0; Limits::default().book_bytes() + 1];
        check(&long, "the book is 421970 bytes; the limit is 421969");
        check(&long[1..], "this is no book");
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 1;
            assert!(empty().import(&bad, clock(0, at(0)), nobody).is_err(), "byte {place}");
        }
        let changed = |place: usize, to: u8| {
            let mut bad = good.clone();
            bad[place] = to;
            let end = bad.len() - 8;
            let sum = checksum(&bad[..end]);
            bad[end..].copy_from_slice(&sum.to_le_bytes());
            bad
        };
        check(&changed(8, 2), "the book is of version 2; the one known is 1");
        check(&changed(30, 3), "more than two anchors at byte 30 of the book");
        check(&changed(31, 9), "no kind of address at byte 31 of the book");
        check(&changed(45, 6), "more than it says at byte 2");
        check(&changed(45, 8), "the end at byte ");
        check(&changed(45, 0), "more than it says at byte 49 of the book");
        for bits in [0xff, 64, IS_TRIED, IS_NODE | IS_GUEST, 128 | IS_PROVEN] {
            check(&changed(49, bits), "no kind of entry at byte 49 of the book");
        }
    }

    /// A saved book of one guest in a bucket of `New`.
    fn of_guest(name: &[u8], bucket: u16) -> Vec<u8> {
        let mut body = alloc::vec![0; 16];
        body.extend([0, 1, 0, 0, 0, IS_GUEST, 192, 0, 2, 1, 7, 0]);
        body.push(u8::try_from(name.len()).unwrap());
        body.extend(name.iter().copied().chain(bucket.to_le_bytes()).chain([0; 17]));
        sealed(&body)
    }

    #[test]
    fn an_entry_is_read_up_to_its_bounds() {
        let read = |name: &[u8], bucket: u16| {
            let read = empty().import(&of_guest(name, bucket), clock(0, at(0)), nobody);
            read.map_err(|error| error.to_string())
        };
        let last = NEW_BUCKETS - 1;
        assert_eq!([read(b"", 0), read(&[b'x'; 64], last)], [Ok(1), Ok(1)]);
        let said = [
            read(&[b'x'; 65], 0).unwrap_err(),
            read(&[0xff], 0).unwrap_err(),
            read(b"x", NEW_BUCKETS).unwrap_err(),
        ];
        let expected = ["a name of more than 64 bytes", "a name that is no text", "no such bucket"];
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}");
        }
    }
}
