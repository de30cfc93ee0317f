//! Broadcasts: what is taken, passed on, announced, asked for, repaired and judged.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::error::BroadcastError;
use crate::verdicts::VerdictToken;

/// A broadcast of node 9.
fn line(seq: u64, kind: &str, text: &str) -> String {
    let start = format!(r#"{{"msgtype":"broadcast","originator":"{}","epoch":1"#, id(9));
    format!(r#"{start},"seq":{seq},"time":1,"kind":"{kind}","msg":{text}}}"#)
}

fn have(ranges: &str) -> String {
    format!(r#"{{"msgtype":"ihave","have":[["{}",1,[{ranges}]]]}}"#, id(9))
}

fn graft(want: &str) -> String {
    format!(r#"{{"msgtype":"graft","originator":"{}","epoch":1,"want":[{want}]}}"#, id(9))
}

const PRUNE_ALL: &str = r#"{"msgtype":"prune"}"#;

/// What waits for a neighbour, what is broadcast by its number, others by their type.
fn short(scene: &mut Scene, conn: ConnId) -> Vec<String> {
    let lines = scene.heard(conn, "");
    let words = lines.iter().map(|line| match value(line, "msgtype").as_str() {
        r#""broadcast""# => value(line, "seq"),
        r#""ihave""# => format!("have {}", value(line, "have").replace(&id(9).to_string(), "9")),
        r#""graft""# => format!("graft {}", value(line, "want")),
        other => other.trim_matches('"').into(),
    });
    words.collect()
}

fn token(scene: &mut Scene) -> VerdictToken {
    let tokens = scene.events().into_iter().filter_map(|event| {
        let Event::Message(message) = event else { return None };
        message.token()
    });
    tokens.last().unwrap()
}

// ---- what is taken ----

#[test]
fn lines_that_come_together_are_taken_as_if_each_came_alone() {
    let burst = |numbers: &[u64]| -> String {
        numbers.iter().map(|seq| line(*seq, "K", &format!("\"b{seq}\"")) + "\n").collect()
    };
    for together in [true, false] {
        let mut scene = Scene::new();
        let [two, three] = [2, 3].map(|number| scene.meet(number));
        scene.told();
        let text = burst(&[1, 2, 2, 3, 5]);
        scene.counts("delivered 4, duplicates 1, forwarded 4", |scene| match together {
            true => scene.node.received(two, text.as_bytes(), scene.now),
            false => text.split_inclusive('\n').for_each(|line| {
                scene.node.received(two, line.as_bytes(), scene.now);
            }),
        });
        let told = scene.told();
        let of = format!(" of {}", who(&PeerId::Node(id(9))));
        assert_eq!(told, [1, 2, 3, 5].map(|seq| format!("K \"b{seq}\"{of}")));
        assert_eq!(scene.node.stats().lines_in, 7);
        let lines = scene.heard(three, "broadcast");
        let sent: Vec<String> = burst(&[1, 2, 3, 5]).lines().map(String::from).collect();
        assert_eq!(lines, sent);
        assert!(scene.heard(two, "broadcast").is_empty());
        let way = scene.node.next_hop(id(9), &[]);
        assert_eq!(way, Some((id(2), two)));
        let info = scene.node.ready_mut(two).unwrap().news;
        assert_eq!((info.count, info.last), (4, Some(scene.now)));
    }
}

#[test]
fn what_is_looked_at_together_is_bounded_and_less_after_other_lines() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let hear = |scene: &mut Scene, text: &str, most: usize| {
        let (mut rest, mut most) = (text.as_bytes(), most);
        scene.node.hear_news(two, &mut rest, &mut most);
        (text.len() - rest.len(), most)
    };
    let one = line(1, "K", "1") + "\n";
    let len = one.len();
    assert_eq!(hear(&mut scene, &one, 2048), (len, 8192));
    let two_lines = line(2, "K", "1") + "\n" + &line(3, "CHAT", "1") + "\n";
    assert_eq!(hear(&mut scene, &two_lines, 8192), (len, 2048));
    assert_eq!(hear(&mut scene, &(line(4, "K", "1") + "\n"), len), (len, 8192));
    assert_eq!(hear(&mut scene, &(line(5, "K", "1") + "\n"), len - 1), (0, len - 1));
    assert_eq!(hear(&mut scene, "{\"msgtype\":\"pong\"}\n", 2048), (0, 2048));
}

#[test]
fn a_broadcast_is_as_long_as_one_may_be_and_no_longer() {
    for (len, expected) in [
        (MAX_BROADCAST_LINE, "delivered 1"),
        (MAX_BROADCAST_LINE + 1, "connections_closed 1, violations 1"),
    ] {
        let mut scene = Scene::limited(|limits| limits.max_line = 2 * MAX_BROADCAST_LINE);
        let two = scene.meet(2);
        let room = len - line(1, "K", "\"\"").len();
        scene.counts(expected, |scene| {
            scene.say(two, &line(1, "K", &format!("\"{}\"", "x".repeat(room))))
        });
    }
}

#[test]
fn who_cannot_be_named_is_not_taken() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    for (from, to, expected) in [
        (r#""epoch":1"#, r#""epoch":4294967296"#, "not_taken 1"),
        (r#""epoch":1"#, r#""epoch":4294967295"#, "delivered 1"),
        (r#""seq":1"#, r#""seq":0"#, "not_taken 1"),
        ("\"09", "\"x9", "not_taken 1"),
    ] {
        let wrong = line(1, "K", "1").replacen(from, to, 1);
        assert_ne!(wrong, line(1, "K", "1"));
        scene.counts(expected, |scene| scene.say(two, &wrong));
    }
}

#[test]
fn broadcasts_under_our_name_are_told_once_for_an_epoch() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.told();
    let ours = |seq: u64, epoch: u32| {
        let line = line(seq, "K", "1").replace(&id(9).to_string(), &id(1).to_string());
        line.replace(r#""epoch":1"#, &format!(r#""epoch":{epoch}"#))
    };
    let epoch = scene.node.broadcasts.epoch();
    scene.counts("not_taken 1", |scene| scene.say(two, &ours(7, epoch)));
    assert_eq!(scene.told(), ["impersonated 2"]);
    assert_ne!(scene.node.broadcasts.epoch(), epoch);
    scene.counts("not_taken 1", |scene| scene.say(two, &ours(8, epoch)));
    assert!(scene.told().is_empty());
}

#[test]
fn what_comes_by_a_connection_that_lost_counts_for_the_one_that_stays() {
    let mut scene = Scene::new();
    let kept = scene.meet(5);
    let loser = scene.dial(5);
    assert_eq!(scene.told(), ["up 5", "failed: a second connection between the same nodes"]);
    scene.counts("delivered 1", |scene| scene.say(loser, &line(1, "K", "1")));
    assert_eq!(scene.node.ready_mut(kept).unwrap().news.count, 1);
    scene.counts("duplicates 1", |scene| scene.say(loser, &line(1, "K", "1")));
    scene.counts("delivered 1", |scene| scene.say(kept, &line(2, "K", "1")));
    assert_eq!(scene.node.ready_mut(kept).unwrap().news.count, 2);
}

// ---- the trees ----

#[test]
fn a_second_copy_prunes_and_what_is_pruned_is_announced() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.say(two, &line(1, "K", "1"));
    scene.heard(three, "");
    scene.counts("duplicates 1, tree_bytes 102", |scene| scene.say(three, &line(1, "K", "1")));
    assert_eq!(short(&mut scene, three), ["prune", "prune"]);
    scene.say(three, PRUNE_ALL);
    scene.say(three, &PRUNE_ALL.replace('}', &format!(r#","originator":"{}","epoch":1}}"#, id(9))));
    scene.counts("delivered 1", |scene| scene.say(two, &line(2, "K", "1")));
    assert!(short(&mut scene, three).is_empty());
    scene.run_for(Duration::from_millis(20) - Duration::from_nanos(1));
    assert!(short(&mut scene, three).is_empty());
    scene.run_for(Duration::from_nanos(1));
    assert_eq!(short(&mut scene, three), [r#"have [["9",1,[[2,2,20]]]]"#]);
    assert!(short(&mut scene, two).is_empty());
}

#[test]
fn names_that_are_none_shape_no_tree() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    for (name, epoch) in [("x".into(), "1"), (id(9).to_string(), "4294967296")] {
        let named = format!(r#","originator":"{name}","epoch":{epoch}"#);
        for msgtype in ["prune", "graft"] {
            let line = format!(r#"{{"msgtype":"{msgtype}"{named}}}"#);
            scene.counts("", |scene| scene.say(three, &line));
        }
        let ihave = format!(r#"{{"msgtype":"ihave","have":[["{name}",{epoch},[[1,1,0]]]]}}"#);
        scene.counts("", |scene| scene.say(three, &ihave));
    }
    scene.run_for(SECOND * 2);
    assert!(short(&mut scene, three).is_empty());
    scene.counts("delivered 1, forwarded 1", |scene| scene.say(two, &line(1, "K", "1")));
    assert_eq!(short(&mut scene, three), ["1"]);
}

#[test]
fn what_is_announced_and_does_not_come_is_asked_for() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.say(two, &have("[1,2,0],[4,4,0],[0,7,0]"));
    assert!(short(&mut scene, two).is_empty());
    scene.say(three, &line(2, "K", "1"));
    scene.heard(two, "");
    scene.run_for(SECOND);
    let asked = short(&mut scene, two);
    assert_eq!(asked[0], "graft [[1,1],[4,4]]", "{asked:?}");
    for seq in [1, 4] {
        scene.counts("delivered 1, forwarded 1", |scene| scene.say(two, &line(seq, "K", "1")));
    }
}

#[test]
fn an_announcement_is_taken_up_to_its_bound() {
    for (ranges, expected) in [
        ("[1,512,0]", "[[1,512]]"),
        ("[1,513,0]", "[[1,512]]"),
        ("[1,510,0],[600,700,0]", "[[1,510],[600,601]]"),
        ("[5,18446744073709551615,0]", "[[5,516]]"),
    ] {
        let mut scene = Scene::new();
        let two = scene.meet(2);
        let have = have(ranges).replace("18446744073709551615", "9007199254740991");
        scene.say(two, &have);
        scene.run_for(SECOND);
        let asked = short(&mut scene, two);
        assert_eq!(asked.first(), Some(&format!("graft {expected}")), "{ranges}");
    }
}

#[test]
fn announcements_have_so_many_ranges_and_no_more() {
    use crate::broadcast::ranges::MOST_RANGES;
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let ranges: Vec<String> =
        (1..=MOST_RANGES + 1).map(|n| format!("[{},{},0]", 2 * n, 2 * n)).collect();
    scene.say(two, &have(&ranges.join(",")));
    scene.run_for(SECOND);
    let asked = short(&mut scene, two).remove(0);
    assert_eq!(asked.matches("],").count() + 1, MOST_RANGES);
    // A graft is read as far.
    for seq in 1..=2 * MOST_RANGES as u64 + 2 {
        scene.say(two, &line(seq, "K", "1"));
    }
    let three = scene.meet(3);
    scene.heard(three, "");
    let ranges: Vec<String> =
        (1..=MOST_RANGES + 1).map(|n| format!("[{},{}]", 2 * n, 2 * n)).collect();
    scene.say(three, &graft(&ranges.join(",")));
    assert_eq!(scene.heard(three, "broadcast").len(), MOST_RANGES);
}

#[test]
fn who_asks_gets_what_is_there_and_hears_what_is_gone() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.say(two, &line(1, "K", "1"));
    scene.say(two, &line(2, "K", "1"));
    scene.heard(three, "");
    scene.say(three, &graft("[1,4]"));
    let said = scene.heard(three, "");
    assert_eq!(said[..2], [line(1, "K", "1"), line(2, "K", "1")]);
    let gone = format!(r#"{{"msgtype":"error","re":"{}/1/3-4","code":"gone"}}"#, id(9));
    assert_eq!(said[2..], [gone]);
    // What waits in its queue is not sent once more.
    scene.say(two, &line(3, "K", &format!("\"{}\"", "x".repeat(200_000))));
    scene.say(two, &line(4, "K", "1"));
    scene.say(three, &graft("[3,4]"));
    let before = scene.node.peer(&PeerId::Node(id(3))).unwrap().queued;
    scene.say(three, &graft("[4,4]"));
    assert_eq!(scene.node.peer(&PeerId::Node(id(3))).unwrap().queued, before);
    assert_eq!(short(&mut scene, three).iter().filter(|seq| *seq == "4").count(), 1);
}

#[test]
fn a_link_that_has_it_no_longer_is_not_asked_again() {
    for (range, again) in [("1-1", false), ("1-5", false), ("2-5", true), ("0-0", true)] {
        let mut scene = Scene::new();
        let two = scene.meet(2);
        scene.told();
        let asks = |scene: &mut Scene| {
            let said = short(scene, two);
            said.iter().filter(|word| *word == "graft [[1,1]]").count()
        };
        scene.say(two, &have("[1,1,0]"));
        while asks(&mut scene) == 0 {
            scene.run_for(Duration::from_millis(1));
        }
        let gone = format!(r#"{{"msgtype":"error","re":"{}/1/{range}","code":"gone"}}"#, id(9));
        scene.counts("", |scene| scene.say(two, &gone));
        scene.run_for(SECOND * 3);
        assert_eq!(asks(&mut scene) > 0, again, "{range}");
        assert!(scene.told().is_empty());
    }
}

#[test]
fn a_full_queue_is_announced_to_instead() {
    let mut scene = Scene::limited(|limits| limits.send_queue = 4096);
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.told();
    let text = body(&"x".repeat(1500));
    let mut pushed = 0;
    let full = loop {
        let receipt = scene.node.broadcast("K", &text, scene.now).unwrap();
        if receipt.queued == 0 {
            break receipt;
        }
        assert_eq!((receipt.queued, receipt.skipped, receipt.announced), (2, 0, 0));
        scene.heard(three, "");
        scene.heard(two, "");
        scene.node.broadcast("K", &text, scene.now).unwrap();
        pushed += 1;
        scene.node.broadcast("K", &text, scene.now).unwrap();
    };
    assert_eq!((full.skipped, full.offered(), pushed), (2, 2, 1));
    let lines = scene.heard(two, "broadcast").len();
    assert_eq!(scene.told(), ["writable 2"]);
    scene.run_for(Duration::from_millis(20));
    let told = scene.heard(two, "ihave");
    assert!(lines > 0 && told.len() == 1 && told[0].contains(",20]"), "{told:?}");
}

#[test]
fn what_gave_way_in_a_queue_is_announced_there() {
    let mut scene = Scene::limited(|limits| limits.send_queue = 512 * 1024);
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    let big = "x".repeat(100_000);
    for seq in 1..=5 {
        scene.say(two, &line(seq, "K", &format!("\"{big}\"")));
    }
    let to = PeerId::Node(id(3));
    scene.counts("skipped 1", |scene| {
        scene.node.send(&to, "K", &body(&big), scene.now).unwrap();
    });
    scene.run_for(Duration::ZERO);
    scene.heard(three, "");
    scene.run_for(Duration::from_millis(20));
    let told = scene.heard(three, "ihave");
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("[[5,5,20]]"), "{told:?}");
}

#[test]
fn a_suspect_is_announced_to_and_pushed_to_again_when_it_is_heard() {
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    let limits = Limits::default();
    scene.run_for(limits.ping_after);
    scene.say(two, "");
    scene.run_for(limits.suspect_min);
    scene.heard(three, "");
    scene.counts("delivered 1", |scene| scene.say(two, &line(1, "K", "1")));
    assert!(scene.heard(three, "broadcast").is_empty());
    scene.say(three, "");
    scene.counts("delivered 1, forwarded 1", |scene| scene.say(two, &line(2, "K", "1")));
    assert_eq!(scene.heard(three, "broadcast").len(), 1);
}

// ---- our own ----

#[test]
fn what_we_publish_reaches_everybody_and_is_bounded() {
    let mut scene = Scene::new();
    assert_eq!(scene.node.broadcast("K", &body("a"), scene.now).unwrap().offered(), 0);
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    let old = scene.meet_old(4, "old");
    for conn in [two, three, old] {
        scene.heard(conn, "");
    }
    let receipt = scene.node.broadcast("K", &body("b"), scene.now).unwrap();
    assert_eq!((receipt.queued, receipt.announced, receipt.skipped, receipt.guests), (2, 0, 0, 0));
    assert_eq!(value(&scene.heard(two, "broadcast")[0], "seq"), "2");
    assert!(scene.heard(old, "").is_empty());
    scene.say(three, PRUNE_ALL);
    scene.say(
        three,
        &format!(
            r#"{{"msgtype":"prune","originator":"{}","epoch":{}}}"#,
            id(1),
            scene.node.broadcasts.epoch()
        ),
    );
    let receipt = scene.node.broadcast("K", &body("c"), scene.now).unwrap();
    assert_eq!((receipt.queued, receipt.announced, receipt.offered()), (1, 1, 2));
    let kind = "k".repeat(129);
    let long = scene.node.broadcast(&kind, &body("d"), scene.now);
    assert_eq!(long, Err(BroadcastError::KindTooLong { len: 129, limit: 128 }));
    assert!(scene.node.broadcast(&kind[1..], &body("d"), scene.now).is_ok());
    let large = scene.node.broadcast("K", &body(&"x".repeat(MAX_BROADCAST_LINE)), scene.now);
    let Err(BroadcastError::TooLarge { len, limit }) = large else { panic!("{large:?}") };
    let fits = "x".repeat(MAX_BROADCAST_LINE - (len - limit));
    let over = scene.node.broadcast("K", &body(&(fits.clone() + "x")), scene.now);
    assert_eq!(over, Err(BroadcastError::TooLarge { len: limit + 1, limit }));
    assert!(scene.node.broadcast("K", &body(&fits), scene.now).is_ok());
    scene.node.shutdown(SECOND, scene.now);
    let stopped = scene.node.broadcast("K", &body("e"), scene.now);
    assert_eq!(stopped, Err(BroadcastError::Stopping));
}

// ---- verdicts ----

fn judge(limits: Limits) -> Scene {
    let config = Config::builder().validate("K").validate("CHAT").limits(limits).build().unwrap();
    Scene::with(config)
}

#[test]
fn what_waits_too_long_for_a_verdict_is_ignored() {
    let within = Limits::default().verdict_within;
    let mut scene = judge(Limits::default());
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.told();
    scene.counts("delivered 1", |scene| scene.say(two, &line(1, "K", "1")));
    let name = token(&mut scene);
    scene.counts("", |scene| scene.run_for(within - Duration::from_nanos(1)));
    scene.counts("verdicts_late 1", |scene| scene.run_for(Duration::from_nanos(1)));
    assert!(!scene.node.verdict(name, Verdict::Accept, scene.now));
    assert!(scene.heard(three, "broadcast").is_empty());
    // A verdict that comes before the timer, and too late.
    scene.say(two, &line(2, "K", "1"));
    let name = token(&mut scene);
    scene.now = scene.now + within;
    scene.counts("verdicts_late 1", |scene| {
        assert!(!scene.node.verdict(name, Verdict::Accept, scene.now));
    });
}

#[test]
fn without_room_for_a_verdict_it_is_too_late_at_once() {
    let limits = Limits { verdicts: 4, ..Limits::default() };
    let mut scene = judge(limits);
    let two = scene.meet(2);
    scene.counts("delivered 1", |scene| scene.say(two, &line(1, "K", "1")));
    scene.counts("delivered 1, verdicts_late 1", |scene| scene.say(two, &line(2, "K", "1")));
    assert_eq!(scene.node.verdicts.bytes(), line(1, "K", "1").len() + 1);
}

#[test]
fn a_node_that_stops_judges_nothing() {
    let mut scene = judge(Limits::default());
    let two = scene.meet(2);
    assert!(scene.node.is_judged("K") && !scene.node.is_judged("L"));
    scene.say(two, &line(1, "K", "1"));
    let name = token(&mut scene);
    scene.node.shutdown(SECOND, scene.now);
    assert!(!scene.node.is_judged("K"));
    scene.counts("", |scene| assert!(!scene.node.verdict(name, Verdict::Accept, scene.now)));
    assert_eq!(scene.node.verdicts.bytes(), 0);
}

#[test]
fn a_line_of_chat_shares_the_verdict_of_its_first_coming() {
    let said = |time: u64| format!(r#"{{"originator":"able","msg":"hi","time":"{time}"}}"#);
    for (verdict, expected) in [
        (Verdict::Accept, "duplicates 1, forwarded 1"),
        (Verdict::Ignore, "duplicates 1"),
        (Verdict::Reject, "duplicates 1"),
    ] {
        let mut scene = judge(Limits::default());
        let [two, three] = [2, 3].map(|number| scene.meet(number));
        scene.counts("delivered 1", |scene| scene.say(two, &line(1, "CHAT", &said(5))));
        let waits = scene.node.verdicts.bytes();
        assert_eq!(waits, line(1, "CHAT", &said(5)).len() + 1 + said(5).len());
        let name = token(&mut scene);
        assert!(scene.node.verdict(name, verdict, scene.now));
        scene.heard(three, "");
        scene.counts(expected, |scene| scene.say(two, &line(2, "CHAT", &said(5))));
        scene.counts("chat_dropped 1", |scene| scene.say(two, &line(3, "CHAT", "1")));
        scene.counts("delivered 1", |scene| scene.say(two, &line(4, "CHAT", &said(6))));
    }
}

#[test]
fn lines_of_chat_are_delivered_once_when_nobody_judges() {
    let said = r#"{"originator":"able","msg":"hi","time":"5"}"#;
    let mut scene = Scene::new();
    let [two, three] = [2, 3].map(|number| scene.meet(number));
    scene.told();
    scene.counts("delivered 1, forwarded 1", |scene| scene.say(two, &line(1, "CHAT", said)));
    scene.counts("duplicates 1, forwarded 1", |scene| scene.say(two, &line(2, "CHAT", said)));
    scene.counts("forwarded 1, chat_dropped 1", |scene| scene.say(two, &line(3, "CHAT", "1")));
    assert_eq!(scene.told().len(), 1);
    assert_eq!(scene.heard(three, "broadcast").len(), 3);
}
