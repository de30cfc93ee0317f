//! Requests to and from a stranger, which says what a node would not.

use peerline_proto::{NodeId, PeerId, RequestError, SendError};
use peerline_testkit::net::Net;

use super::{
    Book, NOWHERE, PATIENCE, SECOND, STRANGER, ask_for, body, heard, line, neighbour, reply, serve,
    stranger_id,
};

fn request_line(id: &str, from: &str, to: NodeId, numbers: (u64, u64, u64)) -> String {
    let (ttl, deadline, attempt) = numbers;
    format!(
        "{{\"msgtype\":\"request\",\"id\":\"{id}\",\"from\":\"{from}\",\"to\":\"{to}\",\
         \"kind\":\"K\",\"time\":0,\"ttl\":{ttl},\"deadline\":{deadline},\"try\":{attempt},\
         \"msg\":0}}\n"
    )
}

#[test]
fn a_running_request_is_joined_and_an_answered_one_heard_again() {
    let mut net = Net::new(3);
    let host = net.add();
    let stranger = neighbour(&mut net, host);
    let own = net.node(host).id();
    let mut book = Book::default();
    net.say(stranger, request_line("a", STRANGER, own, (1, 60_000, 0)));
    net.run_for(SECOND);
    let asked = book.note(&mut net, host);
    reply(&mut net, host, asked[0], "one", false);
    net.say(stranger, request_line("a", STRANGER, own, (1, 60_000, 1)));
    net.run_for(SECOND);
    assert!(book.note(&mut net, host).is_empty(), "joined");
    reply(&mut net, host, asked[0], "two", true);
    let told = |net: &Net, text: &str| net.heard(stranger).matches(text).count();
    net.run_for(SECOND);
    assert_eq!((told(&net, "\"one\""), told(&net, "\"two\"")), (2, 1));
    net.say(stranger, request_line("a", STRANGER, own, (1, 60_000, 2)));
    net.run_for(SECOND);
    assert!(book.note(&mut net, host).is_empty(), "answered");
    assert_eq!((told(&net, "\"one\""), told(&net, "\"two\"")), (3, 2));
    for _ in 0..6 {
        net.run_for(5 * SECOND);
        net.say(stranger, "{\"msgtype\":\"pong\"}\n");
    }
    net.say(stranger, request_line("a", STRANGER, own, (1, 60_000, 0)));
    net.run_for(SECOND);
    assert_eq!(book.note(&mut net, host).len(), 1, "forgotten");
}

#[test]
fn replies_are_told_in_order_however_they_come() {
    let mut net = Net::new(3);
    let host = net.add();
    let stranger = neighbour(&mut net, host);
    let id = ask_for(&mut net, host, &stranger_id(), PATIENCE).unwrap();
    net.run_for(SECOND);
    let (re, own) = (heard(&net, stranger, "request", "id").unwrap(), net.node(host).id());
    let say = |net: &mut Net, n: u64, last: bool| {
        let line = format!(
            "{{\"msgtype\":\"reply\",\"re\":\"{re}\",\"n\":{n},\"from\":\"{STRANGER}\",\
             \"to\":\"{own}\",\"kind\":\"K\",\"last\":{last},\"msg\":{n}}}\n"
        );
        net.say(stranger, line);
    };
    for (n, last) in [(2, false), (0, false), (2, false), (3, true), (0, true), (4, true)] {
        say(&mut net, n, last);
    }
    net.run_for(SECOND);
    let mut book = Book::default();
    book.note(&mut net, host);
    assert_eq!(book.of(id), ["0 0"]);
    say(&mut net, 1, false);
    say(&mut net, 1, false);
    net.run_for(SECOND);
    book.note(&mut net, host);
    assert_eq!(book.of(id), ["0 0", "1 1", "2 2", "3 3 last"]);
    say(&mut net, 4, true);
    net.run_for(20 * SECOND);
    book.note(&mut net, host);
    assert_eq!(book.ends(id), 1);
}

