//! How a node is, in its own words: for people, for what restarts it, and for what balances.

use std::time::Duration;

use palabre_tests::http::get;
use palabre_tests::machine::until;
use palabre_tests::{Client, HubProcess, RedisServer};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{health, nowhere};

async fn joined(redis: &RedisServer) -> HubProcess {
    let hub = HubProcess::start(&["--redis-url", &redis.url()]).await;
    until("the node is healthy", async || (health(hub.addr()).await["status"] == "healthy").then_some(()))
        .await;
    hub
}

fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn every_field_has_its_name_with_redis_and_without() {
    let redis = RedisServer::start().await;
    let alone = HubProcess::start(&[]).await;
    let joined = joined(&redis).await;
    for hub in [&alone, &joined] {
        let health = health(hub.addr()).await;
        assert_eq!(
            keys(&health),
            [
                "connections",
                "data",
                "degraded_seconds",
                "features",
                "integrations",
                "layer",
                "node",
                "node_id",
                "redis",
                "status",
                "timestamp",
                "version"
            ]
        );
        let mut layer = ["state", "mode", "scope", "since", "nodes", "peers", "canary_ms"];
        layer.sort_unstable();
        assert_eq!(keys(&health["layer"]), layer);
        let mut redis = [
            "redis_available",
            "redis_enabled",
            "redis_configured",
            "using_fallback",
            "redis_url",
            "redis_version",
            "connected_clients",
            "used_memory_human",
        ];
        redis.sort_unstable();
        assert_eq!(keys(&health["redis"]), redis);
        assert_eq!(keys(&health["data"]), ["groups", "messages", "polls"]);
        assert_eq!(keys(&health["features"]), ["chat", "polls", "sse"]);
        assert_eq!(keys(&health["integrations"]), ["otel", "sentry", "webhooks"]);
        assert_eq!(get(hub.addr(), "/api/health").await.status, 200);
    }
    let said = until("Redis was asked how it is", async || {
        let health = health(joined.addr()).await;
        (!health["redis"]["redis_version"].is_null()).then_some(health)
    })
    .await;
    let redis = &said["redis"];
    assert!(redis["redis_version"].as_str().is_some_and(|version| version.contains('.')), "{redis}");
    assert!(redis["connected_clients"].as_u64().is_some_and(|clients| clients >= 2), "{redis}");
    assert!(redis["used_memory_human"].as_str().is_some_and(|memory| memory.len() >= 2), "{redis}");
}

#[tokio::test]
async fn what_is_there_is_counted() {
    let hub = HubProcess::start(&[]).await;
    let mut clients = Vec::new();
    for group in ["one", "two"] {
        let mut client = Client::connect(hub.addr()).await;
        client.hello("").await;
        client.join(group).await;
        client.send(group, "a").await;
        client.send(group, "b").await;
        clients.push(client);
    }
    let said = health(hub.addr()).await;
    assert_eq!(said["connections"], 2);
    assert_eq!(said["data"], json!({"groups": 2, "messages": 4, "polls": 0}));
    drop(clients);
    until("the connections are gone", async || (health(hub.addr()).await["connections"] == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn a_node_is_ready_while_redis_is_away_unless_somebody_is_strict() {
    let url = format!("redis://{}", nowhere());
    let cut_off = HubProcess::start(&["--redis-url", &url]).await;
    let alone = HubProcess::start(&[]).await;
    for (hub, state, strictly) in [(&cut_off, "degraded", 503), (&alone, "healthy", 200)] {
        until("it knows", async || (health(hub.addr()).await["layer"]["state"] == state).then_some(())).await;
        let alive = get(hub.addr(), "/livez").await;
        assert_eq!((alive.status, alive.text()), (200, "alive\n"));
        for (query, status) in
            [("", 200), ("?strict=0", 200), ("?strict=1", strictly), ("?a=b&strict=1", strictly)]
        {
            let ready = get(hub.addr(), &format!("/readyz{query}")).await;
            assert_eq!(ready.status, status, "{query}");
            assert_eq!(ready.header("x-palabre-layer"), Some(state));
            assert_eq!(ready.header("cache-control"), Some("no-store"));
            let body: Value = serde_json::from_slice(&ready.body).unwrap();
            assert_eq!(body["status"], if status == 200 { "ready" } else { "degraded" });
            assert_eq!(body["layer"]["state"], state);
        }
    }
}

#[tokio::test]
async fn health_is_answered_at_once_while_redis_hangs_and_says_so() {
    let redis = RedisServer::start().await;
    let hub = joined(&redis).await;
    redis.stop_process().await;
    let mut waits = Vec::new();
    let said = until("the node finds out", async || {
        let begun = Instant::now();
        let health = health(hub.addr()).await;
        waits.push(begun.elapsed());
        (health["status"] == "degraded").then_some(health)
    })
    .await;
    let redis_said = &said["redis"];
    assert_eq!((&redis_said["redis_available"], &redis_said["redis_version"]), (&json!(false), &Value::Null));
    assert_eq!((&said["layer"]["nodes"], &redis_said["connected_clients"]), (&Value::Null, &Value::Null));
    // Whatever hangs here is asked with deadlines of a quarter of a second and more; a loaded machine may delay some.
    waits.sort_unstable();
    assert!(waits[waits.len() / 2] < Duration::from_millis(100), "{waits:?}");
    redis.cont().await;
    until("the node is well again", async || (health(hub.addr()).await["layer"]["nodes"] == 1).then_some(()))
        .await;
}

#[tokio::test]
async fn nodes_know_of_each_other_and_notice_who_ended_and_who_was_killed() {
    let redis = RedisServer::start().await;
    let (a, mut b, mut c) = (joined(&redis).await, joined(&redis).await, joined(&redis).await);
    let sees = async |count: usize| {
        // A lease of 15 s that was just renewed, and the 5 s between two looks.
        let seen = async {
            loop {
                let layer = health(a.addr()).await["layer"].take();
                if layer["nodes"] == count {
                    return layer;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(40), seen)
            .await
            .unwrap_or_else(|_| panic!("{count} nodes are never seen"))
    };
    let layer = sees(3).await;
    let mut expected = Vec::new();
    for hub in [&a, &b, &c] {
        expected.push(health(hub.addr()).await["node"].as_str().unwrap().to_owned());
    }
    expected.sort();
    let peers = layer["peers"].as_array().unwrap();
    let nodes: Vec<_> = peers.iter().map(|peer| peer["node"].as_str().unwrap().to_owned()).collect();
    assert_eq!(nodes, expected);

    let begun = Instant::now();
    b.terminate().await;
    sees(2).await;
    assert!(begun.elapsed() < Duration::from_secs(14), "a node that ends says so: {:?}", begun.elapsed());
    c.kill().await;
    sees(1).await;
}
