//! `peerline node` as scripts command it: a line in, plain lines out.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use peerline_testkit::reserved::Reserved;
use peerline_testkit::vectors::{frame, frames};

use crate::chat_program::PATIENCE;
use crate::chat_program::piped::Piped;

/// Two nodes that one joined by a command.
fn pair(runtimes: [&str; 2]) -> [Piped; 2] {
    let mut nodes = runtimes.map(|runtime| Piped::start(&["node", "--runtime", runtime]));
    let (addr, ids) = (nodes[0].addr.clone(), nodes.each_ref().map(|node| node.id.clone()));
    assert_eq!(nodes[1].ask(&format!("join {addr}")), format!("ok joining {addr}"));
    nodes[1].line(&format!("up {} {addr} dialled", ids[0]));
    nodes[0].line(&format!("up {} ", ids[1]));
    nodes
}

/// A BTPeer peer that answers so many visits, and tells what it was asked. After that it refuses.
fn btpeer(
    at: &Reserved,
    answers: Vec<Vec<Vec<u8>>>,
) -> (String, JoinHandle<Vec<(String, String)>>) {
    let listener = at.listen();
    let addr = at.addr().to_string();
    let serve = move |answers: Vec<Vec<u8>>| {
        let mut stream = accept(&listener);
        let asked = read_frame(&mut stream);
        stream.write_all(&answers.concat()).unwrap();
        asked
    };
    (addr, thread::spawn(move || answers.into_iter().map(serve).collect()))
}

pub(crate) fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The next connection, which must come in time.
#[track_caller]
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let (listener, (tell, told)) = (listener.try_clone().unwrap(), mpsc::channel());
    let waiting = thread::spawn(move || tell.send(listener.accept()));
    let accepted = told.recv_timeout(PATIENCE).expect("a connection in time");
    // With it ends its share in the listener, which would take further calls.
    waiting.join().unwrap().unwrap();
    patient(accepted.unwrap().0)
}

/// One frame: its kind and its text.
pub(crate) fn read_frame(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = vec![0; 8];
    stream.read_exact(&mut bytes).unwrap();
    let len = u32::from_be_bytes(bytes[4..].try_into().unwrap());
    bytes.resize(8 + len as usize, 0);
    stream.read_exact(&mut bytes[8..]).unwrap();
    frames(&bytes).unwrap().remove(0)
}

#[test]
fn a_node_obeys_its_standard_input() {
    for runtimes in [["mio", "smol"], ["smol", "mio"]] {
        let [mut ann, mut bob] = pair(runtimes);
        assert_eq!(bob.ask("broadcast NEWS {\"a\": [1]}"), "ok 1");
        ann.line(&format!("broadcast {} \"NEWS\" {{\"a\":[1]}}", bob.id));
        assert_eq!(bob.ask("broadcast NEWS good  morning"), "ok 1");
        ann.line(&format!("broadcast {} \"NEWS\" \"good  morning\"", bob.id));
        let short = &ann.id.clone()[..8];
        assert_eq!(bob.ask(&format!("send {short} NOTE for you")), "ok");
        ann.line(&format!("message {} \"NOTE\" \"for you\"", bob.id));
        bob.say("peers");
        bob.line(&format!("peer {} {} dialled", ann.id, ann.addr));
        assert_eq!(bob.line("ok"), "ok 1");
        assert_eq!(bob.ask(&format!("ask {short}")), format!("ok {}", ann.id));
        assert_eq!(bob.ask("live"), "ok");
        assert_eq!(bob.ask(&format!("request {short} WHAT is it")), "ok 1");
        assert_eq!(bob.line("failed"), format!("failed 1 no handler, says {}", ann.id));
        assert_eq!(bob.ask(&format!("forget {short}")), format!("ok {}", ann.id));
        ann.line(&format!("down {} ", bob.id));
        assert_eq!(ann.ask("quit"), "ok");
        assert_eq!(ann.exit_status(), Some(0));
    }
}

#[test]
fn a_command_that_cannot_be_carried_out_is_answered_with_why() {
    let mut node = Piped::start(&["node"]);
    for (command, answer) in [
        ("sing", "error no such command; --help lists them"),
        ("join", "error usage: join [btpeer|chat] ADDR"),
        ("send nobody KIND text", "error nobody is called nobody"),
        ("forget a\u{1b}b", "error nobody is called a\\u{1b}b"),
        ("broadcast NEWS nobody hears it", "ok 0"),
        ("join no-port", "error"),
        ("join 127.0.0.1:0", "error"),
    ] {
        let told = node.ask(command);
        assert!(told.starts_with(answer), "{command}: {told}");
    }
    assert_eq!(node.ask(&"x".repeat(50_000)), "error that line is too long");
    assert_eq!(node.ask("peers"), "ok 0");
}

