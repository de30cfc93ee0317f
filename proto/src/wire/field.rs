//! The fields of all native messages: their names and their types.
#![deny(clippy::arithmetic_side_effects)]

use crate::wire::json::Span;
use crate::wire::lists;

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
            Self::Peers => lists::told(*value, &mut |_| ()).is_some(),
            Self::Caps => lists::words(*value, &mut |_| ()).is_some(),
            Self::Have => lists::announced(*value, &mut |_| ()).is_some(),
            Self::Want => lists::wanted(*value, &mut |_, _| ()).is_some(),
            Self::Ages => lists::are_integers(*value),
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
