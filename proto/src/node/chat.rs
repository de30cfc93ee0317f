//! The chat dialect: what each object does, and how a line of chat crosses between the networks.
//!
//! Everyone who publishes a line of kind `CHAT` gives it three fields, who, what and when, and
//! nobody changes them after. By these three it is known again on whatever ways it comes, so that
//! each node delivers it once, however many bridges there are.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::config::GuestHosts;
use crate::ctime::ctime;
use crate::dialect::Dialect;
use crate::error::BroadcastError;
use crate::event::Event;
use crate::group::{canonical, is_dialable};
use crate::guests::chat::Posted;
use crate::id::{ConnId, PeerId};
use crate::limits::{MAX_DEPTH, MAX_GUEST_NAME};
use crate::message::{Delivery, Frame, Kind, Message, Payload, place};
use crate::node::Node;
use crate::session::{Call, Callee, Phase, Say};
use crate::wire::chat::{self, ChatObject, ChatType, Stamp};

/// The kind of a line of chat.
pub(super) const CHAT: &str = "CHAT";
/// The kind under which a guest's trial is delivered.
const TEST: &str = "TEST";

impl Node {
    // ---- what arrives ----

    /// A whole object came by a connection, which has done its work by that.
    pub(super) fn on_object(&mut self, conn: ConnId, object: &[u8]) {
        let Some(source) = self.links.get(conn).map(|link| link.addr.ip()) else { return };
        let ours = self.our_host(conn);
        self.exchanged(conn);
        if !self.rates.may(source, self.now) {
            self.stats.guests_ignored += 1;
            return;
        }
        let text = core::str::from_utf8(object).unwrap_or_default();
        match chat::parse(text) {
            Ok(said) => self.on_chat(conn, (source, ours), &said, text),
            Err(_) => self.stats.chat_dropped += 1,
        }
    }

    fn on_chat(
        &mut self,
        conn: ConnId,
        (source, ours): (IpAddr, Option<IpAddr>),
        said: &ChatObject<'_>,
        text: &str,
    ) {
        let is_own = said.originator == **self.chat.id();
        if is_own || said.originator.len() > MAX_GUEST_NAME {
            self.stats.chat_dropped += u64::from(!is_own);
            return;
        }
        self.chat.heard_from(&said.originator, self.now);
        match said.msg_type {
            ChatType::Ping => self.on_chat_ping(source, said),
            ChatType::Pong => {
                self.remember_chat(source, said);
            }
            ChatType::Advertise => self.on_advertise(source, said),
            ChatType::AdvertiseReply => self.on_advertise_reply(source, ours, said),
            ChatType::Broadcast => self.on_chat_broadcast(conn, said, text),
            ChatType::Test => {
                let from = (conn, &*said.originator);
                let message = self.chat_message(from, TEST, said.msg.text, Delivery::Direct);
                self.deliver_chat(message);
            }
        }
    }

    fn on_chat_ping(&mut self, source: IpAddr, said: &ChatObject<'_>) {
        if self.remember_chat(source, said) {
            self.post(&Arc::from(said.originator.as_ref()), &Say::Pong);
        }
    }

    /// Remembers where a chat peer listens. False if it does not say so, or it is nowhere.
    fn remember_chat(&mut self, source: IpAddr, said: &ChatObject<'_>) -> bool {
        let Some((host, port)) = chat::address(said.msg) else {
            self.stats.chat_dropped += 1;
            return false;
        };
        let Some(addr) = self.guest_place(source, &host, port) else {
            self.stats.chat_dropped += 1;
            return false;
        };
        let id = said.originator.as_ref();
        let remembered = self.chat.remember(id, addr, cut_host(&host), self.now);
        if let Some((gone, guest)) = remembered.evicted {
            self.guest_left(&gone, Dialect::Chat, guest.addr);
        }
        if remembered.new {
            let peer = PeerId::Guest(id.into());
            self.emit(Event::GuestJoined { peer, dialect: Dialect::Chat, addr });
        }
        true
    }

    /// Tells a chat peer whom we know; a stranger nothing, and nobody in another's name.
    fn on_advertise(&mut self, source: IpAddr, said: &ChatObject<'_>) {
        let asker: Arc<str> = said.originator.as_ref().into();
        let known = self.chat.table().get(&asker).map(|guest| guest.addr.ip());
        let is_itself = known == Some(source) || self.config.guest_hosts() == GuestHosts::Any;
        if known.is_none() || !is_itself || !self.chat.may_tell(&asker, self.now) {
            self.stats.guests_ignored += 1;
            return;
        }
        let time = self.chat_time(self.clock_seconds());
        let stamp = Stamp { originator: self.chat.id(), time: &time };
        let others = self.chat.table().iter().filter(|(id, _)| **id != asker);
        let answers: Vec<Option<String>> = others
            .map(|(id, guest)| {
                let place = (&*guest.host, guest.addr.port());
                chat::advertise_reply(id, place, stamp)
            })
            .collect();
        for answer in answers {
            self.post_object(&asker, answer.as_deref());
        }
    }

