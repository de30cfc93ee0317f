//! Hostile strangers: each act opens a connection or goes on with one, with no more than a few
//! dozen open at once. They speak the wire well enough to be believed, and badly enough to hurt.

use std::net::SocketAddr;

use crate::entropy::Entropy;
use crate::net::{HostId, Net, Stranger};

/// Connections open at once.
const MOST: usize = 64;
const PING: &str = "{\"msgtype\":\"ping\",\"nonce\":1}\n";

/// The strangers.
#[derive(Debug, Default)]
pub(crate) struct Gang {
    open: Vec<Stranger>,
    /// Those that do not read, and go on talking.
    deaf: Vec<Stranger>,
    /// Lines that were said to the gang, to be said again to others.
    overheard: Vec<String>,
    port: u16,
    serial: u64,
}

impl Gang {
    /// One hostile act.
    pub(crate) fn act(&mut self, net: &mut Net, entropy: &mut Entropy) {
        let host = entropy.below(net.hosts() as u64) as HostId;
        match entropy.below(16) {
            0 => self.garbage(net, host, entropy),
            1 => self.oversize(net, host),
            2 => self.truncate(net, host, entropy),
            3 => self.flip_a_bit(net, host, entropy),
            4 => self.replay(net, host),
            5 => self.slow(net, host, entropy),
            6 => self.never_read(net, host),
            7 => self.tell_addresses(net, host, entropy),
            8 => self.ring(net, host),
            9 => self.flood(net, host, entropy),
            10 => self.lie_about_version(net, host, entropy),
            11 => self.clone_id(net, host, entropy),
            12 => self.forge(net, host, entropy),
            13 => self.come_and_go(net, host),
            14 => self.hoard(net, host),
            _ => self.break_up(net, entropy),
        }
        for stranger in self.open.iter().filter(|_| !self.deaf.is_empty()) {
            if self.deaf.contains(stranger) {
                net.say(*stranger, PING);
            }
        }
        while self.open.len() > MOST {
            let stranger = self.open.remove(0);
            net.break_off(stranger);
        }
    }

    /// All of them go.
    pub(crate) fn leave(&mut self, net: &mut Net) {
        for stranger in self.open.drain(..) {
            net.break_off(stranger);
        }
    }

    // ---- ways to begin ----

    fn open(&mut self, net: &mut Net, host: HostId) -> Stranger {
        self.port = self.port.wrapping_add(1);
        let [high, low] = self.port.to_be_bytes();
        let from = SocketAddr::from(([203, 0, high, low], 1024 + self.port % 60_000));
        let stranger = net.intrude(host, from);
        self.open.push(stranger);
        stranger
    }

    fn name(&mut self) -> String {
        self.serial += 1;
        format!("{:08x}-0000-4000-8000-000000000000", self.serial)
    }

