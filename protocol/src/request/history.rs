//! A page of a group's history: up from a position, down from one, or the last of it.

use serde::Deserialize;

use crate::error::{ErrorCode, Refusal};
use crate::place::Position;

/// Messages that one answer brings at most.
const LIMIT_MAX: u64 = 100;

/// A part of a group's history.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The group's name, as the client spells it.
    pub group: String,
    /// What came before this is wanted, the last of it.
    pub before: Option<Position>,
    /// What came after this is wanted, the first of it.
    pub after: Option<Position>,
    /// How many messages, 1 to 100.
    pub limit: u64,
}

impl History {
    /// Checks the number, and that it is clear which way to read; gives the number.
    ///
    /// # Errors
    ///
    /// `bad_request` for none or more than 100 messages, or for both `before` and `after`.
    pub fn check(&self) -> Result<usize, Refusal> {
        if self.before.is_some() && self.after.is_some() {
            return Err(Refusal::new(ErrorCode::BadRequest, "give `before` or `after`, not both"));
        }
        match usize::try_from(self.limit) {
            Ok(limit) if (1..=LIMIT_MAX).contains(&self.limit) => Ok(limit),
            _ => Err(Refusal::new(ErrorCode::BadRequest, format!("`limit` must be 1 to {LIMIT_MAX}"))),
        }
    }
}
