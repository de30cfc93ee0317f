//! How peers fill each part of what a node may hold.

use std::time::Duration;

use peerline_proto::{ConfigBuilder, ConnId, Keyspace, Limits, TransportError};

use super::{Crowd, Part, broadcast, direct, guests, name, own};

/// All parts that peers can fill, at sizes that need not take long: costs are by the piece.
pub const PARTS: &[Part] = &[
    part("half open", &["half open"], usual, half_open),
    part("unfinished lines", &["lines"], usual, unfinished_lines),
    part("unfinished lines of losers", &["lines", "losers"], |l| l.rivals = 2, losers),
    part("unfinished lines of the evicted", &["lines", "closing"], usual, evicted),
    part("queues of short lines", &["queues", "lines"], short_queues, queues),
    part("lines shown to the driver", &["queues", "shown", "streams"], shown_alone, shown),
    part("events", &["events", "reads"], usual, events),
    part("book", &["book"], |limits| limits.book = 4096, book),
    part(
        "answers",
        &["answers", "book"],
        |limits| {
            limits.book = 4096;
            limits.target_outbound = 8;
            limits.max_dialing = 8
        },
        answers,
    ),
    part("discouraged", &["discouraged"], usual, discouraged),
    part("streams with holes", &["streams"], |limits| limits.streams = 1024, streams),
    part("streams, one more than that", &["streams"], |limits| limits.streams = 1025, streams),
    part("streams of a crowd", &["streams"], many_peers, streams),
    part("trees that banned all", &["streams", "wanted"], trees_alone, bans),
    part("cache of one stream", &["cache"], cache, cache_of_one),
    part("cache of many streams", &["cache"], cache, cache_of_many),
    part("cache of late numbers", &["cache"], cache, cache_of_late),
    part("cache of lines that came together", &["cache"], cache, cache_in_parts),
    part("wanted", &["wanted"], |limits| limits.wanted = 2048, wanted),
    part("recent ids", &["recent ids"], |limits| limits.recent_ids = 1024, recent_ids),
    part("verdicts", &["verdicts", "judged"], verdicts_alone, verdicts)
        .with(ConfigBuilder::validate_all),
    part("routes", &["routes"], |limits| limits.routes = 1024, routes),
    part("relayed", &["relayed"], |limits| limits.relayed = 2048, relayed),
    part("answering", &["answering"], |limits| limits.answering = 2048, answering),
    part("walks", &["walks"], |limits| limits.walk_bytes = 1 << 20, own::walks).with(by_keyspace),
    part("walks that tried many", &["walks"], own::few_walks, own::walks_that_tried_many)
        .with(by_keyspace),
    part("walks that ended", &["walks"], own::no_walks, own::walks_that_ended).with(by_keyspace),
    part("queues of our own words", &["queues", "lines"], short_queues, own::queues),
    part("cache of our own", &["cache"], cache, own::cache),
    part("requests", &["pending", "asked"], own::few_requests, own::requests),
    part("searches", &["pending", "asked", "seeks"], own::few_requests, own::searches),
    part("held", &["held", "seeks"], usual, own::held),
    part("early replies", &["early", "pending", "asked"], own::few_replies, own::early),
    part("replies that are kept", &["replay", "answering"], own::many_kept, own::replay_of_many),
    part("replies of a few", &["replay", "answering"], own::few_kept, own::replay_of_few),
    part("replies of guests", &["guest replies"], guests::few_bytes, guests::replies),
    part("small replies of guests", &["guest replies"], guests::few_bytes, guests::small_replies),
    part("replies of guests in the way", REPLIES, guests::few_bytes, guests::untaken),
    part("words for guests", &["guests", "guest calls"], usual, guests::words),
    part("lists of guests", &["guest replies", "guest calls"], guests::no_bytes, guests::lists),
    part("requests of guests", &["guest requests"], usual, guests::requests),
    part(
        "words with guests",
        &["guest ids", "guest rates"],
        |limits| limits.recent_ids = 4096,
        guests::ids,
    )
    .with(ConfigBuilder::validate_all),
];

/// Where replies of guests are, of which the application has not taken one.
const REPLIES: &[&str] = &["guest replies", "events"];

const fn part(
    name: &'static str,
    within: &'static [&'static str],
    limits: fn(&mut Limits),
    fill: fn(&mut Crowd),
) -> Part {
    Part { name, within, limits, config: |config| config, fill }
}

