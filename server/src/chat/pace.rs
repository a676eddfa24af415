//! How fast somebody may change what they wrote.
//!
//! People mend a message now and then; who does it all the time moves what everybody reads, and in some backends an amendment
//! costs more than a message. So edits and deletions have rates of their own, for a connection and for a user's together.

use crate::{
    chat::chats::Chats,
    config::{Rate, Rates},
    consumer::{
        Context,
        rate::{Bucket, TooFast, Users},
    },
};
use std::sync::PoisonError;
use tokio::time::Instant;

/// What the chats of a hub share: the rates, and what is left of each user's.
#[derive(Debug)]
pub(super) struct Paces {
    connection: Rate,
    user: Rate,
    users: Users,
}

impl Paces {
    pub(super) fn new(rates: &Rates) -> Self {
        Self { connection: rates.edits, user: rates.user_edits, users: Users::default() }
    }
}

/// What is left of one connection's.
#[derive(Debug)]
pub(super) struct Pace {
    bucket: Bucket,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { bucket: Bucket::new(Instant::now()) }
    }

    /// Takes one edit or deletion, if there is one left. A chat that shares nothing knows of no other connections.
    pub(super) fn take(&mut self, chats: Option<&Chats>, cx: &Context) -> Result<(), TooFast> {
        let now = Instant::now();
        let connection = chats.map_or(Rates::EDITS, |chats| chats.paces.connection);
        self.bucket.take("edits of a connection", connection, 1, now)?;
        let Some(Chats { paces: Paces { user, users, .. }, .. }) = chats else { return Ok(()) };
        let bucket = users.bucket(&cx.identity().id, now);
        bucket.lock().unwrap_or_else(PoisonError::into_inner).take("edits of a user", *user, 1, now)
    }
}
