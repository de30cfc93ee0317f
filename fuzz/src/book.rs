//! Targets `addr_book` and `book_load`: the address book against sets, and its bytes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use peerline_proto::testing::{AddressBook, Shelf, sealed_book};
use peerline_proto::{Instant, Limits, PeerId, Start, UnixTime};

use crate::input::Input;

/// The most buckets that one group of tellers, and one group of addresses, reaches.
const OF_SOURCE: usize = 16;
const OF_GROUP: usize = 8;
/// Own addresses that are surely remembered.
const OWN: usize = 64;
/// Addresses that one operation tells or reaches: a bucket, which holds 32, and a few more.
const BATCH: u8 = 36;
/// Such operations of one input: enough to fill a book of 200, and no input takes all the time.
const BATCHES: u32 = 8;
const SEED: [u8; 32] = [3; 32];

/// Who may be in a book is who was told, given or reached; proven is only who was reached; nobody
/// goes that was given; no group has more than its share.
///
/// Input: a byte for the size of the book, then for each operation a byte that chooses it, and two
/// for each address.
pub fn addr_book(input: &[u8]) {
    let mut input = Input::new(input);
    let mut limits = Limits::default();
    limits.book = input.pick(&[1, 3, 12, 40, 200, 4096]);
    let book = AddressBook::new(&limits, true, SEED);
    let mut model = Model { book, limits, now: Instant::ZERO, ..Model::empty() };
    let mut count = 0_u32;
    while let Some(what) = input.next() {
        model.operate(what, &mut input);
        count += 1;
        if count % 16 == 0 {
            model.check();
        }
    }
    model.check();
    model.restart();
}

/// An address of one of 64 public groups, or one that is a group of its own.
fn address(input: &mut Input<'_>) -> SocketAddr {
    let (group, host) = (input.byte(), input.byte());
    place(group, host)
}

fn place(group: u8, host: u8) -> SocketAddr {
    let first = if group < 192 { [20 + (group & 3), group >> 2 & 15] } else { [10, group] };
    SocketAddr::from(([first[0], first[1], host, 1], 5999))
}

/// The group of an address as the book counts it; none if it is a group of its own.
fn group(addr: SocketAddr) -> Option<[u8; 2]> {
    let SocketAddr::V4(addr) = addr else { return None };
    let [a, b, ..] = addr.ip().octets();
    (a != 10).then_some([a, b])
}

fn peer() -> PeerId {
    PeerId::Guest("x".into())
}

/// What may be, and must be, in the book.
struct Model {
    book: AddressBook,
    limits: Limits,
    now: Instant,
    batches: u32,
    told: HashSet<SocketAddr>,
    given: BTreeSet<SocketAddr>,
    reached: HashSet<SocketAddr>,
    own: BTreeMap<SocketAddr, Instant>,
    /// The buckets that each group of tellers reached.
    shares: BTreeMap<[u8; 2], BTreeSet<u16>>,
}

impl Model {
    fn empty() -> Self {
        let limits = Limits::default();
        Self {
            book: AddressBook::new(&limits, true, SEED),
            limits,
            now: Instant::ZERO,
            batches: 0,
            told: HashSet::new(),
            given: BTreeSet::new(),
            reached: HashSet::new(),
            own: BTreeMap::new(),
            shares: BTreeMap::new(),
        }
    }

    fn operate(&mut self, what: u8, input: &mut Input<'_>) {
        let now = self.now;
        self.batches += u32::from(matches!(what & 15, 3 | 4));
        match what & 15 {
            3 | 4 if self.batches > BATCHES => {}
            0..=2 => {
                let (addr, source) = (address(input), address(input));
                self.learn(addr, source);
            }
            3 => {
                let (group, from, source) = (input.byte(), input.byte(), address(input));
                (0..BATCH).for_each(|n| self.learn(place(group, from.wrapping_add(n)), source));
            }
            4 => {
                let group = input.byte();
                (0..BATCH).for_each(|host| self.reach(place(group, host)));
            }
            5 => self.give(address(input)),
            6 => self.book.dialled(address(input), now + Duration::from_secs(20)),
            7 | 8 => self.reach(address(input)),
            9 => self.book.failed(address(input), now),
            10 => self.book.ended(address(input), now, now),
            11 => {
                let rest = Duration::from_secs(u64::from(input.byte()) * 60);
                self.book.hold(address(input), rest, now);
            }
            12 => self.own(address(input)),
            13 => self.now = now + Duration::from_millis(u64::from(input.byte()) * 500),
            14 => self.draw(what >> 4, address(input)),
            _ => self.book.set_anchors((0..what >> 4).map(|n| place(n, n)).collect()),
        }
    }

    fn is_own(&self, addr: SocketAddr) -> bool {
        self.own.get(&addr).is_some_and(|until| *until > self.now)
    }

    fn shelf(&self, addr: SocketAddr) -> Option<Shelf> {
        self.book.shelf(addr)
    }

    fn learn(&mut self, addr: SocketAddr, source: SocketAddr) {
        let before = self.book.len();
        let took = self.book.learn(addr, source, self.now);
        assert!(!took || !self.is_own(addr) || self.own.len() > OWN, "{addr} is our own");
        self.told.insert(addr);
        // Whoever was there already stays where he is.
        if let (true, Some(group)) = (took && self.book.len() > before, group(source)) {
            if let Some(Shelf::New(bucket)) = self.shelf(addr) {
                let share = self.shares.entry(group).or_default();
                share.insert(bucket);
                assert!(share.len() <= OF_SOURCE, "{group:?} reaches {share:?}");
            }
        }
    }

