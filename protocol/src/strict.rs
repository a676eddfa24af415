//! What serde's own readers would take and the protocol does not.
//!
//! Derived types read an array of their fields as if it were the object; raw JSON values may hold what other parsers
//! choke on. Both are refused at the door, so that nothing behind it has to think of them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Reads a `T` from a JSON object and from nothing else; `expected` is what the error says that it wanted.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
    expected: &'static str,
) -> Result<T, D::Error> {
    struct Object<T>(&'static str, PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object(expected, PhantomData))
}

/// A string, borrowed from the frame unless it has escapes. (serde copies an `Option<Cow<str>>` always.)
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// What a JSON value says that is a string without escapes: what stands between its quotes. It must be known to be a value.
pub(crate) fn plain(value: &str) -> Option<&str> {
    let words = value.strip_prefix('"')?.strip_suffix('"')?;
    is_plain(words).then_some(words)
}

/// Whether a JSON string shows `text` as it is: no quotes, no backslashes, no control characters. Sixteen bytes at a time, of
/// which compilers make a few steps.
pub(crate) fn is_plain(text: &str) -> bool {
    let (pieces, rest) = text.as_bytes().as_chunks::<16>();
    let mut last = [b' '; 16];
    last[..rest.len()].copy_from_slice(rest);
    let is_plain = |piece: &[u8; 16]| {
        piece.iter().fold(true, |plain, &byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\'))
    };
    pieces.iter().all(is_plain) && is_plain(&last)
}

/// For `deserialize_with`: a string or `null`.
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    Ok(Option::<Text<'de>>::deserialize(deserializer)?.map(|text| text.0))
}

/// For `deserialize_with`: a value that is passed on as its bytes, after a look that every parser can read it.
///
/// Half a surrogate pair or a number beyond a double is JSON by the grammar, but ends the whole frame for
/// strict parsers: one sender could silence a group's members who use one.
pub(crate) fn optional_raw<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    let raw = Option::<&'de RawValue>::deserialize(deserializer)?;
    if let Some(raw) = raw {
        serde_json::from_str::<Readable>(raw.get()).map_err(D::Error::custom)?;
    }
    Ok(raw)
}

/// Any JSON value, looked at down to its leaves and forgotten.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_plain_without_quotes_backslashes_and_control_characters() {
        let plain = "plain, \u{7f} e, and longer than sixteen";
        for at in 0..plain.len() {
            assert!(is_plain(&plain[..at]));
            for byte in [b'"', b'\\', b'\n', 0, 0x1f] {
                let mut text = plain.as_bytes().to_vec();
                text[at] = byte;
                assert!(!is_plain(str::from_utf8(&text).unwrap()), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn every_kind_of_value_is_readable() {
        let text = r#"{"a":[null,true,false,0,-1,1.5e300,18446744073709551616,"\ud83c\udf33",[],{}]}"#;
        assert!(serde_json::from_str::<Readable>(text).is_ok());
    }

    #[test]
    fn what_strict_parsers_choke_on_is_found_wherever_it_is() {
        for text in [r#"["\ud83c"]"#, r#"{"a":{"\udf33":1}}"#, "[[1e999]]", "-1e999"] {
            assert!(serde_json::from_str::<Box<RawValue>>(text).is_ok(), "JSON by the grammar: {text}");
            assert!(serde_json::from_str::<Readable>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_array_is_no_object() {
        #[derive(Deserialize)]
        struct Pair {
            a: u8,
        }
        let read = |text| {
            object::<Pair, _>(&mut serde_json::Deserializer::from_str(text), "a pair").map(|pair| pair.a)
        };
        assert_eq!(read(r#"{"a":1}"#).unwrap(), 1);
        assert!(read("[1]").is_err());
    }
}
