//! The baselines: a plain TCP connection, lines written many at a time, their ends found again.

use std::hint::black_box;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::spawn;

use crate::child::{COUNTED, Contestant, LAST, Meter, Next, Pace, Task};

/// Bytes of one write, and of one read.
const AT_ONCE: usize = 64 * 1024;

/// Two ends of one connection.
pub(crate) struct Raw {
    listener: TcpListener,
    line: Vec<u8>,
    meter: Arc<Meter>,
    links: usize,
}

impl Raw {
    /// With lines of the payload alone, or whole ones.
    pub(crate) fn new(task: &Task, meter: &Arc<Meter>, whole: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let line = if whole { whole_line(task.size) } else { payload(task.size) };
        Self { listener, line, meter: Arc::clone(meter), links: usize::from(task.publishes()) }
    }
}

impl Contestant for Raw {
    fn address(&mut self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    fn dial(&mut self, to: &str) {
        let (socket, meter) = (TcpStream::connect(to).unwrap(), Arc::clone(&self.meter));
        spawn(move || receive(socket, &meter));
        self.links += 1;
    }

    fn links(&self) -> usize {
        self.links
    }

    fn warm(&mut self) {}

    fn begin(&mut self, mut pace: Pace) {
        let (mut socket, _) = self.listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        let copies = (AT_ONCE / self.line.len()).max(1);
        let buffer = self.line.repeat(copies);
        spawn(move || {
            while pace.next() == Next::Publish(COUNTED) {
                socket.write_all(&buffer).unwrap();
                pace.sent(COUNTED, copies as u64);
            }
            pace.sent(LAST, 1); // the end of the stream says so
        });
    }

    fn resume(&self) -> Box<dyn Fn() + Send> {
        Box::new(|| {})
    }
}

/// A JSON string of this many bytes, as a line.
fn payload(size: usize) -> Vec<u8> {
    format!("\"{}\"\n", "x".repeat(size.saturating_sub(2))).into_bytes()
}

/// The same in the line that a node writes for it.
fn whole_line(size: usize) -> Vec<u8> {
    let mut line =
        br#"{"msgtype":"broadcast","originator":"67e55044-10b1-426f-9247-bb680e5fe0c8","#.to_vec();
    line.extend(br#""epoch":3141592653,"seq":1000000,"time":1700000000000,"kind":"NEWS","msg":"#);
    line.extend(payload(size));
    line.insert(line.len() - 1, b'}');
    line
}

/// Counts lines, looking at each.
fn receive(mut socket: TcpStream, meter: &Meter) {
    let mut buffer = vec![0; AT_ONCE];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => meter.count(lines(&buffer[..count])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("reading failed: {error}"),
        }
    }
    meter.got(Some(LAST));
}

fn lines(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(end) = memchr::memchr(b'\n', bytes) {
        let (line, rest) = bytes.split_at(end + 1);
        black_box(line);
        bytes = rest;
        count += 1;
    }
    count
}
