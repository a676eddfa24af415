//! Consumers that take more than their part: of the threads, of the groups, of the layer. What they take is their own connection's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use channel_layer::{
    ChannelLayer, Error, GroupName, Health, Message, MessageId, Mode, RedisRelay, ResilientLayer, Retention,
};
use futures_util::FutureExt;
use palabre::chat::{Chat, PREFIX};
use palabre::config::Rates;
use palabre::people::GuestGate;
use palabre::protocol::{CloseCode, ErrorCode, Limits, Refusal, Request, encode};
use palabre::{Consumer, Context, Hub, Outcome, Runs};
use palabre_tests::machine::until;
use palabre_tests::{Client, RedisServer};
use serde_json::{Value, json};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::rescue::{Held, Leash};
use super::serve_whole;

/// Nobody else may wait so long.
const PATIENCE: Duration = Duration::from_millis(2_500);

#[derive(Clone)]
struct Greedy {
    held: Held,
    /// On which threads memory of its own was given back.
    freed_on: Arc<Mutex<Vec<String>>>,
}

/// Memory whose end is application code.
struct Owned {
    bytes: Vec<u8>,
    freed_on: Arc<Mutex<Vec<String>>>,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        self.freed_on.lock().expect("it is whole").push(name);
    }
}

impl Greedy {
    fn new(leash: &Leash) -> Self {
        Self { held: leash.held(), freed_on: Arc::default() }
    }

    fn owned(&self, bytes: &[u8]) -> Bytes {
        Bytes::from_owner(Owned { bytes: bytes.to_vec(), freed_on: Arc::clone(&self.freed_on) })
    }
}

