//! Where a consumer runs; and what one that runs apart asks of its connection is done there, in order, whenever it asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use channel_layer::{GroupName, Message, MessageId, Retention, Span};
use palabre::config::Rates;
use palabre::protocol::{CloseCode, Request, encode};
use palabre::testing::TestHub;
use palabre::{Consumer, Context, Hub, Outcome, Runs};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Nobody else may wait so long.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// Does what it is told to its connection.
#[derive(Clone, Default)]
struct Busy {
    is_enough: Arc<AtomicBool>,
    /// Lets what goes on after a handler take a step.
    go_on: Arc<Notify>,
    /// It was in the room when it heard of its end.
    was_member: Arc<AtomicBool>,
}

impl Consumer for Busy {
    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        let room: GroupName = "room".parse()?;
        let say = |text: &str| cx.reply(&json!({"type": "busy.says", "text": text}));
        match request.kind() {
            "busy.in-order" => {
                (0..1_000).for_each(|number| say(&number.to_string()));
                cx.reply(&json!({"type": "busy.done", "ref": request.reference()}));
            }
            "busy.later" => {
                let (cx, go_on) = (cx.clone(), Arc::clone(&self.go_on));
                TaskTracker::new().spawn(async move {
                    for number in 0..3 {
                        go_on.notified().await;
                        cx.reply(&json!({"type": "busy.says", "text": number.to_string()}));
                    }
                });
            }
            "busy.join" => {
                cx.join(&room).await?;
                assert_eq!(cx.member_of("room")?, room);
                let text = json!({"type": "busy.hint"}).to_string();
                let hint = Message::frame(MessageId::random(), text);
                cx.group_send(&room, hint, Retention::Ephemeral).await?;
                let members = cx.members_known(&room).await;
                cx.reply(&json!({"type": "busy.done", "ref": request.reference(), "members": members}));
            }
            "busy.leave" => {
                cx.leave(&room);
                cx.reply(&json!({"type": "busy.done", "ref": request.reference()}));
            }
            "busy.give-up" => {
                let joined = cx.join_since(&room, Span::Latest, 1).await?;
                drop(joined);
                cx.reply(&json!({"type": "busy.done", "ref": request.reference()}));
            }
            "busy.flood" => {
                while !self.is_enough.load(Ordering::Relaxed) {
                    say("again and again, to nobody in the end");
                }
            }
            "busy.long" => say(&"long".repeat(400_000)),
            "busy.defer" => {
                let (cx, reference) = (cx.clone(), request.reference().map(str::to_owned));
                let go_on = Arc::clone(&self.go_on);
                return cx.clone().defer(async move {
                    go_on.notified().await;
                    cx.reply(&json!({"type": "busy.says", "text": "first"}));
                    Some(encode(&json!({"type": "busy.done", "ref": reference})))
                });
            }
            "busy.hang" => {
                cx.join(&room).await?;
                std::future::pending::<()>().await;
            }
            "busy.close" => cx.close(CloseCode::Banned),
            _ => return Err(request.unknown_type().into()),
        }
        Ok(())
    }

    async fn disconnected(&mut self, _: CloseCode, cx: &Context) {
        self.was_member.store(cx.member_of("room").is_ok(), Ordering::Release);
    }
}

async fn busy(presence: bool, busy: Busy) -> TestHub {
    let hub = Hub::test().rates(Rates::unlimited()).mount("busy.", move |_| busy.clone());
    if presence { hub.open().await } else { hub.without_presence().open().await }
}

fn texts(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["text"].as_str()).collect()
}

