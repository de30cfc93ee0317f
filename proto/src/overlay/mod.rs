//! Whom to dial, whom to give up, and when to think about it again: pure decisions over the book
//! and the connections there are.
//!
//! Up to [`Limits::full_mesh`] known addresses, everyone dials everyone; above, up to
//! [`Limits::target_outbound`] at random, each of another network group while the book knows
//! another. Then bootstrap addresses, and those whose place in the book another wants, are felt
//! for, and now and then one takes the place of the peer of least use. Dials and closes nothing.

mod discouraged;
pub(crate) mod evict;
pub(crate) mod external;
pub(crate) mod rotate;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::group::Group;
use crate::id::{ConnId, PeerId};
use crate::limits::Limits;
use crate::rng::Rng;
use crate::sorted::SortedSet;
use crate::time::Instant;

pub(crate) use discouraged::Discouraged;

/// Of as many known addresses, one feeler goes to a bootstrap address: so a bootstrap node hears of
/// somebody about every `feeler_every` / 16, however large the network is.
const HOMING: u64 = 16;

/// How many more dials there may be for one that met nobody: after the first eight, all there may.
const MISSED: usize = 3;
/// How many fewer for one that met somebody. 12: where more than a fifth of those dialled live, the
/// usual number is enough.
const MET: usize = 12;

/// What a dial beyond the usual ones is for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) enum Probe {
    /// To see whether somebody is there.
    Feeler,
    /// To take the place of the peer of least use.
    Rotation,
}

/// What the overlay remembers beyond the book and the connections.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Overlay {
    /// The dial beyond the usual ones that is under way; one at a time.
    probe: Option<(ConnId, Probe)>,
    feel_at: Option<Instant>,
    rotate_at: Option<Instant>,
    /// When to say that we are isolated; `None` while a peer is up, or when it was said.
    lonely_at: Option<Instant>,
    /// How many more dials there may be, as others met nobody of late.
    spare: usize,
    /// Connections that the application dialled.
    asked: SortedSet<ConnId>,
    /// Dials while there might be more than usual: not all that meet somebody are needed.
    extra: SortedSet<ConnId>,
    /// Where we are seen from outside.
    pub(crate) external: Option<IpAddr>,
    pub(crate) discouraged: Discouraged,
    feeler_every: Duration,
    rotate_every: Duration,
    isolated_after: Duration,
}

