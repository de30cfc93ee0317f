//! How the application, with its peers, fills what a node keeps of its words: queues, searches,
//! requests, answers, and lines under way by keyspace.

use std::time::Duration;

use peerline_proto::{ConnId, Limits, NodeId, Payload, PeerId};

use super::{Crowd, direct, name};

const MINUTE: Duration = Duration::from_secs(60);

fn body(len: usize) -> Payload {
    Payload::encode(&"x".repeat(len)).expect("a text")
}

/// The node of this number, as the application names it.
fn node(number: u64) -> PeerId {
    PeerId::Node(name(number).parse::<NodeId>().expect("an id"))
}

// ---- queues, cache ----

/// Each peer gets words of its own, and takes none.
pub(super) fn queues(crowd: &mut Crowd) {
    crowd.peers(64);
    crowd.takes = false;
    for to in 1..=64 {
        let send = |crowd: &mut Crowd| crowd.node.send(&node(to), "K", &body(0), crowd.now);
        let sent = (0..700).filter(|_| send(crowd).is_ok()).count();
        assert!((300..700).contains(&sent), "{sent} fit");
        crowd.drain();
    }
}

pub(super) fn cache(crowd: &mut Crowd) {
    crowd.peers(2);
    for _ in 0..10_000 {
        let said = crowd.node.broadcast("K", &body(0), crowd.now);
        assert!(said.is_ok(), "{said:?}");
        crowd.drain();
    }
}

// ---- lines under way by keyspace ----

/// Peers that route by keyspace, and never answer a ping.
fn routers(crowd: &mut Crowd, count: u64) -> Vec<ConnId> {
    let greet = |number| {
        let conn = crowd.stranger();
        let name = name(number);
        let hello = format!(
            "{{\"msgtype\":\"hello\",\"nodeid\":\"{name}\",\"version\":1,\"caps\":[\"route/1\"]}}\n"
        );
        crowd.say(conn, &hello);
        conn
    };
    (1..=count).map(greet).collect()
}

/// The first says lines for nodes that are not there, with the longest ids.
fn pass(crowd: &mut Crowd, from: ConnId, count: u64) {
    for id in 0..count {
        let line = direct(&format!("{id:0>32}"), 1, &name(1_000 + id), 0);
        crowd.say(from, &line.replace("\"ttl\":9", "\"ttl\":32"));
    }
}

pub(super) fn walks(crowd: &mut Crowd) {
    let peers = routers(crowd, 8);
    pass(crowd, peers[0], 2_500);
}

pub(super) fn few_walks(limits: &mut Limits) {
    limits.walk_bytes = 512 * 1024;
}

/// One neighbour after the other refuses them, and leaves most of their way.
pub(super) fn walks_that_tried_many(crowd: &mut Crowd) {
    let (peers, lines) = (routers(crowd, 40), 400);
    pass(crowd, peers[0], lines);
    for (number, conn) in (1..).zip(&peers).skip(1) {
        let refusals = (0..lines).map(|id| refusal(id, number, "no_route"));
        crowd.say(*conn, &refusals.collect::<String>());
    }
}

/// What a router says of a line that it does not pass on.
fn refusal(id: u64, by: u64, code: &str) -> String {
    let by = name(by);
    format!(
        "{{\"msgtype\":\"nak\",\"re\":\"{id:0>32}\",\"at\":\"{by}\",\"code\":\"{code}\",\
         \"ttl\":32}}\n"
    )
}

pub(super) fn no_walks(limits: &mut Limits) {
    limits.walk_bytes = 4 * 1024;
}

/// Whoever has a line ends it, and answers no ping.
pub(super) fn walks_that_ended(crowd: &mut Crowd) {
    let peers = routers(crowd, 8);
    for id in 0..4_000 {
        let line = direct(&format!("{id:0>32}"), 1, &name(1_000 + id), 0);
        crowd.say(peers[0], &line);
        for (number, conn) in (1..).zip(&peers).skip(1) {
            crowd.say(*conn, &refusal(id, number, "refused"));
        }
    }
}

