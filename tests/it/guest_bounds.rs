//! What guests take of a node together: bytes of requests and replies that wait, visits and calls
//! under way, messages of one owner of many addresses.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use peerline_proto::{
    Config, Dialect, Event, Limits, Node, Payload, PeerId, ReplyTo, RequestError,
};
use peerline_testkit::net::{Cut, HostId, Net, Stranger};
use peerline_testkit::vectors::frame;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const MIB: usize = 1024 * 1024;

fn place(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 7, 0, number], 22_000))
}

/// A node on a network that cuts nothing.
fn setup(change: impl FnOnce(&mut Limits)) -> (Net, HostId) {
    let mut net = Net::new(5);
    net.cut(Cut::Whole);
    let mut limits = Limits::default();
    change(&mut limits);
    let host = net.add_with(Config::builder().limits(limits).build().unwrap());
    (net, host)
}

fn body(len: usize) -> Payload {
    Payload::encode(&"x".repeat(len)).unwrap()
}

fn chat(kind: &str, name: &str, msg: &serde_json::Value) -> String {
    json!({"msg_type": kind, "msg": msg, "originator": name, "time": "0"}).to_string()
}

/// Somebody at this address says something and ends.
fn say(net: &mut Net, host: HostId, from: IpAddr, bytes: impl AsRef<[u8]>) {
    let stranger = net.intrude(host, SocketAddr::new(from, 40_000));
    net.say(stranger, bytes);
    net.hang_up(stranger);
}

/// A BTPeer guest joins from this address.
fn join(net: &mut Net, host: HostId, addr: SocketAddr) -> PeerId {
    let row = format!("{addr} {} {}", addr.ip(), addr.port());
    say(net, host, addr.ip(), frame("JOIN", row.as_bytes()));
    net.run_for(SECOND);
    PeerId::Guest(addr.to_string().into())
}

// ---- requests of ours

/// Asks one address after the other until the node refuses; returns how many it took.
fn ask_all(net: &mut Net, host: HostId, len: usize) -> (usize, Option<RequestError>) {
    let body = body(len);
    for number in 0..64 {
        let ask = net.with(host, |node, now| {
            node.request_at(place(number), "FGET", &body, 60 * SECOND, now)
        });
        if let Err(error) = ask {
            return (usize::from(number), Some(error));
        }
    }
    (64, None)
}

#[test]
fn requests_that_wait_for_their_connections_are_bounded_in_bytes() {
    let (mut net, host) = setup(|_| {});
    (0..64).for_each(|number| net.black_hole(place(number)));
    let (taken, refused) = ask_all(&mut net, host, MIB);
    let refused = refused.expect("64 requests of 1 MiB are too many").to_string();
    assert!(taken >= 16 && taken * MIB <= 32 * MIB, "{taken} are taken");
    let (asked, limit) = ((taken + 1) * (MIB + 72), 32 * MIB);
    assert_eq!(refused, format!("guest_queued is at {asked}; the limit is {limit}"));
    assert!(net.node(host).buffered() >= taken * MIB, "what waits is counted");
    net.run_for(11 * SECOND);
    assert!(net.node(host).buffered() < MIB, "and goes with the dials");
    assert_eq!(ask_all(&mut net, host, MIB).0, taken);
}

#[test]
fn a_request_that_waited_is_charged_until_it_is_read() {
    let (mut net, host) = setup(|limits| limits.guest_queued = 3 * MIB);
    net.lure(place(0));
    assert_eq!(ask_all(&mut net, host, MIB).0, 2);
    net.run_for(SECOND);
    let heard = net.heard_bytes(net.lured(place(0))[0]);
    assert_eq!(heard.len(), MIB + 8, "the request went out whole");
    assert_eq!(&heard[..4], b"FGET");
    (2..64).for_each(|number| net.black_hole(place(number)));
    let another =
        net.with(host, |node, now| node.request_at(place(2), "FGET", &body(MIB), SECOND, now));
    assert!(another.is_ok(), "{another:?}");
}

#[test]
fn to_ask_a_guest_whom_it_knows_is_a_visit_like_others() {
    let (mut net, host) = setup(|limits| limits.guest_visits = 2);
    let guests: Vec<PeerId> = (1..4).map(|number| join(&mut net, host, place(number))).collect();
    (1..4).for_each(|number| net.black_hole(place(number)));
    let mut ask = |peer: &PeerId| net.with(host, |node, now| node.ask_for_peers(peer, now));
    let asked: Vec<bool> = guests.iter().map(&mut ask).collect();
    assert_eq!(asked, [true, true, false], "there is room for two visits");
    net.run_for(61 * SECOND);
    assert!(net.with(host, |node, now| node.ask_for_peers(&guests[2], now)), "and again");
    net.with(host, |node, now| node.shutdown(SECOND, now));
    assert!(!net.with(host, |node, now| node.ask_for_peers(&guests[2], now)), "a node that stops");
}

