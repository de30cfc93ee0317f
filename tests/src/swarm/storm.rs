//! The storm: hosts that talk, faults that come and go.
//!
//! A fault that lasts is written down with the moment of its end. [`Storm::heal`] ends all of them
//! at once; whatever is down comes back.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::Instant;

use crate::entropy::Entropy;
use crate::net::{Cut, HostId, Net, Side};
use crate::swarm::gang::Gang;
use crate::swarm::plan::{Fault, Plan};
use crate::swarm::report::Run;

/// How a fault that lasts ends.
#[derive(Copy, Clone, Debug)]
enum Heal {
    Pipe(u64),
    Network,
    Clog(HostId, bool),
    SlowDials,
    Descriptors(HostId),
    Back(HostId),
    Wake(HostId),
    Drain(HostId),
    Read(HostId),
}

/// The storm.
#[derive(Debug)]
pub(crate) struct Storm {
    plan: Plan,
    entropy: Entropy,
    heals: Vec<(Instant, Heal)>,
    /// Whom each host knows for ever.
    bootstraps: Vec<Vec<HostId>>,
    gang: Gang,
    /// Whose clock stands still after a jump back, and until when.
    stands_still: Vec<Instant>,
    /// How far clocks have jumped ahead, all together.
    ahead: Duration,
    /// Who parted from whom; a node does not dial those again for an hour.
    parted: Vec<(HostId, HostId)>,
}

impl Storm {
    /// Sets the network up as planned.
    pub(crate) fn begin(net: &mut Net, plan: Plan, mut entropy: Entropy) -> Self {
        net.groups(plan.groups);
        net.latency(plan.latency.0, plan.latency.1);
        net.window(plan.window);
        net.bandwidth(plan.bandwidth);
        net.cut(plan.cut);
        net.forget_events();
        let (mut bootstraps, hosts) = (Vec::new(), plan.hosts);
        let gang = Gang::new(plan.cut == Cut::Bytes);
        for host in 0..hosts {
            net.add_with(plan.config.clone());
            let mut known = Vec::new();
            if host > 0 {
                known.push(0);
                known.push(entropy.below(host as u64) as HostId);
                known.dedup();
                net.nat(host, entropy.chance(plan.behind_nat));
            }
            if entropy.chance(plan.skewed) {
                net.skew_clock(host, entropy.between(900_000, 1_100_000));
            }
            if entropy.chance(plan.late) {
                let lateness = entropy.millis(1, 5_000);
                net.delay_timers(host, lateness);
            }
            for other in &known {
                net.bootstrap(host, *other);
            }
            bootstraps.push(known);
        }
        Self {
            plan,
            entropy,
            heals: Vec::new(),
            bootstraps,
            gang,
            stands_still: vec![Instant::ZERO; hosts],
            ahead: Duration::ZERO,
            parted: Vec::new(),
        }
    }

    /// Lets the storm pass.
    pub(crate) fn pass(&mut self, net: &mut Net, lasts: Duration, run: &mut Run) {
        let end = net.now() + lasts;
        let mut fault_at = net.now();
        let mut talk_at = net.now();
        while net.now() < end {
            let now = net.now();
            if talk_at <= now {
                self.talk(net);
                talk_at = now + self.entropy.millis(0, 2 * self.plan.talk);
            }
            if fault_at <= now {
                self.some_fault(net, run);
                fault_at = now + self.entropy.millis(1, 2 * self.plan.pace);
            }
            self.heal_due(net);
            let heal_at = self.heals.iter().map(|(at, _)| *at).min().unwrap_or(end);
            let next = fault_at.min(talk_at).min(heal_at).min(end);
            net.run_for(next.saturating_since(net.now()).max(Duration::from_millis(1)));
        }
    }

    /// Everything is well again.
    pub(crate) fn heal(&mut self, net: &mut Net) {
        self.gang.leave(net);
        for (_, heal) in std::mem::take(&mut self.heals) {
            self.end(net, heal);
        }
        for pipe in net.pipes() {
            net.thaw_pipe(pipe);
        }
        net.heal();
        net.slow_dials(0);
        for (a, b) in std::mem::take(&mut self.parted) {
            net.dial(a, b);
            net.dial(b, a);
        }
    }

    /// Its chances, and whom each host knows for ever.
    pub(crate) fn into_rest(self) -> (Entropy, Vec<Vec<HostId>>) {
        (self.entropy, self.bootstraps)
    }

    fn heal_due(&mut self, net: &mut Net) {
        let now = net.now();
        while let Some(index) = self.heals.iter().position(|(at, _)| *at <= now) {
            let (_, heal) = self.heals.swap_remove(index);
            self.end(net, heal);
        }
    }

