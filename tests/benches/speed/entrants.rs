//! Who is measured, in which networks, and what each needs to be treated alike.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::child::{self, Contestant, Meter, Task};
use crate::node::Node;
use crate::raw::Raw;

type Mio = peerline_mio::Runner;
type Smol = peerline_smol::Runner;

/// Messages under way at most, in bytes: half of what one node queues for another.
const WINDOW: u64 = 512 * 1024;

/// Where a contestant's program is.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Program {
    /// This one.
    Own,
    /// The one in `tests/peers`, built apart.
    Peers,
}

/// A contestant as the parent knows it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Entrant {
    /// On the command line and in the data.
    pub(crate) word: &'static str,
    /// In tables.
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    /// Before the count: trees, meshes and caches form.
    settle_ms: u64,
    /// Two nodes need no window: the transport holds the publisher back.
    held_back: bool,
    /// Most messages under way.
    most: u64,
    /// Whether it is a network of more than two, too.
    networks: bool,
    /// Whether each process has a core of its own.
    pub(crate) pinned: bool,
}

const BASE: Entrant = Entrant {
    word: "",
    name: "",
    program: Program::Own,
    settle_ms: 0,
    held_back: true,
    most: 2048,
    networks: false,
    pinned: true,
};
const PEER: Entrant = Entrant { program: Program::Peers, ..BASE };
const NODE: Entrant = Entrant { settle_ms: 300, networks: true, ..BASE };
/// gossipsub makes its mesh at heartbeats, one a second.
const GOSSIP: Entrant = Entrant { settle_ms: 1500, held_back: false, networks: true, ..PEER };
/// What its subscriber is behind by more than 256 messages is lost.
const IROH: Entrant = Entrant { settle_ms: 500, most: 192, ..GOSSIP };

/// Everyone.
pub(crate) const ENTRANTS: [Entrant; 17] = [
    Entrant { word: "payload", name: "raw, payload alone", ..BASE },
    Entrant { word: "limit", name: "raw, whole lines: the limit", ..BASE },
    Entrant { word: "mio", name: "peerline on mio", ..NODE },
    Entrant { word: "smol", name: "peerline on smol", ..NODE },
    Entrant { word: "mio-text", name: "peerline on mio, body made of a string", ..BASE },
    Entrant { word: "smol-text", name: "peerline on smol, body made of a string", ..BASE },
    Entrant { word: "lines", name: "tokio LinesCodec, 64 KiB boundary, text", ..PEER },
    Entrant { word: "lines-json", name: "the same, serde_json at both ends", ..PEER },
    Entrant { word: "lines-each", name: "tokio LinesCodec, send each", ..PEER },
    Entrant { word: "message-io", name: "message-io, framed TCP", ..PEER },
    Entrant { word: "iroh", name: "iroh-gossip, relay off, pinned", ..IROH },
    Entrant { word: "iroh-free", name: "iroh-gossip, relay off, free", pinned: false, ..IROH },
    Entrant { word: "anonymous", name: "gossipsub, anonymous, noise, pinned", ..GOSSIP },
    Entrant {
        word: "anonymous-free",
        name: "gossipsub, anonymous, noise, free",
        pinned: false,
        ..GOSSIP
    },
    Entrant { word: "plain", name: "gossipsub, anonymous, plaintext, pinned", ..GOSSIP },
    Entrant { word: "signed", name: "gossipsub as it comes (signed, noise), pinned", ..GOSSIP },
    Entrant { word: "signed-free", name: "gossipsub as it comes, free", pinned: false, ..GOSSIP },
];

impl Entrant {
    /// Whether it takes part there. Plaintext is slower than noise, so two nodes are enough of it.
    pub(crate) fn plays(&self, scene: Scene, size: usize) -> bool {
        let once = scene == Scene::Two && size == 1024;
        match self.word {
            "mio-text" | "smol-text" | "plain" => once,
            _ if scene == Scene::Fan => self.program == Program::Own && self.networks,
            _ if scene != Scene::Two && size != 1024 => {
                self.program == Program::Own && self.networks
            }
            _ => scene == Scene::Two || self.networks,
        }
    }

    pub(crate) fn window(&self, scene: Scene, size: usize) -> u64 {
        let free = self.held_back && scene == Scene::Two;
        if free { 0 } else { (WINDOW / size as u64).clamp(16, self.most) }
    }

    pub(crate) fn settle(&self) -> Duration {
        Duration::from_millis(self.settle_ms)
    }

    /// The program to run.
    pub(crate) fn path(&self) -> PathBuf {
        match self.program {
            Program::Own => std::env::current_exe().unwrap(),
            Program::Peers => peers_program(),
        }
    }
}

/// Where the others' program is: `PEERLINE_PEERS`, or where its own build puts it.
pub(crate) fn peers_program() -> PathBuf {
    let built = [env!("CARGO_MANIFEST_DIR"), "peers", "target", "release", "peerline-bench-peers"];
    std::env::var_os("PEERLINE_PEERS").map_or_else(|| built.iter().collect(), PathBuf::from)
}

/// Who is linked with whom.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Scene {
    Two,
    Line,
    Mesh,
    Fan,
}

impl Scene {
    pub(crate) const ALL: [Self; 4] = [Self::Two, Self::Line, Self::Mesh, Self::Fan];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Two => "two",
            Self::Line => "line",
            Self::Mesh => "mesh",
            Self::Fan => "fan",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Two => "two nodes",
            Self::Line => "a line of 5",
            Self::Mesh => "a full mesh of 10",
            Self::Fan => "one to 64",
        }
    }

    pub(crate) fn nodes(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Line => 5,
            Self::Mesh => 10,
            Self::Fan => 65,
        }
    }

    /// Whom a node dials, all of them before it.
    pub(crate) fn dials(self, index: usize) -> std::ops::Range<usize> {
        match self {
            Self::Two | Self::Fan => 0..index.min(1),
            Self::Line => index.saturating_sub(1)..index,
            Self::Mesh => 0..index,
        }
    }

    fn degree(self, index: usize) -> usize {
        let dialled_by =
            (index + 1..self.nodes()).filter(|other| self.dials(*other).contains(&index));
        self.dials(index).len() + dialled_by.count()
    }

    pub(crate) fn task(self, entrant: &Entrant, index: usize, size: usize, time: Duration) -> Task {
        let degree = self.degree(index);
        Task {
            who: entrant.word.to_owned(),
            index,
            nodes: self.nodes(),
            degree,
            listens: degree > self.dials(index).len(),
            size,
            time,
            window: entrant.window(self, size),
        }
    }
}

/// Plays a node of this program.
pub(crate) fn play(task: &Task) {
    let meter = Arc::new(Meter::default());
    let mut contestant: Box<dyn Contestant> = match task.who.as_str() {
        "payload" => Box::new(Raw::new(task, &meter, false)),
        "limit" => Box::new(Raw::new(task, &meter, true)),
        "mio" => Box::new(Node::start::<Mio>(task, &meter, false)),
        "mio-text" => Box::new(Node::start::<Mio>(task, &meter, true)),
        "smol" => Box::new(Node::start::<Smol>(task, &meter, false)),
        "smol-text" => Box::new(Node::start::<Smol>(task, &meter, true)),
        other => panic!("no contestant is called {other}"),
    };
    child::play(task, &meter, &mut *contestant);
}
