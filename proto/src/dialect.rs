//! The languages that share one port, by name.

/// The languages that a listener understands, told apart by their first bytes.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// JSON lines over a connection that stays.
    Native,
    /// BTPeer frames, one request per connection.
    Btpeer,
    /// One chat object per connection.
    Chat,
}

impl core::fmt::Display for Dialect {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Btpeer => "BTPeer",
            Self::Chat => "chat",
        })
    }
}

/// Which guest dialects are spoken.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "testing", derive(Hash))]
pub(crate) struct Dialects {
    pub(crate) btpeer: bool,
    pub(crate) chat: bool,
}
