//! Files as bodies of messages: text as a JSON string, other bytes as `{"base64": …}`.
//!
//! The node itself turns both into raw bytes for a BTPeer guest, and back.

use peerline_mio::proto::base64;
use serde::{Deserialize, Serialize};

/// The contents of a file.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Body {
    /// It is UTF-8.
    Text(String),
    /// It is not.
    Binary(Binary),
}

/// Bytes in base64.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Binary {
    base64: String,
}

impl Body {
    /// The body of these bytes.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Binary(Binary { base64: base64::encode(error.as_bytes()) }),
        }
    }

    /// The bytes of this body; none if it is not base64.
    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Binary(binary) => base64::decode(&binary.base64),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_come_back_from_their_bodies() {
        for (bytes, json) in
            [(&b""[..], "\"\""), (b"a\"\n", "\"a\\\"\\n\""), (b"\xff\0", r#"{"base64":"/wA="}"#)]
        {
            let text = serde_json::to_string(&Body::new(bytes.to_vec())).unwrap();
            assert_eq!(text, json);
            assert_eq!(serde_json::from_str::<Body>(&text).unwrap().bytes().unwrap(), bytes);
        }
        for json in ["1", "null", "[]", "{}", r#"{"base64":"","x":1}"#] {
            assert!(serde_json::from_str::<Body>(json).is_err(), "{json}");
        }
        assert_eq!(serde_json::from_str::<Body>(r#"{"base64":"?"}"#).unwrap().bytes(), None);
    }
}
