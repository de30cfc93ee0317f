//! The recorded vectors of the three older programs against running nodes.

#[cfg(target_os = "linux")] // every address of 127.0.0.0/8 is its own there
mod live;

use std::net::SocketAddr;
use std::time::Duration;

use peerline_proto::{
    Action, Config, Dialect, Event, Identity, Instant, Listen, Node, NodeId, Payload, Start,
    TransportError, UnixTime,
};
use peerline_testkit::net::Net;
use peerline_testkit::vectors::{
    File, Simulated, Then, Vector, before, chat_ping, frame, judge, play, replay,
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

const FILES: [&str; 3] = ["article", "btpeer", "chat"];

#[test]
fn every_vector_is_answered_as_its_file_demands_on_virtual_time() {
    for name in FILES {
        for seed in 0..4 {
            replay(&mut Simulated::new(seed), &File::read(name), &[]);
        }
    }
}

/// A fresh node on which those vectors were played that a vector builds on.
fn prepared(file: &File, name: &str) -> Simulated {
    let mut bench = Simulated::new(1);
    let dialect = name.split('-').next();
    let first = file.vectors.iter().map(|vector| vector.name.as_str());
    let known: Vec<&str> = match dialect {
        Some("b") => first.take_while(|first| *first != name && *first != "b-ping-known").collect(),
        _ if name == "a-list-one" => vec!["a-join"],
        _ => vec![],
    };
    for known in known {
        let vector = file.get(known);
        play(&mut bench, file, vector, &[&vector.bytes()]);
    }
    if dialect == Some("b") && name.contains("advertise") || name.contains("broadcast") {
        before(&mut bench, "b-advertise");
    }
    bench
}

#[test]
fn where_a_vector_is_cut_in_two_makes_no_difference() {
    for name in FILES {
        let file = File::read(name);
        for vector in file.to_node() {
            let bytes = vector.bytes();
            let mut whole = None;
            for at in 0..=bytes.len() {
                let mut bench = prepared(&file, &vector.name);
                let (head, tail) = bytes.split_at(at);
                let reaction = play(&mut bench, &file, vector, &[head, tail]);
                let fault = judge(&file, vector, &reaction).err();
                assert_eq!(fault, None, "{} cut at {at}: {reaction:?}", vector.name);
                let whole = whole.get_or_insert_with(|| reaction.clone());
                let fixed = ["same", "accept", "either"].contains(&vector.verdict());
                assert!(!fixed || *whole == reaction, "{} cut at {at}: {reaction:?}", vector.name);
            }
        }
    }
}

// ---- what a listening node writes back, read by ours as the one that dialled

/// A node that asked a listening peer for something, which answered in these pieces.
fn answered(pieces: &[&[u8]], then: Then, ask: impl FnOnce(&mut Node, Instant)) -> Vec<Event> {
    let mut bench = Simulated::new(3);
    let (net, host) = (&mut bench.net, bench.host);
    net.lure(peer());
    net.with(host, ask);
    net.run_for(SECOND);
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        let last = net.lured(peer()).len() - 1;
        net.say(net.lured(peer())[last], piece);
        net.run_for(SECOND / 10);
    }
    let last = *net.lured(peer()).last().unwrap();
    match then {
        Then::Keep => {}
        Then::Shutdown | Then::Close => net.hang_up(last),
    }
    net.run_for(SECOND);
    net.drain_events(host)
}

fn peer() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 21002))
}

/// Each cut of a vector in two, and the vector as it stands.
fn cuts(vector: &Vector) -> Vec<Vec<Vec<u8>>> {
    let bytes = vector.bytes();
    let halves = (0..bytes.len()).map(|at| vec![bytes[..at].to_vec(), bytes[at..].to_vec()]);
    halves.chain([vector.segments()]).collect()
}

#[test]
fn replies_of_btpeer_end_with_the_connection_and_a_cut_one_is_dropped() {
    let file = File::read("btpeer");
    for name in ["a-reply-list", "a-reply-truncated"] {
        let vector = file.get(name);
        for pieces in cuts(vector) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let events = answered(&pieces, Then::Close, |node, now| {
                let body = Payload::encode("").unwrap();
                node.request_at(peer(), "LIST", &body, 30 * SECOND, now).unwrap();
            });
            let replies = events.iter().filter_map(|event| match event {
                Event::Reply(reply) => {
                    Some(json!([reply.kind(), reply.parse::<String>().unwrap()]))
                }
                _ => None, // Event may grow; this asks for replies alone
            });
            assert_eq!(Value::Array(replies.collect()), vector.fields, "{pieces:?}");
            let last = events.iter().rev().find_map(|event| match event {
                Event::Reply(reply) => Some(reply.is_last()),
                _ => None, // as above
            });
            assert_eq!(last, Some(true), "the close ends the list");
        }
    }
}

