//! What a worker shares with the consumers of its connections, wherever they run.

use crate::worker::{
    follow::{Departures, Follow},
    tally::Tally,
};
use channel_layer::{ChannelLayer, LayerState, Presence};
use std::sync::Arc;
use tokio::sync::watch;

/// One worker's, as seen from other threads.
pub(crate) struct Shore {
    pub(crate) layer: Arc<dyn ChannelLayer>,
    /// Who is in which group; `None` when nobody is to be told.
    pub(crate) presence: Option<Arc<dyn Presence>>,
    status: watch::Receiver<LayerState>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) departures: Arc<Departures>,
}

impl Shore {
    pub(super) fn new(
        layer: &Arc<dyn ChannelLayer>,
        presence: Option<&Arc<dyn Presence>>,
        tally: &Arc<Tally>,
        follow: &Follow,
    ) -> Self {
        Self {
            layer: Arc::clone(layer),
            presence: presence.cloned(),
            status: layer.status(),
            tally: Arc::clone(tally),
            departures: Arc::clone(&follow.departures),
        }
    }

    /// How the layer is.
    pub(crate) fn layer_state(&self) -> LayerState {
        *self.status.borrow()
    }
}