#[test]
fn a_hole_before_the_last_reply_is_a_timeout() {
    let mut net = Net::new(3);
    let host = net.add();
    let stranger = neighbour(&mut net, host);
    let id = ask_for(&mut net, host, &stranger_id(), PATIENCE).unwrap();
    net.run_for(SECOND);
    let (re, own) = (heard(&net, stranger, "request", "id").unwrap(), net.node(host).id());
    for from in [STRANGER, NOWHERE] {
        let line = format!(
            "{{\"msgtype\":\"reply\",\"re\":\"{re}\",\"n\":1,\"from\":\"{from}\",\
             \"to\":\"{own}\",\"kind\":\"K\",\"last\":true,\"msg\":1}}\n"
        );
        net.say(stranger, line);
    }
    let other = format!(
        "{{\"msgtype\":\"reply\",\"re\":\"{re}\",\"n\":0,\"from\":\"{NOWHERE}\",\
         \"to\":\"{own}\",\"kind\":\"K\",\"msg\":0}}\n"
    );
    net.say(stranger, other);
    net.run_for(PATIENCE);
    let mut book = Book::default();
    book.note(&mut net, host);
    assert_eq!(book.of(id), ["failed: no answer in time"], "who was not asked fills no hole");
    assert_eq!(net.node(host).buffered(), 0);
}

#[test]
fn a_deadline_shrinks_on_its_way_and_ends_at_a_relay() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 2);
    let stranger = neighbour(&mut net, hosts[1]);
    let relay = net.id(hosts[1]);
    net.with(hosts[0], |node, _| node.set_router(move |_| Some(relay.clone())));
    let id = ask_for(&mut net, hosts[0], &stranger_id(), PATIENCE).unwrap();
    net.run_for(SECOND);
    assert_eq!(heard(&net, stranger, "request", "deadline").as_deref(), Some("8999"));
    assert_eq!(heard(&net, stranger, "request", "ttl").as_deref(), Some("31"));
    let to = net.node(hosts[0]).id();
    for (name, numbers, code) in [
        ("a", (32, 1, 0), "expired"),
        ("b", (1, 1000, 0), "no_route"),
        ("c", (0, 1000, 0), "no_route"),
    ] {
        net.say(stranger, request_line(name, STRANGER, to, numbers));
        net.run_for(SECOND);
        assert_eq!(heard(&net, stranger, "nak", "code").as_deref(), Some(code), "{name}");
        assert_eq!(heard(&net, stranger, "nak", "re").as_deref(), Some(name));
    }
    let mut book = Book::default();
    net.run_for(PATIENCE);
    book.note(&mut net, hosts[0]);
    assert_eq!(book.of(id), ["failed: no answer in time"]);
}

#[test]
fn a_refusal_during_the_search_does_not_end_it() {
    for seed in 0..10 {
        let mut net = Net::new(seed);
        let hosts = line(&mut net, 3);
        let stranger = neighbour(&mut net, hosts[0]);
        net.with(hosts[0], |node, _| node.set_router(|_| Some(stranger_id())));
        let to = net.id(hosts[2]);
        let id = ask_for(&mut net, hosts[0], &to, PATIENCE).unwrap();
        let heard_of = |net: &Net| net.heard(stranger).contains("\"find\"");
        assert!(net.run_until(PATIENCE, heard_of), "sought after a third of the time");
        let re = heard(&net, stranger, "request", "id").unwrap();
        net.say(stranger, format!("{{\"msgtype\":\"nak\",\"re\":\"{re}\",\"code\":\"busy\"}}\n"));
        let mut book = Book::default();
        serve(&mut net, &mut book, 2 * SECOND);
        assert_eq!(book.of(id), ["0 \"!\" last"], "seed {seed}");
        let tries = net.heard(stranger).matches("\"msgtype\":\"request\"").count();
        assert_eq!(tries, 1, "seed {seed}: asked again who had said no");
    }
}

#[test]
fn a_node_of_version_0_is_no_way() {
    let mut net = Net::new(3);
    let host = net.add();
    let stranger = net.intrude(host, "192.0.2.1:40000".parse().unwrap());
    net.say(stranger, "{\"msgtype\":\"hello\",\"nodeid\":\"old\"}\n");
    net.run_for(SECOND);
    assert_eq!(net.node(host).peer_count(), 1);
    let nowhere = PeerId::Node(NOWHERE.parse().unwrap());
    assert_eq!(ask_for(&mut net, host, &nowhere, SECOND), Err(RequestError::NoRoute));
    let sent = net.with(host, |node, now| node.send(&nowhere, "K", &body(""), now));
    assert_eq!(sent, Err(SendError::NotConnected));
    assert!(!net.heard(stranger).contains("find"));
}
