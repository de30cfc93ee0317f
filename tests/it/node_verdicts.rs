//! Broadcasts that the application judges before they are passed on: at once, later, too late.

use std::time::Duration;

use peerline_proto::{Config, ConfigBuilder, Event, Limits, PeerId, Verdict, VerdictToken};
use peerline_testkit::entropy::{Entropy, seeds};
use peerline_testkit::net::{HostId, Net, Stranger};
use peerline_testkit::originals::World;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const STRANGERS: [&str; 2] =
    ["11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"];

/// Settings of a node that dials nobody on its own account.
fn alone() -> ConfigBuilder {
    let mut limits = Limits::default();
    (limits.full_mesh, limits.target_outbound) = (0, 0);
    Config::builder().limits(limits)
}

/// A line of three nodes, of which the middle one judges.
fn line_of_three(middle: ConfigBuilder) -> (Net, [HostId; 3]) {
    let mut net = Net::new(7);
    let first = net.add_with(alone().build().unwrap());
    let middle = net.add_with(middle.build().unwrap());
    let last = net.add_with(alone().build().unwrap());
    net.dial(middle, first);
    net.dial(middle, last);
    net.run_for(SECOND);
    (net, [first, middle, last])
}

/// What waits for a verdict of a node, in the order in which it came.
fn tokens(net: &Net, host: HostId) -> Vec<VerdictToken> {
    let messages = net.events(host).iter().filter_map(|event| match event {
        Event::Message(message) => message.token(),
        _ => None,
    });
    messages.collect()
}

fn judge(net: &mut Net, host: HostId, token: VerdictToken, verdict: Verdict) -> bool {
    net.with(host, |node, now| node.verdict(token, verdict, now))
}

/// Two strangers at a node that judges `K`.
fn two_strangers(config: ConfigBuilder) -> (Net, HostId, [Stranger; 2]) {
    let mut net = Net::new(5);
    let host = net.add_with(config.validate("K").build().unwrap());
    let met = [0, 1].map(|number| {
        let addr = ([192, 0, 2, 10 + u8::try_from(number).unwrap()], 40_000).into();
        let stranger = net.intrude(host, addr);
        let id = STRANGERS[number];
        say(
            &mut net,
            stranger,
            &format!("{{\"msgtype\":\"hello\",\"nodeid\":\"{id}\",\"version\":1}}"),
        );
        stranger
    });
    (net, host, met)
}

fn say(net: &mut Net, stranger: Stranger, line: &str) {
    net.say(stranger, format!("{line}\n"));
    net.run_for(SECOND / 2);
}

fn broadcast(seq: u64) -> String {
    format!(
        "{{\"msgtype\":\"broadcast\",\"originator\":\"{}\",\"epoch\":1,\"seq\":{seq},\"time\":0,\
         \"kind\":\"K\",\"msg\":{seq}}}",
        STRANGERS[0]
    )
}

/// How often a text stands in what a stranger heard.
fn heard(net: &Net, stranger: Stranger, text: &str) -> usize {
    net.heard(stranger).matches(text).count()
}

#[test]
fn a_broadcast_goes_on_when_it_is_accepted_and_not_before() {
    let (mut net, [first, middle, last]) = line_of_three(alone().validate("NEWS"));
    net.start_trace();
    net.broadcast(first, "NEWS", "judged");
    net.broadcast(first, "OTHER", "not judged");
    net.run_for(5 * SECOND);
    assert_eq!(net.received(middle).len(), 2, "it is delivered");
    assert_eq!(net.received(last), [("OTHER".to_owned(), "\"not judged\"".to_owned())]);
    let [token] = tokens(&net, middle)[..] else { panic!("one waits") };
    assert!(judge(&mut net, middle, token, Verdict::Accept));
    assert!(!judge(&mut net, middle, token, Verdict::Reject), "it is judged once");
    net.run_for(SECOND);
    assert_eq!(net.received(last)[1], ("NEWS".to_owned(), "\"judged\"".to_owned()));
    let lines = net
        .trace()
        .lines()
        .filter(|line| line.contains("judged\\\"") || line.contains("\"judged\""));
    let lines: Vec<&str> = lines.filter_map(|line| line.split_once("> ")).map(|it| it.1).collect();
    assert!(lines.len() == 2 && lines[0] == lines[1], "byte for byte: {lines:?}");
    assert_eq!(net.node(middle).stats().rejected, 0);
}

