//! The words on the wire for why somebody parts, and for why a line is refused.
//!
//! A word that is not known stands for another reason, which is all that can be said of it.

use crate::error::ByeReason;
use crate::exchange::NakCode;

/// The words for reasons on the wire.
const BYE_WORDS: [(ByeReason, &str); 6] = [
    (ByeReason::Shutdown, "shutdown"),
    (ByeReason::Disconnect, "disconnect"),
    (ByeReason::Duplicate, "duplicate"),
    (ByeReason::Full, "full"),
    (ByeReason::Network, "network"),
    (ByeReason::Version, "version"),
];

pub(crate) fn bye_word(reason: ByeReason) -> &'static str {
    let found = BYE_WORDS.iter().find(|(known, _)| *known == reason);
    found.map_or("other", |(_, word)| word)
}

pub(crate) fn bye_reason(word: &str) -> ByeReason {
    let found = BYE_WORDS.iter().find(|(_, known)| *known == word);
    found.map_or(ByeReason::Other, |(reason, _)| *reason)
}

/// The words for refusals on the wire.
const NAK_WORDS: [(NakCode, &str); 6] = [
    (NakCode::NoRoute, "no_route"),
    (NakCode::Expired, "expired"),
    (NakCode::Busy, "busy"),
    (NakCode::TooLarge, "too_large"),
    (NakCode::NoHandler, "no_handler"),
    (NakCode::Refused, "refused"),
];

pub(crate) fn nak_word(code: NakCode) -> &'static str {
    let found = NAK_WORDS.iter().find(|(known, _)| *known == code);
    found.map_or("other", |(_, word)| word)
}

pub(crate) fn nak_code(word: &str) -> NakCode {
    let found = NAK_WORDS.iter().find(|(_, known)| *known == word);
    found.map_or(NakCode::Other, |(code, _)| *code)
}
