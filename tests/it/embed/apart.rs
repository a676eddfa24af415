//! What a consumer does apart from the workers: whatever holds its thread, only its own client waits.

use std::time::Duration;

use channel_layer::{GroupName, Message, MessageId, Page, Posted, Retention};
use palabre::chat::{Chat, PREFIX};
use palabre::config::Rates;
use palabre::protocol::{CloseCode, Limits, Request, encode};
use palabre::{Consumer, Context, Failure, Hub, Outcome};
use palabre_tests::Client;
use palabre_tests::machine::until;
use serde_json::json;
use serde_json::value::RawValue;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::{Instant, timeout};

use super::rescue::{Held, Leash, numbers};
use super::serve_whole;

/// Nobody else may wait so long: a worker that a handler holds is given up later.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// Computes where its client's name says, until it is let go.
struct Computer {
    held: Held,
    place: Box<str>,
}

impl Computer {
    fn at(&self, place: &str) {
        if *self.place == *place {
            self.held.compute();
        }
    }
}

impl Consumer for Computer {
    async fn connected(&mut self, cx: &Context) -> Outcome {
        self.place = cx.identity().name.as_ref().into();
        self.at("connected");
        Ok(())
    }

    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        self.at("received");
        let (held, place) = (self.held.clone(), self.place.clone());
        let reference = request.reference().map(str::to_owned);
        cx.defer(async move {
            // It is not looked at again within the handler.
            tokio::task::yield_now().await;
            if &*place == "deferred" {
                held.compute();
            }
            Some(encode(&json!({"type": "test.done", "ref": reference})))
        })
    }

    async fn delivered(&mut self, _: &Posted, _: &Context) -> Outcome {
        self.at("delivered");
        Ok(())
    }

    async fn disconnected(&mut self, _: CloseCode, _: &Context) {
        self.at("disconnected");
    }

    async fn joining(
        &mut self,
        _: &GroupName,
        _: &Page,
        _: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        self.at("joining");
        Ok(None)
    }

    async fn reading(
        &mut self,
        _: &GroupName,
        _: &[Arc<Posted>],
        _: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        self.at("reading");
        Ok(None)
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        self.at("dropped");
    }
}

/// A hub with one worker, and its metrics.
fn hub(leash: &Leash) -> (Hub, SocketAddr) {
    let held = leash.held();
    let hub = Hub::test()
        .rates(Rates::unlimited())
        .mount(PREFIX, |_| Chat::new(Limits::default()))
        .mount("test.", move |_| Computer { held: held.clone(), place: "".into() })
        .start()
        .expect("the hub starts");
    serve_whole(hub)
}

/// Two who chat.
async fn neighbours(addr: SocketAddr) -> [Client; 2] {
    let mut both = [Client::connect(addr).await, Client::connect(addr).await];
    for (client, name) in both.iter_mut().zip(["Ana", "Bo"]) {
        client.hello(name).await;
        client.join("lobby").await;
    }
    both
}

/// Has each hear the other.
async fn chat(ana: &mut Client, bo: &mut Client) {
    ana.send("lobby", "still here").await;
    assert_eq!(bo.message().await.1["text"], "still here");
    ana.message().await;
}

/// Asks the consumer of each, and has each hear the other, in time.
async fn talk(ana: &mut Client, bo: &mut Client) {
    let talk = async {
        for client in [&mut *ana, &mut *bo] {
            assert_eq!(client.request(json!({"type": "test.ask"})).await["type"], "test.done");
        }
        chat(ana, bo).await;
    };
    assert!(timeout(PATIENCE, talk).await.is_ok(), "they wait for who computes");
}

