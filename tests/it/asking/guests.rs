//! Strangers that speak BTPeer frames, written out by hand.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use peerline_proto::{Event, PeerId};
use peerline_runtime::{RequestError, Runtime};
use peerline_testkit::reserved::Reserved;

use super::{PATIENCE, node, said};

/// A frame as the framework writes it.
fn frame(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = kind.as_bytes().to_vec();
    bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Reads one frame; none at the end.
fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut header = [0; 8];
    stream.read_exact(&mut header).ok()?;
    let len = u32::from_be_bytes(header[4..].try_into().unwrap());
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    stream.read_exact(&mut payload).ok()?;
    Some((String::from_utf8_lossy(&header[..4]).into_owned(), payload))
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(super) fn a_guest_is_answered<R: Runtime>() {
    let node = node::<R>()
        .on_request("QUER", |_, request, responder| {
            assert!(matches!(request.from(), PeerId::Guest(_)));
            assert_eq!(request.body(), "\"what\"");
            assert!(request.source().is_some_and(|source| source.ip().is_loopback()));
            thread::spawn(move || {
                responder.send(&"first").wait().unwrap();
                let bytes = serde_json::json!({ "base64": "/wA=" });
                responder.send_as("DATA", &bytes).wait().unwrap();
                responder.finish(&"last").wait().unwrap();
            });
        })
        .on_request("DROP", |_, _, responder| drop(responder))
        .on_request("BOOM", |_, _, _| panic!("as planned"))
        .on_request("LONG", |_, _, responder| responder.finish_as("TOOLONG", &1).detach());
    let node = node.start().unwrap();
    let ask = |kind: &str, half_closes: bool| -> Vec<(String, Vec<u8>)> {
        let mut stream = patient(TcpStream::connect(node.local_addrs()[0]).unwrap());
        stream.write_all(&frame(kind, b"what")).unwrap();
        if half_closes {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let frames = std::iter::from_fn(|| read(&mut stream)).collect();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed in order");
        frames
    };
    for half_closes in [false, true] {
        let expected: [(String, Vec<u8>); 3] = [
            ("REPL".into(), b"first".into()),
            ("DATA".into(), [0xff, 0].into()),
            ("REPL".into(), b"last".into()),
        ];
        assert_eq!(ask("QUER", half_closes), expected);
        for kind in ["DROP", "BOOM", "LONG", "WHAT"] {
            assert_eq!(ask(kind, half_closes), [], "{kind}");
        }
    }
    assert_eq!(node.stats().wait().unwrap().handler_panics, 2);
}

/// A peer that answers each request with so many frames, or hangs up, or never does.
fn listed(listener: TcpListener) {
    for stream in listener.incoming() {
        let mut stream = patient(stream.unwrap());
        let Some((kind, payload)) = read(&mut stream) else { continue };
        match kind.as_str() {
            "STOP" => return,
            "NONE" => {}
            "HANG" => assert_eq!(stream.read(&mut [0]).unwrap_or_default(), 0),
            _ => {
                stream.write_all(&frame("REPL", &payload)).unwrap();
                stream.write_all(&frame("DATA", &[0xff, 0])).unwrap();
                stream.write_all(&frame("REPL", b"the end")).unwrap();
            }
        }
    }
}

pub(super) fn a_guest_is_asked<R: Runtime>() {
    let (give, events) = std::sync::mpsc::channel();
    let node = node::<R>().otherwise(move |_, event| give.send(event).unwrap());
    let node = node.start().unwrap();
    let listener = TcpListener::bind(Reserved::for_good()).unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = thread::spawn(move || listed(listener));

    let last = node.request_at(addr, "FGET", &"a name", PATIENCE).wait().unwrap();
    assert_eq!((said(&last).as_str(), last.n()), ("REPL \"the end\"", 2));
    let replies = node.request_stream_at(addr, "FGET", &"a name", PATIENCE);
    let heard: Vec<String> = replies.map(|reply| said(&reply.unwrap())).collect();
    let expected = ["REPL \"a name\"", "DATA {\"base64\":\"/wA=\"}", "REPL \"the end\""];
    assert_eq!(heard, expected);

    let none = node.request_at(addr, "NONE", &1, PATIENCE).wait();
    assert!(matches!(none, Err(RequestError::Nak { .. })), "{none:?}");
    let late = node.request_at(addr, "HANG", &1, Duration::from_millis(300)).wait();
    assert!(matches!(late, Err(RequestError::Timeout)), "{late:?}");
    let long = node.request_at(addr, "TOOLONG", &1, PATIENCE).wait();
    assert!(matches!(long, Err(RequestError::KindTooLong { .. })), "{long:?}");

    // Without a listener of its own, a request is told by events.
    let asked = node.with(move |cx| {
        let body = peerline_proto::Payload::encode(&1).unwrap();
        cx.request_payload_at(addr, "FGET", &body, PATIENCE).unwrap()
    });
    let request = asked.wait().unwrap();
    let heard: Vec<u64> = std::iter::from_fn(|| events.recv_timeout(PATIENCE).ok())
        .filter_map(|event| match event {
            Event::Reply(reply) if reply.request() == request => Some(reply),
            _ => None,
        })
        .take(3)
        .map(|reply| reply.n())
        .collect();
    assert_eq!(heard, [0, 1, 2]);

    TcpStream::connect(addr).unwrap().write_all(&frame("STOP", b"")).unwrap();
    serving.join().unwrap();
    let gone = node.request_at(addr, "FGET", &1, PATIENCE).wait();
    assert!(matches!(gone, Err(RequestError::Nak { .. })), "{gone:?}");
}
