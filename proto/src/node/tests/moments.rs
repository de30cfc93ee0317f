//! What inputs and time do: deadlines to the nanosecond, dials, and who gives way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::*;
use crate::config::Listen;
use crate::overlay::Targets;
use crate::session::Reception;

const INSTANT: Duration = Duration::from_nanos(1);

fn boot(number: usize) -> SocketAddr {
    format!("10.{}.{}.1:5", number / 250, number % 250).parse().unwrap()
}

/// Fills the queue of events past its bound.
fn overfill(scene: &mut Scene) {
    while !scene.node.events.is_over() {
        scene.node.message_lost("x".into());
    }
}

// ---- inputs ----

#[test]
fn nothing_is_accepted_while_it_stops_or_the_application_is_behind() {
    let mut scene = Scene::new();
    scene.counts("connections_opened 1", |scene| {
        scene.node.accepted(addr(2), scene.now).unwrap();
    });
    overfill(&mut scene);
    scene.counts("", |scene| {
        let refused = scene.node.accepted(addr(3), scene.now);
        assert!(matches!(refused, Err(Refused::Busy { queued, limit: 1_048_576 })
            if queued > 1_048_576));
    });
    scene.events();
    assert!(scene.node.accepted(addr(3), scene.now).is_ok());
    scene.node.shutdown(SECOND, scene.now);
    assert_eq!(scene.node.accepted(addr(4), scene.now), Err(Refused::Stopping));
}

#[test]
fn bytes_are_counted_as_they_come_and_go() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let before = scene.node.stats();
    scene.say(two, r#"{"msgtype":"ping"}"#);
    scene.say(two, "");
    let after = scene.node.stats();
    assert_eq!(after.bytes_in - before.bytes_in, 20);
    assert_eq!((after.lines_in - before.lines_in, after.lines_out - before.lines_out), (1, 1));
    assert_eq!(scene.heard(two, "pong").len(), 1);
    assert_eq!(scene.node.stats().bytes_out - before.bytes_out, 19);
    assert_eq!(scene.node.stats().lines_in, after.lines_in, "an empty line is none");
}

