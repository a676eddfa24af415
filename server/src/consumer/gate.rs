//! Who somebody is, and what they may do: the product's is guests, an embedder brings their own.

use crate::listen::handshake::Handshake;
use futures_util::future::{BoxFuture, FutureExt, poll_fn};
use palabre_protocol::{Refusal, Request};
use std::{sync::Arc, task::Poll};

/// Somebody, as the hub knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What they are known by: the same in every connection of theirs.
    pub id: Arc<str>,
    /// What others see them called.
    pub name: Arc<str>,
}

/// An identity with what its owner needs to be the same again.
#[derive(Clone, PartialEq, Eq)]
pub struct Admission {
    /// Who it is.
    pub identity: Identity,
    /// A token to be kept by the client and shown in its next `hello`, if the one it showed does not serve.
    pub token: Option<Box<str>>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// Turns a `hello` into somebody, and every request of theirs into yes or no.
///
/// It is asked on the worker's thread: it may wait for five seconds, and has to leave what takes the processor longer than a moment, as
/// the hash of a password does, to `tokio::task::spawn_blocking`.
pub trait Gate: Send + Sync + 'static {
    /// Says who the client is. A refusal answers the `hello`; the client may say another.
    fn identify<'a>(
        &'a self,
        from: &'a Handshake,
        hello: &'a Request,
    ) -> BoxFuture<'a, Result<Admission, Refusal>>;

    /// Says whether `who` may make this request. By default everybody may.
    fn allow<'a>(&'a self, who: &'a Identity, request: &'a Request) -> BoxFuture<'a, Result<(), Refusal>> {
        let _ = (who, request);
        // Asked for every request: this one takes no memory.
        poll_fn(|_| Poll::Ready(Ok(()))).boxed()
    }
}
