//! Broadcasts that the application judges before they are passed on.
//!
//! Until then one is known: it is delivered once, its copies are copies, and nobody is asked for
//! it. It is not told: not pushed, not announced, and whoever asks for it hears that it is gone.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::broadcast::Key;
use crate::event::Event;
use crate::id::{ConnId, NodeId, PeerId};
use crate::message::{Message, Payload};
use crate::node::{Node, chat};
use crate::queue::Class;
use crate::time::Instant;
use crate::verdicts::{Verdict, VerdictToken};
use crate::wire::chat::parse_said;

/// What waits for a verdict.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(super) enum Waits {
    /// A broadcast, by which connection and neighbour it came, and its body if it is a line of
    /// chat.
    Native { key: Key, conn: ConnId, via: Option<NodeId>, chat: Option<Box<str>> },
    /// A line of a chat peer: the object as it came, if it can be passed on so, and what it says.
    Chat { originator: Arc<str>, object: Option<Box<str>>, body: Box<str> },
}

impl Waits {
    /// Bytes it holds on to, beside its line.
    fn bytes(&self) -> usize {
        match self {
            Self::Native { chat, .. } => chat.as_deref().map_or(0, str::len),
            Self::Chat { object, body, .. } => {
                object.as_deref().map_or(0, str::len).saturating_add(body.len())
            }
        }
    }
}

