//! A whole node as a contestant: default limits, handlers as an application has them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use peerline_proto::{Event, Payload};
use peerline_runtime::{Builder, Cx, Handle, Runtime};

use crate::child::{COUNTED, Contestant, LAST, Meter, Next, Pace, Task, WARM};

/// A node on one of the runtimes.
pub(crate) struct Node {
    handle: Handle,
    links: Arc<AtomicUsize>,
    publisher: Arc<Mutex<Publisher>>,
}

impl Node {
    /// Starts it. With `encode`, bodies are made of a string each time, and else are JSON already.
    pub(crate) fn start<R: Runtime>(task: &Task, meter: &Arc<Meter>, encode: bool) -> Self {
        let links = Arc::new(AtomicUsize::new(0));
        let (up, down) = (Arc::clone(&links), Arc::clone(&links));
        let publisher = Arc::new(Mutex::new(Publisher::new(task, encode)));
        let again = Arc::clone(&publisher);
        let meter = Arc::clone(meter);
        let mut builder = Builder::<R>::new()
            .on("NEWS", move |_, message| meter.got(message.body().as_bytes().get(1).copied()))
            .on_peer_up(move |_, _| {
                up.fetch_add(1, Relaxed);
            })
            .on_peer_down(move |_, _, _| {
                down.fetch_sub(1, Relaxed);
            })
            .otherwise(move |cx, event| {
                if matches!(event, Event::Writable { .. }) {
                    again.lock().unwrap().publish(cx);
                }
            });
        if task.listens {
            builder = builder.listen("127.0.0.1:0");
        }
        if task.degree + 1 < task.nodes {
            builder = builder.max_peers(task.degree); // nodes find each other: a line stays one
        }
        Self { handle: builder.start().unwrap(), links, publisher }
    }
}

impl Contestant for Node {
    fn address(&mut self) -> String {
        self.handle.local_addrs().first().map_or_else(|| "-".into(), ToString::to_string)
    }

    fn dial(&mut self, to: &str) {
        self.handle.add_bootstrap(to).wait().unwrap();
    }

    fn links(&self) -> usize {
        self.links.load(Relaxed)
    }

    fn warm(&mut self) {
        let body = body(WARM, 64);
        let queued = self.handle.with(move |cx| cx.broadcast_payload("NEWS", &body).unwrap());
        queued.wait().unwrap();
    }

    fn begin(&mut self, pace: Pace) {
        self.publisher.lock().unwrap().pace = Some(pace);
        self.resume()();
    }

    fn resume(&self) -> Box<dyn Fn() + Send> {
        let (handle, publisher) = (self.handle.clone(), Arc::clone(&self.publisher));
        Box::new(move || {
            let publisher = Arc::clone(&publisher);
            handle.with(move |cx| publisher.lock().unwrap().publish(cx)).detach();
        })
    }
}

struct Publisher {
    counted: Body,
    last: Payload,
    windowed: bool,
    pace: Option<Pace>,
}

enum Body {
    Json(Payload),
    Text(String),
}

impl Publisher {
    fn new(task: &Task, encode: bool) -> Self {
        let size = task.size;
        let counted =
            if encode { Body::Text(text(COUNTED, size)) } else { Body::Json(body(COUNTED, size)) };
        Self { counted, last: body(LAST, size), windowed: task.window > 0, pace: None }
    }

    /// Publishes until a queue is full, or the window is; or to the end.
    fn publish(&mut self, cx: &mut Cx<'_>) {
        let Some(pace) = &mut self.pace else { return };
        while let Next::Publish(what) = pace.next() {
            let receipt = match &self.counted {
                _ if what == LAST => cx.broadcast_payload("NEWS", &self.last),
                Body::Json(body) => cx.broadcast_payload("NEWS", body),
                Body::Text(text) => cx.broadcast("NEWS", text),
            };
            let receipt = receipt.unwrap();
            // Within a window all of it comes, what was skipped too: by repair.
            if receipt.queued > 0 || self.windowed && receipt.offered() > 0 {
                pace.sent(what, 1);
            }
            if receipt.queued == 0 {
                return; // `Writable` follows
            }
        }
    }
}

fn body(first: u8, size: usize) -> Payload {
    Payload::encode(&text(first, size)).unwrap()
}

/// As JSON it has this many bytes.
fn text(first: u8, size: usize) -> String {
    char::from(first).to_string().repeat(size.saturating_sub(2).max(1))
}
