//! Who is behind a connection, as far as that is known.

use crate::{
    connection::{Doors, member::Member},
    listen::handshake::Handshake,
};
use std::{future::pending, sync::Arc};

/// What is needed until the client has said who it is.
pub(super) struct Newcomer {
    pub(super) handshake: Arc<Handshake>,
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

    /// Waits until a consumer asks for something, outside its handlers. Cancel safe.
    pub(super) async fn asked(&self) {
        match self {
            Self::Known(member) => member.desk.asked().await,
            Self::New(_) | Self::Echo(_) => pending().await,
        }
    }
}
