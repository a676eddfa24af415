//! Groups that are called something else than a name: refused at the edge, and never a key, a channel or a pattern in Redis.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use palabre_tests::bystander::undisturbed;
use palabre_tests::{Client, HubProcess, RedisServer};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

fn bad_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "",
        " ",
        "*",
        "a*",
        "?",
        "[a-z]",
        "[^a]",
        "\\*",
        "a b",
        " a",
        "a ",
        "a\tb",
        "a\r\nb",
        "a\nPUBLISH x y",
        "\0",
        "a\0b",
        "!",
        "a!b",
        "a!",
        "worker!1-1",
        "a:b",
        ":",
        "{a}",
        "a}b",
        "{",
        "}",
        "a}:m",
        "a/b",
        "../a",
        "a/../b",
        "a\\b",
        "a,b",
        "a;b",
        "a'b",
        "a\"b",
        "a%00",
        "a&b",
        "a=b",
        "a+b",
        "a@b",
        "a#b",
        "$a",
        "<a>",
        "é",
        "\u{430}",
        "lo\u{200b}bby",
        "lobb\u{443}",
        "\u{ff41}",
        "\u{202e}a",
        "🌳",
        "\u{feff}a",
        "lobby\u{0}",
        "\u{1b}[31m",
    ]
    .map(str::to_owned)
    .into();
    names.push("a".repeat(100));
    names.push("a".repeat(10_000));
    names.push("é".repeat(50));
    names
}

/// Names that look dangerous and are none the less what the rule allows.
const GOOD: &[&str] =
    &["..", ".", "-", "_", "a.b", "palabre", "palabre.node.1", "con", "__proto__", "constructor"];

/// All commands that Redis ran since it was asked to say so.
struct Monitor(TcpStream);

impl Monitor {
    async fn of(redis: &RedisServer) -> Self {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).await.expect("Redis runs");
        stream.write_all(b"MONITOR\r\n").await.expect("it listens");
        let mut ok = [0; 5];
        stream.read_exact(&mut ok).await.expect("it answers");
        assert_eq!(&ok, b"+OK\r\n");
        Self(stream)
    }

    /// What was seen up to a command that somebody else runs now.
    async fn seen(mut self, redis: &RedisServer) -> String {
        const LAST: &str = "the-last-that-is-looked-at";
        let mut other = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).await.expect("Redis runs");
        other.write_all(format!("ECHO {LAST}\r\n").as_bytes()).await.expect("it listens");
        let mut seen = Vec::new();
        let read = timeout(palabre_tests::machine::DEADLINE, async {
            while !String::from_utf8_lossy(&seen).contains(LAST) {
                assert!(self.0.read_buf(&mut seen).await.expect("it goes on") > 0, "Redis hung up");
            }
        });
        read.await.expect("Redis says what it runs");
        String::from_utf8_lossy(&seen).into_owned()
    }
}

/// The groups in keys and channels: what stands in braces after the prefix.
fn groups_in(line: &str) -> impl Iterator<Item = &str> {
    line.split("palabre:{").skip(1).map(|rest| rest.split('}').next().unwrap_or_default())
}

#[tokio::test]
async fn only_names_become_keys_whatever_a_group_is_called() {
    let redis = RedisServer::start().await;
    let hub = HubProcess::start(&["--redis-url", &redis.url()]).await;
    let mut client = Client::connect(hub.addr()).await;
    if client.hello("Mallory").await["layer"]["state"] != "healthy" {
        client.expect("layer").await;
    }
    let monitor = Monitor::of(&redis).await;
    let names = bad_names();
    assert!(names.len() >= 50, "{} names", names.len());
    undisturbed(hub.addr(), async {
        for name in &names {
            for request in [
                json!({"type": "join", "groups": [{"group": name}]}),
                json!({"type": "leave", "groups": [name]}),
                json!({"type": "chat.send", "group": name, "client_id": "12345678", "text": "t"}),
                json!({"type": "history", "group": name, "limit": 5}),
            ] {
                let error = client.request(request).await;
                assert_eq!(error["code"], "bad_request", "{name:?}: {error}");
                // A join's error says which of its groups it is for; nothing makes more of a name than that.
                let length = error.to_string().len();
                assert!(length < json!(name).to_string().len() + 200, "{name:?}: {length} bytes");
            }
        }
        for name in GOOD {
            client.join(name).await;
            client.send(name, "what a name").await;
        }
    })
    .await;
    let seen = monitor.seen(&redis).await;
    let allowed: BTreeSet<&str> = GOOD.iter().copied().collect();
    let used = seen.lines().flat_map(groups_in).filter(|group| !group.starts_with("bystanders-"));
    let used: BTreeSet<&str> = used.collect();
    assert_eq!(used, allowed);
    let lower = seen.to_ascii_lowercase();
    for word in ["psubscribe", "\"keys\"", "\"scan\"", "\"flush"] {
        assert!(!lower.contains(word), "{word}");
    }
    assert!(!hub.stderr().contains("panicked"), "{}", hub.stderr());
}
