//! What clients and operators are told of the layer.

use bytes::Bytes;
use channel_layer::LayerState;
use palabre_protocol::Layer;

/// The layer's state in the words of the protocol.
pub(crate) fn layer(state: &LayerState) -> Layer<'static> {
    Layer {
        state: state.health.as_str(),
        mode: state.mode.as_str(),
        scope: state.scope().as_str(),
        since: state.since_ms,
        caught_up: None,
    }
}

/// The frame that tells every client of a change.
pub(crate) fn frame(state: &LayerState) -> Bytes {
    palabre_protocol::encode(&layer(state))
}
