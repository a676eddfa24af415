//! What clients and operators are told of the layer.

use bytes::Bytes;
use channel_layer::{CaughtUp, LayerState};
use palabre_protocol::Layer;

/// The layer's state in the words of the protocol.
pub(crate) fn layer(state: &LayerState) -> Layer<'static> {
    Layer {
        state: state.health.as_str(),
        mode: state.mode.as_str(),
        scope: state.scope().as_str(),
        since: state.since_ms,
        // Votes are not counted yet.
        caught_up: state
            .caught_up
            .map(|CaughtUp { messages }| palabre_protocol::CaughtUp { messages, ballots: 0 }),
    }
}

/// The frame that tells every client of a change.
pub(crate) fn frame(state: &LayerState) -> Bytes {
    palabre_protocol::encode(&layer(state))
}
