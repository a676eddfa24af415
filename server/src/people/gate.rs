//! The product's gate: everybody is a guest, and a token makes them the same guest again.

use crate::{
    config::Secret,
    consumer::{Gate, Identity, gate::Admission},
    listen::handshake::Handshake,
    people::guest::{Guests, display_name},
};
use futures_util::future::{BoxFuture, FutureExt, ready};
use palabre_protocol::{Hello, Limits, Refusal, Request};

/// Lets everybody in as a guest.
///
/// An id is drawn by the hub and proven by its token; one that does not verify is ignored, and its bearer is somebody
/// new. A name is whatever the guest likes.
#[derive(Debug)]
pub struct GuestGate {
    guests: Guests,
    limits: Limits,
}

impl GuestGate {
    /// Signs with `secret`, or with a key that this process draws: then its guests are strangers to every other.
    #[must_use]
    pub fn new(secret: Option<&Secret>, limits: Limits) -> Self {
        Self { guests: Guests::new(secret), limits }
    }

    fn admit(&self, hello: &Request) -> Result<Admission, Refusal> {
        let hello: Hello<'_> = hello.body()?;
        hello.check(&self.limits)?;
        let known = hello.token.as_deref().and_then(|token| self.guests.verify(token));
        let (id, token) = match known {
            Some(id) => (id, None),
            None => {
                let id = self.guests.issue().as_str().to_owned();
                let token = self.guests.token(&id);
                (id, Some(token.into()))
            }
        };
        let name = display_name(hello.name.as_deref(), &id);
        Ok(Admission { identity: Identity { id: id.into(), name: name.into() }, token })
    }
}

impl Gate for GuestGate {
    fn identify<'a>(
        &'a self,
        _from: &'a Handshake,
        hello: &'a Request,
    ) -> BoxFuture<'a, Result<Admission, Refusal>> {
        ready(self.admit(hello)).boxed()
    }
}