impl Part {
    const fn with(mut self, config: fn(ConfigBuilder) -> ConfigBuilder) -> Self {
        self.config = config;
        self
    }
}

fn by_keyspace(config: ConfigBuilder) -> ConfigBuilder {
    config.keyspace(Keyspace::On)
}

fn usual(_: &mut Limits) {}

fn short_queues(limits: &mut Limits) {
    limits.send_queue = 128 * 1024;
    limits.queued_total = 64 * 128 * 1024;
}

/// Queues that hold little more than what is shown to the driver.
fn shown_alone(limits: &mut Limits) {
    limits.send_queue = 68 * 1024;
    limits.queued_total = 64 * 68 * 1024;
    limits.streams = 128;
}

fn many_peers(limits: &mut Limits) {
    limits.streams = 1024;
    limits.max_inbound = 150;
}

/// What is announced is remembered, until it comes.
fn trees_alone(limits: &mut Limits) {
    limits.streams = 256;
    limits.wanted = 1024;
}

fn verdicts_alone(limits: &mut Limits) {
    limits.verdicts = 1024;
    limits.verdict_bytes = 1 << 20;
}

const SECOND: Duration = Duration::from_secs(1);

// ---- connections ----

fn half_open(crowd: &mut Crowd) {
    let hello = format!("{{\"msgtype\":\"hello\",\"x\":\"{}", "y".repeat(4_050));
    for _ in 0..crowd.limits().half_open {
        let conn = crowd.stranger();
        hello.as_bytes().chunks(100).for_each(|piece| crowd.hear(conn, piece));
    }
}

/// The longest line that may come, without its end, in pieces.
fn begin_line(crowd: &mut Crowd, conn: ConnId) {
    let line = format!("{{\"msgtype\":\"x\",\"x\":\"{}", "y".repeat(256 * 1024 - 30));
    line.as_bytes().chunks(1000).for_each(|piece| crowd.hear(conn, piece));
}

fn unfinished_lines(crowd: &mut Crowd) {
    crowd.takes = false;
    for peer in 0..crowd.limits().max_inbound {
        for _ in 0..crowd.limits().guest_connections {
            let conn = crowd.stranger();
            let name = format!("{peer:0>64}");
            crowd.say(conn, &format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{name}\"}}\n"));
            begin_line(crowd, conn);
        }
    }
}

/// Peers connect twice, and say half a line over what is then given up.
fn losers(crowd: &mut Crowd) {
    crowd.takes = false;
    for turn in 0..4 {
        for peer in 1..=64 {
            let conn = crowd.peer(peer);
            begin_line(crowd, conn);
            if turn == 0 {
                continue;
            }
            // The older one is silent, so the newer stays.
            crowd.wait(Duration::from_millis(50));
        }
        crowd.wait(Duration::from_millis(2_100));
    }
}

fn evicted(crowd: &mut Crowd) {
    crowd.takes = false;
    for peer in 1..=64 + 256 {
        let conn = crowd.peer(peer);
        begin_line(crowd, conn);
    }
}

fn events(crowd: &mut Crowd) {
    let peers = crowd.peers(64);
    crowd.listens = false;
    for (number, conn) in (0..).zip(peers) {
        let lines = (1..1_000).map(|seq| {
            let id = name(number);
            format!(
                "{{\"msgtype\":\"broadcast\",\"originator\":\"{id}\",\"epoch\":0,\"seq\":{seq},\
                 \"time\":0,\"kind\":\"\",\"msg\":0}}\n"
            )
        });
        let errors = (0..5_000).map(|_| String::from("{\"msgtype\":\"error\"}\n"));
        let few = if number % 8 != 0 { lines.collect::<String>() } else { errors.collect() };
        crowd.hear(conn, few.as_bytes().get(..super::READ).unwrap_or(few.as_bytes()));
    }
}

// ---- queues ----

/// Each peer gets lines of its own, and takes none.
fn queues(crowd: &mut Crowd) {
    let peers = crowd.peers(64);
    crowd.takes = false;
    for (to, _) in (2..).zip(&peers[1..]) {
        let lines = (0..700).map(|id| direct(&format!("{to}-{id}"), 1, &name(to), 0));
        crowd.say(peers[0], &lines.collect::<String>());
    }
}