#[test]
fn calls_that_a_guest_tells_of_are_not_the_application_s() {
    let (mut net, host) = setup(|limits| {
        limits.guest_visits = 4;
        limits.guest_told = 6;
    });
    let able = place(1);
    net.lure(able);
    say(&mut net, host, able.ip(), chat("PING", "able", &json!([able.ip(), able.port()])));
    net.run_for(SECOND);
    (100..116).for_each(|number| net.black_hole(place(number)));
    let before = net.node(host).stats();
    for number in 100..116 {
        let told = json!([format!("n{number}"), [place(number).ip(), 22_000]]);
        say(&mut net, host, able.ip(), chat("ADVERTISE_REPLY", "able", &told));
    }
    net.run_for(SECOND);
    let after = net.node(host).stats();
    assert_eq!(after.connections_opened - before.connections_opened, 16 + 6, "six are called");
    assert_eq!(after.guests_ignored - before.guests_ignored, 10);
    for number in 0..4 {
        let asked = net.with(host, |node, now| node.join(place(number), Dialect::Chat, now));
        assert!(asked.is_ok(), "{asked:?}");
    }
    let more = net.with(host, |node, now| node.join(place(4), Dialect::Chat, now));
    assert_eq!(more.unwrap_err().to_string(), "4 visits to guests are under way; the limit is 4");
}

// ---- replies of ours

/// Guests at so many addresses ask, and read nothing by themselves.
fn slow_guests(net: &mut Net, host: HostId, count: u8) -> Vec<(Stranger, ReplyTo)> {
    let mut all = Vec::new();
    for number in 0..count {
        let stranger = net.intrude(host, place(number));
        net.turn_deaf(stranger);
        net.say(stranger, frame("FGET", b"report"));
        net.run_for(SECOND / 10);
        let asked = net.drain_events(host).into_iter().find_map(|event| match event {
            Event::Request(request) => Some(request.reply_to()),
            _ => None,
        });
        all.push((stranger, asked.expect("it asked")));
    }
    all
}

#[test]
fn guests_that_read_slowly_leave_room_for_peers() {
    let mut limits = Limits::default();
    limits.flush_timeout = 300 * SECOND;
    let (mut net, host) = setup(|given| *given = limits);
    let peer = net.add();
    net.dial(host, peer);
    net.run_for(SECOND);
    let guests = slow_guests(&mut net, host, 4);
    let file = body(16 * MIB - 200);
    let replied: Vec<bool> = guests
        .iter()
        .map(|(_, to)| net.with(host, |node, now| node.reply(*to, "REPL", &file, true, now)))
        .map(|replied| replied.is_ok())
        .collect();
    assert_eq!(replied, [true, true, false, false], "two files are half of all queues");
    let peer = net.id(peer);
    for round in 0..60 {
        let sent = net.with(host, |node, now| node.send(&peer, "WORD", &body(200_000), now));
        assert!(sent.is_ok(), "{sent:?} after {round} seconds");
        for (stranger, _) in &guests[..2] {
            net.sip(*stranger, 64 * 1024);
        }
        net.run_for(SECOND);
    }
    let asked = slow_guests(&mut net, host, 1)[0].1;
    let refused = net.with(host, |node, now| node.reply(asked, "REPL", &file, true, now));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.ends_with(" bytes wait on the way; the limit is 33554432"), "{refused}");
    guests.iter().for_each(|(stranger, _)| net.break_off(*stranger));
    net.run_for(SECOND);
    let replied = net.with(host, |node, now| node.reply(asked, "REPL", &file, true, now));
    assert!(replied.is_ok(), "{replied:?}: who goes leaves room");
}

#[test]
fn a_guest_that_reads_slowly_gets_a_long_reply_whole() {
    let (mut net, host) = setup(|_| {});
    let (stranger, to) = slow_guests(&mut net, host, 1)[0];
    let file = body(2 * MIB);
    net.with(host, |node, now| node.reply(to, "REPL", &file, true, now)).unwrap();
    let mut read = 0;
    for _ in 0..50 {
        read += net.sip(stranger, MIB).len();
        net.run_for(SECOND);
    }
    assert_eq!(read, 2 * MIB + 8, "64 KiB a second");
}

