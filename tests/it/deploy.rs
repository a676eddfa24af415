//! The files of `deploy/`, run as they are but for ports and paths: two proxies, and the unit of systemd.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use palabre_tests::machine::{DEADLINE, Folder, until};
use palabre_tests::process::binary;
use palabre_tests::proxy::{Proxy, free_address, shipped};
use palabre_tests::{Client, HubProcess, RedisServer, http};
use serde_json::Value;

const SECRET: (&str, &str) = ("PALABRE_AUTH_SECRET", "a secret of two nodes");

/// Two nodes on one Redis that know their proxy.
async fn nodes(redis: &RedisServer, proxy: SocketAddr) -> [HubProcess; 2] {
    let hosts = format!("chat.example.org,{proxy}");
    let url = redis.url();
    let env = [
        SECRET,
        ("PALABRE_REDIS_URL", &url),
        ("PALABRE_SERVER_HOSTS", &hosts),
        ("PALABRE_SERVER_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let nodes = [HubProcess::start_with(&[], &env).await, HubProcess::start_with(&[], &env).await];
    for node in &nodes {
        until("the node is joined to the other", async || {
            let health: Value = serde_json::from_slice(&http::get(node.addr(), "/health").await.body).ok()?;
            (health["status"] == "healthy").then_some(())
        })
        .await;
    }
    nodes
}

/// Comes in through the proxy; gives the node's name as well.
async fn member(proxy: &Proxy, name: &str) -> (Client, String) {
    let mut client = Client::connect(proxy.addr()).await;
    let welcome = client.hello(name).await;
    client.join("room").await;
    (client, welcome["node"].as_str().expect("a node has a name").to_owned())
}

/// Two people on two nodes talk through a proxy; one node goes, and its client comes back through the other.
async fn carries_a_chat_past_the_end_of_a_node(proxy: &Proxy, mut nodes: [HubProcess; 2]) {
    let (mut ana, on_ana) = member(proxy, "Ana").await;
    // The proxy takes turns, so some client soon is on the other node.
    let (mut bo, on_bo) = until("the other node gets a client", async || {
        let (client, node) = member(proxy, "Bo").await;
        (node != on_ana).then_some((client, node))
    })
    .await;
    ana.send("room", "hello").await;
    assert_eq!(bo.message().await.1["text"], "hello");
    bo.send("room", "hello back").await;
    until("Ana hears Bo", async || (ana.message().await.1["text"] == "hello back").then_some(())).await;

    let log = format!("node=\"{on_ana}\"");
    let gone = nodes.iter_mut().find(|node| node.stderr().contains(&log)).expect("the log names its node");
    assert!(gone.terminate().await.success());
    assert_eq!(ana.closed().await, 4000);

    // At once: a proxy that still tries the node that went sends whoever comes to the other.
    let (mut ana, now_on) = member(proxy, "Ana").await;
    assert_eq!(now_on, on_bo);
    ana.send("room", "back again").await;
    until("Bo hears Ana", async || (bo.message().await.1["text"] == "back again").then_some(())).await;
    assert_eq!(http::get(proxy.addr(), "/readyz").await.status, 200);
    for path in ["/health", "/metrics"] {
        assert_eq!(http::get(proxy.addr(), path).await.status, 404, "{path} is nobody's business outside");
    }
}

#[tokio::test]
async fn nginx_carries_a_chat_past_the_end_of_a_node() {
    let redis = RedisServer::start().await;
    let at = free_address();
    let nodes = nodes(&redis, at).await;
    let proxy = Proxy::nginx(at, [nodes[0].addr(), nodes[1].addr()]).await;
    carries_a_chat_past_the_end_of_a_node(&proxy, nodes).await;
}

#[tokio::test]
async fn haproxy_carries_a_chat_past_the_end_of_a_node() {
    let redis = RedisServer::start().await;
    let at = free_address();
    let nodes = nodes(&redis, at).await;
    let proxy = Proxy::haproxy(at, [nodes[0].addr(), nodes[1].addr()]).await;
    carries_a_chat_past_the_end_of_a_node(&proxy, nodes).await;
    // It asks by itself: by now it knows of the one that went, and has found the other ready all the time.
    let said = until("the check finds the node gone", async || {
        Some(proxy.stderr()).filter(|said| said.contains(" is DOWN"))
    })
    .await;
    assert_eq!(said.matches(" is DOWN").count(), 1, "{said}");
}

/// The values of a key in a unit, in their order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

/// The unit, with the binary that is tested and a folder of the test's in place of the system's.
fn unit(folder: &Folder, binary: &Path) -> String {
    let place = folder.path().display().to_string();
    shipped(
        "palabre.service",
        &[("/usr/local/bin/palabre", &binary.display().to_string()), ("/etc/palabre", &place)],
    )
}

#[tokio::test]
async fn systemd_takes_the_unit_and_finds_it_well_shut_in() {
    let folder = Folder::new("systemd");
    let path = folder.file("palabre.service", &unit(&folder, &binary()));
    for args in [&["verify"][..], &["security", "--offline=yes", "--threshold=20"]] {
        let said = Command::new("systemd-analyze").args(args).arg(&path).output().expect("there is systemd");
        assert!(said.status.success() && said.stderr.is_empty(), "{args:?}: {said:?}");
    }
}

#[tokio::test]
async fn what_the_unit_starts_says_when_it_listens_and_when_it_goes() {
    let folder = Folder::new("systemd");
    folder.file("config.toml", "[node]\nid = 'unit'\n");
    let secret = folder.file("auth-secret", "a secret of the unit\n");
    let unit = unit(&folder, &binary());
    assert_eq!(values(&unit, "LoadCredential"), [format!("auth-secret:{secret}")]);
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).expect("a folder of ours can hold a socket");
    manager.set_read_timeout(Some(DEADLINE)).expect("a socket can have a deadline");
    let heard = || {
        let mut said = [0; 256];
        let length = manager.recv(&mut said).expect("the hub says something");
        String::from_utf8_lossy(&said[..length]).trim().to_owned()
    };

    // What systemd would do: the credential is a file in %d, and the words of ExecStart are the command line.
    let place = folder.path().display().to_string();
    let mut env: HashMap<String, String> = values(&unit, "Environment")
        .iter()
        .map(|line| line.replace("%d", &place))
        .filter_map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    env.insert("NOTIFY_SOCKET".to_owned(), socket.display().to_string());
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let [start] = values(&unit, "ExecStart")[..] else { panic!("not one ExecStart:\n{unit}") };
    let args: Vec<&str> = start.split(' ').skip(1).collect();
    let mut hub = HubProcess::start_with(&args, &env).await;
    assert_eq!(heard(), "READY=1");
    assert!(hub.stderr().contains("id=unit"), "the file was not read: {}", hub.stderr());
    let mut client = Client::connect(hub.addr()).await;
    let welcome = client.hello("Ana").await;

    assert_eq!(values(&unit, "KillSignal"), ["SIGTERM"]);
    let ended = hub.terminate().await;
    assert_eq!(heard(), "STOPPING=1");
    assert!(ended.success());
    assert_eq!(client.closed().await, 4000);

    // The secret was taken from its file: the next start knows the guest again.
    let hub = HubProcess::start_with(&args, &env).await;
    let mut client = Client::connect(hub.addr()).await;
    let again = client.request(serde_json::json!({"type": "hello", "token": welcome["token"]})).await;
    assert_eq!(again["user"]["id"], welcome["user"]["id"]);
}
