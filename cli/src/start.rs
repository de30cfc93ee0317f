//! A node on the runtime that was asked for.
//!
//! Decides where it listens if nobody says: at any port, of IPv6 and IPv4 alike, or of IPv4 alone
//! where there is no IPv6. From here on the two runtimes are the same: one handle, and one
//! iterator of events.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use peerline_mio::{Event, Handle, StartError};
use peerline_smol::smol;

use crate::args::{DEFAULT_NETWORK, NetArgs, Runtime};

/// A running node.
pub(crate) struct Started {
    pub(crate) handle: Handle,
    /// Everything that happens; ends when the node does.
    pub(crate) events: Box<dyn Iterator<Item = Event> + Send>,
}

/// Where to listen by default: the first that works.
const ANYWHERE: [&str; 2] = ["[::]:0", "0.0.0.0:0"];

/// How long the parting may take: less than a second, with the rest of the end.
const PARTING: Duration = Duration::from_millis(600);

/// The same words for both runtimes, whose builders are different types.
macro_rules! builder {
    ($runtime:ident, $net:expr, $listen:expr, $agent:expr, $name:expr) => {{
        let mut builder = $runtime::Builder::new()
            .bootstrap(&$net.join)
            .network(&$net.network)
            .max_peers($net.max_peers);
        for addr in $listen {
            builder = builder.listen(addr);
        }
        if let Some(agent) = $agent {
            builder = builder.agent(agent);
        }
        if let Some(name) = $name {
            builder = builder.chat_name(name);
        }
        builder.events()
    }};
}

/// Starts a node on a thread of its own: what it calls its program, and its name in chat.
///
/// # Errors
/// See [`StartError`]; if it may listen anywhere, that of the last try.
pub(crate) fn start(
    net: &NetArgs,
    agent: Option<&str>,
    name: Option<&str>,
) -> Result<Started, StartError> {
    if !net.listen.is_empty() {
        return start_at(net, &net.listen, agent, name);
    }
    let [first, second] = ANYWHERE.map(|addr| [addr.to_owned()]);
    start_at(net, &first, agent, name).or_else(|_| start_at(net, &second, agent, name))
}

fn start_at(
    net: &NetArgs,
    listen: &[String],
    agent: Option<&str>,
    name: Option<&str>,
) -> Result<Started, StartError> {
    match net.runtime {
        Runtime::Mio => {
            let (builder, events) = builder!(peerline_mio, net, listen, agent, name);
            Ok(Started { handle: builder.start()?, events: Box::new(events) })
        }
        Runtime::Smol => {
            let (builder, events) = builder!(peerline_smol, net, listen, agent, name);
            let events = Box::new(smol::stream::block_on(events));
            Ok(Started { handle: builder.start()?, events })
        }
    }
}

/// Says bye and stops a node, in so little time that who asked for it need not wait.
pub(crate) fn stop(handle: &Handle) {
    // A node that has stopped already is what we want.
    handle.shutdown(PARTING).wait().ok();
}

/// What somebody else must type to join, if the node listens at all.
pub(crate) fn how_to_join(command: &str, net: &NetArgs, listens: &[SocketAddr]) -> Option<String> {
    let addr = reachable(*listens.first()?);
    let mut line = format!("peerline {command} --join {addr}");
    if net.network != DEFAULT_NETWORK {
        line += &format!(" --network {}", quoted(&net.network));
    }
    Some(line)
}

/// The address by which this machine reaches a listener.
fn reachable(addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), addr.port());
    }
    addr
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if word.chars().all(is_plain) && !word.is_empty() {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    fn net(options: &[&str]) -> NetArgs {
        let line = ["peerline", "node"].iter().chain(options);
        let Command::Node(args) = Args::try_parse_from(line).unwrap().command else {
            panic!("not a node")
        };
        args.net
    }

    fn check(options: &[&str], listens: &str, expected: &str) {
        let line = how_to_join("chat", &net(options), &[listens.parse().unwrap()]);
        assert_eq!(line.as_deref(), Some(expected));
    }

    #[test]
    fn the_command_to_join_names_what_can_be_dialled() {
        check(&[], "[::]:40", "peerline chat --join 127.0.0.1:40");
        check(&[], "0.0.0.0:40", "peerline chat --join 127.0.0.1:40");
        check(&[], "[::1]:40", "peerline chat --join [::1]:40");
        check(&[], "192.0.2.7:40", "peerline chat --join 192.0.2.7:40");
    }

    #[test]
    fn the_command_to_join_names_another_network() {
        let addr = "192.0.2.7:40";
        let begin = "peerline chat --join 192.0.2.7:40 --network";
        check(&["--network", "lab"], addr, &format!("{begin} lab"));
        check(&["--network", "our lab"], addr, &format!("{begin} 'our lab'"));
        check(&["--network", "it's"], addr, &format!(r"{begin} 'it'\''s'"));
    }
}