#[test]
fn lines_are_judged_by_the_phase_of_their_connection() {
    let hello = format!(r#"{{"msgtype":"hello","nodeid":"{}","version":1}}"#, id(2));
    for (line, expected, told) in [
        (r#"{"msgtype":"what"}"#, "unknown_types 1", ""),
        (r#"{"msgtype":"pong","x":1,"y":2}"#, "unknown_fields 2", ""),
        (&hello, "connections_closed 1, violations 1", "down 2: hello was said twice"),
        ("{}", "connections_closed 1, violations 1", "down 2: no msgtype at byte 0"),
        ("\u{7f}", "connections_closed 1, violations 1", "down 2: "),
    ] {
        let mut scene = Scene::new();
        let two = scene.meet(2);
        scene.told();
        scene.counts(expected, |scene| scene.say(two, line));
        let all = scene.told().join(" ");
        assert!(all.starts_with(told.split(':').next().unwrap()), "{all}");
        assert_eq!(all.is_empty(), told.is_empty());
        assert_eq!(scene.node.is_open(two), told.is_empty(), "{line}");
    }
    let mut scene = Scene::new();
    let conn = scene.node.accepted(addr(2), scene.now).unwrap();
    scene.counts("connections_closed 1, violations 1", |scene| {
        scene.say(conn, r#"{"msgtype":"ping"}"#);
    });
    let old = scene.meet_old(3, "old");
    scene.counts("unknown_types 1", |scene| scene.say(old, r#"{"msgtype":"prune"}"#));
    use crate::session::{PhaseName, reception};
    use crate::wire::msg::MsgKind;
    assert_eq!(reception(PhaseName::Closing, MsgKind::Hello), Reception::Discard);
}

#[test]
fn a_line_may_be_as_long_as_the_limit_says() {
    let limit = Limits::default().max_line;
    for (len, closed) in [(limit, ""), (limit + 1, "connections_closed 1, violations 1")] {
        let mut scene = Scene::new();
        let two = scene.meet(2);
        let start = r#"{"msgtype":"what","x":""#;
        let line = format!("{start}{}\"}}", "x".repeat(len - start.len() - 2));
        let expected = if closed.is_empty() { "unknown_types 1, unknown_fields 1" } else { closed };
        scene.counts(expected, |scene| scene.say(two, &line));
    }
}

#[test]
fn time_never_runs_backwards() {
    let mut scene = Scene::new();
    scene.now = scene.now + SECOND * 5;
    let conn = scene.node.accepted(addr(2), scene.now).unwrap();
    scene.now = scene.now.earlier(SECOND * 3);
    scene.node.handle_timeout(scene.now);
    let conn3 = scene.node.accepted(addr(3), scene.now).unwrap();
    assert!(scene.node.is_open(conn) && scene.node.is_open(conn3));
    let timeout = Limits::default().handshake_timeout;
    assert_eq!(scene.node.poll_timeout(), Some(Instant::ZERO + SECOND * 6 + timeout));
}

#[test]
fn messages_carry_the_time_of_the_clock_after_it_jumped() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let time = |scene: &mut Scene| {
        scene.node.send(&PeerId::Node(id(2)), "K", &body("m"), scene.now).unwrap();
        value(&scene.heard(two, "message")[0], "time")
    };
    scene.now = scene.now + SECOND;
    assert_eq!(time(&mut scene), "1000");
    scene.node.wall_clock(UnixTime::from_millis(50_000), scene.now);
    assert_eq!(time(&mut scene), "50000");
    scene.now = scene.now + SECOND;
    assert_eq!(time(&mut scene), "51000");
}

#[test]
fn an_application_that_is_behind_is_not_read_for_until_it_has_half_caught_up() {
    let mut scene = Scene::limited(|limits| limits.event_queue = 4096);
    let two = scene.meet(2);
    scene.events();
    scene.ordered();
    let (mut said, mut most) = (0_u64, 0);
    while scene.node.wants_read(two) {
        assert!(!scene.node.events.is_over());
        said += 1;
        let more = format!(r#""id":"a.{said}","time":1,"ttl":1,"kind":"K","msg":1"#);
        scene.pass(two, "message", (2, 1), &more);
        most = scene.node.events.charged();
    }
    assert!(most > 4096 && scene.node.events.is_over());
    assert_eq!(scene.ordered(), [Action::PauseReading { conn: two }]);
    while scene.node.events.charged() > 2048 {
        assert!(!scene.node.wants_read(two));
        assert!(scene.node.poll_event().is_some());
    }
    assert!(scene.node.wants_read(two));
    assert_eq!(scene.ordered(), [Action::ResumeReading { conn: two }]);
    let _one_more = scene.node.poll_event();
    assert!(scene.ordered().is_empty());
}

#[test]
fn hello_is_said_when_a_dial_is_answered_and_once() {
    let mut scene = Scene::new();
    let conn = scene.node.dial(addr(2), scene.now).unwrap();
    assert!(scene.heard(conn, "").is_empty());
    scene.now = scene.now + SECOND;
    scene.node.connected(conn, scene.now);
    scene.node.connected(conn, scene.now);
    assert_eq!(scene.heard(conn, "hello").len(), 1);
    let at = scene.now + Limits::default().handshake_timeout;
    scene.run_for(at.earlier(INSTANT).saturating_since(scene.now));
    assert!(scene.told().is_empty());
    scene.run_for(INSTANT);
    assert_eq!(scene.told(), ["failed: no hello in time"]);
    let accepted = scene.node.accepted(addr(3), scene.now).unwrap();
    scene.node.connected(accepted, scene.now);
    assert!(scene.heard(accepted, "").is_empty(), "it was no dial");
}

// ---- deadlines ----

#[test]
fn a_dial_and_a_hello_have_their_time() {
    let limits = Limits::default();
    let mut scene = Scene::new();
    let (dial, start) = (scene.node.dial(addr(2), scene.now).unwrap(), scene.now);
    let greeted = scene.node.accepted(addr(3), scene.now).unwrap();
    assert_eq!(limits.dial_timeout, limits.handshake_timeout);
    for (ago, open) in [(INSTANT, true), (Duration::ZERO, false)] {
        let at = (start + limits.dial_timeout).earlier(ago);
        scene.node.handle_timeout(at);
        assert_eq!([dial, greeted].map(|conn| scene.node.is_open(conn)), [open; 2]);
    }
    assert_eq!(
        scene.told(),
        ["failed: the dial was not answered in time", "failed: no hello in time",]
    );
}

#[test]
fn a_peer_is_pinged_suspected_and_given_up_at_its_times() {
    let limits = Limits::default();
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.told();
    let start = scene.now;
    let mut seen = Vec::new();
    while let Some(at) = scene.node.poll_timeout().filter(|at| *at <= start + SECOND * 20) {
        scene.now = at;
        scene.node.handle_timeout(at);
        let suspect = scene.node.peer(&PeerId::Node(id(2))).map(|info| info.suspect);
        let pings = scene.heard(two, "ping").len();
        if pings > 0 || suspect == Some(true) || suspect.is_none() {
            seen.push((at.saturating_since(start), pings, suspect));
        }
        if suspect.is_none() {
            break;
        }
    }
    let suspected = limits.ping_after + limits.suspect_min;
    assert_eq!(seen[0], (limits.ping_after, 1, Some(false)));
    assert_eq!(seen[1], (suspected, 0, Some(true)));
    assert_eq!(*seen.last().unwrap(), (limits.dead_after, 0, None));
    assert_eq!(scene.told(), ["down 2: nothing received for too long"]);
}

#[test]
fn a_timer_that_is_late_gives_everybody_their_time_anew() {
    let limits = Limits::default();
    for (late, expected) in [(limits.late_timer, 1), (limits.late_timer + INSTANT, 0)] {
        let mut scene = Scene::new();
        let two = scene.meet(2);
        scene.run_for(Duration::ZERO);
        let at = scene.node.poll_timeout().unwrap() + late;
        scene.node.handle_timeout(at);
        assert_eq!(scene.heard(two, "ping").len(), expected, "{late:?}");
    }
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let limits = Limits::default();
    let mut scene = Scene::new();
    let two = scene.meet(2);
    scene.told();
    let start = scene.now;
    scene.say(two, r#"{"msgtype":"ping"}"#);
    for (ago, open) in [(INSTANT, true), (Duration::ZERO, false)] {
        let at = (start + limits.write_stall).earlier(ago);
        scene.run_for(at.saturating_since(scene.now) / 2);
        scene.say(two, "");
        scene.run_for(at.saturating_since(scene.now));
        assert_eq!(scene.node.is_open(two), open);
    }
    assert_eq!(scene.told(), ["down 2: the peer did not read for too long"]);
}

#[test]
fn a_suspect_makes_us_ask_those_who_were_quiet_as_long_as_it_may_be() {
    let limits = Limits::default();
    let mut scene = Scene::new();
    let [two, three, four, five] = [2, 3, 4, 5].map(|number| scene.meet(number));
    let suspected = scene.now + limits.ping_after + limits.suspect_min;
    // Three was quiet for so long and asked nothing, four a moment less; five was asked.
    let (quiet, earlier) = (limits.suspect_min, limits.suspect_min + SECOND);
    for (conn, ago) in [(three, earlier), (four, earlier), (three, quiet), (four, quiet - INSTANT)]
    {
        scene.run_for(suspected.earlier(ago).saturating_since(scene.now));
        scene.say(conn, "");
    }
    for conn in [two, three, four, five] {
        scene.heard(conn, "");
    }
    scene.run_for(suspected.saturating_since(scene.now));
    let asked = [two, three, four, five].map(|conn| scene.heard(conn, "ping").len());
    assert_eq!(asked, [0, 1, 0, 0]);
    let suspects = [2, 3, 4, 5].map(|n| scene.node.peer(&PeerId::Node(id(n))).unwrap().suspect);
    assert_eq!(suspects, [true, false, false, true]);
}

// ---- the end ----

#[test]
fn a_shutdown_says_bye_and_drops_what_is_left_in_its_time() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let half = scene.node.accepted(addr(3), scene.now).unwrap();
    scene.told();
    scene.ordered();
    scene.node.shutdown(SECOND * 2, scene.now);
    assert!(scene.node.is_stopping() && !scene.node.is_stopped());
    assert_eq!(scene.told(), ["down 2: closed here", "failed: closed here"]);
    assert_eq!(scene.ordered(), [Action::Send { conn: two }, Action::Drop { conn: half }]);
    assert!(!scene.node.outgoing(two).is_empty());
    let end = scene.now + SECOND * 2;
    assert_eq!(scene.node.poll_timeout(), Some(end));
    scene.node.handle_timeout(end.earlier(INSTANT));
    assert!(scene.node.is_open(two));
    scene.counts("lost_at_close 1", |scene| scene.node.handle_timeout(end));
    assert!(scene.node.is_stopped());
    assert_eq!(scene.ordered(), [Action::Drop { conn: two }]);
    assert_eq!(scene.node.poll_timeout(), None);
}

#[test]
fn a_second_shutdown_only_shortens_the_time() {
    for (second, expected) in [(1, 1), (3, 2)] {
        let mut scene = Scene::new();
        scene.meet(2);
        let two = scene.node.peers.conn(&PeerId::Node(id(2))).unwrap();
        scene.say(two, r#"{"msgtype":"ping"}"#);
        scene.node.shutdown(SECOND * 2, scene.now);
        scene.node.shutdown(SECOND * second, scene.now);
        assert_eq!(scene.node.poll_timeout(), Some(scene.now + SECOND * expected));
        scene.run_for(SECOND * expected);
        assert!(scene.node.is_stopped());
    }
}

// ---- dials ----

#[test]
fn a_storm_of_changes_is_one_thought() {
    let mut scene = Scene::new();
    scene.node.add_bootstrap(boot(1), scene.now);
    assert_eq!(scene.node.poll_timeout(), Some(scene.now));
    scene.node.handle_timeout(scene.now);
    assert_eq!(scene.dialled(), [boot(1)]);
    scene.node.add_bootstrap(boot(2), scene.now);
    let at = scene.now + Duration::from_millis(100);
    scene.node.handle_timeout(at.earlier(INSTANT));
    assert!(scene.dialled().is_empty());
    assert_eq!(scene.node.poll_timeout(), Some(at));
    scene.node.handle_timeout(at);
    assert_eq!(scene.dialled(), [boot(2)]);
}

#[test]
fn nothing_is_dialled_while_the_application_is_behind() {
    let mut scene = Scene::new();
    scene.node.add_bootstrap(boot(1), scene.now);
    overfill(&mut scene);
    scene.node.handle_timeout(scene.now);
    assert!(scene.dialled().is_empty());
    assert_eq!(scene.node.poll_timeout(), Some(scene.now + Limits::default().backoff_base));
    scene.events();
    scene.run_for(Limits::default().backoff_base);
    assert_eq!(scene.dialled(), [boot(1)]);
}

#[test]
fn dials_in_a_hurry_are_short_while_more_are_known_than_are_dialled() {
    let limits = Limits::default();
    for (known, within) in [(8, limits.dial_timeout), (9, limits.dial_timeout / 4)] {
        let mut scene = Scene::new();
        (0..known).for_each(|number| scene.node.add_bootstrap(boot(number), scene.now));
        scene.node.handle_timeout(scene.now);
        assert_eq!(scene.dialled().len(), 8);
        let until = scene.node.links.iter().filter_map(|(_, link)| {
            let Phase::Dialing { until, .. } = &link.phase else { return None };
            Some(until.saturating_since(scene.now))
        });
        let until: Vec<Duration> = until.collect();
        assert_eq!(until, [within; 8], "{known}");
    }
}

#[test]
fn with_enough_peers_that_answer_there_is_no_hurry() {
    let limits = Limits::default();
    for (peers, within) in [(1, limits.dial_timeout / 4), (2, limits.dial_timeout)] {
        let mut scene = Scene::limited(|limits| limits.target_outbound = 2);
        (2..2 + peers).for_each(|number| _ = scene.meet(number));
        (0..20).for_each(|number| scene.node.add_bootstrap(boot(number), scene.now));
        scene.node.handle_timeout(scene.now);
        assert_eq!(scene.dialled().len(), 2);
        let failed = |scene: &mut Scene| {
            let told = scene.told().into_iter();
            told.filter(|told| told == "failed: the dial was not answered in time").count()
        };
        scene.run_for(within - INSTANT);
        assert_eq!(failed(&mut scene), 0, "{peers}");
        scene.run_for(INSTANT);
        assert_eq!(failed(&mut scene), 2, "{peers}");
    }
}

#[test]
fn dials_that_meet_nobody_are_followed_by_more() {
    let mut scene = Scene::new();
    (0..100).for_each(|number| scene.node.add_bootstrap(boot(number), scene.now));
    scene.node.handle_timeout(scene.now);
    assert_eq!(scene.dialled().len(), 8);
    scene.run_for(Limits::default().dial_timeout / 4);
    for dials in [8, 16, 24, 32, 32] {
        assert_eq!(scene.node.dials_under_way(), dials);
        scene.node.plan_soon();
        scene.run_for(Duration::from_millis(100));
    }
    // Those beyond the usual number are marked, for not all may be needed.
    let dials: Vec<ConnId> = scene.node.links.iter().map(|(conn, _)| conn).collect();
    let extra = dials.iter().filter(|conn| scene.node.overlay.was_extra(**conn)).count();
    assert_eq!(extra, 32);
}

#[test]
fn the_targets_are_those_of_the_limits() {
    let config = |peers| Config::builder().max_peers(peers).build().unwrap();
    for (peers, expected) in [(0, usize::MAX), (5, 5)] {
        let Targets { full_mesh, outbound, max_dialing, spare, max_peers } =
            Scene::with(config(peers)).node.targets();
        assert_eq!((full_mesh, outbound, max_dialing, spare), (12, 8, 8, 0));
        assert_eq!(max_peers, expected);
    }
}

#[test]
fn what_is_around_is_counted_each_by_its_kind() {
    let mut scene = Scene::new();
    scene.meet(2);
    scene.dial(3);
    let dials = [4, 5].map(|number| scene.node.dial(addr(number), scene.now).unwrap());
    scene.node.connected(dials[1], scene.now);
    scene.node.accepted(addr(6), scene.now).unwrap();
    let feeler = scene.node.open_dial(addr(7));
    scene.node.overlay.probing(feeler, Probe::Feeler);
    scene.node.join(addr(8), Dialect::Chat, scene.now).unwrap();
    scene.node.join(addr(9), Dialect::Btpeer, scene.now).unwrap();
    let listens = scene.node.accepted(addr(10), scene.now).unwrap();
    scene.hello(listens, &id(8).to_string(), r#","version":1,"listen":7"#);
    let gone = scene.dial(9);
    scene.node.disconnect(&PeerId::Node(id(9)), scene.now);
    assert!(scene.node.is_open(gone));
    let around = scene.node.surroundings();
    let addrs: Vec<String> = around.addrs.iter().map(ToString::to_string).collect();
    let here = [3, 4, 5, 7].map(|number| addr(number).to_string());
    assert_eq!(addrs[..4], here);
    assert_eq!(addrs[4..], ["192.0.2.10:7"]);
    assert_eq!((around.outbound, around.dialing, around.suspect), (3, 3, 0));
    let peers: Vec<String> = around.peers.iter().map(who).collect();
    assert_eq!(peers, ["2", "3", "8"]);
    assert_eq!(around.groups.len(), 1);
}

#[test]
fn of_half_open_connections_the_most_crowded_group_gives_way() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let crowd = ["20.1.0.1:1", "20.2.0.1:1", "20.2.0.2:1", "20.2.0.3:1", "20.1.0.2:1"];
    let mut scene = Scene::limited(|limits| limits.half_open = 5);
    let conns = crowd.map(|text| {
        scene.now = scene.now + Duration::from_millis(1);
        scene.node.accepted(at(text), scene.now).unwrap()
    });
    scene.say(conns[1], "{\"msgtype\":");
    scene.node.received(conns[1], b"{\"m", scene.now);
    scene.node.received(conns[2], b"{", scene.now);
    let gone = |scene: &mut Scene| {
        scene.now = scene.now + Duration::from_millis(1);
        scene.node.accepted(at("30.1.0.1:1"), scene.now).unwrap();
        conns.map(|conn| u8::from(scene.node.is_open(conn)))
    };
    // The line above was no hello, so one of five was gone before.
    assert_eq!(conns.map(|conn| u8::from(scene.node.is_open(conn))), [1, 0, 1, 1, 1]);
    assert_eq!(gone(&mut scene), [1, 0, 1, 1, 1], "there was room");
    // Of two groups of two the one whose best has sent least and is oldest.
    assert_eq!(gone(&mut scene), [0, 0, 1, 1, 1]);
    assert_eq!(gone(&mut scene), [0, 0, 1, 0, 1]);
}

#[test]
fn our_own_listeners_are_never_dialled() {
    let mut scene = Scene::new();
    scene.node.listening(boot(1), scene.now);
    scene.node.add_bootstrap(boot(1), scene.now);
    assert_eq!(scene.node.poll_timeout().filter(|at| *at <= scene.now), None);
    assert_eq!(scene.node.listen_addrs(), [boot(1)]);
    assert_eq!(scene.node.listens_for(addr(2)), Some(Listen::Port(5)));
}

#[test]
fn a_control_line_that_does_not_fit_is_dropped_and_counted() {
    let mut scene = Scene::new();
    let two = scene.meet(2);
    let line = format!("{}\n", "x".repeat(1023));
    let limits = Limits::default();
    for _ in 0..(limits.send_queue + limits.control_reserve) / line.len() {
        scene.node.control(two, Frame::new(&line));
    }
    scene.counts("skipped 2", |scene| {
        scene.node.control(two, Frame::new(&line));
        scene.node.control(two, Frame::new(&line));
    });
    assert!(scene.node.is_open(two));
}
