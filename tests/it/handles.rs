//! Handles on real sockets and both runtimes: used too late, from inside, from many threads, and
//! left behind; handlers that panic; a system without descriptors.

use std::future::Future;
use std::io::Write;
use std::net::TcpStream;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use peerline_proto::{Event, Limits, NodeId};
use peerline_runtime::{
    BroadcastError, Builder, CommandError, DialError, Handle, Runtime, SendError,
};
use peerline_testkit::conformance::hello_of;
use peerline_testkit::reserved::Reserved;

#[cfg(target_os = "linux")]
mod starved;
mod verdicts;

use verdicts::{
    a_verdict_may_come_later_and_from_another_thread,
    what_a_handler_accepts_goes_on_and_the_rest_does_not,
};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

macro_rules! on {
    ($($runtime:ident: $runner:ty),*: $tests:tt) => { $(on! { @ $runtime $runner: $tests })* };
    (@ $runtime:ident $runner:ty: [$($test:ident),*]) => {
        mod $runtime {
            $(
                #[test]
                fn $test() {
                    super::$test::<$runner>();
                }
            )*

            #[cfg(target_os = "linux")]
            #[test]
            fn a_node_without_descriptors_accepts_again_when_it_has_some() {
                let name = "a_node_without_descriptors_accepts_again_when_it_has_some";
                let module = concat!("handles::", stringify!($runtime));
                super::starved::accepts_again::<$runner>(&format!("{module}::{name}"));
            }
        }
    };
}

on! { mio: peerline_mio::Runner, smol: peerline_smol::Runner: [
    a_stopped_node_says_so,
    what_the_end_lost_can_be_asked_after_it,
    waiting_in_a_handler_is_refused_and_the_command_done,
    answers_nobody_waits_for_are_no_commands_lost,
    eight_threads_wake_a_sleeping_loop_each_time,
    eight_threads_are_served_in_the_order_of_each,
    a_loop_held_up_accepts_all_that_came_meanwhile,
    a_handler_that_panics_is_logged_once_and_counted_each_time,
    a_command_that_panics_costs_its_answer_alone,
    what_a_handler_accepts_goes_on_and_the_rest_does_not,
    a_verdict_may_come_later_and_from_another_thread
] }

fn node<R: Runtime>() -> Builder<R> {
    Builder::new().listen(Reserved::for_good())
}

/// Two nodes that are connected; the second tells what it hears, and both what panics.
fn pair<R: Runtime>(first: Builder<R>) -> (Handle, Handle, Receiver<String>) {
    let (give, heard) = channel();
    let (up, met) = channel();
    let first = first.on_peer_up(move |_, _| up.send(()).unwrap()).start().unwrap();
    let second = node::<R>().bootstrap(first.local_addrs()).otherwise(tell(give));
    let second = second.start().unwrap();
    met.recv_timeout(PATIENCE).unwrap();
    let ups = || second.peers().wait().unwrap().len();
    while ups() == 0 {
        thread::yield_now();
    }
    (first, second, heard)
}

/// Passes on the bodies of messages.
fn tell(give: Sender<String>) -> impl FnMut(&mut peerline_runtime::Cx<'_>, Event) + Send + 'static {
    move |_, event| {
        if let Event::Message(message) = event {
            give.send(message.body().to_owned()).unwrap();
        }
    }
}

/// Does something elsewhere, for this test may wait for it no longer than it has patience.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (give, take) = channel();
    let working = thread::spawn(move || give.send(work()).unwrap());
    let done = take.recv_timeout(PATIENCE).expect("an answer never comes");
    working.join().unwrap();
    done
}

