//! Routes by keyspace: who is tried after whom, what is given back, and that broadcasts are left
//! alone. The last tests are networks; larger ones are printed by `--example route`.

use std::time::Duration;

use peerline_proto::{Config, Event, Keyspace, Limits, Payload, PeerId, RequestFailure};
use peerline_testkit::net::{HostId, Net, Stranger};
use peerline_testkit::quality::routes::{broadcasts, kill, links, network, write};

const SECOND: Duration = Duration::from_secs(1);
/// The nearest to [`TARGET`], the next, and the furthest.
const NEAR: &str = "10000000-0000-4000-8000-000000000000";
const NEXT: &str = "20000000-0000-4000-8000-000000000000";
const FAR: &str = "40000000-0000-4000-8000-000000000000";
const TARGET: &str = "11000000-0000-4000-8000-000000000000";

/// A node that dials nobody on its own account, and three neighbours played by the test.
struct Scene {
    net: Net,
    host: HostId,
    near: Stranger,
    next: Stranger,
    far: Stranger,
}

fn scene(keyspace: Keyspace, caps: &str) -> Scene {
    let mut limits = Limits::default();
    limits.full_mesh = 0;
    limits.target_outbound = 0;
    let config = Config::builder().limits(limits).keyspace(keyspace).build().unwrap();
    let mut net = Net::new(1);
    let host = net.add_with(config);
    let [near, next, far] = [NEAR, NEXT, FAR].map(|id| neighbour(&mut net, host, id, caps));
    net.run_for(SECOND);
    Scene { net, host, near, next, far }
}

fn neighbour(net: &mut Net, host: HostId, id: &str, caps: &str) -> Stranger {
    let addr = format!("192.0.2.{}:40000", &id[..2]).parse().unwrap();
    let stranger = net.intrude(host, addr);
    let hello = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1{caps}}}\n");
    net.say(stranger, hello);
    stranger
}

const ROUTE: &str = ",\"caps\":[\"route/1\"]";

impl Scene {
    /// A line of the furthest neighbour for a node that is not there.
    fn line(&mut self, msgtype: &str, ttl: u64) {
        let more = if msgtype == "request" { ",\"deadline\":20000" } else { "" };
        self.say(
            self.far,
            &format!(
                "{{\"msgtype\":\"{msgtype}\",\"id\":\"a.1\",\"from\":\"{FAR}\",\"to\":\"{TARGET}\",\
                 \"kind\":\"K\",\"time\":1,\"ttl\":{ttl}{more},\"msg\":1}}"
            ),
        );
    }

    fn say(&mut self, stranger: Stranger, line: &str) {
        self.net.say(stranger, format!("{line}\n"));
        self.net.run_for(Duration::from_millis(200));
    }

    /// What a neighbour heard of this type, each as its line.
    fn heard(&self, stranger: Stranger, msgtype: &str) -> Vec<String> {
        let wanted = format!("{{\"msgtype\":\"{msgtype}\"");
        let all = self.net.heard(stranger);
        all.lines().filter(|line| line.starts_with(&wanted)).map(str::to_owned).collect()
    }

    /// Answers the latest ping that a neighbour heard.
    fn pong(&mut self, stranger: Stranger) {
        let ping = self.heard(stranger, "ping").pop().unwrap();
        self.say(stranger, &ping.replace("ping", "pong"));
    }

    fn counts(&self, msgtype: &str) -> [usize; 3] {
        [self.near, self.next, self.far].map(|stranger| self.heard(stranger, msgtype).len())
    }
}

fn number(line: &str, key: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(line).unwrap().get(key)?.as_u64()
}

#[test]
fn a_refused_line_goes_to_the_next_with_what_is_left_and_back_with_the_rest() {
    let mut scene = scene(Keyspace::On, ROUTE);
    scene.line("message", 10);
    assert_eq!(scene.counts("message"), [1, 0, 0]);
    assert_eq!(number(&scene.heard(scene.near, "message")[0], "ttl"), Some(9));
    scene.say(scene.near, "{\"msgtype\":\"error\",\"re\":\"a.1\",\"code\":\"no_route\",\"ttl\":5}");
    assert_eq!(number(&scene.heard(scene.next, "message")[0], "ttl"), Some(4));
    scene.say(scene.next, "{\"msgtype\":\"error\",\"re\":\"a.1\",\"code\":\"busy\",\"ttl\":99}");
    let told = scene.heard(scene.far, "error");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("\"code\":\"no_route\""));
    assert_eq!(number(&told[0], "ttl"), Some(4), "nobody gives back more than he had");
}

