//! `GET /health`: how this node is, from what it knows already, so that it answers while Redis hangs.

use crate::{
    config::{NodeId, Redis, Settings, mask_url},
    http::probes::head,
    hub::Hub,
};
use axum::{Json, Router, response::IntoResponse, routing::get};
use channel_layer::{Census, Health, LayerState, Mode, Peer, Report, Scope};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn routes(hub: &Hub, settings: &Settings) -> Router {
    let hub = hub.clone();
    let settings = settings.clone();
    let answer = move || {
        let state = *hub.layer().status().borrow();
        let body = body(&hub, &state, &settings);
        async move { (head(Some(&state)), Json(body)).into_response() }
    };
    Router::new().route("/health", get(answer.clone())).route("/api/health", get(answer))
}

fn body(hub: &Hub, state: &LayerState, settings: &Settings) -> Value {
    let report = hub.layer().report();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "status": status(hub, state),
        "version": env!("CARGO_PKG_VERSION"),
        "node": hub.node(),
        "node_id": settings.node.id.as_ref().map(NodeId::as_str),
        "connections": hub.connections(),
        "degraded_seconds": apart_s(state, now),
        "layer": layer(state, &report),
        "redis": redis(state, &report.census, &settings.redis),
        "data": {"groups": report.groups, "messages": report.messages, "polls": 0},
        "features": {"chat": true, "polls": false, "sse": false},
        "integrations": {"webhooks": false, "sentry": false, "otel": false},
        "timestamp": u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
    })
}

fn status(hub: &Hub, state: &LayerState) -> &'static str {
    match state.health {
        _ if hub.is_draining() => "unhealthy",
        Health::Healthy | Health::Suspect => "healthy",
        Health::Connecting | Health::Degraded | Health::Healing => "degraded",
    }
}

/// For how long this node has been without the others, in whole seconds.
fn apart_s(state: &LayerState, now: Duration) -> u64 {
    let since = state.apart_since_ms.map(Duration::from_millis);
    since.map_or(0, |since| now.saturating_sub(since).as_secs())
}

fn layer(state: &LayerState, report: &Report) -> Value {
    let census = &report.census;
    let peer = |peer: &Peer| json!({"node": peer.node, "node_id": peer.name});
    json!({
        "state": state.health.as_str(),
        "mode": state.mode.as_str(),
        "scope": state.scope().as_str(),
        "since": state.since_ms,
        "nodes": census.nodes.as_ref().map(Vec::len),
        "peers": census.nodes.as_ref().map(|nodes| nodes.iter().map(peer).collect::<Vec<_>>()),
        "canary_ms": report.canary_us.map(|us| Duration::from_micros(us).as_secs_f64() * 1e3),
    })
}

fn redis(state: &LayerState, census: &Census, settings: &Redis) -> Value {
    let is_available = state.mode == Mode::Redis && state.scope() == Scope::Cluster;
    let backend = census.backend.clone().unwrap_or_default();
    json!({
        "redis_enabled": settings.url_in_use().is_some(),
        "redis_configured": settings.url.is_some(),
        "redis_available": is_available,
        "using_fallback": state.mode == Mode::Redis && !is_available,
        "redis_url": settings.url.as_ref().map(|url| mask_url(url.expose())),
        "redis_version": backend.version,
        "connected_clients": backend.clients,
        "used_memory_human": backend.memory_human,
    })
}