impl Overlay {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            probe: None,
            feel_at: None,
            rotate_at: None,
            lonely_at: Some(now + limits.isolated_after),
            spare: 0,
            asked: SortedSet::new(),
            extra: SortedSet::new(),
            external: None,
            discouraged: Discouraged::new(limits),
            feeler_every: limits.feeler_every,
            rotate_every: limits.rotate_every,
            isolated_after: limits.isolated_after,
        }
    }

    /// When something is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        Instant::first_of([self.feel_at, self.rotate_at, self.lonely_at])
    }

    // ---- peers that come and go ----

    /// There are so many peers now. True if nobody was there for long, and it was not said yet.
    pub(crate) fn is_lonely(&mut self, peers: usize, now: Instant) -> bool {
        // What is due at the end of time is due never.
        let at = self.lonely_at.filter(|at| *at < Instant::MAX);
        let due = peers == 0 && at.is_some_and(|at| at <= now);
        if due || peers > 0 {
            self.lonely_at = None;
        }
        due
    }

    /// The last peer went.
    pub(crate) fn alone(&mut self, now: Instant) {
        self.lonely_at = Some(now + self.isolated_after);
    }

    /// The application dialled, or wants what was dialled already.
    pub(crate) fn asked_for(&mut self, conn: ConnId) {
        self.asked.insert(conn);
        self.probe = self.probe.filter(|(probe, _)| *probe != conn);
    }

    pub(crate) fn is_asked_for(&self, conn: ConnId) -> bool {
        self.asked.contains(&conn)
    }

    /// A connection ended.
    pub(crate) fn ended(&mut self, conn: ConnId) {
        self.asked.remove(&conn);
        self.keeps(conn);
    }

    /// A dial is one like others, whatever it was for.
    pub(crate) fn keeps(&mut self, conn: ConnId) {
        self.extra.remove(&conn);
        self.probe = self.probe.filter(|(probe, _)| *probe != conn);
    }

    /// A dial of ours met somebody, or nobody in its time. Those that are refused at once keep no
    /// other waiting.
    pub(crate) fn dial_met(&mut self, somebody: bool, most: usize) {
        self.spare = match somebody {
            true => self.spare.saturating_sub(MET),
            false => self.spare.saturating_add(MISSED).min(most),
        };
    }

    /// A dial is under way, and there might be more than usual.
    pub(crate) fn dialled_extra(&mut self, conn: ConnId) {
        self.extra.insert(conn);
    }

    /// Whether a dial may have been one of more than usual. It is asked once, when it met somebody.
    pub(crate) fn was_extra(&mut self, conn: ConnId) -> bool {
        self.extra.remove(&conn)
    }

    /// How many dials may be under way beyond the usual number, as so many come to nothing.
    pub(crate) fn spare_dials(&self) -> usize {
        self.spare
    }

    // ---- dials beyond the usual ones ----

    /// All connections that we open are there: from time to time others are tried. No timer runs
    /// before, so a small network has none.
    pub(crate) fn complete(&mut self, now: Instant, rng: &mut Rng) {
        if self.feel_at.is_none() {
            self.feel_at = Some(now + rng.jitter(self.feeler_every, 50));
        }
        if self.rotate_at.is_none() {
            self.rotate_at = Some(now + rng.jitter(self.rotate_every, 50));
        }
    }

    /// What is to be tried now, if anything is. It is due again when the next plan is complete.
    pub(crate) fn next_probe(&mut self, now: Instant) -> Option<Probe> {
        if self.rotate_at.is_some_and(|at| at <= now) {
            self.rotate_at = None;
            return Some(Probe::Rotation);
        }
        if self.feel_at.is_some_and(|at| at <= now) {
            self.feel_at = None;
            return Some(Probe::Feeler);
        }
        None
    }

    /// The dial is under way.
    pub(crate) fn probing(&mut self, conn: ConnId, probe: Probe) {
        self.probe = Some((conn, probe));
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// What a connection is for, if it is such a dial.
    pub(crate) fn purpose(&self, conn: ConnId) -> Option<Probe> {
        self.probe.filter(|(probe, _)| *probe == conn).map(|(_, purpose)| purpose)
    }

    /// Whether this feeler goes to a bootstrap address. They are where
    /// parts of a network that lost each other meet again: above all a bootstrap node that begins
    /// anew knows nobody, and everybody else has as many peers as it wants.
    pub(crate) fn goes_home(&self, known: usize, rng: &mut Rng) -> bool {
        rng.below(u64::try_from(known).unwrap_or(u64::MAX)) < HOMING
    }
}

/// What is connected or under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Addresses of connections and dials, as far as known.
    pub(crate) addrs: SortedSet<SocketAddr>,
    /// Peers that are up.
    pub(crate) peers: SortedSet<PeerId>,
    /// Groups of the connections that are counted as outbound.
    pub(crate) groups: SortedSet<Group>,
    /// Connections that we dialled, and dials under way; feelers, links for routes and suspect
    /// peers left out.
    pub(crate) outbound: usize,
    /// Peers that do not answer.
    pub(crate) suspect: usize,
    /// Dials under way.
    pub(crate) dialing: usize,
}

/// The numbers the decision depends on.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) full_mesh: usize,
    pub(crate) outbound: usize,
    pub(crate) max_dialing: usize,
    /// Dials beyond that, as so many are likely to meet nobody.
    pub(crate) spare: usize,
    /// Peers there may be in all; `usize::MAX` for any number.
    pub(crate) max_peers: usize,
}

