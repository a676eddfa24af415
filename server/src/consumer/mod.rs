//! What an application does behind one connection: a few moments, and a [`Context`] to act with.
//!
//! It may await what it likes, or compute, for five seconds; only its own client waits, for it [runs](Runs) apart from the
//! threads that have the sockets. Frames for everybody do not come by here: send an [`Event`](channel_layer::Body::Event) for
//! what a consumer must see.

pub(crate) mod apart;
mod asking;
pub(crate) mod careful;
mod context;
pub(crate) mod desk;
pub(crate) mod digest;
mod errands;
pub mod gate;
mod hands;
pub(crate) mod joined;
mod lane;
pub(crate) mod mounted;
pub(crate) mod rate;
mod seat;
mod seated;

pub use context::Context;
pub use gate::{Gate, Identity};
pub use joined::Joined;

use channel_layer::{GroupName, Page, Posted};
use palabre_protocol::{CloseCode, ErrorCode, Refusal, Request};
use serde_json::value::RawValue;
use std::{future::ready, sync::Arc};

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

/// Where a consumer's handlers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// On threads of the application's, each of which one handler has for as long as it computes. Getting there and back costs a
    /// request the wake of a thread each way.
    Apart,
    /// On the worker's thread, which writes to the sockets: the shortest way, for handlers of which every step is short. One that
    /// computes holds up all connections of that worker.
    Inline,
}

/// An application's handler, one for each connection and mount.
///
/// All but `received` have defaults that do nothing, and an `async fn` is one of them. A handler that panics, or takes over five
/// seconds, whether it waits or computes, ends its own connection with 1011 and no other.
pub trait Consumer: Send + 'static {
    /// Where its handlers run; unless it says otherwise, where they harm nobody whatever they do.
    const RUNS: Runs = Runs::Apart;

    /// The client has said who it is; nothing of it was handled yet.
    fn connected(&mut self, cx: &Context) -> impl Future<Output = Outcome> + Send {
        let _ = cx;
        ready(Ok(()))
    }

    /// A request whose type begins with this consumer's prefix. Those behind it wait.
    fn received(&mut self, request: Request, cx: &Context) -> impl Future<Output = Outcome> + Send;

    /// An event of a group that the connection is in, or to its own address, whose kind begins with the prefix.
    fn delivered(&mut self, event: &Posted, cx: &Context) -> impl Future<Output = Outcome> + Send {
        let _ = (event, cx);
        ready(Ok(()))
    }

    /// The connection has ended; said once to every consumer that was told of it, unless it panicked itself.
    fn disconnected(&mut self, why: CloseCode, cx: &Context) -> impl Future<Output = ()> + Send {
        let _ = (why, cx);
        ready(())
    }

    /// This consumer's slot in the snapshot of somebody who joins `group` and is given `page` of its history, named by its
    /// prefix.
    fn joining(
        &mut self,
        group: &GroupName,
        page: &Page,
        cx: &Context,
    ) -> impl Future<Output = Result<Option<Box<RawValue>>, Failure>> + Send {
        let _ = (group, page, cx);
        ready(Ok(None))
    }

    /// What this consumer has to say beside messages of the past that the client is given otherwise, at most 64 KiB: it missed them,
    /// or asked for a page of the history. Named as in a snapshot.
    fn reading(
        &mut self,
        group: &GroupName,
        messages: &[Arc<Posted>],
        cx: &Context,
    ) -> impl Future<Output = Result<Option<Box<RawValue>>, Failure>> + Send {
        let _ = (group, messages, cx);
        ready(Ok(None))
    }
}
