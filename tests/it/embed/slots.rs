//! What a consumer has to say beside messages of the past, and what is new while it is asked.

use channel_layer::{ChannelLayer, GroupName, MemoryLayer, Message, MessageId, Page, Posted, Retention};
use palabre::{
    Consumer, Context, Failure, Hub, Outcome, StartError, people::GuestGate, protocol::Limits,
    protocol::Request,
};
use palabre_tests::Client;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

/// Says of messages which offsets they have; of a snapshot once the test lets it.
struct Offsets {
    door: Arc<Door>,
}

struct Door {
    asked: Notify,
    permits: Semaphore,
}

fn offsets(messages: &[Arc<Posted>]) -> Box<RawValue> {
    let offsets: Vec<_> = messages.iter().filter_map(|posted| posted.position).map(|at| at.offset).collect();
    to_raw_value(&offsets).expect("numbers are JSON")
}

impl Consumer for Offsets {
    async fn received(&mut self, request: Request, _cx: &Context) -> Outcome {
        Err(request.unknown_type().into())
    }

    async fn joining(
        &mut self,
        _group: &GroupName,
        page: &Page,
        _cx: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        self.door.asked.notify_one();
        self.door.permits.acquire().await.expect("it is open").forget();
        Ok(Some(offsets(&page.messages)))
    }

    async fn reading(
        &mut self,
        _group: &GroupName,
        messages: &[Arc<Posted>],
        _cx: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        Ok(Some(offsets(messages)))
    }
}

/// A hub with that consumer as `offsets`, its layer, and the consumer's door.
fn hub() -> (Arc<dyn ChannelLayer>, Arc<Door>, SocketAddr) {
    let layer: Arc<dyn ChannelLayer> = Arc::new(MemoryLayer::new());
    let door = Arc::new(Door { asked: Notify::new(), permits: Semaphore::new(0) });
    let its = Arc::clone(&door);
    let hub = Hub::builder(Arc::clone(&layer))
        .gate(GuestGate::new(None, Limits::default()))
        .mount("offsets.", move |_| Offsets { door: Arc::clone(&its) })
        .start()
        .expect("the hub starts");
    let listener = palabre::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    TaskTracker::new().spawn(async move { hub.serve(listener, "/ws", axum::Router::new()).await });
    (layer, door, addr)
}

async fn say(layer: &Arc<dyn ChannelLayer>, body: &'static str, retention: Retention) {
    let message = Message::frame(MessageId::random(), body);
    layer.group_send("lobby".parse().expect("a name"), message, retention).await.expect("it is sent");
}

#[tokio::test]
async fn it_stands_beside_a_snapshot_a_resume_and_a_page_and_tells_of_just_what_they_have() {
    let (layer, door, addr) = hub();
    door.permits.add_permits(1);
    let mut client = Client::connect(addr).await;
    client.hello("").await;
    for _ in 0..5 {
        say(&layer, r#"{"type":"test.kept"}"#, Retention::Kept).await;
    }
    let joined = client.join("lobby").await;
    assert_eq!(joined["snapshot"]["offsets"], json!([1, 2, 3, 4, 5]), "{joined}");
    assert!(joined.get("offsets").is_none(), "{joined}");

    let at = |offset: u64| json!({"epoch": joined["position"]["epoch"], "offset": offset});
    let resume = |since: Value| json!({"type": "join", "groups": [{"group": "lobby", "since": since}]});
    let resumed = client.request(resume(at(3))).await;
    assert_eq!((&resumed["recovered"], &resumed["offsets"]), (&json!(true), &json!([4, 5])), "{resumed}");
    let page = json!({"type": "history", "group": "lobby", "before": at(4), "limit": 2});
    let page = client.request(page).await;
    assert_eq!((&page["offsets"], &page["next"]), (&json!([2, 3]), &at(2)), "{page}");
    // Beside nothing there is nothing to say.
    assert!(client.request(resume(at(5))).await.get("offsets").is_none());
}

#[tokio::test]
async fn what_is_told_once_while_somebody_joins_comes_after_its_snapshot() {
    let (layer, door, addr) = hub();
    let [mut member, mut client] = [Client::connect(addr).await, Client::connect(addr).await];
    member.hello("").await;
    client.hello("").await;
    door.permits.add_permits(1);
    member.join("lobby").await;
    door.asked.notified().await;

    client
        .raw_text(&json!({"type": "join", "ref": "late", "groups": [{"group": "lobby"}]}).to_string())
        .await;
    door.asked.notified().await;
    // What its snapshot is made of is read by now, or is being read.
    say(&layer, r#"{"type":"test.hint"}"#, Retention::Ephemeral).await;
    say(&layer, r#"{"type":"test.kept"}"#, Retention::Kept).await;
    member.expect("test.hint").await;
    member.expect("test.kept").await;
    door.permits.add_permits(1);
    let kinds: Vec<Value> = client.so_far().await.into_iter().map(|mut frame| frame["type"].take()).collect();
    let kinds: Vec<&str> =
        kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "presence").collect();
    assert_eq!(kinds, ["joined", "test.kept", "test.hint"]);
}

#[tokio::test]
async fn a_consumer_that_is_called_like_a_field_of_the_hubs_does_not_start() {
    for prefix in ["messages.", "group", "recovered.", "next."] {
        let hub = Hub::builder(Arc::new(MemoryLayer::new()))
            .gate(GuestGate::new(None, Limits::default()))
            .mount(prefix, |_| -> Offsets { unreachable!("nobody connects") });
        assert!(matches!(hub.start(), Err(StartError::Reserved(name)) if name == prefix), "{prefix}");
    }
}
