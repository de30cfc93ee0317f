//! What can go wrong: with a connection, a host, the network between hosts, a clock.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::pipe::{Packet, Side};
use crate::net::watch::{SETTLES, Watch};
use crate::net::{Clock, Cut, HostId, Net};

impl Net {
    // ---- hosts ----

    /// The host is gone without a word: nothing reaches it, nothing comes from it.
    pub fn vanish(&mut self, host: HostId) {
        self.hosts[host].up = false;
    }

    /// The host's program is killed: its sockets are reset.
    pub fn kill(&mut self, host: HostId) {
        self.hosts[host].up = false;
        for (pipe, side) in std::mem::take(&mut self.hosts[host].sockets).into_values() {
            self.transmit(pipe, side, Packet::Reset);
            if let Some(pipe) = self.pipes.get_mut(pipe) {
                pipe.detach(side);
            }
        }
    }

    /// The host is started again: the same name and settings, nothing else of its former life.
    /// What comes to its old sockets is answered by resets.
    pub fn restart(&mut self, host: HostId) {
        let (id, config) = (self.node(host).id(), self.hosts[host].config.clone());
        let (addr, clock) = (self.hosts[host].addr, self.hosts[host].clock);
        self.former.push(self.node(host).stats());
        let node = self.new_node(id, &config, addr, clock);
        for (pipe, side) in std::mem::take(&mut self.hosts[host].sockets).into_values() {
            let unheard = self.pipes.get_mut(pipe).is_some_and(|pipe| {
                pipe.detach(side);
                !pipe.is_all_read(side.other())
            });
            if unheard {
                // What nobody acknowledged is sent again, and meets a host that knows nothing.
                self.transmit(pipe, side, Packet::Reset);
            }
        }
        let it = &mut self.hosts[host];
        it.node = node;
        let lateness = it.watch.lateness;
        it.watch = Watch::default();
        it.watch.lateness = lateness;
        (it.up, it.asleep, it.drains, it.reads, it.timer) = (true, false, true, true, None);
        it.life += 1;
        self.meetings += 1;
        self.pump(host);
    }

    /// The host is at another address from now on; whoever asks at the old one gets no answer.
    pub fn move_host(&mut self, host: HostId, addr: SocketAddr) {
        self.by_addr.remove(&self.hosts[host].addr);
        self.black_holes.insert(self.hosts[host].addr);
        self.hosts[host].addr = addr;
        self.by_addr.insert(addr, host);
    }

    /// Nothing happens on the host, and nothing is lost, until it wakes.
    pub fn doze(&mut self, host: HostId) {
        self.hosts[host].asleep = true;
    }

    /// The host goes on.
    pub fn wake(&mut self, host: HostId) {
        self.hosts[host].asleep = false;
        self.hosts[host].excused = self.hosts[host].excused.max(self.now + SETTLES);
        self.hosts[host].timer = None;
        self.release();
        self.plan_host(host);
    }

    /// Whether nobody can dial the host.
    pub fn nat(&mut self, host: HostId, behind: bool) {
        self.hosts[host].behind_nat = behind;
    }

    /// Whether the host has no descriptors left.
    pub fn exhaust(&mut self, host: HostId, exhausted: bool) {
        self.hosts[host].exhausted = exhausted;
    }

    /// How late the host's timers fire, at most.
    pub fn delay_timers(&mut self, host: HostId, lateness: Duration) {
        self.hosts[host].lateness = lateness;
        self.hosts[host].watch.lateness = lateness;
    }

    /// The host's clock jumps.
    pub fn jump_clock(&mut self, host: HostId, by: Duration, back: bool) {
        let now = self.now;
        self.hosts[host].clock.jump(now, by, back);
        // Back, and the node's time stands still until the clock is where it was.
        let excused = now + SETTLES + if back { by } else { Duration::ZERO };
        self.hosts[host].excused = self.hosts[host].excused.max(excused);
        self.hosts[host].timer = None;
        self.plan_host(host);
    }

    /// Whether timers of some host may fire late.
    pub(crate) fn has_late_timers(&self) -> bool {
        self.hosts.iter().any(|host| !host.lateness.is_zero())
    }

    /// Whether each byte arrives by itself, so that long lines take long.
    pub(crate) fn is_cut_to_bytes(&self) -> bool {
        self.cut == Cut::Bytes
    }

    /// The host's clock runs at so many millionths of the true speed. To be said at the start.
    pub fn skew_clock(&mut self, host: HostId, millionths: u64) {
        self.hosts[host].clock = Clock::new(millionths);
        self.hosts[host].timer = None;
        self.plan_host(host);
    }

    // ---- between hosts ----

    /// Nothing passes from the first hosts to the second, nor back if not `one_way`, until
    /// [`heal`](Self::heal). Nothing is lost: it arrives then.
    pub fn partition(&mut self, from: &[HostId], to: &[HostId], one_way: bool) {
        for (a, b) in from.iter().flat_map(|a| to.iter().map(move |b| (*a, *b))) {
            self.parted.insert((a, b));
            if !one_way {
                self.parted.insert((b, a));
            }
        }
    }

    /// All hosts reach each other again.
    pub fn heal(&mut self) {
        self.parted.clear();
        self.release();
    }

    /// Whether nothing comes from or gets to a host.
    pub fn clog(&mut self, host: HostId, clogged: bool) {
        self.hosts[host].clogged = clogged;
        self.release();
    }

    /// Nobody ever answers at this address.
    pub fn black_hole(&mut self, addr: SocketAddr) {
        self.black_holes.insert(addr);
    }

    /// Of a hundred dials, how many take up to two minutes to be answered.
    pub fn slow_dials(&mut self, per_cent: u64) {
        self.slow_dials = per_cent;
    }

    // ---- connections ----

    /// The pipes that there are, by number.
    pub fn pipes(&self) -> Vec<u64> {
        self.pipes.iter().filter(|(_, pipe)| pipe.raw.is_none()).map(|(id, _)| id).collect()
    }

    /// Ends a connection by a reset at both ends; what is on its way is lost.
    pub fn tear_pipe(&mut self, number: u64) {
        if let Some(pipe) = self.pipes.get_mut(number) {
            pipe.lose();
        }
        self.break_pipe(number);
    }

    /// One end of a connection is told that the other's half has ended.
    pub fn end_pipe(&mut self, number: u64, from: Side) {
        self.transmit(number, from, Packet::Fin);
    }

    /// A frozen connection flows again.
    pub fn thaw_pipe(&mut self, number: u64) {
        if let Some(pipe) = self.pipes.get_mut(number) {
            pipe.frozen = false;
        }
        self.release_pipe(number);
    }

    /// Ends the `number`-th connection ever made by a reset at both ends.
    pub fn break_pipe(&mut self, number: u64) {
        for side in [Side::Dialer, Side::Acceptor] {
            self.transmit(number, side, Packet::Reset);
        }
    }

    /// From now on nothing more arrives through the `number`-th connection ever made.
    pub fn freeze_pipe(&mut self, number: u64) {
        if let Some(pipe) = self.pipes.get_mut(number) {
            pipe.frozen = true;
        }
    }

    /// A host is reached at this address too, without knowing.
    pub fn alias(&mut self, addr: SocketAddr, host: HostId) {
        self.aliases.insert(addr, host);
    }
}
