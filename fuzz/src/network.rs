//! Target `mini_net`: the network on virtual time, whose every chance the fuzzer decides.

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::testing::encode_frame;
use peerline_proto::{Event, NodeId, Payload, RequestId};
use peerline_testkit::Cut;
use peerline_testkit::entropy::Entropy;
use peerline_testkit::net::{HostId, Net};

use crate::input::Input;

/// Hosts that stay, so that there is a network in the end.
const SURVIVORS: usize = 2;
/// Steps of the storm.
const STORM: u32 = 2_000;
/// Steps of the calm: enough for keep-alives and backoff of five hosts in five minutes.
const CALM: u32 = 20_000;
/// The calm: an address that answered once is dialled again within 45 s.
const RECOVERY: Duration = Duration::from_secs(300);
/// Who dials at once has said hello, and what follows it, by then.
const GREETING: Duration = Duration::from_secs(1);
/// After this long a silent end is noticed.
const NOTICE: Duration = Duration::from_secs(25);
/// After this long it is decided which of two connections stays.
const DECISION: Duration = Duration::from_secs(6);
/// For an answer; the calm is longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// For a broadcast, at latencies of 50 ms; one that a broken tree missed is asked for after a
/// second, of a few others in turn.
const SPREAD: Duration = Duration::from_secs(5);

/// Whatever happened, the hosts that are left find each other again, and a broadcast of each
/// reaches each other one once.
///
/// Input: a byte for the hosts, one for the cuts, one for the number of faults; three bytes for
/// each fault: what, where, and how long until the next; then the chances of the network.
pub fn mini_net(input: &[u8]) {
    let mut input = Input::new(input);
    let count = 3 + usize::from(input.byte() % 3);
    let cut = match input.byte() {
        0..=127 => Cut::Whole,
        128..=239 => Cut::Random,
        240..=255 => Cut::Bytes,
    };
    let faults = usize::from(input.byte() % 13);
    let script = input.take(3 * faults);
    let mut net = Net::with_entropy(Entropy::from_bytes(input.rest()));
    net.cut(cut);
    for number in 0..count {
        let id = NodeId::from_random_bytes([number as u8 + 1; 16]);
        let host = net.add_named(id, peerline_proto::Config::default(), number);
        if host > 0 {
            net.bootstrap(host, host - 1);
        }
    }
    let mut storm =
        Storm { net, alive: (0..count).collect(), pipes: 0, steps: 0, said: 0, asked: Vec::new() };
    for fault in script.chunks_exact(3) {
        storm.strike(fault[0], fault[1]);
        storm.pass(Duration::from_millis(u64::from(fault[2]) * u64::from(fault[2]) / 2));
    }
    storm.calm();
}

/// The network and what was done to it.
struct Storm {
    net: Net,
    alive: Vec<HostId>,
    /// Connections that may be broken: they are numbered.
    pipes: u64,
    steps: u32,
    /// Broadcasts so far; each has its number as its text.
    said: u32,
    /// Who asked what.
    asked: Vec<(HostId, RequestId)>,
}

impl Storm {
    fn strike(&mut self, what: u8, whom: u8) {
        let host = self.alive[usize::from(whom & 15) % self.alive.len()];
        let other = self.alive[usize::from(whom >> 4) % self.alive.len()];
        self.pipes += 1;
        match what % 12 {
            0 if self.alive.len() > SURVIVORS => self.lose(host, Net::kill),
            1 if self.alive.len() > SURVIVORS => self.lose(host, Net::vanish),
            2 if self.alive.len() > SURVIVORS => self.lose(host, |net, host| {
                net.with(host, |node, now| node.shutdown(Duration::from_secs(1), now));
            }),
            3 | 4 => self.net.break_pipe(1 + u64::from(whom) % self.pipes),
            5 => self.net.freeze_pipe(1 + u64::from(whom) % self.pipes),
            6 => self.dial(host, other),
            7 => {
                self.dial(host, other);
                self.dial(other, host);
            }
            8 => self.net.read(host, whom & 128 == 0),
            9 => self.net.drain(host, whom & 128 == 0),
            10 => {
                let words = if what < 128 { vec![b'{', whom, b'\n'] } else { self.guest(whom) };
                let from = SocketAddr::from(([192, 0, 2, whom], 9));
                let stranger = self.net.intrude(host, from);
                self.net.say(stranger, words);
            }
            _ if what < 128 => drop(self.broadcast(host)),
            _ => {
                self.answer(other);
                self.ask(host, other);
            }
        }
    }

    fn dial(&mut self, from: HostId, to: HostId) {
        let _refused_perhaps = self.net.dial(from, to);
    }

