//! What is served beside the WebSocket: the page, and how the hub is.

mod assets;
mod health;
mod metrics;
mod probes;

use crate::{config::Settings, hub::Hub};
use axum::Router;

/// Everything but the WebSocket.
pub fn router(hub: &Hub, settings: &Settings) -> Router {
    Router::new()
        .merge(health::routes(hub, settings))
        .merge(probes::routes(hub))
        .merge(metrics::routes(hub, settings))
        .merge(assets::routes())
}