// ---- requests of ours ----

pub(super) fn few_requests(limits: &mut Limits) {
    limits.pending_requests = 2048;
    limits.pending_bytes = 2048 * 64;
}

fn ask(crowd: &mut Crowd, to: u64, count: usize) {
    for _ in 0..count {
        let asked = crowd.node.request(&node(to), "K", &body(58), 10 * MINUTE, crowd.now);
        assert!(asked.is_ok(), "{asked:?}");
        crowd.drain();
    }
}

pub(super) fn requests(crowd: &mut Crowd) {
    crowd.peers(2);
    ask(crowd, 1, 2048);
}

/// Two for each node that is sought.
pub(super) fn searches(crowd: &mut Crowd) {
    crowd.peers(2);
    (0..1024).for_each(|number| ask(crowd, 1_000 + number, 2));
}

/// The shortest messages there are, for as many nodes as may be sought.
pub(super) fn held(crowd: &mut Crowd) {
    crowd.peers(2);
    let send = |crowd: &mut Crowd, number: u64| {
        let sent = crowd.node.send(&node(1_000 + number % 1_024), "", &body(0), crowd.now);
        crowd.drain();
        sent.is_ok()
    };
    while (0..1_024).any(|number| send(crowd, number)) {}
}

pub(super) fn few_replies(limits: &mut Limits) {
    limits.pending_requests = 64;
    limits.pending_bytes = 64 * 64;
    limits.early_bytes = 256 * 1024;
}

/// Each request has all replies but the first.
pub(super) fn early(crowd: &mut Crowd) {
    let (peers, own) = (crowd.peers(1), crowd.node.id());
    for _ in 0..64 {
        crowd.takes = false;
        ask(crowd, 1, 1);
        let id = last_id(crowd, peers[0]);
        crowd.takes = true;
        crowd.write(peers[0]);
        for n in 1..=64 {
            let line = format!(
                "{{\"msgtype\":\"reply\",\"re\":\"{id}\",\"n\":{n},\"from\":\"{}\",\
                 \"to\":\"{own}\",\"kind\":\"\",\"msg\":0}}\n",
                name(1)
            );
            crowd.say(peers[0], &line);
        }
    }
}

/// The id in the last line that waits for a connection.
fn last_id(crowd: &Crowd, conn: ConnId) -> String {
    let outgoing = crowd.node.outgoing(conn);
    let bytes: Vec<u8> = outgoing.chunks().flatten().copied().collect();
    let text = String::from_utf8(bytes).expect("text");
    let (_, id) = text.rsplit_once("\"id\":\"").expect("a line with an id");
    id.split('"').next().unwrap_or_default().to_owned()
}

// ---- requests of others ----

pub(super) fn few_kept(limits: &mut Limits) {
    limits.answering = 8;
    limits.replay_bytes = 512 * 1024;
}

pub(super) fn many_kept(limits: &mut Limits) {
    limits.answering = 1024;
    limits.replay_bytes = 512 * 1024;
}

/// So many requests come, and so many replies go to each.
fn reply(crowd: &mut Crowd, requests: usize, replies: usize) {
    let (peers, own) = (crowd.peers(1), crowd.node.id());
    for id in 0..requests {
        let line = format!(
            "{{\"msgtype\":\"request\",\"id\":\"{id:0>32}\",\"from\":\"{}\",\"to\":\"{own}\",\
             \"kind\":\"R\",\"time\":0,\"ttl\":1,\"deadline\":600000,\"msg\":0}}\n",
            name(1)
        );
        crowd.say(peers[0], &line);
        let to = crowd.asked.pop().expect("it asked");
        for _ in 0..replies {
            let said = crowd.node.reply(to, "", &body(0), false, crowd.now);
            assert!(said.is_ok(), "{said:?}");
            crowd.drain();
        }
    }
}

pub(super) fn replay_of_many(crowd: &mut Crowd) {
    reply(crowd, 1024, 2);
}

pub(super) fn replay_of_few(crowd: &mut Crowd) {
    reply(crowd, 8, 260);
}
