//! Whether a reaction is the one that a vector demands.

use serde_json::Value;

use super::{End, File, Original, Reaction, Vector};

/// Whether a node reacted as is demanded.
///
/// # Errors
/// What is wrong with the reaction.
pub fn judge(file: &File, vector: &Vector, reaction: &Reaction) -> Result<(), String> {
    let demanded = file.demanded(vector);
    match vector.verdict() {
        "same" | "accept" => {
            check_end(&demanded.end, reaction.end)?;
            check_messages(demanded, reaction)?;
            check_reply(&vector.dialect, &demanded.reply, &reaction.reply)
        }
        "either" => check_either(&vector.name, reaction),
        "alive" => Ok(()),
        other => Err(format!("no verdict {other}")),
    }
}

fn check_end(demanded: &str, end: End) -> Result<(), String> {
    let fine = match demanded {
        "eof" => end == End::Eof,
        "eof or reset" => end != End::Open,
        "open" => end == End::Open,
        "closed" => true,
        other => return Err(format!("no end {other}")),
    };
    if fine { Ok(()) } else { Err(format!("the end is to be {demanded}")) }
}

fn check_reply(dialect: &str, demanded: &[Value], reply: &[u8]) -> Result<(), String> {
    match dialect {
        "A" => {
            let told = frames(reply).ok_or("no frames")?;
            let as_values = told.iter().map(|(kind, text)| serde_json::json!([kind, text]));
            let fits = as_values.zip(demanded).all(|(told, due)| matches_words(due, &told));
            let fits = fits && told.len() == demanded.len();
            if fits { Ok(()) } else { Err(format!("{demanded:?} is due")) }
        }
        "B" if reply.is_empty() => Ok(()),
        "C" => check_lines(demanded, reply),
        _ => Err("nothing is due".to_owned()),
    }
}

/// A hello comes first, the other lines in any order, and each has the keys of the article alone.
fn check_lines(demanded: &[Value], reply: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(reply).map_err(|error| error.to_string())?;
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let mut told = lines.map_err(|error| format!("no line: {error}"))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("a cut line".to_owned());
    }
    for (number, due) in demanded.iter().enumerate() {
        let found = told.iter().position(|line| matches_value(due, line));
        match found {
            Some(at) if at == 0 || number > 0 => told.remove(at),
            _ => return Err(format!("{due} is due")),
        };
    }
    if told.is_empty() { Ok(()) } else { Err(format!("{told:?} is too much")) }
}

fn check_messages(demanded: &Original, reaction: &Reaction) -> Result<(), String> {
    let mut told = parsed(reaction)?;
    for (port, due) in
        demanded.messages.iter().flat_map(|(port, all)| all.iter().map(move |due| (*port, due)))
    {
        let found = told.iter().position(|(at, object)| *at == port && matches_value(due, object));
        let at = found.ok_or_else(|| format!("{due} is due at {port}"))?;
        told.remove(at);
    }
    let fine = told.is_empty() || demanded.among_others;
    if fine { Ok(()) } else { Err(format!("{told:?} is too much")) }
}

/// Each message is one object as an original reads it: by itself, in at most 2,048 bytes.
fn parsed(reaction: &Reaction) -> Result<Vec<(u16, Value)>, String> {
    let all = reaction.messages.iter();
    let all = all.flat_map(|(port, said)| said.iter().map(move |bytes| (*port, bytes)));
    all.map(|(port, bytes)| {
        let object = serde_json::from_slice(bytes).map_err(|error| error.to_string());
        if bytes.len() > 2_048 {
            return Err("too long".to_owned());
        }
        Ok((port, object?))
    })
    .collect()
}

