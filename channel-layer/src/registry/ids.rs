//! Which ids a group has numbered, and since when that is known for certain (pure).
//!
//! Two generations of a map: when the young one is full it becomes the old one, and the old one is forgotten. That
//! is O(1) a message and needs no clock; the price is that between one and two times the bound is kept.

use crate::{message::MessageId, position::Position};
use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher},
    mem,
    sync::LazyLock,
};

/// Where a message stands, and the digest of what its sender sent.
pub(crate) type Known = (Position, u64);

/// The index of ids of one group.
#[derive(Debug, Default)]
pub(crate) struct IdIndex {
    young: HashMap<MessageId, Known, IdHashes>,
    old: HashMap<MessageId, Known, IdHashes>,
    /// The offsets after which the generations begin.
    young_after: u64,
    old_after: u64,
}

impl IdIndex {
    /// Keeps `id`, whose generation holds `ids_max`.
    pub(crate) fn insert(&mut self, id: MessageId, known: Known, ids_max: usize) {
        if self.young.len() >= ids_max {
            self.old = mem::take(&mut self.young);
            self.old_after = mem::replace(&mut self.young_after, known.0.offset.saturating_sub(1));
        }
        self.young.insert(id, known);
    }

    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Forgets every id numbered up to `offset`, and admits it.
    pub(crate) fn forget(&mut self, offset: u64) {
        *self = Self { young_after: offset, old_after: offset, ..Self::default() };
    }

    pub(crate) fn find(&self, id: MessageId) -> Option<Known> {
        self.young.get(&id).or_else(|| self.old.get(&id)).copied()
    }

    /// Keeps another digest of what is known under `id`.
    pub(crate) fn set_digest(&mut self, id: MessageId, digest: u64) {
        if let Some(known) = self.young.get_mut(&id).or_else(|| self.old.get_mut(&id)) {
            known.1 = digest;
        }
    }

    /// Whether an id numbered after `offset` could have been forgotten: then "not found" proves nothing.
    pub(crate) fn forgets_after(&self, offset: u64) -> bool {
        offset < self.old_after
    }
}

/// Makes the hash of an id by one multiplication under a key of this process's: each message is looked for and kept, and who
/// chooses ids cannot choose some that collide.
#[derive(Debug, Clone, Copy)]
struct IdHashes([u64; 2]);

impl Default for IdHashes {
    fn default() -> Self {
        static KEY: LazyLock<[u64; 2]> = LazyLock::new(|| [crate::random_u64(), crate::random_u64()]);
        Self(*KEY)
    }
}

impl BuildHasher for IdHashes {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher { key: self.0, hash: 0 }
    }
}

struct IdHasher {
    key: [u64; 2],
    hash: u64,
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.hash
    }

    #[expect(clippy::cast_possible_truncation, reason = "an id is taken by its halves")]
    fn write_u128(&mut self, id: u128) {
        let [low, high] = self.key;
        let (low, high) = (low ^ id as u64).carrying_mul(high ^ (id >> 64) as u64, 0);
        self.hash = low ^ high;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only ids are hashed with it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Epoch;

    #[test]
    fn an_id_is_known_for_at_least_a_generation_and_forgetting_is_admitted() {
        let epoch = Epoch::from_u64(7).unwrap();
        let mut index = IdIndex::default();
        for offset in 1..=25 {
            let known = (Position { epoch, offset }, 0);
            index.insert(MessageId::from_u128(u128::from(offset)), known, 10);
        }
        let kept: Vec<u64> =
            (1..=25).filter(|n| index.find(MessageId::from_u128(u128::from(*n))).is_some()).collect();
        assert_eq!(kept, (11..=25).collect::<Vec<_>>());
        assert!(index.forgets_after(9));
        assert!(!index.forgets_after(10), "all that came after offset 10 is known");
    }
}