/// Each peer gets two lines of each read, which keep all that came with them.
fn shown(crowd: &mut Crowd) {
    let peers = crowd.peers(64);
    let body = "x".repeat(950);
    // Stream 1000 + n goes to peer n alone, and stream 1000 to nobody.
    for number in 0..64 {
        let stream = name(1000 + number);
        crowd.say(peers[0], &broadcast(&stream, 1, ""));
        for (peer, conn) in (1..).zip(&peers[1..]) {
            if peer != number {
                let prune =
                    format!("{{\"msgtype\":\"prune\",\"originator\":\"{stream}\",\"epoch\":1}}\n");
                crowd.say(*conn, &prune);
            }
        }
    }
    crowd.takes = false;
    for turn in 0..40 {
        for number in 1..64 {
            let (seq, stream) = (2 + 2 * turn, name(1000 + number));
            let pair = (0..2).map(|next| broadcast(&stream, seq + next, &body));
            let first = 2 + (turn * 63 + number) * 6;
            let mut others = (0..6).map(|next| broadcast(&name(1000), first + next, &body));
            // A line by itself, and then as many as are taken together.
            let begin = others.next();
            let lines: String = begin.into_iter().chain(pair).chain(others).collect();
            crowd.say(peers[0], &lines);
        }
    }
}

// ---- addresses ----

fn book(crowd: &mut Crowd) {
    let peers = crowd.peers(64);
    for (number, conn) in (0_u32..).zip(peers) {
        for half in 0..2_u32 {
            let told = (0..160_u32).map(|index| {
                let [_, a, b, c] = (number * 320 + half * 160 + index).to_be_bytes();
                let port = 5000 + u32::from(a);
                format!("[\"{}.{}.7.7:{port}\",\"{}\"]", 30 + b, c, name(index.into()))
            });
            let told: Vec<String> = told.collect();
            crowd.say(conn, &format!("{{\"msgtype\":\"addr\",\"peers\":[{}]}}\n", told.join(",")));
        }
    }
    assert_eq!(crowd.node.addresses().count(), crowd.limits().book);
}

/// Whoever is dialled has a long name, and leaves again; then each network group asks.
fn answers(crowd: &mut Crowd) {
    book(crowd);
    let mut named = 0;
    while named < 1_500 {
        crowd.wait(SECOND);
        for conn in std::mem::take(&mut crowd.dialled) {
            named += 1;
            crowd.node.connected(conn, crowd.now);
            crowd.say(conn, &format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{named:0>64}\"}}\n"));
            crowd.node.closed(conn, TransportError::Reset, crowd.now);
            crowd.drain();
        }
    }
    for _ in 0..200 {
        let conn = crowd.stranger();
        crowd.greet(conn, &name(5_000_000 + u64::from(crowd.strangers)));
        crowd.say(conn, "{\"msgtype\":\"getaddr\",\"max\":256}\n");
    }
}

fn discouraged(crowd: &mut Crowd) {
    for _ in 0..2_000 {
        let conn = crowd.stranger();
        crowd.say(conn, "{\"msgtype\":\"hello\",\"nodeid\":1}\n");
    }
    assert_eq!(crowd.node.discouraged(), crowd.limits().discouraged);
}

// ---- broadcasts ----

fn streams(crowd: &mut Crowd) {
    let peers = crowd.peers(crowd.limits().max_inbound as u64);
    for number in 0..crowd.limits().streams as u64 {
        let lines: String = (1..=33).map(|seq| broadcast(&name(number), 2 * seq, "")).collect();
        crowd.say(peers[0], &lines);
    }
}

/// In each stream one link after the other could have been sooner, is grafted, and brings nothing.
fn bans(crowd: &mut Crowd) {
    let peers = crowd.peers(64);
    let streams: Vec<String> = (0..crowd.limits().streams as u64).map(name).collect();
    let mut seq = 0;
    let mut next = |crowd: &mut Crowd, by: Option<ConnId>| {
        seq += 2;
        for few in streams.chunks(32) {
            let have: Vec<String> =
                few.iter().map(|id| format!("[\"{id}\",1,[[{seq},{seq},0]]]")).collect();
            let line = format!("{{\"msgtype\":\"ihave\",\"have\":[{}]}}\n", have.join(","));
            by.into_iter().for_each(|by| crowd.say(by, &line));
        }
        crowd.wait(Duration::from_millis(60));
        let lines: String = streams.iter().map(|id| broadcast(id, seq, "")).collect();
        crowd.say(peers[0], &lines);
    };
    next(crowd, None);
    for peer in &peers[1..] {
        for _ in 0..4 {
            crowd.wait(Duration::from_millis(210));
            next(crowd, Some(*peer));
        }
        next(crowd, None);
        crowd.wait(Duration::from_millis(2_050));
        next(crowd, None);
        peers.iter().for_each(|conn| crowd.say(*conn, "{\"msgtype\":\"ping\",\"nonce\":1}\n"));
    }
}

