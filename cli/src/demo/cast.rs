//! The nodes of the demonstration: who they are, how they start, and how one of them dies.
//!
//! Decides nothing about the story. Each node's handlers report what happens to it, on one
//! channel, with the time at which it happened; a note is answered by the handler itself.

use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Instant;

use peerline_mio::{Cx, Delivery, Handle, Message, NodeId, PeerId};
use peerline_smol::smol;

use super::ledger::{Letter, Purpose};
use crate::args::Runtime;
use crate::end::Failure;

/// Who plays, in the order of appearance. The first is the address that the others know, and the
/// one who dies: it can end without a word since its runtime lets go of a node by dropping it.
pub(super) const CAST: [(&str, Runtime); 6] = [
    ("anna", Runtime::Smol),
    ("bert", Runtime::Mio),
    ("carla", Runtime::Smol),
    ("dino", Runtime::Mio),
    ("emma", Runtime::Smol),
    ("finn", Runtime::Mio),
];

/// Something happened to a node.
#[derive(Debug)]
pub(super) struct Report {
    /// To which, counted from 0.
    pub(super) at: usize,
    pub(super) when: Instant,
    pub(super) what: What,
}

/// What happened.
#[derive(Debug)]
pub(super) enum What {
    /// It has this peer now.
    Up(PeerId),
    /// It has lost this peer, and why.
    Down(PeerId, String),
    /// A message came, by the word of the node that published it.
    Letter(Letter, PeerId),
    /// A message came that nobody of ours would send.
    Stray,
}

/// A node that plays.
pub(super) struct Actor {
    pub(super) name: &'static str,
    pub(super) runtime: Runtime,
    pub(super) handle: Handle,
    /// Dropping it kills the node, if it is one that can be killed.
    life: Option<smol::channel::Sender<()>>,
}

impl Actor {
    pub(super) fn id(&self) -> NodeId {
        self.handle.id()
    }

    /// Where the others can reach it.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.handle.local_addrs().first().copied()
    }

    /// Ends the node at once: its sockets close, and it says nothing to anybody. False if it is
    /// not one that can be killed.
    pub(super) fn kill(&mut self) -> bool {
        self.life.take().is_some()
    }
}

/// Sets up a node with the same words on either runtime.
macro_rules! builder {
    ($runtime:ident, $at:expr, $know:expr, $tell:expr) => {{
        let (at, tell): (usize, &Sender<Report>) = ($at, $tell);
        let [up, down, news, note, echo] = [(); 5].map(|()| Teller { at, tell: tell.clone() });
        $runtime::Builder::new()
            .listen("127.0.0.1:0")
            .bootstrap($know)
            .on_peer_up(move |_, peer| up.tell(What::Up(peer)))
            .on_peer_down(move |_, peer, why| down.tell(What::Down(peer, why.to_string())))
            .on(Purpose::News.kind(), move |_, message| news.letter(message, Purpose::News))
            .on(Purpose::Echo.kind(), move |_, message| echo.letter(message, Purpose::Echo))
            .on(Purpose::Note.kind(), move |cx, message| {
                note.letter(message, Purpose::Note);
                answer(cx, at, message);
            })
    }};
}

/// Starts a node that knows these addresses, on a thread of its own. The first of the cast can be
/// killed.
pub(super) fn start(
    at: usize,
    (name, runtime): (&'static str, Runtime),
    know: Option<SocketAddr>,
    tell: &Sender<Report>,
) -> Result<Actor, Failure> {
    let (handle, life) = match runtime {
        Runtime::Mio => (builder!(peerline_mio, at, know, tell).start()?, None),
        Runtime::Smol => start_mortal(builder!(peerline_smol, at, know, tell))?,
    };
    Ok(Actor { name, runtime, handle, life })
}

/// A node as a future, which is dropped when the other end of the channel is.
fn start_mortal(
    builder: peerline_smol::Builder,
) -> Result<(Handle, Option<smol::channel::Sender<()>>), Failure> {
    let (node, handle) = peerline_smol::Embedded::new(builder)?;
    let (life, death) = smol::channel::bounded::<()>(1);
    let until_death = async move {
        death.recv().await.ok();
    };
    let life_and_death = smol::future::or(node, until_death);
    thread::Builder::new().name("smol".into()).spawn(move || smol::block_on(life_and_death))?;
    Ok((handle, Some(life)))
}

/// Reports for one handler of one node.
struct Teller {
    at: usize,
    tell: Sender<Report>,
}

impl Teller {
    fn tell(&self, what: What) {
        // Fails only when the demonstration is over.
        self.tell.send(Report { at: self.at, when: Instant::now(), what }).ok();
    }

    fn letter(&self, message: &Message, purpose: Purpose) {
        let is_news = message.delivery() == Delivery::Broadcast;
        self.tell(match message.parse::<(usize, u32)>() {
            Ok((from, number)) if is_news == (purpose == Purpose::News) => {
                What::Letter(Letter { purpose, from, number }, message.from().clone())
            }
            Ok(_) | Err(_) => What::Stray,
        });
    }
}

/// Answers a note with its number, under our own name.
fn answer(cx: &mut Cx<'_>, at: usize, message: &Message) {
    if let Ok((_, number)) = message.parse::<(usize, u32)>() {
        // An answer that cannot be sent is missed where it is due.
        cx.send(message.from(), Purpose::Echo.kind(), &(at, number)).ok();
    }
}
