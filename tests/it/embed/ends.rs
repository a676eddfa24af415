//! How a consumer hears of the end, and how a hub comes to its own: once each, whatever else goes wrong.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use channel_layer::{ChannelLayer, GroupName, MemoryLayer, Message, MessageId, Page, Posted};
use futures_util::future::{BoxFuture, FutureExt, join_all, pending};
use palabre::consumer::gate::Admission;
use palabre::people::GuestGate;
use palabre::protocol::{CloseCode, Limits, Refusal, Request};
use palabre::{Consumer, Context, DrainPlan, Drained, Failure, Gate, Handshake, Hub, Identity, Outcome};
use palabre_tests::Client;
use palabre_tests::machine::until;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::watch;

use super::{hub, serve, serve_whole};

/// Who was told of which end.
type Told = Arc<Mutex<Vec<(&'static str, CloseCode)>>>;

/// Notes the end that it is told of, and does as it is told before.
struct Witness {
    name: &'static str,
    told: Told,
    last: fn(),
    hangs: bool,
}

impl Witness {
    fn new(name: &'static str, told: &Told) -> Self {
        Self { name, told: Arc::clone(told), last: || (), hangs: false }
    }
}

impl Consumer for Witness {
    async fn connected(&mut self, cx: &Context) -> Outcome {
        if *cx.identity().name == *format!("hangs in {}", self.name) {
            pending::<()>().await;
        }
        Ok(())
    }

    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        match request.kind().split_once('.').expect("a prefix").1 {
            "panic" => panic!("as it was told"),
            "hang" => pending().await,
            "panic-at-the-end" => self.last = || panic!("as it was told"),
            "hang-at-the-end" => self.hangs = true,
            _ => cx.close(CloseCode::Banned),
        }
        Ok(())
    }

    async fn disconnected(&mut self, why: CloseCode, _: &Context) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push((self.name, why));
        (self.last)();
        if self.hangs {
            pending::<()>().await;
        }
    }
}

#[tokio::test]
async fn every_consumer_hears_of_the_end_whatever_becomes_of_the_others() {
    use CloseCode::{Banned, Internal};
    type Row = (&'static str, &'static [&'static str], &'static [(&'static str, CloseCode)]);
    let rows: [Row; 8] = [
        ("Ana", &["aa.close"], &[("aa", Banned), ("bb", Banned)]),
        ("Ana", &["aa.panic"], &[("bb", Internal)]),
        ("Ana", &["bb.panic"], &[("aa", Internal)]),
        ("Ana", &["aa.hang"], &[("aa", Internal), ("bb", Internal)]),
        ("Ana", &["aa.panic-at-the-end", "aa.close"], &[("aa", Banned), ("bb", Banned)]),
        ("Ana", &["aa.hang-at-the-end", "aa.close"], &[("aa", Banned), ("bb", Banned)]),
        // Who was never told that somebody is there need not be told of the end.
        ("hangs in aa", &[], &[("aa", Internal)]),
        ("hangs in bb", &[], &[("aa", Internal), ("bb", Internal)]),
    ];
    let stories = rows.map(|(name, requests, expected)| async move {
        let told = Told::default();
        let (aa, bb) = (Arc::clone(&told), Arc::clone(&told));
        let hub = Hub::test()
            .mount("aa.", move |_| Witness::new("aa", &aa))
            .mount("bb.", move |_| Witness::new("bb", &bb))
            .open()
            .await;
        let mut client = hub.client(name).await;
        for kind in requests {
            client.raw_text(&json!({"type": kind}).to_string()).await;
        }
        let code = client.closed().await;
        assert_eq!(code, expected[0].1.code(), "{name} {requests:?}");
        let heard = || told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        until(&format!("{name} {requests:?}: {expected:?} are told"), async || {
            (heard().len() == expected.len()).then_some(())
        })
        .await;
        hub.end().await;
        assert_eq!(heard(), expected, "{name} {requests:?}");
    });
    join_all(stories).await;
}

/// Lets everybody in, and never comes to a decision about what they ask.
struct Undecided(GuestGate);

impl Gate for Undecided {
    fn identify<'a>(
        &'a self,
        from: &'a Handshake,
        hello: &'a Request,
    ) -> BoxFuture<'a, Result<Admission, Refusal>> {
        self.0.identify(from, hello)
    }

    fn allow<'a>(&'a self, _: &'a Identity, _: &'a Request) -> BoxFuture<'a, Result<(), Refusal>> {
        pending().boxed()
    }
}

#[tokio::test]
async fn a_gate_that_does_not_decide_is_given_up() {
    let hub = Hub::test().gate(Undecided(GuestGate::new(None, Limits::default()))).open().await;
    let mut client = hub.client("Ana").await;
    client.raw_text(r#"{"type":"join","ref":"1","groups":[{"group":"room"}]}"#).await;
    assert_eq!(client.closed().await, 1011);
    hub.end().await;
}

#[tokio::test]
async fn who_ends_a_hub_a_second_time_waits_for_the_same_end() {
    let plan = DrainPlan { rate: NonZeroU32::new(8).expect("not zero"), ..DrainPlan::default() };
    let hub = Hub::test().drain_plan(plan).open().await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(hub.client("guest").await);
    }
    let closes = join_all(clients.iter_mut().map(Client::closed));
    let end = async || (hub.drain().await, hub.connections());
    let (first, second, codes) = tokio::join!(end(), end(), closes);
    assert_eq!((first, second), ((Drained::Whole, 0), (Drained::Whole, 0)));
    assert_eq!(codes, [4000; 12]);
    assert_eq!(hub.drain().await, Drained::Whole, "and so does who comes later");
}

