//! The application's handlers: who is called for which event, and what happens if one panics.
//!
//! Decides that every handler given for an event is called, in the order given; that an event
//! without one goes on to the stream or to `otherwise`; and that a panic is caught, logged once
//! for each handler, and counted, while the node and the other handlers live on. It never keeps
//! an event.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use peerline_proto::{
    CloseReason, Delivery, Event, Instant, Message, NakCode, PeerId, ReplyTo, Request, Verdict,
};

use crate::cx::Cx;
use crate::log::HANDLER;
use crate::responder::Responder;

/// Shortest period of `every`. One millisecond, the grain of the loops that wait.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// A handler for messages of one kind.
pub(crate) type OnMessage = dyn FnMut(&mut Cx<'_>, &Message) + Send;
/// What judges broadcasts of one kind.
pub(crate) type Judge = dyn FnMut(&mut Cx<'_>, &Message) -> Verdict + Send;
/// The handler for requests of one kind.
pub(crate) type OnRequest = dyn FnMut(&mut Cx<'_>, &Request, Responder) + Send;
/// A handler for peers that come.
pub(crate) type OnPeerUp = dyn FnMut(&mut Cx<'_>, PeerId) + Send;
/// A handler for peers that go.
pub(crate) type OnPeerDown = dyn FnMut(&mut Cx<'_>, PeerId, CloseReason) + Send;
/// A handler for whatever no other takes.
pub(crate) type Otherwise = dyn FnMut(&mut Cx<'_>, Event) + Send;
/// Something done again and again.
pub(crate) type OnTick = dyn FnMut(&mut Cx<'_>) + Send;

/// What the application says of next hops.
pub(crate) type Route = dyn Fn(&PeerId) -> Option<PeerId> + Send + Sync;

/// All handlers of a node.
#[derive(Default)]
pub(crate) struct Handlers {
    kinds: Kinds,
    /// One for each kind, for a broadcast has one verdict.
    judges: HashMap<Box<str>, Handler<Judge>>,
    /// One for each kind, for a request is answered once.
    requests: HashMap<Box<str>, Handler<OnRequest>>,
    /// Until the node has it.
    pub(crate) router: Option<Box<Route>>,
    peer_up: Vec<Handler<OnPeerUp>>,
    peer_down: Vec<Handler<OnPeerDown>>,
    otherwise: Option<Handler<Otherwise>>,
    every: Vec<Every>,
}

/// Handlers by kind. Messages come in runs of one kind, so the last one found is tried first.
#[derive(Default)]
struct Kinds {
    /// The place of each kind.
    index: HashMap<Box<str>, usize>,
    handlers: Vec<(Box<str>, Vec<Handler<OnMessage>>)>,
    last: usize,
}

impl Kinds {
    fn add(&mut self, kind: &str, handler: Handler<OnMessage>) {
        if let Some(handlers) = self.get_mut(kind) {
            return handlers.push(handler);
        }
        self.index.insert(kind.into(), self.handlers.len());
        self.handlers.push((kind.into(), vec![handler]));
    }

    fn get_mut(&mut self, kind: &str) -> Option<&mut Vec<Handler<OnMessage>>> {
        if self.handlers.get(self.last).is_none_or(|(last, _)| **last != *kind) {
            self.last = *self.index.get(kind)?;
        }
        self.handlers.get_mut(self.last).map(|(_, handlers)| handlers)
    }
}

struct Handler<F: ?Sized> {
    panicked: bool,
    call: Box<F>,
}

struct Every {
    period: Duration,
    /// None until the node runs.
    due: Option<Instant>,
    handler: Handler<OnTick>,
}

impl<F: ?Sized> Handler<F> {
    fn new(call: Box<F>) -> Self {
        Self { panicked: false, call }
    }

    /// Calls the handler by way of `with`, and survives it. False if it panicked.
    fn run(&mut self, cx: &mut Cx<'_>, what: &str, with: impl FnOnce(&mut F, &mut Cx<'_>)) -> bool {
        let call = &mut *self.call;
        // Whatever state the handler leaves behind is its own; the node's verbs do not panic.
        if catch_unwind(AssertUnwindSafe(|| with(call, cx))).is_ok() {
            return true;
        }
        cx.node.count_handler_panic();
        if !std::mem::replace(&mut self.panicked, true) {
            log::error!(target: HANDLER, "the handler for {what:?} panicked; it is called again");
        }
        false
    }
}

impl Handlers {
    pub(crate) fn on(&mut self, kind: &str, call: Box<OnMessage>) {
        self.kinds.add(kind, Handler::new(call));
    }

    pub(crate) fn on_validated(&mut self, kind: &str, call: Box<Judge>) {
        self.judges.insert(kind.into(), Handler::new(call));
    }

    pub(crate) fn on_request(&mut self, kind: &str, call: Box<OnRequest>) {
        self.requests.insert(kind.into(), Handler::new(call));
    }

    pub(crate) fn on_peer_up(&mut self, call: Box<OnPeerUp>) {
        self.peer_up.push(Handler::new(call));
    }

    pub(crate) fn on_peer_down(&mut self, call: Box<OnPeerDown>) {
        self.peer_down.push(Handler::new(call));
    }

    pub(crate) fn every(&mut self, period: Duration, call: Box<OnTick>) {
        let period = period.max(SHORTEST_PERIOD);
        self.every.push(Every { period, due: None, handler: Handler::new(call) });
    }

    pub(crate) fn otherwise(&mut self, call: Box<Otherwise>) {
        self.otherwise = Some(Handler::new(call));
    }

    /// Calls the handlers of an event; gives it back if it has none.
    pub(crate) fn tell(&mut self, cx: &mut Cx<'_>, event: Event) -> Option<Event> {
        let told = match &event {
            Event::Message(message) => self.tell_message(cx, message),
            Event::Request(request) => self.tell_request(cx, request),
            Event::PeerUp { peer, .. } => self.tell_peer_up(cx, peer),
            Event::PeerDown { peer, reason, .. } => self.tell_peer_down(cx, peer, reason),
            Event::ConnectionFailed { .. }
            | Event::Reply(_)
            | Event::RequestFailed { .. }
            | Event::Writable { .. }
            | Event::PeerError { .. }
            | Event::GuestJoined { .. }
            | Event::GuestLeft { .. }
            | Event::JoinRefused { .. }
            | Event::GuestPeers { .. }
            | Event::Rejected { .. }
            | Event::Isolated
            | Event::Impersonated { .. } => false,
            // The enum may grow; what is new there has no handler of its own yet.
            _ => false,
        };
        if told { None } else { Some(event) }
    }

    /// Calls the handlers of a message; false if it has none.
    pub(crate) fn tell_message(&mut self, cx: &mut Cx<'_>, message: &Message) -> bool {
        let verdict = self.judge(cx, message);
        if verdict.is_some_and(|verdict| verdict != Verdict::Accept) {
            return true;
        }
        let Some(handlers) = self.kinds.get_mut(message.kind()) else { return false };
        for handler in handlers {
            handler.run(cx, message.kind(), |call, cx| call(cx, message));
        }
        true
    }

    /// The verdict of the one who judges such broadcasts, if there is one; the node hears it first.
    fn judge(&mut self, cx: &mut Cx<'_>, message: &Message) -> Option<Verdict> {
        if self.judges.is_empty() || message.delivery() != Delivery::Broadcast {
            return None;
        }
        let judge = self.judges.get_mut(message.kind())?;
        let mut verdict = Verdict::Ignore;
        judge.run(cx, message.kind(), |call, cx| verdict = call(cx, message));
        if let Some(token) = message.token() {
            cx.verdict(token, verdict);
        }
        Some(verdict)
    }

    /// A handler that panics drops its responder, which refuses.
    fn tell_request(&mut self, cx: &mut Cx<'_>, request: &Request) -> bool {
        let Some(handler) = self.requests.get_mut(request.kind()) else { return false };
        let responder = Responder::new(cx.remote, request);
        handler.run(cx, request.kind(), |call, cx| call(cx, request, responder));
        true
    }

    fn tell_peer_up(&mut self, cx: &mut Cx<'_>, peer: &PeerId) -> bool {
        for handler in &mut self.peer_up {
            handler.run(cx, "peer up", |call, cx| call(cx, peer.clone()));
        }
        !self.peer_up.is_empty()
    }

    fn tell_peer_down(&mut self, cx: &mut Cx<'_>, peer: &PeerId, reason: &CloseReason) -> bool {
        for handler in &mut self.peer_down {
            handler.run(cx, "peer down", |call, cx| call(cx, peer.clone(), reason.clone()));
        }
        !self.peer_down.is_empty()
    }

    /// Hands an event to `otherwise`. One that is not taken there either is lost; a message is
    /// counted then, and a request too, which is answered that nobody handles it.
    pub(crate) fn tell_otherwise(&mut self, cx: &mut Cx<'_>, event: Event) {
        let asked =
            if let Event::Request(request) = &event { Some(request.reply_to()) } else { None };
        let Some(handler) = &mut self.otherwise else {
            if asked.is_some() || matches!(event, Event::Message(_)) {
                cx.node.count_unknown_kind();
            }
            return refuse(cx, asked, NakCode::NoHandler);
        };
        if !handler.run(cx, "otherwise", |call, cx| call(cx, event)) {
            refuse(cx, asked, NakCode::Refused);
        }
    }

    /// Starts the periods.
    pub(crate) fn begin(&mut self, now: Instant) {
        for every in &mut self.every {
            every.due = Some(now + every.period);
        }
    }

    /// When the next period ends.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.every.iter().filter_map(|every| every.due).min()
    }

    /// Calls what is due. Periods missed while the machine slept are not made up for.
    pub(crate) fn tick(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        for every in &mut self.every {
            let Some(due) = every.due.filter(|due| *due <= now) else { continue };
            let next = due + every.period;
            every.due = Some(if next > now { next } else { now + every.period });
            every.handler.run(cx, "every", |call, cx| call(cx));
        }
    }
}

/// Refuses a request of which the application knows nothing, or no more.
fn refuse(cx: &mut Cx<'_>, asked: Option<ReplyTo>, code: NakCode) {
    if let Some(to) = asked {
        // What cannot be refused either ends by its deadline.
        cx.node.refuse(to, code, cx.now).ok();
    }
}

/// Runs a command of another thread, which may panic like a handler.
pub(crate) fn run_command(cx: &mut Cx<'_>, command: Box<dyn FnOnce(&mut Cx<'_>) + Send>) {
    if catch_unwind(AssertUnwindSafe(|| command(cx))).is_err() {
        cx.node.count_handler_panic();
        log::error!(target: HANDLER, "a command panicked");
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("kinds", &self.kinds.index.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_finds_its_own_handlers() {
        let mut kinds = Kinds::default();
        let of = |kinds: &mut Kinds, kind: &str| kinds.get_mut(kind).map(|found| found.len());
        assert_eq!(of(&mut kinds, "A"), None);
        for kind in ["A", "B", "A", "AB", "A"] {
            kinds.add(kind, Handler::new(Box::new(|_, _| {})));
        }
        let known = [("A", 3), ("B", 1), ("AB", 1)];
        for (first, count) in known {
            for (second, other) in known {
                assert_eq!(of(&mut kinds, first), Some(count));
                assert_eq!(of(&mut kinds, ""), None);
                assert_eq!(of(&mut kinds, second), Some(other), "{second} after {first}");
            }
        }
    }
}
