//! `GET /health`: how this node is, from what it knows already, so that it answers while Redis hangs.

use crate::{
    config::{Settings, mask_url},
    hub::Hub,
};
use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use channel_layer::{Health, LayerState, Mode};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn routes(hub: &Hub, settings: &Settings) -> Router {
    let status = hub.layer().status();
    let node = hub.node().to_owned();
    let redis_url = settings.redis.url.as_ref().map(|url| mask_url(url.expose()));
    let answer = move || {
        let body = body(&status.borrow(), &node, redis_url.as_deref());
        async move { (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")], axum::Json(body)).into_response() }
    };
    Router::new().route("/health", get(answer.clone())).route("/api/health", get(answer))
}

fn body(state: &LayerState, node: &str, redis_url: Option<&str>) -> serde_json::Value {
    let configured = redis_url.is_some();
    let available = state.mode == Mode::Redis && state.health == Health::Healthy;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "status": if state.health == Health::Healthy { "healthy" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
        "node": node,
        "layer": {
            "state": state.health.as_str(),
            "mode": state.mode.as_str(),
            "scope": state.scope().as_str(),
            "since": state.since_ms,
        },
        "redis": {
            "redis_enabled": configured,
            "redis_configured": configured,
            "redis_available": available,
            "using_fallback": false,
            "redis_url": redis_url,
        },
        "features": {"chat": true, "polls": false, "sse": false},
        "timestamp": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
    })
}
