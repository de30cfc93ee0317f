//! `peerline share`: a folder for others, and theirs for us, natively and with BTPeer peers.
//!
//! Decides what each request and each command does. It is one loop over one queue, as the other
//! programs are; requests come to it as events, so nothing here runs on the driver's thread. A
//! query is answered where it matches, else passed on. A guest's word on where it listens counts
//! for the port alone, unless `--any-host` says otherwise.

mod body;
mod command;
mod library;
mod query;
mod screen;
mod serve;
mod transfer;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerline_mio::proto::MAX_LINE;
use peerline_mio::{
    Cx, Dialect, Event, Handle, Limits, NakCode, NodeId, PeerId, Request, Responder,
};

use crate::args::ShareArgs;
use crate::end::{End, Failure};
use crate::escape;
use crate::inbox::{Inbox, Input};
use crate::lines;
use crate::start::{self, Started, Wishes};
use command::Command;
use library::Library;
use query::{Asker, Found, Passed, Query, Searches};
use screen::Screen;
use serve::{NOT_FOUND, Server, Wanted};
use transfer::{Source, Wish};

/// How long whoever hears a query or a result may take to say that it did.
const PATIENCE: Duration = Duration::from_secs(20);

/// Files told for one query. More are left out: each is a call of its own, and who asks for less
/// is told more. 8; the framework's sharer tells one.
const MATCHES: usize = 8;

/// Transfers at once, a thread each. When reached: `get` answers so. 4, each of them a file in
/// memory.
const TRANSFERS: usize = 4;

/// How long a long file may wait to be read, and take to be sent then. Five minutes for 16 MiB:
/// slower peers would hold it for longer than it is worth.
const SENDING: Duration = Duration::from_secs(300);
/// How long whoever gets one may pause, and after what time a slow one gives way to others.
const PAUSE: Duration = Duration::from_secs(10);

/// Bytes of the queue for one peer around the longest line.
const AROUND: usize = 64 * 1024;

/// Shares until it is told to quit, or a signal ends it.
pub(crate) fn run(args: &ShareArgs) -> Result<End, Failure> {
    let folder = escape::text(&args.folder.display().to_string(), escape::MOST_TEXT);
    let library = Library::open(&args.folder).map_err(|error| format!("{folder}: {error}"))?;
    let limits = limits();
    let max_frame = limits.max_frame;
    let wishes = Wishes { limits: Some(limits), any_host: args.any_host, ..Wishes::default() };
    let Started { handle, events } = start::start(&args.net, wishes)?;
    let inbox = Inbox::new(&handle, events)?;
    let mut share = Share {
        handle: &handle,
        inbox,
        library,
        server: Server::start()?,
        screen: Screen::new(),
        passed: Passed::default(),
        searches: Searches::default(),
        transfers: Arc::new(()),
        any_host: args.any_host,
        max_frame,
    };
    let ended = share.welcome(args, &folder).and_then(|()| share.run());
    start::stop(&handle);
    ended
}

/// Native lines as long as BTPeer frames, and time to send them.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_line = MAX_LINE;
    limits.send_queue = MAX_LINE + AROUND;
    limits.guest_timeout = SENDING;
    limits.flush_timeout = PAUSE;
    limits
}

/// A sharer, and who commands it.
struct Share<'h> {
    handle: &'h Handle,
    inbox: Inbox,
    library: Library,
    server: Server,
    screen: Screen,
    passed: Passed,
    searches: Searches,
    /// Held by each thread that gets a file.
    transfers: Arc<()>,
    any_host: bool,
    max_frame: usize,
}

