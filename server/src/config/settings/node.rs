//! The section `[node]`: how operators tell this node from others.

use std::fmt;
use std::str::FromStr;

use crate::config::kinds::text;
use crate::config::values::Values;

/// As long as a part of a host's name.
const ID_BYTES_MAX: usize = 64;

/// The section `[node]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The operator's name for this node, the same after each start; none = it has no name. It is for people and their
    /// tools: what must be told apart after a restart is told apart by a number that each start draws.
    pub id: Option<NodeId>,
}

/// A node's name: 1–64 ASCII letters, digits, `-`, `_`, `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeId(Box<str>);

impl Node {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        Self { id: from.optional("id", text()) }
    }
}

impl NodeId {
    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeId {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fits = (1..=ID_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if fits {
            Ok(Self(name.into()))
        } else {
            Err("must be 1 to 64 ASCII letters, digits, '-', '_' or '.'")
        }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_s_name_is_plain() {
        for name in ["a", "node-1.eu_west", &"x".repeat(64)] {
            assert_eq!(name.parse::<NodeId>().unwrap().as_str(), name);
        }
        for name in ["", "a b", "a/b", "a\n", "n\u{f6}de", &"x".repeat(65)] {
            assert!(name.parse::<NodeId>().is_err(), "{name:?}");
        }
    }
}