#[tokio::test]
async fn what_it_asks_of_its_connection_is_done_in_order_and_after_the_handler_as_well() {
    let consumer = Busy::default();
    let go_on = Arc::clone(&consumer.go_on);
    let hub = busy(true, consumer).await;
    let mut ana = hub.client("Ana").await;
    ana.raw_text(r#"{"type":"busy.in-order","ref":"1"}"#).await;
    for number in 0..1_000 {
        assert_eq!(ana.expect("busy.says").await["text"], number.to_string());
    }
    ana.expect("busy.done").await;
    // Nothing else wakes the connection when these come.
    ana.raw_text(r#"{"type":"busy.later"}"#).await;
    let mut later = Vec::new();
    ana.request(json!({"type": "busy.leave"})).await;
    for _ in 0..3 {
        go_on.notify_one();
        later.push(ana.expect("busy.says").await);
    }
    assert_eq!(texts(&later), ["0", "1", "2"]);
    // What deferred work says comes before the reply that it makes.
    ana.raw_text(r#"{"type":"busy.defer","ref":"2"}"#).await;
    ana.request(json!({"type": "busy.leave"})).await;
    go_on.notify_one();
    for (field, value) in [("text", "first"), ("ref", "2")] {
        assert_eq!(ana.next().await.expect("the connection lasts")[field], value);
    }
    // One frame may be as long as it is.
    ana.raw_text(r#"{"type":"busy.long"}"#).await;
    assert_eq!(ana.expect("busy.says").await["text"].as_str().map(str::len), Some(1_600_000));
    ana.raw_text(r#"{"type":"busy.close"}"#).await;
    assert_eq!(ana.closed().await, CloseCode::Banned.code());
    hub.end().await;
}

#[tokio::test]
async fn it_joins_and_leaves_whether_or_not_anybody_is_told_who_is_there() {
    for presence in [true, false] {
        let hub = busy(presence, Busy::default()).await;
        let mut ana = hub.client("Ana").await;
        for kind in ["busy.join", "busy.leave", "busy.give-up", "busy.join"] {
            let done = ana.request(json!({"type": kind})).await;
            assert_eq!(done["type"], "busy.done");
            // Presence takes a moment to know; without it the worker is asked.
            assert!(presence || kind != "busy.join" || done["members"] == 1, "{done}");
            if kind == "busy.join" {
                ana.expect("busy.hint").await;
            }
        }
        ana.request(json!({"type": "busy.leave"})).await;
        let left = ana.request(json!({"type": "history", "group": "room", "limit": 1})).await;
        assert_eq!(left["code"], "not_joined");
        drop(ana);
        hub.end().await;
    }
}

#[tokio::test]
async fn one_that_hangs_hears_of_its_end_where_it_was() {
    let consumer = Busy::default();
    let was_member = Arc::clone(&consumer.was_member);
    let hub = busy(true, consumer).await;
    let mut ana = hub.client("Ana").await;
    ana.raw_text(r#"{"type":"busy.hang"}"#).await;
    assert_eq!(ana.closed().await, 1011);
    assert!(was_member.load(Ordering::Acquire));
    drop(ana);
    hub.end().await;
}

#[tokio::test]
async fn who_replies_without_end_ends_its_own_connection() {
    let consumer = Busy::default();
    let is_enough = Arc::clone(&consumer.is_enough);
    let hub = busy(true, consumer).await;
    let (mut ana, mut bo) = (hub.client("Ana").await, hub.client("Bo").await);
    ana.raw_text(r#"{"type":"busy.flood"}"#).await;
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(bo.request(json!({"type": "busy.join"})).await["type"], "busy.done");
        assert!(asked.elapsed() < PATIENCE, "it waited {:?}", asked.elapsed());
    }
    // Too much for the connection, or for a client that does not read meanwhile.
    let code = ana.closed().await;
    assert!(matches!(code, 1011 | 4001), "{code}");
    is_enough.store(true, Ordering::Relaxed);
    drop((ana, bo));
    hub.end().await;
}

/// A consumer that says where it runs, and how nice it is there.
struct Named<const INLINE: bool>;

impl<const INLINE: bool> Consumer for Named<INLINE> {
    const RUNS: Runs = if INLINE { Runs::Inline } else { Runs::Apart };

    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        let thread = std::thread::current();
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux has it");
        let after_name = stat.rsplit_once(')').expect("a name in brackets").1;
        let nice = after_name.split_whitespace().nth(16).expect("the 19th of all");
        cx.reply(&json!({"type": "named", "ref": request.reference(), "runs": [thread.name(), nice]}));
        Ok(())
    }
}

#[tokio::test]
async fn a_consumer_runs_where_it_says() {
    let hub = Hub::test().mount("in.", |_| Named::<true>).mount("apart.", |_| Named::<false>).open().await;
    let mut ana = hub.client("Ana").await;
    let mut threads = BTreeMap::new();
    for kind in ["in.here", "apart.there"] {
        threads.insert(kind, ana.request(json!({"type": kind})).await["runs"].take());
    }
    assert_eq!(threads["in.here"], json!(["worker-0", "0"]));
    assert_eq!(threads["apart.there"], json!(["application", "10"]));
    drop(ana);
    hub.end().await;
}
