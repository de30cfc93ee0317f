//! The contestants: a whole node at each end, default limits, handlers as an application has them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peerline_proto::{Event, Payload};
use peerline_runtime::{Builder, Cx, Runtime};

use crate::{Count, cpu};

/// Messages between two looks at the clock.
const CLOCK_EVERY: u64 = 16;

/// Publishes for this long: until a queue is full, and again when it has room.
/// The body is JSON already, as the baselines' lines are, or is made from a string each time.
pub(crate) fn send<R: Runtime>(size: usize, encode: bool, to: &str, time: Duration) {
    let (done, result) = channel();
    let text = "x".repeat(size.saturating_sub(2));
    let body = Payload::encode(&text).unwrap();
    let body = if encode { Body::Text(text) } else { Body::Json(body) };
    let publisher = Publisher { body, time, queued: 0, began: None, done: Some(done) };
    let publisher = Arc::new(Mutex::new(publisher));
    let again = Arc::clone(&publisher);
    let handle = Builder::<R>::new()
        .bootstrap([to])
        .on_peer_up(move |cx, _| publisher.lock().unwrap().publish(cx))
        .otherwise(move |cx, event| {
            if matches!(event, Event::Writable { .. }) {
                again.lock().unwrap().publish(cx);
            }
        })
        .start()
        .unwrap();
    wait(&result, time).tell();
    handle.shutdown(Duration::from_secs(5)).wait().unwrap();
}

enum Body {
    Json(Payload),
    Text(String),
}

struct Publisher {
    body: Body,
    time: Duration,
    /// Messages that the one receiver's queue took. One that was skipped does not count.
    queued: u64,
    began: Option<(Instant, f64)>,
    done: Option<Sender<Count>>,
}

impl Publisher {
    /// Fills the queue. After its time, says that this is the end.
    fn publish(&mut self, cx: &mut Cx<'_>) {
        let (began, cpu_before) = *self.began.get_or_insert_with(|| (Instant::now(), cpu()));
        while self.done.is_some() {
            let clock = self.queued % CLOCK_EVERY == 0;
            let over = clock && began.elapsed() >= self.time;
            let receipt = match &self.body {
                _ if over => cx.broadcast("END", ""),
                Body::Json(body) => cx.broadcast_payload("NEWS", body),
                Body::Text(text) => cx.broadcast("NEWS", text),
            };
            if receipt.unwrap().queued == 0 {
                return; // `Writable` follows
            }
            if over {
                let wall = began.elapsed().as_secs_f64();
                let count = Count { messages: self.queued, wall, cpu: cpu() - cpu_before };
                self.done.take().map(|done| done.send(count));
            } else {
                self.queued += 1;
            }
        }
    }
}

/// Counts what arrives up to the end.
pub(crate) fn receive<R: Runtime>(time: Duration) {
    let (done, result) = channel();
    let began = Arc::new(Mutex::new((None, 0_u64)));
    let seen = Arc::clone(&began);
    let handle = Builder::<R>::new()
        .listen("127.0.0.1:0")
        .on("NEWS", move |_, message| {
            let (began, count) = &mut *began.lock().unwrap();
            began.get_or_insert_with(|| (Instant::now(), cpu()));
            std::hint::black_box(message.body());
            *count += 1;
        })
        .on("END", move |_, _| {
            let (began, messages) = &*seen.lock().unwrap();
            let (began, cpu_before) = began.unwrap();
            let wall = began.elapsed().as_secs_f64();
            let _ = done.send(Count { messages: *messages, wall, cpu: cpu() - cpu_before });
        })
        .start()
        .unwrap();
    println!("{}", handle.local_addrs()[0]);
    wait(&result, time).tell();
    handle.shutdown(Duration::from_secs(5)).wait().unwrap();
}

fn wait(result: &Receiver<Count>, time: Duration) -> Count {
    result.recv_timeout(time + Duration::from_secs(10)).expect("the other end answers in time")
}
