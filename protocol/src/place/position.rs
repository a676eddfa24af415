//! A position as the wire has it, and the numbers that fit there.
//!
//! Read strictly, since positions come back from clients: one spelling of an epoch, integers that JavaScript can
//! hold. That an epoch is a number here is a matter of size; nobody may compare two by order.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{hex, strict};

/// The greatest number on the wire: the last integer that JavaScript tells from its neighbours.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// A position on the wire: `{"epoch":"16 hex digits","offset":n}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Names one life of the group's order; compared for equality only.
    pub epoch: u64,
    /// Counts up by one within the epoch; at most [`NUMBER_MAX`].
    pub offset: u64,
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Position", 2)?;
        fields.serialize_field("epoch", hex::as_str(&hex::of_u64(self.epoch)))?;
        fields.serialize_field("offset", &self.offset)?;
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            epoch: Epoch,
            offset: Offset,
        }
        let Fields { epoch, offset } = strict::object(deserializer, "a position {epoch, offset}")?;
        Ok(Self { epoch: epoch.0, offset: offset.0 })
    }
}

struct Epoch(u64);

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(EpochVisitor)
    }
}

struct EpochVisitor;

impl Visitor<'_> for EpochVisitor {
    type Value = Epoch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`epoch` as 16 lower-case hexadecimal digits")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Epoch, E> {
        let number = hex::read(text, 16).and_then(|number| u64::try_from(number).ok());
        number.map(Epoch).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

struct Offset(u64);

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(OffsetVisitor)
    }
}

struct OffsetVisitor;

impl Visitor<'_> for OffsetVisitor {
    type Value = Offset;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`offset` as an integer from 0 to {NUMBER_MAX}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Offset, E> {
        if number > NUMBER_MAX {
            return Err(E::invalid_value(Unexpected::Unsigned(number), &self));
        }
        Ok(Offset(number))
    }
}
