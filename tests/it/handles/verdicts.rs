//! Broadcasts judged by a handler, and later from another thread, on both runtimes.

use std::sync::mpsc::{Receiver, channel};

use peerline_proto::{Event, Limits, Verdict, VerdictToken};
use peerline_runtime::{Builder, Handle, Runtime};

use super::{PATIENCE, in_time, node, tell};

/// A line of three nodes that find no others: the middle one judges. With the last one's bodies.
fn line_of_three<R: Runtime>(middle: Builder<R>) -> ([Handle; 3], Receiver<String>) {
    let mut limits = Limits::default();
    (limits.full_mesh, limits.target_outbound) = (0, 0);
    let (up, met) = channel();
    let middle = middle.limits(limits.clone()).on_peer_up(move |_, _| up.send(()).unwrap());
    let middle = middle.start().unwrap();
    let (give, heard) = channel();
    let first = node::<R>().limits(limits.clone()).start().unwrap();
    let last = node::<R>().limits(limits).otherwise(tell(give)).start().unwrap();
    for end in [&first, &last] {
        end.dial(middle.local_addrs()[0]).wait().unwrap();
        met.recv_timeout(PATIENCE).unwrap();
        while end.peers().wait().unwrap().is_empty() {
            std::thread::yield_now();
        }
    }
    ([first, middle, last], heard)
}

pub(super) fn what_a_handler_accepts_goes_on_and_the_rest_does_not<R: Runtime>() {
    let (give, told) = channel();
    let middle = node::<R>()
        .on_validated("NEWS", |_, message| match message.body() {
            "\"bad\"" => Verdict::Reject,
            "\"dull\"" => Verdict::Ignore,
            "\"odd\"" => panic!("on purpose"),
            _ => Verdict::Accept,
        })
        .on("NEWS", move |_, message| give.send(message.body().to_owned()).unwrap());
    let ([first, middle, last], heard) = line_of_three(middle);
    for body in ["bad", "dull", "odd", "good"] {
        first.broadcast("NEWS", body).wait().unwrap();
    }
    let next = |from: &Receiver<String>| from.recv_timeout(PATIENCE).unwrap();
    assert_eq!(next(&heard), "\"good\"");
    first.broadcast("OTHER", "bad").wait().unwrap();
    assert_eq!(next(&heard), "\"bad\"", "nobody judges that");
    assert_eq!(next(&told), "\"good\"");
    // One to one it is nobody's to judge.
    first.send(middle.id(), "NEWS", "bad").wait().unwrap();
    assert_eq!(next(&told), "\"bad\"");
    let stats = middle.stats().wait().unwrap();
    assert_eq!((stats.rejected, stats.ignored, stats.handler_panics), (1, 2, 1));
    assert_eq!(middle.peer(first.id()).wait().unwrap().unwrap().rejected, 1);
    assert_eq!(last.stats().wait().unwrap().delivered, 2);
}

pub(super) fn a_verdict_may_come_later_and_from_another_thread<R: Runtime>() {
    let (give, tokens) = channel::<VerdictToken>();
    let middle = node::<R>().validate("SLOW").otherwise(move |_, event| {
        if let Event::Message(message) = event {
            give.send(message.token().unwrap()).unwrap();
        }
    });
    let ([first, middle, _last], heard) = line_of_three(middle);
    let receipts = ["one", "two"].map(|body| first.broadcast("SLOW", body).wait().unwrap());
    assert_eq!(receipts.map(|receipt| (receipt.queued, receipt.offered())), [(1, 1); 2]);
    let [one, two] = [(); 2].map(|()| tokens.recv_timeout(PATIENCE).unwrap());
    let judge = middle.clone();
    in_time(move || assert_eq!(judge.verdict(two, Verdict::Accept).wait(), Ok(true)));
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "\"two\"");
    assert_eq!(middle.verdict(two, Verdict::Accept).wait(), Ok(false), "once");
    let accepted = middle.with(move |cx| cx.verdict(one, Verdict::Accept));
    assert_eq!(accepted.wait(), Ok(true));
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "\"one\"");
}
