//! A WebSocket that is sent back what it says, message by message: for suites that look how the hub keeps to RFC 6455.
//!
//! It is a connection like any other, with the same limits, turns and goodbyes, and no part of the hub's own protocol: no
//! `hello`, no pings of ours. It shares nothing with anybody, and ends after a while whatever it does.

use crate::{
    connection::{Client, Doors, seated, wire::Wire},
    socket::{Stage, stream::Stream},
    worker::Worker,
};
use bytes::Bytes;
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Longer than any case of any suite; nobody asks an echo whether it is still there.
const ECHO_MAX: Duration = Duration::from_secs(600);

/// Runs it to its end.
pub(crate) async fn run(worker: Rc<Worker>, doors: Arc<Doors>, stream: Stream, early: Bytes) {
    let Some(socket) = worker.admit(stream) else { return };
    socket.stage.set(Stage::Echo);
    let wire = Wire::new(early, doors.limits.frame_bytes);
    // When the time is over there is nobody to tell.
    drop(timeout(ECHO_MAX, seated(worker, socket, wire, Client::Echo(doors))).await);
}
