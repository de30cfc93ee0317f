//! The peer table, in the words of the original system.

use std::slice::from_ref;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use peerline_proto::{Dialect, Event, PeerId};
use peerline_runtime::{DialError, Runtime};

use super::{PATIENCE, meet, node};

pub(super) fn peers_are_added_found_counted_and_forgotten<R: Runtime>() {
    let (give, events) = channel();
    let a = node::<R>().max_peers(2).chat_name("able");
    let a = a.otherwise(move |_, event| give.send(event).unwrap()).start().unwrap();
    let [b, c] = [(); 2].map(|()| node::<R>().start().unwrap());
    assert_eq!((a.count().wait(), a.max_peers().wait()), (Ok(0), Ok(2)));
    assert_eq!((b.max_peers().wait(), b.is_full().wait()), (Ok(0), Ok(false)));
    assert!(a.chat_id().wait().unwrap().starts_with("able-"));

    // A native peer by a name, a BTPeer one by its address.
    let port = b.local_addrs()[0].port();
    let conns = a.add(format!("localhost:{port}"), Dialect::Native).wait().unwrap();
    assert!(!conns.is_empty());
    meet(&a, 1);
    let addr = c.local_addrs()[0];
    a.add(addr, Dialect::Btpeer).wait().unwrap();
    let wait = |what: &str, wanted: &dyn Fn(&Event) -> bool| {
        let mut others = Vec::new();
        loop {
            match events.recv_timeout(PATIENCE) {
                Ok(event) if wanted(&event) => return,
                Ok(event) => others.push(event),
                Err(_) => panic!("no {what} in time, but {others:?}"),
            }
        }
    };
    wait("guest", &|event| matches!(event, Event::GuestJoined { dialect: Dialect::Btpeer, .. }));
    assert_eq!(a.count().wait(), Ok(2));
    assert_eq!(a.is_full().wait(), Ok(true));
    let guests = a.guests().wait().unwrap();
    assert_eq!((guests.len(), guests[0].addr), (1, addr));

    let (peer, guest) = (PeerId::from(b.id()), guests[0].peer.clone());
    let find = |text: &str| a.find(text).wait().unwrap();
    assert_eq!(find(&b.id().to_string()), from_ref(&peer));
    assert_eq!(find(&b.id().to_string()[..8].to_uppercase()), from_ref(&peer));
    assert_eq!(find(&addr.to_string()), from_ref(&guest));
    assert_eq!(find("127.0."), from_ref(&guest));
    assert_eq!((find(""), find("nobody")), (vec![], vec![]));

    assert_eq!(a.ask_for_peers(&guest).wait(), Ok(true));
    wait(
        "peers of the guest",
        &|event| matches!(event, Event::GuestPeers { from, .. } if *from == guest),
    );
    assert_eq!(a.ask_for_peers(&peer).wait(), Ok(true));
    assert_eq!(a.ask_for_peers(c.id()).wait(), Ok(false));

    c.shutdown(PATIENCE).wait().unwrap();
    // A program that another test begins holds its listener for a moment: then it seems to live.
    let begun = Instant::now();
    let has_left = |event| matches!(event, Event::GuestLeft { peer, .. } if peer == guest);
    loop {
        a.check_live().wait().unwrap();
        if events.recv_timeout(Duration::from_millis(200)).is_ok_and(&has_left) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the guest never leaves");
    }
    assert_eq!(a.forget(&guest).wait(), Ok(false), "gone already");
    assert_eq!(a.forget(&peer).wait(), Ok(true));
    wait("end of the peer", &|event| matches!(event, Event::PeerDown { .. }));
    assert_eq!(a.count().wait(), Ok(0));
    let refused = b.add("127.0.0.1:0", Dialect::Chat).wait();
    assert!(matches!(refused, Err(DialError::Unusable(_))), "{refused:?}");
}
