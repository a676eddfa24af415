//! Which Redis a group's history was written by: a process, and one history of its replication.
//!
//! A restart changes it, and so does a promotion. So does the first replica that a running process gets, and then nodes that
//! connected before believe in another life than those that came later. Hence a node's belief is only that: where a group
//! says otherwise, `open.lua` asks Redis itself, and its answer is what this node believes from then on.

use crate::redis::label;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Of each of the two ids, 40 digits that Redis draws at random, as many are enough. What stands beside a group has all.
const DIGITS: usize = 8;

/// The life that a link believes in; its copies believe the same.
#[derive(Debug, Clone)]
pub(super) struct Life(Arc<AtomicU64>);

impl Life {
    /// By the ids of the process and of its replication; `None` when they are no hexadecimal digits.
    pub(super) fn new(run: &str, replication: &str) -> Option<Self> {
        let text = format!("{}{}", run.get(..DIGITS)?, replication.get(..DIGITS)?);
        parse(&text).map(|life| Self(Arc::new(life.into())))
    }

    /// As scripts take it.
    pub(super) fn digits(&self) -> [u8; 2 * DIGITS] {
        label::digits(self.0.load(Ordering::Relaxed))
    }

    /// Takes what Redis says of itself; says whether that is a life.
    pub(super) fn learn(&self, text: &str) -> bool {
        let life = parse(text);
        if let Some(life) = life {
            self.0.store(life, Ordering::Relaxed);
        }
        life.is_some()
    }
}

fn parse(text: &str) -> Option<u64> {
    let digits = text.len() == 2 * DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_of_a_process_and_its_replication_and_what_is_no_life_changes_nothing() {
        let life = Life::new("00ff00ff00ff00ff", "0123456789abcdef").unwrap();
        let copy = life.clone();
        assert_eq!(&life.digits(), b"00ff00ff01234567");
        for text in ["", "00ff00ff0123456", "+0ff00ff01234567", "00ff00ff012345670"] {
            assert!(!life.learn(text), "{text}");
        }
        assert!(life.learn("00ff00ffffffffff"));
        assert_eq!(&copy.digits(), b"00ff00ffffffffff");
        assert!(Life::new("short", "0123456789abcdef").is_none());
        assert!(Life::new("00ff00ff", "no digits").is_none());
    }
}
