//! A file from somebody else, into the shared folder: one thread for each.
//!
//! Decides when a transfer is long enough for a bar. Of a BTPeer peer's answer the node can say how
//! much has come, and of how much; of a native one, which may come by way of others, only the time
//! is shown. It never prints: it tells the program's loop.

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use peerline_mio::{Handle, PeerId, Reply, RequestError, RequestId};

use super::body::Body;
use super::library::Expected;
use super::screen;
use crate::escape;
use crate::inbox::{Input, Teller, Told};
use crate::start;

/// How long a transfer may take: the longest that a request may.
const DEADLINE: Duration = Duration::from_secs(600);

/// How long a transfer goes on before it has a bar, and how often that is drawn then.
const TICK: Duration = Duration::from_millis(500);

/// Whom to get a file from.
#[derive(Debug)]
pub(super) enum Source {
    Peer(PeerId),
    /// A host and a port, which may have to be looked up. Every sharer speaks frames there.
    Place(String),
}

/// A file to get.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) file: String,
    pub(super) from: Source,
    pub(super) room: Expected,
}

type End = Result<Reply, RequestError>;

/// Gets a file, and tells what came of it.
pub(super) fn get(handle: &Handle, wish: Wish, tell: &Teller) -> Told {
    let name = escape::text(&wish.file, escape::MOST_NAME);
    let got = fetch(handle, &wish, &name, tell)
        .and_then(contents)
        .and_then(|bytes| keep(wish.room, &bytes));
    tell.send(Input::Bar(None))?;
    tell.send(Input::Said(match got {
        Ok(len) => format!("got {name} {len} bytes"),
        Err(why) => format!("failed {name} {}", escape::text(&why, escape::MOST_TEXT)),
    }))
}

fn fetch(handle: &Handle, wish: &Wish, name: &str, tell: &Teller) -> Result<Reply, String> {
    let (done, ended) = mpsc::channel();
    let on_end = move |end: End| drop(done.send(end));
    let request = ask(handle, wish, on_end)?;
    let begun = Instant::now();
    loop {
        match ended.recv_timeout(TICK) {
            Ok(end) => return end.map_err(|error| error.to_string()),
            Err(RecvTimeoutError::Disconnected) => return Err("the node has stopped".into()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let come = handle.with(move |cx| cx.progress(request)).wait().ok().flatten();
        let bar = screen::bar(name, come.unwrap_or_default(), begun.elapsed().as_secs());
        // If nobody listens the program ends, and this with it.
        tell.send(Input::Bar(Some(bar))).ok();
    }
}

fn ask(
    handle: &Handle,
    wish: &Wish,
    on_end: impl FnOnce(End) + Send + 'static,
) -> Result<RequestId, String> {
    let file = wish.file.clone();
    let asked = match &wish.from {
        Source::Place(place) => {
            let addr: SocketAddr = start::look_up(place).map_err(|error| error.to_string())?;
            handle
                .with(move |cx| cx.request_at(addr, "FGET", &file, DEADLINE, |_, end| on_end(end)))
        }
        Source::Peer(peer) => {
            let peer = peer.clone();
            handle.with(move |cx| cx.request(peer, "FGET", &file, DEADLINE, |_, end| on_end(end)))
        }
    };
    let asked = asked.wait().map_err(|error| error.to_string())?;
    asked.map_err(|error| error.to_string())
}

/// The file that a reply carries, or what it says instead.
fn contents(reply: Reply) -> Result<Vec<u8>, String> {
    let body = reply.parse::<Body>().ok().and_then(Body::bytes);
    let bytes = body.ok_or_else(|| "the answer is no file".to_owned())?;
    if reply.kind() == "REPL" {
        return Ok(bytes);
    }
    Err(String::from_utf8_lossy(&bytes).into_owned())
}

fn keep(room: Expected, bytes: &[u8]) -> Result<usize, String> {
    room.keep(bytes).map_err(|error| error.to_string())?;
    Ok(bytes.len())
}
