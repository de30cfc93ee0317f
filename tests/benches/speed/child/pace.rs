//! How fast the publisher may go, and when it is done.
//!
//! Two nodes are held back by TCP. In a network of more no transport does that: whoever passes
//! messages on drops some, or queues them without end. So the publisher there is at most a window
//! ahead of the slowest receiver, for every contestant alike; receivers tell by datagrams, which
//! cost next to nothing at eight a window. A second without any news ends the run: what is missing
//! is lost, and is said to be.

use std::fmt;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::spawn;
use std::time::{Duration, Instant};

use super::meter::cpu;
use super::{COUNTED, LAST, SILENCE, Task};

/// Messages between two looks at the clock.
const CLOCK_EVERY: u64 = 16;

/// How far the receivers are.
#[derive(Clone)]
pub struct Window(Arc<Progress>);

struct Progress {
    socket: UdpSocket,
    size: u64,
    /// What the slowest has.
    floor: AtomicU64,
    waiting: AtomicBool,
    stalled: AtomicBool,
    resume: Box<dyn Fn() + Send + Sync>,
}

impl Window {
    /// Listens for what receivers tell. `resume` is called when a publisher that waited may go on.
    pub(super) fn open(task: &Task, resume: Box<dyn Fn() + Send>) -> Self {
        let resume = Mutex::new(resume);
        let this = Self(Arc::new(Progress {
            socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
            size: task.window,
            floor: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            resume: Box::new(move || resume.lock().unwrap()()),
        }));
        if task.publishes() && task.window > 0 {
            let (progress, receivers) = (Arc::clone(&this.0), task.nodes - 1);
            spawn(move || progress.listen(receivers));
        }
        this
    }

    pub(super) fn address(&self) -> String {
        self.0.socket.local_addr().unwrap().to_string()
    }

    /// Whether receivers fell silent while the publisher waited for them.
    pub(super) fn is_stalled(&self) -> bool {
        self.0.stalled.load(SeqCst)
    }

    /// Whether message number `sent` may go; if not, the publisher is called when it may.
    fn has_room(&self, sent: u64) -> bool {
        let progress = &*self.0;
        let room = || sent < progress.floor.load(SeqCst) + progress.size;
        if progress.size == 0 || room() {
            return true;
        }
        progress.waiting.store(true, SeqCst);
        room() // it may have come in between
    }
}

impl Progress {
    /// Takes a report. Whether the slowest is further now.
    fn take(&self, report: &[u8; 16], counts: &mut [u64]) -> bool {
        let word = |at: usize| u64::from_le_bytes(report[at..at + 8].try_into().unwrap());
        counts[word(0) as usize - 1] = word(8);
        let floor = counts.iter().copied().min().unwrap_or(0);
        self.floor.swap(floor, SeqCst) != floor
    }

    fn listen(&self, receivers: usize) {
        self.socket.set_read_timeout(Some(SILENCE)).unwrap();
        let mut counts = vec![0; receivers];
        let mut bytes = [0; 16];
        loop {
            let news = match self.socket.recv(&mut bytes) {
                Ok(16) => self.take(&bytes, &mut counts),
                Ok(_) => false,
                Err(_) => {
                    self.stalled.store(self.waiting.load(SeqCst), SeqCst);
                    true
                }
            };
            // Whoever waits for the slowest would wake for nothing by what the others report.
            if news && self.waiting.swap(false, SeqCst) {
                (self.resume)();
            }
        }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("size", &self.0.size).finish_non_exhaustive()
    }
}

/// What a publisher does next.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// Publish a body with this first byte, then call [`Pace::sent`].
    Publish(u8),
    /// Wait to be resumed.
    Wait,
    /// Nothing more.
    Done,
}

/// The publisher's own count.
#[derive(Debug)]
pub struct Pace {
    window: Window,
    time: Duration,
    began: Option<(Instant, f64)>,
    sent: u64,
    done: bool,
    end: Arc<End>,
}

/// Where the publisher leaves its totals.
#[derive(Debug, Default)]
pub(super) struct End(Mutex<Option<Totals>>, Condvar);

/// Messages, seconds, CPU seconds.
type Totals = (u64, f64, f64);

impl Pace {
    pub(super) fn new(task: &Task, window: &Window) -> (Self, Arc<End>) {
        let end = Arc::new(End::default());
        let (window, time) = (window.clone(), task.time);
        (Self { window, time, began: None, sent: 0, done: false, end: Arc::clone(&end) }, end)
    }

    /// What to do now. The same again until [`sent`](Self::sent) is called.
    pub fn next(&mut self) -> Next {
        let (began, _) = *self.began.get_or_insert_with(|| (Instant::now(), cpu()));
        if self.done {
            return Next::Done;
        }
        let looks = self.sent % CLOCK_EVERY == 0;
        if looks && began.elapsed() >= self.time || self.window.is_stalled() {
            return Next::Publish(LAST);
        }
        if self.window.has_room(self.sent) { Next::Publish(COUNTED) } else { Next::Wait }
    }

    /// What [`next`](Self::next) said was published; `times` messages of it at once.
    pub fn sent(&mut self, what: u8, times: u64) {
        if what == COUNTED {
            self.sent += times;
            return;
        }
        self.done = true;
        let (began, cpu_before) = self.began.unwrap();
        let totals = (self.sent, began.elapsed().as_secs_f64(), cpu() - cpu_before);
        *self.end.0.lock().unwrap() = Some(totals);
        self.end.1.notify_all();
    }
}

impl End {
    pub(super) fn wait(&self, patience: Duration) -> Totals {
        let guard = self.0.lock().unwrap();
        let (totals, _) =
            self.1.wait_timeout_while(guard, patience, |totals| totals.is_none()).unwrap();
        totals.expect("the publisher ends in time")
    }
}
