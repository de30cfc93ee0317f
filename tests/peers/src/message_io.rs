//! message-io: an event loop on mio, messages with their length before them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use message_io::network::{Endpoint, NetEvent, SendStatus, Transport};
use message_io::node::{self, NodeEvent, NodeHandler};

use crate::body;
use crate::child::{Contestant, Meter, Next, Pace, Task};

/// One node.
pub(crate) struct Framed {
    handler: NodeHandler<()>,
    address: String,
    links: Arc<AtomicUsize>,
    accepted: Arc<Mutex<Option<Endpoint>>>,
    size: usize,
}

impl Framed {
    pub(crate) fn start(task: &Task, meter: &Arc<Meter>) -> Self {
        let (handler, listener) = node::split::<()>();
        let listening = handler.network().listen(Transport::FramedTcp, "127.0.0.1:0");
        let address = listening.expect("a port").1.to_string();
        let (links, accepted) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None)));
        let (up, first, meter) = (Arc::clone(&links), Arc::clone(&accepted), Arc::clone(meter));
        spawn(move || {
            listener.for_each(move |event| match event {
                NodeEvent::Network(NetEvent::Accepted(endpoint, _)) => {
                    *first.lock().expect("unpoisoned") = Some(endpoint);
                    up.fetch_add(1, Relaxed);
                }
                NodeEvent::Network(NetEvent::Connected(_, true)) => {
                    up.fetch_add(1, Relaxed);
                }
                NodeEvent::Network(NetEvent::Message(_, data)) => meter.got(data.first().copied()),
                NodeEvent::Network(_) | NodeEvent::Signal(()) => {}
            });
        });
        Self { handler, address, links, accepted, size: task.size }
    }
}

impl Contestant for Framed {
    fn address(&mut self) -> String {
        self.address.clone()
    }

    fn dial(&mut self, to: &str) {
        self.handler.network().connect(Transport::FramedTcp, to).expect("a connection");
    }

    fn links(&self) -> usize {
        self.links.load(Relaxed)
    }

    fn warm(&mut self) {}

    /// It waits by trying again when a socket is full, so the publisher has a thread of its own.
    fn begin(&mut self, mut pace: Pace) {
        let endpoint = self.accepted.lock().expect("unpoisoned").expect("a connection");
        let (handler, size) = (self.handler.clone(), self.size);
        spawn(move || {
            while let Next::Publish(what) = pace.next() {
                let status = handler.network().send(endpoint, &body(what, 0, size));
                assert_eq!(status, SendStatus::Sent);
                pace.sent(what, 1);
            }
        });
    }

    fn resume(&self) -> Box<dyn Fn() + Send> {
        Box::new(|| {})
    }
}