impl Node {
    /// Judges a broadcast that was [delivered](crate::Event::Message) with this token: then it is
    /// passed on, or not. False if that is too late: it was judged before, or waited longer than
    /// [`Limits::verdict_within`](crate::Limits), or there was no room for it to wait.
    ///
    /// ```
    /// # use peerline_proto::*;
    /// let config = Config::builder().validate("NEWS").build()?;
    /// # let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    /// # let mut node = Node::new(config, id, [7; 32], Start::default());
    /// # let now = Instant::ZERO;
    /// # let conn = node.accepted("192.0.2.1:4000".parse()?, now)?;
    /// # let peer = "5f5c1e06-6f2f-4f4a-9f7e-2f9b3a0a4c11";
    /// # let hello = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{peer}\",\"version\":1}}\n");
    /// # node.received(conn, hello.as_bytes(), now);
    /// # let mut done = false;
    /// # let said = format!("{{\"msgtype\":\"broadcast\",\"originator\":\"{peer}\",\"epoch\":1,\
    /// #     \"seq\":1,\"time\":1,\"kind\":\"NEWS\",\"msg\":\"hello\"}}\n");
    /// # node.received(conn, said.as_bytes(), now);
    /// while let Some(event) = node.poll_event() {
    ///     let Event::Message(message) = event else { continue };
    ///     let Some(token) = message.token() else { continue }; // not to be judged
    ///     let is_short = message.body().len() < 100;
    ///     let verdict = if is_short { Verdict::Accept } else { Verdict::Reject };
    ///     assert!(node.verdict(token, verdict, now), "in time");
    ///     assert!(!node.verdict(token, verdict, now), "and once");
    ///     # done = true;
    /// }
    /// # assert!(done);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn verdict(&mut self, token: VerdictToken, verdict: Verdict, now: Instant) -> bool {
        self.advance(now);
        self.tend_verdicts();
        let Some(waits) = self.verdicts.take(token) else { return false };
        match verdict {
            Verdict::Accept => self.let_pass(waits),
            Verdict::Ignore => {
                self.stats.ignored += 1;
                self.withhold(&waits);
            }
            Verdict::Reject => {
                self.stats.rejected += 1;
                self.withhold(&waits);
                self.report(waits);
            }
        }
        true
    }

    // ---- what is to be judged ----

    /// Whether broadcasts of this kind are. A node that stops passes nothing on, and asks nobody.
    pub(super) fn is_judged(&self, kind: &str) -> bool {
        self.stopping.is_none() && self.config.validates(kind)
    }

    /// Asks the application about a broadcast that the trees hold back.
    pub(super) fn ask_about(&mut self, key: Key, via: Option<NodeId>, message: Message) {
        let is_chat = message.kind() == chat::CHAT;
        if let Err(accepted) = if is_chat { self.ask_about_chat(message.body()) } else { Ok(()) } {
            return if accepted { self.push_accepted(&key) } else { self.withhold_key(&key) };
        }
        let (conn, chat) = (message.conn, is_chat.then(|| message.body().into()));
        let bytes = message.size();
        self.hold(Waits::Native { key, conn, via, chat }, bytes, message);
    }

    /// Whether the application is to be asked about a line of chat. If not, whether it may be
    /// passed on: a line that came before, in another broadcast, shares its verdict.
    fn ask_about_chat(&mut self, body: &str) -> Result<(), bool> {
        let Some((originator, msg, time)) = parse_said(body) else {
            self.stats.chat_dropped += 1;
            return Err(false);
        };
        if self.chat.is_new(&originator, msg, &time) {
            return Ok(());
        }
        self.stats.duplicates += 1;
        Err(self.chat.is_accepted(&originator, msg, &time))
    }

    /// Asks the application about a line of a chat peer.
    pub(super) fn ask_about_guest(
        &mut self,
        originator: &str,
        object: Option<&str>,
        message: Message,
    ) {
        let (object, body) = (object.map(Box::from), Box::from(message.body()));
        self.hold(Waits::Chat { originator: originator.into(), object, body }, 0, message);
    }

    fn hold(&mut self, waits: Waits, line: usize, message: Message) {
        let bytes = line.saturating_add(waits.bytes());
        let (token, refused) = self.verdicts.hold(waits, message.conn, bytes, self.now);
        self.deliver(Message { token: Some(token), ..message });
        if let Some(waits) = refused {
            self.on_late(&waits);
        }
    }

    // ---- what becomes of it ----

    /// It was accepted.
    fn let_pass(&mut self, waits: Waits) {
        match waits {
            Waits::Native { key, chat, .. } => {
                self.push_accepted(&key);
                if let Some((originator, msg, time)) = chat.as_deref().and_then(parse_said) {
                    self.chat.accept(&originator, msg, &time);
                    self.tell_chat_said(&originator, msg, &time);
                }
            }
            Waits::Chat { originator, object, body } => {
                if let Some((originator, msg, time)) = parse_said(&body) {
                    self.chat.accept(&originator, msg, &time);
                }
                self.tell_chat(&originator, object.as_deref());
                self.carry_chat(&body);
            }
        }
    }

    fn push_accepted(&mut self, key: &Key) {
        let mut orders = core::mem::take(&mut self.orders);
        self.broadcasts.trees.accept(key, self.now, &mut orders);
        let reached = self.carry_out(orders, Class::Forwarded);
        self.stats.forwarded += reached.queued as u64;
    }

    /// It was not, or not in time.
    fn withhold(&mut self, waits: &Waits) {
        match waits {
            Waits::Native { key, .. } => self.withhold_key(key),
            Waits::Chat { .. } => {}
        }
    }

    fn withhold_key(&mut self, key: &Key) {
        self.broadcasts.trees.refuse(key);
    }

    fn report(&mut self, waits: Waits) {
        match waits {
            Waits::Native { key, conn, via, .. } => {
                if let Some(ready) = self.ready_mut(conn) {
                    ready.rejected = ready.rejected.saturating_add(1);
                }
                let (from, via) = (PeerId::Node(key.0.0), via.map(PeerId::Node));
                self.emit(Event::Rejected { via: via.unwrap_or_else(|| from.clone()), from });
            }
            Waits::Chat { originator, .. } => {
                let from = PeerId::Guest(originator);
                self.emit(Event::Rejected { via: from.clone(), from });
            }
        }
    }

    fn on_late(&mut self, waits: &Waits) {
        self.stats.verdicts_late += 1;
        self.withhold(waits);
    }

    /// Ignores what has waited too long.
    pub(super) fn tend_verdicts(&mut self) {
        while let Some(waits) = self.verdicts.late(self.now) {
            self.on_late(&waits);
        }
    }

    /// The node stops: nothing is passed on any more.
    pub(super) fn stop_verdicts(&mut self) {
        self.verdicts.clear();
        self.broadcasts.trees.stop_judging();
    }

    /// Carries a line of a chat peer into the native network.
    pub(super) fn carry_chat(&mut self, body: &str) {
        // Checked on its way in; what cannot be carried on is counted there.
        if let Ok(body) = Payload::from_json(body) {
            if self.publish(chat::CHAT, &body).is_err() {
                self.stats.chat_dropped += 1;
            }
        }
    }
}