#[test]
fn a_btpeer_that_has_no_room_refuses_in_its_own_words() {
    let vector = File::read("btpeer").get("a-reply-too-many").clone();
    for pieces in cuts(&vector) {
        let mut net = Net::new(3);
        let host = net.add();
        net.lure(peer());
        net.with(host, |node, now| node.join(peer(), Dialect::Btpeer, now)).unwrap();
        net.run_for(SECOND);
        net.say(net.lured(peer())[0], frame("REPL", b"127.0.0.1:21002"));
        net.hang_up(net.lured(peer())[0]);
        net.run_for(SECOND);
        for piece in pieces {
            net.say(net.lured(peer())[1], piece);
            net.run_for(SECOND / 10);
        }
        let refused = net.events(host).iter().find_map(|event| match event {
            Event::JoinRefused { addr, text, .. } => Some((*addr, text.to_string())),
            _ => None, // Event may grow; this asks for one
        });
        let words = vector.fields[0][1].as_str().unwrap().to_owned();
        assert_eq!(refused, Some((peer(), words)));
        assert_eq!((net.node(host).guests().count(), net.lured(peer()).len()), (0, 2));
    }
}

#[test]
fn an_answer_to_getaddr_of_the_article_s_node_is_taken() {
    let vector = File::read("article").get("c-from-addr").clone();
    let told = SocketAddr::from(([127, 0, 0, 1], 24000));
    for pieces in cuts(&vector) {
        let mut net = Net::new(3);
        let host = net.add();
        net.lure(peer());
        net.lure(told);
        net.dial_addr(host, peer()).unwrap();
        net.run_for(SECOND);
        net.say(net.lured(peer())[0], "{\"nodeid\": \"v0\", \"msgtype\": \"hello\"}\n");
        net.run_for(SECOND);
        for piece in pieces {
            net.say(net.lured(peer())[0], piece);
            net.run_for(SECOND / 10);
        }
        net.say(net.lured(peer())[0], "\n");
        net.run_for(5 * SECOND);
        assert_eq!(net.lured(told).len(), 1, "the address it told is dialled");
    }
}

// ---- what a node writes on a connection that it opens itself

#[test]
fn a_node_joins_a_btpeer_to_the_byte_as_the_framework_does() {
    let vector = File::read("btpeer").get("a-dial-join").clone();
    let own = Listen::Addr("127.0.0.1:21001".parse().unwrap());
    let config = Config::builder().advertise(own).build().unwrap();
    let mut net = Net::new(3);
    let host = net.add_with(config);
    net.lure(peer());
    net.with(host, |node, now| node.join(peer(), Dialect::Btpeer, now)).unwrap();
    let replies: [&[&str]; 3] = [
        &["127.0.0.1:21002"],
        &["Join: peer added: 127.0.0.1:21001"],
        &["2", "127.0.0.1:21003 127.0.0.1 21003", "127.0.0.1:21001 127.0.0.1 21001"],
    ];
    for (number, replies) in replies.iter().enumerate() {
        net.run_for(SECOND);
        let visit = net.lured(peer())[number];
        replies.iter().for_each(|reply| net.say(visit, frame("REPL", reply.as_bytes())));
        net.hang_up(visit);
    }
    net.run_for(SECOND);
    let asked = |number: usize| net.heard_bytes(net.lured(peer())[number]).to_vec();
    assert_eq!(asked(1), vector.bytes());
    assert_eq!((asked(0), asked(2)), (frame("NAME", b""), frame("LIST", b"")));
    assert_eq!(net.lured(peer()).len(), 3, "nobody whom it told is dialled");
    let joined = net.node(host).guests().map(|guest| guest.peer.to_string());
    assert_eq!(joined.collect::<Vec<_>>(), ["guest 127.0.0.1:21002"]);
    let told = net.events(host).iter().find_map(|event| match event {
        Event::GuestPeers { peers, .. } => Some(peers.len()),
        _ => None, // Event may grow; this asks for one
    });
    assert_eq!(told, Some(2));
}

