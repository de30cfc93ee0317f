//! A host of the network tests: `host ADDR [BOOTSTRAP…]` listens, dials, and prints what it sees,
//! one line each: `ready ID`, `up PEER`, `down PEER`, `got ID NUMBER`. It broadcasts a number each
//! second, and ends with a bye when its input does.

use std::io::{Read, Write, stdin, stdout};
use std::time::Duration;

use peerline_mio::{Builder, Cx};

const KIND: &str = "COUNT";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().ok_or("usage: host ADDR [BOOTSTRAP…]")?;
    let node = Builder::new()
        .listen(addr)
        .bootstrap(args)
        .on_peer_up(|_, peer| say(format_args!("up {peer}")))
        .on_peer_down(|_, peer, reason| say(format_args!("down {peer}: {reason}")))
        .on(KIND, |_, message| say(format_args!("got {} {}", message.from(), message.body())))
        .every(Duration::from_secs(1), counter())
        .start()?;
    say(format_args!("ready {}", node.id()));
    stdin().read_to_end(&mut Vec::new())?;
    Ok(node.shutdown(Duration::from_secs(2)).wait()?)
}

fn counter() -> impl FnMut(&mut Cx<'_>) + Send + 'static {
    let mut count = 0_u64;
    move |cx| {
        count += 1;
        if let Err(error) = cx.broadcast(KIND, &count) {
            say(format_args!("broadcast failed: {error}"));
        }
    }
}

/// Lines leave at once; without a reader there is nobody to miss them.
fn say(line: std::fmt::Arguments<'_>) {
    let mut out = stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}
