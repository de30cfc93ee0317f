//! A line of chat as it travels: the original chat's three fields.
//!
//! Decides the name and the time in it. The time is the clock's second, but the same words never
//! carry the same second twice: whoever hears of a line by several ways knows it by these fields,
//! and would take the second of two equal lines for the first.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use peerline_mio::NodeId;
use peerline_mio::proto::ctime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kind of a line of chat.
pub(super) const KIND: &str = "CHAT";

/// Texts of the current second that are remembered. When full: the clock moves on for all. 1,024
/// lines in a second come from a pipe.
const TEXTS: usize = 1024;

/// A line of chat.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Said {
    /// The speaker's chat id.
    pub(super) originator: String,
    /// What is said; text from us, and any JSON from others.
    msg: Value,
    /// When, as `ctime` writes it.
    time: String,
}

impl Said {
    /// What is said, as text; not escaped.
    pub(super) fn text(self) -> String {
        match self.msg {
            Value::String(text) => text,
            other @ (Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Array(_)
            | Value::Object(_)) => other.to_string(),
        }
    }
}

/// Our chat id: a name and four digits of the node's id.
pub(super) fn chat_id(name: &str, id: NodeId) -> String {
    format!("{name}-{}", digits(id))
}

/// Whether a chat id can be this node's own.
pub(super) fn is_name_of(chat_id: &str, id: NodeId) -> bool {
    chat_id.rsplit_once('-').is_some_and(|(_, end)| end == digits(id))
}

fn digits(id: NodeId) -> String {
    id.to_string().chars().take(4).collect()
}

/// Stamps lines with times, never the same words with the same time.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// The latest time each text was stamped with, for texts whose time may still come again.
    last: BTreeMap<String, u64>,
    /// No line is stamped earlier.
    floor: u64,
}

impl Stamps {
    /// A line, stamped now.
    pub(super) fn said(&mut self, originator: &str, text: &str) -> Said {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let stamp = self.stamp(text, since.as_secs());
        let time = ctime(i64::try_from(stamp).unwrap_or(i64::MAX), 0);
        Said { originator: originator.to_owned(), msg: Value::from(text), time }
    }

    fn stamp(&mut self, text: &str, now: u64) -> u64 {
        let now = now.max(self.floor);
        self.last.retain(|_, last| *last >= now);
        let time = self.last.get(text).map_or(now, |last| last.saturating_add(1));
        self.last.insert(text.to_owned(), time);
        if self.last.len() > TEXTS {
            let latest = self.last.values().max().copied().unwrap_or(now);
            self.floor = latest.saturating_add(1);
            self.last.clear();
        }
        time
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    fn id() -> NodeId {
        "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap()
    }

    #[test]
    fn a_name_ends_in_digits_of_the_id() {
        let name = chat_id("bob", id());
        assert_eq!(name, "bob-67e5");
        assert!(is_name_of(&name, id()));
        for other in ["bob-67e6", "bob", "67e5", "bob-67e5-x", ""] {
            assert!(!is_name_of(other, id()), "{other}");
        }
    }

    #[test]
    fn a_line_has_the_fields_of_the_original() {
        let said = Said { originator: "a".into(), msg: Value::from("b"), time: ctime(0, 0) };
        let text = serde_json::to_string(&said).unwrap();
        assert_eq!(text, r#"{"originator":"a","msg":"b","time":"Thu Jan  1 00:00:00 1970"}"#);
        assert_eq!(serde_json::from_str::<Said>(&text).unwrap(), said);
    }

    #[test]
    fn what_is_no_text_is_shown_as_json() {
        let said = r#"{"time":"t","originator":"a","msg":{"x":[1]},"more":0}"#;
        assert_eq!(serde_json::from_str::<Said>(said).unwrap().text(), r#"{"x":[1]}"#);
    }

    #[test]
    fn the_same_words_never_have_the_same_time() {
        let mut stamps = Stamps::default();
        let clock = [10, 10, 10, 11, 12, 12, 14, 20];
        let times = clock.map(|now| stamps.stamp("yes", now));
        assert_eq!(times, [10, 11, 12, 13, 14, 15, 16, 20]);
        assert_eq!(stamps.stamp("no", 20), 20);
    }

    #[test]
    fn many_words_in_one_second_are_not_remembered_for_ever() {
        let mut stamps = Stamps::default();
        let mut seen = BTreeSet::new();
        for round in 0..10 {
            for number in 0..TEXTS / 2 + round {
                let text = number.to_string();
                assert!(seen.insert((stamps.stamp(&text, 10), text)), "a repeated stamp");
                assert!(stamps.last.len() <= TEXTS);
            }
        }
        let texts = (0..3 * TEXTS).map(|number| format!("other {number}"));
        for text in texts {
            assert!(seen.insert((stamps.stamp(&text, 10), text)), "a repeated stamp");
            assert!(stamps.last.len() <= TEXTS);
        }
    }

    #[test]
    fn a_clock_set_back_repeats_nothing() {
        let mut stamps = Stamps::default();
        let times = [30, 20, 20, 30].map(|now| stamps.stamp("yes", now));
        assert_eq!(times.into_iter().collect::<BTreeSet<_>>().len(), 4);
    }
}