#[test]
fn what_is_ignored_or_rejected_goes_nowhere_and_is_counted() {
    for (verdict, counts) in [(Verdict::Ignore, (1, 0)), (Verdict::Reject, (0, 1))] {
        let (mut net, [first, middle, last]) = line_of_three(alone().validate_all());
        net.broadcast(first, "NEWS", "x");
        net.run_for(SECOND);
        let token = tokens(&net, middle)[0];
        assert!(judge(&mut net, middle, token, verdict));
        // Longer than others look for it and than the node would keep it.
        net.run_for(40 * SECOND);
        assert!(net.received(last).is_empty(), "{verdict:?}");
        let stats = net.node(middle).stats();
        assert_eq!((stats.ignored, stats.rejected, stats.verdicts_late), (counts.0, counts.1, 0));
        let id = net.id(first);
        let told = net.events(middle).iter().filter(|event| match event {
            Event::Rejected { from, via } => *from == id && *via == id,
            _ => false,
        });
        assert_eq!(told.count() as u64, counts.1);
        assert_eq!(net.node(middle).peer(&id).unwrap().rejected, counts.1);
        assert_eq!(net.node(middle).buffered(), 0);
    }
}

#[test]
fn a_verdict_that_does_not_come_in_time_is_an_ignore() {
    let (mut net, [first, middle, last]) = line_of_three(alone().validate("NEWS"));
    net.broadcast(first, "NEWS", "x");
    net.run_for(11 * SECOND);
    let token = tokens(&net, middle)[0];
    assert!(!judge(&mut net, middle, token, Verdict::Accept));
    net.run_for(40 * SECOND);
    assert!(net.received(last).is_empty());
    let stats = net.node(middle).stats();
    assert_eq!((stats.ignored, stats.verdicts_late), (0, 1));
}

#[test]
fn what_waits_is_not_asked_for_and_whoever_asks_hears_that_it_is_gone() {
    let (mut net, host, [first, second]) = two_strangers(Config::builder());
    say(&mut net, first, &broadcast(1));
    let have = format!("{{\"msgtype\":\"ihave\",\"have\":[[\"{}\",1,[[1,1,0]]]]}}", STRANGERS[0]);
    let want = format!(
        "{{\"msgtype\":\"graft\",\"originator\":\"{}\",\"epoch\":1,\"want\":[[1,1]]}}",
        STRANGERS[0]
    );
    say(&mut net, second, &want);
    assert_eq!(heard(&net, second, "\"code\":\"gone\""), 1, "{}", net.heard(second));
    say(&mut net, first, &have);
    net.run_for(5 * SECOND);
    assert_eq!(heard(&net, first, "\"msgtype\":\"graft\""), 0, "it is here");
    assert_eq!(heard(&net, second, "\"msgtype\":\"ihave\""), 0, "it is not told");
    let token = tokens(&net, host)[0];
    assert!(judge(&mut net, host, token, Verdict::Accept));
    net.run_for(SECOND);
    assert_eq!(heard(&net, second, "\"msg\":1}"), 1, "it comes, though it was gone");
    say(&mut net, second, &want);
    assert_eq!(heard(&net, second, "\"msg\":1}"), 2, "and is served");
}

#[test]
fn a_copy_of_what_waits_or_was_rejected_is_a_copy() {
    for verdict in [None, Some(Verdict::Reject), Some(Verdict::Accept)] {
        let (mut net, host, [first, second]) = two_strangers(Config::builder());
        say(&mut net, first, &broadcast(1));
        let token = tokens(&net, host)[0];
        verdict.map(|verdict| judge(&mut net, host, token, verdict));
        say(&mut net, second, &broadcast(1));
        assert_eq!(net.received(host).len(), 1);
        assert_eq!(net.node(host).stats().duplicates, 1);
        assert!(
            heard(&net, second, "\"msgtype\":\"prune\"") > 0,
            "{verdict:?}: it is one too many"
        );
        if verdict.is_none() {
            assert!(judge(&mut net, host, token, Verdict::Accept));
            net.run_for(SECOND);
            assert_eq!(heard(&net, second, "\"msg\":1}"), 0, "who has it is not told");
        }
    }
}

