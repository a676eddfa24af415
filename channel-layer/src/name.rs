//! Names of groups and channels: checked once, where a string comes in, and a type from there on.
//!
//! The alphabet is that of Django Channels: ASCII letters, digits, `-`, `_` and `.`, under 100 characters.
//! A name can therefore stand in a key, a log line or a URL as it is, and never holds a pattern character.

use std::{
    cmp::Ordering,
    collections::HashMap,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
    str::FromStr,
    sync::{Arc, LazyLock},
};

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 99;

/// Why a string is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no characters, or the part before or after the `!` has none.
    #[error("a name must not be empty")]
    Empty,
    /// It is over [`NAME_CHARS_MAX`].
    #[error("a name has at most {NAME_CHARS_MAX} characters")]
    TooLong,
    /// It holds something else than ASCII letters, digits, `-`, `_` and `.`.
    #[error("a name holds only ASCII letters, digits, '-', '_' and '.'")]
    Alphabet,
}

fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_CHARS_MAX {
        return Err(NameError::TooLong);
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.bytes().all(allowed) { Ok(()) } else { Err(NameError::Alphabet) }
}

/// A group: a named set of channels. Users see a room.
///
/// [`FromStr`] is the only way in. Cloning counts a reference. It is hashed once, where it comes in: a message looks its
/// group up in many maps.
#[derive(Clone)]
pub struct GroupName {
    text: Arc<str>,
    hash: u64,
}

/// A map by group, which takes the hash that a name brings with it.
pub type GroupMap<V> = HashMap<GroupName, V, BuildHasherDefault<GroupHasher>>;

/// Takes a [`GroupName`]'s own hash for the map's. Names are hashed with a key of this process, so nobody can choose some that
/// collide.
#[derive(Debug, Clone, Copy, Default)]
pub struct GroupHasher(u64);

impl Hasher for GroupHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only the names of groups are hashed with it");
    }
}

static KEY: LazyLock<Key> = LazyLock::new(Key::default);

#[cfg(not(test))]
type Key = std::hash::RandomState;

// What a test tells from a seed comes out the same each time.
#[cfg(test)]
type Key = BuildHasherDefault<std::hash::DefaultHasher>;

impl GroupName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Which of `count` parts it belongs to. Decided by other bits than its place in the map of such a part.
    pub(crate) fn part(&self, count: usize) -> usize {
        usize::try_from(self.hash >> 32).map_or(0, |bits| bits % count)
    }
}

impl FromStr for GroupName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check(name)?;
        Ok(Self { text: name.into(), hash: KEY.hash_one(name) })
    }
}

impl PartialEq for GroupName {
    fn eq(&self, other: &Self) -> bool {
        // Most that meet are clones of one, or have nothing in common.
        self.hash == other.hash && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Eq for GroupName {}

impl Hash for GroupName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialOrd for GroupName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GroupName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupName({})", self.text)
    }
}

/// The address of one mailbox, `node.mailbox`, or of something that its owner knows: `node.mailbox!local`.
///
/// A layer routes by what stands before the `!`; what follows is for the mailbox's owner alone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

impl ChannelName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The mailbox that this address leads to: what stands before the `!`.
    #[must_use]
    pub fn mailbox(&self) -> &str {
        self.0.split_once('!').map_or(&*self.0, |(mailbox, _)| mailbox)
    }

    /// What the mailbox's owner makes of it: what follows the `!`.
    #[must_use]
    pub fn local(&self) -> Option<&str> {
        self.0.split_once('!').map(|(_, local)| local)
    }

    /// The node that owns the mailbox: what stands before the first `.`.
    #[must_use]
    pub fn node(&self) -> &str {
        self.0.split_once('.').map_or(&*self.0, |(node, _)| node)
    }

    /// The address of `local` behind this mailbox.
    ///
    /// # Errors
    ///
    /// [`NameError`] when `local` is no name, or the whole gets too long.
    pub fn at(&self, local: &str) -> Result<Self, NameError> {
        format!("{}!{local}", self.mailbox()).parse()
    }
}

impl FromStr for ChannelName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if name.len() > NAME_CHARS_MAX {
            return Err(NameError::TooLong);
        }
        match name.split_once('!') {
            Some((mailbox, local)) => check(mailbox).and_then(|()| check(local))?,
            None => check(name)?,
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelName({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_name_is_ascii_letters_digits_and_three_signs() {
        for good in ["a", "Room-1_2.3", &"x".repeat(99)] {
            assert!(good.parse::<GroupName>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a*", "[a]", "é", "a!b", "a:b", "{a}", "a/b", "a\n", "a\0", &"x".repeat(100)]
        {
            assert!(bad.parse::<GroupName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_channel_name_has_at_most_one_part_for_its_owner() {
        let name: ChannelName = "node.7!socket-3".parse().unwrap();
        assert_eq!((name.node(), name.mailbox(), name.local()), ("node", "node.7", Some("socket-3")));
        assert_eq!(name.at("x").unwrap().as_str(), "node.7!x");
        for bad in ["!", "a!", "!a", "a!b!c", "a b!c"] {
            assert!(bad.parse::<ChannelName>().is_err(), "{bad:?}");
        }
    }
}