    /// What a guest says: a frame, or an object that is new.
    fn guest(&mut self, choice: u8) -> Vec<u8> {
        self.said += 1;
        let object = |kind: &str, msg: &str| {
            let said = format!("\"originator\":\"{choice}\",\"time\":\"{}\"", self.said);
            format!("{{\"msg_type\":\"{kind}\",\"msg\":{msg},{said}}}").into_bytes()
        };
        let frame = match choice & 7 {
            0 => return object("PING", "[\"192.0.2.9\",9]"),
            1 | 2 => return object("BROADCAST", &format!("\"heard {}\"", self.said)),
            3 => return object("ADVERTISE", "0"),
            4 => encode_frame("JOIN", b"able 192.0.2.9 9"),
            5 => encode_frame("LIST", b""),
            6 => encode_frame("QUIT", b"able"),
            _ => encode_frame("ASK", b"what nobody knows"),
        };
        frame.expect("a kind")
    }

    fn ask(&mut self, from: HostId, to: HostId) {
        let (to, body) = (self.net.id(to), Payload::encode("?").expect("a text"));
        let asked = self.net.with(from, |node, now| node.request(&to, "ASK", &body, PATIENCE, now));
        self.asked.extend(asked.ok().map(|request| (from, request)));
    }

    /// Answers all that was asked, once more perhaps.
    fn answer(&mut self, host: HostId) {
        let open = |event: &Event| match event {
            Event::Request(request) => Some(request.reply_to()),
            _ => None,
        };
        let open: Vec<_> = self.net.events(host).iter().filter_map(open).collect();
        let body = Payload::encode("!").expect("a text");
        for to in open {
            let _gone_perhaps =
                self.net.with(host, |node, now| node.reply(to, "", &body, true, now));
        }
    }

    fn lose(&mut self, host: HostId, how: impl FnOnce(&mut Net, HostId)) {
        self.alive.retain(|alive| *alive != host);
        how(&mut self.net, host);
    }

    fn broadcast(&mut self, host: HostId) -> String {
        self.said += 1;
        let text = self.said.to_string();
        self.net.broadcast(host, "NEWS", &text);
        format!("\"{text}\"")
    }

    fn pass(&mut self, time: Duration) {
        let steps = &mut self.steps;
        self.net.run_while(time, |_| {
            *steps += 1;
            *steps < STORM
        });
    }

    fn calm(mut self) {
        for (index, host) in self.alive.clone().into_iter().enumerate() {
            self.net.read(host, true);
            self.net.drain(host, true);
            for other in &self.alive[..index] {
                self.net.bootstrap(host, *other);
            }
        }
        let alive = self.alive.clone();
        let pairs = alive.iter().flat_map(|a| alive.iter().map(move |b| (*a, *b)));
        let pairs: Vec<(HostId, HostId)> = pairs.filter(|(a, b)| a < b).collect();
        let connected = |net: &Net| pairs.iter().all(|(a, b)| net.are_peers(*a, *b));
        self.net.run_for(GREETING);
        // Single bytes have had their chance, and cost too much from here on.
        self.net.cut(Cut::Whole);
        self.net.run_for(NOTICE);
        let mut steps = 0;
        self.net.run_while(RECOVERY, |net| {
            steps += 1;
            assert!(steps < CALM, "no rest after {steps} steps");
            !connected(net)
        });
        self.net.run_for(DECISION);
        assert!(connected(&self.net), "not connected again: {alive:?}");
        let texts: Vec<(HostId, String)> =
            alive.iter().map(|host| (*host, self.broadcast(*host))).collect();
        self.net.run_for(SPREAD);
        for host in &alive {
            self.check_received(*host, &texts);
        }
        for (host, request) in &self.asked {
            self.check_answered(*host, *request);
        }
    }

    /// Who asked and is still there knows one end of it.
    fn check_answered(&self, host: HostId, request: RequestId) {
        let ends = |event: &&Event| match event {
            Event::Reply(reply) => reply.request() == request && reply.is_last(),
            Event::RequestFailed { request: failed, .. } => *failed == request,
            _ => false,
        };
        let ended = self.net.events(host).iter().filter(ends).count();
        assert!(
            ended == 1 || !self.alive.contains(&host),
            "{request} of {host} ended {ended} times"
        );
    }

    fn check_received(&self, host: HostId, texts: &[(HostId, String)]) {
        let mut bodies: Vec<String> =
            self.net.received(host).into_iter().map(|(_, body)| body).collect();
        for (from, text) in texts {
            let count = bodies.iter().filter(|body| *body == text).count();
            assert_eq!(count, usize::from(*from != host), "{text} of {from} at {host}");
        }
        let all = bodies.len();
        bodies.sort();
        bodies.dedup();
        assert_eq!(bodies.len(), all, "host {host} got one twice");
    }
}
