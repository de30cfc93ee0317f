//! What makes two lines of chat the same: a keyed hash over originator, message and time.
//!
//! It hashes values, not texts, so a line that a Python has read and written again hashes alike:
//! strings are unescaped, numbers are doubles, blanks do not count, and of a member that an object
//! has twice the last value stands where the first one stood. No tree is built: a value becomes a
//! number when it ends, and only the containers open around a position are remembered.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::hash::SipHasher;
use crate::limits::MAX_DEPTH;
use crate::sorted::SortedSet;
use crate::wire::json;

/// The key of a line of chat: of its originator and its time, unescaped, and its message as JSON.
///
/// A message that is not JSON of at most 32 levels is hashed as the text it is.
pub(crate) fn chat_key(originator: &str, msg: &str, time: &str, key: (u64, u64)) -> u64 {
    let message = match json::check(msg, MAX_DEPTH) {
        Ok(()) => value(msg, key),
        Err(_) => tagged(Tag::NotJson, key, |hasher| hasher.write_text(msg)),
    };
    let mut hasher = SipHasher::new(key);
    hasher.write_text(originator);
    hasher.write_u64(message);
    hasher.write_text(time);
    hasher.finish()
}

/// What a hash is of, so that no value is taken for one of another type.
#[derive(Copy, Clone, Debug)]
enum Tag {
    NotJson,
    Null,
    False,
    True,
    Number,
    Text,
    Array,
    Object,
}

fn tagged(tag: Tag, key: (u64, u64), write: impl FnOnce(&mut SipHasher)) -> u64 {
    let mut hasher = SipHasher::new(key);
    hasher.write(&[tag as u8]);
    write(&mut hasher);
    hasher.finish()
}

/// The hash of a text that has been checked.
fn value(text: &str, key: (u64, u64)) -> u64 {
    let mut open: Vec<Open> = Vec::new();
    let mut rest = text;
    while let Some((token, after)) = token(rest) {
        rest = after;
        let done = match token {
            "[" | "{" => {
                open.push(Open::new(token, key));
                continue;
            }
            "]" | "}" => open.pop().map(|container| container.close(key)),
            _ => Some(scalar(token, key)),
        };
        let Some(done) = done else { break };
        match open.last_mut() {
            Some(container) => container.put(done),
            None => return done,
        }
    }
    0 // not reached: a checked text holds a value
}

/// The next bracket or scalar, without the blanks, commas and colons before it, and what follows.
fn token(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t', '\r', '\n', ',', ':']);
    let len = match text.bytes().next()? {
        b'[' | b']' | b'{' | b'}' => 1,
        b'"' => string_len(text),
        _ => text.find([' ', '\t', '\r', '\n', ',', ':', ']', '}']).unwrap_or(text.len()),
    };
    text.split_at_checked(len)
}

/// The length of a string that stands at the start, quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = true; // so the opening quote does not end it
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end.saturating_add(1))
}

fn scalar(token: &str, key: (u64, u64)) -> u64 {
    match token.as_bytes() {
        b"null" => tagged(Tag::Null, key, |_| {}),
        b"false" => tagged(Tag::False, key, |_| {}),
        b"true" => tagged(Tag::True, key, |_| {}),
        [b'"', ..] => tagged(Tag::Text, key, |hasher| hasher.write_text(&unescape(token))),
        _ => {
            // The standard library rounds to the nearest double, as Python does. Adding 0 takes the
            // sign from -0.
            let number = token.parse::<f64>().unwrap_or_default() + 0.0;
            tagged(Tag::Number, key, |hasher| hasher.write_u64(number.to_bits()))
        }
    }
}

/// The value of a string that has been checked.
fn unescape(quoted: &str) -> Cow<'_, str> {
    if quoted.contains('\\') {
        return Cow::Owned(serde_json::from_str(quoted).unwrap_or_default());
    }
    Cow::Borrowed(quoted.trim_matches('"'))
}

/// A container that is open, with the hashes of what it holds.
#[derive(Debug)]
enum Open {
    Array(SipHasher),
    Object {
        /// The key whose value is awaited.
        name: Option<u64>,
        members: Vec<(u64, u64)>,
    },
}

impl Open {
    fn new(bracket: &str, key: (u64, u64)) -> Self {
        if bracket == "{" {
            return Self::Object { name: None, members: Vec::new() };
        }
        let mut hasher = SipHasher::new(key);
        hasher.write(&[Tag::Array as u8]);
        Self::Array(hasher)
    }

    fn put(&mut self, done: u64) {
        match self {
            Self::Array(hasher) => hasher.write_u64(done),
            Self::Object { name, members } => match name.take() {
                Some(name) => members.push((name, done)),
                None => *name = Some(done),
            },
        }
    }

    fn close(self, key: (u64, u64)) -> u64 {
        match self {
            Self::Array(hasher) => hasher.finish(),
            Self::Object { mut members, .. } => tagged(Tag::Object, key, |hasher| {
                drop_repeats(&mut members);
                for (name, value) in members {
                    hasher.write_u64(name);
                    hasher.write_u64(value);
                }
            }),
        }
    }
}

