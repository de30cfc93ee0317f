//! Whom to dial, and when to think about it again: a pure decision over the book and the
//! connections there are.
//!
//! Up to [`Limits::full_mesh`] known addresses, everyone dials everyone; above, up to
//! [`Limits::target_outbound`] at random. It drops nobody.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::id::PeerId;
use crate::rng::Rng;
use crate::time::Instant;

/// One known address, as the overlay sees it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) addr: SocketAddr,
    pub(crate) peer: Option<&'a PeerId>,
    pub(crate) due: Instant,
}

/// What is connected or under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Addresses of connections and dials, as far as known.
    pub(crate) addrs: BTreeSet<SocketAddr>,
    /// Peers that are up.
    pub(crate) peers: BTreeSet<PeerId>,
    /// Connections that we dialled, and dials under way.
    pub(crate) outbound: usize,
    /// Dials under way.
    pub(crate) dialing: usize,
}

/// The numbers the decision depends on.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) full_mesh: usize,
    pub(crate) outbound: usize,
    pub(crate) max_dialing: usize,
    /// Peers there may be in all; `usize::MAX` for any number.
    pub(crate) max_peers: usize,
}

/// Whom to dial now, and when the next address comes due.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Plan {
    pub(crate) dial: Vec<SocketAddr>,
    pub(crate) next: Option<Instant>,
}

/// Makes the plan. `next` is `None` when nothing would change by waiting: then only a change of the
/// book or of the connections is a reason to plan again.
pub(crate) fn plan<'a>(
    candidates: impl Iterator<Item = Candidate<'a>>,
    around: &Surroundings,
    targets: &Targets,
    now: Instant,
    rng: &mut Rng,
) -> Plan {
    let mut known = 0_usize;
    let mut free: Vec<(Instant, SocketAddr)> = Vec::new();
    for candidate in candidates {
        known = known.saturating_add(1);
        let connected = around.addrs.contains(&candidate.addr)
            || candidate.peer.is_some_and(|peer| around.peers.contains(peer));
        if !connected {
            free.push((candidate.due, candidate.addr));
        }
    }
    let wanted = if known <= targets.full_mesh { known } else { targets.outbound };
    let room = wanted
        .saturating_sub(around.outbound)
        .min(targets.max_peers.saturating_sub(around.peers.len().saturating_add(around.dialing)));
    if room == 0 {
        return Plan::default();
    }
    let (mut due, later): (Vec<_>, Vec<_>) = free.into_iter().partition(|(at, _)| *at <= now);
    let count = room.min(targets.max_dialing.saturating_sub(around.dialing));
    let dial = pick(&mut due, count, rng);
    let next = later.into_iter().map(|(at, _)| at).min();
    Plan { dial, next }
}

/// `count` of the addresses at random.
fn pick(due: &mut Vec<(Instant, SocketAddr)>, count: usize, rng: &mut Rng) -> Vec<SocketAddr> {
    let mut picked = Vec::new();
    while picked.len() < count && !due.is_empty() {
        let index = usize::try_from(rng.below(due.len() as u64)).unwrap_or(0);
        picked.push(due.swap_remove(index).1);
    }
    picked
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::format;
    use core::time::Duration;

    const TARGETS: Targets =
        Targets { full_mesh: 12, outbound: 8, max_dialing: 8, max_peers: usize::MAX };

    fn addr(number: usize) -> SocketAddr {
        format!("10.0.0.{number}:5999").parse().unwrap()
    }

    fn plan_of(due: &[Instant], around: &Surroundings, targets: &Targets) -> Plan {
        let candidates = due.iter().enumerate().map(|(number, due)| Candidate {
            addr: addr(number),
            peer: None,
            due: *due,
        });
        plan(candidates, around, targets, Instant::ZERO, &mut Rng::new([1; 32]))
    }

    #[test]
    fn a_small_network_becomes_a_full_mesh() {
        let targets = Targets { max_dialing: 20, ..TARGETS };
        let plan = plan_of(&[Instant::ZERO; 12], &Surroundings::default(), &targets);
        assert_eq!(plan.dial.len(), 12);
        let plan = plan_of(&[Instant::ZERO; 13], &Surroundings::default(), &targets);
        assert_eq!(plan.dial.len(), 8);
    }

    #[test]
    fn dials_under_way_and_connected_addresses_are_left_out() {
        let around = Surroundings {
            addrs: [addr(0), addr(1)].into(),
            outbound: 2,
            dialing: 2,
            ..Surroundings::default()
        };
        let plan = plan_of(&[Instant::ZERO; 4], &around, &TARGETS);
        assert_eq!(plan.dial.len(), 2);
        assert!(!plan.dial.contains(&addr(0)) && !plan.dial.contains(&addr(1)));
    }

    #[test]
    fn a_peer_is_known_by_name_at_any_address() {
        let peer = PeerId::Guest("x".into());
        let around = Surroundings { peers: [peer.clone()].into(), ..Surroundings::default() };
        let candidate = Candidate { addr: addr(0), peer: Some(&peer), due: Instant::ZERO };
        let plan =
            plan([candidate].into_iter(), &around, &TARGETS, Instant::ZERO, &mut Rng::new([1; 32]));
        assert_eq!(plan, Plan::default());
    }

    #[test]
    fn what_is_not_due_says_when() {
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        let plan = plan_of(&[at(5), at(3)], &Surroundings::default(), &TARGETS);
        assert_eq!(plan, Plan { dial: Vec::new(), next: Some(at(3)) });
    }

    #[test]
    fn the_maximum_of_peers_counts_dials_under_way() {
        let targets = Targets { max_peers: 3, ..TARGETS };
        let around = Surroundings { dialing: 1, outbound: 1, ..Surroundings::default() };
        assert_eq!(plan_of(&[Instant::ZERO; 10], &around, &targets).dial.len(), 2);
    }
}