#[tokio::test]
async fn whatever_a_consumer_computes_harms_its_own_connection_only() {
    /// Those who compute in each place.
    const EACH: usize = 6;
    const PLACES: [&str; 8] =
        ["connected", "received", "deferred", "delivered", "joining", "reading", "disconnected", "dropped"];
    let leash = Leash::default();
    let (hub, addr) = hub(&leash);
    let [mut ana, mut bo] = neighbours(addr).await;
    talk(&mut ana, &mut bo).await;
    let before = numbers(addr).await;

    let begun = Instant::now();
    let mut computing = Vec::new();
    for place in PLACES {
        for _ in 0..EACH {
            let mut client = Client::connect(addr).await;
            client.hello(place).await;
            match place {
                "connected" => {}
                "delivered" => {
                    client.join("events").await;
                }
                "joining" => {
                    let join = json!({"type": "join", "ref": "j", "groups": [{"group": "lobby"}]});
                    client.raw_text(&join.to_string()).await;
                }
                "reading" => {
                    client.join("lobby").await;
                    client.raw_text(r#"{"type":"history","ref":"h","group":"lobby","limit":5}"#).await;
                }
                "disconnected" | "dropped" => {
                    drop(client);
                    continue;
                }
                _ => client.raw_text(r#"{"type":"test.ask","ref":"a"}"#).await,
            }
            computing.push((place, client));
        }
    }
    let event = Message::event(MessageId::random(), "test.event", "");
    let events = "events".parse().expect("a name");
    hub.layer().group_send(events, event, Retention::Ephemeral).await.expect("the layer takes it");
    leash.holds(PLACES.len() * EACH).await;

    let mut said = 0;
    // Past the time that a handler has, and the one after which a worker is given up.
    while begun.elapsed() < Duration::from_secs(8) {
        talk(&mut ana, &mut bo).await;
        // Who comes meanwhile is served as well.
        let newcomer = async {
            let mut newcomer = Client::connect(addr).await;
            newcomer.hello("newcomer").await;
            newcomer.join("lobby").await;
        };
        assert!(timeout(PATIENCE, newcomer).await.is_ok(), "a newcomer waits");
        said += 1;
    }
    assert!(said > 5, "{said} messages");
    for (place, client) in &mut computing {
        // What was put off has no deadline, and its client goes on.
        if *place == "deferred" {
            client.raw_text(r#"{"type":"ping"}"#).await;
            client.expect("pong").await;
        } else {
            assert_eq!(client.closed().await, 1011, "{place}");
        }
    }
    leash.holds(PLACES.len() * EACH).await;
    assert_eq!(numbers(addr).await["palabre_workers_replaced_total"], "0");

    // Once they are let go, nothing of them is left.
    leash.let_go();
    leash.holds(0).await;
    for (_, client) in computing.iter_mut().filter(|(place, _)| *place == "deferred") {
        assert_eq!(client.expect("test.done").await["ref"], "a");
    }
    drop(computing);
    until("nothing is held", async || {
        let now = numbers(addr).await;
        let held = ["palabre_connections", "palabre_tasks"];
        held.iter().all(|series| now[*series] == before[*series]).then_some(())
    })
    .await;
    talk(&mut ana, &mut bo).await;
    drop((ana, bo));
    hub.drain().await;
}

#[tokio::test]
async fn when_every_thread_is_taken_the_hub_itself_waits_for_none() {
    /// The threads that there are for it.
    const THREADS: usize = 256;
    const MORE: usize = 4;
    let leash = Leash::default();
    let (hub, addr) = hub(&leash);
    let [mut ana, mut bo] = neighbours(addr).await;
    let mut computing = Vec::new();
    for _ in 0..THREADS + MORE {
        let mut client = Client::connect(addr).await;
        client.hello("received").await;
        computing.push(client);
    }
    for client in &mut computing {
        client.raw_text(r#"{"type":"test.ask"}"#).await;
    }
    leash.holds(THREADS).await;
    for _ in 0..20 {
        assert!(timeout(PATIENCE, chat(&mut ana, &mut bo)).await.is_ok(), "the chat waits");
    }
    // Those who have no thread are told like the others.
    for client in &mut computing {
        assert_eq!(client.closed().await, 1011);
    }
    leash.let_go();
    leash.holds(0).await;
    talk(&mut ana, &mut bo).await;
    drop((ana, bo));
    hub.drain().await;
}

#[tokio::test]
async fn a_hub_does_not_wait_for_what_is_computed_apart() {
    let leash = Leash::default();
    let (hub, addr) = hub(&leash);
    let mut client = Client::connect(addr).await;
    client.hello("received").await;
    client.raw_text(r#"{"type":"test.ask"}"#).await;
    leash.holds(1).await;
    let begun = Instant::now();
    let (_, code) = tokio::join!(hub.drain(), client.closed());
    drop(hub);
    // Without a close where the hub was faster than the five seconds.
    assert!(matches!(code, 1006 | 1011), "{code}");
    assert!(begun.elapsed() < Duration::from_secs(10), "it waited {:?}", begun.elapsed());
    leash.holds(1).await;
}
