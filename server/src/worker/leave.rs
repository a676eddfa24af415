//! Clients that have to go: when their worker ends, each at a time of its own that it is told before; or all of them, when the
//! layer has lost the others and nobody is to be served by one node.
//!
//! The times are drawn evenly over the whole spread, so that the clients arrive elsewhere one after the other. Until its
//! time a client is served as before.

use crate::{
    socket::{SocketId, Stage},
    standing,
    worker::Worker,
};
use channel_layer::LayerState;
use palabre_protocol::{CloseCode, Drain, frame};
use std::{
    collections::VecDeque,
    future,
    hash::{BuildHasher, RandomState},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// How long the last clients have to answer their close before they are cut off.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Who leaves when, the next one first.
pub(super) type Leaving = VecDeque<(Instant, SocketId)>;

impl Worker {
    /// Tells every client when it will be closed, each at another time. Gives those times, in order.
    pub(super) fn begin_drain(&self, spread: Duration, now: Instant) -> Leaving {
        self.draining.set(true);
        let spread_ms = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX).max(1);
        let random = RandomState::new();
        let sockets = self.sockets.borrow();
        let mut leaving = Vec::with_capacity(sockets.len());
        for (place, socket) in sockets.iter() {
            let reconnect_ms = random.hash_one(place) % spread_ms;
            // An echo would be taken for what the client said.
            if socket.stage.get() != Stage::Echo {
                self.push(socket, palabre_protocol::encode(&Drain { reconnect_ms }));
            }
            leaving.push((now + Duration::from_millis(reconnect_ms), socket.id));
        }
        if sockets.is_empty() {
            self.emptied.wake();
        }
        leaving.sort_unstable_by_key(|(at, _)| *at);
        leaving.into()
    }

    /// Closes those whose time has come.
    pub(super) fn let_leave(&self, leaving: &mut Leaving, now: Instant) {
        while let Some((_, id)) = leaving.pop_front_if(|(at, _)| *at <= now) {
            if let Some(socket) = self.socket(id) {
                socket.close(CloseCode::Drain);
            }
        }
    }

    /// Tells everybody how the layer is, and sends them away if they are not to be served so.
    pub(super) fn layer_changed(&self, state: LayerState) {
        self.scope.set(state.scope());
        self.tell_everybody(&standing::frame(&state));
        let sockets = self.sockets.borrow();
        if !self.sheds.get() || state.apart_since_ms.is_none() || sockets.is_empty() {
            return;
        }
        let connections = sockets.len();
        tracing::warn!(
            event = "worker.shed",
            connections,
            "this node is without the others, and its clients are sent away"
        );
        sockets.iter().for_each(|(_, socket)| socket.close(CloseCode::Shed));
    }

    /// Ends what cannot go on: clients come back, to a worker that delivers.
    pub(super) fn give_up(&self) {
        tracing::error!(
            event = "worker.failed",
            "delivering has panicked; the worker's connections are closed"
        );
        for (_, socket) in self.sockets.borrow().iter() {
            socket.with_outbox(|outbox| outbox.end_with(frame::close(CloseCode::Internal)));
            socket.end();
        }
    }
}

/// When the next client leaves; never, while nobody is about to.
pub(super) async fn due(next: Option<&(Instant, SocketId)>) {
    match next {
        Some((at, _)) => sleep_until(*at).await,
        None => future::pending().await,
    }
}
