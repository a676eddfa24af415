//! Nodes replaced one after the other while everybody goes on talking.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use palabre_tests::{
    Client, HubProcess, RedisServer, http,
    machine::{Signal, until},
};
use serde_json::{Value, json};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

const MEMBERS: usize = 200;
const GROUPS: usize = 20;
/// What a member says in each phase: before, while the first node ends, while the second does.
const SAID_A_PHASE: usize = 3;
const PHASES: usize = 3;
const HEARD: usize = MEMBERS / GROUPS * SAID_A_PHASE * PHASES;

/// Somebody who talks, hears, and goes to the other node when told to.
struct Member {
    number: usize,
    nodes: [SocketAddr; 2],
    at: usize,
    token: Value,
    since: Value,
    acked: usize,
    heard: Vec<String>,
    /// The times that nodes gave it to come back, in ms.
    told: Vec<u64>,
}

impl Member {
    fn group(&self) -> String {
        format!("group-{}", self.number % GROUPS)
    }

    /// Connects and joins, with what it knows already.
    async fn come_in(&mut self) -> Client {
        let mut client = Client::connect(self.nodes[self.at]).await;
        let name = format!("member {}", self.number);
        let welcome = client.request(json!({"type": "hello", "name": name, "token": self.token})).await;
        if !welcome["token"].is_null() {
            // Only who is new gets one.
            self.token = welcome["token"].clone();
        }
        let mut entry = json!({"group": self.group()});
        if !self.since.is_null() {
            entry["since"] = self.since.clone();
        }
        let join = json!({"type": "join", "groups": [entry]});
        let joined = loop {
            let joined = client.request(join.clone()).await;
            // A machine that is busy keeps Redis' answer for longer than a joiner is let wait, too.
            if joined["code"] != "unavailable" {
                break joined;
            }
        };
        assert_eq!(joined["type"], "joined", "{joined}");
        if !self.since.is_null() {
            assert_eq!(
                (&joined["recovered"], &joined["more"]),
                (&json!(true), &json!(false)),
                "nothing is lost: {joined}"
            );
            for message in joined["messages"].as_array().expect("a resume has messages") {
                self.hear(message);
            }
        }
        self.since = joined["position"].clone();
        client
    }

    fn hear(&mut self, message: &Value) {
        self.heard.push(message["text"].as_str().expect("a text").to_owned());
        self.since = message["position"].clone();
    }

    /// Says what comes next, again if it has been said without an answer.
    async fn say(&self, client: &mut Client) {
        let client_id = format!("m{:04}-{:04}", self.number, self.acked);
        let said = json!({
            "type": "chat.send", "ref": client_id, "group": self.group(), "client_id": client_id, "text": client_id,
        });
        client.raw_text(&said.to_string()).await;
    }

    /// Talks and hears until everything has been said and heard, however often its node goes away.
    async fn run(mut self, everybody: Arc<Barrier>, mut phase: watch::Receiver<usize>) -> Self {
        let mut client = self.come_in().await;
        everybody.wait().await;
        loop {
            let mut saying = None;
            let mut leave_at = None;
            while self.heard.len() < HEARD || self.acked < SAID_A_PHASE * PHASES {
                let may_say = SAID_A_PHASE * (*phase.borrow_and_update() + 1);
                if self.acked < may_say && saying != Some(self.acked) {
                    saying = Some(self.acked);
                    self.say(&mut client).await;
                }
                let frame = tokio::select! {
                    frame = client.next() => frame,
                    Ok(()) = phase.changed() => continue,
                };
                let Some(frame) = frame else { break };
                match frame["type"].as_str() {
                    Some("chat.message") => self.hear(&frame),
                    Some("ack") => self.acked += 1,
                    // A machine that is busy keeps Redis' answer for longer than a sender is let wait.
                    Some("error") if frame["code"] == "unavailable" => saying = None,
                    Some("drain") => {
                        let ms = frame["reconnect_ms"].as_u64().expect("a number");
                        self.told.push(ms);
                        leave_at = Some(Instant::now() + Duration::from_millis(ms));
                    }
                    Some("presence") => {}
                    other => panic!("{other:?}: {frame}"),
                }
            }
            if self.heard.len() >= HEARD && self.acked >= SAID_A_PHASE * PHASES {
                return self;
            }
            assert_eq!(client.closed().await, 4000);
            sleep_until(leave_at.expect("a drain before the close")).await;
            self.at = 1 - self.at;
            client = self.come_in().await;
        }
    }
}

async fn node(redis: &RedisServer, listen: &str) -> HubProcess {
    let env = [("PALABRE_AUTH_SECRET", "a secret of two nodes"), ("PALABRE_DRAIN_RATE", "50")];
    let hub = HubProcess::start_with(&["--redis-url", &redis.url(), "--listen", listen], &env).await;
    until("the node is healthy", async || {
        (http::get(hub.addr(), "/readyz?strict=1").await.status == 200).then_some(())
    })
    .await;
    hub
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_and_shows_nothing_twice() {
    let redis = RedisServer::start().await;
    let mut a = node(&redis, "127.0.0.1:0").await;
    let mut b = node(&redis, "127.0.0.1:0").await;
    let nodes = [a.addr(), b.addr()];
    let everybody = Arc::new(Barrier::new(MEMBERS + 1));
    let (phase, phases) = watch::channel(0);
    let mut members = JoinSet::new();
    for number in 0..MEMBERS {
        let member = Member {
            number,
            nodes,
            at: number / GROUPS % 2,
            token: json!(""),
            since: Value::Null,
            acked: 0,
            heard: Vec::new(),
            told: Vec::new(),
        };
        members.spawn(member.run(Arc::clone(&everybody), phases.clone()));
    }
    drop(phases);
    // Whoever fails before the others are there would be waited for without end.
    tokio::select! {
        _ = everybody.wait() => {}
        Some(first) = members.join_next() => panic!("a member ended at once: {:?}", first.err()),
    }

    a.send(Signal::Term);
    phase.send_replace(1);
    assert_eq!(a.ended().await.code(), Some(0), "{}", a.stderr());
    let _again = node(&redis, &nodes[0].to_string()).await;
    until("everybody is on the other node", async || {
        let health: Value = serde_json::from_slice(&http::get(b.addr(), "/health").await.body).unwrap();
        (health["connections"] == MEMBERS).then_some(())
    })
    .await;
    b.send(Signal::Term);
    phase.send_replace(2);
    assert_eq!(b.ended().await.code(), Some(0), "{}", b.stderr());

    let all = async {
        let mut all = Vec::new();
        while let Some(member) = members.join_next().await {
            all.push(member.expect("no member fails"));
        }
        all
    };
    let all = timeout(Duration::from_secs(60), all).await.expect("everybody hears everything");
    let mut told: Vec<u64> = Vec::new();
    for member in &all {
        let once: HashSet<&String> = member.heard.iter().collect();
        assert_eq!((once.len(), member.heard.len()), (HEARD, HEARD), "member {}", member.number);
        told.extend(member.told.first());
    }
    // A hundred and then two hundred clients at 50 a second: over two seconds, and over four.
    assert!(told.iter().max() > Some(&1_000), "{told:?}");
    let different: HashSet<_> = told.iter().collect();
    assert!(different.len() > told.len() / 2, "they do not come back in one moment: {told:?}");
}
