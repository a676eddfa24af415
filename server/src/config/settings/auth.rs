//! The section `[auth]`: who may come in.

use crate::config::kinds::{secret, switch};
use crate::config::secret::Secret;
use crate::config::values::Values;

/// 128 bits, if they are random: what signs identities must not be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// The section `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// What guests' identities are signed with; none = drawn at each start, known to this node alone.
    pub secret: Option<Secret>,
    /// Whether anybody may come in as a guest; none = yes if only this machine can reach the node.
    pub guests: Option<bool>,
}

impl Auth {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        Self {
            secret: from.optional("secret", secret(SECRET_BYTES_MIN)),
            guests: from.optional("guests", switch()),
        }
    }
}