    fn join_as(&mut self, net: &mut Net, host: HostId, name: &str) -> Stranger {
        let stranger = self.open(net, host);
        let hello = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{name}\",\"version\":1}}\n");
        net.say(stranger, hello);
        stranger
    }

    fn join(&mut self, net: &mut Net, host: HostId) -> Stranger {
        let name = self.name();
        self.join_as(net, host, &name)
    }

    // ---- what they do ----

    fn garbage(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let bytes: Vec<u8> = (0..entropy.between(1, 300)).map(|_| entropy.number() as u8).collect();
        let joins = entropy.chance(50);
        let stranger = if joins { self.join(net, host) } else { self.open(net, host) };
        net.say(stranger, bytes);
    }

    fn oversize(&mut self, net: &mut Net, host: HostId) {
        let stranger = self.join(net, host);
        net.say(stranger, format!("{{\"msgtype\":\"{}", "x".repeat(300 * 1024)));
    }

    fn truncate(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let stranger = self.join(net, host);
        let line = self.forged(entropy, None);
        net.say(stranger, &line[..entropy.below(line.len() as u64) as usize]);
        net.hang_up(stranger);
    }

    fn flip_a_bit(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let stranger = self.join(net, host);
        let mut line = self.forged(entropy, None).into_bytes();
        let at = entropy.below(line.len() as u64) as usize;
        line[at] ^= 1 << entropy.below(8);
        net.say(stranger, line);
    }

    /// Says to one host what another said.
    fn replay(&mut self, net: &mut Net, host: HostId) {
        for stranger in &self.open {
            let heard = net.heard(*stranger);
            let lines = heard.lines().filter(|line| line.contains("\"broadcast\""));
            self.overheard.extend(lines.map(|line| format!("{line}\n")).take(16));
        }
        let surplus = self.overheard.len().saturating_sub(64);
        self.overheard.drain(..surplus);
        let stranger = self.join(net, host);
        for line in &self.overheard {
            net.say(stranger, line);
        }
    }

    fn slow(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let joins = entropy.chance(50);
        let stranger = if joins { self.join(net, host) } else { self.open(net, host) };
        net.say(stranger, "{");
    }

    fn never_read(&mut self, net: &mut Net, host: HostId) {
        let stranger = self.join(net, host);
        net.turn_deaf(stranger);
        net.say(stranger, PING.repeat(50));
        self.deaf.push(stranger);
    }

    fn tell_addresses(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let stranger = self.join(net, host);
        let base = entropy.below(200);
        let rows: Vec<String> =
            (0..200).map(|n| format!("[\"10.7.{base}.{n}:5999\",\"{}\",1]", self.name())).collect();
        net.say(stranger, format!("{{\"msgtype\":\"addr\",\"peers\":[{}]}}\n", rows.join(",")));
    }

    /// Many names from one place.
    fn ring(&mut self, net: &mut Net, host: HostId) {
        for _ in 0..8 {
            self.join(net, host);
        }
    }

    fn flood(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let stranger = self.join(net, host);
        let name = self.name();
        for seq in 1..=entropy.between(10, 200) {
            net.say(stranger, broadcast(&name, 1, seq));
        }
    }

    fn lie_about_version(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let stranger = self.open(net, host);
        let (version, least) = (entropy.below(1 << 40), entropy.below(4));
        let name = self.name();
        net.say(
            stranger,
            format!(
                "{{\"msgtype\":\"hello\",\"nodeid\":\"{name}\",\"version\":{version},\
                 \"min_version\":{least}}}\n"
            ),
        );
    }

    /// Calls itself what another host, or the host itself, is called.
    fn clone_id(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let other = entropy.below(net.hosts() as u64) as HostId;
        let name = net.node(other).id().to_string();
        self.join_as(net, host, &name);
    }

    /// Broadcasts under another's name, or under the host's own, of a life that never was.
    fn forge(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let stranger = self.join(net, host);
        let other = entropy.below(net.hosts() as u64) as HostId;
        let line = self.forged(entropy, Some(net.node(other).id().to_string()));
        net.say(stranger, line);
    }

    fn come_and_go(&mut self, net: &mut Net, host: HostId) {
        for _ in 0..10 {
            let stranger = self.join(net, host);
            net.hang_up(stranger);
        }
    }

    /// Connects and says nothing.
    fn hoard(&mut self, net: &mut Net, host: HostId) {
        for _ in 0..24 {
            self.open(net, host);
        }
    }

    fn break_up(&mut self, net: &mut Net, entropy: &mut Entropy) {
        if self.open.is_empty() {
            return;
        }
        let index = entropy.below(self.open.len() as u64) as usize;
        let stranger = self.open.swap_remove(index);
        net.break_off(stranger);
    }

    fn forged(&mut self, entropy: &mut Entropy, name: Option<String>) -> String {
        let name = name.unwrap_or_else(|| self.name());
        broadcast(&name, entropy.below(1 << 32), entropy.number() >> entropy.between(11, 63))
    }
}

fn broadcast(name: &str, epoch: u64, seq: u64) -> String {
    format!(
        "{{\"msgtype\":\"broadcast\",\"originator\":\"{name}\",\"epoch\":{epoch},\"seq\":{seq},\
         \"time\":1,\"kind\":\"EVIL\",\"msg\":\"x\"}}\n"
    )
}