#[test]
fn a_result_for_a_btpeer_is_the_framework_s_frame_to_the_byte() {
    let vector = File::read("btpeer").get("a-dial-resp").clone();
    let mut net = Net::new(3);
    let host = net.add();
    net.lure(peer());
    let body = Payload::encode("hello.txt 127.0.0.1:21000").unwrap();
    net.with(host, |node, now| node.request_at(peer(), "RESP", &body, SECOND, now)).unwrap();
    net.run_for(SECOND / 2);
    assert_eq!(net.heard_bytes(net.lured(peer())[0]), vector.bytes());
}

#[test]
fn how_much_of_a_long_reply_has_come_can_be_asked() {
    let mut net = Net::new(3);
    let host = net.add();
    net.lure(peer());
    let body = Payload::encode("a name").unwrap();
    let request =
        net.with(host, |node, now| node.request_at(peer(), "FGET", &body, 30 * SECOND, now));
    let request = request.unwrap();
    assert_eq!(net.node(host).progress(request), None, "not connected");
    let whole = frame("REPL", b"0123456789");
    for (from, to, expected) in
        [(0, 0, (0, None)), (0, 7, (0, None)), (7, 11, (3, Some(10))), (11, 18, (10, Some(10)))]
    {
        net.run_for(SECOND);
        let visit = net.lured(peer())[0];
        net.say(visit, &whole[from..to]);
        net.run_for(SECOND);
        assert_eq!(net.node(host).progress(request), Some(expected), "{to} bytes");
    }
    net.hang_up(net.lured(peer())[0]);
    net.run_for(SECOND);
    assert_eq!(net.node(host).progress(request), None, "it is over");
}

/// What a node says to the chat peer `vec-a` on connections of its own, at that time of its clock.
fn said_to_chat(millis: u64, deed: impl FnOnce(&mut Node, Instant)) -> (String, Vec<String>) {
    let id = Identity::new(NodeId::from_random_bytes([1; 16]));
    let start = Start::new(Instant::ZERO, UnixTime::from_millis(millis));
    let mut node = Node::new(Config::default(), id, [7; 32], start);
    node.listening("127.0.0.1:22000".parse().unwrap(), Instant::ZERO);
    for (name, port) in [("vec-a", 47001), ("Charlie", 22002)] {
        let from = SocketAddr::from(([127, 0, 0, 1], 50_000 + port % 100));
        let conn = node.accepted(from, Instant::ZERO).unwrap();
        node.received(conn, &chat_ping(name, port), Instant::ZERO);
        node.closed(conn, TransportError::Eof, Instant::ZERO);
    }
    while node.poll_action().is_some() {}
    deed(&mut node, Instant::ZERO);
    let mut said = Vec::new();
    while let Some(action) = node.poll_action() {
        if let Action::Connect { conn, addr } = action {
            node.connected(conn, Instant::ZERO);
            let mut bytes = Vec::new();
            node.outgoing(conn).copy_to(&mut bytes, usize::MAX);
            said.extend((addr.port() == 47001).then(|| String::from_utf8(bytes).unwrap()));
        }
    }
    (node.chat_id().to_owned(), said)
}

#[test]
fn whom_a_node_knows_is_told_to_the_byte_as_the_original_chat_does() {
    let vector = File::read("chat").get("b-dial-advertise-reply").clone();
    let (own, said) = said_to_chat(1_795_190_140_000, |node, now| {
        let from = SocketAddr::from(([127, 0, 0, 1], 50_077));
        let conn = node.accepted(from, now).unwrap();
        let ask = chat_ping("vec-a", 1);
        let ask = String::from_utf8(ask).unwrap().replace("PING", "ADVERTISE");
        node.received(conn, ask.as_bytes(), now);
    });
    let expected = String::from_utf8(vector.bytes()).unwrap().replace("Baker", &own);
    assert_eq!(said, [expected]);
}

#[test]
fn the_time_of_a_line_of_chat_is_the_original_s_down_to_the_padded_day() {
    let vector = File::read("chat").get("b-dial-day-padded").clone();
    let (own, said) = said_to_chat(1_793_523_907_000, |node, now| {
        node.broadcast("CHAT", &Payload::encode("t").unwrap(), now).unwrap();
    });
    let expected = String::from_utf8(vector.bytes()).unwrap();
    let expected = expected.replace("Able", &own).replace("TEST", "BROADCAST");
    assert_eq!(said, [expected]);
}
