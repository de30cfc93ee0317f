//! The program as people use it: `peerline chat` under a terminal, `demo`, `node` and `simulate`.
//!
//! Each test types on pseudo-terminals and looks at what they show. Nothing here knows the
//! program's code; it is built by cargo and run like any other.

pub(crate) mod piped;
mod program;
mod pty;

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use crate::node_program::{accept, read_frame};
use peerline_testkit::reserved::Reserved;
use peerline_testkit::vectors::frame;
use program::{Chat, run, run_and_close_output};

/// Long enough for a slow machine; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const BOTH: [&str; 2] = ["mio", "smol"];

/// Two chats, on these runtimes, that have found each other.
fn pair(runtimes: [&str; 2]) -> [Chat; 2] {
    let mut ann = Chat::start("ann", runtimes[0], &[]);
    let mut bob = Chat::start("bob", runtimes[1], &["--join", &ann.addr()]);
    ann.screen.wait_for("+ ");
    bob.screen.wait_for("+ ");
    [ann, bob]
}

#[test]
fn chat_on_mio_and_smol_find_each_other_and_talk_both_ways() {
    for runtimes in [["mio", "smol"], ["smol", "mio"]] {
        let [mut ann, mut bob] = pair(runtimes);
        ann.screen.type_line("good morning");
        bob.screen.wait_for(&format!("{}: good morning", ann.id));
        bob.screen.type_line("good evening");
        ann.screen.wait_for(&format!("{}: good evening", bob.id));
        ann.screen.type_line("/to bob just for you");
        bob.screen.wait_for(&format!("{} to you: just for you", ann.id));
    }
}

#[test]
fn chat_third_joins_through_the_second_and_is_found_by_the_first() {
    let [mut ann, mut bob] = pair(BOTH);
    let mut cyd = Chat::start("cyd", "mio", &["--join", &bob.addr()]);
    for _ in 0..2 {
        cyd.screen.wait_for("+ ");
    }
    for screen in [&mut ann.screen, &mut bob.screen] {
        screen.wait_for("+ ");
    }
    cyd.screen.type_line("who is there?");
    for chat in [&mut ann, &mut bob] {
        chat.screen.wait_for(&format!("{}: who is there?", cyd.id));
    }
    ann.screen.type_line("/to cyd only we two");
    cyd.screen.wait_for(&format!("{} to you: only we two", ann.id));
}

#[test]
fn chat_joins_and_lists_by_the_words_of_the_original() {
    let mut ann = Chat::start("ann", "smol", &[]);
    let mut bob = Chat::start("bob", "mio", &[]);
    bob.screen.type_line("LIST");
    bob.screen.wait_for("* nobody is connected");
    bob.screen.type_line(&format!("JOIN {}", ann.addr().replace(':', " ")));
    ann.screen.wait_for("+ ");
    bob.screen.wait_for("+ ");
    ann.screen.type_line("BROADCAST hello all");
    bob.screen.wait_for(&format!("{}: hello all", ann.id));
    bob.screen.type_line("LIST");
    bob.screen.wait_for(&format!("*   {}", ann.id));
    bob.screen.wait_for("dialled");
    ann.screen.type_line("QUIT");
    assert_eq!(ann.exit_status(), Some(0));
    bob.screen.wait_for(&format!("- {} is gone: the peer said bye", ann.id));
}

#[test]
fn chat_prints_the_command_that_the_other_must_type() {
    let mut ann = Chat::start("ann", "mio", &["--network", "our lab"]);
    let line = ann.join.strip_suffix(" --network 'our lab'").expect("the network's name");
    let mut words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words.remove(0), "chat");
    words.extend(["--network", "our lab"]);
    let mut bob = Chat::start("bob", "smol", &words);
    bob.screen.wait_for("+ ");
    ann.screen.wait_for("+ ");
}

#[test]
fn chat_kill_is_noticed_at_once() {
    for runtimes in [["mio", "smol"], ["smol", "mio"]] {
        let [mut ann, mut bob] = pair(runtimes);
        bob.screen.type_line("here I am");
        ann.screen.wait_for(&format!("{}: here I am", bob.id));
        bob.kill();
        // A crash that only the keep-alive notices would be told with another reason.
        let reason = ann.screen.seen_after(&format!("- {} is gone: ", bob.id));
        assert!(["connection reset", "end of stream"].contains(&reason.as_str()), "{reason}");
    }
}

/// What a terminal takes for a command, in each of the ways there are, and marks that turn or end
/// a line.
const NASTY: [(&str, &str); 6] = [
    ("\u{1b}[2J", "\\u{1b}[2J"),
    ("\u{1b}]0;owned\u{7}", "\\u{1b}]0;owned\\u{7}"),
    ("\u{9b}31m", "\\u{9b}31m"),
    ("\u{202e}txet", "\\u{202e}txet"),
    ("\u{2028}next", "\\u{2028}next"),
    ("\u{8}\u{b}\u{c}", "\\u{8}\\u{b}\\u{c}"),
];

#[test]
fn chat_escape_sequences_do_not_reach_the_other_terminal() {
    let name = "\u{1b}[31mann\u{9b}1m";
    for runtimes in [["mio", "smol"], ["smol", "mio"]] {
        let mut bob = Chat::start("bob", runtimes[1], &[]);
        let mut ann = Chat::start(name, runtimes[0], &["--join", &bob.addr()]);
        ann.screen.wait_for("+ ");
        bob.screen.wait_for("+ ");
        for (nasty, shown) in NASTY {
            ann.screen.type_line(&format!("<{nasty}>"));
            bob.screen.wait_for(&format!("{}: <{shown}>", ann.id));
        }
        bob.screen.type_line("stop that");
        ann.screen.wait_for(&format!("{}: stop that", bob.id));
        ann.screen.type_line(&format!("/to bob <{}>", NASTY[0].0));
        bob.screen.wait_for(&format!("to you: <{}>", NASTY[0].1));
        bob.screen.type_line("/peers");
        bob.screen.wait_for("\\u{1b}[31mann");
        ann.kill();
        bob.screen.wait_for("is gone");
        let seen = bob.screen.everything().replace("\r\n", " ");
        let harmful = |c: char| c.is_control() || "\u{202e}\u{2028}\u{fffd}".contains(c);
        assert_eq!(seen.find(harmful), None, "{seen:?}");
    }
}

