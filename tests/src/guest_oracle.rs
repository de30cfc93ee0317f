//! What the guests' bytes mean, in the plainest way there is, as the judge over their parsers.
//!
//! Everything is read by `serde_json`, into trees, from whole texts.

use core::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The first of `msgtype` and `msg_type` that is a key of the object with which a text begins, and
/// how long the object is; `None` if it is not whole, no JSON, or has neither.
pub fn first_key(text: &[u8]) -> Option<(&'static str, usize)> {
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let _ = stream.next()?.ok()?;
    let len = stream.byte_offset();
    let mut reader = serde_json::Deserializer::from_slice(&text[..len]);
    Some((reader.deserialize_map(FirstKey).ok()??, len))
}

struct FirstKey;

impl<'de> Visitor<'de> for FirstKey {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
            let known = ["msgtype", "msg_type"].into_iter().find(|known| *known == key);
            found = found.or(known);
        }
        Ok(found)
    }
}

/// Type, originator and time of a chat object, and its `msg` as a value.
pub fn chat_object(text: &str) -> Option<(String, Value, String, String)> {
    let object: Value = serde_json::from_str(text).ok()?;
    let object = object.as_object()?;
    let text = |key: &str| object.get(key)?.as_str().map(str::to_owned);
    Some((text("msg_type")?, object.get("msg")?.clone(), text("originator")?, text("time")?))
}

/// Whether these first bytes are those of a guest: no object, or one with chat's key. Of the first
/// `known` it is known that they alone are not.
pub fn begins_as_guest(first: &[u8], known: usize) -> bool {
    const KEY: &[u8] = b"\"msg_type\"";
    match first.trim_ascii_start().first() {
        Some(b'{') => {
            let last = &first[known.saturating_sub(KEY.len() - 1)..];
            last.windows(KEY.len()).any(|word| word == KEY)
        }
        Some(byte) => *byte > b' ',
        None => false,
    }
}

/// How deeply a text may nest at most, by its brackets, quoted or not.
pub fn depth(text: &[u8]) -> usize {
    text.iter().filter(|byte| matches!(byte, b'{' | b'[')).count()
}

/// A value written anew, as Python's module might: other blanks, other escapes. `None` if the text
/// is no JSON, or has an object in it whose keys might change their order, or a number that
/// `serde_json` reads with an error in its last bit, as it does to be quick.
pub fn written_anew(text: &str) -> Option<[String; 2]> {
    let value: Value = serde_json::from_str(text).ok()?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c));
    let is_rough = |text: &str| {
        let nearest = text.parse::<f64>().ok();
        nearest.is_some() && serde_json::from_str::<f64>(text).ok() != nearest
    };
    if text.contains('{') || numbers.any(is_rough) {
        return None;
    }
    let plain = value.to_string();
    let ascii = plain.chars().flat_map(escaped).collect();
    Some([serde_json::to_string_pretty(&value).ok()?, ascii])
}

fn escaped(character: char) -> Vec<char> {
    if character.is_ascii() {
        return vec![character];
    }
    let units = character.encode_utf16(&mut [0; 2]).to_vec();
    units.iter().flat_map(|unit| format!("\\u{unit:04x}").chars().collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_is_the_one_of_the_outer_object() {
        for (text, expected) in [
            (r#"{"a":{"msgtype":1},"msg_type":2,"msgtype":3} x"#, Some(("msg_type", 44))),
            (r#"{"msgt\u0079pe":1}"#, Some(("msgtype", 18))),
            (r#"{"a":1}"#, None),
            (r#"["msgtype"]"#, None),
            (r#"{"msgtype":1"#, None),
        ] {
            assert_eq!(first_key(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_value_written_anew_is_the_same_value_in_other_bytes() {
        let [pretty, ascii] = written_anew("[1.0,\"\u{e9}\"]").unwrap();
        assert_eq!(
            (pretty.as_str(), ascii.as_str()),
            ("[\n  1.0,\n  \"\u{e9}\"\n]", "[1.0,\"\\u00e9\"]")
        );
        assert_eq!(written_anew("[{}]"), None);
        assert_eq!(written_anew("[900000000040000000000000000000000000000100.0]"), None);
    }
}