/// Leaves members as Python's `dict` keeps them: each name once, at its first place, with its last
/// value.
fn drop_repeats(members: &mut Vec<(u64, u64)>) {
    let name = |index: &u32| members.get(*index as usize).map(|(name, _)| *name);
    let mut order: Vec<u32> = (0..members.len() as u32).collect();
    order.sort_unstable_by_key(|index| (name(index), *index));
    let repeat = |pair: &&[u32]| matches!(pair, [a, b] if name(a) == name(b));
    let repeats = order.windows(2).filter(repeat);
    let repeats: Vec<(u32, u32)> =
        repeats.filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect();
    // From the last one back, so that its value reaches the first.
    for (earlier, later) in repeats.iter().rev() {
        let value = members.get(*later as usize).map(|(_, value)| *value);
        if let Some((member, value)) = members.get_mut(*earlier as usize).zip(value) {
            member.1 = value;
        }
    }
    let dropped: SortedSet<u32> = repeats.into_iter().map(|(_, later)| later).collect();
    let mut index = 0_u32..;
    members.retain(|_| index.next().is_some_and(|index| !dropped.contains(&index)));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
    use super::*;
    use crate::rng::Rng;
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::string::{String, ToString as _};
    use serde_json::Value;

    const KEY: (u64, u64) = (1, 2);

    fn hash(msg: &str) -> u64 {
        assert!(json::check(msg, MAX_DEPTH).is_ok(), "{msg}");
        chat_key("o", msg, "t", KEY)
    }

    /// All texts of a group are the same value, and no two groups share one.
    #[track_caller]
    fn check(groups: &[&[&str]]) {
        let mut seen = Vec::new();
        for group in groups {
            let hashes: Vec<u64> = group.iter().map(|text| hash(text)).collect();
            assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{group:?}: {hashes:?}");
            assert!(!seen.contains(&hashes[0]), "{group:?} is like one before it");
            seen.push(hashes[0]);
        }
    }

    #[test]
    fn each_of_the_three_and_the_key_count() {
        let mut seen = Vec::new();
        for (originator, msg, time, key) in [
            ("o", "1", "t", KEY),
            ("p", "1", "t", KEY),
            ("o", "2", "t", KEY),
            ("o", "1", "u", KEY),
            ("o", "1", "t", (2, 1)),
            ("", "1", "ot", KEY),
            ("ot", "1", "", KEY),
            ("o", "\"1\"", "t", KEY),
            ("o", "not JSON", "t", KEY),
            ("o", "\"not JSON\"", "t", KEY),
            ("o", "", "t", KEY),
            ("o", "\"\"", "t", KEY),
        ] {
            let hash = chat_key(originator, msg, time, key);
            assert!(!seen.contains(&hash), "{originator} {msg} {time}");
            assert_eq!(hash, chat_key(originator, msg, time, key));
            seen.push(hash);
        }
    }

    #[test]
    fn values_of_different_types_differ() {
        check(&[
            &["null", " null "],
            &["true"],
            &["false"],
            &["0"],
            &["\"0\""],
            &["\"null\""],
            &["\"\""],
            &["[]", "[ ]"],
            &["{}", "{\n}"],
            &["[0]"],
            &["[[]]"],
            &["[[],[]]"],
            &["[{}]"],
            &["[null]"],
            &["[1,2]", "[ 1 , 2.0 ]"],
            &["[2,1]"],
            &["[[1],2]"],
            &["[[1,2]]"],
            &["[12]"],
            &["[\"1,2\"]"],
            &["[\"1\",\"2\"]"],
            &["{\"a\":1}"],
            &["{\"a\":\"1\"}"],
            &["[\"a\",1]"],
            &["{\"a\":{\"b\":1}}"],
            &["{\"a\":1,\"b\":2}", "{ \"\\u0061\" : 1.0 , \"b\" : 2e0 }"],
            &["{\"b\":2,\"a\":1}"],
            &["{\"a\":2,\"b\":1}"],
        ]);
    }

    #[test]
    fn strings_are_compared_unescaped() {
        check(&[
            &["\"ä😀/\"", r#""\u00e4\ud83d\ude00\/""#, r#""\u00E4\uD83D\uDE00/""#],
            &["\"\\\"\"", r#""\u0022""#],
            &[r#""\n\t\\""#, r#""\u000a\u0009\u005c""#],
            &[r#""\\n\\t""#],
            &[r#""\\""#],
            &[r#""\\\"""#],
            &["\"\u{7f}\u{2028}\"", r#""\u007f\u2028""#],
            &[r#""a\u0308""#, "\"a\u{308}\""],
            &["\"[{,:]}\""],
        ]);
    }

    #[test]
    fn numbers_are_the_nearest_double() {
        check(&[
            &["0", "-0", "0.0", "-0.0", "0e9", "1e-400"],
            &["1", "1.0", "1e0", "10e-1", "1.00000000000000000000000000001"],
            &["-1", "-1.0"],
            &["100.0", "1e2", "100", "1E+2"],
            // Read with an error in the last bit, the second is another number.
            &["900000000040000000000000000000000000000100.0", "9.0000000004e+41"],
            &["0.1", "0.1000000000000000055511151231257827021181583404541015625", "1e-1"],
            &["0.30000000000000004"],
            &["0.3"],
            &["1e23", "1E+23", "100000000000000000000000", "99999999999999991611392"],
            &["1.2345678901234568e+29", "123456789012345678901234567890"],
            &["5e-324", "4.9406564584124654e-324", "4.94065645841246544176568792868e-324"],
            &["2.2250738585072014e-308", "2.22507385850720138309023271733240406422e-308"],
            &["2.225073858507201e-308"],
            &["1.797693134862315e308", "1797693134862315e+293"],
            &["9007199254740992", "9007199254740993"],
            &["9007199254740994"],
            &["18446744073709551616", "18446744073709551615", "1.8446744073709552e+19"],
        ]);
    }

    #[test]
    fn doubles_written_shortest_and_at_length_are_alike() {
        let mut rng = Rng::new([11; 32]);
        for _ in 0..20_000 {
            let number = f64::from_bits(rng.u64());
            if !number.is_finite() {
                continue;
            }
            let (short, exponent) = (format!("{number:?}"), format!("{number:e}"));
            assert_eq!(hash(&short), hash(&exponent), "{number}");
            let long = format!("{number:.30e}");
            assert_eq!(hash(&short), hash(&long), "{number}");
            let next = f64::from_bits(number.to_bits() ^ 1);
            if next != number && next.is_finite() {
                assert_ne!(hash(&short), hash(&format!("{next:e}")), "{number}");
            }
        }
    }

    #[test]
    fn of_repeated_members_the_last_value_stands_at_the_first_place() {
        check(&[
            &[r#"{"a":3,"b":2}"#, r#"{"a":1,"b":2,"a":3}"#, r#"{"a":1,"a":2,"b":2,"\u0061":3}"#],
            &[r#"{"b":2,"a":3}"#, r#"{"b":1,"a":1,"b":2,"a":3}"#],
            &[r#"[{"a":1},{"a":2}]"#, r#"[{"a":0,"a":1},{"a":1,"a":2}]"#],
            &[r#"{"x":{"a":2}}"#, r#"{"x":{"a":1},"x":{"a":1,"a":2}}"#],
        ]);
    }

    fn random(rng: &mut Rng, depth: u64) -> Value {
        let text = |rng: &mut Rng| -> String {
            let letters = ['a', 'é', '😀', '/', ',', '"', '\\', '\n'];
            (0..rng.below(4)).map(|_| letters[rng.below(8) as usize]).collect()
        };
        match rng.below(if depth == 0 { 4 } else { 6 }) {
            0 => Value::from(rng.below(2) == 0),
            1 => Value::from(rng.below(20)),
            2 => Value::Null,
            3 => Value::from(text(rng)),
            4 => (0..rng.below(4)).map(|_| random(rng, depth - 1)).collect(),
            _ => (0..rng.below(4)).map(|_| (text(rng), random(rng, depth - 1))).collect(),
        }
    }

    /// A value with every blank, escape and exponent that there is room for.
    fn at_length(value: &Value) -> String {
        let quote = |name: &str| -> String {
            let units = name.encode_utf16().map(|unit| format!("\\u{unit:04X}"));
            format!(" \"{}\" ", units.collect::<String>())
        };
        match value {
            Value::Null | Value::Bool(_) => format!("\t{value}\n"),
            Value::Number(number) => format!(" {number}.00E+00 "),
            Value::String(name) => quote(name),
            Value::Array(elements) => {
                let elements: Vec<String> = elements.iter().map(at_length).collect();
                format!(" [ {} ] ", elements.join(" , "))
            }
            Value::Object(members) => {
                let member = |(name, value): (&String, &Value)| {
                    format!("{}\r:\n{}", quote(name), at_length(value))
                };
                let members: Vec<String> = members.iter().map(member).collect();
                format!(" {{ {} }} ", members.join(","))
            }
        }
    }

    #[test]
    fn random_values_hash_alike_when_they_are_alike_and_only_then() {
        let mut rng = Rng::new([12; 32]);
        let mut seen: BTreeMap<u64, String> = BTreeMap::new();
        for _ in 0..5000 {
            let value = random(&mut rng, 4);
            let (short, long) = (value.to_string(), at_length(&value));
            assert_eq!(hash(&short), hash(&long), "{short} and {long}");
            let same = seen.entry(hash(&short)).or_insert_with(|| short.clone());
            assert_eq!(*same, short);
        }
    }

    #[test]
    fn hostile_messages_have_a_key() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert_ne!(hash(&nested(31)), hash(&nested(32)));
        for text in [nested(33), nested(100_000), "{".repeat(1000), "\"\\".into(), "]".into()] {
            assert_eq!(chat_key("o", &text, "t", KEY), chat_key("o", &text, "t", KEY));
        }
        let many = format!("{{\"x\":0{}}}", ",\"\":1".repeat(50_000));
        assert_eq!(hash(&many), hash(r#"{"x":0,"":1}"#));
        let digits = "9".repeat(250) + "." + &"9".repeat(100_000);
        assert_eq!(hash(&digits), hash("1e250"));
    }
}
