//! Nodes among themselves: they meet, talk and part.

use std::time::Duration;

use peerline_proto::Limits;

use crate::conformance::{Command, Play, Setup};

pub(super) fn meet_and_part(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    play.broadcast(a, "NEWS", "to all \u{1f600}", 1);
    play.wait(b, "broadcast of a: NEWS \"to all \u{1f600}\"");
    play.send(b, a, "NOTE", "to you").expect("connected");
    play.wait(a, "message of b: NOTE \"to you\"");
    play.command(b, Command::Shutdown(Duration::from_secs(5))).expect("it stops");
    play.wait(b, "down a: closed here");
    play.wait(a, "down b: the peer said bye: shutdown");
}

pub(super) fn five_from_one(play: &mut Play<'_>) {
    let first = play.start(Setup::default());
    let bootstrap = vec![play.stage().addr(first)];
    let nodes: Vec<usize> = (0..4)
        .map(|_| play.start(Setup { bootstrap: bootstrap.clone(), ..Setup::default() }))
        .collect();
    let all: Vec<usize> = std::iter::once(first).chain(nodes).collect();
    for node in &all {
        while play.stage().peers(*node).len() < 4 {
            play.next(*node);
        }
    }
    for node in &all {
        play.broadcast(*node, "NEWS", &node.to_string(), 4);
    }
    for node in &all {
        let mut got: Vec<String> = Vec::new();
        while got.len() < 4 {
            got.extend(Some(play.next(*node)).filter(|event| event.starts_with("broadcast")));
        }
        got.sort();
        for event in got {
            play.note(*node, &event);
        }
    }
}

pub(super) fn nobody_there(play: &mut Play<'_>) {
    let a = play.start(Setup::default());
    let addr = play.stage().nowhere();
    play.command(a, Command::Dial(addr)).expect("it can dial");
    play.wait(a, "failed, dialled: connection refused");
}

pub(super) fn disconnect(play: &mut Play<'_>) {
    let (a, b) = play.pair(&Limits::default());
    let peer = play.peer(b);
    play.command(a, Command::Disconnect(peer)).expect("it parts");
    play.wait(a, "down b: closed here");
    play.wait(b, "down a: the peer said bye: disconnect");
    assert!(play.is_quiet(a) && play.is_quiet(b));
}
