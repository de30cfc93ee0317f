//! Messages and requests beyond neighbours, on virtual time: the way there and back, what happens
//! when it breaks, and that every request ends once.

use std::collections::BTreeMap;
use std::time::Duration;

use peerline_proto::{
    Config, Event, Limits, NakCode, Payload, PeerId, Reply, ReplyError, ReplyTo, RequestError,
    RequestFailure, RequestId, SendError,
};
use peerline_testkit::net::{Cut, HostId, Net, Stranger};

mod breaking;
mod strangers;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(9);
const STRANGER: &str = "11111111-1111-4111-8111-111111111111";
const NOWHERE: &str = "99999999-9999-4999-8999-999999999999";

/// A node that dials nobody on its own account.
fn quiet(change: impl FnOnce(&mut Limits)) -> Config {
    let mut limits = Limits::default();
    limits.full_mesh = 0;
    limits.target_outbound = 0;
    change(&mut limits);
    Config::builder().limits(limits).build().unwrap()
}

/// Hosts, and connections between these pairs of them.
fn network(net: &mut Net, count: usize, pairs: &[(usize, usize)]) -> Vec<HostId> {
    let hosts: Vec<HostId> = (0..count).map(|_| net.add_with(quiet(|_| {}))).collect();
    for (a, b) in pairs {
        net.dial(hosts[*a], hosts[*b]);
    }
    net.run_for(SECOND);
    hosts
}

fn line(net: &mut Net, count: usize) -> Vec<HostId> {
    let pairs: Vec<(usize, usize)> = (1..count).map(|end| (end - 1, end)).collect();
    network(net, count, &pairs)
}

fn body(text: &str) -> Payload {
    Payload::encode(text).unwrap()
}

fn ask(net: &mut Net, from: HostId, to: HostId) -> Result<RequestId, RequestError> {
    let to = net.id(to);
    ask_for(net, from, &to, PATIENCE)
}

fn ask_for(
    net: &mut Net,
    from: HostId,
    to: &PeerId,
    deadline: Duration,
) -> Result<RequestId, RequestError> {
    net.with(from, |node, now| node.request(to, "ASK", &body("?"), deadline, now))
}

fn word_of(reply: &Reply) -> String {
    let last = if reply.is_last() { " last" } else { "" };
    format!("{} {}{last}", reply.n(), reply.body())
}

/// What came of the requests of a host: a word for each reply and each end, by request.
#[derive(Clone, Debug, Default)]
struct Book(BTreeMap<RequestId, Vec<String>>);

impl Book {
    /// Notes what happened at a host; the requests that came in are returned.
    fn note(&mut self, net: &mut Net, host: HostId) -> Vec<ReplyTo> {
        let mut asked = Vec::new();
        for event in net.drain_events(host) {
            match event {
                Event::Request(request) => asked.push(request.reply_to()),
                Event::Reply(reply) => {
                    self.0.entry(reply.request()).or_default().push(word_of(&reply));
                }
                Event::RequestFailed { request, reason } => {
                    self.0.entry(request).or_default().push(format!("failed: {reason}"));
                }
                _ => {}
            }
        }
        asked
    }

    fn of(&self, id: RequestId) -> Vec<&str> {
        self.0.get(&id).map_or(Vec::new(), |words| words.iter().map(String::as_str).collect())
    }

    /// How often a request ended.
    fn ends(&self, id: RequestId) -> usize {
        let is_end = |word: &&&str| word.ends_with(" last") || word.starts_with("failed");
        self.of(id).iter().filter(is_end).count()
    }
}

fn reply(net: &mut Net, host: HostId, to: ReplyTo, text: &str, last: bool) {
    net.with(host, |node, now| node.reply(to, "ANSWER", &body(text), last, now)).unwrap();
}

