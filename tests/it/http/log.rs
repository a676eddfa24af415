//! The log of the program: for people or for programs, and never a flood.

use palabre_tests::machine::until;
use palabre_tests::{Client, HubProcess, RedisServer};
use serde_json::Value;

use super::health;

#[tokio::test]
async fn an_outage_of_redis_is_a_few_lines_however_often_it_is_tried() {
    let mut redis = RedisServer::start().await;
    let hub = HubProcess::start_with(&["--redis-url", &redis.url()], &[("PALABRE_LOG_FORMAT", "json")]).await;
    let state = async |state: &str| {
        until(state, async || (health(hub.addr()).await["layer"]["state"] == state).then_some(())).await;
    };
    state("healthy").await;
    redis.kill().await;
    state("degraded").await;
    let failures = async || {
        let page = palabre_tests::http::get(hub.addr(), "/metrics").await;
        let line =
            page.text().lines().find_map(|line| line.strip_prefix("palabre_redis_connect_failures_total "));
        line.expect("the metric").parse::<u64>().expect("a number")
    };
    until("it has tried ten times", async || (failures().await >= 10).then_some(())).await;
    redis.start_again().await;
    state("healthy").await;

    let log = hub.stderr();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
    let of = |event: &str, level: &str| {
        lines.iter().filter(|line| line["event"] == event && line["level"] == level).count()
    };
    assert_eq!((of("layer.redis.error", "ERROR"), of("layer.degraded", "WARN")), (1, 1), "{log}");
    assert_eq!((of("layer.redis.connect_failed", "ERROR"), of("layer.healthy", "INFO")), (1, 2), "{log}");
    assert!(lines.iter().all(|line| line["ts"].is_string() && line["message"].is_string()), "{log}");
}

#[tokio::test]
async fn a_start_without_redis_is_a_few_lines_and_no_error() {
    let url = format!("redis://{}", super::nowhere());
    let secret = [("PALABRE_AUTH_SECRET", "0123456789abcdef")];
    let hub = HubProcess::start_with(&["--redis-url", &url], &secret).await;
    until("it has tried", async || hub.stderr().contains("layer.redis.initial_failed").then_some(())).await;
    let log = hub.stderr();
    assert!(log.lines().count() <= 5 && !log.contains("ERROR"), "{log}");
    assert!(!log.contains("layer.healthy"), "the mode is not said before it is known: {log}");
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_lost_and_nothing_else() {
    let mut redis = RedisServer::start().await;
    let mut hub = HubProcess::start_unheard(&["--redis-url", &redis.url()]).await;
    let state = async |state: &str| {
        until(state, async || (health(hub.addr()).await["layer"]["state"] == state).then_some(())).await;
    };
    state("healthy").await;
    let mut ana = Client::connect(hub.addr()).await;
    ana.hello("Ana").await;
    ana.join("lobby").await;
    redis.kill().await;
    state("degraded").await;
    redis.start_again().await;
    state("healthy").await;
    ana.send("lobby", "still here").await;
    assert_eq!(hub.terminate().await.code(), Some(0));
    assert_eq!(ana.closed().await, 4000);
}
