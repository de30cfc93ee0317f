//! Lines for one node, measured: how many arrive, after how many hops, how late, and what
//! broadcasts cost beside them.
//!
//! Nodes dial eight others at random and find whom else they want by themselves. Then a share of
//! them dies silently, and at once the living write to one another: nobody has had time to notice.

use std::fmt;
use std::time::Duration;

use peerline_proto::{
    Config, Delivery, Event, Instant, Keyspace, Payload, PeerId, RequestFailure, RequestId,
};

use super::scenarios::{Figures, Part};
use super::{Quality, Setup};

/// The first number of a line for one node, so that no broadcast has it too.
pub(super) const FIRST: usize = 1_000_000_000;
/// How long a node has to answer a request.
const DEADLINE: Duration = Duration::from_secs(30);

/// One line for one node, and what became of it.
#[derive(Clone, Debug)]
pub struct Direct {
    /// Who sent it.
    pub by: usize,
    /// To whom.
    pub to: usize,
    /// When.
    pub at: Instant,
    /// When it arrived, each time.
    pub came: Vec<Instant>,
    /// The links it crossed on its way.
    pub hops: u32,
    /// The request, if it is one.
    pub request: Option<RequestId>,
    /// When the answer came, or the word that there will be none.
    pub answered: Option<Result<Instant, RequestFailure>>,
}

/// What a number of lines came to.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// Lines sent.
    pub sent: usize,
    /// Those that arrived.
    pub arrived: usize,
    /// Those that arrived more than once.
    pub twice: usize,
    /// Requests among them that were answered.
    pub answered: usize,
    /// Requests.
    pub asked: usize,
    /// Hops on the way, mean.
    pub hops: f64,
    /// Hops on the longest way.
    pub most_hops: u32,
    /// Time on the way: mean, and the longest.
    pub took: Duration,
    /// The longest.
    pub longest: Duration,
    /// Times that a line was passed on, per line.
    pub passed: f64,
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |part: usize, whole: usize| part as f64 * 100.0 / whole.max(1) as f64;
        let (arrived, answered) =
            (percent(self.arrived, self.sent), percent(self.answered, self.asked));
        let (took, longest) = (self.took.as_millis(), self.longest.as_millis());
        write!(
            f,
            "{:5} sent  arrived {arrived:6.2} %  twice {}  answered {answered:6.2} %  hops {:.2} \
             (most {})  after {took} ms (most {longest})  passed on {:.2} times",
            self.sent, self.twice, self.hops, self.most_hops, self.passed
        )
    }
}

/// What a network came to before lines went.
#[derive(Copy, Clone, Debug)]
pub struct Links {
    /// Connections per node.
    pub degree: f64,
    /// The most that a node has.
    pub most: usize,
    /// Bytes sent per node and second while nothing happens.
    pub idle: f64,
    /// How large the nodes take the network for: the smallest, the middle and the largest.
    pub sizes: [Option<u64>; 3],
}

/// A network whose nodes had `time` to find each other.
pub fn network(keyspace: Keyspace, count: usize, seed: u64, time: Duration) -> Quality {
    let config = Config::builder().keyspace(keyspace).build().expect("it fits");
    let mut net = Setup { config, ..Setup::new(count, seed) }.connected();
    net.run_for(time);
    net
}

/// What the network looks like. Lets 20 s pass.
pub fn links(net: &mut Quality) -> Links {
    let before = net.sum(|node| node.stats().bytes_out);
    net.run_for(Duration::from_secs(20));
    let sent = net.sum(|node| node.stats().bytes_out) - before;
    let degrees: Vec<usize> = net.living().map(|index| net.node(index).peer_count()).collect();
    let mut sizes: Vec<_> = net.living().map(|index| net.node(index).network_size()).collect();
    sizes.sort_unstable();
    let count = net.len() as f64;
    Links {
        degree: degrees.iter().sum::<usize>() as f64 / count,
        most: degrees.iter().copied().max().unwrap_or(0),
        idle: sent as f64 / 20.0 / count,
        sizes: [0, sizes.len() / 2, sizes.len() - 1].map(|index| sizes[index]),
    }
}

/// A share of the nodes dies silently.
pub fn kill(net: &mut Quality, percent: usize) {
    let dead = net.len() * percent / 100;
    while net.len() - net.living().count() < dead {
        let index = net.below(net.len());
        net.crash(index);
    }
}