fn cache(limits: &mut Limits) {
    limits.cache = 2 << 20;
}

fn cache_of_one(crowd: &mut Crowd) {
    for (number, conn) in (0..).zip(crowd.peers(4)) {
        for seq in 1..=2_000 {
            crowd.say(conn, &broadcast(&name(number), seq, ""));
        }
    }
}

fn cache_of_many(crowd: &mut Crowd) {
    for (number, conn) in (0..).zip(crowd.peers(4)) {
        for stream in 0..2_000 {
            crowd.say(conn, &broadcast(&name(10_000 * number + stream), 1, ""));
        }
    }
}

fn cache_of_late(crowd: &mut Crowd) {
    for (number, conn) in (0..).zip(crowd.peers(4)) {
        for seq in (1..=2_000).rev() {
            crowd.say(conn, &broadcast(&name(number), seq, ""));
        }
    }
}

/// The lines of many streams come together, so that each link's oldest keep what the others kept.
fn cache_in_parts(crowd: &mut Crowd) {
    for (number, conn) in (0..).zip(crowd.peers(8)) {
        for some in 0..100 {
            let streams = (0..50).map(|stream| 10_000 * number + some * 50 + stream);
            let lines: String = streams.map(|stream| broadcast(&name(stream), 1, "")).collect();
            crowd.say(conn, &lines);
        }
    }
}

/// Each of 32 links announces a fourth, so that eight announced each.
fn wanted(crowd: &mut Crowd) {
    let count = crowd.limits().wanted as u64;
    for (number, conn) in (0..).zip(crowd.peers(32)) {
        let quarter = (number % 4) * (count / 4);
        for first in (0..count / 4).step_by(64) {
            let have: Vec<String> = (first..first + 64)
                .map(|stream| format!("[\"{}\",1,[[1,1,0]]]", name(quarter + stream)))
                .collect();
            let line = format!("{{\"msgtype\":\"ihave\",\"have\":[{}]}}\n", have.join(","));
            crowd.say(conn, &line);
        }
    }
}

fn recent_ids(crowd: &mut Crowd) {
    let (peers, own) = (crowd.peers(1), crowd.node.id().to_string());
    for id in 0..2 * crowd.limits().recent_ids as u64 - 1 {
        crowd.say(peers[0], &direct(&format!("{id:0>32}"), 1, &own, 0));
    }
    // The one stream that is followed is forgotten for the next, which remembers 64 of each.
    for stream in 0..2 * crowd.limits().recent_ids as u64 / 64 {
        let lines: String = (1..=64).map(|seq| broadcast(&name(stream), seq, "")).collect();
        crowd.say(peers[0], &lines);
    }
}

fn verdicts(crowd: &mut Crowd) {
    for turn in 0..2 {
        for (number, conn) in (0..).zip(crowd.peers(5)) {
            for seq in 1..=256 {
                crowd.say(conn, &broadcast(&name(10 * turn + number), seq, &"x".repeat(700)));
            }
        }
        if turn == 0 {
            crowd.wait(11 * SECOND);
        }
    }
}

// ---- one to one ----

fn routes(crowd: &mut Crowd) {
    let peers = crowd.peers(4);
    let count = crowd.limits().routes as u64;
    for (number, conn) in (0..).zip(peers) {
        for from in 0..count {
            crowd.say(conn, &direct(&format!("{number}-{from}"), 10_000 + from, &name(7), 0));
        }
    }
}

fn relayed(crowd: &mut Crowd) {
    let peers = crowd.peers(3);
    for id in 0..crowd.limits().relayed {
        for (number, conn) in (0..).zip(&peers) {
            crowd.say(*conn, &direct(&format!("{id:0>32}"), 10_000, &name(7_000), number));
        }
    }
}

fn answering(crowd: &mut Crowd) {
    let (peers, own) = (crowd.peers(1), crowd.node.id());
    for id in 0..crowd.limits().answering as u64 {
        let line = format!(
            "{{\"msgtype\":\"request\",\"id\":\"{id:0>32}\",\"from\":\"{}\",\"to\":\"{own}\",\
             \"kind\":\"R\",\"time\":0,\"ttl\":1,\"deadline\":600000,\"msg\":0}}\n",
            name(1)
        );
        crowd.say(peers[0], &line);
    }
}
