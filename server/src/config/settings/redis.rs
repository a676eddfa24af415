//! The section `[redis]`: what joins several nodes to one hub.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::kinds::{duration, secret_text, switch, text};
use crate::config::secret::RedisUrl;
use crate::config::values::Values;

/// Below 10 ms a healthy Redis next door misses its deadline by a hiccup of the scheduler.
const DEADLINE_MIN: Duration = Duration::from_millis(10);
/// A sender waits for its ack this long at worst, and 10 s are more than anybody waits.
const DEADLINE_MAX: Duration = Duration::from_secs(10);
/// Groups have up to 100 characters; with this much before them, keys stay short.
const PREFIX_BYTES_MAX: usize = 32;

/// The section `[redis]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Whether Redis is used at all; false = this node stands alone, whatever `url` says.
    pub enabled: bool,
    /// Where Redis is; none = this node stands alone, which is not a failure.
    pub url: Option<RedisUrl>,
    /// How long a sender, or somebody who joins, waits for Redis before being told `unavailable`; 10 ms to 10 s.
    pub deadline: Duration,
    /// What all keys and channels in Redis begin with: two deployments with different ones can share a Redis.
    pub prefix: Prefix,
}

/// A name before the keys in Redis: 1–32 ASCII letters, digits, `-`, `_`, `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(Box<str>);

impl Redis {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        let deadlines = DEADLINE_MIN..=DEADLINE_MAX;
        Self {
            enabled: from.value("enabled", switch(), true),
            url: from.optional("url", secret_text()),
            deadline: from.value("deadline", duration(deadlines), Duration::from_millis(250)),
            prefix: from.value("prefix", text(), Prefix("palabre".into())),
        }
    }

    /// Where Redis is, if it is to be used.
    pub fn url_in_use(&self) -> Option<&RedisUrl> {
        self.url.as_ref().filter(|_| self.enabled)
    }
}

impl Prefix {
    /// The name, without any separator.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fits = (1..=PREFIX_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if fits {
            Ok(Self(name.into()))
        } else {
            Err("must be 1 to 32 ASCII letters, digits, '-', '_' or '.'")
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_short_plain_name() {
        for name in ["p", "palabre", "A-z_0.9", &"x".repeat(32)] {
            assert_eq!(name.parse::<Prefix>().unwrap().as_str(), name);
        }
        for name in ["", "a b", "a:b", "a{b}", "a*", "é", "a\n", &"x".repeat(33)] {
            assert!(name.parse::<Prefix>().is_err(), "{name:?}");
        }
    }
}