/// `lines` lines from living nodes to living nodes, 20 ms apart, every other one a request.
pub fn write(net: &mut Quality, lines: usize) -> Arrivals {
    let living: Vec<usize> = net.living().collect();
    let first = net.directs.len();
    let relayed = net.sum(|node| node.stats().relayed);
    for number in 0..lines {
        let by = living[net.below(living.len())];
        let to = living[net.below(living.len())];
        if by != to {
            net.send_to(by, to, number % 2 == 0);
        }
        net.run_for(Duration::from_millis(20));
    }
    net.run_for(DEADLINE);
    let relayed = net.sum(|node| node.stats().relayed) - relayed;
    arrivals(&net.directs[first..], relayed)
}

fn arrivals(directs: &[Direct], relayed: u64) -> Arrivals {
    let arrived: Vec<&Direct> = directs.iter().filter(|direct| !direct.came.is_empty()).collect();
    let count = arrived.len().max(1);
    let took = |direct: &&Direct| direct.came[0].saturating_since(direct.at);
    let asked = directs.iter().filter(|direct| direct.request.is_some());
    Arrivals {
        sent: directs.len(),
        arrived: arrived.len(),
        twice: arrived.iter().filter(|direct| direct.came.len() > 1).count(),
        answered: asked.clone().filter(|asked| matches!(asked.answered, Some(Ok(_)))).count(),
        asked: asked.count(),
        hops: arrived.iter().map(|direct| f64::from(direct.hops)).sum::<f64>() / count as f64,
        most_hops: arrived.iter().map(|direct| direct.hops).max().unwrap_or(0),
        took: arrived.iter().map(took).sum::<Duration>() / count as u32,
        longest: arrived.iter().map(took).max().unwrap_or_default(),
        passed: relayed as f64 / directs.len().max(1) as f64,
    }
}

/// Broadcasts of everybody in such a network.
pub fn broadcasts(net: &mut Quality, casts: usize) -> Figures {
    net.publish(0);
    net.run_for(Duration::from_secs(3));
    let (part, count) = (Part::begin(net), net.len());
    for _ in 0..casts {
        let by = net.below(count);
        net.publish(by);
        net.run_for(Duration::from_secs(1));
    }
    net.run_for(Duration::from_secs(1));
    part.end(net, count - 1)
}

impl Quality {
    /// Sends a line to one node: a request or a message.
    pub fn send_to(&mut self, by: usize, to: usize, request: bool) {
        let number = FIRST + self.directs.len();
        let body = Payload::encode(&format!("{number:010}")).expect("a text");
        let (now, peer) = (self.now, PeerId::Node(self.nodes[to].node.id()));
        let node = &mut self.nodes[by].node;
        let asked = request.then(|| node.request(&peer, "R", &body, DEADLINE, now));
        if !request {
            // One that is refused at once is one that does not arrive.
            node.send(&peer, "M", &body, now).ok();
        }
        let request = asked.and_then(Result::ok);
        let (came, answered) = (Vec::new(), None);
        self.directs.push(Direct { by, to, at: now, came, hops: 0, request, answered });
        self.after(by);
    }

    /// Takes an event that is about a line for one node; gives back any other.
    pub(super) fn direct(&mut self, index: usize, event: Event) -> Option<Event> {
        match event {
            Event::Message(message)
                if message.delivery() == Delivery::Direct && number_of(message.body()) >= FIRST =>
            {
                self.arrived(index, message.body());
            }
            Event::Request(request) => {
                self.arrived(index, request.body());
                let (now, body) = (self.now, Payload::encode("yes").expect("a text"));
                let node = &mut self.nodes[index].node;
                node.reply(request.reply_to(), "R", &body, true, now).ok();
                self.after(index);
            }
            Event::Reply(reply) => {
                let now = self.now;
                self.ended(index, reply.request(), Ok(now));
            }
            Event::RequestFailed { request, reason } => self.ended(index, request, Err(reason)),
            event => return Some(event),
        }
        None
    }

    fn arrived(&mut self, index: usize, body: &str) {
        let number = number_of(body);
        let hops = self.way(index, number).into();
        let direct = &mut self.directs[number - FIRST];
        assert_eq!(direct.to, index, "it came to the wrong node");
        direct.came.push(self.now);
        direct.hops = hops;
    }

    fn ended(&mut self, by: usize, request: RequestId, how: Result<Instant, RequestFailure>) {
        let mut asked = self.directs.iter_mut().rev();
        let asked = asked.find(|direct| direct.by == by && direct.request == Some(request));
        if let Some(asked) = asked {
            asked.answered.get_or_insert(how);
        }
    }
}

/// The number in a body, as JSON text.
fn number_of(body: &str) -> usize {
    body[1..11].parse().expect("a number")
}