#[test]
fn a_slow_guest_that_leaves_much_gives_way_to_another() {
    let (mut net, host) = setup(|_| {});
    let guests = slow_guests(&mut net, host, 3);
    let file = body(16 * MIB - 200);
    let reply = |net: &mut Net, guest: usize| {
        net.with(host, |node, now| node.reply(guests[guest].1, "REPL", &file, true, now))
    };
    reply(&mut net, 0).unwrap();
    reply(&mut net, 1).unwrap();
    net.run_for(3 * SECOND);
    let refused = reply(&mut net, 2).unwrap_err().to_string();
    assert!(refused.ends_with(" bytes wait on the way; the limit is 33554432"), "{refused}");
    let sip = |net: &mut Net, guest: usize| {
        let read = net.sip(guests[guest].0, MIB).len();
        net.run_for(SECOND / 2);
        read
    };
    assert!(sip(&mut net, 0) > 60_000 && sip(&mut net, 1) > 60_000 && sip(&mut net, 1) > 60_000);
    net.run_for(3 * SECOND);
    assert_eq!(net.sockets(host), 3, "both may go on reading");
    reply(&mut net, 2).unwrap();
    assert_eq!((net.sockets(host), net.node(host).stats().lost_at_close), (2, 1));
    net.run_for(SECOND);
    assert!(sip(&mut net, 1) > 60_000 && sip(&mut net, 2) > 60_000, "who left most gave way");
    net.run_for(6 * SECOND);
    assert_eq!(net.sockets(host), 0, "readers that stop are given up as any other");
}

#[test]
fn a_peer_hears_that_there_is_room_while_guests_have_their_part() {
    let (mut net, host) = setup(|_| {});
    let peers = [net.add(), net.add()];
    for peer in peers {
        net.dial(host, peer);
    }
    net.run_for(SECOND);
    for (_, to) in slow_guests(&mut net, host, 2) {
        let file = body(16 * MIB - 200);
        net.with(host, |node, now| node.reply(to, "REPL", &file, true, now)).unwrap();
    }
    for peer in peers {
        net.read(peer, false);
        let id = net.id(peer);
        let send = |node: &mut Node, now| node.send(&id, "WORD", &body(100_000), now);
        while net.with(host, send).is_ok() {}
    }
    net.drain_events(host);
    net.read(peers[0], true);
    net.run_for(5 * SECOND);
    let told = net.drain_events(host);
    let told = told
        .iter()
        .any(|event| matches!(event, Event::Writable { peer } if *peer == net.id(peers[0])));
    assert!(told, "one peer reads again; the other does not, nor do the guests");
}

#[test]
fn a_guest_is_asked_however_much_waits_for_others() {
    let (mut net, host) = setup(|limits| (limits.queued_total, limits.send_queue) = (MIB, MIB));
    let peer = net.add();
    net.dial(host, peer);
    net.run_for(SECOND);
    net.read(peer, false);
    let id = net.id(peer);
    let mut fill = |len| {
        while net.with(host, |node, now| node.send(&id, "WORD", &body(len), now)).is_ok() {}
    };
    [100_000, 1000, 1].into_iter().for_each(&mut fill);
    net.lure(place(1));
    net.with(host, |node, now| node.join(place(1), Dialect::Btpeer, now)).unwrap();
    net.run_for(SECOND);
    let visit = net.lured(place(1))[0];
    assert_eq!(
        net.heard_bytes(visit),
        frame("NAME", b""),
        "a peer that does not read is no hurdle"
    );
    let before = net.node(host).stats().skipped;
    let asks = net.intrude(host, place(2));
    net.say(asks, frame("NAME", b""));
    net.run_for(SECOND);
    let place = net.addr(host);
    let named = frame("REPL", place.to_string().as_bytes());
    assert_eq!(net.heard_bytes(asks), named, "nor for who asks us");
    assert_eq!(net.node(host).stats().skipped, before);
}

// ---- how often they speak

#[test]
fn one_network_of_ipv6_has_one_burst() {
    let (mut net, host) = setup(|limits| {
        limits.guest_burst = 3;
        limits.guest_every = 100 * SECOND;
    });
    let at = |network: u16, last: u16| {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, last))
    };
    for last in 0..10 {
        say(&mut net, host, at(1, last), chat("TEST", "able", &json!(last)));
    }
    net.run_for(SECOND);
    let heard = |net: &mut Net| {
        let events = net.drain_events(host);
        events.iter().filter(|event| matches!(event, Event::Message(_))).count()
    };
    assert_eq!(heard(&mut net), 3, "of ten addresses of one network");
    say(&mut net, host, at(2, 0), chat("TEST", "able", &json!(0)));
    net.run_for(SECOND);
    assert_eq!(heard(&mut net), 1, "of another");
}
