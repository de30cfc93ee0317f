//! What is read of a line, and which lines are refused.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
use super::*;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

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

/// A broadcast that differs from what nodes write in one place at most, as `written` and
/// `read_any` understand it.
#[track_caller]
fn both(line: &str) -> (Option<String>, Option<String>) {
    let written = written::broadcast(line).map(Msg::Broadcast);
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
    for more in ["}", " ", "x", ",", "\n", "{}"] {
        assert_eq!(both(&[&line, more].concat()).0, None, "{more:?}");
    }
    // One byte after the other is left out, or is another one.
    let mut read = 0;
    for at in 0..line.len() {
        for other in ["", " ", "\"", "\\", "0", "1", "9", "}", ",", "\u{1}", "a", "-"] {
            let changed = [&line[..at], other, &line[at + 1..]].concat();
            let (written, any) = both(&changed);
            read += usize::from(written.is_some());
            assert!(written.is_none() || written == any, "{changed}");
        }
    }
    assert!(read > 300, "{read} changed lines were read as written");
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
        told(addr.peers, |told| seen.push(format!("{} {:?}", told.addr, told.node)));
    }
    assert_eq!(seen, ["1.2.3.4:5 None", "6.7.8.9:10 Some(\"n\")"]);
}
