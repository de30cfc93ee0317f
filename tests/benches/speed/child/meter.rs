//! Counts what arrives, and tells the publisher how far this node is.
//!
//! One thread counts, so a load and a store do. The clock is read at the first message, at every
//! sixteenth, and at the last: a rate is of what came between the first and the last.

use std::net::UdpSocket;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::{COUNTED, LAST, PATIENCE, Task};

/// Messages between two looks at the clock.
const CLOCK_EVERY: u64 = 16;
/// Reports in one window.
pub(super) const REPORTS: u64 = 8;

/// CPU seconds of this process so far, of all its threads and in the kernel too.
pub fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// What one node has received.
#[derive(Debug)]
pub struct Meter {
    base: Instant,
    messages: AtomicU64,
    /// Nanoseconds since `base`, of the first and the latest counted message.
    first: AtomicU64,
    latest: AtomicU64,
    /// CPU at the first and at the last, in nanoseconds.
    cpu_first: AtomicU64,
    cpu_last: AtomicU64,
    ended: AtomicBool,
    report: OnceLock<Report>,
}

#[derive(Debug)]
struct Report {
    to: UdpSocket,
    index: u64,
    every: u64,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            messages: AtomicU64::new(0),
            first: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            cpu_first: AtomicU64::new(0),
            cpu_last: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            report: OnceLock::new(),
        }
    }
}

impl Meter {
    /// Takes a message by the first byte of its body.
    pub fn got(&self, first: Option<u8>) {
        match first {
            Some(COUNTED) => self.count(1),
            Some(LAST) => self.end(),
            _ => {}
        }
    }

    /// Counts so many messages at once.
    pub fn count(&self, more: u64) {
        let before = self.messages.load(Relaxed);
        let now = before + more;
        self.messages.store(now, Relaxed);
        if before == 0 && more > 0 {
            self.first.store(self.nanos(), Relaxed);
            self.cpu_first.store(nanos_of_cpu(), Relaxed);
        }
        if before / CLOCK_EVERY != now / CLOCK_EVERY {
            self.latest.store(self.nanos(), Relaxed);
        }
        if let Some(report) = self.report.get() {
            if before / report.every != now / report.every {
                let _ = report.to.send(&words(report.index, now)); // the next one says more
            }
        }
    }

    /// The last message is here.
    pub fn end(&self) {
        self.latest.store(self.nanos(), Relaxed);
        self.cpu_last.store(nanos_of_cpu(), Relaxed);
        self.ended.store(true, Relaxed);
    }

    /// How many there are.
    pub fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// Whether so many have come, and the last.
    pub fn has(&self, count: u64) -> bool {
        self.messages() >= count && self.ended.load(Relaxed)
    }

    /// Messages, seconds from the first to the last, CPU seconds between the two.
    pub fn totals(&self) -> (u64, f64, f64) {
        let seconds =
            |from: &AtomicU64, to: u64| to.saturating_sub(from.load(Relaxed)) as f64 / 1e9;
        let cpu = match self.cpu_last.load(Relaxed) {
            0 => nanos_of_cpu(),
            nanos => nanos,
        };
        let wall = seconds(&self.first, self.latest.load(Relaxed));
        (self.messages(), wall, seconds(&self.cpu_first, cpu))
    }

    /// From now on tells this address how many there are, several times a window.
    pub fn report_to(&self, address: &str, task: &Task) {
        if task.window > 0 && !task.publishes() {
            let to = UdpSocket::bind("127.0.0.1:0").unwrap();
            to.set_write_timeout(Some(PATIENCE)).unwrap();
            to.connect(address).unwrap();
            let every = (task.window / REPORTS).max(1);
            self.report.set(Report { to, index: task.index as u64, every }).unwrap();
        }
    }

    fn nanos(&self) -> u64 {
        self.base.elapsed().max(Duration::from_nanos(1)).as_nanos() as u64
    }
}

fn nanos_of_cpu() -> u64 {
    (cpu() * 1e9) as u64
}

fn words(index: u64, count: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&index.to_le_bytes());
    bytes[8..].copy_from_slice(&count.to_le_bytes());
    bytes
}
