//! What a line on standard input asks a sharer to do.

use super::query::is_key;

/// How far a search goes unless it is said. Four steps, as the framework's own file sharer has it.
const TTL: u8 = 4;

/// A line, understood.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Command<'l> {
    /// An empty line.
    Nothing,
    /// Ask the others for files whose names hold the key.
    Search { key: &'l str, ttl: u8 },
    /// Get a file.
    Get { file: &'l str, from: &'l str },
    /// List the files shared.
    List,
    /// List who is known.
    Peers,
    /// Leave.
    Quit,
}

/// Understands a line.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(line: &str) -> Result<Command<'_>, &'static str> {
    let line = line.trim();
    let (word, rest) = line
        .split_once(char::is_whitespace)
        .map_or((line, ""), |(word, rest)| (word, rest.trim_start()));
    match (word, rest) {
        ("", _) => Ok(Command::Nothing),
        ("search", rest) => search(rest).ok_or("usage: search KEY [TTL], both without blanks"),
        ("get", rest) => match rest.rsplit_once(" from ") {
            Some((file, from)) if !file.is_empty() && !from.trim().is_empty() => {
                Ok(Command::Get { file, from: from.trim() })
            }
            _ => Err("usage: get FILE from PEER-OR-ADDR"),
        },
        ("list", "") => Ok(Command::List),
        ("peers", "") => Ok(Command::Peers),
        ("quit", "") => Ok(Command::Quit),
        _ => Err("no such command; --help lists them"),
    }
}

fn search(rest: &str) -> Option<Command<'_>> {
    let mut words = rest.split_whitespace();
    let key = words.next().filter(|key| is_key(key))?;
    let ttl = words.next().map_or(Some(TTL), |ttl| ttl.parse().ok())?;
    words.next().is_none().then_some(Command::Search { key, ttl })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_words() {
        for (line, command) in [
            ("", Command::Nothing),
            ("search hello", Command::Search { key: "hello", ttl: 4 }),
            (" search hello 0 ", Command::Search { key: "hello", ttl: 0 }),
            ("get a b.txt from 127.0.0.1:7", Command::Get { file: "a b.txt", from: "127.0.0.1:7" }),
            ("get x from y from bob", Command::Get { file: "x from y", from: "bob" }),
            ("list", Command::List),
            ("peers ", Command::Peers),
            ("quit", Command::Quit),
        ] {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_no_command_is_an_error() {
        for line in [
            "search",
            "search a b",
            "search a 1 2",
            "search a 256",
            "get a",
            "get from bob",
            "get a from",
            "list all",
            "List",
            "quit now",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
