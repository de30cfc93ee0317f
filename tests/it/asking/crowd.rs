//! Thousands of requests at once, half of whose responders are killed.

use std::collections::VecDeque;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use peerline_proto::{NakCode, NodeId};
use peerline_runtime::{Builder, Cx, Handle, RequestError, Responder, Runtime};

use super::{meet, node};

const REQUESTS: usize = 10_000;
/// Responders, half of which are killed.
const RESPONDERS: usize = 8;
const DEADLINE: Duration = Duration::from_secs(5);
/// What may pass between a deadline and the word of it, when the machine is busy.
const SLACK: Duration = Duration::from_secs(15);

/// A responder that answers at once, later from a thread of its own, in parts, with a panic, or
/// never, by the number it is asked for.
fn responder<R: Runtime>() -> Builder<R> {
    let (give, later) = channel::<(u32, Responder)>();
    thread::spawn(move || {
        for (number, responder) in later {
            responder.finish(&number).detach();
        }
    });
    let mut kept = VecDeque::new();
    node::<R>().on_request("WORK", move |_, request, responder| {
        let number = request.parse::<u32>().unwrap();
        match number % 5 {
            0 => responder.finish(&number).detach(),
            1 => give.send((number, responder)).unwrap(),
            2 => {
                responder.send(&"more").detach();
                responder.send(&"and more").detach();
                responder.finish(&number).detach();
            }
            3 => assert_ne!(number % 5, 3, "as planned"),
            // Held on to, and so never answered.
            _ => kept.push_back(responder),
        }
    })
}

/// What became of each request: each time it ended, when and how.
type Ends = Arc<Mutex<Vec<Vec<(Duration, End)>>>>;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum End {
    Answered,
    /// By a responder that dropped it, or panicked.
    Refused,
    Timeout,
    /// With the responder, or on the way to where it was.
    Lost,
}

impl End {
    fn of<T>(result: &Result<T, RequestError>) -> Self {
        match result {
            Ok(_) => Self::Answered,
            Err(RequestError::Nak { code: NakCode::Refused, .. }) => Self::Refused,
            Err(RequestError::Timeout) => Self::Timeout,
            Err(RequestError::Nak { .. } | RequestError::NoRoute) => Self::Lost,
            Err(other) => panic!("{other}"),
        }
    }
}

/// One request, on its way.
#[derive(Clone)]
struct Asking {
    number: usize,
    to: NodeId,
    begun: Instant,
    ends: Ends,
}

impl Asking {
    fn ended<T>(&self, end: &Result<T, RequestError>) {
        let end = (self.begun.elapsed(), End::of(end));
        self.ends.lock().unwrap()[self.number].push(end);
    }

    fn for_one(self, asker: &Handle) {
        let pending = asker.request(self.to, "WORK", &self.number, DEADLINE);
        thread::spawn(move || self.ended(&pending.wait()));
    }

    fn for_all(self, asker: &Handle) {
        let replies = asker.request_stream(self.to, "WORK", &self.number, DEADLINE);
        thread::spawn(move || {
            let heard: Vec<_> = replies.collect();
            let good = heard.iter().filter_map(|reply| reply.as_ref().ok());
            let numbers: Vec<u64> = good.map(|reply| reply.n()).collect();
            assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
            assert!(heard.iter().filter(|reply| reply.is_err()).count() <= 1);
            self.ended(heard.last().unwrap());
        });
    }

    fn in_handler(self, cx: &mut Cx<'_>) {
        let (to, number, called) = (self.to, self.number, self.clone());
        let asked = cx.request(to, "WORK", &number, DEADLINE, move |_, end| called.ended(&end));
        if asked.is_err() {
            self.ended(&asked);
        }
    }
}

/// Asks everybody, each request in one of three ways.
fn ask_all(asker: &Handle, responders: &[Handle], ends: &Ends, begun: Instant) {
    for number in 0..REQUESTS {
        let to = responders[number % RESPONDERS].id();
        let asking = Asking { number, to, begun, ends: Arc::clone(ends) };
        match number / RESPONDERS % 100 {
            0 => asking.for_one(asker),
            1 => asking.for_all(asker),
            _ => {
                let asked = asker.with(move |cx| asking.in_handler(cx));
                // No more commands at once than the queue takes.
                if number % 256 == 0 { asked.wait().unwrap() } else { asked.detach() }
            }
        }
    }
}

pub(super) fn each_of_many_ends_once<R: Runtime>() {
    let responders: Vec<Handle> =
        (0..RESPONDERS).map(|_| responder::<R>().start().unwrap()).collect();
    let addrs: Vec<_> = responders.iter().map(|handle| handle.local_addrs()[0]).collect();
    let asker = node::<R>().bootstrap(addrs).start().unwrap();
    meet(&asker, RESPONDERS);

    let ends: Ends = Arc::new(Mutex::new(vec![Vec::new(); REQUESTS]));
    let begun = Instant::now();
    let killing: Vec<Handle> = responders.iter().step_by(2).cloned().collect();
    let watched = Arc::clone(&ends);
    let killer = thread::spawn(move || {
        // In the midst of it: some have ended, most have not.
        while watched.lock().unwrap().iter().filter(|ends| !ends.is_empty()).count() < 100 {
            thread::yield_now();
        }
        killing.iter().for_each(|handle| handle.shutdown(Duration::ZERO).detach());
    });
    ask_all(&asker, &responders, &ends, begun);
    let asked = begun.elapsed();
    killer.join().unwrap();

    let open = || ends.lock().unwrap().iter().filter(|ends| ends.is_empty()).count();
    while open() > 0 {
        assert!(begun.elapsed() < asked + DEADLINE + SLACK, "{} never end", open());
        thread::yield_now();
    }
    // Whatever might end twice does so before the node has stopped.
    asker.shutdown(Duration::from_secs(1)).wait().unwrap();
    let ends = ends.lock().unwrap();
    assert!(ends.iter().all(|ends| ends.len() == 1), "one ended twice");
    let latest = ends.iter().flatten().max().unwrap();
    assert!(latest.0 < asked + DEADLINE + SLACK, "one ended after {latest:?}");
    let count = |end| ends.iter().flatten().filter(|(_, this)| *this == end).count();
    let counts = [End::Answered, End::Refused, End::Timeout, End::Lost].map(count);
    eprintln!("{counts:?} of {REQUESTS} answered, refused, late, lost; asked in {asked:?}");
    assert!(counts.iter().all(|count| *count > REQUESTS / 100), "{counts:?}");
}