#[test]
fn the_end_of_its_input_does_not_end_a_node() {
    let [mut ann, mut bob] = pair(["mio", "smol"]);
    ann.close_stdin();
    assert_eq!(bob.ask("broadcast NEWS still there?"), "ok 1");
    ann.line(&format!("broadcast {} \"NEWS\" \"still there?\"", bob.id));
}

#[test]
fn a_node_joins_and_asks_guests() {
    let repl = |text: &str| frame("REPL", text.as_bytes());
    let row = "127.0.0.1:9 127.0.0.1 9";
    let place = Reserved::new();
    let visits = vec![
        vec![repl("some \u{1b}one")],
        vec![repl("x:1")],
        vec![repl("Join: peer added: y")],
        vec![repl("1"), repl(row)],
        vec![repl("a"), frame("DATA", &[0xff, 0])],
        vec![],
    ];
    // The program first: it may have to be built, and the peer does not wait for that long.
    let mut node = Piped::start(&["node"]);
    let (addr, serving) = btpeer(&place, visits);
    assert_eq!(node.ask(&format!("request btpeer:{addr} FGET a name")), "ok 1");
    assert_eq!(node.line("reply"), "reply 1 \"REPL\" \"some \\u001bone\"");
    assert_eq!(node.line("end"), "end 1");
    assert_eq!(node.ask(&format!("join btpeer {addr}")), format!("ok joining {addr}"));
    assert_eq!(node.line("joined"), format!("joined x:1 {addr} BTPeer"));
    assert_eq!(node.line("knows"), "knows x:1 127.0.0.1:9 127.0.0.1:9");
    assert_eq!(node.ask("request x:1 QUER a b 0"), "ok 2");
    assert_eq!(node.line("reply"), "reply 2 \"REPL\" \"a\"");
    assert_eq!(node.line("reply"), "reply 2 \"DATA\" {\"base64\":\"/wA=\"}");
    assert_eq!(node.line("end"), "end 2");
    assert_eq!(node.ask("request x:1 NONE"), "ok 3");
    assert_eq!(node.line("failed 3"), "failed 3 no handler");
    node.say("peers");
    assert_eq!(node.line("guest"), format!("guest x:1 {addr} BTPeer"));
    assert_eq!(node.line("ok"), "ok 1");
    let asked = serving.join().unwrap();
    let join = format!("{0} 127.0.0.1 {1}", node.addr, node.port());
    let expected = [("FGET", "a name"), ("NAME", ""), ("JOIN", &join), ("LIST", "")];
    let as_told = |(kind, text): &(String, String)| (kind.clone(), text.clone());
    let expected = expected.map(|(kind, text)| (kind.to_owned(), text.to_owned()));
    assert_eq!(asked.iter().take(4).map(as_told).collect::<Vec<_>>(), expected);
    // A program that another test begins holds its listener for a moment: then it seems to live.
    node.ask_until("live", &format!("left x:1 {addr} BTPeer"));
}

#[test]
fn a_node_hears_of_chat_peers_and_of_refusals() {
    let mut node = Piped::start(&["node"]);
    let listener = TcpListener::bind(Reserved::for_good()).unwrap();
    let addr = listener.local_addr().unwrap();
    assert_eq!(node.ask(&format!("join chat {addr}")), format!("ok joining {addr}"));
    let mut text = String::new();
    accept(&listener).read_to_string(&mut text).unwrap();
    assert!(text.contains("\"PING\"") && text.contains(&node.port().to_string()), "{text}");
    let pong = peerline_testkit::vectors::chat_ping("able", addr.port());
    let pong = String::from_utf8(pong).unwrap().replace("PING", "PONG");
    TcpStream::connect(&node.addr).unwrap().write_all(pong.as_bytes()).unwrap();
    assert_eq!(node.line("joined"), format!("joined able {addr} chat"));
    let repl = |kind: &str, text: &str| vec![frame(kind, text.as_bytes())];
    let place = Reserved::new();
    let visits = vec![repl("REPL", "x:1"), repl("ERRO", "Join: too many peers")];
    let (full, serving) = btpeer(&place, visits);
    assert_eq!(node.ask(&format!("join btpeer {full}")), format!("ok joining {full}"));
    assert_eq!(node.line("refused"), format!("refused {full} BTPeer Join: too many peers"));
    serving.join().unwrap();
}
