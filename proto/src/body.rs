//! Values made into JSON.
//!
//! Most bodies are a string, and `serde_json` looks at it byte by byte. So one in which all stands
//! for itself is copied between quotes here, and is known to be JSON then. Everything else, and
//! what lies within other values, is written by `serde_json`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use serde::{Serialize, Serializer};
use serde_json::{Error, Serializer as Json};

use crate::wire::json::is_plain;

/// What a value became.
pub(crate) enum Encoded {
    /// A string.
    Text(String),
    /// JSON, but it is not known how deep it nests.
    Unchecked(String),
}

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Encoded, Error> {
    let (mut json, mut plain) = (Vec::new(), None);
    value.serialize(Outer { json: &mut Json::new(&mut json), plain: &mut plain })?;
    // What `serde_json` writes is UTF-8.
    let unchecked = || Encoded::Unchecked(String::from_utf8(json).unwrap_or_default());
    Ok(plain.map_or_else(unchecked, Encoded::Text))
}

/// Takes the value itself, which is a string or goes on to `serde_json`.
struct Outer<'a, 'j> {
    json: &'a mut Json<&'j mut Vec<u8>>,
    plain: &'a mut Option<String>,
}

/// Methods that only pass on what they are given.
macro_rules! pass_on {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            fn $name(self, $($arg: $type),*) -> Result<$result, Error> {
                self.json.$name($($arg),*)
            }
        )*
    };
}

impl<'a, 'j> Serializer for Outer<'a, 'j> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = <&'a mut Json<&'j mut Vec<u8>> as Serializer>::SerializeSeq;
    type SerializeTuple = <&'a mut Json<&'j mut Vec<u8>> as Serializer>::SerializeTuple;
    type SerializeTupleStruct = <&'a mut Json<&'j mut Vec<u8>> as Serializer>::SerializeTupleStruct;
    type SerializeTupleVariant =
        <&'a mut Json<&'j mut Vec<u8>> as Serializer>::SerializeTupleVariant;
    type SerializeMap = <&'a mut Json<&'j mut Vec<u8>> as Serializer>::SerializeMap;
    type SerializeStruct = <&'a mut Json<&'j mut Vec<u8>> as Serializer>::SerializeStruct;
    type SerializeStructVariant =
        <&'a mut Json<&'j mut Vec<u8>> as Serializer>::SerializeStructVariant;

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        if !is_plain(value) {
            return self.json.serialize_str(value);
        }
        let mut text = String::with_capacity(value.len().saturating_add(2));
        text.push('"');
        text.push_str(value);
        text.push('"');
        *self.plain = Some(text);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.json.serialize_newtype_variant(name, index, variant, value)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.json.collect_str(value)
    }

    pass_on! {
        serialize_bool(value: bool) -> ();
        serialize_i8(value: i8) -> ();
        serialize_i16(value: i16) -> ();
        serialize_i32(value: i32) -> ();
        serialize_i64(value: i64) -> ();
        serialize_i128(value: i128) -> ();
        serialize_u8(value: u8) -> ();
        serialize_u16(value: u16) -> ();
        serialize_u32(value: u32) -> ();
        serialize_u64(value: u64) -> ();
        serialize_u128(value: u128) -> ();
        serialize_f32(value: f32) -> ();
        serialize_f64(value: f64) -> ();
        serialize_char(value: char) -> ();
        serialize_bytes(value: &[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(name: &'static str) -> ();
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> ();
        serialize_seq(len: Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(len: usize) -> Self::SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> Self::SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> Self::SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> Self::SerializeStruct;
        serialize_struct_variant(
            name: &'static str, index: u32, variant: &'static str, len: usize
        ) -> Self::SerializeStructVariant;
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
}