impl Share<'_> {
    fn welcome(&mut self, args: &ShareArgs, folder: &str) -> Result<(), Failure> {
        let mut notes = io::stderr();
        let files = self.library.names(Instant::now()).len();
        let runtime = args.net.runtime.name();
        writeln!(notes, "peerline share {} on {runtime}", self.handle.id()).ok();
        writeln!(notes, "sharing {files} files of {folder}").ok();
        for addr in self.handle.local_addrs() {
            writeln!(notes, "listening at {addr}").ok();
        }
        for addr in &args.join_btpeer {
            let (handle, addr) = (self.handle.clone(), addr.clone());
            self.inbox.feed("join", move |tell| {
                let answer = lines::join(&handle, &addr, Dialect::Btpeer);
                // Nobody asked: only what went wrong is told, and not as an answer.
                let why = answer.strip_prefix("error ");
                why.map_or(Ok(()), |why| tell.send(Input::Said(format!("failed {why}"))))
            })?;
        }
        self.inbox.read_stdin()?;
        Ok(())
    }

    fn run(&mut self) -> Result<End, Failure> {
        loop {
            let input = self.inbox.next();
            if let Some(end) = self.on_input(input)? {
                return Ok(end);
            }
        }
    }

    fn on_input(&mut self, input: Input) -> Result<Option<End>, Failure> {
        match input {
            Input::Event(event) => self.on_event(&event)?,
            Input::Line(line) => return self.on_line(&line),
            Input::LongLine => self.screen.line("error that line is too long")?,
            Input::Said(line) => self.screen.line(&line)?,
            Input::Bar(bar) => self.screen.bar(bar),
            Input::NodeEnded => return Err("the node has ended by itself".into()),
            Input::Signal(number) => return Ok(Some(End::Signal(number))),
            // The end of stdin is no end of ours; nobody looks names up here.
            Input::Closed | Input::Found { .. } => {}
        }
        Ok(None)
    }

    fn on_event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::Request(request) = event {
            return self.on_request(request);
        }
        lines::event(event).map_or(Ok(()), |line| self.screen.line(&line))
    }

    fn on_line(&mut self, line: &str) -> Result<Option<End>, Failure> {
        let command = command::parse(line);
        let is_last = command == Ok(Command::Quit);
        let answer = self.obey(command)?;
        if !answer.is_empty() {
            self.screen.line(&answer)?;
        }
        Ok(is_last.then_some(End::Done))
    }

    // ---- what others ask

    fn on_request(&mut self, request: &Request) -> io::Result<()> {
        let responder = self.handle.responder(request);
        let text = request.parse::<String>().unwrap_or_default();
        match request.kind() {
            "QUER" => self.on_query(request, &text, responder),
            "RESP" => return self.on_result(request, &text, responder),
            "FGET" => self.on_wanted(request, &text, responder),
            _ => responder.refuse(NakCode::NoHandler).detach(),
        }
        Ok(())
    }

    fn on_query(&mut self, request: &Request, text: &str, responder: Responder) {
        let Some(query) = Query::parse(text) else {
            return responder.finish_as("ERRO", "Query: incorrect arguments").detach();
        };
        responder.finish(&format!("Query ACK: {}", query.key)).detach();
        let Some(to) = query.asker().and_then(|asker| self.call(asker, request)) else { return };
        let now = Instant::now();
        let names = self.library.names(now).iter().filter(|name| name.contains(&query.key));
        let matches: Vec<String> = names.take(MATCHES).cloned().collect();
        if !matches.is_empty() {
            matches.into_iter().for_each(|file| self.tell_result(file, &to));
        } else if query.ttl > 0 && self.passed.is_new(&query, now) {
            let query = Query { ttl: query.ttl - 1, ..query };
            let from = request.from().clone();
            let port = self.port();
            self.handle.with(move |cx| pass_on(cx, &query, Some(&from), port)).detach();
        }
    }

    /// Where results of a query go: to the node that a native peer names, or to the named port at
    /// the host that spoke. Nowhere if that is we ourselves, or if a guest names a node: it speaks
    /// for itself alone.
    fn call(&self, asker: Asker, request: &Request) -> Option<To> {
        let (host, port) = match asker {
            Asker::Node(id) => {
                let may = request.source().is_none() && id != self.handle.id();
                return may.then_some(To::Node(id));
            }
            Asker::Place { host, port } => (host, port),
        };
        let named = host.parse::<IpAddr>().ok().filter(|_| self.any_host);
        let ip = named.or_else(|| {
            let neighbour = || self.handle.peer(request.from().clone()).wait().ok().flatten();
            let source = request.source().or_else(|| neighbour().map(|peer| peer.addr));
            source.map(|source| source.ip())
        })?;
        let addr = SocketAddr::new(ip.to_canonical(), port);
        let own = self.port().and_then(|port| place(addr, port));
        (own != Some(addr)).then_some(To::Place(addr))
    }

    fn tell_result(&self, file: String, to: &To) {
        match to {
            To::Node(id) => {
                let found = Found { file, owner: self.handle.id().to_string() };
                self.handle.request(*id, "RESP", &found.words(), PATIENCE).detach();
            }
            To::Place(addr) => {
                let Some(owner) = self.port().and_then(|port| place(*addr, port)) else { return };
                let found = Found { file, owner: owner.to_string() };
                self.handle.request_at(*addr, "RESP", &found.words(), PATIENCE).detach();
            }
        }
    }

    fn on_result(&mut self, request: &Request, text: &str, responder: Responder) -> io::Result<()> {
        if request.source().is_some() {
            // The framework's sharer hears nothing in return.
            responder.refuse(NakCode::Refused).detach();
        } else {
            responder.finish("").detach();
        }
        let Some(found) = Found::parse(text) else { return Ok(()) };
        if !self.searches.take(&found, Instant::now()) {
            return Ok(());
        }
        let (file, owner) = (&found.file, &found.owner);
        let file = escape::text(file, escape::MOST_TEXT);
        self.screen.line(&format!("found {file} at {}", escape::text(owner, escape::MOST_NAME)))
    }

    fn on_wanted(&self, request: &Request, name: &str, responder: Responder) {
        let Some((path, _)) = self.library.find(name) else {
            return responder.finish_as("ERRO", NOT_FOUND).detach();
        };
        let in_a_line = request.source().is_none();
        self.server.send(Wanted { path, limit: self.max_frame, in_a_line, responder });
    }

    // ---- what is typed

    /// Carries a command out; the answer, empty for none.
    fn obey(&mut self, command: Result<Command<'_>, &str>) -> io::Result<String> {
        Ok(match command {
            Err(why) => format!("error {why}"),
            Ok(Command::Nothing) => String::new(),
            Ok(Command::Search { key, ttl }) => self.search(key, ttl),
            Ok(Command::Get { file, from }) => self.get(file, from)?,
            Ok(Command::List) => self.list(),
            Ok(Command::Peers) => lines::peers(self.handle),
            Ok(Command::Quit) => "ok".to_owned(),
        })
    }

    fn search(&mut self, key: &str, ttl: u8) -> String {
        let now = Instant::now();
        self.searches.begin(key, now);
        let query = Query { to: self.handle.id().to_string(), key: key.to_owned(), ttl };
        // When it comes back to us, it is not passed on.
        self.passed.is_new(&query, now);
        let port = self.port();
        match self.handle.with(move |cx| pass_on(cx, &query, None, port)).wait() {
            Ok(asked) => format!("ok {asked}"),
            Err(error) => format!("error {error}"),
        }
    }

    fn get(&mut self, file: &str, from: &str) -> io::Result<String> {
        if Arc::strong_count(&self.transfers) > TRANSFERS {
            return Ok(format!("error {TRANSFERS} transfers are under way already"));
        }
        let from = if from.parse::<SocketAddr>().is_ok() {
            Source::Place(from.to_owned())
        } else {
            match lines::find(self.handle, from) {
                Ok(peer) => Source::Peer(peer),
                Err(_) if from.contains(':') => Source::Place(from.to_owned()),
                Err(answer) => return Ok(answer),
            }
        };
        let room = match self.library.expect(file) {
            Ok(room) => room,
            Err(error) => return Ok(format!("error {error}")),
        };
        let (handle, held) = (self.handle.clone(), Arc::clone(&self.transfers));
        let wish = Wish { file: file.to_owned(), from, room };
        self.inbox.feed("transfer", move |tell| {
            let told = transfer::get(&handle, wish, tell);
            drop(held);
            told
        })?;
        Ok("ok".to_owned())
    }

    fn list(&mut self) -> String {
        self.library.look_again();
        let names = self.library.names(Instant::now()).to_vec();
        let files = names.iter().filter_map(|name| {
            let (_, len) = self.library.find(name)?;
            Some(format!("file {len} {}", escape::text(name, escape::MOST_TEXT)))
        });
        let mut lines: Vec<String> = files.collect();
        lines.push(format!("ok {}", lines.len()));
        lines.join("\n")
    }

    /// The port where guests find us, if we listen.
    fn port(&self) -> Option<u16> {
        self.handle.local_addrs().first().map(SocketAddr::port)
    }
}

