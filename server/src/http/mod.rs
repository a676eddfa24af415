//! What is served beside the WebSocket: the page, and how the hub is.

mod assets;
mod health;
mod metrics;
mod probes;

use crate::{config::Settings, hub::Hub, listen::denied::Denied};
use axum::{Router, http::StatusCode};

/// Everything but the WebSocket.
pub fn router(hub: &Hub, settings: &Settings) -> Router {
    Router::new()
        .merge(health::routes(hub, settings))
        .merge(probes::routes(hub))
        .merge(metrics::routes(hub, settings))
        .merge(assets::routes())
        .fallback(async || Denied::new(StatusCode::NOT_FOUND, "there is nothing at this path").response())
        .method_not_allowed_fallback(async || {
            Denied::new(StatusCode::METHOD_NOT_ALLOWED, "this path is only read").response()
        })
}
