//! How application code is run: in its time, and so that a panic ends what it was about and nothing else.

use crate::{consumer::apart::Lost, worker::tally::Tally};
use futures_util::future::{FutureExt, TryFutureExt};
use palabre_protocol::CloseCode;
use std::{
    any::Any,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    time::Duration,
};
use tokio::time::timeout;

/// How long application code may take for one thing.
pub(crate) const HANDLER_MAX: Duration = Duration::from_secs(5);

/// It panicked.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs application code to its end, which may be a panic. What that leaves half done is its connection's, which ends.
///
/// Not an `async fn`, which would hold `code` twice: as what it was given and as what it awaits. It is most of an idle
/// connection.
pub(crate) fn caught<T>(
    tally: &Tally,
    code: impl Future<Output = T>,
) -> impl Future<Output = Result<T, Panicked>> {
    AssertUnwindSafe(code).catch_unwind().map_err(|word| {
        forget(word);
        panicked(tally);
        Panicked
    })
}

/// Runs application code that does not wait.
pub(super) fn caught_now<T>(code: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|word| {
        forget(word);
        Panicked
    })
}

/// Drops what a panic was given to say, which is the application's and may panic as well.
fn forget(word: Box<dyn Any + Send>) {
    if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(word))) {
        mem::forget(worse);
    }
}

/// Tells that a handler has panicked. The panic itself was told by the process's hook.
pub(crate) fn panicked(tally: &Tally) {
    tracing::error!(event = "consumer.panicked", "a handler panicked; its connection is closed");
    tally.panics.add(1);
}

/// Application code has five seconds. Over that half a handler may have run, so the connection ends.
pub(crate) async fn in_time<T>(handler: impl Future<Output = T>) -> Result<T, CloseCode> {
    // Most handlers never wait, and then there is no timer.
    let mut handler = pin!(handler);
    if let Some(done) = handler.as_mut().now_or_never() {
        return Ok(done);
    }
    // A connection's task has no room for the timer of each handler that might.
    Box::pin(timeout(HANDLER_MAX, handler)).await.map_err(|_| overran())
}

/// Tells that a handler has taken too long.
pub(crate) fn overran() -> CloseCode {
    tracing::warn!(event = "consumer.overran", "a handler took over 5 s; its connection is closed");
    CloseCode::Internal
}

/// Tells why code that was to run apart has come to nothing.
pub(crate) fn lost(tally: &Tally, lost: Lost) -> CloseCode {
    match lost {
        Lost::Panicked => {
            panicked(tally);
            CloseCode::Internal
        }
        Lost::Crowded => {
            tracing::warn!(
                event = "consumer.crowded",
                "handlers hold all threads, and too many wait for one; a connection is closed"
            );
            CloseCode::Shed
        }
    }
}
