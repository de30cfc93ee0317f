//! What some runs go on with when the network is whole again: it is parted for minutes, a host
//! comes back without its bootstraps, one is away for hours, or one's only neighbour has more to
//! say than fits its queue. Which, the seed draws.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{NodeId, Side};

use crate::entropy::Entropy;
use crate::net::{HostId, Net, Rule};
use crate::swarm::report::Run;
use crate::swarm::{SECOND, becomes_whole, host_of};

/// From the end of a long partition to one component: an unanswered dial of its last moment, the
/// urgent back-off, and the same once more.
const TOGETHER_WITHIN: Duration = Duration::from_secs(60);
/// From the start of a host that knows former peers' addresses to its first peer.
const REJOINS_WITHIN: Duration = Duration::from_secs(30);
/// Silent peers are gone, also where timers are late.
const SETTLED: Duration = Duration::from_secs(60);
/// How many hosts there are at most where hours pass, so that they pass quickly.
const FEW: usize = 5;
/// The least bound of a queue in which anything waits behind what is staged for one write.
const LEAST_QUEUE: usize = 256 * 1024;

/// Plays one of them, or none.
pub(super) fn play(net: &mut Net, entropy: &mut Entropy, seeds: &[Vec<HostId>], run: &mut Run) {
    match entropy.below(8) {
        0 | 1 => halves(net, entropy, run),
        2 | 3 => without_bootstraps(net, entropy, seeds, run),
        4 if net.hosts() <= FEW => absence(net, entropy, run),
        5 => full_queue(net, entropy, run),
        _ => {}
    }
}

/// Two groups do not reach each other for minutes. Each goes on by itself; then they meet again,
/// and nobody had to ask for it.
fn halves(net: &mut Net, entropy: &mut Entropy, run: &mut Run) {
    let (some, others): (Vec<HostId>, Vec<HostId>) =
        (0..net.hosts()).partition(|_| entropy.chance(50));
    run.probe("parted for minutes", 1);
    net.partition(&some, &others, false);
    net.run_for(SETTLED);
    let groups = [some, others].map(|half| components(net, &half)).concat();
    let said: Vec<(u64, HostId)> = groups
        .iter()
        .filter_map(|group| group.first())
        .map(|from| (net.publish(*from, None, 20).0, *from))
        .collect();
    net.run_for(20 * SECOND);
    for ((serial, from), group) in said.iter().zip(&groups) {
        for to in group.iter().filter(|to| *to != from) {
            let got = net.got(*to, *serial);
            Rule::Minority.check(got, || format!("cut off, host {to} misses {serial} of {from}"));
        }
    }
    net.run_for(entropy.millis(0, 600_000));
    net.heal();
    let took = becomes_whole(net, TOGETHER_WITHIN);
    run.together_after = took.unwrap_or(TOGETHER_WITHIN);
    Rule::Rejoined.check(took.is_some(), || format!("parted still after {TOGETHER_WITHIN:?}"));
}

/// The hosts of a group, by who reaches whom over peers inside it.
fn components(net: &Net, group: &[HostId]) -> Vec<Vec<HostId>> {
    let by_id: BTreeMap<NodeId, HostId> =
        group.iter().map(|host| (net.node(*host).id(), *host)).collect();
    let mut left: BTreeSet<HostId> = group.iter().copied().collect();
    let mut all = Vec::new();
    while let Some(first) = left.pop_first() {
        let (mut found, mut next) = (vec![first], vec![first]);
        while let Some(host) = next.pop() {
            for info in net.node(host).peers() {
                let other = host_of(&by_id, &info.peer);
                let other = other.filter(|other| net.are_peers(host, *other));
                let new = other.filter(|other| left.remove(other));
                found.extend(new);
                next.extend(new);
            }
        }
        all.push(found);
    }
    all
}

