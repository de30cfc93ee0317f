//! The BTPeer network: whom we know there, whom we are joining, and who waits for an answer.

use alloc::sync::Arc;
use core::net::SocketAddr;

use crate::guests::Table;
use crate::id::ConnId;
use crate::limits::Limits;
use crate::sorted::SortedMap;

/// The BTPeer network as this node sees it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Btpeer {
    pub(crate) table: Table,
    /// Peers that we are joining, by address, and the ids they gave. Bounded by the visits there
    /// may be.
    joining: SortedMap<SocketAddr, Arc<str>>,
    /// Requests that wait for the application's answer, by their names there.
    asked: SortedMap<u64, ConnId>,
}

impl Btpeer {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            table: Table::new(limits.guests),
            joining: SortedMap::new(),
            asked: SortedMap::new(),
        }
    }

    /// The peer at this address, which we are joining, gave its id.
    pub(crate) fn joins(&mut self, addr: SocketAddr, id: &str) {
        self.joining.insert(addr, id.into());
    }

    /// The id of the peer at this address whose joining ends now, well or not.
    pub(crate) fn joined(&mut self, addr: SocketAddr) -> Option<Arc<str>> {
        self.joining.remove(&addr)
    }

    /// A request waits for the application's answer.
    pub(crate) fn asks(&mut self, token: u64, conn: ConnId) {
        self.asked.insert(token, conn);
    }

    /// How many do.
    pub(crate) fn waiting(&self) -> usize {
        self.asked.len()
    }

    /// The connection on which a request waits.
    pub(crate) fn asker(&self, token: u64) -> Option<ConnId> {
        self.asked.get(&token).copied()
    }

    /// The last word was said, or the asker is gone.
    pub(crate) fn answered(&mut self, token: u64) {
        self.asked.remove(&token);
    }
}
