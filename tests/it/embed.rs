//! The hub as a library: a third party's consumer, on two nodes; somebody else's server; consumers that misbehave.

mod amended;
mod apart;
mod burn;
mod ends;
mod errands;
mod greedy;
mod joins;

mod log;
mod rescue;

mod slots;

use channel_layer::{ChannelLayer, MemoryLayer};
use palabre::{
    Consumer, Context, DrainPlan, Drained, Hub, Outcome,
    people::GuestGate,
    protocol::{Limits, Request},
};
use palabre_tests::{Client, RedisServer};
use serde_json::{Value, json};
use std::{collections::HashMap, net::SocketAddr, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use tokio_util::task::TaskTracker;

/// The example `whiteboard` as a process, ended with this value.
async fn whiteboard(redis: &RedisServer) -> (Child, SocketAddr) {
    let test = std::env::current_exe().expect("a test knows its own path");
    let example = test.ancestors().nth(2).expect("a test is two folders deep").join("examples/whiteboard");
    let mut process = Command::new(&example)
        .args(["127.0.0.1:0", &redis.url()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; cargo build -p palabre --examples", example.display()));
    let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
    let line = lines.next_line().await.expect("it is text").expect("it says where it is");
    let addr = line.strip_prefix("listening on http://").expect("its address").parse().expect("an address");
    (process, addr)
}

async fn ask(client: &mut Client, frame: Value) -> Value {
    let answer = client.request(frame).await;
    assert_ne!(answer["type"], "error", "{answer}");
    answer
}

async fn opened(addr: SocketAddr, name: &str) -> (Client, Value) {
    let mut client = Client::connect(addr).await;
    let welcome = client.hello(name).await;
    if welcome["layer"]["state"] != "healthy" {
        assert_eq!(client.expect("layer").await["state"], "healthy");
    }
    let opened = ask(&mut client, json!({"type": "board.open", "board": "plan"})).await;
    (client, opened)
}

#[tokio::test]
async fn a_third_partys_whiteboard_is_shared_by_two_nodes() {
    let redis = RedisServer::start().await;
    let ((_one, one), (_two, two)) = tokio::join!(whiteboard(&redis), whiteboard(&redis));
    let (mut ana, opened_first) = opened(one, "Ana").await;
    assert_eq!(opened_first["strokes"], 0);
    let drawn = ask(&mut ana, json!({"type": "board.draw", "board": "plan", "stroke": [1, 2.50]})).await;
    assert_eq!(drawn["everywhere"], true);

    let (mut ben, opened_later) = opened(two, "Ben").await;
    assert_eq!(opened_later["strokes"], 1, "the last strokes come with the board");
    ask(&mut ben, json!({"type": "board.draw", "board": "plan", "stroke": "a line"})).await;
    for client in [&mut ana, &mut ben] {
        let stroke = client.expect("board.stroke").await;
        if stroke["by"] == "Ana" {
            assert_eq!(client.expect("board.stroke").await["stroke"], "a line");
        } else {
            assert_eq!(stroke["stroke"], "a line");
        }
    }
    ana.raw_text(r#"{"type":"board.wipe","board":"plan"}"#).await;
    for client in [&mut ana, &mut ben] {
        let wiped = client.expect("board.wiped").await;
        assert_eq!((&wiped["board"], &wiped["strokes"]), (&json!("plan"), &json!(1)));
    }
    let refused = ben.request(json!({"type": "board.draw", "board": "other", "stroke": 1})).await;
    assert_eq!(refused["code"], "not_joined");
    let refused = ben.request(json!({"type": "board.open", "board": "a b"})).await;
    assert_eq!(refused["code"], "bad_request");
}

/// Does what it is told, above all badly.
struct Unruly;

impl Consumer for Unruly {
    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        match request.kind() {
            "test.where" => {
                let address = cx.address().mailbox();
                cx.reply(&json!({"type": "test.here", "ref": request.reference(), "mailbox": address}));
                Ok(())
            }
            "test.panic" => panic!("as it was told"),
            "test.hang" => std::future::pending().await,
            "test.join" => Ok(cx.join(&"room".parse()?).await?),
            "test.write" => amended::write(&request.body()?, cx).await,
            _ => {
                cx.reply(&json!({"type": "test.done", "ref": request.reference()}));
                Ok(())
            }
        }
    }
}

fn hub(layer: Arc<dyn ChannelLayer>) -> Hub {
    hub_of(layer, std::num::NonZeroUsize::MIN)
}

fn hub_of(layer: Arc<dyn ChannelLayer>, workers: std::num::NonZeroUsize) -> Hub {
    Hub::builder(layer)
        .gate(GuestGate::new(None, Limits::default()))
        .mount("test.", |_| Unruly)
        .mount("flood.", |_| amended::Flood)
        .mount("chat.", |_| palabre::chat::Chat::new(Limits::default()))
        .workers(workers)
        .start()
        .expect("the hub starts")
}

async fn served() -> (Hub, SocketAddr) {
    serve(hub(Arc::new(MemoryLayer::new())))
}

fn serve(hub: Hub) -> (Hub, SocketAddr) {
    serve_with(hub, axum::Router::new())
}

/// With its metrics and its health.
fn serve_whole(hub: Hub) -> (Hub, SocketAddr) {
    let app = palabre::http::router(&hub, &palabre::config::Settings::default());
    serve_with(hub, app)
}

fn serve_with(hub: Hub, app: axum::Router) -> (Hub, SocketAddr) {
    let listener = palabre::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let serving = hub.clone();
    TaskTracker::new().spawn(async move { serving.serve(listener, "/ws", app).await });
    (hub, addr)
}

async fn guest(addr: SocketAddr) -> Client {
    let mut client = Client::connect(addr).await;
    client.hello("guest").await;
    client
}

#[tokio::test]
async fn a_consumer_that_panics_ends_its_own_connection_and_no_other() {
    let (hub, addr) = served().await;
    let (mut unruly, mut bystander) = (guest(addr).await, guest(addr).await);
    unruly.join("room").await;
    bystander.join("room").await;
    unruly.raw_text(r#"{"type":"test.panic"}"#).await;
    assert_eq!(unruly.closed().await, 1011);
    bystander.send("room", "still here").await;
    assert_eq!(bystander.message().await.1["text"], "still here");
    hub.drain().await;
    assert_eq!(bystander.closed().await, 4000);
}

#[tokio::test]
async fn a_hub_ends_as_was_planned_and_says_whether_everybody_has_left() {
    let planned = |delay, timeout| {
        let (delay, timeout) = (Duration::from_millis(delay), Duration::from_millis(timeout));
        let plan = DrainPlan { delay, timeout, ..DrainPlan::default() };
        let gate = GuestGate::new(None, Limits::default());
        let hub = Hub::builder(Arc::new(MemoryLayer::new())).gate(gate).drain_plan(plan).start();
        serve(hub.expect("workers start"))
    };
    let (hub, addr) = planned(0, 20_000);
    let mut client = guest(addr).await;
    let (drained, code) = tokio::join!(hub.drain(), client.closed());
    assert_eq!((drained, code, hub.is_draining()), (Drained::Whole, 4000, true));

    let (hub, addr) = planned(20_000, 100);
    let _client = guest(addr).await;
    assert!(!hub.is_draining());
    assert_eq!(hub.drain().await, Drained::CutOff(1));
}

#[tokio::test]
async fn a_consumer_that_hangs_is_given_up_and_delays_nobody_else() {
    let (_hub, addr) = served().await;
    let (mut unruly, mut bystander) = (guest(addr).await, guest(addr).await);
    unruly.raw_text(r#"{"type":"test.hang"}"#).await;
    unruly.raw_text(r#"{"type":"test.go"}"#).await;
    for number in 0..20 {
        let done = bystander.request(json!({"type": "test.go", "ref": number.to_string()})).await;
        assert_eq!(done["type"], "test.done");
    }
    assert_eq!(unruly.closed().await, 1011);
}

#[tokio::test]
async fn every_worker_has_its_share_of_the_connections() {
    let workers = std::num::NonZeroUsize::new(3).expect("not zero");
    let (_hub, addr) = serve(hub_of(Arc::new(MemoryLayer::new()), workers));
    let mut clients = Vec::new();
    let mut shares: HashMap<String, usize> = HashMap::new();
    for _ in 0..300 {
        let mut client = guest(addr).await;
        let here = client.request(json!({"type": "test.where"})).await;
        *shares.entry(here["mailbox"].to_string()).or_default() += 1;
        clients.push(client);
    }
    assert_eq!(shares.len(), 3, "{shares:?}");
    assert!(shares.values().all(|share| *share >= 50), "{shares:?}");
}

#[tokio::test]
async fn a_consumer_may_join_groups_by_itself() {
    let (_hub, addr) = served().await;
    let (mut quiet, mut loud) = (guest(addr).await, guest(addr).await);
    quiet.raw_text(r#"{"type":"test.join"}"#).await;
    ask(&mut quiet, json!({"type": "test.go"})).await;
    loud.join("room").await;
    loud.send("room", "hello").await;
    assert_eq!(quiet.message().await.1["text"], "hello");
}

#[tokio::test]
async fn a_hub_runs_inside_somebody_elses_server() {
    let hub = hub(Arc::new(MemoryLayer::new()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let app = axum::Router::new().merge(hub.routes("/ws"));
    TaskTracker::new().spawn(async move { axum::serve(listener, app).await });
    let (mut ana, mut ben) = (guest(addr).await, guest(addr).await);
    ana.join("room").await;
    ben.join("room").await;
    ana.send("room", "hello").await;
    assert_eq!(ben.message().await.1["text"], "hello");
}

#[test]
fn a_hub_without_a_gate_or_with_two_consumers_for_one_prefix_does_not_start() {
    let layer = || -> Arc<dyn ChannelLayer> { Arc::new(MemoryLayer::new()) };
    let no_gate = Hub::builder(layer()).start().expect_err("nobody says who clients are");
    assert!(no_gate.to_string().contains("gate"), "{no_gate}");
    let twice = Hub::builder(layer())
        .gate(GuestGate::new(None, Limits::default()))
        .mount("a.", |_| Unruly)
        .mount("a.", |_| Unruly)
        .start();
    assert!(twice.expect_err("twice").to_string().contains("a."));
}
