//! The chat dialect at one node: what each object does, who is called, and what crosses over.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::config::GuestHosts;
use crate::limits::GUESTS_WAITING;

/// An object comes from a host.
fn tell(scene: &mut Scene, host: u8, (msg_type, who): (&str, &str), msg: &str) {
    let conn = scene.node.accepted(addr(host), scene.now).unwrap();
    let object =
        format!(r#"{{"msg_type":"{msg_type}","msg":{msg},"originator":"{who}","time":"t"}}"#);
    scene.node.received(conn, object.as_bytes(), scene.now);
}

/// The calls that wait for an answer.
fn calls(scene: &mut Scene) -> Vec<(ConnId, String)> {
    let actions = core::iter::from_fn(|| scene.node.poll_action());
    let dials = actions.filter_map(|action| {
        let Action::Connect { conn, addr } = action else { return None };
        Some((conn, addr.to_string()))
    });
    dials.collect()
}

/// Takes a call: what is said there.
fn take(scene: &mut Scene, conn: ConnId) -> String {
    scene.node.connected(conn, scene.now);
    let mut bytes = Vec::new();
    let count = scene.node.outgoing(conn).copy_to(&mut bytes, usize::MAX);
    scene.node.sent(conn, count, scene.now);
    String::from_utf8(bytes).unwrap()
}

fn said(scene: &mut Scene) -> Vec<(String, String, String)> {
    let calls = calls(scene);
    let told = calls.into_iter().map(|(conn, addr)| {
        let object = take(scene, conn);
        (addr, value(&object, "msg_type").trim_matches('"').into(), value(&object, "msg"))
    });
    told.collect()
}

fn chat() -> Scene {
    let mut scene = Scene::new();
    scene.node.listening("192.0.2.1:5".parse().unwrap(), scene.now);
    scene
}

/// A chat peer that is known, at host 2.
fn able(scene: &mut Scene) {
    tell(scene, 2, ("PONG", "able"), r#"["192.0.2.2", 7]"#);
    assert_eq!(scene.told(), ["joined able 192.0.2.2:7"]);
    assert!(said(scene).is_empty());
}

#[test]
fn a_ping_is_remembered_and_answered_and_a_pong_remembered() {
    let mut scene = chat();
    scene.counts("connections_opened 2, connections_closed 1", |scene| {
        tell(scene, 2, ("PING", "able"), r#"["192.0.2.9", 7]"#);
    });
    assert_eq!(scene.told(), ["joined able 192.0.2.2:7"]);
    let pong = said(&mut scene);
    assert_eq!(pong, [("192.0.2.2:7".into(), "PONG".into(), r#"["192.0.2.1",5]"#.into())]);
    tell(&mut scene, 2, ("PING", "able"), r#"["192.0.2.2", 7]"#);
    assert!(scene.told().is_empty(), "it was known");
    assert_eq!(said(&mut scene).len(), 1);
    let guest = scene.node.guests().next().unwrap();
    assert_eq!((guest.dialect, guest.addr), (Dialect::Chat, "192.0.2.2:7".parse().unwrap()));
}

#[test]
fn what_names_no_place_is_dropped() {
    let mut scene = chat();
    let name = "x".repeat(65);
    for (who, msg) in [("able", r#""""#), ("able", r#"["h", 0]"#), (&name, r#"["h", 7]"#)] {
        let counted = "connections_opened 1, connections_closed 1, chat_dropped 1";
        scene.counts(counted, |scene| tell(scene, 2, ("PING", who), msg));
    }
    // Our own words that come back are dropped without a count.
    let own = scene.node.chat_id().to_string();
    scene.counts("connections_opened 1, connections_closed 1", |scene| {
        tell(scene, 2, ("PING", &own), r#"["h", 7]"#);
    });
    scene.counts("connections_opened 1, connections_closed 1, chat_dropped 1", |scene| {
        tell(scene, 2, ("NONE", "able"), r#"["h", 7]"#);
    });
    assert!(scene.told().is_empty() && said(&mut scene).is_empty());
    tell(&mut scene, 2, ("PONG", &name[1..]), r#"["h", 7]"#);
    assert_eq!(scene.told().len(), 1);
}

#[test]
fn an_address_that_speaks_too_often_is_not_heard() {
    let mut scene = Scene::limited(|limits| limits.guest_burst = 1);
    tell(&mut scene, 2, ("TEST", "able"), "1");
    assert_eq!(scene.told(), ["TEST 1 of able"]);
    scene.counts("connections_opened 1, connections_closed 1, guests_ignored 1", |scene| {
        tell(scene, 2, ("TEST", "able"), "1");
    });
    assert!(scene.told().is_empty());
}

#[test]
fn a_line_of_chat_crosses_over_once() {
    let mut scene = chat();
    able(&mut scene);
    tell(&mut scene, 3, ("PONG", "baker"), r#"["192.0.2.3", 7]"#);
    let two = scene.meet(4);
    scene.told();
    let counted = "connections_opened 2, connections_closed 1, delivered 1";
    scene.counts(counted, |scene| tell(scene, 2, ("BROADCAST", "able"), r#""hi""#));
    let told = scene.told();
    assert_eq!(told, [r#"CHAT {"originator":"able","msg":"hi","time":"t"} of able"#]);
    let spread = [("192.0.2.3:7".to_string(), "BROADCAST".to_string(), r#""hi""#.to_string())];
    assert_eq!(said(&mut scene), spread, "to all but the one who said it");
    let carried = scene.heard(two, "broadcast");
    let words = r#","msg":{"originator":"able","msg":"hi","time":"t"}}"#;
    assert!(carried.len() == 1 && carried[0].ends_with(words), "{carried:?}");
    scene.counts("connections_opened 1, connections_closed 1, duplicates 1", |scene| {
        tell(scene, 3, ("BROADCAST", "able"), r#""hi""#);
    });
    // The same by way of a native broadcast.
    let body = r#"{"originator":"able","msg":"hi","time":"t"}"#;
    let start = format!(r#"{{"msgtype":"broadcast","originator":"{}","epoch":1"#, id(4));
    scene.counts("duplicates 1", |scene| {
        scene.say(two, &format!(r#"{start},"seq":1,"time":1,"kind":"CHAT","msg":{body}}}"#));
    });
    let other = body.replace("hi", "ho");
    scene.counts("connections_opened 1, delivered 1", |scene| {
        scene.say(two, &format!(r#"{start},"seq":2,"time":1,"kind":"CHAT","msg":{other}}}"#));
    });
    assert_eq!(said(&mut scene).len(), 1, "baker alone: able said it");
}

#[test]
fn our_own_line_goes_to_both_networks() {
    let mut scene = chat();
    able(&mut scene);
    let two = scene.meet(4);
    scene.heard(two, "");
    let receipt = scene.node.broadcast("CHAT", &body("hi"), scene.now).unwrap();
    assert_eq!((receipt.queued, receipt.guests, receipt.offered()), (1, 1, 2));
    let object = {
        let calls = calls(&mut scene);
        take(&mut scene, calls[0].0)
    };
    let own = scene.node.chat_id().to_string();
    assert_eq!(value(&object, "originator"), format!("\"{own}\""));
    let line = value(&scene.heard(two, "broadcast")[0], "msg");
    assert_eq!(value(&line, "time"), value(&object, "time"));
    // It is no news when it comes back, and the same words have another second.
    let back = format!(r#"{{"msgtype":"broadcast","originator":"{}","epoch":1"#, id(4));
    scene.counts("duplicates 1", |scene| {
        scene.say(two, &format!(r#"{back},"seq":1,"time":1,"kind":"CHAT","msg":{line}}}"#));
    });
    scene.node.broadcast("CHAT", &body("hi"), scene.now).unwrap();
    let again = value(&scene.heard(two, "broadcast")[0], "msg");
    assert_ne!(value(&again, "time"), value(&line, "time"));
}

#[test]
fn a_line_too_deep_or_too_long_for_chat_is_said_so() {
    use crate::error::BroadcastError;
    let mut scene = chat();
    able(&mut scene);
    let deep =
        |levels: usize| Payload::from_json("[".repeat(levels) + &"]".repeat(levels)).unwrap();
    let refused = scene.node.broadcast("CHAT", &deep(31), scene.now);
    assert_eq!(refused, Err(BroadcastError::TooDeep { depth: 31, limit: 30 }));
    assert!(scene.node.broadcast("CHAT", &deep(30), scene.now).is_ok());
    scene.counts("chat_dropped 1", |scene| {
        let receipt = scene.node.broadcast("CHAT", &body(&"x".repeat(3000)), scene.now).unwrap();
        assert_eq!(receipt.guests, 0);
    });
}

#[test]
fn a_peer_asks_whom_we_know_and_hears_of_the_others() {
    let every = Limits::default().getaddr_every;
    let ignored = "connections_opened 1, connections_closed 1, guests_ignored 1";
    let mut scene = chat();
    scene.counts(ignored, |scene| tell(scene, 2, ("ADVERTISE", "able"), r#""""#));
    able(&mut scene);
    tell(&mut scene, 3, ("PONG", "baker"), r#"["baker.example", 8]"#);
    scene.told();
    scene.counts(ignored, |scene| tell(scene, 3, ("ADVERTISE", "able"), r#""""#));
    tell(&mut scene, 2, ("ADVERTISE", "able"), r#""""#);
    let told = said(&mut scene);
    let row = r#"["baker",["baker.example",8]]"#;
    assert_eq!(told, [("192.0.2.2:7".into(), "ADVERTISE_REPLY".into(), row.into())]);
    scene.now = scene.now + (every - Duration::from_nanos(1));
    scene.counts(ignored, |scene| tell(scene, 2, ("ADVERTISE", "able"), r#""""#));
    scene.now = scene.now + Duration::from_nanos(1);
    tell(&mut scene, 2, ("ADVERTISE", "able"), r#""""#);
    assert_eq!(said(&mut scene).len(), 1);
    // Where any host is taken, a peer may ask from another.
    let mut scene = Scene::with(Config::builder().guest_hosts(GuestHosts::Any).build().unwrap());
    tell(&mut scene, 2, ("PONG", "able"), r#"["192.0.2.2", 7]"#);
    scene.counts("connections_opened 1, connections_closed 1", |scene| {
        tell(scene, 3, ("ADVERTISE", "able"), r#""""#);
    });
}

#[test]
fn hosts_that_are_none_are_not_listed() {
    for (host, listed) in
        [("h".repeat(64), "h".repeat(64)), ("h".repeat(65), "?".into()), ("a b".into(), "?".into())]
    {
        let mut scene = chat();
        able(&mut scene);
        tell(&mut scene, 3, ("PONG", "baker"), &format!(r#"["{host}", 8]"#));
        tell(&mut scene, 2, ("ADVERTISE", "able"), r#""""#);
        assert_eq!(said(&mut scene)[0].2, format!(r#"["baker",["{listed}",8]]"#));
    }
}

#[test]
fn whom_a_known_peer_names_is_called() {
    let ignored = "connections_opened 1, connections_closed 1, guests_ignored 1";
    let mut scene = chat();
    let reply = |who: &str, host: &str, port: u16| format!(r#"["{who}", ["{host}", {port}]]"#);
    let kind = ("ADVERTISE_REPLY", "able");
    scene.counts(ignored, |scene| tell(scene, 2, kind, &reply("carol", "192.0.2.6", 7)));
    able(&mut scene);
    let own = scene.node.chat_id().to_string();
    for (who, host, port) in [
        (&*own, "192.0.2.6", 7),
        ("carol", "nowhere", 7),
        ("carol", "192.0.2.1", 5),
        ("carol", "192.0.2.2", 7),
        ("carol", "0.0.0.0", 7),
    ] {
        scene.counts(ignored, |scene| tell(scene, 2, kind, &reply(who, host, port)));
    }
    scene.counts(ignored, |scene| tell(scene, 3, kind, &reply("carol", "192.0.2.6", 7)));
    for (host, port) in [("192.0.2.6", 7), ("192.0.2.1", 6)] {
        tell(&mut scene, 2, kind, &reply("carol", host, port));
        let told = said(&mut scene);
        assert_eq!((&*told[0].0, &*told[0].1), (&*format!("{host}:{port}"), "PING"));
    }
    // Not so many at once that others could have us call the world.
    for number in 0..14 {
        scene.counts("connections_opened 2, connections_closed 1", |scene| {
            tell(scene, 2, kind, &reply("carol", "192.0.2.7", 100 + number));
        });
    }
    scene.counts(ignored, |scene| tell(scene, 2, kind, &reply("carol", "192.0.2.7", 99)));
}

#[test]
fn calls_to_a_peer_are_few_and_the_next_begins_when_one_ends() {
    let mut scene = chat();
    able(&mut scene);
    let to = "able".into();
    let post = |scene: &mut Scene| scene.node.post_object(&to, Some("{}"));
    scene.counts("connections_opened 4", |scene| {
        assert!((0..4 + GUESTS_WAITING).all(|_| post(scene)));
    });
    scene.counts("chat_dropped 1", |scene| assert!(!post(scene)));
    let first = calls(&mut scene);
    assert_eq!(first.len(), 4);
    assert_eq!(take(&mut scene, first[0].0), "{}");
    assert_eq!(calls(&mut scene).len(), 1);
    scene.node.closed(first[1].0, TransportError::Reset, scene.now);
    assert_eq!(calls(&mut scene).len(), 1);
    // Three that fail in a row are enough, and all calls end.
    scene.told();
    for (conn, _) in &first[2..] {
        scene.node.closed(*conn, TransportError::Reset, scene.now);
    }
    assert!(scene.told().contains(&"left able 192.0.2.2:7".to_string()));
    assert!(scene.node.links.iter().all(|(conn, _)| !scene.node.calls_guest(conn)));
    assert!(!post(&mut scene));
}

#[test]
fn we_join_a_chat_peer_by_a_ping_if_we_listen() {
    for (listens, expected) in [(true, ""), (false, "connections_closed 1, chat_dropped 1")] {
        let mut scene = if listens { chat() } else { Scene::new() };
        scene.counts("connections_opened 1", |scene| {
            scene.node.join(addr(2), Dialect::Chat, scene.now).unwrap();
        });
        let (conn, _) = calls(&mut scene)[0];
        let expected = if listens { "connections_closed 1" } else { expected };
        scene.counts(expected, |scene| assert_eq!(take(scene, conn).is_empty(), !listens));
        assert!(scene.told().is_empty());
    }
}

#[test]
fn a_call_that_nobody_takes_ends_in_its_time() {
    let mut scene = chat();
    scene.node.join(addr(2), Dialect::Chat, scene.now).unwrap();
    scene.run_for(Limits::default().dial_timeout - Duration::from_nanos(1));
    assert!(scene.told().is_empty());
    scene.run_for(Duration::from_nanos(1));
    assert_eq!(scene.told(), ["failed: the dial was not answered in time"]);
    // One that is taken and not read ends as well.
    scene.node.join(addr(2), Dialect::Chat, scene.now).unwrap();
    let (conn, _) = calls(&mut scene)[0];
    scene.node.connected(conn, scene.now);
    scene.run_for(Limits::default().flush_timeout);
    assert!(!scene.node.is_open(conn));
}

#[test]
fn a_chat_peer_is_asked_and_forgotten_by_name() {
    let mut scene = chat();
    able(&mut scene);
    assert!(scene.node.ask_for_peers(&PeerId::Guest("able".into()), scene.now));
    assert_eq!(said(&mut scene)[0].1, "ADVERTISE");
    assert!(scene.node.forget(&PeerId::Guest("able".into()), scene.now));
    assert_eq!(scene.told(), ["left able 192.0.2.2:7"]);
    assert!(!scene.node.ask_for_peers(&PeerId::Guest("able".into()), scene.now));
}

#[test]
fn a_chat_peer_too_many_drives_out_the_one_heard_least_lately() {
    let mut scene = Scene::limited(|limits| limits.guests = 2);
    for (host, name) in [(2, "able"), (3, "baker")] {
        scene.now = scene.now + SECOND;
        tell(&mut scene, host, ("PONG", name), r#"["h", 7]"#);
    }
    scene.now = scene.now + SECOND;
    tell(&mut scene, 2, ("TEST", "able"), "1");
    scene.told();
    tell(&mut scene, 4, ("PONG", "carol"), r#"["h", 7]"#);
    assert_eq!(scene.told(), ["left baker 192.0.2.3:7", "joined carol 192.0.2.4:7"]);
}

#[test]
fn a_line_of_a_chat_peer_is_judged_before_it_crosses() {
    for verdict in [Verdict::Accept, Verdict::Ignore, Verdict::Reject] {
        let config = Config::builder().validate("CHAT").build().unwrap();
        let mut scene = Scene::with(config);
        for (host, name) in [(2, "able"), (3, "baker")] {
            tell(&mut scene, host, ("PONG", name), r#"["h", 7]"#);
        }
        let two = scene.meet(4);
        scene.heard(two, "");
        scene.events();
        calls(&mut scene);
        tell(&mut scene, 2, ("BROADCAST", "able"), r#""hi""#);
        assert!(calls(&mut scene).is_empty() && scene.heard(two, "").is_empty());
        let object = r#"{"msg_type":"BROADCAST","msg":"hi","originator":"able","time":"t"}"#;
        let body = r#"{"originator":"able","msg":"hi","time":"t"}"#;
        assert_eq!(scene.node.verdicts.bytes(), object.len() + body.len());
        let token = scene.events().into_iter().find_map(|event| {
            let Event::Message(message) = event else { return None };
            message.token()
        });
        let counted = match verdict {
            Verdict::Accept => "connections_opened 1",
            Verdict::Ignore => "ignored 1",
            Verdict::Reject => "rejected 1",
        };
        scene.counts(counted, |scene| {
            assert!(scene.node.verdict(token.unwrap(), verdict, scene.now));
        });
        let accepted = usize::from(verdict == Verdict::Accept);
        assert_eq!(calls(&mut scene).len(), accepted);
        assert_eq!(scene.heard(two, "broadcast").len(), accepted);
        let told = scene.told();
        let rejected = ["rejected able able"];
        assert_eq!(told, &rejected[..usize::from(verdict == Verdict::Reject)]);
    }
}
