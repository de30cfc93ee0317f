//! Values made into JSON.
//!
//! Most bodies are a string, and `serde_json` looks at it byte by byte. So a value is asked first
//! whether it is a string in which all stands for itself: that is copied between quotes here, and
//! is known to be JSON then. Everything else says at its first word that it is not, and is written
//! by `serde_json`, as what lies within other values is.

use alloc::string::String;
use core::fmt::{self, Display};

use serde::ser::{Impossible, Serialize, Serializer};

use crate::wire::json::is_plain;

/// What a value became.
pub(crate) enum Encoded {
    /// A string.
    Text(String),
    /// JSON, but it is not known how deep it nests.
    Unchecked(String),
}

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Encoded, serde_json::Error> {
    match value.serialize(Plain) {
        Ok(text) => Ok(Encoded::Text(text)),
        Err(NotPlain) => serde_json::to_string(value).map(Encoded::Unchecked),
    }
}

/// Takes strings in which all stands for itself.
struct Plain;

/// It is something else.
#[derive(Debug)]
struct NotPlain;

impl Display for NotPlain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a plain string")
    }
}

impl core::error::Error for NotPlain {}

impl serde::ser::Error for NotPlain {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

/// Methods for what is no string.
macro_rules! not_plain {
    ($($name:ident($($type:ty),*) -> $result:ty;)*) => {
        $(
            fn $name(self, $(_: $type),*) -> Result<$result, NotPlain> {
                Err(NotPlain)
            }
        )*
    };
}

type No = Impossible<String, NotPlain>;

impl Serializer for Plain {
    type Ok = String;
    type Error = NotPlain;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    fn serialize_str(self, value: &str) -> Result<String, NotPlain> {
        if !is_plain(value) {
            return Err(NotPlain);
        }
        let mut text = String::with_capacity(value.len().saturating_add(2));
        text.push('"');
        text.push_str(value);
        text.push('"');
        Ok(text)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<String, NotPlain> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<String, NotPlain> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<String, NotPlain> {
        Err(NotPlain)
    }

    /// Not made into a string for this, which it may be again.
    fn collect_str<T: Display + ?Sized>(self, _value: &T) -> Result<String, NotPlain> {
        Err(NotPlain)
    }

    not_plain! {
        serialize_bool(bool) -> String;
        serialize_i8(i8) -> String;
        serialize_i16(i16) -> String;
        serialize_i32(i32) -> String;
        serialize_i64(i64) -> String;
        serialize_i128(i128) -> String;
        serialize_u8(u8) -> String;
        serialize_u16(u16) -> String;
        serialize_u32(u32) -> String;
        serialize_u64(u64) -> String;
        serialize_u128(u128) -> String;
        serialize_f32(f32) -> String;
        serialize_f64(f64) -> String;
        serialize_char(char) -> String;
        serialize_bytes(&[u8]) -> String;
        serialize_none() -> String;
        serialize_unit() -> String;
        serialize_unit_struct(&'static str) -> String;
        serialize_unit_variant(&'static str, u32, &'static str) -> String;
        serialize_seq(Option<usize>) -> No;
        serialize_tuple(usize) -> No;
        serialize_tuple_struct(&'static str, usize) -> No;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> No;
        serialize_map(Option<usize>) -> No;
        serialize_struct(&'static str, usize) -> No;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> No;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    /// True if it was known to be a string.
    fn same<T: Serialize + ?Sized>(value: &T) -> bool {
        let expected = serde_json::to_string(value).unwrap();
        let (text, is_text) = match encode(value).unwrap() {
            Encoded::Text(text) => (text, true),
            Encoded::Unchecked(text) => (text, false),
        };
        assert_eq!(text, expected);
        is_text
    }

    #[test]
    fn a_value_is_written_as_serde_json_writes_it() {
        for byte in 0..=u8::MAX {
            for len in [0, 1, 9, 100] {
                let text = format!("{}{}", "ä".repeat(len), char::from(byte));
                let is_plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
                assert_eq!(same(text.as_str()), is_plain, "{text}");
            }
        }
        assert!(same("") && same(&Some("text")) && same(&"text".to_string()));
        let map = BTreeMap::from([("key", vec![Some(1.5), None])]);
        let numbers = (i128::MIN, u128::MAX, -1_i8, 1_u64, f32::NAN, 0.1_f64);
        assert!(!same(&map) && !same(&numbers) && !same(&[(), ()]) && !same(&()));
        assert!(!same(&None::<&str>) && !same(&true) && !same(&'"') && !same(&["text"]));
        let found: Result<&str, core::num::Saturating<u8>> = Ok("text");
        assert!(!same(&found) && !same(&core::time::Duration::MAX) && !same(&(1..2)));
        assert!(!same(&format_args!("{}", 1)) && same("127.0.0.1:1"));
    }

    #[test]
    fn a_string_in_a_wrapper_is_a_string() {
        struct Wrapper(&'static str);
        impl Serialize for Wrapper {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_newtype_struct("Wrapper", self.0)
            }
        }
        assert!(same(&Wrapper("text")) && same(&Some(Wrapper(""))) && !same(&Wrapper("\n")));
    }

    #[test]
    fn what_serde_json_cannot_write_is_an_error() {
        assert!(encode(&BTreeMap::from([(vec![1], 1)])).is_err());
    }

    #[test]
    fn whatever_else_a_value_says_it_is_no_plain_string() {
        let said = <NotPlain as serde::ser::Error>::custom("more");
        assert_eq!(said.to_string(), "not a plain string");
    }
}
