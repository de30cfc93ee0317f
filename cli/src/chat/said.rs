//! A line of chat as it travels: the original chat's three fields.
//!
//! The node itself gives them to what is said to all. What is said to one gets them here.

use std::time::{SystemTime, UNIX_EPOCH};

use peerline_mio::NodeId;
use peerline_mio::proto::ctime;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The kind of a line of chat.
pub(super) const KIND: &str = "CHAT";

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
    /// Something said now.
    pub(super) fn now(originator: &str, text: &str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = ctime(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), 0);
        Self { originator: originator.to_owned(), msg: Value::from(text), time }
    }

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
}