impl Consumer for Greedy {
    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        let mut said = json!({"type": "test.done", "ref": request.reference()});
        match request.kind() {
            "test.defer" => {
                for _ in 0..64 {
                    let held = self.held.clone();
                    cx.defer(async move {
                        yield_now().await;
                        held.compute();
                        None
                    })?;
                }
            }
            "test.spawn" => {
                for _ in 0..300 {
                    let held = self.held.clone();
                    drop(tokio::task::spawn_blocking(move || held.compute()));
                }
            }
            "test.send" => {
                // As fast as it can, and waits for none.
                let mut refused = 0;
                let until = Instant::now() + Duration::from_secs(3);
                let nobody: GroupName = "nobody".parse()?;
                while Instant::now() < until {
                    let body = Message::frame(MessageId::random(), r#"{"type":"x"}"#);
                    let sent = cx.group_send(&nobody, body, Retention::Ephemeral).now_or_never();
                    refused += usize::from(sent == Some(Err(Error::Overloaded)));
                }
                said["refused"] = refused.into();
            }
            "test.own" => {
                let note = Message::frame(MessageId::random(), self.owned(br#"{"type":"test.note"}"#));
                cx.group_send(&"lobby".parse()?, note, Retention::Kept).await?;
                let later = self.owned(&encode(&json!({"type": "test.later"})));
                cx.defer(async move {
                    yield_now().await;
                    Some(later)
                })?;
            }
            _ => {}
        }
        cx.reply(&said);
        Ok(())
    }
}

fn hub(greedy: &Greedy) -> (Hub, SocketAddr) {
    let greedy = greedy.clone();
    let hub = Hub::test()
        .rates(Rates::unlimited())
        .mount(PREFIX, |_| Chat::new(Limits::default()))
        .mount("test.", move |_| greedy.clone())
        .start()
        .expect("the hub starts");
    serve_whole(hub)
}

async fn guest(addr: SocketAddr) -> Client {
    let mut client = Client::connect(addr).await;
    client.hello("Ana").await;
    client
}

async fn ask(client: &mut Client, kind: &str) -> Value {
    let asked = client.request(json!({"type": kind}));
    let answer = timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("{kind} waits"));
    assert_eq!(answer["type"], "test.done");
    answer
}

#[tokio::test]
async fn who_computes_in_many_places_at_a_time_has_a_thread_and_others_have_theirs() {
    let leash = Leash::default();
    let (hub, addr) = hub(&Greedy::new(&leash));
    let mut ana = guest(addr).await;
    // Each would take a fourth of all threads, the next all of them.
    let mut greedy = Vec::new();
    for _ in 0..4 {
        let mut client = guest(addr).await;
        client.raw_text(r#"{"type":"test.defer"}"#).await;
        greedy.push(client);
    }
    leash.holds(4).await;
    ask(&mut ana, "test.ask").await;
    let mut client = guest(addr).await;
    ask(&mut client, "test.spawn").await;
    leash.holds(4 + 256).await;
    for _ in 0..5 {
        ask(&mut ana, "test.ask").await;
    }
    leash.let_go();
    leash.holds(0).await;
    drop((ana, client, greedy));
    hub.drain().await;
}

#[tokio::test]
async fn what_a_consumer_sends_without_end_is_refused_to_it_and_to_nobody_else() {
    let redis = RedisServer::start().await;
    let leash = Leash::default();
    let greedy = Greedy::new(&leash);
    let relay = RedisRelay::new(&redis.url(), "test").expect("a URL");
    let layer = Arc::new(ResilientLayer::new(Arc::new(relay), Mode::Redis, Duration::from_secs(2)));
    layer.status().wait_for(|state| state.health == Health::Healthy).await.expect("the layer lives");
    let hub = Hub::builder(layer)
        .gate(GuestGate::new(None, Limits::default()))
        .rates(Rates::unlimited())
        .mount(PREFIX, |_| Chat::new(Limits::default()))
        .mount("test.", move |_| greedy.clone())
        .start()
        .expect("the hub starts");
    let (hub, addr) = serve_whole(hub);
    let mut ana = guest(addr).await;
    ana.join("lobby").await;
    let mut greedy = Vec::new();
    for _ in 0..8 {
        let mut client = guest(addr).await;
        client.raw_text(r#"{"type":"test.send","ref":"1"}"#).await;
        greedy.push(client);
    }
    let begun = Instant::now();
    let mut said = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        let id = MessageId::random().to_string();
        let send = json!({"type": "chat.send", "group": "lobby", "client_id": id, "text": "still here"});
        let answer = ana.request(send).await;
        assert_eq!(answer["type"], "ack", "{answer}, after {said}");
        said += 1;
    }
    assert!(said > 5, "{said} messages");
    for client in &mut greedy {
        let done = client.expect("test.done").await;
        assert!(done["refused"].as_u64() > Some(0), "{done}");
    }
    drop((ana, greedy));
    hub.drain().await;
}

#[tokio::test]
async fn memory_of_an_applications_own_ends_on_its_threads() {
    let leash = Leash::default();
    let greedy = Greedy::new(&leash);
    let freed_on = Arc::clone(&greedy.freed_on);
    let (hub, addr) = hub(&greedy);
    let mut ana = guest(addr).await;
    ana.join("lobby").await;
    ask(&mut ana, "test.own").await;
    ana.expect("test.note").await;
    ana.expect("test.later").await;
    let freed = async || (freed_on.lock().expect("it is whole").len() == 2).then_some(());
    until("both are given back", freed).await;
    assert_eq!(*freed_on.lock().expect("it is whole"), ["application", "application"]);
    drop(ana);
    hub.drain().await;
}

/// Replies as often as it may in one step, and then refuses; where it is told to run.
struct Wordy<const INLINE: bool>;

impl<const INLINE: bool> Consumer for Wordy<INLINE> {
    const RUNS: Runs = if INLINE { Runs::Inline } else { Runs::Apart };

    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        (0..4_096).for_each(|number| cx.reply(&json!({"type": "test.said", "number": number})));
        if request.kind().ends_with("close") {
            cx.close(CloseCode::Banned);
        }
        Err(Refusal::new(ErrorCode::BadRequest, "the last").into())
    }
}

#[tokio::test]
async fn as_much_as_may_be_asked_for_is_done_before_what_comes_after_it() {
    let hub = Hub::test().mount("in.", |_| Wordy::<true>).mount("apart.", |_| Wordy::<false>).open().await;
    let mut ana = hub.client("Ana").await;
    for kind in ["in.say", "apart.say"] {
        ana.raw_text(&json!({"type": kind, "ref": "1"}).to_string()).await;
        for number in 0..4_096 {
            let frame = ana.next().await.expect("the connection lasts");
            assert_eq!(frame["number"], number, "{frame}");
        }
        assert_eq!(ana.next().await.expect("the connection lasts")["type"], "error");
    }
    // One thing more is too many.
    for kind in ["in.close", "apart.close"] {
        let mut bo = hub.client("Bo").await;
        bo.raw_text(&json!({"type": kind}).to_string()).await;
        let code = bo.closed().await;
        // What runs apart is done as it is asked for.
        assert!(code == 1011 || kind == "apart.close" && code == CloseCode::Banned.code(), "{kind}: {code}");
    }
    drop(ana);
    hub.end().await;
}
