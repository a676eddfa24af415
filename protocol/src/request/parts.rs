//! Fields that several of chat's words have, read strictly: for `deserialize_with`.

use std::borrow::Cow;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::hex;
use crate::place::NUMBER_MAX;
use crate::strict::Text;

const KIND_BYTES_MAX: usize = 32;

/// 8 to 64 of `A-Z a-z 0-9 _ -`.
pub(super) fn client_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'de, str>, D::Error> {
    let Text(id) = Text::deserialize(deserializer)?;
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain && (8..=64).contains(&id.len()) {
        return Ok(id);
    }
    Err(D::Error::invalid_value(Unexpected::Str(&id), &"8 to 64 of A-Z a-z 0-9 _ -"))
}

/// The id of a message.
pub(super) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    read_id(&String::deserialize(deserializer)?)
}

/// The id of a message as it was spelled, for there is one spelling; or none.
pub(super) fn optional_id_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let id = Option::<String>::deserialize(deserializer)?;
    id.as_deref().map(read_id::<D::Error>).transpose()?;
    Ok(id)
}

fn read_id<E: Error>(text: &str) -> Result<u128, E> {
    let wrong = || E::invalid_value(Unexpected::Str(text), &"32 lower-case hexadecimal digits");
    hex::read(text, 32).ok_or_else(wrong)
}

/// What sort of reaction it is.
pub(super) fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let kind = String::deserialize(deserializer)?;
    if (1..=KIND_BYTES_MAX).contains(&kind.len()) && !kind.chars().any(char::is_control) {
        return Ok(kind);
    }
    Err(D::Error::invalid_value(Unexpected::Str(&kind), &"1 to 32 bytes without control characters"))
}

/// A number that JavaScript can hold, or none.
pub(super) fn optional_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<u64>::deserialize(deserializer)?;
    match number {
        Some(number) if number > NUMBER_MAX => {
            Err(D::Error::invalid_value(Unexpected::Unsigned(number), &"an integer from 0 to 2^53 - 1"))
        }
        _ => Ok(number),
    }
}
