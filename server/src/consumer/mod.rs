//! What an application does behind one connection: a few moments, and a [`Context`] to act with.
//!
//! It lives on one thread with its socket: no lock, an `Rc` is fine. It may await what it likes for five seconds; only
//! its own client waits. Frames for everybody do not come by here: send an [`Event`](channel_layer::Body::Event) for
//! what a consumer must see.

pub(crate) mod careful;
mod context;
pub(crate) mod digest;
pub mod gate;
mod joined;
pub(crate) mod mounted;
pub(crate) mod rate;

pub use context::Context;
pub use gate::{Gate, Identity};
pub use joined::Joined;

use channel_layer::{GroupName, Page, Posted};
use palabre_protocol::{CloseCode, ErrorCode, Refusal, Request};
use serde_json::value::RawValue;
use std::sync::Arc;

/// What handling something comes to. A [`Refusal`] is an error reply with the request's `ref`; the socket lives.
pub type Outcome = Result<(), Failure>;

/// Why something was not done, as the client is told.
///
/// `?` makes one of a [`Refusal`], of a layer's [`Error`](channel_layer::Error) and of a bad name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub Refusal);

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<channel_layer::Error> for Failure {
    fn from(error: channel_layer::Error) -> Self {
        use channel_layer::Error;
        let code = match &error {
            Error::Unavailable | Error::Closed => ErrorCode::Unavailable,
            Error::Overloaded => ErrorCode::Overloaded,
            Error::TooLarge => ErrorCode::TooLarge,
            Error::Conflict => ErrorCode::Conflict,
            Error::Undecided => ErrorCode::Undecided,
            Error::NoSuchChannel(_) | Error::NotFound => ErrorCode::NotFound,
            Error::Forbidden => ErrorCode::Forbidden,
        };
        Self(Refusal::new(code, error.to_string()))
    }
}

impl From<channel_layer::NameError> for Failure {
    fn from(error: channel_layer::NameError) -> Self {
        Self(Refusal::new(ErrorCode::BadRequest, format!("bad group name: {error}")))
    }
}

/// An application's handler, one for each connection and mount.
///
/// All but `received` have defaults that do nothing. A handler that panics, or takes over five seconds, ends its own
/// connection with 1011 and no other.
#[expect(
    async_fn_in_trait,
    reason = "a consumer stays on its socket's thread, so its futures need not be Send"
)]
pub trait Consumer: 'static {
    /// The client has said who it is; nothing of it was handled yet.
    async fn connected(&mut self, cx: &Context) -> Outcome {
        let _ = cx;
        Ok(())
    }

    /// A request whose type begins with this consumer's prefix. Those behind it wait.
    async fn received(&mut self, request: Request, cx: &Context) -> Outcome;

    /// An event of a group that the connection is in, or to its own address, whose kind begins with the prefix.
    async fn delivered(&mut self, event: &Posted, cx: &Context) -> Outcome {
        let _ = (event, cx);
        Ok(())
    }

    /// The connection has ended; said once to every consumer that was told of it, unless it panicked itself.
    async fn disconnected(&mut self, why: CloseCode, cx: &Context) {
        let _ = (why, cx);
    }

    /// This consumer's slot in the snapshot of somebody who joins `group` and is given `page` of its history, named by its
    /// prefix.
    async fn joining(
        &mut self,
        group: &GroupName,
        page: &Page,
        cx: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        let _ = (group, page, cx);
        Ok(None)
    }

    /// What this consumer has to say beside messages of the past that the client is given otherwise, at most 64 KiB: it missed them,
    /// or asked for a page of the history. Named as in a snapshot.
    async fn reading(
        &mut self,
        group: &GroupName,
        messages: &[Arc<Posted>],
        cx: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        let _ = (group, messages, cx);
        Ok(None)
    }
}
