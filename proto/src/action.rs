//! What the node asks of its driver.

use core::net::SocketAddr;

use crate::id::ConnId;

/// An order to the driver. Closed on purpose: a driver that ignores one is broken, so a new one is
/// a breaking change.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub enum Action {
    /// Open a connection; answer with [`Node::connected`](crate::Node::connected) or
    /// [`Node::closed`](crate::Node::closed).
    Connect {
        /// The new connection.
        conn: ConnId,
        /// Where to.
        addr: SocketAddr,
    },
    /// Bytes wait where none did: write what [`Node::outgoing`](crate::Node::outgoing) shows until
    /// the socket is full, and report with [`Node::sent`](crate::Node::sent).
    Send {
        /// The connection to write to.
        conn: ConnId,
    },
    /// Stop reading until told to resume: the application is behind.
    PauseReading {
        /// The connection not to read.
        conn: ConnId,
    },
    /// Read again.
    ResumeReading {
        /// The connection to read.
        conn: ConnId,
    },
    /// Everything is sent: shut down the writing half, go on reading.
    Finish {
        /// The connection to half-close.
        conn: ConnId,
    },
    /// Let go of the socket. Comes exactly once for each connection, also for one that the driver
    /// reported closed; the id is dead from here on.
    Drop {
        /// The connection that is over.
        conn: ConnId,
    },
}

impl Action {
    /// The connection this is about.
    pub fn conn(&self) -> ConnId {
        match self {
            Self::Connect { conn, .. }
            | Self::Send { conn }
            | Self::PauseReading { conn }
            | Self::ResumeReading { conn }
            | Self::Finish { conn }
            | Self::Drop { conn } => *conn,
        }
    }
}
