//! A node on tokio: what tokio supplies to the driver, the task that waits, and a runtime of its
//! own for those who have none. Inside a runtime that exists, spawn a [`Task`].

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use peerline_runtime::{
    Bell, Builder, Direction, Driver, Events, Handle, Io, Runtime, Setup, StartError, Wakers,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep as timer};

/// The sockets of a node: tokio's, with a waker for each side.
#[derive(Debug)]
pub struct Sockets(Wakers);

impl Io for Sockets {
    type Socket = TcpStream;
    type Listener = TcpListener;

    fn register(&mut self, _: usize, stream: std::net::TcpStream) -> io::Result<TcpStream> {
        TcpStream::from_std(stream)
    }

    fn listen(&mut self, _: usize, listener: std::net::TcpListener) -> io::Result<TcpListener> {
        TcpListener::from_std(listener)
    }

    fn accept(
        &mut self,
        key: usize,
        listener: &TcpListener,
    ) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let waker = self.0.of(key, Direction::Read);
        match listener.poll_accept(&mut Context::from_waker(&waker)) {
            Poll::Ready(accepted) => {
                accepted.and_then(|(stream, addr)| Ok((stream.into_std()?, addr)))
            }
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn try_read(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        socket.try_read(buffer)
    }

    fn try_write_vectored(socket: &TcpStream, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        socket.try_write_vectored(parts)
    }

    fn rearm(&mut self, key: usize, socket: &TcpStream, side: Direction) -> bool {
        let waker: Waker = self.0.of(key, side);
        let mut cx = Context::from_waker(&waker);
        match side {
            Direction::Read => socket.poll_read_ready(&mut cx).is_ready(),
            Direction::Write => socket.poll_write_ready(&mut cx).is_ready(),
        }
    }
}

/// A running node, as a future that ends when it has stopped.
#[derive(Debug)]
pub struct Task {
    driver: Driver<Sockets>,
    bell: Bell,
    timer: Pin<Box<Sleep>>,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.bell.answer(cx.waker(), &mut this.driver);
        let most = this.driver.turn();
        if this.driver.is_stopped() {
            return Poll::Ready(());
        }
        this.timer.set(timer(most.unwrap_or(Duration::from_secs(3600))));
        if most == Some(Duration::ZERO) || this.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// A node with a tokio runtime of its own.
#[derive(Debug)]
pub struct Tokio(tokio::runtime::Runtime, Task);

impl Runtime for Tokio {
    type Events = Events;

    fn new(setup: Setup) -> Result<(Self, Handle), StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (entered, bell) = (runtime.enter(), Bell::default());
        let (driver, handle) = Driver::new(setup, Sockets(Wakers::new(&bell)), bell.waker())?;
        let task = Task { driver, bell, timer: Box::pin(timer(Duration::ZERO)) };
        drop(entered);
        Ok((Self(runtime, task), handle))
    }

    fn run(self) -> io::Result<()> {
        self.0.block_on(self.1);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Builder::<Tokio>::new().listen("127.0.0.1:0").start()?;
    println!("{} listens at {:?}", node.id(), node.local_addrs());
    Ok(node.shutdown(Duration::from_secs(1)).wait()?)
}