impl Surroundings {
    /// Whether the one at an address is connected, or dialled.
    pub(crate) fn has(&self, addr: SocketAddr, peer: Option<&PeerId>) -> bool {
        self.addrs.contains(&addr) || peer.is_some_and(|peer| self.peers.contains(peer))
    }
}

/// How many to dial now.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Room {
    /// So many connections there may be more.
    pub(crate) wanted: usize,
    /// So many dials now.
    pub(crate) dials: usize,
    /// Everyone connects to everyone.
    pub(crate) all: bool,
    /// There are as many as there should be, of more that are known.
    pub(crate) complete: bool,
}

/// How many to dial with so many known addresses.
pub(crate) fn room(known: usize, around: &Surroundings, targets: &Targets) -> Room {
    let all = known <= targets.full_mesh;
    let target = if all { known } else { targets.outbound };
    let peers = around.peers.len().saturating_add(around.dialing);
    let likely = around.outbound.saturating_sub(targets.spare.min(around.dialing));
    let wanted = target.saturating_sub(likely).min(targets.max_peers.saturating_sub(peers));
    let most = targets.max_dialing.saturating_add(targets.spare);
    Room {
        wanted,
        dials: wanted.min(most.saturating_sub(around.dialing)),
        all,
        complete: !all && around.outbound >= target,
    }
}

/// Which network groups may have another connection of ours: each one, while the book knows a
/// group that has none. If it knows none, or is so small that everyone connects to everyone, there
/// is nothing to choose, and fewer connections would only part the network.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    taken: SortedSet<Group>,
    free: bool,
}

impl Groups {
    /// All may have one, if everyone connects to everyone.
    pub(crate) fn new(all: bool, around: &Surroundings) -> Self {
        Self { taken: around.groups.clone(), free: all }
    }

    /// Learns which groups there are: those of all that are not connected.
    pub(crate) fn weigh(&mut self, mut known: impl Iterator<Item = Group>) {
        self.free = self.free || !known.any(|group| !self.taken.contains(&group));
    }

    pub(crate) fn may(&self, group: Group) -> bool {
        self.free || !self.taken.contains(&group)
    }

