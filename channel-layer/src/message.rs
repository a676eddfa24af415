//! What is sent: a body, its id, and what the sender knew.

use crate::{
    amend::{Amendment, Amends, Owner},
    error::Error,
    name::ChannelName,
    position::Position,
};
use bytes::Bytes;
use std::{fmt, sync::Arc};

/// 128 bits that name a message on every node: the only key of deduplication. 32 hexadecimal digits as text.
///
/// A client's message takes it from what the client chose, so that a repeat is known wherever it arrives;
/// a server's own is [`MessageId::random`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(u128);

impl MessageId {
    /// Stands for a message that was amended before anybody was told where it stood: its newest version has a place of its
    /// own.
    pub const REPLACED: Self = Self(0);

    /// An id that no other message has.
    #[must_use]
    pub fn random() -> Self {
        Self(u128::from(crate::random_u64()) << 64 | u128::from(crate::random_u64()))
    }

    /// The id of a number.
    #[must_use]
    pub fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// The id as a number.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

/// The largest body. What is larger than this is a file, not a message.
pub const BODY_BYTES_MAX: usize = 512 << 10;

/// The longest kind of an event. Between nodes it stands beside other fields in a header of at most 64 KiB.
pub const KIND_BYTES_MAX: usize = 1 << 10;

/// Opaque to the layer. Which of the two it is, the sender chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// For screens: handed to every member's socket, never to a consumer.
    Frame(Bytes),
    /// For consumers: handed to every member's consumer, never to a screen.
    Event {
        /// Which consumer it is for, and what it means to it; at most [`KIND_BYTES_MAX`].
        kind: Arc<str>,
        /// What the consumer reads.
        data: Bytes,
    },
}

impl Body {
    /// The bytes that it carries.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        match self {
            Self::Frame(data) | Self::Event { data, .. } => data,
        }
    }
}

/// Whether a message gets a place in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Passed on and forgotten: no position, no repair, first to go when a member is slow.
    Ephemeral,
    /// Numbered and kept.
    Kept,
}

/// One message on its way into a group or to a mailbox.
#[derive(Debug, Clone)]
pub struct Message {
    /// What it is known by, here and in every repeat.
    pub id: MessageId,
    digest: Option<u64>,
    /// The position that the sender had at its first try. A repeat older than the index of ids is
    /// [`Undecided`](crate::Error::Undecided) instead of a second copy. `None`: this is the first try.
    pub floor: Option<Position>,
    /// A member that does not get it: its sender, usually.
    pub except: Option<ChannelName>,
    /// Who may amend it. `None`: nobody.
    pub owner: Option<Owner>,
    amends: Option<Amends>,
    /// What is carried.
    pub body: Body,
}

impl Message {
    /// A message for screens.
    #[must_use]
    pub fn frame(id: MessageId, data: impl Into<Bytes>) -> Self {
        Self::new(id, Body::Frame(data.into()))
    }

    /// A message for consumers.
    #[must_use]
    pub fn event(id: MessageId, kind: impl Into<Arc<str>>, data: impl Into<Bytes>) -> Self {
        Self::new(id, Body::Event { kind: kind.into(), data: data.into() })
    }

    fn new(id: MessageId, body: Body) -> Self {
        Self { id, digest: None, floor: None, except: None, owner: None, amends: None, body }
    }

    /// Says whether two messages of one id are the same: a digest of what the sender chose, without what a node
    /// added (a time, a name). By default the body's. What it amends is part of it.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let own = self.digest.unwrap_or_else(|| fnv1a(FNV_OFFSET, self.body.data()));
        with_amends(own, self.amends)
    }

    /// Whether this is the message of which `known` was kept: its digest, or what
    /// [`Posted::bare_digest`](crate::Posted::bare_digest) put in its place.
    #[must_use]
    pub fn repeats(&self, known: u64) -> bool {
        known == self.digest() || known == bare_digest(self.amends)
    }

    /// Takes `digest` instead of the body's own, when the body holds what a repeat would not repeat.
    #[must_use]
    pub fn with_digest(self, digest: u64) -> Self {
        Self { digest: Some(digest), ..self }
    }

    /// Whether a backend can carry it.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_kind_long = matches!(&self.body, Body::Event { kind, .. } if kind.len() > KIND_BYTES_MAX);
        let is_too_large = is_kind_long || self.body.data().len() > BODY_BYTES_MAX;
        if is_too_large { Err(Error::TooLarge) } else { Ok(()) }
    }

    /// A repeat, or a first try whose sender had `floor`.
    #[must_use]
    pub fn with_floor(self, floor: Option<Position>) -> Self {
        Self { floor, ..self }
    }

    /// A message that `owner` may amend, or with which they amend another.
    #[must_use]
    pub fn owned_by(self, owner: Owner) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Which message it takes the place of; a layer says so of what came by
    /// [`amend`](crate::ChannelLayer::amend).
    #[must_use]
    pub fn amends(&self) -> Option<Amends> {
        self.amends
    }

    pub(crate) fn amending(self, amends: Amends) -> Self {
        Self { amends: Some(amends), ..self }
    }

    /// Not for `member`.
    #[must_use]
    pub fn except(self, member: ChannelName) -> Self {
        Self { except: Some(member), ..self }
    }
}

/// A digest that says nothing of a text: what was amended alone.
pub(crate) fn bare_digest(amends: Option<Amends>) -> u64 {
    with_amends(FNV_OFFSET, amends)
}

fn with_amends(own: u64, amends: Option<Amends>) -> u64 {
    let Some(Amends { target, amendment }) = amends else { return own };
    let what = match amendment {
        Amendment::Replace => [1],
        Amendment::Delete => [2],
    };
    fnv1a(fnv1a(own, &target.as_u128().to_be_bytes()), &what)
}

/// FNV-1a, because a digest must be the same in every build on every node; std's hashers promise no such thing.
fn fnv1a(hash: u64, data: &[u8]) -> u64 {
    data.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