#[tokio::test]
async fn a_hub_whose_layer_has_ended_goes_on_answering() {
    let layer: Arc<dyn ChannelLayer> = Arc::new(MemoryLayer::new());
    let (hub, addr) = serve(hub(Arc::clone(&layer)));
    let mut client = super::guest(addr).await;
    client.join("room").await;
    layer.shutdown().await.expect("it ends");
    for _ in 0..10 {
        client.so_far().await;
    }
    let refused = client.request(json!({"type": "join", "groups": [{"group": "other"}]})).await;
    assert_eq!(refused["code"], "unavailable", "{refused}");
    let (drained, code) = tokio::join!(hub.drain(), client.closed());
    assert_eq!((drained, code), (Drained::Whole, 4000));
}

/// Puts joins off until it is told to go on.
struct Slow {
    begun: Arc<AtomicBool>,
    go_on: watch::Receiver<bool>,
}

impl Consumer for Slow {
    async fn received(&mut self, request: Request, _: &Context) -> Outcome {
        Err(request.unknown_type().into())
    }

    async fn joining(
        &mut self,
        _: &GroupName,
        _: &Page,
        _: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        self.begun.store(true, Ordering::Release);
        drop(self.go_on.wait_for(|go_on| *go_on).await);
        Ok(None)
    }
}

#[tokio::test]
async fn of_a_long_join_only_some_groups_are_read_ahead() {
    let (go, go_on) = watch::channel(false);
    let begun = Arc::<AtomicBool>::default();
    let noted = Arc::clone(&begun);
    let slow = move |_: &Handshake| Slow { begun: Arc::clone(&noted), go_on: go_on.clone() };
    let hub = Hub::test().mount("slow.", slow).open().await;
    let mut ana = hub.client("Ana").await;
    let group = |number| format!("group-{number}");
    let groups: Vec<_> = (0..100).map(|number| json!({"group": group(number)})).collect();
    ana.raw_text(&json!({"type": "join", "ref": "j", "groups": groups}).to_string()).await;
    until("a first group is joined", async || begun.load(Ordering::Acquire).then_some(())).await;
    let count = hub.layer().report().memberships;
    assert!((1..10).contains(&count), "{count} histories wait for one client");
    go.send_replace(true);
    for number in 0..100 {
        assert_eq!(ana.expect("joined").await["group"], group(number));
    }
    tokio::time::timeout(Duration::from_secs(10), hub.end()).await.expect("it ends");
}

/// Closes its connection at the first event, and says on which threads it heard of one and ended.
struct Last(Arc<Mutex<Vec<String>>>);

impl Last {
    fn note(&self, what: &str) {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        self.0.lock().expect("it is whole").push(format!("{what} on {thread}"));
    }
}

impl Consumer for Last {
    async fn received(&mut self, _: Request, cx: &Context) -> Outcome {
        // Both wait by the time that this has ended.
        for _ in 0..2 {
            cx.send(cx.address().clone(), Message::event(MessageId::random(), "test.event", "")).await?;
        }
        cx.join(&"room".parse()?).await?;
        Ok(())
    }

    async fn delivered(&mut self, _: &Posted, cx: &Context) -> Outcome {
        self.note("delivered");
        cx.close(CloseCode::Banned);
        Ok(())
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.note("dropped");
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_hands_over_no_more_events() {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&notes);
    let hub = Hub::test().mount("test.", move |_| Last(Arc::clone(&noted))).open().await;
    let mut ana = hub.client("Ana").await;
    ana.raw_text(r#"{"type":"test.go"}"#).await;
    assert_eq!(ana.closed().await, CloseCode::Banned.code());
    hub.end().await;
    assert_eq!(*notes.lock().expect("it is whole"), ["delivered on application", "dropped on application"]);
}

#[tokio::test]
async fn a_consumer_whose_hub_ends_before_its_connection_ends_where_it_ran() {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&notes);
    let plan = DrainPlan { timeout: Duration::ZERO, ..DrainPlan::default() };
    let hub = Hub::test().drain_plan(plan).mount("test.", move |_| Last(Arc::clone(&noted)));
    let (hub, addr) = serve_whole(hub.start().expect("the hub starts"));
    let mut ana = Client::connect(addr).await;
    ana.hello("Ana").await;
    assert_eq!(hub.drain().await, Drained::CutOff(1));
    let ended = async || (!notes.lock().expect("it is whole").is_empty()).then_some(());
    until("the consumer has ended", ended).await;
    assert_eq!(*notes.lock().expect("it is whole"), ["dropped on application"]);
    drop(ana);
}