    fn end(&mut self, net: &mut Net, heal: Heal) {
        match heal {
            Heal::Pipe(pipe) => net.thaw_pipe(pipe),
            Heal::Network => net.heal(),
            Heal::Clog(host, clogged) => net.clog(host, clogged && !self.heals.is_empty()),
            Heal::SlowDials => net.slow_dials(0),
            Heal::Descriptors(host) => net.exhaust(host, false),
            Heal::Back(host) => self.bring_back(net, host),
            Heal::Wake(host) => net.wake(host),
            Heal::Drain(host) => net.drain(host, true),
            Heal::Read(host) => net.read(host, true),
        }
    }

    fn bring_back(&mut self, net: &mut Net, host: HostId) {
        net.restart(host);
        for other in self.bootstraps[host].clone() {
            net.bootstrap(host, other);
        }
    }

    // ---- what happens ----

    fn talk(&mut self, net: &mut Net) {
        let Some(from) = self.some_host(net) else { return };
        let padding = self.entropy.below(self.plan.longest) as usize;
        let to = self.some_peer(net, from).filter(|_| self.entropy.chance(30));
        net.publish(from, to, padding);
    }

    /// A host that is there and does something.
    fn some_host(&mut self, net: &Net) -> Option<HostId> {
        let host = self.entropy.below(net.hosts() as u64) as HostId;
        (net.is_up(host) && !net.is_asleep(host) && !net.node(host).is_stopping()).then_some(host)
    }

    fn some_peer(&mut self, net: &Net, host: HostId) -> Option<HostId> {
        let other = self.entropy.below(net.hosts() as u64) as HostId;
        net.node(host).peer(&net.id(other)).map(|_| other)
    }

    fn some_pipe(&mut self, net: &Net) -> Option<u64> {
        let pipes = net.pipes();
        pipes.get(self.entropy.below(pipes.len() as u64) as usize).copied()
    }

    fn later(&mut self, net: &Net, most: u64, heal: Heal) {
        let at = net.now() + self.entropy.millis(1, most);
        self.heals.push((at, heal));
    }

    fn some_fault(&mut self, net: &mut Net, run: &mut Run) {
        let faults = &self.plan.faults;
        let Some(fault) = faults.get(self.entropy.below(faults.len() as u64) as usize) else {
            return;
        };
        let fault = *fault;
        if self.begin_fault(net, fault).is_some() {
            run.fault(fault);
        }
    }

    /// One line each; `None` if there is nobody for it to happen to.
    fn begin_fault(&mut self, net: &mut Net, fault: Fault) -> Option<()> {
        match fault {
            Fault::Reset => net.break_pipe(self.some_pipe(net)?),
            Fault::Tear => net.tear_pipe(self.some_pipe(net)?),
            Fault::HalfClose => self.half_close(net)?,
            Fault::Stall => self.stall(net)?,
            Fault::Partition => self.part(net, false),
            Fault::OneWay => self.part(net, true),
            Fault::Swizzle => self.swizzle(net),
            Fault::BlackHole => self.dial_nobody(net, true)?,
            Fault::Refused => self.dial_nobody(net, false)?,
            Fault::OwnAddress => self.dial_oneself(net)?,
            Fault::SlowDials => self.slow_dials(net),
            Fault::Exhausted => self.exhaust(net)?,
            Fault::Vanish | Fault::Crash | Fault::Leave => self.go(net, fault)?,
            Fault::Disconnect => self.disconnect(net)?,
            Fault::DialBoth => self.dial_both(net)?,
            Fault::Sleep => self.doze(net)?,
            Fault::JumpAhead | Fault::JumpBack => self.jump(net, fault == Fault::JumpBack)?,
            Fault::NoDrain => self.stop_draining(net)?,
            Fault::NoRead => self.stop_reading(net)?,
            Fault::Flood => self.flood(net)?,
            Fault::Ask => self.ask(net)?,
            Fault::Hostile => self.gang.act(net, &mut self.entropy),
        }
        Some(())
    }

    fn half_close(&mut self, net: &mut Net) -> Option<()> {
        let pipe = self.some_pipe(net)?;
        let side = if self.entropy.chance(50) { Side::Dialer } else { Side::Acceptor };
        net.end_pipe(pipe, side);
        Some(())
    }

    fn stall(&mut self, net: &mut Net) -> Option<()> {
        let pipe = self.some_pipe(net)?;
        net.freeze_pipe(pipe);
        self.later(net, 60_000, Heal::Pipe(pipe));
        Some(())
    }

    fn part(&mut self, net: &mut Net, one_way: bool) {
        let share = self.entropy.between(1, 99);
        let (some, others): (Vec<HostId>, Vec<HostId>) =
            (0..net.hosts()).partition(|_| self.entropy.chance(share));
        net.partition(&some, &others, one_way);
        self.later(net, 90_000, Heal::Network);
    }