#[test]
fn what_finds_no_room_is_delivered_and_goes_nowhere() {
    let mut limits = Limits::default();
    limits.verdicts = 8;
    let (mut net, host, [first, second]) = two_strangers(Config::builder().limits(limits));
    (1..=4).for_each(|seq| say(&mut net, first, &broadcast(seq)));
    assert_eq!(net.received(host).len(), 4);
    assert_eq!(net.node(host).stats().verdicts_late, 2, "a quarter of eight is two");
    let waiting = tokens(&net, host);
    let verdicts = waiting.into_iter().map(|token| judge(&mut net, host, token, Verdict::Accept));
    assert_eq!(verdicts.collect::<Vec<_>>(), [true, true, false, false]);
    net.run_for(SECOND);
    assert_eq!([1, 2, 3, 4].map(|n| heard(&net, second, &format!("\"msg\":{n}}}"))), [1, 1, 0, 0]);
}

#[test]
fn a_node_that_stops_asks_nobody() {
    let (mut net, [first, middle, _]) = line_of_three(alone().validate("NEWS"));
    net.broadcast(first, "NEWS", "x");
    net.run_for(SECOND);
    let token = tokens(&net, middle)[0];
    net.with(middle, |node, now| node.shutdown(SECOND, now));
    assert!(!judge(&mut net, middle, token, Verdict::Accept));
    net.run_for(2 * SECOND);
    assert_eq!((net.node(middle).poll_timeout(), net.node(middle).buffered()), (None, 0));
}

#[test]
fn a_network_that_judges_everything_in_its_own_time_loses_nothing() {
    for seed in seeds(4) {
        let (mut net, mut entropy) = (Net::new(seed), Entropy::new(seed));
        let mut limits = Limits::default();
        (limits.full_mesh, limits.target_outbound) = (0, 4);
        let config = Config::builder().limits(limits).validate_all().build().unwrap();
        let hosts: Vec<HostId> = (0..16).map(|_| net.add_with(config.clone())).collect();
        for host in &hosts[1..] {
            net.bootstrap(*host, hosts[0]);
        }
        net.run_for(30 * SECOND);
        let mut sent = 0;
        for step in 0..300 {
            if step < 100 && step % 5 == 0 {
                let from = hosts[usize::try_from(entropy.below(16)).unwrap()];
                net.broadcast(from, "NEWS", &step.to_string());
                sent += 1;
            }
            for host in &hosts {
                judge_some(&mut net, *host, &mut entropy);
            }
            net.run_for(SECOND / 10);
        }
        let got: usize = hosts.iter().map(|host| net.node(*host).stats().delivered as usize).sum();
        assert_eq!(got, sent * 15, "seed {seed}");
        assert!(hosts.iter().all(|host| net.node(*host).stats().verdicts_late == 0));
    }
}

/// Accepts each that waits with a chance of a third.
fn judge_some(net: &mut Net, host: HostId, entropy: &mut Entropy) {
    for token in tokens(net, host) {
        if entropy.chance(33) {
            judge(net, host, token, Verdict::Accept);
        }
    }
}

#[test]
fn a_line_of_chat_crosses_when_it_is_accepted_whichever_way_it_came() {
    for accepted in [true, false] {
        let mut world = World::new(3);
        let config = || alone().validate("CHAT").build().unwrap();
        let hosts = [world.net.add_with(config()), world.net.add_with(config())];
        world.net.dial(hosts[0], hosts[1]);
        for (number, host) in hosts.into_iter().enumerate() {
            let addr = format!("10.9.0.{}:5000", number + 1).parse().unwrap();
            let chat = world.add_chat(&format!("original {number}"), addr);
            let at = world.net.addr(host);
            world.chat_joins(chat, at);
        }
        world.run_for(SECOND);
        world.chat_says(0, &json!("hear me"));
        world.run_for(SECOND);
        let verdict = if accepted { Verdict::Accept } else { Verdict::Reject };
        let mut verdicts = 0;
        for host in hosts {
            for token in tokens(&world.net, host) {
                verdicts += u32::from(judge(&mut world.net, host, token, verdict));
            }
            world.run_for(SECOND);
        }
        assert_eq!(verdicts, if accepted { 2 } else { 1 }, "each node is asked once");
        assert_eq!(world.chat(1).shown.len(), usize::from(accepted));
        let rejected = world.net.events(hosts[0]).iter().any(is_of_first_original);
        assert_eq!(rejected, !accepted);
    }
}

/// Whether a line of the first original was rejected.
fn is_of_first_original(event: &Event) -> bool {
    let first = PeerId::Guest("original 0".into());
    matches!(event, Event::Rejected { from, .. } if *from == first)
}
