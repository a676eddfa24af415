//! The one error of a layer.

use crate::name::ChannelName;

/// What `T` a layer gives, or why not.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a layer did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The backend is away, or did not answer within the deadline. Whether it took a message is unknown; a repeat
    /// with the same id is safe.
    #[error("the channel layer's backend is unavailable")]
    Unavailable,
    /// A queue of this node is full; nothing was done.
    #[error("the channel layer is overloaded")]
    Overloaded,
    /// The message's body is over [`BODY_BYTES_MAX`](crate::BODY_BYTES_MAX), or its kind over
    /// [`KIND_BYTES_MAX`](crate::KIND_BYTES_MAX).
    #[error("the message is too large")]
    TooLarge,
    /// Another message has this id.
    #[error("another message has this id")]
    Conflict,
    /// Whether a message of this id is in the history cannot be known any more; nothing was appended.
    #[error("whether this message is in the history cannot be known any more")]
    Undecided,
    /// The message to be amended is not in the history: it never was, is not any more, or was deleted. Nothing was done.
    #[error("the message is not in the history")]
    NotFound,
    /// The message to be amended is somebody else's, or nobody's. Nothing was done.
    #[error("only its owner may change a message")]
    Forbidden,
    /// No mailbox has this address.
    #[error("no mailbox has the address {0}")]
    NoSuchChannel(ChannelName),
    /// The layer has been shut down.
    #[error("the channel layer has been shut down")]
    Closed,
}

impl Error {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable | Self::Overloaded)
    }
}