#[test]
fn chat_ends_on_ctrl_c_and_ctrl_d_and_says_bye() {
    for runtime in BOTH {
        for (key, status) in [("\u{3}", 130), ("\u{4}", 0)] {
            let [mut ann, mut bob] = pair([runtime, "mio"]);
            ann.screen.press(key);
            assert_eq!(ann.exit_status(), Some(status), "{runtime} {key:?}");
            bob.screen.wait_for("is gone: the peer said bye: shutdown");
        }
    }
}

#[test]
fn chat_ends_on_sigterm_though_its_terminal_is_stopped() {
    let [mut ann, mut bob] = pair(BOTH);
    ann.screen.press("\u{13}"); // Ctrl-S: nothing can be printed any more
    ann.screen.type_line("the last word");
    ann.screen.type_line("/help");
    bob.screen.wait_for(&format!("{}: the last word", ann.id));
    ann.terminate();
    assert_eq!(ann.exit_status(), Some(143));
    bob.screen.wait_for("is gone: the peer said bye: shutdown");
}

#[test]
fn chat_output_that_nobody_reads_is_a_quiet_end() {
    let end = run_and_close_output();
    assert!(end.text.starts_with("* you are "), "{}", end.text);
    assert_eq!((end.status, end.errors.as_str()), (Some(0), ""));
}

#[test]
fn program_node_prints_what_it_hears() {
    let mut node = Chat::start_node("smol");
    let mut ann = Chat::start("ann", "mio", &["--join", &node.addr()]);
    ann.screen.wait_for("+ ");
    node.screen.wait_for("up ");
    ann.screen.type_line("to whom it may concern\u{9b}");
    node.screen.wait_for("broadcast ");
    node.screen.wait_for("\"CHAT\" {\"originator\":\"ann-");
    node.screen.wait_for("\"to whom it may concern\\u009b\"");
    ann.screen.press("\u{4}");
    node.screen.wait_for("down ");
    node.screen.press("\u{3}");
    assert_eq!(node.exit_status(), Some(130));
}

#[test]
fn program_share_shows_a_bar_that_shares_no_line_with_anything() {
    let folder = std::env::temp_dir().join(format!("peerline-bar-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut sharer = Chat::start_share(&folder.display().to_string());
    let owner = TcpListener::bind(Reserved::for_good()).unwrap();
    sharer.screen.type_line(&format!("get long from {}", owner.local_addr().unwrap()));
    let mut stream = accept(&owner);
    assert_eq!(read_frame(&mut stream), ("FGET".to_owned(), "long".to_owned()));
    let whole = frame("REPL", &vec![b'x'; 2 << 20]);
    let (half, rest) = whole.split_at(8 + (1 << 20));
    stream.write_all(half).unwrap();
    sharer.screen.wait_for("long [##########..........] 50% of 2.0 MiB");
    sharer.screen.type_line("list");
    // Typed, wiped away, answered, and drawn again.
    sharer.screen.wait_for("\r\u{1b}[Kok 0\r\n");
    sharer.screen.wait_for("long [##########..........] 50% of 2.0 MiB");
    stream.write_all(rest).unwrap();
    drop(stream);
    sharer.screen.wait_for("\r\u{1b}[Kgot long 2097152 bytes\r\n");
    sharer.screen.press("\u{3}");
    assert_eq!(sharer.exit_status(), Some(130));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn program_demo_ends_with_a_good_summary() {
    let demo = run(&["demo"]);
    let last = demo.text.lines().last().unwrap_or_default();
    assert!(last.starts_with("OK: all 110 messages arrived exactly once"), "{}", demo.text);
    assert_eq!((demo.status, demo.errors.as_str()), (Some(0), ""));
}

#[test]
fn program_simulates_the_same_run_of_a_seed_each_time() {
    let line = ["simulate", "--seed", "7", "--nodes", "5"];
    let (table, again) = (run(&line), run(&[&line[..], &["--trace"]].concat()));
    assert_eq!((table.status, again.status), (Some(0), Some(0)), "{}", table.text);
    let hash = |text: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix("trace hash "));
        found.map(str::trim).expect("a hash").to_owned()
    };
    assert_eq!(hash(&table.text), hash(&again.text));
    assert!(table.text.ends_with("every rule held\n"), "{}", table.text);
    assert!(again.text.lines().any(|line| line.contains(" PeerUp")), "no trace");
    let row = run(&["simulate", "--seed", "7", "--nodes", "5", "--seeds", "2"]);
    assert!(row.text.contains(&hash(&table.text)), "{}", row.text);
    assert!(row.text.ends_with("failed: 0\n"), "{}", row.text);
    assert_eq!(run(&["simulate", "--nodes", "1"]).status, Some(2));
}

#[test]
fn program_mistakes_are_told_on_stderr() {
    let taken = TcpListener::bind(Reserved::for_good()).unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let refused = run(&["node", "--listen", &addr]);
    assert_eq!((refused.status, refused.text.as_str()), (Some(1), ""));
    assert!(refused.errors.contains(&addr), "{}", refused.errors);
    assert_eq!(run(&["chat", "--runtime", "tokio"]).status, Some(2));
}