/// Lets time pass, and each host that is up answer each request once.
fn serve(net: &mut Net, book: &mut Book, time: Duration) {
    let end = net.now() + time;
    while net.now() < end {
        net.run_for(Duration::from_millis(100));
        for host in 0..net.hosts() {
            for asked in book.note(net, host) {
                // Too late, if the node was restarted or the asker has gone.
                let _answer =
                    net.with(host, |node, now| node.reply(asked, "A", &body("!"), true, now));
            }
        }
    }
}

/// A stranger that is a neighbour of the host.
fn neighbour(net: &mut Net, host: HostId) -> Stranger {
    let stranger = net.intrude(host, "192.0.2.1:40000".parse().unwrap());
    let hello = format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{STRANGER}\",\"version\":1}}\n");
    net.say(stranger, hello);
    net.run_for(SECOND);
    stranger
}

fn stranger_id() -> PeerId {
    PeerId::Node(STRANGER.parse().unwrap())
}

/// What stands after a key in the latest line of this type that a stranger heard.
fn heard(net: &Net, stranger: Stranger, msgtype: &str, key: &str) -> Option<String> {
    let all = net.heard(stranger);
    let wanted = format!("{{\"msgtype\":\"{msgtype}\"");
    let line = all.lines().rfind(|line| line.starts_with(&wanted))?;
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    value.get(key).map(|value| value.to_string().trim_matches('"').to_owned())
}

#[test]
fn a_request_finds_the_end_of_a_line_and_its_replies_come_back_in_order() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        let hosts = line(&mut net, 5);
        let (asker, answerer) = (hosts[0], hosts[4]);
        let id = ask(&mut net, asker, answerer).unwrap();
        net.run_for(3 * SECOND);
        let mut book = Book::default();
        let asked = book.note(&mut net, answerer);
        assert_eq!(asked.len(), 1, "seed {seed}");
        for (text, last) in [("a", false), ("b", false), ("c", true)] {
            reply(&mut net, answerer, asked[0], text, last);
        }
        net.run_for(SECOND);
        book.note(&mut net, asker);
        assert_eq!(book.of(id), ["0 \"a\"", "1 \"b\"", "2 \"c\" last"], "seed {seed}");
        let (to, text) = (asked[0], body("again"));
        let again = net.with(answerer, |node, now| node.reply(to, "A", &text, true, now));
        assert_eq!(again, Err(ReplyError::Gone), "answered already");
    }
}

#[test]
fn in_transit_only_ttl_and_deadline_change() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 4);
    let _learns_the_way = ask(&mut net, hosts[0], hosts[3]).unwrap();
    serve(&mut net, &mut Book::default(), 3 * SECOND);
    net.start_trace();
    let _asked = ask(&mut net, hosts[0], hosts[3]).unwrap();
    net.run_for(SECOND);
    let trace = net.trace().to_owned();
    let lines = trace.lines().filter_map(|line| line.split_once("> ")).map(|(_, line)| line);
    let lines: Vec<&str> = lines.filter(|line| line.contains("\"request\"")).collect();
    assert_eq!(lines.len(), 3, "{trace}");
    for (step, line) in lines.iter().enumerate() {
        let (ttl, left) = (32 - step, 9_000 - step);
        let as_first = line
            .replace(&format!("\"ttl\":{ttl},"), "\"ttl\":32,")
            .replace(&format!("\"deadline\":{left},"), "\"deadline\":9000,");
        assert_eq!(as_first, lines[0], "step {step}");
    }
}

#[test]
fn a_message_is_delivered_once_beyond_neighbours_and_no_way_is_told() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 5);
    let to = net.id(hosts[4]);
    for _ in 0..3 {
        net.with(hosts[0], |node, now| node.send(&to, "NOTE", &body("x"), now)).unwrap();
    }
    net.run_for(3 * SECOND);
    assert_eq!(net.received(hosts[4]).len(), 3);
    let nowhere = PeerId::Node(NOWHERE.parse().unwrap());
    net.with(hosts[0], |node, now| node.send(&nowhere, "NOTE", &body("x"), now)).unwrap();
    net.run_for(5 * SECOND);
    let own = net.id(hosts[0]);
    let told = net.events(hosts[0]).iter().any(|event| {
        matches!(event, Event::PeerError { peer, code, .. }
            if *peer == own && &**code == "no_route")
    });
    assert!(told, "{:?}", net.events(hosts[0]));
}