fn a_stopped_node_says_so<R: Runtime>() {
    let handle = node::<R>().start().unwrap();
    let (clone, nobody) = (handle.clone(), NodeId::from_random_bytes([7; 16]));
    in_time(move || handle.shutdown(Duration::from_secs(1)).wait().unwrap());

    assert_eq!(clone.peers().wait(), Err(CommandError::Stopped));
    assert_eq!(clone.peer(nobody).wait(), Err(CommandError::Stopped));
    assert_eq!(clone.disconnect(nobody).wait(), Err(CommandError::Stopped));
    assert_eq!(clone.add_bootstrap("127.0.0.1:1").wait(), Err(CommandError::Stopped));
    assert_eq!(clone.with(|cx| cx.peer_count()).wait(), Err(CommandError::Stopped));
    let dialled = clone.dial("127.0.0.1:1").wait();
    assert!(matches!(dialled, Err(DialError::Stopped)), "{dialled:?}");
    let sent = clone.send(nobody, "NOTE", "x").wait();
    assert!(matches!(sent, Err(SendError::Stopped)), "{sent:?}");
    let published = clone.broadcast("NEWS", "x").wait();
    assert!(matches!(published, Err(BroadcastError::Stopped)), "{published:?}");
    assert_eq!(clone.shutdown(PATIENCE).wait(), Ok(()), "it has stopped, as asked");
    assert_eq!(clone.clone().stopped().wait(), Ok(()));
    assert!(TcpStream::connect(clone.local_addrs()[0]).is_err(), "nobody listens any more");
}

fn what_the_end_lost_can_be_asked_after_it<R: Runtime>() {
    let (up, met) = channel();
    let handle = node::<R>().on_peer_up(move |_, peer| up.send(peer.clone()).unwrap());
    let handle = handle.start().unwrap();
    let mut deaf = TcpStream::connect(handle.local_addrs()[0]).unwrap();
    deaf.write_all(hello_of(7).as_bytes()).unwrap();
    let peer = met.recv_timeout(PATIENCE).unwrap();
    let body = "x".repeat(16 * 1024);
    while handle.send(peer.clone(), "NOTE", &body).wait().is_ok() {}
    in_time(move || {
        let asked = handle.stats();
        handle.shutdown(Duration::from_millis(50)).wait().unwrap();
        let before = asked.wait().unwrap();
        let last = handle.stats().wait().unwrap();
        assert_eq!((before.lost_at_close, last.connections_closed), (0, 1));
        assert!(last.lost_at_close > 0, "{last:?}");
        assert_eq!(handle.stats().wait(), Ok(last));
    });
    drop(deaf);
}

fn waiting_in_a_handler_is_refused_and_the_command_done<R: Runtime>() {
    let (give, answers) = channel();
    let first = node::<R>().on("ASK", move |cx, _| {
        let handle = cx.handle();
        give.send(format!("{:?}", handle.stats().wait())).unwrap();
        give.send(format!("{:?}", handle.broadcast("ANSWER", "done").wait())).unwrap();
        give.send(format!("{:?}", handle.shutdown(PATIENCE).wait())).unwrap();
    });
    let (first, second, heard) = pair(first);
    second.broadcast("ASK", "?").detach();
    for expected in ["Err(WouldDeadlock)"; 3] {
        assert_eq!(answers.recv_timeout(PATIENCE).unwrap(), expected);
    }
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "\"done\"");
    in_time(move || first.stopped().wait().unwrap());
}

fn answers_nobody_waits_for_are_no_commands_lost<R: Runtime>() {
    let (first, _second, heard) = pair(node::<R>());
    let mut cx = Context::from_waker(Waker::noop());
    for number in 0..300 {
        let pending = first.broadcast("NEWS", &number);
        match number % 3 {
            0 => pending.detach(),
            1 => std::mem::forget(pending),
            // Cancelled halfway through an await, unless the answer was quicker.
            _ => {
                let answer = pin!(pending).poll(&mut cx);
                assert!(!matches!(answer, Poll::Ready(Err(_))), "{answer:?}");
            }
        }
    }
    for number in 0..300 {
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), number.to_string());
    }
}

/// A lone node sleeps without end between two commands: one wake-up lost, and this hangs.
fn eight_threads_wake_a_sleeping_loop_each_time<R: Runtime>() {
    let handle = node::<R>().start().unwrap();
    let barrier = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (handle, barrier) = (handle.clone(), Arc::clone(&barrier));
            thread::spawn(move || {
                for _ in 0..2_000 {
                    // All were answered: the loop is asleep, or just about to be.
                    barrier.wait();
                    handle.stats().wait().unwrap();
                }
            })
        })
        .collect();
    in_time(move || threads.into_iter().for_each(|thread| thread.join().unwrap()));
}

