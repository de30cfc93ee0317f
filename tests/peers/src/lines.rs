//! tokio-util's `LinesCodec`: what an application on tokio would write itself.
//!
//! Lines have the length of ours. The codec flushes itself every 8 KiB unless its boundary is
//! raised; 64 KiB serves it better, and is what it is measured with. *Each* flushes every message.

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::codec::{Framed, LinesCodec};

use crate::child::{LAST, Meter, Next, Task};
use crate::remote::{Command, Links, Remote};

const BOUNDARY: usize = 64 * 1024;
/// What our lines have beside the payload.
const ENVELOPE: usize = 152;

/// How lines are made and read.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Text,
    Json,
    Each,
}

pub(crate) fn start(task: &Task, meter: &Arc<Meter>, way: Way) -> Remote {
    let (task, meter) = (task.clone(), Arc::clone(meter));
    Remote::start(false, move |commands, links, tell| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        tell(listener.local_addr().expect("an address").to_string());
        run(&task, &meter, way, commands, &links, listener).await;
    })
}

async fn run(
    task: &Task,
    meter: &Meter,
    way: Way,
    mut commands: UnboundedReceiver<Command>,
    links: &Links,
    listener: TcpListener,
) {
    links.set(usize::from(task.publishes())); // the other side says when there is one
    while let Some(command) = commands.recv().await {
        match command {
            Command::Dial(to) => {
                let socket = TcpStream::connect(to).await.expect("a connection");
                links.add();
                receive(framed(socket), meter, way).await;
            }
            Command::Begin(pace) => {
                let (socket, _) = listener.accept().await.expect("a connection");
                publish(framed(socket), task, way, pace).await;
            }
            Command::Warm | Command::Resume => {}
        }
    }
}

fn framed(socket: TcpStream) -> Framed<TcpStream, LinesCodec> {
    socket.set_nodelay(true).expect("TCP");
    let mut framed = Framed::new(socket, LinesCodec::new());
    framed.set_backpressure_boundary(BOUNDARY);
    framed
}

/// A broadcast as ours.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    msgtype: &'a str,
    originator: &'a str,
    epoch: u64,
    seq: u64,
    time: u64,
    kind: &'a str,
    msg: &'a str,
}

async fn publish(
    mut to: Framed<TcpStream, LinesCodec>,
    task: &Task,
    way: Way,
    mut pace: crate::child::Pace,
) {
    let mut seq = 1_000_000;
    while let Next::Publish(what) = pace.next() {
        let first = char::from(what).to_string();
        let line = match way {
            Way::Text | Way::Each => first.repeat(task.size + ENVELOPE),
            Way::Json => json(&first.repeat(task.size - 2), seq),
        };
        if way == Way::Each {
            to.send(line).await.expect("a connection");
        } else {
            to.feed(line).await.expect("a connection");
        }
        seq += 1;
        pace.sent(what, 1);
    }
    SinkExt::<String>::flush(&mut to).await.expect("a connection");
    std::future::pending::<()>().await; // the other side reads on
}

fn json(msg: &str, seq: u64) -> String {
    let originator = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let (msgtype, kind) = ("broadcast", "NEWS");
    let (epoch, time) = (3_141_592_653, 1_700_000_000_000);
    serde_json::to_string(&Line { msgtype, originator, epoch, seq, time, kind, msg }).expect("JSON")
}

async fn receive(mut from: Framed<TcpStream, LinesCodec>, meter: &Meter, way: Way) {
    while let Some(Ok(line)) = from.next().await {
        let first = match way {
            Way::Text | Way::Each => line.as_bytes().first().copied(),
            Way::Json => {
                let line: Line<'_> = serde_json::from_str(&line).expect("JSON");
                line.msg.as_bytes().first().copied()
            }
        };
        meter.got(first);
        if first == Some(LAST) {
            return;
        }
    }
}
