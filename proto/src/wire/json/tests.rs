//! Which texts are JSON, and where the parts of them lie.

#![allow(clippy::unwrap_used)]
use super::*;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Texts on which our check and serde_json's must agree.
const TEXTS: &[&str] = &[
    "",
    " ",
    "{}",
    "[]",
    "[[]]",
    "{\"a\":1}",
    "{\"a\":1,}",
    "{,}",
    "[1,]",
    "[,]",
    "[1 2]",
    "nul",
    "null",
    "nulll",
    "true",
    "false",
    "tru",
    "\"",
    "\"a",
    "\"a\"",
    "\"\\\"",
    "\"\\u00e4\"",
    "\"\\ud800\"",
    "\"\\ud800\\u0041\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ude00\"",
    "\"\\u12\"",
    "\"\\u123g\"",
    "\"\\x\"",
    "\"\t\"",
    "\"\u{7f}\"",
    "0",
    "-0",
    "00",
    "01",
    "-",
    "+1",
    "1.",
    ".1",
    "1.5",
    "1e",
    "1e5",
    "1E+5",
    "1e-5",
    "1e308",
    "1e309",
    "-1e309",
    "1e-400",
    "0e999999",
    "123456789012345678901234567890",
    "{\"a\" : [ 1 , {} ] } ",
    "{\"a\":1}x",
    "{1:2}",
    "{\"a\"}",
    "{\"a\":}",
    "\u{feff}{}",
    "{\"a\":{\"b\":[{\"c\":null}]}}",
    "[{]}",
    "[}",
    "{]",
    "1e99999999999",
    "\"\\ud800\\u\"",
    "\"\\ud800\\",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "\r\n{}\t",
];

#[test]
fn agrees_with_serde_json_on_every_text() {
    for text in TEXTS {
        let ours = check(text, MAX_DEPTH).is_ok();
        let theirs = serde_json::from_str::<serde_json::Value>(text).is_ok();
        assert_eq!(ours, theirs, "{text}");
    }
    let long = format!("1{}", "0".repeat(400));
    assert_eq!(check(&long, 1).is_ok(), serde_json::from_str::<serde_json::Value>(&long).is_ok());
}

#[test]
fn what_does_not_stand_for_itself_is_found_wherever_it_is() {
    for special in ["\"", "\\", "\\n", "\u{1f}", "\u{0}", "\n", "\u{7f}", "\u{ff}"] {
        for (before, after) in (0..150).flat_map(|len| [(len, 0), (len, 70)]) {
            let text = format!("\"{}{special}{}\"", "x".repeat(before), "y".repeat(after));
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(check(&text, 1).is_ok(), theirs, "{text}");
        }
    }
}

#[test]
fn nesting_is_counted_exactly() {
    for depth in 1..=40 {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(&text, MAX_DEPTH).is_ok(), depth <= MAX_DEPTH, "{depth}");
        let text = format!("{{\"a\":{text}}}");
        assert_eq!(object(&text, |_, _| ()).is_ok(), depth < MAX_DEPTH, "{depth}");
    }
    assert!(check(&"[".repeat(1_000_000), MAX_DEPTH).is_err());
}

#[test]
fn members_come_in_order_with_their_spans() {
    let mut seen = Vec::new();
    let text = r#" {"a" : [1, 2] ,"b\u0031":"x\ty", "c":-1.5e3} "#;
    let done = object(text, |key, value| {
        assert_eq!(text.get(value.start..value.start + value.text.len()), Some(value.text));
        seen.push((key.unescape().to_string(), value.text.to_string()));
    });
    assert_eq!(done, Ok(()));
    let expected = [("a", "[1, 2]"), ("b1", r#""x\ty""#), ("c", "-1.5e3")];
    assert_eq!(seen, expected.map(|(key, value)| (key.to_string(), value.to_string())));
}

#[test]
fn values_convert_only_when_they_are_of_the_type() {
    let span = |text: &'static str| Scan { text }.span(0, MAX_DEPTH).unwrap();
    assert_eq!(span("12").as_integer(), Some(12));
    assert_eq!(span("9007199254740991").as_integer(), Some((1 << 53) - 1));
    for text in ["9007199254740992", "-1", "-0", "1.0", "1e2", "\"1\"", "null"] {
        assert_eq!(span(text).as_integer(), None, "{text}");
    }
    assert_eq!(span(r#""a\nb""#).as_text().as_deref(), Some("a\nb"));
    assert_eq!(span("12").as_text(), None);
}
