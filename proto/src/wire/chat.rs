//! The original chat's objects: what a text says, and how ours are written.
//!
//! An object has four members that count: `msg_type`, `msg`, `originator` and `time`. What is wrong
//! with one is never held against its connection: the original takes anything and so do we, but for
//! acting on it. Ours are written as Python writes them, and never longer than the original reads.
#![deny(clippy::arithmetic_side_effects)]

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::Write as _;

use crate::quote::push_quoted;
use crate::wire::json::{self, Span};
use crate::wire::lists::List;

/// The longest object the original reads, in bytes.
pub(crate) const MAX_OBJECT: usize = 2048;

/// What an object is for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum ChatType {
    Ping,
    Pong,
    Advertise,
    AdvertiseReply,
    Broadcast,
    Test,
}

impl ChatType {
    const ALL: [Self; 6] = [
        Self::Ping,
        Self::Pong,
        Self::Advertise,
        Self::AdvertiseReply,
        Self::Broadcast,
        Self::Test,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Advertise => "ADVERTISE",
            Self::AdvertiseReply => "ADVERTISE_REPLY",
            Self::Broadcast => "BROADCAST",
            Self::Test => "TEST",
        }
    }
}

/// An object, borrowed from its text.
#[derive(Clone, Debug)]
pub(crate) struct ChatObject<'a> {
    pub(crate) msg_type: ChatType,
    pub(crate) msg: Span<'a>,
    pub(crate) originator: Cow<'a, str>,
    pub(crate) time: Cow<'a, str>,
}

/// Why a text is no chat object.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum NotChat {
    /// It is no JSON object of at most 32 levels, or its originator or time is no string.
    Malformed,
    /// One of the four members is missing.
    MissingKey,
    /// Its `msg_type` is none that is known.
    UnknownType,
}

/// Reads an object. Blanks around it pass. Of a key that occurs twice the last one counts, as in
/// Python.
pub(crate) fn parse(object: &str) -> Result<ChatObject<'_>, NotChat> {
    let (mut msg_type, mut msg, mut originator, mut time) = (None, None, None, None);
    json::object(object, |key, value| match &*key.unescape() {
        "msg_type" => msg_type = Some(value),
        "msg" => msg = Some(value),
        "originator" => originator = Some(value),
        "time" => time = Some(value),
        _ => {}
    })
    .map_err(|_| NotChat::Malformed)?;
    let (Some(msg_type), Some(msg), Some(originator), Some(time)) =
        (msg_type, msg, originator, time)
    else {
        return Err(NotChat::MissingKey);
    };
    let word = msg_type.as_text();
    let known = ChatType::ALL.into_iter().find(|known| word.as_deref() == Some(known.word()));
    Ok(ChatObject {
        msg_type: known.ok_or(NotChat::UnknownType)?,
        msg,
        originator: originator.as_text().ok_or(NotChat::Malformed)?,
        time: time.as_text().ok_or(NotChat::Malformed)?,
    })
}

/// The three fields of a line of chat, as native broadcasts of kind `CHAT` carry it.
pub(crate) fn said(originator: &str, msg: &str, time: &str) -> String {
    let room = msg.len().saturating_add(originator.len()).saturating_add(time.len());
    let mut text = String::with_capacity(room.saturating_add(64));
    text.push_str("{\"originator\":");
    push_quoted(&mut text, originator);
    text.push_str(",\"msg\":");
    text.push_str(msg);
    text.push_str(",\"time\":");
    push_quoted(&mut text, time);
    text.push('}');
    text
}

/// The originator, `msg` and time of such a line; `None` if one is missing or no string.
pub(crate) fn parse_said(body: &str) -> Option<(Cow<'_, str>, &str, Cow<'_, str>)> {
    let (mut originator, mut msg, mut time) = (None, None, None);
    json::object(body, |key, value| match &*key.unescape() {
        "originator" => originator = Some(value),
        "msg" => msg = Some(value),
        "time" => time = Some(value),
        _ => {}
    })
    .ok()?;
    Some((originator?.as_text()?, msg?.text, time?.as_text()?))
}