#[test]
fn a_line_that_came_already_is_given_back_whole() {
    let mut scene = scene(Keyspace::On, ROUTE);
    scene.line("request", 10);
    scene.line("request", 7);
    let told = scene.heard(scene.far, "nak");
    assert_eq!((told.len(), number(&told[0], "ttl")), (1, Some(7)));
    assert_eq!(scene.counts("request"), [1, 0, 0]);
}

#[test]
fn who_does_not_answer_the_ping_behind_a_line_is_passed_by() {
    let mut scene = scene(Keyspace::On, ROUTE);
    scene.line("request", 10);
    assert_eq!(scene.counts("request"), [1, 0, 0]);
    scene.net.run_for(SECOND / 2);
    assert_eq!(scene.counts("request"), [1, 1, 0]);
    scene.pong(scene.next);
    scene.net.run_for(SECOND * 2);
    assert!(scene.heard(scene.far, "nak").is_empty(), "the next one took it");
    // The first was only slow, and its answer finds back.
    scene.say(
        scene.near,
        &format!(
            "{{\"msgtype\":\"reply\",\"re\":\"a.1\",\"n\":0,\"from\":\"{TARGET}\",\"to\":\"{FAR}\",\
             \"kind\":\"K\",\"last\":true,\"msg\":2}}"
        ),
    );
    assert_eq!(scene.heard(scene.far, "reply").len(), 1);
}

#[test]
fn who_answers_the_ping_has_the_line() {
    let mut scene = scene(Keyspace::On, ROUTE);
    scene.line("request", 10);
    scene.pong(scene.near);
    scene.net.run_for(SECOND * 5);
    assert_eq!(scene.counts("request"), [1, 0, 0]);
    assert!(scene.heard(scene.far, "nak").is_empty());
}

#[test]
fn a_refusal_of_the_node_itself_is_the_last_word() {
    let mut scene = scene(Keyspace::On, ROUTE);
    scene.line("request", 10);
    scene.say(
        scene.near,
        &format!("{{\"msgtype\":\"nak\",\"re\":\"a.1\",\"at\":\"{TARGET}\",\"code\":\"busy\"}}"),
    );
    assert_eq!(scene.counts("request"), [1, 0, 0]);
    assert_eq!(scene.heard(scene.far, "nak").len(), 1);
}

#[test]
fn a_message_of_ours_begins_anew_once_and_is_then_lost() {
    let mut scene = scene(Keyspace::On, ROUTE);
    let (to, body) = (PeerId::Node(TARGET.parse().unwrap()), Payload::encode(&1).unwrap());
    scene.net.with(scene.host, |node, now| node.send(&to, "K", &body, now)).unwrap();
    scene.net.run_for(SECOND / 5);
    let sent = scene.heard(scene.near, "message").pop().unwrap();
    assert_eq!((number(&sent, "ttl"), number(&sent, "try")), (Some(32), None));
    let id = sent.split('"').nth(7).unwrap().to_owned();
    let no = format!("{{\"msgtype\":\"error\",\"re\":\"{id}\",\"code\":\"no_route\",\"ttl\":1}}");
    scene.say(scene.near, &no);
    let again = scene.heard(scene.next, "message").pop().unwrap();
    assert_eq!((number(&again, "ttl"), number(&again, "try")), (Some(31), Some(1)));
    scene.say(scene.next, &no);
    assert_eq!(scene.counts("message"), [1, 1, 0]);
    let lost = |event: &Event| matches!(event, Event::PeerError { re, .. } if **re == *id);
    assert_eq!(scene.net.drain_events(scene.host).iter().filter(|event| lost(event)).count(), 1);
}

#[test]
fn a_request_of_ours_goes_on_and_ends_once() {
    let mut scene = scene(Keyspace::On, ROUTE);
    let (to, body) = (PeerId::Node(TARGET.parse().unwrap()), Payload::encode(&1).unwrap());
    let time = SECOND * 20;
    let asked = scene.net.with(scene.host, |node, now| node.request(&to, "K", &body, time, now));
    let asked = asked.unwrap();
    scene.net.run_for(SECOND * 6);
    assert_eq!(scene.counts("request"), [1, 1, 1], "each in its turn, for none answers");
    scene.net.run_for(time);
    let ends = scene.net.drain_events(scene.host).into_iter().filter_map(|event| match event {
        Event::RequestFailed { request, reason } if request == asked => Some(reason),
        _ => None,
    });
    let ends: Vec<RequestFailure> = ends.collect();
    assert_eq!(ends.len(), 1, "{ends:?}");
}