/// What the notes of the vectors allow.
fn check_either(name: &str, reaction: &Reaction) -> Result<(), String> {
    let messages = parsed(reaction)?;
    let of_type = |kind: &str| messages.iter().all(|(_, object)| object["msg_type"] == kind);
    let told = frames(&reaction.reply);
    let fine = match name {
        "a-quer-malformed" => told.is_some_and(|told| {
            let error = [("ERRO".to_owned(), "Query: incorrect arguments".to_owned())];
            reaction.end == End::Eof && (told.is_empty() || told == error)
        }),
        "a-huge-length" => reaction.reply.is_empty(),
        "b-broadcast-other-originator" => of_type("BROADCAST") && reaction.end == End::Eof,
        "b-missing-key" => of_type("PONG") && reaction.end == End::Eof,
        other => return Err(format!("no note on {other}")),
    };
    if fine { Ok(()) } else { Err("neither of the two".to_owned()) }
}

/// Kind and text of each frame; `None` if the bytes are not whole frames.
pub fn frames(mut bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (header, rest) = bytes.split_first_chunk::<8>()?;
        let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let (payload, rest) = rest.split_at_checked(len)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        found.push((text(&header[..4]), text(payload)));
        bytes = rest;
    }
    Some(found)
}

/// A frame, written.
pub fn frame(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = kind.as_bytes().to_vec();
    bytes.resize(4, 0);
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Whether a list of texts is told as the patterns demand: anything at all, or a text whose dots
/// are escaped.
fn matches_words(due: &Value, told: &Value) -> bool {
    let (Some(due), Some(told)) = (due.as_array(), told.as_array()) else { return false };
    let matches = |(due, told): (&Value, &Value)| match (due.as_str(), told.as_str()) {
        (Some(".+"), Some(told)) => !told.is_empty(),
        (Some(due), Some(told)) => due.replace("\\.", ".") == told,
        _ => false,
    };
    due.len() == told.len() && due.iter().zip(told).all(matches)
}

/// Whether a value is the one that is due, where `*` stands for any.
fn matches_value(due: &Value, told: &Value) -> bool {
    match (due, told) {
        (Value::String(any), _) if any == "*" => true,
        (Value::Array(due), Value::Array(told)) => {
            due.len() == told.len() && due.iter().zip(told).all(|(d, t)| matches_value(d, t))
        }
        (Value::Object(due), Value::Object(told)) => {
            let is_told = |(key, due): (&String, &Value)| {
                told.get(key).is_some_and(|told| matches_value(due, told))
            };
            due.len() == told.len() && due.iter().all(is_told)
        }
        _ => due == told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stars_and_dots_are_understood_and_nothing_else_passes() {
        assert!(matches_value(&json!({"a": ["*", 1]}), &json!({"a": [{}, 1]})));
        for told in [json!({"a": [1]}), json!({"a": [1, 2]}), json!({"a": [1, 1], "b": 1})] {
            assert!(!matches_value(&json!({"a": ["*", 1]}), &told), "{told}");
        }
        assert!(matches_words(&json!(["REPL", ".+"]), &json!(["REPL", "x"])));
        assert!(!matches_words(&json!(["REPL", ".+"]), &json!(["REPL", ""])));
        assert!(matches_words(&json!(["1\\.2"]), &json!(["1.2"])));
        assert!(!matches_words(&json!(["1\\.2"]), &json!(["1x2"])));
        assert_eq!(frames(&frame("X", b"ab")), Some(vec![("X\0\0\0".into(), "ab".into())]));
        assert_eq!(frames(&frame("X", b"ab")[..9]), None);
    }

    #[test]
    fn a_hello_comes_first_and_once() {
        let due = [json!({"msgtype": "hello"}), json!({"msgtype": "ping"})];
        let (hello, ping) = ("{\"msgtype\":\"hello\"}\n", "{\"msgtype\":\"ping\"}\n");
        let check = |lines: &[&str]| check_lines(&due, lines.concat().as_bytes());
        assert!(check(&[hello, ping]).is_ok());
        for lines in [&[ping, hello][..], &[hello], &[hello, ping, hello], &[hello, ping, ping]] {
            assert!(check(lines).is_err(), "{lines:?}");
        }
        assert!(check_lines(&due[..1], b"{\"msgtype\":\"hello\"}").is_err(), "no line end");
    }
}