/// The address in `[host, port, …]`: what PING and PONG carry. A port is 1 to 65535.
pub(crate) fn address(msg: Span<'_>) -> Option<(Cow<'_, str>, u16)> {
    next_address(&mut List::of(msg)?)
}

/// The name and the address in `[id, [host, port, …], …]`: what ADVERTISE_REPLY carries.
pub(crate) fn named_address(msg: Span<'_>) -> Option<(Cow<'_, str>, Cow<'_, str>, u16)> {
    let mut list = List::of(msg)?;
    let id = list.text()?;
    list.enter()?;
    let (host, port) = next_address(&mut list)?;
    Some((id, host, port))
}

fn next_address<'a>(list: &mut List<'a>) -> Option<(Cow<'a, str>, u16)> {
    let (host, port) = (list.text()?, list.integer()?);
    Some((host, u16::try_from(port).ok().filter(|port| *port != 0)?))
}

/// Who says something, and when.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Stamp<'a> {
    pub(crate) originator: &'a str,
    /// As `ctime` writes it.
    pub(crate) time: &'a str,
}

/// A PING that names where we listen. `None`, here and below: too long for the original.
pub(crate) fn ping((host, port): (&str, u16), stamp: Stamp<'_>) -> Option<String> {
    object(ChatType::Ping, &pair(host, port), stamp)
}

/// A PONG that names where we listen.
pub(crate) fn pong((host, port): (&str, u16), stamp: Stamp<'_>) -> Option<String> {
    object(ChatType::Pong, &pair(host, port), stamp)
}

pub(crate) fn advertise(stamp: Stamp<'_>) -> Option<String> {
    object(ChatType::Advertise, "\"\"", stamp)
}

/// An ADVERTISE_REPLY that names one other peer.
pub(crate) fn advertise_reply(
    id: &str,
    (host, port): (&str, u16),
    stamp: Stamp<'_>,
) -> Option<String> {
    let mut msg = String::from("[");
    push_quoted(&mut msg, id);
    let _infallible = write!(msg, ", {}]", pair(host, port));
    object(ChatType::AdvertiseReply, &msg, stamp)
}

/// A BROADCAST of any JSON.
pub(crate) fn broadcast(msg: &str, stamp: Stamp<'_>) -> Option<String> {
    object(ChatType::Broadcast, msg, stamp)
}

fn pair(host: &str, port: u16) -> String {
    let mut pair = String::from("[");
    push_quoted(&mut pair, host);
    let _infallible = write!(pair, ", {port}]");
    pair
}

