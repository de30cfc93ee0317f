//! Names: of nodes, of peers as the application sees them, and of connections.

use alloc::sync::Arc;
use core::fmt;
use core::num::NonZeroU32;
use core::str::FromStr;

use uuid::Uuid;

/// Who a node is: a UUID, by custom random and new for each session.
///
/// On the wire and in text it has the 36-character hyphenated form.
///
/// ```
/// use peerline_proto::NodeId;
///
/// let id: NodeId = "67e55044-10b1-426f-9247-bb680e5fe0c8".parse()?;
/// assert_eq!(id.to_string(), "67e55044-10b1-426f-9247-bb680e5fe0c8");
/// assert!("67e5504410b1426f9247bb680e5fe0c8".parse::<NodeId>().is_err());
/// # Ok::<(), peerline_proto::ParseIdError>(())
/// ```
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct NodeId(Uuid);

impl NodeId {
    /// The node named by this UUID.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// A version 4 UUID from 16 random bytes.
    pub const fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

/// Why a text is not a [`NodeId`].
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a node id is a hyphenated UUID of 36 characters; this text has {len} bytes")]
#[non_exhaustive]
pub struct ParseIdError {
    /// Length of the text in bytes.
    pub len: usize,
}

impl FromStr for NodeId {
    type Err = ParseIdError;

    /// Takes only the hyphenated form, so that one node has one spelling (but for case).
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError { len: text.len() };
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(error);
        }
        Uuid::try_parse(text).map(Self).map_err(|_| error)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for NodeId {
    /// The first eight digits: enough to tell nodes apart in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0.as_fields().0)
    }
}

/// A peer, as the application names it.
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
#[non_exhaustive]
pub enum PeerId {
    /// A node that speaks the native dialect, version 1 or later.
    Node(NodeId),
    /// Anyone else, by the name it gave itself: at most 64 bytes, chosen by the peer, so escape
    /// it before it reaches a terminal.
    Guest(Arc<str>),
}

impl PeerId {
    /// The node id, unless this is a guest.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Self::Node(id) => Some(*id),
            Self::Guest(_) => None,
        }
    }
}

impl From<NodeId> for PeerId {
    fn from(id: NodeId) -> Self {
        Self::Node(id)
    }
}

impl From<&Self> for PeerId {
    fn from(peer: &Self) -> Self {
        peer.clone()
    }
}

impl fmt::Display for PeerId {
    /// A guest's control characters are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => fmt::Display::fmt(id, f),
            Self::Guest(name) => write!(f, "guest {}", name.escape_debug()),
        }
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => fmt::Debug::fmt(id, f),
            Self::Guest(name) => write!(f, "guest {name:?}"),
        }
    }
}

/// Names one connection of one node, from the dial or accept until its [`Action::Drop`].
///
/// A slot that is used again gets a new generation, so an id that outlived its connection names
/// nothing, and every input that carries one is ignored.
///
/// [`Action::Drop`]: crate::Action::Drop
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct ConnId {
    slot: u32,
    generation: NonZeroU32,
}

impl ConnId {
    pub(crate) const fn new(slot: u32, generation: NonZeroU32) -> Self {
        Self { slot, generation }
    }

    /// The slot: small, dense, used again. Fit for a table of sockets, in which another may stand
    /// already when [`Action::Drop`](crate::Action::Drop) comes: that is to be compared.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    pub(crate) const fn generation(self) -> NonZeroU32 {
        self.generation
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn {}.{}", self.slot, self.generation)
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a node says of itself: for now its id. Keys will follow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    id: NodeId,
}

impl Identity {
    /// An identity of this id.
    pub const fn new(id: NodeId) -> Self {
        Self { id }
    }

    /// The id.
    pub const fn id(&self) -> NodeId {
        self.id
    }
}

/// Which side opened a connection.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Side {
    /// We dialled.
    Dialer,
    /// We accepted.
    Listener,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn only_the_hyphenated_form_is_a_node_id() {
        for text in
            ["", "x", "{67e55044-10b1-426f-9247-bb680e5fe0c8}", "67e5504410b1426f9247bb680e5fe0c8"]
        {
            assert_eq!(text.parse::<NodeId>(), Err(ParseIdError { len: text.len() }));
        }
        let upper = "67E55044-10B1-426F-9247-BB680E5FE0C8".parse::<NodeId>();
        assert_eq!(upper, "67e55044-10b1-426f-9247-bb680e5fe0c8".parse());
    }

    #[test]
    fn a_guest_name_is_escaped_when_shown() {
        assert_eq!(PeerId::Guest("a\u{1b}[2J".into()).to_string(), "guest a\\u{1b}[2J");
    }

    #[test]
    fn logs_show_what_tells_one_from_another() {
        let id: NodeId =
            "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap_or(NodeId(Uuid::nil()));
        assert_eq!(NodeId::new(id.uuid()), id);
        let conn = ConnId::new(3, NonZeroU32::MIN);
        assert_eq!(alloc::format!("{id:?} {conn} {conn:?}"), "67e55044 conn 3.1 conn 3.1");
        let guest = PeerId::Guest("a\n".into());
        assert_eq!(alloc::format!("{guest:?} {:?}", PeerId::from(id)), "guest \"a\\n\" 67e55044");
        assert_eq!((guest.node(), PeerId::from(id).node()), (None, Some(id)));
    }
}
