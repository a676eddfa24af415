//! The section `[layer]`: what a node does while what joins it to the others is away.

use std::fmt;
use std::str::FromStr;

use crate::config::kinds::text;
use crate::config::values::Values;

/// The section `[layer]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// What becomes of clients while a node that should have others is without them.
    pub degraded_policy: DegradedPolicy,
}

/// What becomes of clients while a node that should have others is without them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DegradedPolicy {
    /// They are served, and told that what they send reaches this node's members now and the others later.
    #[default]
    Serve,
    /// They are sent away (4003), and nobody is taken in, for whoever would rather have no hub than a part of one.
    Shed,
}

impl Layer {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        Self { degraded_policy: from.value("degraded_policy", text(), DegradedPolicy::default()) }
    }
}

impl FromStr for DegradedPolicy {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "serve" => Ok(Self::Serve),
            "shed" => Ok(Self::Shed),
            _ => Err("must be \"serve\" or \"shed\""),
        }
    }
}

impl fmt::Display for DegradedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serve => "serve",
            Self::Shed => "shed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_two_policies() {
        for policy in [DegradedPolicy::Serve, DegradedPolicy::Shed] {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for name in ["", "Shed", "refuse"] {
            assert!(name.parse::<DegradedPolicy>().is_err(), "{name}");
        }
    }
}
