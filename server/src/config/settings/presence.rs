//! The section `[presence]`: what members of a group are told of each other.

use crate::config::kinds::{count, switch};
use crate::config::values::Values;

/// Below this a list is no use, and the bound from which on a crowd is listed again too near.
const MEMBERS_MIN: usize = 10;
/// A list of more would come near what may wait for a socket.
const MEMBERS_MAX: usize = 2_000;

/// The section `[presence]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Whether clients are told who is in a group, how many, and who comes and goes.
    pub enabled: bool,
    /// Members of a group who are named, 10 to 2,000; of more there is a number. The same on every node.
    pub members_max: usize,
}

impl Presence {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        Self {
            enabled: from.value("enabled", switch(), true),
            members_max: from.value("members_max", count(MEMBERS_MIN..=MEMBERS_MAX), 500),
        }
    }
}