    /// One of this group is dialled.
    pub(crate) fn take(&mut self, group: Group) {
        self.taken.insert(group);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::format;
    use core::time::Duration;

    const TARGETS: Targets =
        Targets { full_mesh: 12, outbound: 8, max_dialing: 8, spare: 0, max_peers: usize::MAX };

    fn addr(number: usize) -> SocketAddr {
        format!("10.0.0.{number}:5999").parse().unwrap()
    }

    fn dials(known: usize, around: &Surroundings, targets: &Targets) -> usize {
        room(known, around, targets).dials
    }

    #[test]
    fn a_small_network_becomes_a_full_mesh() {
        let targets = Targets { max_dialing: 20, ..TARGETS };
        assert_eq!(dials(12, &default(), &targets), 12);
        assert_eq!(dials(13, &default(), &targets), 8);
    }

    #[test]
    fn there_is_no_more_room_with_enough_connections_or_dials() {
        let around = Surroundings { outbound: 2, dialing: 2, ..default() };
        let room = room(13, &around, &TARGETS);
        assert_eq!((room.wanted, room.dials, room.complete), (6, 6, false));
        assert_eq!(dials(20, &Surroundings { dialing: 5, ..around.clone() }, &TARGETS), 3);
        let full = Surroundings { outbound: 8, ..default() };
        let room = super::room(13, &full, &TARGETS);
        assert_eq!((room.wanted, room.dials, room.complete), (0, 0, true));
        assert!(!super::room(12, &full, &TARGETS).complete, "there everyone is dialled anyway");
    }

    #[test]
    fn dials_that_meet_nobody_make_room_for_more() {
        let mut overlay = overlay();
        (0..8).for_each(|_| overlay.dial_met(false, 24));
        assert_eq!(overlay.spare_dials(), 24);
        let targets = Targets { spare: overlay.spare_dials(), ..TARGETS };
        let dialing = |dialing| Surroundings { outbound: dialing, dialing, ..default() };
        assert_eq!(
            [8, 20, 31, 32].map(|under_way| dials(1000, &dialing(under_way), &targets)),
            [8, 8, 1, 0]
        );
        let enough = Surroundings { outbound: 8, ..default() };
        assert_eq!(dials(1000, &enough, &targets), 0, "with connections there is no need");
        overlay.dial_met(true, 24);
        assert_eq!(overlay.spare_dials(), 12);
    }

    #[test]
    fn a_dial_of_more_than_usual_is_known_as_one_once_and_not_when_it_ended() {
        let (mut overlay, [a, b, c]) =
            (overlay(), [1, 2, 3].map(|slot| ConnId::new(slot, core::num::NonZeroU32::MIN)));
        overlay.dialled_extra(a);
        overlay.dialled_extra(b);
        overlay.ended(b);
        assert_eq!([a, b, c, a].map(|conn| overlay.was_extra(conn)), [true, false, false, false]);
        overlay.asked_for(c);
        assert!(overlay.is_asked_for(c));
        overlay.ended(c);
        assert!(!overlay.is_asked_for(c));
    }

    #[test]
    fn a_peer_is_known_by_name_at_any_address() {
        let peer = PeerId::Guest("x".into());
        let around = Surroundings { peers: [peer.clone()].into(), ..default() };
        assert!(around.has(addr(0), Some(&peer)) && !around.has(addr(0), None));
        let around = Surroundings { addrs: [addr(0)].into(), ..default() };
        assert!(around.has(addr(0), Some(&peer)) && !around.has(addr(1), Some(&peer)));
    }

    #[test]
    fn the_maximum_of_peers_counts_dials_under_way() {
        let targets = Targets { max_peers: 3, ..TARGETS };
        let around = Surroundings { dialing: 1, outbound: 1, ..default() };
        assert_eq!(dials(10, &around, &targets), 2);
    }

    #[test]
    fn each_group_is_dialled_once_while_there_is_another() {
        let [one, two, three] = [1, 2, 3].map(|last| Group::V4([1, last]));
        let around = Surroundings { outbound: 1, groups: [three].into(), ..default() };
        let all = || [one, two, three].into_iter();
        let mut groups = Groups::new(false, &around);
        groups.weigh(all());
        assert_eq!([one, two, three].map(|group| groups.may(group)), [true, true, false]);
        groups.take(one);
        assert_eq!([one, two, three].map(|group| groups.may(group)), [false, true, false]);
        groups.take(two);
        groups.weigh(all());
        assert!(groups.may(one), "there is nothing to choose");
        let around = Surroundings { groups: [one].into(), ..around };
        let mut groups = Groups::new(true, &around);
        groups.weigh(all());
        assert!(groups.may(one), "everyone is wanted");
    }

    fn default() -> Surroundings {
        Surroundings::default()
    }

    fn overlay() -> Overlay {
        Overlay::new(&Limits::default(), Instant::ZERO)
    }

    fn second(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn who_is_alone_for_long_is_told_once() {
        let mut overlay = overlay();
        assert!(!overlay.is_lonely(0, second(29)));
        assert!(overlay.is_lonely(0, second(30)));
        assert!(!overlay.is_lonely(0, second(90)), "once");
        overlay.alone(second(100));
        assert!(!overlay.is_lonely(0, second(129)) && !overlay.is_lonely(1, second(129)));
        assert!(!overlay.is_lonely(0, second(200)), "somebody was there in between");
        assert_eq!(overlay.next_deadline(), None);
    }

    #[test]
    fn others_are_tried_only_when_there_are_enough() {
        let (mut overlay, mut rng) = (overlay(), Rng::new([1; 32]));
        overlay.is_lonely(1, second(0));
        assert_eq!(overlay.next_deadline(), None);
        overlay.complete(second(0), &mut rng);
        let feeler = overlay.next_deadline().unwrap();
        assert!(feeler >= second(60) && feeler <= second(180), "{feeler}");
        assert_eq!(overlay.next_probe(second(59)), None);
        assert_eq!(overlay.next_probe(feeler), Some(Probe::Feeler));
        assert_eq!(overlay.next_probe(second(299)), None, "not again before the next plan");
        assert_eq!(overlay.next_probe(second(900)), Some(Probe::Rotation));
    }

    #[test]
    fn a_dial_beyond_the_usual_has_its_purpose_until_it_ends_or_is_wanted() {
        let [a, b] = [1, 2].map(|slot| ConnId::new(slot, core::num::NonZeroU32::MIN));
        let probing = || {
            let mut overlay = overlay();
            overlay.probing(a, Probe::Rotation);
            overlay
        };
        let mut overlay = probing();
        let known = |overlay: &Overlay| [a, b].map(|conn| overlay.purpose(conn));
        assert_eq!(known(&overlay), [Some(Probe::Rotation), None]);
        overlay.ended(b);
        overlay.asked_for(b);
        assert!(overlay.is_probing() && known(&overlay)[0].is_some());
        overlay.ended(a);
        assert!(!overlay.is_probing() && known(&overlay)[0].is_none());
        let mut overlay = probing();
        overlay.asked_for(a);
        assert!(!overlay.is_probing());
    }

    #[test]
    fn what_is_tried_next_keeps_its_time_when_the_plan_is_complete_again() {
        let (mut overlay, mut rng) = (overlay(), Rng::new([1; 32]));
        overlay.complete(second(0), &mut rng);
        let times = |overlay: &Overlay| (overlay.feel_at, overlay.rotate_at);
        let (feel, rotate) = times(&overlay);
        assert!(feel.is_some() && rotate.is_some());
        overlay.complete(second(1), &mut rng);
        assert_eq!(times(&overlay), (feel, rotate));
        let both = feel.max(rotate).unwrap();
        assert_eq!(overlay.next_probe(rotate.unwrap()), Some(Probe::Rotation));
        assert_eq!((overlay.rotate_at, overlay.next_probe(both)), (None, Some(Probe::Feeler)));
        assert_eq!((times(&overlay), overlay.next_probe(both)), ((None, None), None));
    }

    #[test]
    fn a_feeler_goes_home_surely_if_few_are_known() {
        let (overlay, mut rng) = (overlay(), Rng::new([1; 32]));
        let homing = usize::try_from(HOMING).unwrap();
        assert!((0..200).all(|_| overlay.goes_home(homing, &mut rng)));
        assert!(!(0..1000).all(|_| overlay.goes_home(homing + 1, &mut rng)), "one more");
        let often = (0..1000).filter(|_| overlay.goes_home(2 * homing, &mut rng)).count();
        assert!((400..=600).contains(&often), "{often}");
    }

    #[test]
    fn room_for_peers_and_dials_ends_with_the_smallest_bound() {
        let peers = |count: usize| (0..count).map(|n| PeerId::Guest(format!("{n}").into()));
        for (around, targets, expected) in [
            (Surroundings { outbound: 7, ..default() }, TARGETS, (1, 1, false)),
            (Surroundings { outbound: 9, ..default() }, TARGETS, (0, 0, true)),
            (Surroundings { dialing: 8, ..default() }, TARGETS, (8, 0, false)),
            (
                Surroundings { peers: peers(3).collect(), dialing: 2, ..default() },
                Targets { max_peers: 6, ..TARGETS },
                (1, 1, false),
            ),
            (
                Surroundings { outbound: 6, dialing: 3, ..default() },
                Targets { spare: 2, ..TARGETS },
                (4, 4, false),
            ),
        ] {
            let room = room(13, &around, &targets);
            assert_eq!((room.wanted, room.dials, room.complete), expected, "{around:?}");
            assert!(!room.all);
        }
        let all = room(8, &Surroundings { outbound: 8, ..default() }, &TARGETS);
        assert!(all.all && !all.complete, "there are no more that are known");
    }
}
