//! A handler that computes on its worker's thread and never comes back: the worker is given up, the handler's neighbours lose a
//! connection and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use channel_layer::{Message, MessageId, Retention};
use palabre::chat::{Chat, PREFIX};
use palabre::protocol::{Limits, Request};
use palabre::{Consumer, Context, DrainPlan, Drained, Hub, Outcome, Runs};
use palabre_tests::Client;
use palabre_tests::http::get;
use palabre_tests::machine::{DEADLINE, until};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::serve_whole;

/// The time that a handler has.
const HANDLER_MAX: Duration = Duration::from_secs(5);

/// How the handlers of a test are let go, in the end by its end.
#[derive(Default)]
pub(super) struct Leash(Held);

/// Where a handler computes until it is let go.
#[derive(Clone, Default)]
pub(super) struct Held {
    gate: Arc<(Mutex<bool>, Condvar)>,
    count: Arc<AtomicUsize>,
}

impl Leash {
    fn hub(&self, plan: DrainPlan) -> (Hub, SocketAddr) {
        let held = self.held();
        let make = move |_: &_| Computer(held.clone());
        let hub = Hub::test().drain_plan(plan).mount(PREFIX, |_| Chat::new(Limits::default()));
        let hub = hub.mount("test.", make).start().expect("the hub starts");
        serve_whole(hub)
    }

    pub(super) fn held(&self) -> Held {
        self.0.clone()
    }

    pub(super) fn let_go(&self) {
        let (is_open, opens) = &*self.0.gate;
        *is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        opens.notify_all();
    }