/// Whom a result is told.
#[derive(Debug)]
enum To {
    Node(NodeId),
    Place(SocketAddr),
}

/// Sends a query to every peer, but to whom it comes from and to whom it belongs. How many were
/// asked.
fn pass_on(cx: &mut Cx<'_>, query: &Query, from: Option<&PeerId>, port: Option<u16>) -> usize {
    let asker = query.asker();
    let mut asked = 0;
    let natives: Vec<PeerId> = cx.peers().map(|info| info.peer).collect();
    for peer in natives {
        let is_asker = matches!(&asker, Some(Asker::Node(id)) if peer.node() == Some(*id));
        if is_asker || from == Some(&peer) || peer.node().is_none() {
            continue;
        }
        asked += usize::from(cx.request(peer, "QUER", &query.words(), PATIENCE, drop_end).is_ok());
    }
    let guests: Vec<(PeerId, SocketAddr)> = cx
        .guests()
        .filter(|guest| guest.dialect == Dialect::Btpeer)
        .map(|guest| (guest.peer, guest.addr))
        .collect();
    for (guest, addr) in guests {
        let is_asker = matches!(&guest, PeerId::Guest(name) if **name == *query.to);
        let Some(to) = return_id(cx, query, asker.as_ref(), addr, port) else { continue };
        if is_asker || from == Some(&guest) {
            continue;
        }
        let query = Query { to, ..query.clone() };
        let told = cx.request_at(addr, "QUER", &query.words(), PATIENCE, drop_end);
        asked += usize::from(told.is_ok());
    }
    asked
}