#[test]
fn a_message_that_a_relay_cannot_pass_on_is_told_to_its_sender() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 4);
    let to = net.id(hosts[3]);
    net.with(hosts[0], |node, now| node.send(&to, "NOTE", &body("x"), now)).unwrap();
    net.run_for(3 * SECOND);
    assert_eq!(net.received(hosts[3]).len(), 1);
    net.kill(hosts[3]);
    net.run_for(SECOND);
    net.with(hosts[0], |node, now| node.send(&to, "NOTE", &body("x"), now)).unwrap();
    net.run_for(SECOND);
    let next = net.id(hosts[1]);
    let told = net.events(hosts[0]).iter().any(|event| {
        matches!(event, Event::PeerError { peer, code, .. }
            if *peer == next && &**code == "no_route")
    });
    assert!(told, "{:?}", net.events(hosts[0]));
}

#[test]
fn a_circle_of_routers_ends_in_no_route() {
    let mut net = Net::new(3);
    let hosts = network(&mut net, 3, &[(0, 1), (1, 2), (2, 0)]);
    for (host, next) in [(0, 1), (1, 2), (2, 0)] {
        let next = net.id(hosts[next]);
        net.with(hosts[host], |node, _| node.set_router(move |_| Some(next.clone())));
    }
    let nowhere = PeerId::Node(NOWHERE.parse().unwrap());
    let id = ask_for(&mut net, hosts[0], &nowhere, PATIENCE).unwrap();
    net.with(hosts[0], |node, now| node.send(&nowhere, "NOTE", &body("x"), now)).unwrap();
    net.run_for(PATIENCE);
    let mut book = Book::default();
    book.note(&mut net, hosts[0]);
    assert_eq!(book.of(id), ["failed: no route"]);
    let relayed: u64 = hosts.iter().map(|host| net.node(*host).stats().relayed).sum();
    assert!(relayed < 30, "{relayed} lines passed on");
}

#[test]
fn a_router_leads_where_nothing_was_heard() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 3);
    let via = net.id(hosts[1]);
    net.with(hosts[0], |node, _| node.set_router(move |_| Some(via.clone())));
    net.start_trace();
    let id = ask(&mut net, hosts[0], hosts[2]).unwrap();
    let mut book = Book::default();
    serve(&mut net, &mut book, SECOND);
    assert_eq!(book.of(id), ["0 \"!\" last"]);
    assert!(!net.trace().contains("\"find\""), "nothing had to be sought");
}

/// A diamond: the first and the last have two ways to each other.
fn diamond(net: &mut Net) -> Vec<HostId> {
    network(net, 4, &[(0, 1), (1, 3), (0, 2), (2, 3)])
}

#[test]
fn a_silent_hop_is_gone_around_and_the_answerer_is_asked_once() {
    for seed in 0..10 {
        let mut net = Net::new(seed);
        let hosts = diamond(&mut net);
        let first = ask(&mut net, hosts[0], hosts[3]).unwrap();
        let mut book = Book::default();
        serve(&mut net, &mut book, 2 * SECOND);
        assert_eq!(book.ends(first), 1);
        // Both may have been heard; whichever is taken first sleeps.
        for sleeper in [hosts[1], hosts[2]] {
            net.doze(sleeper);
            let id = ask(&mut net, hosts[0], hosts[3]).unwrap();
            serve(&mut net, &mut book, PATIENCE);
            assert_eq!(book.of(id), ["0 \"!\" last"], "seed {seed}, {sleeper} asleep");
            net.wake(sleeper);
            net.run_for(2 * SECOND);
        }
    }
}

