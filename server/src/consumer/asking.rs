//! What a consumer asks of the layer. One that runs apart may ask as often as it likes, and of what a node has under way its
//! connection has a part, and no more.

use crate::{
    consumer::{apart::Apart, hands::Hands},
    worker::fanout::is_object,
};
use bytes::Bytes;
use channel_layer::{Answer, Body, ChannelLayer, Error, Message};
use futures_util::future::FutureExt;
use std::{
    future,
    sync::{Arc, atomic::Ordering},
};

/// What a connection's consumers may have asked the layer for at a time: a sixty-fourth of what waits for a backend on a node, and
/// with the largest messages half.
const ASKING_MAX: u32 = 256;

/// Asks for something; what is over a connection's part is `overloaded`, and not done.
pub(super) fn consult<T: Send + 'static>(
    hands: &Arc<Hands>,
    apart: Option<&Apart>,
    ask: impl FnOnce(&dyn ChannelLayer) -> Answer<T>,
) -> Answer<T> {
    let layer = &*hands.shore.layer;
    // What runs on the worker asks for what its client has requested, which is bounded.
    let Some(apart) = apart else { return ask(layer) };
    let asking = Asking::begin(hands);
    if asking.before >= ASKING_MAX {
        return future::ready(Err(Error::Overloaded)).boxed();
    }
    let mut answer = ask(layer);
    if let Some(answer) = (&mut answer).now_or_never() {
        return future::ready(answer).boxed();
    }
    // It counts until it is answered, whether or not anybody waits for that.
    let answer = apart.wait_for(async move {
        let _asking = asking;
        answer.await
    });
    answer.map(|answer| answer.unwrap_or(Err(Error::Closed))).boxed()
}

/// A message for a group, which screens can show.
#[track_caller]
pub(super) fn ready(message: Message, apart: Option<&Apart>) -> Message {
    let is_showable = || matches!(message.body, Body::Event { .. }) || is_object(message.body.data());
    debug_assert!(is_showable(), "a frame's body is a JSON object with a type, and nothing around it");
    owned(message, apart)
}

/// A message in memory of the hub's: how the `Bytes` of what runs apart end may be code of the application's.
pub(super) fn owned(mut message: Message, apart: Option<&Apart>) -> Message {
    if apart.is_some() {
        let (Body::Frame(data) | Body::Event { data, .. }) = &mut message.body;
        *data = Bytes::copy_from_slice(data);
    }
    message
}

/// One of what was asked of the layer, while it is under way.
struct Asking {
    /// How many there were before it.
    before: u32,
    hands: Arc<Hands>,
}

impl Asking {
    fn begin(hands: &Arc<Hands>) -> Self {
        Self { before: hands.asking.fetch_add(1, Ordering::Relaxed), hands: Arc::clone(hands) }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.hands.asking.fetch_sub(1, Ordering::Relaxed);
    }
}
