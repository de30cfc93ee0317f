//! Hostile strangers: each act opens a connection or goes on with one, with no more than a few
//! dozen open at once. They speak the wire well enough to be believed, and badly enough to hurt.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::testing::encode_frame;

use crate::entropy::Entropy;
use crate::net::{HostId, Net, Rule, Stranger};

/// Connections open at once.
const MOST: usize = 64;
/// Lines of addresses that one teller tells at once: more than it may.
const TOLD_LINES: u64 = 3;
/// How long a teller may have been there.
const TELLING: Duration = Duration::from_secs(240);
/// Addresses that nobody can dial.
const UNUSABLE: [&str; 4] = ["0.0.0.0:1", "224.0.0.9:1", "10.7.1.1:0", "255.255.255.255:1"];
const BROADCAST: &str = "{\"msgtype\":\"broadcast\"";
const PING: &str = "{\"msgtype\":\"ping\",\"nonce\":1}\n";

/// The strangers.
#[derive(Debug, Default)]
pub(crate) struct Gang {
    open: Vec<Stranger>,
    /// Those that do not read, and go on talking.
    deaf: Vec<Stranger>,
    /// Lines that were said to the gang, to be said again to others.
    overheard: Vec<String>,
    /// What is long is said short, as each byte comes alone.
    brief: bool,
    port: u16,
    serial: u64,
    /// How often each host was told addresses.
    tellings: BTreeMap<HostId, u64>,
}

impl Gang {
    pub(crate) fn new(brief: bool) -> Self {
        Self { brief, ..Self::default() }
    }

    /// One hostile act.
    pub(crate) fn act(&mut self, net: &mut Net, entropy: &mut Entropy) {
        let host = entropy.below(net.hosts() as u64) as HostId;
        match entropy.below(18) {
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
            15 => self.misdirect(net, host),
            16 => self.visit(net, host, entropy),
            _ => self.break_up(net, entropy),
        }
        for stranger in self.open.iter().filter(|_| !self.deaf.is_empty()) {
            if self.deaf.contains(stranger) {
                net.say(*stranger, PING);
            }
        }
        while self.open.len() > MOST {
            let stranger = self.open.remove(0);
            self.part(net, stranger);
        }
    }

    /// All of them go.
    pub(crate) fn leave(&mut self, net: &mut Net) {
        self.check_told(net);
        for stranger in std::mem::take(&mut self.open) {
            self.part(net, stranger);
        }
    }

    fn part(&mut self, net: &mut Net, stranger: Stranger) {
        net.break_off(stranger);
        net.forget(stranger);
        self.deaf.retain(|deaf| *deaf != stranger);
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
        // Before its hello a stranger may say less.
        let (stranger, len) = match self.brief {
            true => (self.open(net, host), 5 * 1024),
            false => (self.join(net, host), 300 * 1024),
        };
        net.say(stranger, format!("{{\"msgtype\":\"{}", "x".repeat(len)));
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
            let heard = net.last_heard(*stranger, 64 * 1024);
            let lines = heard.lines().filter(|line| line.starts_with(BROADCAST));
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
        *self.tellings.entry(host).or_default() += 1;
        let base = entropy.below(200);
        for base in base..base + TOLD_LINES {
            let rows: Vec<String> = (0..200)
                .map(|n| format!("[\"10.7.{base}.{n}:5999\",\"{}\"]", self.name()))
                .chain([format!("\"{}\"", net.addr(host))])
                .chain(UNUSABLE.map(|addr| format!("\"{addr}\"")))
                .collect();
            net.say(stranger, format!("{{\"msgtype\":\"addr\",\"peers\":[{}]}}\n", rows.join(",")));
        }
    }

    /// Of what the gang told, each host keeps no more than each teller may tell.
    pub(crate) fn check_told(&self, net: &Net) {
        for (host, tellings) in &self.tellings {
            let node = net.node(*host);
            let limits = node.config().limits();
            // A clock may run fast, and jump once more to a full bucket.
            let slowly = TELLING.as_secs() / limits.addr_every.as_secs().max(1);
            let each = 2 * limits.addr_burst as u64 + limits.addr_answer as u64 + slowly;
            let told = |addr: &SocketAddr| addr.to_string().starts_with("10.7.");
            let (count, most) = (node.addresses().filter(told).count() as u64, tellings * each);
            Rule::AddressBook.check(count <= most, || {
                format!("host {host} keeps {count} addresses of {tellings} tellers")
            });
        }
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

    /// A message for somebody who is not here.
    fn misdirect(&mut self, net: &mut Net, host: HostId) {
        let (name, nobody) = (self.name(), self.name());
        let stranger = self.join_as(net, host, &name);
        net.say(
            stranger,
            format!(
                "{{\"msgtype\":\"message\",\"id\":\"1.1\",\"from\":\"{name}\",\"to\":\"{nobody}\",\
                 \"kind\":\"EVIL\",\"time\":1,\"ttl\":1,\"msg\":\"x\"}}\n"
            ),
        );
    }

    /// Speaks as a guest: a frame, or an object of chat that is new.
    fn visit(&mut self, net: &mut Net, host: HostId, entropy: &mut Entropy) {
        let (stranger, name) = (self.open(net, host), self.name());
        let object = |kind: &str, msg: &str| {
            let said = format!("\"originator\":\"{name}\",\"time\":\"1\"");
            format!("{{\"msg_type\":\"{kind}\",\"msg\":{msg},{said}}}").into_bytes()
        };
        let frame = |kind: &str, text: &str| {
            encode_frame(kind, text.as_bytes()).expect("four letters are a kind")
        };
        let said = match entropy.below(8) {
            0 => object("PING", "[\"203.0.0.9\",9]"),
            1 | 2 => object("BROADCAST", "\"heard\""),
            3 => object("ADVERTISE", "0"),
            4 => frame("JOIN", "able 203.0.0.9 9"),
            5 => frame("LIST", ""),
            6 => frame("QUIT", "able"),
            _ => frame("ASK ", "what nobody knows"),
        };
        net.say(stranger, said);
    }

    fn break_up(&mut self, net: &mut Net, entropy: &mut Entropy) {
        if self.open.is_empty() {
            return;
        }
        let index = entropy.below(self.open.len() as u64) as usize;
        let stranger = self.open.swap_remove(index);
        self.part(net, stranger);
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
