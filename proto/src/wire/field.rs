//! The fields of all native messages: their names and their types.
#![deny(clippy::arithmetic_side_effects)]

use crate::wire::json::{self, Span};

/// The fields of all messages.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Field {
    Msgtype,
    Nodeid,
    Version,
    MinVersion,
    Network,
    Agent,
    Nonce,
    Listen,
    You,
    Max,
    Caps,
    Reason,
    Retry,
    Peers,
    Ages,
    Originator,
    Epoch,
    Seq,
    Time,
    Kind,
    Msg,
    Id,
    From,
    To,
    Ttl,
    Deadline,
    Try,
    N,
    Last,
    At,
    Re,
    Code,
    Have,
    Want,
}

pub(super) const FIELDS: usize = Field::Want as usize + 1;

const _: () = assert!(FIELDS <= 64, "a bit for each field");

impl Field {
    #[inline]
    pub(super) fn of(key: &str) -> Option<Self> {
        Some(match key.as_bytes() {
            b"msgtype" => Self::Msgtype,
            b"nodeid" => Self::Nodeid,
            b"version" => Self::Version,
            b"min_version" => Self::MinVersion,
            b"network" => Self::Network,
            b"agent" => Self::Agent,
            b"nonce" => Self::Nonce,
            b"listen" => Self::Listen,
            b"you" => Self::You,
            b"max" => Self::Max,
            b"caps" => Self::Caps,
            b"reason" => Self::Reason,
            b"retry" => Self::Retry,
            b"peers" => Self::Peers,
            b"ages" => Self::Ages,
            b"originator" => Self::Originator,
            b"epoch" => Self::Epoch,
            b"seq" => Self::Seq,
            b"time" => Self::Time,
            b"kind" => Self::Kind,
            b"msg" => Self::Msg,
            b"id" => Self::Id,
            b"from" => Self::From,
            b"to" => Self::To,
            b"ttl" => Self::Ttl,
            b"deadline" => Self::Deadline,
            b"try" => Self::Try,
            b"n" => Self::N,
            b"last" => Self::Last,
            b"at" => Self::At,
            b"re" => Self::Re,
            b"code" => Self::Code,
            b"have" => Self::Have,
            b"want" => Self::Want,
            _ => return None,
        })
    }

    pub(super) fn bit(self) -> u64 {
        1_u64.checked_shl(self as u32).unwrap_or_default()
    }

    /// Whether the value has the field's type.
    #[inline]
    pub(super) fn fits(self, value: &Span<'_>) -> bool {
        match self {
            Self::Msg => true,
            Self::Listen => is_integer(value) || is_text(value),
            Self::Version
            | Self::MinVersion
            | Self::Nonce
            | Self::Max
            | Self::Retry
            | Self::Epoch
            | Self::Seq
            | Self::Time
            | Self::Ttl
            | Self::Deadline
            | Self::Try
            | Self::N => is_integer(value),
            Self::Last => matches!(value.text, "true" | "false"),
            Self::Peers => all(value, |peer| is_text(peer) || is_pair(peer)),
            Self::Caps => all(value, is_text),
            Self::Have => all(value, is_announced),
            Self::Want => all(value, |range| are_integers(range, 2)),
            Self::Ages => all(value, is_integer),
            Self::Msgtype
            | Self::Nodeid
            | Self::Network
            | Self::Agent
            | Self::You
            | Self::Reason
            | Self::Originator
            | Self::Kind
            | Self::Id
            | Self::From
            | Self::To
            | Self::At
            | Self::Re
            | Self::Code => is_text(value),
        }
    }
}

fn is_text(value: &Span<'_>) -> bool {
    value.is_text()
}

fn is_integer(value: &Span<'_>) -> bool {
    value.as_integer().is_some()
}

fn is_pair(value: &Span<'_>) -> bool {
    let mut count = 0_usize;
    let texts = all(value, |part| {
        count = count.saturating_add(1);
        is_text(part)
    });
    texts && count == 2
}

/// Whether the value is an array of so many integers.
fn are_integers(value: &Span<'_>, expected: usize) -> bool {
    let mut count = 0_usize;
    let integers = all(value, |part| {
        count = count.saturating_add(1);
        is_integer(part)
    });
    integers && count == expected
}

/// Whether the value is `[originator, epoch, [[from, to, hold], …]]`.
fn is_announced(value: &Span<'_>) -> bool {
    let mut at = 0_usize;
    let parts = all(value, |part| {
        at = at.saturating_add(1);
        match at {
            1 => is_text(part),
            2 => is_integer(part),
            _ => at == 3 && all(part, |range| are_integers(range, 3)),
        }
    });
    parts && at == 3
}

/// Whether the value is an array and `each` holds for all its elements.
fn all(value: &Span<'_>, mut each: impl FnMut(&Span<'_>) -> bool) -> bool {
    let mut good = true;
    let array = json::elements(*value, |element| good = good && each(&element));
    array.is_some() && good
}