fn eight_threads_are_served_in_the_order_of_each<R: Runtime>() {
    let handle = node::<R>().start().unwrap();
    let done = Arc::new(Mutex::new(vec![Vec::new(); 8]));
    let work = |thread: usize, handle: Handle, done: Arc<Mutex<Vec<Vec<u32>>>>| {
        move || {
            for number in 0..1_000 {
                let done = done.clone();
                let pending = handle.with(move |_| done.lock().unwrap()[thread].push(number));
                // Bursts of up to seven commands, the last of which is waited for.
                match number % 7 {
                    6 => pending.wait().unwrap(),
                    _ => pending.detach(),
                }
            }
            handle.stats().wait().unwrap();
        }
    };
    let threads: Vec<_> =
        (0..8).map(|thread| thread::spawn(work(thread, handle.clone(), done.clone()))).collect();
    in_time(move || threads.into_iter().for_each(|thread| thread.join().unwrap()));
    let expected: Vec<u32> = (0..1_000).collect();
    assert!(done.lock().unwrap().iter().all(|numbers| *numbers == expected));
}

/// More wait than a turn accepts, and nobody knocks again.
fn a_loop_held_up_accepts_all_that_came_meanwhile<R: Runtime>() {
    const STRANGERS: usize = 200;
    let mut limits = Limits::default();
    limits.max_inbound = STRANGERS;
    let (give, ups) = channel();
    let builder = node::<R>().limits(limits).on_peer_up(move |_, _| give.send(()).unwrap());
    let handle = builder.start().unwrap();
    let (release, held) = channel::<()>();
    let holding = handle.with(move |_| held.recv().is_ok());
    let strangers: Vec<TcpStream> = (0..STRANGERS)
        .map(|number| {
            let mut stream = TcpStream::connect(handle.local_addrs()[0]).unwrap();
            stream.write_all(hello_of(number).as_bytes()).unwrap();
            stream
        })
        .collect();
    release.send(()).unwrap();
    assert_eq!(holding.wait(), Ok(true));
    for _ in &strangers {
        ups.recv_timeout(PATIENCE).expect("all are accepted");
    }
}

fn a_handler_that_panics_is_logged_once_and_counted_each_time<R: Runtime>() {
    start_log();
    // No other test has a handler for this kind.
    let kind = format!("BOOM on {}", std::any::type_name::<R>());
    let (give, after) = channel();
    let first = node::<R>()
        .on(&kind, |_, message| panic!("as planned: {}", message.body()))
        .on(&kind, move |_, message| give.send(message.body().to_owned()).unwrap());
    let (first, second, _heard) = pair(first);
    for number in 0..3 {
        second.broadcast(&kind, &number).detach();
        assert_eq!(after.recv_timeout(PATIENCE).unwrap(), number.to_string());
    }
    assert_eq!(first.stats().wait().unwrap().handler_panics, 3);
    assert_eq!(second.stats().wait().unwrap().handler_panics, 0);
    let logged = LOG.lock().unwrap().iter().filter(|line| line.contains(&kind)).cloned().collect();
    let logged: Vec<String> = logged;
    assert!(matches!(&logged[..], [line] if line.contains("panicked")), "{logged:?}");
}

fn a_command_that_panics_costs_its_answer_alone<R: Runtime>() {
    let handle = node::<R>().start().unwrap();
    let panicked = handle.with(|_| panic!("as planned"));
    assert_eq!(panicked.wait(), Err(CommandError::Stopped));
    assert_eq!(handle.stats().wait().unwrap().handler_panics, 1);
}

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps what is logged at `warn` and above.
struct Keep;

impl log::Log for Keep {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOG.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// Further calls change nothing.
fn start_log() {
    log::set_logger(&Keep).ok();
    log::set_max_level(log::LevelFilter::Warn);
}
