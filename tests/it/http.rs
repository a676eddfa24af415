//! What a hub answers beside its WebSocket: the page, its health, and nothing else.

mod health;
mod log;
mod metrics;
mod program;
mod settings;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use palabre_tests::HubProcess;
use palabre_tests::http::{ask, get};
use serde_json::{Value, json};

/// Where nobody listens: a port that was free a moment ago.
pub(crate) fn nowhere() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address")
}

pub(crate) async fn health(addr: SocketAddr) -> Value {
    let answer = get(addr, "/health").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    serde_json::from_slice(&answer.body).expect("health is JSON")
}

#[tokio::test]
async fn the_page_comes_under_a_policy_that_lets_it_talk_to_its_hub_alone() {
    let hub = HubProcess::start(&[]).await;
    let page = get(hub.addr(), "/").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let policy = page.header("content-security-policy").unwrap();
    for rule in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.split("; ").any(|one| one == rule), "{rule}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
}

#[tokio::test]
async fn the_page_has_nothing_inline_and_nothing_from_elsewhere() {
    let hub = HubProcess::start(&[]).await;
    let page = get(hub.addr(), "/").await;
    let text = page.text();
    for tag in text.split('<').skip(1).filter_map(|tag| tag.split('>').next()) {
        assert!(!tag.starts_with("script") || tag.contains(" src=\"/"), "<{tag}>");
        assert!(!tag.starts_with("style") && !tag.contains(" style="), "<{tag}>");
        let handler = tag.split_whitespace().skip(1).any(|word| word.starts_with("on"));
        assert!(!handler || !tag.contains('='), "<{tag}>");
        for source in ["src=\"", "href=\""] {
            let from = tag.split_once(source).map_or("/", |(_, from)| from);
            assert!(from.starts_with('/') && !from.starts_with("//"), "<{tag}>");
        }
    }
}

#[tokio::test]
async fn every_file_of_the_page_is_served_as_it_is() {
    let hub = HubProcess::start(&[]).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web-demo");
    let mut open = vec![folder.clone()];
    let mut kinds = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let at = path.strip_prefix(&folder).unwrap().to_str().unwrap().replace("index.html", "");
        let answer = get(hub.addr(), &format!("/{at}")).await;
        assert_eq!(answer.status, 200, "{at}");
        assert_eq!(answer.body, std::fs::read(&path).unwrap(), "{at}");
        let kind = path.extension().unwrap().to_str().unwrap().to_owned();
        let expected = match kind.as_str() {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{at}: nobody said what a .{other} is"),
        };
        assert_eq!(answer.header("content-type"), Some(expected), "{at}");
        kinds.insert(kind);
    }
    assert!(["html", "css", "js"].iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
}

#[tokio::test]
async fn the_client_is_for_pages_of_any_origin_and_the_page_is_not() {
    let hub = HubProcess::start(&[]).await;
    for (path, anyone) in
        [("/palabre.js", true), ("/palabre-elements.js", true), ("/app.js", false), ("/", false)]
    {
        let answer = get(hub.addr(), path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), anyone.then_some("*"), "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), anyone.then_some("cross-origin"), "{path}");
    }
}

#[tokio::test]
async fn what_a_browser_has_already_is_not_sent_again() {
    let hub = HubProcess::start(&[]).await;
    let asked = |more: &str| format!("GET /palabre.js HTTP/1.1\r\nHost: {}\r\n{more}\r\n", hub.addr());
    let whole = ask(hub.addr(), &asked("")).await;
    assert_eq!(whole.header("cache-control"), Some("no-cache"));
    let tag = whole.header("etag").expect("it is known by its hash").to_owned();
    for (known, status) in [(&*tag, 304), ("\"another\", *", 304), ("\"another\"", 200), ("", 200)] {
        let answer = ask(hub.addr(), &asked(&format!("If-None-Match: {known}\r\n"))).await;
        assert_eq!((answer.status, answer.header("etag")), (status, Some(&*tag)), "{known}");
        assert_eq!(answer.body.is_empty(), status == 304, "{known}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    let small = ask(hub.addr(), &asked("Accept-Encoding: br, gzip\r\n")).await;
    assert_eq!(
        (small.header("content-encoding"), small.header("vary")),
        (Some("gzip"), Some("accept-encoding"))
    );
    assert!(small.body.starts_with(&[0x1f, 0x8b]) && small.body.len() * 2 < whole.body.len());
}

#[tokio::test]
async fn there_is_nothing_else() {
    let hub = HubProcess::start(&[]).await;
    for path in ["/nothing", "/index.htm", "/app.js/", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "/.git/config"]
    {
        let answer = get(hub.addr(), path).await;
        assert_eq!((answer.status, answer.text()), (404, "there is nothing at this path\n"), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    for path in ["/health", "/", "/app.js", "/metrics"] {
        let post = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\n\r\n", hub.addr());
        let answer = ask(hub.addr(), &post).await;
        assert_eq!((answer.status, answer.text()), (405, "this path is only read\n"), "{path}");
        assert_eq!(answer.header("allow"), Some("GET"), "{path}");
    }
}

#[tokio::test]
async fn a_node_that_was_meant_to_stand_alone_is_healthy() {
    let hub = HubProcess::start(&[]).await;
    let mut health = health(hub.addr()).await;
    let node = health["node"].clone();
    for path in ["/timestamp", "/layer/since"] {
        let at = health.pointer_mut(path).unwrap().take();
        assert!(at.as_u64().is_some_and(|at| at > 1_700_000_000_000), "{path}: {at}");
    }
    for path in ["/node", "/version"] {
        let text = health.pointer_mut(path).unwrap().take();
        assert!(text.as_str().is_some_and(|text| text.len() >= 5), "{path}: {text}");
    }
    assert_eq!(health["status"], "healthy");
    assert_eq!(
        health["layer"],
        json!({
            "state": "healthy", "mode": "memory", "scope": "node", "since": null, "canary_ms": null,
            "nodes": 1, "peers": [{"node": node, "node_id": null}],
        })
    );
    let redis = json!({
        "redis_enabled": false, "redis_configured": false, "redis_available": false, "using_fallback": false,
        "redis_url": null, "redis_version": null, "connected_clients": null, "used_memory_human": null,
    });
    assert_eq!(health["redis"], redis);
}

#[tokio::test]
async fn a_node_without_its_redis_says_so_and_tells_nobody_the_password() {
    let place = nowhere();
    let url = format!("redis://keeper:hunter2@{place}/3");
    let hub = HubProcess::start_with(&[], &[("PALABRE_REDIS_URL", &url), ("PALABRE_LOG", "trace")]).await;
    let health = health(hub.addr()).await;
    assert_eq!(health["status"], "degraded");
    let state = health["layer"]["state"].as_str().unwrap();
    assert!(["connecting", "degraded"].contains(&state), "{health}");
    assert_eq!((&health["layer"]["mode"], &health["layer"]["scope"]), (&json!("redis"), &json!("node")));
    let redis = &health["redis"];
    assert_eq!((&redis["redis_configured"], &redis["redis_available"]), (&json!(true), &json!(false)));
    assert_eq!(redis["redis_url"], format!("redis://***@{place}/3"));

    let page = get(hub.addr(), "/").await;
    for said in [&health.to_string(), page.text(), &hub.stdout(), &hub.stderr()] {
        assert!(!said.contains("hunter2") && !said.contains("keeper"), "{said}");
    }
}
