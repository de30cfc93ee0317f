//! What is read of a line, and which lines are refused.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
use super::*;
use crate::id::NodeId;
use crate::message::Payload;
use crate::seen::Range;
use crate::time::UnixTime;
use crate::wire::encode::{self, Routed};
use crate::wire::lists;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

fn fault(text: &str) -> Option<&'static str> {
    match decode(text) {
        Err(Violation::Malformed { what, .. }) => Some(what),
        _ => None,
    }
}

#[test]
fn fields_of_other_messages_are_unknown_and_free() {
    let decoded = decode(r#"{"seq":"x","msgtype":"ping","seq":1,"zzz":{},"nonce":7}"#);
    let decoded = decoded.map(|decoded| (decoded.msg.kind(), decoded.unknown_fields));
    assert_eq!(decoded, Ok((MsgKind::Ping, 2)));
}

/// A line that differs from what nodes write in one place at most, as `written` and `read_any`
/// understand it.
#[track_caller]
fn both(line: &str) -> (Option<String>, Option<String>) {
    let written = written::message(line);
    let any = read_any(line).ok().filter(|decoded| decoded.unknown_fields == 0);
    let shown = |msg: &Msg<'_>| format!("{msg:?}");
    (written.as_ref().map(shown), any.map(|decoded| shown(&decoded.msg)))
}

#[test]
fn what_nodes_write_is_understood_as_any_line_is() {
    let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let start = format!(r#"{{"msgtype":"broadcast","originator":"{id}","epoch":12,"seq":3"#);
    for body in ["1", "-1.5e3", "\"\"", r#""a\u00e4\n""#, "null", "[]", r#"{"a":[{}]}"#] {
        let line = format!(r#"{start},"time":1795233600123,"kind":"NEWS","msg":{body}}}"#);
        let (written, any) = both(&line);
        assert!(written.is_some(), "{line}");
        assert_eq!(written, any, "{line}");
    }
    let line = format!(r#"{start},"time":9,"kind":"N","msg":[1,"x"]}}"#);
    assert!(changed_is_read_alike(&line) > 300);
}

#[test]
fn what_nodes_write_to_one_node_is_understood_as_any_line_is() {
    let [from, to] = [1, 2].map(|number| NodeId::from_random_bytes([number; 16]));
    let routed = Routed { id: "0a.12", from, to, ttl: 32 };
    let time = UnixTime::from_millis(1_795_233_600_123);
    for (kind, body) in
        [("K", "[1,\"x\"]"), ("", "\"\""), ("N\u{e4}", "{\"a\":{}}"), ("K", "-1.5e3")]
    {
        let payload = Payload::from_json(body).unwrap();
        let lines = [
            encode::message(&routed, 0, time, kind, body),
            encode::message(&routed, 3, time, kind, body),
            encode::request(&routed, (5000, 0), time, kind, body),
            encode::request(&routed, (1, 2), time, kind, body),
            encode::reply("0a.12", (from, to), (0, true), kind, &payload),
            encode::reply("0a.12", (from, to), (7, false), kind, &payload),
        ];
        for line in lines.iter().map(|line| line.trim_end()) {
            let (written, any) = both(line);
            assert!(written.is_some(), "{line}");
            assert_eq!(written, any, "{line}");
            assert!(changed_is_read_alike(line) > 300, "{line}");
            members_are_read_alike(line);
        }
    }
}

#[test]
fn what_nodes_announce_is_understood_as_any_line_is() {
    let [one, two] = [1, 2].map(|number| NodeId::from_random_bytes([number; 16]));
    let range =
        |stream, from, to, millis| Range { stream, from, to, hold: Duration::from_millis(millis) };
    let ranges = [
        range((one, 7), 1, 3, 0),
        range((one, 7), 5, 5, 12),
        range((one, u32::MAX), 9, 10, 0),
        range((two, 7), 1, 1, 1000),
    ];
    for ranges in [&ranges[..], &ranges[..1], &[]] {
        let frame = encode::ihave(ranges);
        let line = core::str::from_utf8(frame.as_bytes()).unwrap().trim_end();
        let (written, any) = both(line);
        assert!(written.is_some(), "{line}");
        assert_eq!(written, any, "{line}");
        assert!(changed_is_read_alike(line) > 100 * ranges.len(), "{line}");
        let mut taken = Vec::new();
        if let Ok(Decoded { msg: Msg::Ihave { have }, .. }) = decode(line) {
            lists::announced(have, &mut |it| {
                let stream = (it.stream.originator.parse().unwrap(), it.stream.epoch as u32);
                taken.push(range(stream, it.from, it.to, it.hold));
            });
        }
        assert_eq!(taken, ranges);
    }
}

/// Leaves a member out, or puts one more before the body.
#[track_caller]
fn members_are_read_alike(line: &str) {
    let (head, body) = line.split_once(",\"msg\":").unwrap();
    let members: Vec<&str> = head.split(",\"").collect();
    for left_out in 1..members.len() {
        let kept = members.iter().enumerate().filter(|(at, _)| *at != left_out);
        let kept: Vec<&str> = kept.map(|(_, member)| *member).collect();
        let (written, any) = both(&format!("{},\"msg\":{body}", kept.join(",\"")));
        assert!(written.is_none() || written == any, "without {left_out}: {line}");
    }
    for more in ["\"deadline\":7", "\"try\":1", "\"last\":true", "\"last\":false", "\"ttl\":3"] {
        let (written, any) = both(&format!("{head},{more},\"msg\":{body}"));
        assert!(written.is_none() || written == any, "with {more}: {line}");
    }
}

/// Changes a line in one place, in many ways. Returns how many were read as written.
#[track_caller]
fn changed_is_read_alike(line: &str) -> usize {
    for more in ["}", " ", "x", ",", "\n", "{}"] {
        assert_eq!(both(&[line, more].concat()).0, None, "{more:?}");
    }
    // One byte after the other is left out, or is another one.
    let mut read = 0;
    for at in
        (0..line.len()).filter(|at| line.is_char_boundary(*at) && line.is_char_boundary(*at + 1))
    {
        for other in ["", " ", "\"", "\\", "0", "1", "9", "}", ",", "\u{1}", "a", "-", "[", "]"] {
            let changed = [&line[..at], other, &line[at + 1..]].concat();
            let (written, any) = both(&changed);
            read += usize::from(written.is_some());
            assert!(written.is_none() || written == any, "{changed}");
        }
    }
    read
}

#[test]
fn own_fields_are_checked() {
    assert_eq!(fault(r#"{"msgtype":"ping","nonce":-1}"#), Some("a field of the wrong type"));
    assert_eq!(fault(r#"{"msgtype":"ping","nonce":1,"nonce":1}"#), Some("a field occurs twice"));
    assert_eq!(fault(r#"{"msgtype":"ping","msgtype":"ping"}"#), Some("a field occurs twice"));
    assert_eq!(fault(r#"{"msgtype":"hello"}"#), Some("a required field is missing"));
    assert_eq!(fault(r#"{"msgtype":1}"#), Some("a field of the wrong type"));
    assert_eq!(fault("{}"), Some("no msgtype"));
    assert_eq!(fault("[]"), Some("not an object"));
    assert_eq!(
        fault(r#"{"msgtype":"addr","peers":[["a","b","c"]]}"#),
        Some("a field of the wrong type")
    );
}

#[test]
fn keys_and_words_are_compared_unescaped() {
    let decoded = decode(r#"{"msgt\u0079pe":"pin\u0067"}"#).map(|decoded| decoded.msg.kind());
    assert_eq!(decoded, Ok(MsgKind::Ping));
}

#[test]
fn each_field_has_its_name_and_every_kind_its_bits() {
    for kind in MsgKind::ALL {
        let bits = kind.fields().iter().map(|(field, _)| field.bit());
        assert_eq!(bits.clone().sum::<u64>(), bits.fold(0, |all, bit| all | bit), "{kind:?}");
    }
}

#[test]
fn told_addresses_are_bare_or_named() {
    let line = r#"{"msgtype":"addr","peers":["1.2.3.4:5",["6.7.8.9:10","n"]]}"#;
    let mut seen = Vec::new();
    if let Ok(Decoded { msg: Msg::Addr(addr), .. }) = decode(line) {
        lists::told(addr.peers, &mut |told| seen.push(format!("{} {:?}", told.addr, told.node)));
    }
    assert_eq!(seen, ["1.2.3.4:5 None", "6.7.8.9:10 Some(\"n\")"]);
}

/// Each field, its name, and a value of its type.
const VALUES: [(Field, &str, &str); FIELDS] = [
    (Field::Msgtype, "msgtype", "\"\""),
    (Field::Nodeid, "nodeid", "\"n\""),
    (Field::Version, "version", "1"),
    (Field::MinVersion, "min_version", "2"),
    (Field::Network, "network", "\"w\""),
    (Field::Agent, "agent", "\"a\""),
    (Field::Nonce, "nonce", "3"),
    (Field::Listen, "listen", "4"),
    (Field::You, "you", "\"192.0.2.1:5\""),
    (Field::Max, "max", "6"),
    (Field::Caps, "caps", "[\"route/1\"]"),
    (Field::Reason, "reason", "\"full\""),
    (Field::Retry, "retry", "7"),
    (Field::Peers, "peers", "[]"),
    (Field::Ages, "ages", "[]"),
    (Field::Originator, "originator", "\"o\""),
    (Field::Epoch, "epoch", "8"),
    (Field::Seq, "seq", "9"),
    (Field::Time, "time", "10"),
    (Field::Kind, "kind", "\"K\""),
    (Field::Msg, "msg", "{}"),
    (Field::Id, "id", "\"i\""),
    (Field::From, "from", "\"f\""),
    (Field::To, "to", "\"t\""),
    (Field::Ttl, "ttl", "11"),
    (Field::Deadline, "deadline", "12"),
    (Field::Try, "try", "13"),
    (Field::N, "n", "14"),
    (Field::Last, "last", "true"),
    (Field::At, "at", "\"l\""),
    (Field::Re, "re", "\"r\""),
    (Field::Code, "code", "\"busy\""),
    (Field::Have, "have", "[]"),
    (Field::Want, "want", "[]"),
];

fn kinds() -> impl Iterator<Item = MsgKind> {
    MsgKind::ALL.into_iter().filter(|kind| *kind != MsgKind::Unknown)
}

fn word(kind: MsgKind) -> String {
    format!("{kind:?}").to_lowercase()
}

/// A line of this kind with these fields, the last one first, so that it is read as any line.
fn line_of(kind: MsgKind, fields: &[Field]) -> String {
    let mut line = String::from("{");
    for field in fields.iter().rev() {
        let (_, name, value) = VALUES.iter().find(|(known, ..)| known == field).unwrap();
        line += &format!("\"{name}\":{value},");
    }
    line + &format!("\"msgtype\":\"{}\"}}", word(kind))
}

#[test]
fn each_kind_knows_its_fields_by_name() {
    for kind in kinds() {
        let fields: Vec<Field> = kind.fields().iter().map(|(field, _)| *field).collect();
        let line = line_of(kind, &fields);
        let decoded = decode(&line).unwrap();
        assert_eq!((decoded.msg.kind(), decoded.unknown_fields), (kind, 0), "{line}");
        let (_, name, value) = VALUES[FIELDS - 1];
        for (without, (field, required)) in kind.fields().iter().enumerate() {
            let mut some = fields.clone();
            some.remove(without);
            let found = fault(&line_of(kind, &some));
            assert_eq!(
                found,
                required.then_some("a required field is missing"),
                "{kind:?} {field:?}"
            );
            some = fields.clone();
            some.push(*field);
            let found = fault(&line_of(kind, &some));
            assert_eq!(found, Some("a field occurs twice"), "{kind:?} {field:?}");
        }
        let strange = line_of(kind, &fields).replacen('{', &format!("{{\"{name}x\":{value},"), 1);
        assert_eq!(decode(&strange).unwrap().unknown_fields, 1, "{strange}");
    }
}

#[test]
fn what_is_in_a_field_is_found_in_the_message() {
    let all = |kind: MsgKind| {
        let fields: Vec<Field> = kind.fields().iter().map(|(field, _)| *field).collect();
        line_of(kind, &fields)
    };
    let lines = kinds().map(all).collect::<Vec<String>>();
    let shown = |kind: MsgKind| {
        let line = lines.iter().find(|line| line.contains(&format!(":\"{}\"", word(kind))));
        format!("{:?}", decode(line.unwrap()).unwrap().msg)
    };
    let hello = shown(MsgKind::Hello);
    for part in [
        r#"nodeid: "n""#,
        "version: 1",
        "min_version: 2",
        r#"network: Some("w")"#,
        "nonce: Some(3)",
        "listen: Some(Port(4))",
        "you: Some(192.0.2.1:5)",
        "max: Some(6)",
        "route: true",
    ] {
        assert!(hello.contains(part), "{part} {hello}");
    }
    assert_eq!(shown(MsgKind::Ping), "Ping { nonce: Some(3) }");
    assert_eq!(shown(MsgKind::Pong), "Pong { nonce: Some(3) }");
    assert_eq!(shown(MsgKind::Getaddr), "Getaddr { max: Some(6) }");
    assert!(shown(MsgKind::Bye).starts_with("Bye(Bye { reason: Full, retry: Some(7), peers: Some"));
    let named = r#"stream: Some(Named { originator: "o", epoch: 8 })"#;
    assert!(shown(MsgKind::Graft).contains(named) && shown(MsgKind::Prune).contains(named));
    let nak = r#"Nak(NakLine { re: "r", at: Some("l"), code: Busy, ttl: Some(11) })"#;
    assert_eq!(shown(MsgKind::Nak), nak);
    let error = r#"Error(ErrorLine { re: "r", code: "busy", ttl: Some(11) })"#;
    assert_eq!(shown(MsgKind::Error), error);
}