#[test]
fn a_hop_that_dies_is_gone_around_at_once() {
    for seed in 0..10 {
        let mut net = Net::new(seed);
        let hosts = diamond(&mut net);
        let mut book = Book::default();
        let first = ask(&mut net, hosts[0], hosts[3]).unwrap();
        serve(&mut net, &mut book, 2 * SECOND);
        assert_eq!(book.ends(first), 1);
        let id = ask(&mut net, hosts[0], hosts[3]).unwrap();
        // Not answered yet when either way breaks.
        net.run_for(SECOND / 2);
        let asked = book.note(&mut net, hosts[3]);
        assert_eq!(asked.len(), 1);
        net.kill(hosts[1 + (seed % 2) as usize]);
        // The next try by time alone would be due 3 s after the first.
        net.run_for(SECOND);
        reply(&mut net, hosts[3], asked[0], "soon", true);
        net.run_for(SECOND);
        book.note(&mut net, hosts[0]);
        assert_eq!(book.of(id), ["0 \"soon\" last"], "seed {seed}");
        assert!(book.note(&mut net, hosts[3]).is_empty(), "asked twice, seed {seed}");
    }
}

#[test]
fn a_neighbour_that_falls_silent_is_gone_around() {
    let mut net = Net::new(3);
    let hosts = network(&mut net, 3, &[(0, 1), (0, 2), (1, 2)]);
    let relay = net.id(hosts[1]);
    net.with(hosts[0], |node, _| node.set_router(move |_| Some(relay.clone())));
    net.partition(&[hosts[2]], &[hosts[0]], false);
    let to = net.id(hosts[2]);
    let id = ask_for(&mut net, hosts[0], &to, 12 * SECOND).unwrap();
    let mut book = Book::default();
    // Asked at once, pinged after 4 s, suspect 3 s later.
    serve(&mut net, &mut book, 10 * SECOND);
    assert_eq!(book.of(id), ["0 \"!\" last"]);
}

#[test]
fn a_slow_answerer_is_not_asked_again_elsewhere() {
    let mut net = Net::new(3);
    let hosts = network(&mut net, 3, &[(0, 1), (0, 2), (1, 2)]);
    let relay = net.id(hosts[1]);
    net.with(hosts[0], |node, _| node.set_router(move |_| Some(relay.clone())));
    net.start_trace();
    let id = ask(&mut net, hosts[0], hosts[2]).unwrap();
    net.run_for(8 * SECOND);
    assert_eq!(net.trace().matches("\"request\"").count(), 1, "{}", net.trace());
    let mut book = Book::default();
    serve(&mut net, &mut book, SECOND / 2);
    assert_eq!(book.of(id), ["0 \"!\" last"]);
}

#[test]
fn after_a_refusal_the_next_message_goes_another_way() {
    for torn in [1, 2] {
        let mut net = Net::new(3);
        let hosts = diamond(&mut net);
        let to = net.id(hosts[3]);
        let first = ask(&mut net, hosts[0], hosts[3]).unwrap();
        let mut book = Book::default();
        serve(&mut net, &mut book, 2 * SECOND);
        assert_eq!(book.ends(first), 1);
        let far = net.id(hosts[torn]);
        net.with(hosts[3], |node, now| node.disconnect(&far, now));
        net.run_for(SECOND);
        for _ in 0..4 {
            net.with(hosts[0], |node, now| node.send(&to, "NOTE", &body("x"), now)).unwrap();
            net.run_for(2 * SECOND);
        }
        let (got, told) = (net.received(hosts[3]).len(), net.events(hosts[0]));
        let refused = |event: &&Event| matches!(event, Event::PeerError { .. });
        let refused = told.iter().filter(refused).count();
        assert!(refused <= 1 && got + refused == 4, "{got} arrived, {refused} refused");
    }
}