/// An object as the original writes it, down to the blanks.
fn object(msg_type: ChatType, msg: &str, stamp: Stamp<'_>) -> Option<String> {
    // Escaping only makes it longer, so what is too long already need not be written.
    let least = [msg, stamp.originator, stamp.time];
    if least.iter().fold(0, |sum: usize, text| sum.saturating_add(text.len())) > MAX_OBJECT {
        return None;
    }
    let mut text = String::with_capacity(256);
    let _infallible = write!(text, "{{\"msg_type\": \"{}\", \"msg\": {msg}", msg_type.word());
    text.push_str(", \"originator\": ");
    push_quoted(&mut text, stamp.originator);
    text.push_str(", \"time\": ");
    push_quoted(&mut text, stamp.time);
    text.push('}');
    (text.len() <= MAX_OBJECT).then_some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;
    use crate::rng::Rng;
    use alloc::format;

    const WHEN: &str = "Fri Nov 20 15:55:40 2026";
    const PING: &str = concat!(
        r#"{"msg_type": "PING", "msg": ["127.0.0.1", 47001], "#,
        r#""originator": "vec-a", "time": "Fri Nov 20 15:55:40 2026"}"#
    );

    fn stamp(originator: &str) -> Stamp<'_> {
        Stamp { originator, time: WHEN }
    }

    /// An object with this type and `msg`.
    fn with(msg_type: &str, msg: &str) -> String {
        format!(r#"{{"msg_type":"{msg_type}","msg":{msg},"originator":"o","time":"t"}}"#)
    }

    fn address_in(msg: &str) -> Option<(String, u16)> {
        let text = with("PING", msg);
        let (host, port) = address(parse(&text).unwrap().msg)?;
        Some((host.into_owned(), port))
    }

    #[test]
    fn objects_are_written_as_the_original_does() {
        assert_eq!(ping(("127.0.0.1", 47001), stamp("vec-a")).as_deref(), Some(PING));
        let expected = PING.replace("PING", "PONG");
        assert_eq!(pong(("127.0.0.1", 47001), stamp("vec-a")), Some(expected));
        let expected =
            PING.replace("PING", "ADVERTISE").replace(r#"["127.0.0.1", 47001]"#, r#""""#);
        assert_eq!(advertise(stamp("vec-a")), Some(expected));
        let expected = concat!(
            r#"{"msg_type": "ADVERTISE_REPLY", "msg": ["Charlie", ["127.0.0.1", 22002]], "#,
            r#""originator": "Baker", "time": "Fri Nov 20 15:55:40 2026"}"#
        );
        let reply = advertise_reply("Charlie", ("127.0.0.1", 22002), stamp("Baker"));
        assert_eq!(reply.as_deref(), Some(expected));
        let expected = concat!(
            r#"{"msg_type": "BROADCAST", "msg": {"any": ["json", 1, null]}, "#,
            r#""originator": "vec-a", "time": "Fri Nov 20 15:55:40 2026"}"#
        );
        let said = broadcast(r#"{"any": ["json", 1, null]}"#, stamp("vec-a"));
        assert_eq!(said.as_deref(), Some(expected));
        let expected = concat!(
            r#"{"msg_type": "TEST", "msg": "t", "#,
            r#""originator": "Able", "time": "Sun Nov  1 09:05:07 2026"}"#
        );
        let stamp = Stamp { originator: "Able", time: "Sun Nov  1 09:05:07 2026" };
        assert_eq!(object(ChatType::Test, "\"t\"", stamp).as_deref(), Some(expected));
    }

    #[test]
    fn objects_are_read_whatever_their_order_and_blanks() {
        for text in [
            PING,
            &format!(" {PING}\n"),
            &PING.replace(", ", " ,\r\n\t"),
            &PING.replace("msg_type", r"m\u0073g_type").replace("PING", r"P\u0049NG"),
            &PING.replace("2026\"}", "2026\", \"more\": {\"msg\": 1}}"),
            &PING.replace("{\"", "{\"msg\": 1, \"time\": 2, \"msg_type\": \"TEST\", \""),
            &PING.replace("2026\"}", &format!("2026\"{}}}", " ".repeat(1940))),
        ] {
            let read = parse(text).unwrap();
            assert_eq!(read.msg_type, ChatType::Ping);
            assert_eq!((&*read.originator, &*read.time), ("vec-a", WHEN));
            assert_eq!(address(read.msg), Some(("127.0.0.1".into(), 47001)));
        }
        for msg_type in ChatType::ALL {
            assert_eq!(parse(&with(msg_type.word(), "0")).unwrap().msg_type, msg_type);
        }
    }

    #[test]
    fn what_is_no_object_says_why() {
        let why = |text: &str| parse(text).err();
        for text in ["", "[]", "1", "{", "{}x", "\u{feff}{}", r#"{"msg": NaN}"#] {
            assert_eq!(why(text), Some(NotChat::Malformed), "{text}");
        }
        assert_eq!(why(&PING.replace("\"vec-a\"", "1")), Some(NotChat::Malformed));
        assert_eq!(why(&PING.replace("vec-a", "\\ud800")), Some(NotChat::Malformed));
        assert_eq!(
            why(&PING.replace("\"Fri Nov 20 15:55:40 2026\"", "{}")),
            Some(NotChat::Malformed)
        );
        for key in ["msg_type", "msg\"", "originator", "time"] {
            let text = PING.replace(key, &key.replace('m', "M").replace('o', "O"));
            assert_eq!(why(&text), Some(NotChat::MissingKey), "{text}");
        }
        for word in ["\"ping\"", "\"\"", "1", "null", "[\"PING\"]"] {
            let text = PING.replace("\"PING\"", word);
            assert_eq!(why(&text), Some(NotChat::UnknownType), "{text}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |depth| with("TEST", &format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(parse(&nested(31)).is_ok());
        assert_eq!(parse(&nested(32)).err(), Some(NotChat::Malformed));
        assert_eq!(parse(&nested(100_000)).err(), Some(NotChat::Malformed));
    }

    #[test]
    fn of_an_address_only_the_first_two_elements_are_looked_at() {
        assert_eq!(address_in(r#"["h", 1]"#), Some(("h".into(), 1)));
        assert_eq!(address_in(r#"["\u0068",65535,{"x":[]}]"#), Some(("h".into(), 65535)));
        for msg in [
            "\"\"",
            "[]",
            r#"["h"]"#,
            r#"["h",0]"#,
            r#"["h",65536]"#,
            r#"["h",-1]"#,
            r#"["h",1.0]"#,
            r#"["h","1"]"#,
            r#"[1,1]"#,
            r#"[["h"],1]"#,
            r#"{"h":1}"#,
            "null",
        ] {
            assert_eq!(address_in(msg), None, "{msg}");
        }
        let text = with("ADVERTISE_REPLY", r#"["id",["h",2,3],4]"#);
        let named = named_address(parse(&text).unwrap().msg);
        assert_eq!(named, Some(("id".into(), "h".into(), 2)));
        for msg in [r#"["id"]"#, r#"["id","h",2]"#, r#"[1,["h",2]]"#, r#"["id",["h"]]"#, "\"\""] {
            let text = with("ADVERTISE_REPLY", msg);
            assert_eq!(named_address(parse(&text).unwrap().msg), None, "{msg}");
        }
    }

    #[test]
    fn nothing_longer_than_the_original_reads_is_written() {
        let least = broadcast("\"\"", stamp("o")).unwrap().len();
        let room = 2048 - least;
        let longest = broadcast(&format!("\"{}\"", "x".repeat(room)), stamp("o"));
        assert_eq!(longest.map(|text| text.len()), Some(2048));
        assert_eq!(broadcast(&format!("\"{}\"", "x".repeat(room + 1)), stamp("o")), None);
        assert_eq!(advertise(stamp(&"\n".repeat(400))), None);
        assert_eq!(ping((&"x".repeat(100_000), 1), stamp("o")), None);
    }

    #[test]
    fn whatever_is_written_is_read_back() {
        let mut rng = Rng::new([9; 32]);
        let letters = ['a', '"', '\\', '\n', '\0', '\u{7f}', 'ä', '\u{2028}', '😀', '{', ','];
        for _ in 0..500 {
            let mut text = |_| -> String {
                let len = rng.below(20);
                (0..len).map(|_| letters[rng.below(letters.len() as u64) as usize]).collect()
            };
            let [id, host, originator, time] = [0; 4].map(&mut text);
            let stamp = Stamp { originator: &originator, time: &time };
            let written = advertise_reply(&id, (&host, 7), stamp).unwrap();
            let read = parse(&written).unwrap();
            assert_eq!((&*read.originator, &*read.time), (&*originator, &*time));
            assert_eq!(named_address(read.msg), Some((id.into(), host.into(), 7)));
        }
    }

    #[test]
    fn who_what_and_when_are_read_as_they_were_written() {
        for (originator, msg, time) in [("o", "1", "t"), ("", "\"\"", ""), ("a\"b", "{}", "\n")] {
            let body = said(originator, msg, time);
            let (who, what, when) = parse_said(&body).unwrap();
            assert_eq!((&*who, what, &*when), (originator, msg, time));
        }
        let more = r#"{"time":"t","x":1,"msg":[1, 2],"originator":"o"}"#;
        assert_eq!(parse_said(more), Some(("o".into(), "[1, 2]", "t".into())));
        for body in [
            "1",
            "",
            r#"{"msg":1,"time":"t"}"#,
            r#"{"originator":"o","time":"t"}"#,
            r#"{"originator":"o","msg":1}"#,
            r#"{"originator":1,"msg":1,"time":"t"}"#,
            r#"{"originator":"o","msg":1,"time":2}"#,
        ] {
            assert_eq!(parse_said(body), None, "{body}");
        }
    }
}