/// The return id as a guest needs it: a host and a port. For a node that is where it listens, as
/// far as we know.
fn return_id(
    cx: &Cx<'_>,
    query: &Query,
    asker: Option<&Asker>,
    guest: SocketAddr,
    port: Option<u16>,
) -> Option<String> {
    match asker? {
        Asker::Place { .. } => Some(query.to.clone()),
        Asker::Node(id) if *id == cx.id() => Some(place(guest, port?)?.to_string()),
        Asker::Node(id) => {
            let listens = cx.peer(&PeerId::Node(*id))?.listens?;
            Some(SocketAddr::new(listens.ip().to_canonical(), listens.port()).to_string())
        }
    }
}

/// Who hears a query need not say so.
fn drop_end(_: &mut Cx<'_>, _: Result<peerline_mio::Reply, peerline_mio::RequestError>) {}

/// Where somebody at this address finds our port: the system knows by which of our addresses it
/// would call there. Nothing is sent.
fn place(towards: SocketAddr, port: u16) -> Option<SocketAddr> {
    let any: IpAddr = match towards {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(towards).ok()?;
    Some(SocketAddr::new(socket.local_addr().ok()?.ip(), port))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn our_place_is_seen_from_where_somebody_is() {
        let place = |towards: &str| place(towards.parse().unwrap(), 40).map(|at| at.to_string());
        assert_eq!(place("127.0.0.1:9").as_deref(), Some("127.0.0.1:40"));
        assert_eq!(place("127.0.0.7:9").as_deref(), Some("127.0.0.1:40"));
    }

    #[test]
    fn the_limits_of_a_sharer_are_taken() {
        let config = peerline_mio::proto::Config::builder().limits(limits());
        assert!(config.build().is_ok());
    }
}