    /// Calls on somebody whom a chat peer of ours told us of.
    fn on_advertise_reply(&mut self, source: IpAddr, ours: Option<IpAddr>, said: &ChatObject<'_>) {
        let told = chat::named_address(said.msg);
        let is_known = self.chat.table().speaks_from(source);
        let place = told.filter(|(id, ..)| *id != **self.chat.id()).and_then(|(_, host, port)| {
            let addr = canonical(SocketAddr::new(host.parse().ok()?, port));
            let is_own = self.is_listening(addr) || ours.is_some_and(|own| self.is_us(own, addr));
            (is_dialable(addr) && !is_own && self.chat.table().at(addr).is_none()).then_some(addr)
        });
        match place {
            Some(addr) if is_known && self.may_call_told() => {
                self.call_chat(addr, Say::Ping, Callee::Told);
            }
            Some(_) | None => self.stats.guests_ignored += 1,
        }
    }

    /// Whether an address that a chat peer told us of may be called; if so it has been.
    fn may_call_told(&mut self) -> bool {
        let most = self.config.limits().guest_told;
        self.links.told_under_way() < most && self.chat.may_call_told(self.now)
    }

    /// Whether the address is our listener's, at a host by which somebody reached us.
    fn is_us(&self, own: IpAddr, addr: SocketAddr) -> bool {
        addr.ip() == own && self.our_port() == Some(addr.port())
    }

    fn on_chat_broadcast(&mut self, conn: ConnId, said: &ChatObject<'_>, text: &str) {
        if !self.chat.is_new(&said.originator, said.msg.text, &said.time) {
            self.stats.duplicates += 1;
            return;
        }
        let body = chat::said(&said.originator, said.msg.text, &said.time);
        let object = Some(text).filter(|text| text.len() <= chat::MAX_OBJECT);
        let from = (conn, &*said.originator);
        let message = self.chat_message(from, CHAT, &body, Delivery::Broadcast);
        if self.is_judged(CHAT) {
            return self.ask_about_guest(&said.originator, object, message);
        }
        self.deliver_chat(message);
        self.tell_chat(&said.originator, object);
        self.carry_chat(&body);
    }

    fn deliver_chat(&mut self, message: Message) {
        self.stats.delivered += 1;
        self.emit(Event::Message(message));
    }

    fn chat_message(
        &self,
        (conn, from): (ConnId, &str),
        kind: &str,
        body: &str,
        delivery: Delivery,
    ) -> Message {
        let line = body.replace(['\n', '\r'], " ") + "\n";
        let end = place(line.len().saturating_sub(1));
        Message {
            frame: Frame::new(&line),
            from: PeerId::Guest(from.into()),
            conn,
            delivery,
            time: self.unix(),
            kind: Kind::Unescaped(kind.into()),
            body: 0..end,
            token: None,
        }
    }

    /// A native line of kind `CHAT` arrived: whether it is to be delivered. Chat peers hear it too.
    pub(super) fn is_new_chat(&mut self, body: &str) -> bool {
        let Some((originator, msg, time)) = chat::parse_said(body) else {
            self.stats.chat_dropped += 1;
            return false;
        };
        if !self.chat.is_new(&originator, msg, &time) {
            self.stats.duplicates += 1;
            return false;
        }
        self.tell_chat_said(&originator, msg, &time);
        true
    }

    /// Chat peers hear a line that came as a broadcast.
    pub(super) fn tell_chat_said(&mut self, originator: &str, msg: &str, time: &str) {
        let object = chat::broadcast(msg, Stamp { originator, time });
        self.tell_chat(originator, object.as_deref());
    }

    // ---- what we say ----

    /// A line of ours: who, what and when; and what chat peers are to hear.
    pub(super) fn chat_line(&mut self, body: &Payload) -> Result<ChatLine, BroadcastError> {
        let second = self.chat.second(body.as_str(), self.clock_seconds());
        let (id, time) = (Arc::clone(self.chat.id()), self.chat_time(second));
        let limit = MAX_DEPTH - 2;
        // A body is sound; in an object of its own it can only be too deep.
        let said = Payload::from_json(chat::said(&id, body.as_str(), &time))
            .map_err(|_| BroadcastError::TooDeep { depth: limit + 1, limit })?;
        let object = chat::broadcast(body.as_str(), Stamp { originator: &id, time: &time });
        Ok(ChatLine { said, object, time })
    }