#[test]
fn a_suspect_hop_is_the_last_choice() {
    let mut net = Net::new(3);
    let hosts = network(&mut net, 3, &[(0, 1), (0, 2), (1, 2)]);
    let relay = net.id(hosts[1]);
    net.with(hosts[0], |node, _| node.set_router(move |_| Some(relay.clone())));
    // The straight way falls silent, and is suspect 8 s and 5 s later at most.
    net.partition(&[hosts[2]], &[hosts[0]], false);
    net.run_for(14 * SECOND);
    let info = net.node(hosts[0]).peer(&net.id(hosts[2]));
    assert!(info.is_some_and(|info| info.suspect));
    let id = ask(&mut net, hosts[0], hosts[2]).unwrap();
    let mut book = Book::default();
    serve(&mut net, &mut book, SECOND);
    assert_eq!(book.of(id), ["0 \"!\" last"]);
}

#[test]
fn each_no_is_told_with_its_word_and_its_place() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 3);
    for code in [NakCode::Refused, NakCode::NoHandler, NakCode::Busy, NakCode::TooLarge] {
        let id = ask(&mut net, hosts[0], hosts[2]).unwrap();
        net.run_for(2 * SECOND);
        let asked = Book::default().note(&mut net, hosts[2]);
        net.with(hosts[2], |node, now| node.refuse(asked[0], code, now)).unwrap();
        let again = net.with(hosts[2], |node, now| node.refuse(asked[0], code, now));
        assert_eq!(again, Err(ReplyError::Gone));
        net.run_for(SECOND);
        let failed = net.drain_events(hosts[0]).into_iter().find_map(|event| match event {
            Event::RequestFailed { request, reason } => Some((request, reason)),
            _ => None, // Event may grow; this asks for one kind alone
        });
        let reason = RequestFailure::Nak { code, at: Some(net.id(hosts[2])) };
        assert_eq!(failed, Some((id, reason)));
    }
}

#[test]
fn an_application_that_is_behind_is_busy() {
    let mut net = Net::new(3);
    net.cut(Cut::Whole);
    let asker = net.add_with(quiet(|_| {}));
    let behind = net.add_with(quiet(|limits| limits.event_queue = 4096));
    net.dial(asker, behind);
    net.run_for(SECOND);
    net.drain(behind, false);
    let (to, text) = (net.id(behind), body(&"x".repeat(1_000)));
    net.with(asker, |node, now| {
        for _ in 0..12 {
            node.request(&to, "K", &text, PATIENCE, now).unwrap();
        }
    });
    net.run_for(SECOND);
    let mut book = Book::default();
    book.note(&mut net, asker);
    let busy = book.0.values().filter(|words| words[..] == ["failed: busy"]).count();
    assert!((6..=10).contains(&busy) && book.0.len() == busy, "{book:?}");
    net.drain(behind, true);
    serve(&mut net, &mut book, SECOND);
    assert_eq!(book.0.len(), 12, "those that were taken are answered");
}

#[test]
fn what_cannot_be_asked_is_an_error_at_once() {
    let mut net = Net::new(3);
    let config = quiet(|limits| limits.pending_requests = 2);
    let (alone, peer) = (net.add_with(config), net.add());
    let nowhere = PeerId::Node(NOWHERE.parse().unwrap());
    let guest = PeerId::Guest("g".into());
    assert_eq!(ask_for(&mut net, alone, &nowhere, SECOND), Err(RequestError::NoRoute));
    assert_eq!(ask_for(&mut net, alone, &guest, SECOND), Err(RequestError::Unsupported));
    assert_eq!(ask(&mut net, alone, alone), Err(RequestError::Own));
    net.dial(alone, peer);
    net.run_for(SECOND);
    let to = net.id(peer);
    let mut try_with = |kind: &str, text: &str| {
        net.with(alone, |node, now| node.request(&to, kind, &body(text), SECOND, now))
    };
    let long = "k".repeat(129);
    assert_eq!(try_with(&long, ""), Err(RequestError::KindTooLong { len: 129, limit: 128 }));
    let large = try_with("K", &"x".repeat(300_000));
    assert!(matches!(large, Err(RequestError::TooLarge { limit: 262_144, .. })), "{large:?}");
    assert!(try_with("K", "").is_ok() && try_with("K", "").is_ok());
    assert_eq!(
        try_with("K", ""),
        Err(RequestError::Busy { bound: "pending_requests", used: 3, limit: 2 })
    );
    let reply_to_nothing = {
        net.run_for(2 * SECOND);
        let asked = Book::default().note(&mut net, peer);
        let text = body("late");
        net.with(peer, |node, now| node.reply(asked[0], "A", &text, true, now))
    };
    assert_eq!(reply_to_nothing, Err(ReplyError::Gone), "its deadline has passed");
}

