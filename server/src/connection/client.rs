//! Who is behind a connection, as far as that is known.

use crate::{
    connection::{Doors, member::Member},
    listen::handshake::Handshake,
};
use std::sync::Arc;

/// What is needed until the client has said who it is.
pub(super) struct Newcomer {
    pub(super) handshake: Box<Handshake>,
    pub(super) doors: Arc<Doors>,
}

pub(super) enum Client {
    New(Newcomer),
    Known(Box<Member>),
    /// Is sent back what it says.
    Echo(Arc<Doors>),
}

impl Client {
    pub(super) fn doors(&self) -> &Doors {
        match self {
            Self::New(newcomer) => &newcomer.doors,
            Self::Known(member) => &member.doors,
            Self::Echo(doors) => doors,
        }
    }
}