/// A host comes back that knows where its peers were, and reaches none of its bootstraps.
fn without_bootstraps(
    net: &mut Net,
    entropy: &mut Entropy,
    bootstraps: &[Vec<HostId>],
    run: &mut Run,
) {
    let host = entropy.below(net.hosts() as u64) as HostId;
    let known = &bootstraps[host];
    let lost: BTreeSet<SocketAddr> = known.iter().map(|other| net.addr(*other)).collect();
    let peers = net.node(host).peers().filter_map(|peer| peer.listens);
    let addrs: Vec<SocketAddr> = peers.filter(|addr| !lost.contains(addr)).collect();
    let there = |addr: &SocketAddr| {
        (0..net.hosts()).any(|other| net.addr(other) == *addr && net.is_dialable(other))
    };
    if known.is_empty() || !addrs.iter().any(there) {
        return;
    }
    run.probe("back without bootstraps", 1);
    net.vanish(host);
    net.run_for(entropy.millis(1, 120_000));
    net.partition(&[host], known, false);
    net.restart(host);
    for addr in addrs {
        net.with(host, |node, now| node.add_bootstrap(addr, now));
    }
    let back = net.run_until(REJOINS_WITHIN, |net| net.node(host).peer_count() > 0);
    Rule::Rejoined.check(back, || format!("host {host} finds none of its peers"));
    net.heal();
    for other in known {
        net.bootstrap(host, *other);
    }
    let whole = becomes_whole(net, TOGETHER_WITHIN).is_some();
    Rule::Rejoined.check(whole, || format!("host {host} is back, and the network is parted"));
}

/// A host is away for hours, and comes back knowing nobody: somebody who once dialled it tries
/// again, not later than the longest back-off.
fn absence(net: &mut Net, entropy: &mut Entropy, run: &mut Run) {
    let host = entropy.below(net.hosts() as u64) as HostId;
    let dialled = (0..net.hosts()).any(|other| {
        let peer = net.node(other).peer(&net.id(host));
        peer.is_some_and(|peer| peer.side == Side::Dialer && peer.addr == net.addr(host))
    });
    if !dialled || !net.is_dialable(host) {
        return;
    }
    run.probe("away for hours", 1);
    net.vanish(host);
    net.run_for(entropy.millis(3_600_000, 3 * 3_600_000));
    net.restart(host);
    let longest = net.node(host).config().limits().backoff_max;
    let within = longest + longest / 8 + SETTLED; // clocks may run slow
    let back = net.run_until(within, |net| net.node(host).peer_count() > 0);
    Rule::Retried.check(back, || format!("nobody tries host {host} again"));
    let whole = becomes_whole(net, TOGETHER_WITHIN).is_some();
    Rule::Retried.check(whole, || format!("host {host} is back, and the network is parted"));
}

/// A host has one neighbour left, and does not read for a moment. Broadcasts of a third host wait
/// for it at this neighbour and give way to what that has to say itself: it gets them all the same.
fn full_queue(net: &mut Net, entropy: &mut Entropy, run: &mut Run) {
    let hosts = net.hosts();
    let [slow, between, far] = three(entropy, hosts);
    let limits = net.node(between).config().limits();
    let (queue, body) = (limits.send_queue, limits.send_queue / 48);
    if queue < LEAST_QUEUE || net.has_late_timers() || net.is_cut_to_bytes() {
        return;
    }
    let others: Vec<HostId> = (0..hosts).filter(|host| ![slow, between].contains(host)).collect();
    net.partition(&[slow], &others, false);
    net.run_for(SETTLED);
    let stands = |net: &Net| {
        let peers = net.node(slow).peer_count();
        peers == 1 && net.are_peers(slow, between) && net.are_peers(between, far)
    };
    let (first, _) = net.publish(far, None, 20);
    net.run_for(3 * SECOND);
    if stands(net) && net.got(slow, first) {
        net.read(slow, false);
        let said: Vec<u64> = (0..36).map(|_| net.publish(far, None, body).0).collect();
        let there = |net: &Net| said.iter().all(|serial| net.got(between, *serial));
        let waits = net.run_until(3 * SECOND, there);
        for _ in 0..if waits { 40 } else { 0 } {
            net.publish(between, Some(slow), body);
        }
        net.read(slow, true);
        let got = net.run_until(40 * SECOND, |net| said.iter().all(|one| net.got(slow, *one)));
        run.probe("waited in a full queue", u64::from(waits));
        Rule::Delivered.check(got || !waits || !stands(net), || {
            format!("host {slow} misses what gave way at {between}")
        });
    }
    net.heal();
    let whole = becomes_whole(net, TOGETHER_WITHIN).is_some();
    Rule::Rejoined.check(whole, || format!("host {slow} has others again, the network is parted"));
}

/// Three hosts, all different.
fn three(entropy: &mut Entropy, hosts: usize) -> [HostId; 3] {
    let first = entropy.below(hosts as u64) as HostId;
    let second = 1 + entropy.below(hosts as u64 - 1) as HostId;
    let third = 1 + entropy.below(hosts as u64 - 2) as HostId;
    let third = if third < second { third } else { third + 1 };
    [0, second, third].map(|step| (first + step) % hosts)
}
