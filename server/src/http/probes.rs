//! `GET /livez` and `GET /readyz`, for what starts, restarts and balances nodes.
//!
//! A node that has lost its backend is ready none the less: if it were not, one failure of Redis would take every node
//! out of service at once. Whoever wants it otherwise asks with `?strict=1`, or has the node shed its clients.

use crate::{hub::Hub, standing};
use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use channel_layer::{Health, LayerState};
use serde_json::json;

const LAYER: HeaderName = HeaderName::from_static("x-palabre-layer");

pub(super) fn routes(hub: &Hub) -> Router {
    // It answers: that is all there is to say.
    let alive = async || (head(None), "alive\n");
    Router::new().route("/livez", get(alive)).route("/readyz", get(ready)).with_state(hub.clone())
}

/// Headers that no cache may answer with, and the layer's state where that matters.
pub(super) fn head(layer: Option<&LayerState>) -> HeaderMap {
    let mut head = HeaderMap::new();
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(layer) = layer {
        head.insert(LAYER, HeaderValue::from_static(layer.health.as_str()));
    }
    head
}

async fn ready(State(hub): State<Hub>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let layer = *hub.layer().status().borrow();
    let strict = query.is_some_and(|query| query.split('&').any(|part| part == "strict=1"));
    let (code, status) = if hub.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if hub.is_shedding() || strict && !matches!(layer.health, Health::Healthy | Health::Suspect) {
        (StatusCode::SERVICE_UNAVAILABLE, "degraded")
    } else {
        (StatusCode::OK, "ready")
    };
    (code, head(Some(&layer)), Json(json!({"status": status, "layer": standing::layer(&layer)})))
}
