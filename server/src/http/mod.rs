//! What is served beside the WebSocket: the page and the hub's health.

mod assets;
mod health;

use crate::{config::Settings, hub::Hub};
use axum::Router;

/// Everything but the WebSocket.
pub fn router(hub: &Hub, settings: &Settings) -> Router {
    Router::new().merge(health::routes(hub, settings)).merge(assets::routes())
}