#[test]
fn room_on_the_way_is_told_for_the_node_that_was_named() {
    for parted in [false, true] {
        let mut net = Net::new(3);
        let hosts = line(&mut net, 3);
        let via = net.id(hosts[1]);
        net.with(hosts[0], |node, _| node.set_router(move |_| Some(via.clone())));
        net.read(hosts[1], false);
        let (to, text) = (net.id(hosts[2]), body(&"x".repeat(100_000)));
        let full = (0..30)
            .find_map(|_| net.with(hosts[0], |node, now| node.send(&to, "K", &text, now)).err());
        assert!(matches!(full, Some(SendError::Full { .. })), "{full:?}");
        if parted {
            let via = net.id(hosts[1]);
            net.with(hosts[0], |node, now| node.disconnect(&via, now));
        } else {
            net.read(hosts[1], true);
        }
        net.run_for(SECOND);
        let told = |event: &&Event| matches!(event, Event::Writable { peer } if *peer == to);
        assert_eq!(net.events(hosts[0]).iter().filter(told).count(), 1, "parted: {parted}");
    }
}

#[test]
fn a_full_queue_is_said_and_room_is_told() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 2);
    net.read(hosts[1], false);
    let (to, text) = (net.id(hosts[1]), body(&"x".repeat(100_000)));
    let full = (0..30).find_map(|_| {
        let asked = net.with(hosts[0], |node, now| node.request(&to, "K", &text, PATIENCE, now));
        asked.err()
    });
    assert!(matches!(full, Some(RequestError::Full { limit: 1_048_576, .. })), "{full:?}");
    net.read(hosts[1], true);
    net.run_for(SECOND);
    let told = |event: &Event| matches!(event, Event::Writable { peer } if *peer == to);
    assert!(net.events(hosts[0]).iter().any(told));
}

#[test]
fn a_known_address_is_dialled_when_nobody_knows_a_way() {
    let mut net = Net::new(3);
    let hosts = network(&mut net, 3, &[(0, 1)]);
    net.dial(hosts[0], hosts[2]);
    net.run_for(SECOND);
    let far = net.id(hosts[2]);
    net.tear_pipe(net.pipes()[0]);
    net.run_for(SECOND);
    net.dial(hosts[1], hosts[0]);
    net.run_for(SECOND);
    let told = net.node(hosts[1]).addresses().any(|addr| addr == net.addr(hosts[2]));
    assert!(told && !net.are_peers(hosts[1], hosts[2]));
    net.kill(hosts[0]);
    net.run_for(SECOND);
    let id = ask_for(&mut net, hosts[1], &far, PATIENCE).unwrap();
    net.with(hosts[1], |node, now| node.send(&far, "NOTE", &body("x"), now)).unwrap();
    let mut book = Book::default();
    net.run_for(SECOND);
    assert!(net.are_peers(hosts[1], hosts[2]));
    assert_eq!(net.received(hosts[2]).len(), 1);
    serve(&mut net, &mut book, SECOND);
    assert_eq!(book.of(id), ["0 \"!\" last"]);
}

#[test]
fn a_shutdown_ends_every_request() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 2);
    let nowhere = PeerId::Node(NOWHERE.parse().unwrap());
    let ids = [
        ask(&mut net, hosts[0], hosts[1]).unwrap(),
        ask_for(&mut net, hosts[0], &nowhere, PATIENCE).unwrap(),
    ];
    net.with(hosts[0], |node, now| node.send(&nowhere, "K", &body(""), now)).unwrap();
    net.with(hosts[0], |node, now| node.shutdown(SECOND, now));
    let mut book = Book::default();
    net.run_for(20 * SECOND);
    book.note(&mut net, hosts[0]);
    for id in ids {
        assert_eq!(book.of(id), ["failed: the node is shutting down"]);
    }
    assert_eq!((net.node(hosts[0]).buffered(), net.node(hosts[0]).poll_timeout()), (0, None));
    assert_eq!(ask(&mut net, hosts[0], hosts[1]), Err(RequestError::Stopping));
}

