//! A request's fields as any type, with errors that name the field.
//!
//! serde's errors say what was expected but not where; positions in the text mean nothing to somebody whose frame was
//! written by a library. So the reader here remembers which field it is in.

use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{DeserializeSeed, Error as _, MapAccess};
use serde_json::Error;
use serde_json::value::RawValue;

use crate::error::{ErrorCode, Refusal};

type Field = (Box<str>, Box<RawValue>);

/// The fields as `T`, or `bad_request`.
pub(super) fn read<'a, T: Deserialize<'a>>(fields: &'a [Field]) -> Result<T, Refusal> {
    let mut reader = Reader { rest: fields, open: None };
    T::deserialize(MapAccessDeserializer::new(&mut reader)).map_err(|error| {
        let text = without_place(&error);
        let message = match reader.open {
            Some((name, _)) => format!("`{name}`: {text}"),
            None => text,
        };
        Refusal::new(ErrorCode::BadRequest, super::brief(message.into()))
    })
}

struct Reader<'a> {
    rest: &'a [Field],
    /// The field whose value is being read.
    open: Option<&'a Field>,
}

impl<'a> MapAccess<'a> for Reader<'a> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(((name, _), _)) = self.rest.split_first() else {
            return Ok(None);
        };
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((field, rest)) = self.rest.split_first() else {
            return Err(Error::custom("a value was asked for that has no name"));
        };
        self.rest = rest;
        self.open = Some(field);
        let value = seed.deserialize(&*field.1)?;
        self.open = None;
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
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
