//! `GET /metrics`: the workers' and the layer's numbers, added up when somebody asks.

use crate::{
    config::{NodeId, Settings},
    hub::Hub,
    observe::{
        metrics::{CONTENT_TYPE, Coded, Numbers, RedisNumbers},
        process::Process,
    },
    worker::tally::{BUCKETS_MS, place},
};
use axum::{Router, http::header, response::IntoResponse, routing::get};
use channel_layer::{Health, Mode, Scope};
use palabre_protocol::{CloseCode, ErrorCode};

pub(super) fn routes(hub: &Hub, settings: &Settings) -> Router {
    if !settings.server.metrics {
        return Router::new();
    }
    let hub = hub.clone();
    let node_id = settings.node.id.as_ref().map_or("", NodeId::as_str).to_owned();
    let answer = move || {
        let page = numbers(&hub, node_id.clone()).page();
        async move {
            ([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], page)
                .into_response()
        }
    };
    Router::new().route("/metrics", get(answer.clone())).route("/api/metrics", get(answer))
}

fn numbers(hub: &Hub, node_id: String) -> Numbers {
    let total = hub.total();
    let state = *hub.layer().status().borrow();
    let report = hub.layer().report();
    let counts = report.counts;
    let scopes = [Scope::Cluster, Scope::Node].map(Scope::as_str);
    let directions = [("in", [counts.sent_cluster, counts.sent_node]), ("out", total.out)];
    let messages = directions.iter().flat_map(|(dir, by_scope)| {
        scopes.iter().zip(by_scope).map(|(scope, count)| ([*dir, *scope], *count))
    });
    let backend = report.census.backend.unwrap_or_default();
    Numbers {
        version: env!("CARGO_PKG_VERSION"),
        node: hub.node().to_owned(),
        node_id,
        connections: total.sockets,
        tasks: total.tasks,
        messages: messages.collect(),
        delivery: BUCKETS_MS
            .iter()
            .map(|ms| f64::from(*ms) / 1e3)
            .chain([f64::INFINITY])
            .zip(total.took)
            .collect(),
        delivery_s: micros(total.took_us),
        refusals: coded(ErrorCode::ALL, &total.refusals, |code| code.as_str().to_owned()),
        rate_limited: total.refusals[place(ErrorCode::ALL, &ErrorCode::RateLimited)],
        closes: coded(CloseCode::ALL, &total.closes, |code| code.code().to_string()),
        panics: total.panics,
        replaced: total.replaced,
        slow: total.closes[place(CloseCode::ALL, &CloseCode::TooSlow)],
        repairs: total.repairs + counts.repairs,
        gaps: counts.gaps,
        states: Health::ALL.iter().map(|health| (health.as_str(), *health == state.health)).collect(),
        away_s: micros(counts.away_us),
        heals: counts.heals,
        spooled: report.spooled as u64,
        spool_dropped: counts.spool_dropped,
        replayed: counts.replayed,
        recovered: counts.recovered,
        canary_s: report.canary_us.map(micros),
        put_back: counts.put_back,
        dropped: counts.arrivals_dropped,
        malformed: counts.malformed,
        groups: report.groups as u64,
        remembered: report.messages as u64,
        nodes: report.census.nodes.map(|nodes| nodes.len() as u64),
        redis: (state.mode == Mode::Redis).then(|| RedisNumbers {
            is_up: state.scope() == Scope::Cluster,
            connects: counts.connects,
            connect_failures: counts.connect_failures,
            clients: backend.clients,
            memory_bytes: backend.memory_bytes,
            latency_s: backend.latency_us.map(micros),
        }),
        process: Process::now(),
    }
}

fn coded<C>(codes: &[C], counts: &[u64], name: impl Fn(&C) -> String) -> Coded {
    codes.iter().zip(counts).map(|(code, count)| (name(code), *count)).collect()
}

/// In seconds; what an integer cannot hold exactly is no more than a rounding of some hundred years.
#[expect(clippy::cast_precision_loss, reason = "a float holds 2^53 microseconds, which are 285 years")]
fn micros(micros: u64) -> f64 {
    micros as f64 / 1e6
}