    /// A line of ours was published: it is known when it comes back, and chat peers hear it.
    /// Returns how many.
    pub(super) fn chat_published(&mut self, body: &Payload, line: &ChatLine) -> usize {
        let id = Arc::clone(self.chat.id());
        let _is_new = self.chat.is_new(&id, body.as_str(), &line.time);
        if self.is_judged(CHAT) {
            self.chat.accept(&id, body.as_str(), &line.time);
        }
        self.tell_chat(&id, line.object.as_deref())
    }

    /// Calls on a chat peer, to join it: it answers with a call of its own.
    pub(super) fn call_chat(&mut self, addr: SocketAddr, say: Say, to: Callee) -> ConnId {
        let until = self.now + self.config.limits().dial_timeout;
        self.stats.connections_opened += 1;
        let call = Call::Chat { say, to };
        self.links.open(addr, Phase::Dialing { until, call }, self.now)
    }

    /// The call was taken: says what it is for, and ends.
    pub(super) fn on_chat_connected(&mut self, conn: ConnId, say: &Say, to: &Callee) {
        let object = match say {
            Say::Object(object) => Some(String::from(&**object)),
            Say::Ping | Say::Pong => self.our_place(conn).and_then(|(host, port)| {
                let time = self.chat_time(self.clock_seconds());
                let stamp = Stamp { originator: self.chat.id(), time: &time };
                let (host, write) =
                    (host.to_string(), if *say == Say::Ping { chat::ping } else { chat::pong });
                write((&host, port), stamp)
            }),
        };
        match object {
            Some(object) => self.say_and_end(conn, object.into_bytes()),
            None => {
                self.stats.chat_dropped += 1;
                self.exchanged(conn);
            }
        }
        if let Callee::Known(to) = to {
            self.chat_called(to, true);
        }
    }

    /// A call ended, well or not: the next one to that peer may begin.
    pub(super) fn chat_called(&mut self, to: &Arc<str>, well: bool) {
        let next = self.chat.dialled(to, well);
        if self.chat.is_given_up(to) {
            let addr = self.chat.table().get(to).map(|guest| guest.addr);
            self.chat.forget(to);
            if let Some(addr) = addr {
                self.guest_left(to, Dialect::Chat, addr);
            }
            return;
        }
        if let (Some((addr, say)), None) = (next, self.stopping) {
            self.call_chat(addr, say, Callee::Known(Arc::clone(to)));
        }
    }

    /// An object for every chat peer but one; `None` if it could not be written. Returns for how
    /// many it waits or is on its way.
    pub(super) fn tell_chat(&mut self, but: &str, object: Option<&str>) -> usize {
        let others = self.chat.table().iter().map(|(id, _)| Arc::clone(id));
        let others: Vec<Arc<str>> = others.filter(|id| **id != *but).collect();
        others.iter().filter(|id| self.post_object(id, object)).count()
    }

    pub(super) fn post_object(&mut self, to: &Arc<str>, object: Option<&str>) -> bool {
        let Some(object) = object else {
            self.stats.chat_dropped += 1;
            return false;
        };
        self.post(to, &Say::Object(object.into()))
    }

    /// Something for a chat peer, now or when its turn comes. False if it is dropped.
    pub(super) fn post(&mut self, to: &Arc<str>, say: &Say) -> bool {
        if self.stopping.is_some() || !self.config.speaks(Dialect::Chat) {
            return false;
        }
        match self.chat.post(to, say) {
            Posted::Dial(addr) => {
                self.call_chat(addr, say.clone(), Callee::Known(Arc::clone(to)));
            }
            Posted::Waits => {}
            Posted::Dropped => {
                self.stats.chat_dropped += 1;
                return false;
            }
        }
        true
    }

    pub(super) fn clock_seconds(&self) -> u64 {
        self.unix().as_millis() / 1000
    }

    pub(super) fn chat_time(&self, second: u64) -> String {
        ctime(i64::try_from(second).unwrap_or(i64::MAX), self.config.utc_offset())
    }
}

/// A line of ours, ready to go.
#[derive(Debug)]
pub(super) struct ChatLine {
    /// The body of the native broadcast.
    pub(super) said: Payload,
    /// What chat peers hear; `None` if it is too long for them.
    object: Option<String>,
    time: String,
}

/// A host for listings, no longer than a name may be.
fn cut_host(host: &str) -> &str {
    let fits = host.len() <= MAX_GUEST_NAME && !host.contains(char::is_whitespace);
    if fits { host } else { "?" }
}
