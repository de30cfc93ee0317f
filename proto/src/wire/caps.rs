//! What a hello says of its node beyond the table of messages: the words of `caps`.
//!
//! What is beyond the table is said only to those who know the word for it. Unknown words mean
//! nothing.

use crate::wire::json::Span;
use crate::wire::lists;

/// What a hello says it can do beyond the table of messages, of what is known here.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Caps {
    /// It takes lines by keyspace, and says in a refusal how far they may still go.
    pub(crate) route: bool,
    /// The dialler wants this connection for routes alone: no broadcasts.
    pub(crate) routes_only: bool,
}

impl Caps {
    const ROUTE: &'static str = "route/1";
    const ROUTES_ONLY: &'static str = "id-link/1";

    /// The words for them.
    pub(crate) fn words(self) -> impl Iterator<Item = &'static str> {
        let words = [(self.route, Self::ROUTE), (self.routes_only, Self::ROUTES_ONLY)];
        words.into_iter().filter(|(said, _)| *said).map(|(_, word)| word)
    }

    /// The known ones among the words of a checked `caps` field.
    pub(crate) fn read(span: Option<Span<'_>>) -> Self {
        let mut caps = Self::default();
        if let Some(span) = span {
            let taken = lists::words(span, &mut |word| {
                caps.route |= word == Self::ROUTE;
                caps.routes_only |= word == Self::ROUTES_ONLY;
            });
            debug_assert_eq!(taken, Some(()), "the line was checked");
        }
        caps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::msg::Msg;
    use crate::wire::native::decode;
    use alloc::vec::Vec;

    #[test]
    fn words_are_read_as_they_are_written_and_others_passed_over() {
        for (route, routes_only) in [(false, false), (true, false), (true, true)] {
            let caps = Caps { route, routes_only };
            let words: Vec<_> = caps.words().map(|word| alloc::format!("\"{word}\"")).collect();
            let text = alloc::format!("[\"route/2\",{}]", words.join(",")).replace(",]", "]");
            let line = alloc::format!("{{\"msgtype\":\"hello\",\"nodeid\":\"n\",\"caps\":{text}}}");
            let msg = decode(&line).map(|decoded| decoded.msg);
            assert!(matches!(msg, Ok(Msg::Hello(hello)) if hello.caps == caps), "{line}");
        }
        assert_eq!(Caps::read(None), Caps::default());
    }
}
