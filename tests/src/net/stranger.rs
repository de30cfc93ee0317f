//! Connections whose one end the test itself holds.

use std::net::SocketAddr;

use crate::net::pipe::{Packet, Pipe, Raw, Side};
use crate::net::{HostId, Net, Stranger};

impl Net {
    /// Opens a connection to a host; the test speaks at the other end.
    pub fn intrude(&mut self, host: HostId, from: SocketAddr) -> Stranger {
        let id = self.new_pipe();
        self.hold(id, Side::Dialer);
        self.transmit(id, Side::Dialer, Packet::Syn { from, to: Some(host) });
        Stranger(id)
    }

    /// The test listens at this address.
    pub fn lure(&mut self, addr: SocketAddr) {
        self.lures.entry(addr).or_default();
    }

    /// The test listens there no more; who dialled stays known.
    pub fn unlure(&mut self, addr: SocketAddr) {
        self.lures.remove(&addr);
    }

    /// Who dialled an address where the test listens.
    pub fn lured(&self, addr: SocketAddr) -> &[Stranger] {
        self.lures.get(&addr).map_or(&[], Vec::as_slice)
    }

    /// The test writes.
    pub fn say(&mut self, stranger: Stranger, bytes: impl AsRef<[u8]>) {
        let side = self.raw(stranger).side;
        self.transmit(stranger.0, side, Packet::Bytes(bytes.as_ref().to_vec()));
    }

    /// The test ends its half.
    pub fn hang_up(&mut self, stranger: Stranger) {
        let side = self.raw(stranger).side;
        self.transmit(stranger.0, side, Packet::Fin);
    }

    /// The test breaks the connection.
    pub fn break_off(&mut self, stranger: Stranger) {
        let side = self.raw(stranger).side;
        if let Some(pipe) = self.pipes.get_mut(stranger.0) {
            pipe.lose_bytes(side);
        }
        self.transmit(stranger.0, side, Packet::Reset);
    }

    /// The test will not ask for the stranger again.
    pub(crate) fn forget(&mut self, stranger: Stranger) {
        if let Some(raw) = self.pipes.get_mut(stranger.0).and_then(|pipe| pipe.raw.as_mut()) {
            raw.forgotten = true;
        }
    }

    /// The last that the test was told on a connection, at most so many bytes.
    pub(crate) fn last_heard(&self, stranger: Stranger, most: usize) -> String {
        let heard = &self.raw(stranger).heard;
        String::from_utf8_lossy(&heard[heard.len().saturating_sub(most)..]).into_owned()
    }

    /// The test stops reading.
    pub fn turn_deaf(&mut self, stranger: Stranger) {
        if let Some(raw) = self.pipes.get_mut(stranger.0).and_then(|pipe| pipe.raw.as_mut()) {
            raw.reads = false;
        }
    }

    /// The test reads again.
    pub fn listen(&mut self, stranger: Stranger) {
        let Some(pipe) = self.pipes.get_mut(stranger.0) else { return };
        let Some(raw) = &mut pipe.raw else { return };
        raw.reads = true;
        let side = raw.side;
        pipe.read_raw();
        self.write_other(stranger.0, side);
    }

    /// Whether something waits for the test, which does not read by itself.
    pub fn has_unread(&self, stranger: Stranger) -> bool {
        self.pipes.get(stranger.0).is_some_and(Pipe::has_raw_unread)
    }

    /// The test reads at most so many bytes, once.
    pub fn sip(&mut self, stranger: Stranger, most: usize) -> Vec<u8> {
        let side = self.raw(stranger).side;
        let mut bytes = Vec::new();
        if let Some(pipe) = self.pipes.get_mut(stranger.0) {
            pipe.read(side, most, &mut bytes);
        }
        self.write_other(stranger.0, side);
        bytes
    }

    /// All that the test was told on a connection.
    pub fn heard(&self, stranger: Stranger) -> String {
        String::from_utf8_lossy(&self.raw(stranger).heard).into_owned()
    }

    /// All that the test was told on a connection, to the byte.
    pub fn heard_bytes(&self, stranger: Stranger) -> &[u8] {
        &self.raw(stranger).heard
    }

    /// Whether the node ended the connection.
    pub fn is_cut(&self, stranger: Stranger) -> bool {
        self.raw(stranger).cut
    }

    /// Whether the node broke the connection.
    pub fn was_reset(&self, stranger: Stranger) -> bool {
        self.raw(stranger).reset
    }

    pub(super) fn hold(&mut self, id: u64, side: Side) {
        if let Some(pipe) = self.pipes.get_mut(id) {
            pipe.raw = Some(Raw::new(side));
        }
    }

    fn raw(&self, stranger: Stranger) -> &Raw {
        let raw = self.pipes.get(stranger.0).and_then(|pipe| pipe.raw.as_ref());
        raw.expect("a stranger's pipe stays")
    }
}
