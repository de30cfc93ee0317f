//! What a line on standard input asks a node to do.
//!
//! Decides what a body is: JSON if the rest of the line is that, else the rest of the line as text.

use peerline_mio::Dialect;
use serde_json::Value;

/// A line, understood.
#[derive(Debug, PartialEq)]
pub(super) enum Command<'l> {
    /// An empty line.
    Nothing,
    /// Join whoever is there.
    Join { dialect: Dialect, addr: &'l str },
    /// Say it to all.
    Broadcast { kind: &'l str, body: Value },
    /// Say it to one.
    Send { to: &'l str, kind: &'l str, body: Value },
    /// Ask one.
    Request { to: Who<'l>, kind: &'l str, body: Value },
    /// List who is known.
    Peers,
    /// Ask a peer whom it knows.
    Ask(&'l str),
    /// Forget a peer.
    Forget(&'l str),
    /// Look whether all live.
    Live,
    /// Save the address book.
    Save,
    /// Leave.
    Quit,
}

/// Whom to ask.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Who<'l> {
    /// A peer, by its id or name.
    Peer(&'l str),
    /// Whoever speaks frames at a host and port.
    Place(&'l str),
}

/// Understands a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(line: &str) -> Result<Command<'_>, &'static str> {
    let (word, rest) = split(line);
    match (word, rest) {
        ("", _) => Ok(Command::Nothing),
        ("join", rest) => join(rest),
        ("broadcast", rest) => match split(rest) {
            ("", _) => Err("usage: broadcast KIND BODY"),
            (kind, body) => Ok(Command::Broadcast { kind, body: value(body) }),
        },
        ("send", rest) => {
            let (to, kind, body) = three(rest).ok_or("usage: send PEER KIND BODY")?;
            Ok(Command::Send { to, kind, body })
        }
        ("request", rest) => {
            let (to, kind, body) =
                three(rest).ok_or("usage: request PEER|btpeer:ADDR KIND BODY")?;
            let to = to.strip_prefix("btpeer:").map_or(Who::Peer(to), Who::Place);
            Ok(Command::Request { to, kind, body })
        }
        ("ask" | "forget", "") => Err("which peer? its id or name, or how that begins"),
        ("ask", who) => Ok(Command::Ask(who)),
        ("forget", who) => Ok(Command::Forget(who)),
        ("peers", "") => Ok(Command::Peers),
        ("live", "") => Ok(Command::Live),
        ("save", "") => Ok(Command::Save),
        ("quit", "") => Ok(Command::Quit),
        _ => Err("no such command; --help lists them"),
    }
}

fn join(rest: &str) -> Result<Command<'_>, &'static str> {
    let (dialect, addr) = match split(rest) {
        ("btpeer", addr) => (Dialect::Btpeer, addr),
        ("chat", addr) => (Dialect::Chat, addr),
        _ => (Dialect::Native, rest),
    };
    if addr.is_empty() || addr.contains(char::is_whitespace) {
        return Err("usage: join [btpeer|chat] ADDR");
    }
    Ok(Command::Join { dialect, addr })
}

/// A peer, a kind, and a body.
fn three(rest: &str) -> Option<(&str, &str, Value)> {
    let (to, rest) = split(rest);
    let (kind, body) = split(rest);
    (!kind.is_empty()).then(|| (to, kind, value(body)))
}

fn value(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|_| Value::from(body))
}

/// The first word, and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace)
        .map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn each_dialect_is_joined_by_its_name() {
        for (line, dialect) in [
            ("join h:1", Dialect::Native),
            ("join btpeer h:1 ", Dialect::Btpeer),
            (" join  chat  h:1", Dialect::Chat),
        ] {
            assert_eq!(parse(line), Ok(Command::Join { dialect, addr: "h:1" }));
        }
        for line in ["join", "join btpeer", "join chat", "join native h:1", "join h 1"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_body_is_json_or_else_text() {
        for (text, body) in [
            ("hello  all", json!("hello  all")),
            ("{\"a\": [1]}", json!({"a": [1]})),
            ("\"7\"", json!("7")),
            ("7", json!(7)),
            ("7 up", json!("7 up")),
            ("", json!("")),
        ] {
            let line = format!("broadcast NEWS {text}");
            assert_eq!(parse(&line), Ok(Command::Broadcast { kind: "NEWS", body: body.clone() }));
            let line = format!("send bob NEWS {text}");
            assert_eq!(parse(&line), Ok(Command::Send { to: "bob", kind: "NEWS", body }));
        }
    }

    #[test]
    fn peers_and_places_are_asked() {
        let expect = |to| Ok(Command::Request { to, kind: "FGET", body: json!("a b") });
        assert_eq!(parse("request bob FGET a b"), expect(Who::Peer("bob")));
        assert_eq!(parse("request btpeer:h:1 FGET a b"), expect(Who::Place("h:1")));
        assert_eq!(parse("ask bob"), Ok(Command::Ask("bob")));
        assert_eq!(parse("forget a name"), Ok(Command::Forget("a name")));
    }

    #[test]
    fn a_line_that_is_no_command_is_an_error() {
        for line in ["peers all", "send bob", "send", "request bob", "ask", "forget", "Quit", "x"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(parse(" \t"), Ok(Command::Nothing));
        for (line, command) in
            [("peers", Command::Peers), ("live", Command::Live), ("quit ", Command::Quit)]
        {
            assert_eq!(parse(line), Ok(command));
        }
    }
}