    fn swizzle(&mut self, net: &mut Net) {
        for host in 0..net.hosts() {
            if self.entropy.chance(40) {
                self.later(net, 10_000, Heal::Clog(host, true));
                let at = net.now() + self.entropy.millis(10_000, 30_000);
                self.heals.push((at, Heal::Clog(host, false)));
            }
        }
    }

    /// An address where nobody is; half of the time one that somebody tells the others.
    fn dial_nobody(&mut self, net: &mut Net, silent: bool) -> Option<()> {
        let host = self.some_host(net)?;
        let addr = SocketAddr::from(([10, 9, u8::from(silent), self.entropy.below(200) as u8], 1));
        if silent {
            net.black_hole(addr);
        }
        net.with(host, |node, now| node.add_bootstrap(addr, now));
        Some(())
    }

    fn dial_oneself(&mut self, net: &mut Net) -> Option<()> {
        let host = self.some_host(net)?;
        let addr = SocketAddr::from(([10, 8, 0, host as u8], 5999));
        net.alias(addr, host);
        net.with(host, |node, now| node.add_bootstrap(addr, now));
        Some(())
    }

    fn slow_dials(&mut self, net: &mut Net) {
        net.slow_dials(self.entropy.between(1, 100));
        self.later(net, 30_000, Heal::SlowDials);
    }

    fn exhaust(&mut self, net: &mut Net) -> Option<()> {
        let host = self.some_host(net)?;
        net.exhaust(host, true);
        self.later(net, 20_000, Heal::Descriptors(host));
        Some(())
    }

    fn go(&mut self, net: &mut Net, fault: Fault) -> Option<()> {
        let host = self.some_host(net)?;
        match fault {
            Fault::Vanish => net.vanish(host),
            Fault::Crash => net.kill(host),
            _ => net.with(host, |node, now| node.shutdown(Duration::from_secs(2), now)),
        }
        self.later(net, 60_000, Heal::Back(host));
        Some(())
    }

    fn disconnect(&mut self, net: &mut Net) -> Option<()> {
        let host = self.some_host(net)?;
        let other = self.some_peer(net, host)?;
        self.parted.push((host, other));
        let peer = net.id(other);
        net.with(host, |node, now| node.disconnect(&peer, now));
        Some(())
    }

    fn dial_both(&mut self, net: &mut Net) -> Option<()> {
        let (a, b) = (self.some_host(net)?, self.some_host(net)?);
        if a == b {
            return None;
        }
        net.dial(a, b);
        net.dial(b, a);
        Some(())
    }

    fn doze(&mut self, net: &mut Net) -> Option<()> {
        let host = self.some_host(net)?;
        net.doze(host);
        self.later(net, 5_000, Heal::Wake(host));
        Some(())
    }

    /// Ahead by anything up to ten years, back by a few seconds: a node's clock stands still for
    /// as long. As often as it comes.
    fn jump(&mut self, net: &mut Net, back: bool) -> Option<()> {
        let host = self.some_host(net)?;
        let most = if back { 8_000 } else { 315_000_000_000_u64 >> self.entropy.below(30) };
        let by = self.entropy.millis(1, most);
        if back {
            // More in all, and a node stands still for longer than its peers wait.
            let until = self.stands_still[host].max(net.now()) + by;
            if until.saturating_since(net.now()) > Duration::from_secs(8) {
                return None;
            }
            self.stands_still[host] = until;
        } else {
            // Beyond five hundred years time is at its end, and nothing is due any more.
            self.ahead += by;
            if self.ahead > Duration::from_secs(200 * 31_557_600) {
                return None;
            }
        }
        net.jump_clock(host, by, back);
        Some(())
    }

    fn stop_draining(&mut self, net: &mut Net) -> Option<()> {
        let host = self.some_host(net)?;
        net.drain(host, false);
        self.later(net, 60_000, Heal::Drain(host));
        Some(())
    }

    fn stop_reading(&mut self, net: &mut Net) -> Option<()> {
        let host = self.some_host(net)?;
        net.read(host, false);
        self.later(net, 30_000, Heal::Read(host));
        Some(())
    }

    fn ask(&mut self, net: &mut Net) -> Option<()> {
        let from = self.some_host(net)?;
        let within = self.entropy.millis(100, 30_000);
        for _ in 0..self.entropy.between(1, 12) {
            let to = self.entropy.below(net.hosts() as u64) as HostId;
            if to != from {
                net.ask(from, to, within);
            }
        }
        Some(())
    }

    fn flood(&mut self, net: &mut Net) -> Option<()> {
        let from = self.some_host(net)?;
        let to = self.some_peer(net, from)?;
        let most = if self.plan.cut == Cut::Bytes { 512 } else { 16 * 1024 };
        let padding = (net.node(from).config().limits().send_queue / 16).min(most);
        for _ in 0..40 {
            if net.publish(from, Some(to), padding).1 == 0 {
                break;
            }
        }
        Some(())
    }
}
