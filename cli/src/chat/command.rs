//! What a typed line asks for.
//!
//! Decides which lines are commands: those that begin with a slash, and the original chat's words
//! where the rest of the line fits them, so that "LIST of things" and "JOIN us" are still said.

/// A line, understood.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Command<'l> {
    /// An empty line.
    Nothing,
    /// Say it to all.
    Say(&'l str),
    /// Say it to one.
    To { who: &'l str, text: &'l str },
    /// List who is connected.
    Peers,
    /// Connect to this host and port.
    Join(String),
    /// The same, to hear of its peers.
    Request(String),
    /// List the commands.
    Help,
    /// Leave.
    Quit,
    /// A command that cannot be carried out, and why.
    Wrong(&'static str),
}

/// Understands a line.
pub(super) fn parse(line: &str) -> Command<'_> {
    if line.trim().is_empty() {
        return Command::Nothing;
    }
    match line.strip_prefix('/') {
        Some(text) if text.starts_with('/') => Command::Say(text),
        Some(command) => slash(command),
        None => original(line).unwrap_or(Command::Say(line)),
    }
}

fn slash(command: &str) -> Command<'_> {
    let (word, rest) = split(command);
    match (word, rest) {
        ("quit" | "exit", "") => Command::Quit,
        ("help" | "?", "") => Command::Help,
        ("peers" | "list", "") => Command::Peers,
        ("join", rest) => match address(rest) {
            Some(addr) => Command::Join(addr),
            None => Command::Wrong("/join needs an address, like /join 192.168.1.7:4040"),
        },
        ("to", rest) => match split(rest) {
            (_, "") => Command::Wrong("/to needs a name and a text, like /to bob good morning"),
            (who, text) => Command::To { who, text },
        },
        _ => Command::Wrong("no such command; /help lists them, and //… says a line with a slash"),
    }
}

/// The words of the original chat; none if the line is not one of its commands.
fn original(line: &str) -> Option<Command<'_>> {
    let (word, rest) = split(line);
    match (word, rest) {
        ("LIST", "") => Some(Command::Peers),
        ("QUIT", "") => Some(Command::Quit),
        ("JOIN", rest) => address(rest).map(Command::Join),
        ("REQUEST", rest) => address(rest).map(Command::Request),
        ("BROADCAST", rest) if !rest.is_empty() => Some(Command::Say(rest)),
        _ => None,
    }
}

/// `host:port`, from that or from `host port`.
fn address(text: &str) -> Option<String> {
    let (host, port) = match split(text) {
        (host, "") => host.rsplit_once(':')?,
        (host, port) => (host, port),
    };
    port.parse::<u16>().ok()?;
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    match host {
        "" => None,
        host if is_bare_v6 => Some(format!("[{host}]:{port}")),
        host => Some(format!("{host}:{port}")),
    }
}

/// The first word, and what follows it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace)
        .map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(addr: &str) -> Command<'static> {
        Command::Join(addr.into())
    }

    #[test]
    fn what_is_no_command_is_said() {
        for line in ["hello", " LIST of things", "JOIN us", "JOIN us at noon", "QUIT it", "list"] {
            assert_eq!(parse(line), Command::Say(line));
        }
        assert_eq!(parse("BROADCAST"), Command::Say("BROADCAST"));
        assert_eq!(parse("//join is a command"), Command::Say("/join is a command"));
        assert_eq!(parse(" \t"), Command::Nothing);
    }

    #[test]
    fn a_slash_begins_a_command() {
        assert_eq!(parse("/quit"), Command::Quit);
        assert_eq!(parse("/peers "), Command::Peers);
        assert_eq!(parse("/help"), Command::Help);
        assert_eq!(parse("/join h:1"), join("h:1"));
        assert_eq!(parse("/to bob  a b "), Command::To { who: "bob", text: "a b" });
        for line in ["/", "/nonsense", "/to bob", "/to", "/join", "/join h", "/join h:x", "/quit x"]
        {
            assert!(matches!(parse(line), Command::Wrong(_)), "{line}");
        }
    }

    #[test]
    fn the_words_of_the_original_chat_are_commands() {
        assert_eq!(parse("LIST"), Command::Peers);
        assert_eq!(parse("QUIT"), Command::Quit);
        assert_eq!(parse("JOIN 127.0.0.1 40"), join("127.0.0.1:40"));
        assert_eq!(parse("JOIN host:40"), join("host:40"));
        assert_eq!(parse("REQUEST host:40"), Command::Request("host:40".into()));
        assert_eq!(parse("BROADCAST one two"), Command::Say("one two"));
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(parse("/join ::1 40"), join("[::1]:40"));
        assert_eq!(parse("/join [::1]:40"), join("[::1]:40"));
        for line in ["/join :40", "/join h:65536", "/join h 1 2"] {
            assert!(matches!(parse(line), Command::Wrong(_)), "{line}");
        }
    }
}