    pub(super) async fn holds(&self, handlers: usize) {
        let held = async || (self.0.count.load(Ordering::Acquire) == handlers).then_some(());
        until(&format!("{handlers} handlers compute"), held).await;
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Held {
    /// Holds the thread like a computation, and leaves the machine to others.
    pub(super) fn compute(&self) {
        let (is_open, opens) = &*self.gate;
        self.count.fetch_add(1, Ordering::Release);
        let is_open = is_open.lock().unwrap_or_else(PoisonError::into_inner);
        drop(opens.wait_while(is_open, |is_open| !*is_open));
        self.count.fetch_sub(1, Ordering::Release);
    }
}

/// Computes until it is let go: on its worker's thread, which is what it should not do, or on another.
struct Computer(Held);

impl Consumer for Computer {
    const RUNS: Runs = Runs::Inline;

    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        match request.kind() {
            "test.burn" => self.0.compute(),
            "test.aside" => {
                let held = self.0.clone();
                tokio::task::spawn_blocking(move || held.compute()).await.expect("it does not panic");
            }
            _ => {}
        }
        cx.reply(&json!({"type": "test.done", "ref": request.reference()}));
        Ok(())
    }
}

/// A plan that gives up late enough for nothing here to depend on it.
fn patient() -> DrainPlan {
    DrainPlan { timeout: Duration::from_secs(60), ..DrainPlan::default() }
}

async fn guest(addr: SocketAddr, name: &str) -> Client {
    let mut client = Client::connect(addr).await;
    client.hello(name).await;
    client
}

pub(super) async fn numbers(addr: SocketAddr) -> BTreeMap<String, String> {
    let page = get(addr, "/metrics").await;
    let lines = page.text().lines().filter_map(|line| line.split_once(' '));
    lines.map(|(series, value)| (series.to_owned(), value.to_owned())).collect()
}

/// The sockets that a hub at this address has open to its clients, as the system names them.
fn sockets_of(addr: SocketAddr) -> BTreeSet<String> {
    let port = format!(":{:04X}", addr.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_hub = rows.filter(|row| row.len() > 9 && row[1].ends_with(&port) && row[3] == "01");
    of_hub.map(|row| format!("socket:[{}]", row[9])).collect()
}

/// How many of them this process still has open.
fn still_open(sockets: &BTreeSet<String>) -> usize {
    let open = fs::read_dir("/proc/self/fd").expect("Linux has it").filter_map(Result::ok);
    let names = open.filter_map(|file| fs::read_link(file.path()).ok()?.into_os_string().into_string().ok());
    names.filter(|name| sockets.contains(name)).count()
}

/// Sends a numbered note into the lobby past all workers.
async fn note(hub: &Hub, number: u32) {
    let body = json!({"type": "test.note", "number": number}).to_string();
    let lobby = "lobby".parse().expect("a name");
    hub.layer()
        .group_send(lobby, Message::frame(MessageId::random(), body), Retention::Kept)
        .await
        .expect("the layer takes it");
}

fn number(frame: &Value) -> u64 {
    frame["number"].as_u64().unwrap_or_else(|| panic!("{frame}"))
}

/// Who is in the lobby.
async fn lobby_has(hub: &Hub, members: usize) {
    let lobby = "lobby".parse().expect("a name");
    let presence = hub.layer().presence();
    let there = async || (presence.occupancy(&lobby).await == members).then_some(());
    until(&format!("{members} members are there"), there).await;
}

#[tokio::test]
async fn neighbours_of_a_handler_that_never_comes_back_are_cut_and_resume_and_miss_nothing() {
    let leash = Leash::default();
    let (hub, addr) = leash.hub(patient());
    let before = numbers(addr).await;
    let (mut ana, mut bo) = (guest(addr, "Ana").await, guest(addr, "Bo").await);
    // Somebody who has not said anything yet waits for the same thread.
    let mut silent = tokio::net::TcpStream::connect(addr).await.expect("it listens");
    ana.join("lobby").await;
    bo.join("lobby").await;
    note(&hub, 1).await;
    let seen = bo.expect("test.note").await;
    assert_eq!(number(&seen), 1);
    let held = sockets_of(addr);
    assert!(held.len() >= 3 && still_open(&held) == held.len(), "{held:?}");

    let begun = Instant::now();
    ana.raw_text(r#"{"type":"test.burn"}"#).await;
    leash.holds(1).await;
    for number in 2..=4 {
        note(&hub, number).await;
    }
    assert_eq!((bo.closed().await, ana.closed().await), (1006, 1006));
    let cut = begun.elapsed();
    assert!(cut >= HANDLER_MAX && cut < 2 * HANDLER_MAX, "cut after {cut:?}");
    let mut heard = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut heard);
    assert_eq!(timeout(DEADLINE, end).await.expect("it is cut as well").expect("without a reset"), 0);

    // The handler computes on. Who comes is served, and who comes back is given what was sent meanwhile.
    let (mut cy, mut bo) = (guest(addr, "Cy").await, guest(addr, "Bo").await);
    let since = &seen["position"];
    let back = json!({"type": "join", "groups": [{"group": "lobby", "since": since}]});
    let joined = bo.request(back).await;
    assert_eq!(joined["recovered"], true, "{joined}");
    let missed: Vec<_> = joined["messages"].as_array().expect("what was missed").iter().map(number).collect();
    assert_eq!(missed, [2, 3, 4]);
    cy.join("lobby").await;
    cy.send("lobby", "is anybody here?").await;
    assert_eq!(bo.expect("chat.message").await["text"], "is anybody here?");
    note(&hub, 5).await;
    assert_eq!(number(&bo.expect("test.note").await), 5);
    let more = bo.so_far().await;
    assert!(
        more.iter().all(|frame| frame["type"] != "test.note" && frame["type"] != "chat.message"),
        "{more:?}"
    );
    let now = numbers(addr).await;
    assert_eq!(
        (now["palabre_workers_replaced_total"].as_str(), now["palabre_connections"].as_str()),
        ("1", "2")
    );
    leash.holds(1).await;
    assert_eq!(still_open(&held), held.len(), "its thread holds what it held");
    lobby_has(&hub, 4).await;

    leash.let_go();
    until("nothing of it is left", async || (still_open(&held) == 0).then_some(())).await;
    lobby_has(&hub, 2).await;
    drop((bo, cy));
    until("no task is left", async || {
        (numbers(addr).await["palabre_tasks"] == before["palabre_tasks"]).then_some(())
    })
    .await;
    lobby_has(&hub, 0).await;
    assert_eq!(hub.drain().await, Drained::Whole);
}

#[tokio::test]
async fn a_hub_ends_without_the_thread_that_a_handler_has_taken_for_good() {
    let leash = Leash::default();
    let (hub, addr) = leash.hub(patient());
    let mut ana = guest(addr, "Ana").await;
    ana.raw_text(r#"{"type":"test.burn"}"#).await;
    assert_eq!(ana.closed().await, 1006);
    let mut bo = guest(addr, "Bo").await;
    let begun = Instant::now();
    let (drained, code) = tokio::join!(hub.drain(), bo.closed());
    assert_eq!((drained, code), (Drained::Whole, 4000));
    assert!(begun.elapsed() < HANDLER_MAX, "it waited {:?} for who does not come back", begun.elapsed());
    leash.holds(1).await;
}

#[tokio::test]
async fn a_hub_that_ends_while_a_handler_computes_cuts_off_who_waits_for_it() {
    let leash = Leash::default();
    let (hub, addr) = leash.hub(patient());
    let (mut ana, mut bo) = (guest(addr, "Ana").await, guest(addr, "Bo").await);
    ana.raw_text(r#"{"type":"test.burn"}"#).await;
    leash.holds(1).await;
    let (drained, codes) = tokio::join!(hub.drain(), async { (ana.closed().await, bo.closed().await) });
    assert_eq!((drained, codes), (Drained::CutOff(2), (1006, 1006)));
    leash.holds(1).await;
}

#[tokio::test]
async fn a_handler_that_computes_on_another_thread_holds_nobody_up() {
    let leash = Leash::default();
    let (hub, addr) = leash.hub(patient());
    let mut bo = guest(addr, "Bo").await;
    let mut others = Vec::new();
    for number in 0..40 {
        let mut other = guest(addr, &number.to_string()).await;
        other.raw_text(r#"{"type":"test.aside","ref":"aside"}"#).await;
        others.push(other);
    }
    // So many threads a worker has for that, and no more.
    leash.holds(32).await;
    for _ in 0..20 {
        let asked = Instant::now();
        assert_eq!(bo.request(json!({"type": "test.go"})).await["type"], "test.done");
        assert!(asked.elapsed() < Duration::from_secs(1), "it waited {:?}", asked.elapsed());
    }
    leash.holds(32).await;
    leash.let_go();
    for other in &mut others {
        assert_eq!(other.expect("test.done").await["ref"], "aside");
    }
    assert_eq!(hub.drain().await, Drained::Whole);
}

#[tokio::test]
async fn what_computes_on_another_thread_has_five_seconds_and_keeps_no_hub_from_ending() {
    let leash = Leash::default();
    let (hub, addr) = leash.hub(patient());
    let mut ana = guest(addr, "Ana").await;
    ana.raw_text(r#"{"type":"test.aside"}"#).await;
    assert_eq!(ana.closed().await, 1011);
    let begun = Instant::now();
    assert_eq!(hub.drain().await, Drained::Whole);
    assert!(begun.elapsed() < HANDLER_MAX, "it waited {:?} for what computes", begun.elapsed());
    leash.holds(1).await;
}
