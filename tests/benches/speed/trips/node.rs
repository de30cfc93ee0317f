//! Requests and replies between two whole nodes.

use std::sync::mpsc::{Sender, channel};
use std::thread::park;

use peerline_proto::PeerId;
use peerline_runtime::{Builder, Cx, Runtime};

use super::{BODY, PATIENCE, Samples};

fn body() -> String {
    "x".repeat(BODY - 2) // and its quotes
}

pub(super) fn serve<R: Runtime>() {
    let body = body();
    let node = Builder::<R>::new()
        .listen("127.0.0.1:0")
        .on_request("PING", move |_, _, responder| responder.finish(&body).detach())
        .start()
        .unwrap();
    println!("at {}", node.local_addrs()[0]);
    loop {
        park(); // the parent ends it
    }
}

/// A handler asks, and asks again when it is answered.
pub(super) fn ask<R: Runtime>(to: &str, samples: Samples) -> Samples {
    let (done, end) = channel();
    let mut asker = Some(Asker { samples, body: body(), done });
    let node = Builder::<R>::new()
        .bootstrap([to])
        .on_peer_up(move |cx, peer| {
            if let Some(asker) = asker.take() {
                asker.ask(cx, peer);
            }
        })
        .start()
        .unwrap();
    let samples = end.recv().unwrap();
    drop(node);
    samples
}

struct Asker {
    samples: Samples,
    body: String,
    done: Sender<Samples>,
}

impl Asker {
    fn ask(mut self, cx: &mut Cx<'_>, peer: PeerId) {
        self.samples.ask();
        let (body, to) = (self.body.clone(), peer.clone());
        let asked = cx.request(to, "PING", &body, PATIENCE, move |cx, reply| {
            assert_eq!(reply.unwrap().body().len(), BODY);
            if self.samples.answered() {
                self.ask(cx, peer);
            } else {
                self.done.send(self.samples).unwrap();
            }
        });
        asked.unwrap();
    }
}

/// Another thread asks, by a handle.
pub(super) fn ask_by_handle<R: Runtime>(to: &str, mut samples: Samples) -> Samples {
    let (up, ups) = channel();
    let node = Builder::<R>::new()
        .bootstrap([to])
        .on_peer_up(move |_, peer| drop(up.send(peer)))
        .start()
        .unwrap();
    let (peer, body) = (ups.recv_timeout(PATIENCE).unwrap(), body());
    loop {
        samples.ask();
        let reply = node.request(peer.clone(), "PING", &body, PATIENCE).wait().unwrap();
        assert_eq!(reply.body().len(), BODY);
        if !samples.answered() {
            return samples;
        }
    }
}
