//! A request's fields as any type, with errors that name the field.
//!
//! serde's errors say what was expected but not where; positions in the text mean nothing to somebody whose frame was
//! written by a library. So the reader here remembers which field it is in.

use std::borrow::Cow;
use std::ops::Range;

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Error};

use crate::error::{ErrorCode, Refusal};
use crate::strict::plain;

/// A piece of a frame's text, read.
pub(crate) enum Part {
    /// It stands in the text as it is, here.
    There(Range<usize>),
    /// It stands there in other letters: with escapes.
    Read(Box<str>),
}

impl Part {
    /// What was read from `text`.
    pub(crate) fn read(text: &str, part: Cow<'_, str>) -> Self {
        match part {
            Cow::Borrowed(part) => Self::There(place(text, part)),
            Cow::Owned(part) => Self::Read(part.into()),
        }
    }

    /// What it says, given the text that it is a part of.
    pub(crate) fn of<'a>(&'a self, text: &'a str) -> &'a str {
        match self {
            Self::There(place) => &text[place.clone()],
            Self::Read(part) => part,
        }
    }
}

/// One field: its name, and where its value stands.
pub(crate) struct Field {
    pub(crate) name: Part,
    value: Range<usize>,
}

impl Field {
    /// A field that was found in `text`.
    pub(crate) fn found(text: &str, name: Cow<'_, str>, value: &RawValue) -> Self {
        Self { name: Part::read(text, name), value: place(text, value.get()) }
    }
}

/// Where in `text` a part of it stands.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr() - text.as_ptr().addr();
    start..start + part.len()
}

/// The fields of `text` as `T`, or `bad_request`.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a str, fields: &'a [Field]) -> Result<T, Refusal> {
    let mut reader = Reader { text, rest: fields, open: None };
    T::deserialize(MapAccessDeserializer::new(&mut reader)).map_err(|error| {
        let words = without_place(&error);
        let message = match reader.open {
            Some(field) => format!("`{}`: {words}", field.name.of(text)),
            None => words,
        };
        Refusal::new(ErrorCode::BadRequest, super::brief(message.into()))
    })
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a [Field],
    /// The field whose value is being read.
    open: Option<&'a Field>,
}

impl<'a> MapAccess<'a> for Reader<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.rest.first() else {
            return Ok(None);
        };
        seed.deserialize(BorrowedStrDeserializer::new(field.name.of(self.text))).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((field, rest)) = self.rest.split_first() else {
            return Err(Error::custom("a value was asked for that has no name"));
        };
        self.rest = rest;
        self.open = Some(field);
        // It was read as a value before, so nothing stands behind it.
        let json = &self.text[field.value.clone()];
        let value = match plain(json) {
            Some(words) => seed.deserialize(Plain { json, words })?,
            None => seed.deserialize(&mut Deserializer::from_str(json))?,
        };
        self.open = None;
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A string without escapes, which most values are, and which need not be read twice.
struct Plain<'a> {
    json: &'a str,
    words: &'a str,
}

impl<'de> serde::Deserializer<'de> for Plain<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.words)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    /// A raw value is one as well.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        Deserializer::from_str(self.json).deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        Deserializer::from_str(self.json).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// The error's words without "at line 1 column 7", which counts from the start of the field's value.
fn without_place(error: &Error) -> String {
    let mut text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    if text.ends_with(&place) {
        text.truncate(text.len() - place.len());
    }
    text
}
