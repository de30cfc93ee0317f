//! A node on the runtime that was asked for.
//!
//! Decides where it listens if nobody says: at any port, of IPv6 and IPv4 alike, or of IPv4 alone
//! where there is no IPv6. From here on the two runtimes are the same: one handle, and one
//! iterator of events.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use peerline_mio::{Event, GuestHosts, Handle, Limits, StartError};
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

/// What one program wants of its node and the others do not.
#[derive(Debug, Default)]
pub(crate) struct Wishes<'w> {
    /// What it calls its program.
    pub(crate) agent: Option<&'w str>,
    /// Its name in chat.
    pub(crate) name: Option<&'w str>,
    /// Its bounds, if not the usual ones.
    pub(crate) limits: Option<Limits>,
    /// Guests are called at any host that they name.
    pub(crate) any_host: bool,
}

impl<'w> Wishes<'w> {
    /// A name in chat, and nothing else.
    pub(crate) fn named(name: &'w str) -> Self {
        Self { name: Some(name), ..Self::default() }
    }

    /// A name of the program, and nothing else.
    pub(crate) fn agent(agent: Option<&'w str>) -> Self {
        Self { agent, ..Self::default() }
    }
}

/// The same words for both runtimes, whose builders are different types.
macro_rules! builder {
    ($runtime:ident, $net:expr, $listen:expr, $wishes:expr) => {{
        let mut builder = $runtime::Builder::new()
            .bootstrap(&$net.join)
            .network(&$net.network)
            .max_peers($net.max_peers);
        for addr in $listen {
            builder = builder.listen(addr);
        }
        if let Some(book) = &$net.book {
            builder = builder.book(book);
        }
        if let Some(agent) = $wishes.agent {
            builder = builder.agent(agent);
        }
        if let Some(name) = $wishes.name {
            builder = builder.chat_name(name);
        }
        if let Some(limits) = &$wishes.limits {
            builder = builder.limits(limits.clone());
        }
        if $wishes.any_host {
            builder = builder.guest_hosts(GuestHosts::Any);
        }
        builder.events()
    }};
}

/// Starts a node on a thread of its own.
///
/// # Errors
/// See [`StartError`]; if it may listen anywhere, that of the last try.
pub(crate) fn start(net: &NetArgs, wishes: Wishes<'_>) -> Result<Started, StartError> {
    if !net.listen.is_empty() {
        return start_at(net, &net.listen, &wishes);
    }
    let [first, second] = ANYWHERE.map(|addr| [addr.to_owned()]);
    start_at(net, &first, &wishes).or_else(|_| start_at(net, &second, &wishes))
}

fn start_at(net: &NetArgs, listen: &[String], wishes: &Wishes<'_>) -> Result<Started, StartError> {
    match net.runtime {
        Runtime::Mio => {
            let (builder, events) = builder!(peerline_mio, net, listen, wishes);
            Ok(Started { handle: builder.start()?, events: Box::new(events) })
        }
        Runtime::Smol => {
            let (builder, events) = builder!(peerline_smol, net, listen, wishes);
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

/// The first address of a name with a port.
pub(crate) fn look_up(place: &str) -> io::Result<SocketAddr> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    place.to_socket_addrs()?.next().ok_or_else(none)
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