#[test]
fn only_those_who_say_that_they_route_by_keyspace_get_such_lines() {
    for (keyspace, caps) in [(Keyspace::On, ""), (Keyspace::Off, ROUTE)] {
        let mut scene = scene(keyspace, caps);
        scene.line("request", 10);
        assert_eq!(scene.counts("request"), [0, 0, 0], "{keyspace:?}");
        let told = scene.heard(scene.far, "nak");
        assert_eq!((told.len(), number(&told[0], "ttl")), (1, None), "{keyspace:?}");
        let says = scene.heard(scene.near, "hello")[0].contains("\"caps\":[\"route/1\"]");
        assert_eq!(says, keyspace == Keyspace::On);
    }
}

#[test]
fn a_link_for_routes_alone_carries_no_broadcast_if_both_know_of_it() {
    let caps = ",\"caps\":[\"route/1\",\"id-link/1\"]";
    for (keyspace, heard) in [(Keyspace::On, [0; 3]), (Keyspace::Off, [1; 3])] {
        let mut scene = scene(keyspace, caps);
        let body = Payload::encode(&1).unwrap();
        let sent = scene.net.with(scene.host, |node, now| node.broadcast("K", &body, now));
        assert_eq!(sent.unwrap().queued, heard[0] * 3);
        scene.net.run_for(SECOND);
        assert_eq!(scene.counts("broadcast"), heard);
        assert_eq!(scene.counts("ihave"), [0; 3]);
    }
}

#[test]
fn the_nearest_are_told_first_to_who_routes_by_keyspace() {
    let told = |caps: &str| {
        let mut scene = scene(Keyspace::On, caps);
        let near = (1..17).map(|host| (&NEAR[..8], host));
        for (first, host) in near.chain((17..49).map(|host| ("80000000", host))) {
            let addr = format!("198.51.100.{host}:40000").parse().unwrap();
            let other = scene.net.intrude(scene.host, addr);
            let id = format!("{first}-0000-4000-8000-0000000000{host:02}");
            let hello = format!("\"nodeid\":\"{id}\",\"version\":1,\"listen\":40000");
            scene.net.say(other, format!("{{\"msgtype\":\"hello\",{hello}}}\n"));
        }
        scene.net.run_for(SECOND * 12);
        scene.say(scene.near, "{\"msgtype\":\"getaddr\",\"max\":17}");
        let all = scene.heard(scene.near, "addr").pop().unwrap();
        all.matches(&NEAR[..24]).count()
    };
    assert_eq!(told(ROUTE), 16, "and one of the other bucket");
    assert!(told("") < 12, "others are told anybody");
}

#[test]
fn half_of_a_network_is_silently_dead_and_every_line_arrives() {
    for seed in 1..3 {
        let mut net = network(Keyspace::On, 60, seed, SECOND * 10);
        kill(&mut net, 50);
        let arrivals = write(&mut net, 60);
        assert_eq!((arrivals.arrived, arrivals.twice), (arrivals.sent, 0), "{seed}: {arrivals}");
        assert_eq!(arrivals.answered, arrivals.asked, "{seed}: {arrivals}");
        assert!(arrivals.hops <= 4.0 && arrivals.passed <= 8.0, "{seed}: {arrivals}");
    }
}

#[test]
fn broadcasts_cost_the_same_with_and_without_links_for_routes() {
    let [off, on] = [Keyspace::Off, Keyspace::On].map(|keyspace| {
        let mut net = network(keyspace, 60, 1, SECOND * 10);
        (broadcasts(&mut net, 15), links(&mut net).degree)
    });
    assert!(on.1 > off.1 + 2.0, "{} links, and {} with those for routes", off.1, on.1);
    assert_eq!((off.0.missed, on.0.missed), (0, 0));
    assert!(on.0.rmr <= off.0.rmr + 0.05, "{} {}", off.0, on.0);
    assert!(on.0.control <= off.0.control * 1.1, "{} {}", off.0, on.0);
}