/// The first half of the ids in the first request of a trace.
fn epoch_of(trace: &str) -> String {
    let (_, id) = trace.split_once("\"request\",\"id\":\"").unwrap();
    id.split_once('.').unwrap().0.to_owned()
}

#[test]
fn nobody_makes_a_node_answer_for_another() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 2);
    let stranger = neighbour(&mut net, hosts[0]);
    net.start_trace();
    let nowhere = PeerId::Node(NOWHERE.parse().unwrap());
    let ids = [
        ask(&mut net, hosts[0], hosts[1]).unwrap(),
        ask_for(&mut net, hosts[0], &nowhere, PATIENCE).unwrap(),
    ];
    let (own, other) = (net.node(hosts[0]).id(), net.node(hosts[1]).id());
    let re = heard(&net, stranger, "find", "id");
    let epoch = re.map(|re| re.split_once('.').unwrap().0.to_owned());
    let epoch = epoch.unwrap_or_else(|| epoch_of(net.trace()));
    for number in 1..=3 {
        let re = format!("{epoch}.{number}");
        for line in [
            format!("{{\"msgtype\":\"nak\",\"re\":\"{re}\",\"code\":\"refused\"}}\n"),
            format!(
                "{{\"msgtype\":\"reply\",\"re\":\"{re}\",\"n\":0,\"from\":\"{STRANGER}\",\
                 \"to\":\"{own}\",\"kind\":\"K\",\"last\":true,\"msg\":1}}\n"
            ),
            format!(
                "{{\"msgtype\":\"reply\",\"re\":\"{re}\",\"n\":0,\"from\":\"{NOWHERE}\",\
                 \"to\":\"{other}\",\"kind\":\"K\",\"msg\":1}}\n"
            ),
        ] {
            net.say(stranger, line);
        }
    }
    let mut book = Book::default();
    serve(&mut net, &mut book, SECOND);
    assert_eq!(book.of(ids[0]), ["0 \"!\" last"]);
    assert!(book.of(ids[1]).is_empty(), "who does not have it cannot refuse it");
    assert_eq!(net.node(hosts[0]).peer_count(), 2, "none of it is a violation");
}

#[test]
fn the_name_of_a_request_has_one_spelling() {
    let mut net = Net::new(3);
    let hosts = line(&mut net, 1);
    let stranger = neighbour(&mut net, hosts[0]);
    let id = ask_for(&mut net, hosts[0], &stranger_id(), PATIENCE).unwrap();
    net.run_for(SECOND);
    let (own, name) = (net.node(hosts[0]).id(), heard(&net, stranger, "request", "id").unwrap());
    let (epoch, number) = name.split_once('.').unwrap();
    let answer = |re: &str| {
        format!(
            "{{\"msgtype\":\"reply\",\"re\":\"{re}\",\"n\":0,\"from\":\"{STRANGER}\",\
             \"to\":\"{own}\",\"kind\":\"K\",\"last\":true,\"msg\":\"{re}\"}}\n"
        )
    };
    for other in ["+", "0", "00", "+0"] {
        net.say(stranger, answer(&format!("{epoch}.{other}{number}")));
        net.say(stranger, answer(&format!("{other}{name}")));
    }
    let mut book = Book::default();
    serve(&mut net, &mut book, SECOND);
    assert!(book.of(id).is_empty(), "{:?}", book.of(id));
    net.say(stranger, answer(&name));
    serve(&mut net, &mut book, SECOND);
    assert_eq!(book.of(id), [format!("0 \"{name}\" last")]);
}
