//! Requests of the tests' own: any host may ask any other, every application answers at once with
//! what it was asked, and each request has to end once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerline_proto::{NodeId, Payload, Reply, Request, RequestId};

use crate::net::run::NUMBERED;
use crate::net::{HostId, Net, Rule};

/// What one life of a node asked and has heard no end of.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Of whom, and what.
    open: BTreeMap<RequestId, (NodeId, String)>,
    ended: BTreeSet<RequestId>,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
}

impl Asked {
    pub(super) fn on_reply(&mut self, reply: &Reply) {
        let ended = self.ended.contains(&reply.request());
        Rule::EndsOnce.check(!ended, || format!("{reply:?} to what has ended"));
        // A test may ask by itself, and judge the answers.
        let Some((of, body)) = self.open.get(&reply.request()) else { return };
        let same = reply.from().node() == Some(*of) && reply.body() == body && reply.is_last();
        Rule::Integrity.check(same, || format!("{reply:?} is not what {of} said"));
        self.answered += u64::from(self.end(reply.request()));
    }

    pub(super) fn on_failure(&mut self, request: RequestId) {
        Rule::EndsOnce.check(!self.ended.contains(&request), || format!("{request} ends twice"));
        self.failed += u64::from(self.end(request));
    }

    /// True if it was one of ours.
    fn end(&mut self, request: RequestId) -> bool {
        let ours = self.open.remove(&request).is_some();
        if ours {
            self.ended.insert(request);
        }
        ours
    }

    pub(crate) fn check_none_is_open(&self) {
        let open = &self.open;
        Rule::EndsOnce.check(open.is_empty(), || format!("no end of {open:?}"));
    }
}

impl Net {
    /// Lets a host ask another, wherever that is. False if it may not.
    pub(crate) fn ask(&mut self, from: HostId, to: HostId, within: Duration) -> bool {
        let (peer, of, now) = (self.id(to), self.node(to).id(), self.local(from));
        let body = Payload::encode(&format!("asked at {}", self.now)).expect("a text is JSON");
        let asked = self.hosts[from].node.request(&peer, NUMBERED, &body, within, now);
        let open = asked.iter().map(|request| (*request, (of, body.as_str().to_owned())));
        self.hosts[from].watch.asked.open.extend(open);
        self.pump(from);
        asked.is_ok()
    }

    /// The application answers.
    pub(super) fn answer(&mut self, host: HostId, request: &Request) {
        if request.kind() == NUMBERED {
            let (to, now) = (request.reply_to(), self.local(host));
            let body = Payload::from_json(request.body().to_owned()).expect("it came as JSON");
            let _gone = self.hosts[host].node.reply(to, "", &body, true, now);
        }
    }

    /// All that was asked so far has ended.
    pub(crate) fn check_asked(&self) {
        self.hosts.iter().for_each(|host| host.watch.asked.check_none_is_open());
    }

    /// How many requests of a host were answered, and how many failed, in its present life.
    pub(crate) fn asked(&self, host: HostId) -> (u64, u64) {
        let asked = &self.hosts[host].watch.asked;
        (asked.answered, asked.failed)
    }
}
