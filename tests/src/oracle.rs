//! Which lines are valid: the protocol's definition, written down without a thought for speed.
//!
//! A line is valid when it is UTF-8, `serde_json` takes it as a `Value`, it is an object of at most
//! 32 levels, and the fields that the table gives its `msgtype` occur at most once, have their
//! types and are there if required. The node's parser must accept exactly these.

use std::fmt;

use peerline_proto::MAX_DEPTH;
use serde_json::Value;

/// Judges a line; blanks around it do not count. `None` for one that holds nothing else. For a
/// valid one, the name of its kind.
pub fn judge(line: &[u8]) -> Option<Result<String, String>> {
    let Ok(text) = std::str::from_utf8(line) else { return Some(Err("not UTF-8".into())) };
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    (!text.is_empty()).then(|| judge_text(text))
}

fn judge_text(text: &str) -> Result<String, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !value.is_object() {
        return Err("not an object".into());
    }
    if depth(text) > MAX_DEPTH {
        return Err("too deep".into());
    }
    let Members(members) = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let one = |name: &str| -> Result<Option<&Value>, String> {
        let mut found = members.iter().filter(|(key, _)| key == name).map(|(_, value)| value);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(format!("{name} occurs twice")),
            (first, None) => Ok(first),
        }
    };
    let msgtype = one("msgtype")?.and_then(Value::as_str).ok_or("no msgtype")?.to_owned();
    let Some((name, fields)) = TABLE.iter().find(|(name, _)| *name == msgtype) else {
        return Ok("unknown".into());
    };
    for (field, required, fits) in *fields {
        match one(field)? {
            None if *required => return Err(format!("no {field}")),
            Some(value) if !fits(value) => return Err(format!("{field} has the wrong type")),
            None | Some(_) => {}
        }
    }
    Ok((*name).into())
}

type Field = (&'static str, bool, fn(&Value) -> bool);

/// The messages and their fields: name, whether required, type.
const TABLE: &[(&str, &[Field])] = &[
    (
        "hello",
        &[
            ("nodeid", true, Value::is_string),
            ("version", false, is_integer),
            ("min_version", false, is_integer),
            ("network", false, Value::is_string),
            ("agent", false, Value::is_string),
            ("nonce", false, is_integer),
            ("listen", false, |value| is_integer(value) || value.is_string()),
            ("you", false, Value::is_string),
            ("max", false, is_integer),
            ("caps", false, |value| is_list(value, Value::is_string)),
        ],
    ),
    ("ping", &[("nonce", false, is_integer)]),
    ("pong", &[("nonce", false, is_integer)]),
    (
        "bye",
        &[
            ("reason", false, Value::is_string),
            ("retry", false, is_integer),
            ("peers", false, is_peers),
        ],
    ),
    ("getaddr", &[("max", false, is_integer)]),
    ("addr", &[("peers", true, is_peers), ("ages", false, |value| is_list(value, is_integer))]),
    (
        "broadcast",
        &[
            ("originator", true, Value::is_string),
            ("epoch", true, is_integer),
            ("seq", true, is_integer),
            ("time", true, is_integer),
            ("kind", true, Value::is_string),
            ("msg", true, |_| true),
        ],
    ),
    ("ihave", &[("have", true, |value| is_list(value, is_announced))]),
    (
        "graft",
        &[
            ("originator", false, Value::is_string),
            ("epoch", false, is_integer),
            ("want", false, |value| is_list(value, |range| are_integers(range, 2))),
        ],
    ),
    ("prune", &[("originator", false, Value::is_string), ("epoch", false, is_integer)]),
    (
        "message",
        &[
            ("id", true, Value::is_string),
            ("from", true, Value::is_string),
            ("to", true, Value::is_string),
            ("kind", true, Value::is_string),
            ("time", true, is_integer),
            ("ttl", true, is_integer),
            ("try", false, is_integer),
            ("msg", true, |_| true),
        ],
    ),
    (
        "request",
        &[
            ("id", true, Value::is_string),
            ("from", true, Value::is_string),
            ("to", true, Value::is_string),
            ("kind", true, Value::is_string),
            ("time", true, is_integer),
            ("ttl", true, is_integer),
            ("deadline", true, is_integer),
            ("try", false, is_integer),
            ("msg", true, |_| true),
        ],
    ),
    (
        "reply",
        &[
            ("re", true, Value::is_string),
            ("n", true, is_integer),
            ("from", true, Value::is_string),
            ("to", true, Value::is_string),
            ("kind", true, Value::is_string),
            ("msg", true, |_| true),
            ("last", false, Value::is_boolean),
        ],
    ),
    (
        "nak",
        &[
            ("re", true, Value::is_string),
            ("at", false, Value::is_string),
            ("code", true, Value::is_string),
            ("ttl", false, is_integer),
        ],
    ),
    ("find", ENDS),
    ("found", ENDS),
    (
        "error",
        &[
            ("re", false, Value::is_string),
            ("code", false, Value::is_string),
            ("ttl", false, is_integer),
        ],
    ),
];

/// What a search for a node says, and its answer.
const ENDS: &[Field] = &[
    ("id", true, Value::is_string),
    ("from", true, Value::is_string),
    ("to", true, Value::is_string),
    ("ttl", true, is_integer),
];

/// From 0 to 2^53 - 1, written as an integer.
fn is_integer(value: &Value) -> bool {
    value.as_u64().is_some_and(|number| number < 1 << 53)
}

fn is_list(value: &Value, each: fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(each))
}

fn are_integers(value: &Value, count: usize) -> bool {
    is_list(value, is_integer) && value.as_array().is_some_and(|list| list.len() == count)
}

/// `[originator, epoch, [[from, to, hold], …]]`.
fn is_announced(value: &Value) -> bool {
    let Some([originator, epoch, ranges]) = value.as_array().map(Vec::as_slice) else {
        return false;
    };
    let named = originator.is_string() && is_integer(epoch);
    named && is_list(ranges, |range| are_integers(range, 3))
}

fn is_peers(value: &Value) -> bool {
    is_list(value, |peer| {
        let pair = |parts: &Vec<Value>| parts.len() == 2 && parts.iter().all(Value::is_string);
        peer.is_string() || peer.as_array().is_some_and(pair)
    })
}

/// Levels of nesting in a text that is JSON. Counted in the text, because a `Value` keeps only the
/// last of two members of one name.
fn depth(text: &str) -> usize {
    let (mut open, mut most, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => open += 1,
            b']' | b'}' if !in_string => open -= 1,
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// The members of an object, also those whose name another one has.
struct Members(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Members, A::Error> {
                let members = std::iter::from_fn(|| map.next_entry().transpose());
                members.collect::<Result<_, _>>().map(Members)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_applied_to_the_letter() {
        let valid = |line: &str| judge(line.as_bytes()).map(|verdict| verdict.is_ok());
        for (line, expected) in [
            ("", None),
            (" \r\n", None),
            ("[]", Some(false)),
            (r#"{"msgtype":"ping"}"#, Some(true)),
            (r#"{"msgtype":"ping","nonce":9007199254740992}"#, Some(false)),
            (r#"{"msgtype":"ping","nonce":1,"nonce":1}"#, Some(false)),
            (r#"{"msgtype":"ping","x":1,"x":1}"#, Some(true)),
            (r#"{"msgtype":"nonsense","nonce":"x"}"#, Some(true)),
            (r#"{"msgtype":"addr","peers":["a",["b","c"]]}"#, Some(true)),
            (r#"{"msgtype":"addr"}"#, Some(false)),
        ] {
            assert_eq!(valid(line), expected, "{line}");
        }
    }
}
