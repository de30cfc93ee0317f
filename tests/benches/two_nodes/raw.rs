//! The baselines: a plain TCP connection, lines written many at a time, their ends found again.

use std::hint::black_box;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::{Count, cpu};

/// Bytes of one write, and of one read.
const AT_ONCE: usize = 64 * 1024;

/// A JSON string of this many bytes, as a line.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    format!("\"{}\"\n", "x".repeat(size.saturating_sub(2))).into_bytes()
}

/// The same in the line that a node writes for it.
pub(crate) fn whole_line(size: usize) -> Vec<u8> {
    let mut line =
        br#"{"msgtype":"broadcast","originator":"67e55044-10b1-426f-9247-bb680e5fe0c8","#.to_vec();
    line.extend(br#""epoch":3141592653,"seq":1000000,"time":1700000000000,"kind":"NEWS","msg":"#);
    line.extend(payload(size));
    line.insert(line.len() - 1, b'}');
    line
}

/// Sends copies of a line for this long, as many at a time as fit into one write.
pub(crate) fn send(line: &[u8], to: &str, time: Duration) {
    let copies = (AT_ONCE / line.len()).max(1);
    let buffer = line.repeat(copies);
    let mut socket = TcpStream::connect(to).unwrap();
    socket.set_nodelay(true).unwrap();
    let (began, cpu_before) = (Instant::now(), cpu());
    let mut messages = 0;
    while began.elapsed() < time {
        socket.write_all(&buffer).unwrap();
        messages += copies as u64;
    }
    let wall = began.elapsed().as_secs_f64();
    Count { messages, wall, cpu: cpu() - cpu_before }.tell();
}

/// Accepts one connection and counts its lines, looking at each.
pub(crate) fn receive(time: Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let (mut socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(time + Duration::from_secs(10))).unwrap();
    let mut buffer = vec![0; AT_ONCE];
    let (mut messages, mut began) = (0, None);
    loop {
        let count = match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => panic!("reading failed: {error}"),
        };
        began.get_or_insert_with(|| (Instant::now(), cpu()));
        messages += lines(&buffer[..count]);
    }
    let (began, cpu_before) = began.unwrap();
    let wall = began.elapsed().as_secs_f64();
    Count { messages, wall, cpu: cpu() - cpu_before }.tell();
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