    fn give(&mut self, addr: SocketAddr) {
        if self.book.give(addr, self.now) {
            self.told.insert(addr);
            self.given.insert(addr);
        }
    }

    fn reach(&mut self, addr: SocketAddr) {
        self.book.reached(addr, &peer(), self.now);
        self.told.insert(addr);
        self.reached.insert(addr);
    }

    fn own(&mut self, addr: SocketAddr) {
        self.book.own(addr, self.now);
        self.own.insert(addr, self.now + self.limits.own_address);
        self.given.remove(&addr);
    }

    fn draw(&mut self, how: u8, skipped: SocketAddr) {
        let drawn = self.book.select(how & 1 == 0, self.now, &mut |addr| addr == skipped);
        assert_ne!(drawn, Some(skipped));
        for addr in drawn.into_iter().chain(self.book.feeler(self.now)) {
            assert!(self.shelf(addr).is_some(), "{addr} is not in the book");
        }
    }

    fn check(&self) {
        self.book.check_invariants();
        let mut tried: BTreeMap<[u8; 2], BTreeSet<u16>> = BTreeMap::new();
        let mut given = BTreeSet::new();
        for (addr, shelf, proven) in self.book.iter() {
            assert!(self.told.contains(&addr), "{addr} was never told");
            assert!(!proven || self.reached.contains(&addr), "{addr} was never reached");
            assert!(!self.is_own(addr) || self.own.len() > OWN, "{addr} is our own");
            match (shelf, group(addr)) {
                (Shelf::Given, _) => drop(given.insert(addr)),
                (Shelf::Tried(bucket), Some(group)) => {
                    let share = tried.entry(group).or_default();
                    share.insert(bucket);
                    assert!(share.len() <= OF_GROUP, "{group:?} fills {share:?}");
                }
                (Shelf::New(_) | Shelf::Tried(_), _) => {}
            }
        }
        assert_eq!(given, self.given, "what was given stays");
    }

    /// What is saved is read again, all of it but what stands in no bucket here and finds none.
    fn restart(&self) {
        let start = Start::new(self.now, UnixTime::from_millis(1 << 40));
        let saved = self.book.export(start, self.now);
        assert!(saved.len() <= self.limits.book_bytes());
        let mut read = AddressBook::new(&self.limits, true, [4; 32]);
        let count = read.import(&saved, start, self.now).expect("what we saved ourselves");
        read.check_invariants();
        assert_eq!(count, read.len());
        let whole = self.book.len() - self.given.len()..=self.book.len();
        assert!(whole.contains(&count), "{count} of {whole:?}");
        let known = self.book.anchors().iter().all(|addr| self.told.contains(addr));
        if self.given.is_empty() && known && read.anchors() == self.book.anchors() {
            assert_eq!(read.export(start, self.now), saved);
        }
    }
}

/// Any bytes, bodies under a right checksum, and saved books with one change: an error changes
/// nothing, and what is read is saved and read again to the byte.
///
/// Input: a byte that chooses among the three, then the bytes, or a place and what is there.
pub fn book_load(input: &[u8]) {
    let mut input = Input::new(input);
    let choice = input.byte();
    let sample = sample();
    let bytes = match choice % 3 {
        0 => input.rest().to_vec(),
        1 => sealed_book(input.rest()),
        _ => {
            let mut bytes = sample.to_vec();
            let place = usize::from(input.byte()) << 8 | usize::from(input.byte());
            let len = bytes.len();
            bytes[place % len] ^= input.byte();
            bytes
        }
    };
    let now = Instant::ZERO + Duration::from_secs(u64::from(choice));
    let start = Start::new(now, UnixTime::from_millis(1_700_000_000_000));
    let mut limits = Limits::default();
    limits.book = if choice & 128 == 0 { 4096 } else { 2 };
    let mut book = AddressBook::new(&limits, true, SEED);
    let before = book.export(start, now);
    let Ok(count) = book.import(&bytes, start, now) else {
        assert_eq!(book.export(start, now), before, "an error changes nothing");
        return;
    };
    assert!(choice % 3 != 2 || bytes == sample, "damage is noticed");
    book.check_invariants();
    assert!(count >= book.len());
    let saved = book.export(start, now);
    let mut again = AddressBook::new(&limits, true, [4; 32]);
    assert_eq!(again.import(&saved, start, now), Ok(book.len()));
    assert_eq!(again.export(start, now), saved, "read and saved again");
    assert!(saved.len() <= limits.book_bytes());
}

/// A saved book with something of every kind.
fn sample() -> &'static [u8] {
    static SAMPLE: OnceLock<Vec<u8>> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let (now, mut book) = (Instant::ZERO, AddressBook::new(&Limits::default(), true, [5; 32]));
        for host in 0..9 {
            book.learn(place(host, host), place(7, 7), now);
            book.reached(place(200, host), &peer(), now);
        }
        book.learn("[2001:db8::1]:7".parse().expect("an address"), place(7, 7), now);
        book.give(place(9, 9), now);
        book.failed(place(3, 3), now);
        book.hold(place(200, 3), Duration::from_secs(600), now);
        book.set_anchors(vec![place(200, 1), place(200, 2)]);
        book.export(Start::default(), now)
    })
}
