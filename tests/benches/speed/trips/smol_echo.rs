//! An echo on smol and nothing else.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::spawn;

use peerline_smol::smol;
use smol::Async;
use smol::channel::bounded;
use smol::io::{AsyncReadExt, AsyncWriteExt};

use super::{LINE, Samples};

pub(super) fn serve() {
    smol::block_on(async {
        let listener = Async::<TcpListener>::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        println!("at {}", listener.get_ref().local_addr().unwrap());
        let mut line = Line::new(listener.accept().await.unwrap().0);
        while line.read().await {
            line.write().await;
        }
    });
}

/// The task asks.
pub(super) fn ask(to: &str, mut samples: Samples) -> Samples {
    smol::block_on(async {
        let mut line = Line::dial(to).await;
        loop {
            samples.ask();
            line.write().await;
            assert!(line.read().await);
            if !samples.answered() {
                return samples;
            }
        }
    })
}

/// Another thread asks, by channels there and back.
pub(super) fn ask_from_thread(to: &str, mut samples: Samples) -> Samples {
    let (command, commands) = bounded(1);
    let (answer, answers) = bounded(1);
    let to = to.to_owned();
    spawn(move || {
        smol::block_on(async {
            let mut line = Line::dial(&to).await;
            while let Ok(()) = commands.recv().await {
                line.write().await;
                assert!(line.read().await);
                answer.send(()).await.unwrap();
            }
        });
    });
    loop {
        samples.ask();
        command.send_blocking(()).unwrap();
        answers.recv_blocking().unwrap();
        if !samples.answered() {
            return samples;
        }
    }
}

/// A connection whose lines all have one length.
struct Line {
    socket: Async<TcpStream>,
    bytes: [u8; LINE],
}

impl Line {
    async fn dial(to: &str) -> Self {
        Self::new(Async::<TcpStream>::connect(to.parse::<SocketAddr>().unwrap()).await.unwrap())
    }

    fn new(socket: Async<TcpStream>) -> Self {
        socket.get_ref().set_nodelay(true).unwrap();
        Self { socket, bytes: [b'x'; LINE] }
    }

    async fn write(&mut self) {
        self.socket.write_all(&self.bytes).await.unwrap();
    }

    /// Whether a line came, and not the end.
    async fn read(&mut self) -> bool {
        self.socket.read_exact(&mut self.bytes).await.is_ok()
    }
}
