//! What the watch says of address books, and of the addresses that are told.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use peerline_proto::testing::{self, Shelf};
use peerline_proto::{ConnId, Node};
use serde_json::Value;

use crate::net::Rule;
use crate::net::watch::Watch;

/// Addresses in a bucket.
const BUCKET: usize = 32;
/// Addresses in an answer, whatever the settings.
const LONGEST_ANSWER: usize = 256;
const ADDR: &[u8] = b"{\"msgtype\":\"addr\"";

impl Watch {
    /// What cannot be dialled is never remembered, nor ourselves, and no more than there is room
    /// for; only what was dialled is proven. Looked at again when there are more addresses, or
    /// fewer.
    pub(super) fn check_book(&mut self, node: &Node) {
        let known = node.addresses().len();
        if std::mem::replace(&mut self.known, known) == known {
            return;
        }
        self.was_full |= is_full(node);
        let most = node.config().limits().book;
        Rule::AddressBook.check(known <= most, || format!("{known} addresses, {most} at most"));
        for (shelf, count) in buckets(node) {
            Rule::AddressBook.check(count <= BUCKET, || format!("{count} addresses in {shelf:?}"));
        }
        for (addr, shelf, proven) in testing::book(node) {
            let (ip, listens) = (addr.ip(), node.listen_addrs().contains(&addr));
            let everybody = ip.is_multicast() || ip == Ipv4Addr::BROADCAST;
            let fine = addr.port() != 0 && !ip.is_unspecified() && !everybody && !listens;
            Rule::AddressBook.check(fine, || format!("{addr} is in the book"));
            let proved = !proven || self.dialled.contains_key(&addr);
            Rule::AddressBook.check(proved, || format!("{addr} is proven and was never dialled"));
            let honest = proven || !matches!(shelf, Shelf::Tried(_));
            Rule::AddressBook.check(honest, || format!("{addr} is tried and not proven"));
        }
    }

    /// Nobody is told his own address, as far as it is known, nor more than a line may hold.
    pub(super) fn check_told(&self, conn: ConnId, line: &[u8]) {
        if !line.starts_with(ADDR) {
            return;
        }
        let Ok(told) = serde_json::from_slice::<Value>(line) else { return };
        let Some(peers) = told["peers"].as_array() else { return };
        let count = peers.len();
        Rule::AddressBook.check(count <= LONGEST_ANSWER, || format!("{count} are told"));
        let asker = self.open.get(&conn).filter(|open| open.dialled).map(|open| open.addr);
        let told = |addr: &SocketAddr| peers.iter().any(|row| row[0] == addr.to_string());
        let own = asker.filter(told);
        Rule::AddressBook.check(own.is_none(), || format!("{own:?} is told its own address"));
    }
}

/// How many addresses each bucket holds.
fn buckets(node: &Node) -> Vec<(Shelf, usize)> {
    let mut counts: BTreeMap<(bool, u16), (Shelf, usize)> = BTreeMap::new();
    for (_, shelf, _) in testing::book(node) {
        let bucket = match shelf {
            Shelf::Given => continue,
            Shelf::New(bucket) => (false, bucket),
            Shelf::Tried(bucket) => (true, bucket),
        };
        counts.entry(bucket).or_insert((shelf, 0)).1 += 1;
    }
    counts.into_values().collect()
}

/// Whether something has to give way for the next address.
pub(super) fn is_full(node: &Node) -> bool {
    let crowded = || buckets(node).iter().any(|(_, count)| *count >= BUCKET);
    node.addresses().len() >= node.config().limits().book || crowded()
}
