//! What a Prometheus reads: each metric is described, and nothing that a client says becomes one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use palabre_tests::http::get;
use palabre_tests::machine::until;
use palabre_tests::{Client, HubProcess, RedisServer};
use serde_json::json;

/// A page: the lines with their values, and the families with their types.
#[derive(Debug)]
struct Page {
    series: BTreeMap<String, f64>,
    families: BTreeMap<String, String>,
}

impl Page {
    async fn of(addr: SocketAddr) -> Self {
        let answer = get(addr, "/metrics").await;
        assert_eq!(answer.status, 200);
        let kind = answer.header("content-type").expect("a type");
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        let mut page = Self { series: BTreeMap::new(), families: BTreeMap::new() };
        assert!(answer.text().ends_with("# EOF\n"), "{}", answer.text());
        for line in answer.text().lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').expect("a name and a type");
                let suffix = match kind {
                    "counter" => "_total",
                    "info" => "_info",
                    _ => "",
                };
                page.families.insert(format!("{name}{suffix}"), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(page.series.insert(series.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        page
    }

    fn get(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("{series} is not in {:#?}", self.series))
    }

    /// A series is there once it has this value at least.
    async fn reaches(addr: SocketAddr, series: &str, value: f64) {
        until(&format!("{series} reaches {value}"), async || {
            (Self::of(addr).await.get(series) >= value).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn every_metric_stands_in_the_document_and_every_one_there_exists() {
    let redis = RedisServer::start().await;
    let hub = HubProcess::start(&["--redis-url", &redis.url()]).await;
    until("everything is known", async || {
        Page::of(hub.addr()).await.families.contains_key("palabre_redis_latency_seconds").then_some(())
    })
    .await;
    let page = Page::of(hub.addr()).await;
    let document =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/observing.md")).unwrap();
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| {
        let (name, rest) = row.split_once("` | ")?;
        let kind = rest.split(" |").next()?;
        (name.starts_with("palabre_") || name.starts_with("process_"))
            .then(|| (name.to_owned(), kind.to_owned()))
    });
    assert_eq!(page.families, rows.collect());
}

#[tokio::test]
async fn what_happens_is_counted() {
    let redis = RedisServer::start().await;
    let env = [("PALABRE_NODE_ID", "web-1")];
    let hub = HubProcess::start_with(&["--redis-url", &redis.url()], &env).await;
    Page::reaches(hub.addr(), r#"palabre_layer_state{state="healthy"}"#, 1.0).await;
    let mut ana = Client::connect(hub.addr()).await;
    let mut bo = Client::connect(hub.addr()).await;
    for client in [&mut ana, &mut bo] {
        client.hello("").await;
        client.join("lobby").await;
    }
    for number in 0..3 {
        ana.send("lobby", &number.to_string()).await;
        bo.message().await;
    }
    ana.raw_text("{}").await;
    ana.expect_error("bad_request").await;
    let nothing = "0".repeat(32);
    let react = json!({"type": "chat.react", "group": "lobby", "id": nothing, "kind": "+", "on": true});
    assert_eq!(ana.request(react).await["code"], "not_found");
    let page = Page::of(hub.addr()).await;
    assert_eq!(page.get("palabre_connections"), 2.0);
    assert_eq!(page.get(r#"palabre_messages_total{dir="in",scope="cluster"}"#), 3.0);
    assert_eq!(page.get(r#"palabre_messages_total{dir="out",scope="cluster"}"#), 6.0);
    assert_eq!(page.get(r#"palabre_messages_total{dir="out",scope="node"}"#), 0.0);
    assert_eq!(page.get(r#"palabre_refusals_total{code="bad_request"}"#), 1.0);
    assert_eq!(page.get(r#"palabre_refusals_total{code="not_found"}"#), 1.0);
    assert!(page.get("palabre_delivery_seconds_count") >= 1.0, "{page:#?}");
    assert_eq!(
        page.get(r#"palabre_delivery_seconds_bucket{le="+Inf"}"#),
        page.get("palabre_delivery_seconds_count")
    );
    assert_eq!(page.get("palabre_redis_up"), 1.0);
    assert!(page.get("process_resident_memory_bytes") > 1e6 && page.get("process_open_fds") > 5.0);
    assert!(
        page.series.keys().any(|series| series.starts_with("palabre_build_info") && series.contains("web-1"))
    );

    drop(ana);
    Page::reaches(hub.addr(), r#"palabre_closes_total{code="1001"}"#, 1.0).await;
    // An outage of Redis, seen from here.
    redis.stop_process().await;
    Page::reaches(hub.addr(), r#"palabre_layer_state{state="degraded"}"#, 1.0).await;
    Page::reaches(hub.addr(), "palabre_layer_degraded_seconds_total", 0.5).await;
    let page = Page::of(hub.addr()).await;
    assert_eq!(page.get("palabre_redis_up"), 0.0);
    assert!(!page.series.contains_key("palabre_layer_nodes"), "what is not known is not said");
    redis.cont().await;
    Page::reaches(hub.addr(), "palabre_layer_heals_total", 1.0).await;
}

#[tokio::test]
async fn what_is_too_fast_is_counted() {
    let env = [("PALABRE_LIMITS_FRAMES_BURST", "100"), ("PALABRE_LIMITS_FRAMES_PER_S", "1")];
    let hub = HubProcess::start_with(&[], &env).await;
    let mut client = Client::connect(hub.addr()).await;
    client.hello("Ana").await;
    for _ in 0..150 {
        client.raw_text(r#"{"type":"pong"}"#).await;
    }
    for _ in 0..40 {
        client.expect_error("rate_limited").await;
    }
    let page = Page::of(hub.addr()).await;
    assert!(page.get("palabre_ratelimited_total") >= 40.0, "{page:#?}");
    assert_eq!(
        page.get(r#"palabre_refusals_total{code="rate_limited"}"#),
        page.get("palabre_ratelimited_total")
    );
}

#[tokio::test]
async fn nothing_that_a_client_says_becomes_a_series() {
    let many = "1000000";
    let fast = [("PALABRE_LIMITS_USER_REQUESTS_PER_S", many), ("PALABRE_LIMITS_USER_REQUESTS_BURST", many)];
    let hub = HubProcess::start_with(&[], &fast).await;
    let series = async || Page::of(hub.addr()).await.series.into_keys().collect::<BTreeSet<_>>();
    let before = series().await;
    let mut client = Client::connect(hub.addr()).await;
    client.hello("a=\"b\"} 1 # palabre_evil{").await;
    for hundred in 0..100 {
        let names: Vec<_> = (0..100).map(|number| format!("g{hundred}.{number}_-")).collect();
        let groups: Vec<_> = names.iter().map(|name| json!({"group": name})).collect();
        client.raw_text(&json!({"type": "join", "ref": "j", "groups": groups}).to_string()).await;
        client.raw_text(&json!({"type": "leave", "ref": "l", "groups": names}).to_string()).await;
        for _ in 0..100 {
            client.expect("joined").await;
        }
        for _ in 0..100 {
            client.expect("left").await;
        }
    }
    for odd in ["*", "a\nb", "{}", "é", ""] {
        client.raw_text(&json!({"type": "join", "ref": odd, "groups": [{"group": odd}]}).to_string()).await;
        client.raw_text(&json!({"type": odd}).to_string()).await;
    }
    client.so_far().await;
    assert_eq!(series().await, before);
}

#[tokio::test]
async fn it_can_be_left_out() {
    let hub = HubProcess::start_with(&[], &[("PALABRE_SERVER_METRICS", "false")]).await;
    for path in ["/metrics", "/api/metrics"] {
        assert_eq!(get(hub.addr(), path).await.status, 404);
    }
    assert_eq!(get(hub.addr(), "/livez").await.status, 200);
}
