//! How far the harm goes that a consumer does which runs on its worker's thread: one that computes for some seconds holds its own
//! worker for that time, and nobody else; one that panics or hangs ends its own connection, and counts.

use std::collections::BTreeMap;
use std::hint::spin_loop;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use palabre::chat::{Chat, PREFIX};
use palabre::config::Rates;
use palabre::protocol::{Limits, Request};
use palabre::{Consumer, Context, Hub, Outcome, Runs};
use palabre_tests::Client;
use palabre_tests::http::get;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::serve_whole;

/// Nobody on another worker may wait so long; the machine is busy.
const PATIENCE: Duration = Duration::from_millis(2_500);

/// Computes for as long as it is burning, or waits for ever, or panics, and says which worker it is on.
struct Unruly(Arc<AtomicBool>);

impl Consumer for Unruly {
    const RUNS: Runs = Runs::Inline;

    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        match request.kind() {
            "test.burn" => {
                self.0.store(true, Ordering::Release);
                while self.0.load(Ordering::Acquire) {
                    spin_loop();
                }
            }
            "test.panic" => panic!("as it was told"),
            "test.hang" => std::future::pending().await,
            _ => {}
        }
        let worker = cx.address().mailbox();
        cx.reply(&json!({"type": "test.done", "ref": request.reference(), "worker": worker}));
        Ok(())
    }
}

/// Which worker a client is on.
async fn worker_of(client: &mut Client) -> Value {
    client.request(json!({"type": "test.where"})).await["worker"].take()
}

#[tokio::test]
async fn a_consumer_that_computes_holds_its_own_worker_for_that_time_and_nobody_on_another() {
    let burning = Arc::<AtomicBool>::default();
    let noted = Arc::clone(&burning);
    let hub = Hub::test()
        .rates(Rates::unlimited())
        .workers(NonZeroUsize::new(2).expect("not zero"))
        .mount(PREFIX, |_| Chat::new(Limits::default()))
        .mount("test.", move |_| Unruly(Arc::clone(&noted)))
        .open()
        .await;
    let (mut ana, mut bo) = (hub.client("Ana").await, hub.client("Bo").await);
    let here = worker_of(&mut ana).await;
    assert_eq!(worker_of(&mut bo).await, here, "who comes together is put together");
    for client in [&mut ana, &mut bo] {
        client.join("lobby").await;
    }
    // Clients come until one is on the other worker, where all come for a while from then on.
    let mut others = Vec::new();
    let mut burner = loop {
        let mut client = hub.client("other").await;
        if worker_of(&mut client).await != here {
            break client;
        }
        others.push(client);
        assert!(others.len() < 200, "nobody comes to the other worker");
    };
    let mut neighbour = hub.client("neighbour").await;
    assert_ne!(worker_of(&mut neighbour).await, here);

    let begun = Instant::now();
    burner.raw_text(r#"{"type":"test.burn","ref":"burn"}"#).await;
    neighbour.raw_text(r#"{"type":"test.where","ref":"late"}"#).await;
    let is_burning = || burning.load(Ordering::Acquire);
    while !is_burning() {
        tokio::task::yield_now().await;
    }
    let (mut said, mut came) = (0, 0);
    // Until it is noticed, which is some seconds before its worker would be given up.
    while came == 0 {
        let talk = async {
            ana.send("lobby", "still here").await;
            assert_eq!(bo.message().await.1["text"], "still here");
            ana.message().await;
        };
        assert!(timeout(PATIENCE, talk).await.is_ok(), "the other worker waits as well");
        said += 1;
        // At first newcomers come to the worker that stands still, and wait; once that is noticed they do not.
        let newcomer = async { worker_of(&mut hub.client("newcomer").await).await };
        if let Ok(worker) = timeout(Duration::from_millis(300), newcomer).await {
            assert_eq!(worker, here);
            came += 1;
        }
    }
    assert!(is_burning() && said > 2, "{said} messages");
    burning.store(false, Ordering::Release);
    for (client, reference) in [(&mut burner, "burn"), (&mut neighbour, "late")] {
        assert_eq!(client.expect("test.done").await["ref"], reference);
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "it was noticed sooner than it can be");
    hub.end().await;
}

#[tokio::test]
async fn panics_are_counted_and_neither_they_nor_handlers_that_hang_leave_anything() {
    let hub = Hub::test().mount("test.", |_| Unruly(Arc::default())).start().expect("the hub starts");
    let (hub, addr) = serve_whole(hub);
    let numbers = async || -> BTreeMap<String, String> {
        let page = get(addr, "/metrics").await;
        page.text()
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(a, b)| (a.into(), b.into()))
            .collect()
    };
    let mut bystander = Client::connect(addr).await;
    bystander.hello("Bo").await;
    let before = numbers().await;
    let mut ends = Vec::new();
    for kind in ["test.panic", "test.panic", "test.panic", "test.hang", "test.hang"] {
        let mut client = Client::connect(addr).await;
        client.hello("Mallory").await;
        client.join("room").await;
        client.raw_text(&json!({"type": kind}).to_string()).await;
        ends.push(client);
    }
    let asked = Instant::now();
    for client in &mut ends {
        assert_eq!(client.closed().await, 1011);
    }
    assert!(asked.elapsed() > Duration::from_secs(3), "who hangs has its five seconds");
    worker_of(&mut bystander).await;
    palabre_tests::machine::until("nothing is left of them", async || {
        let now = numbers().await;
        let held = ["palabre_connections", "palabre_tasks"];
        held.iter().all(|series| now[*series] == before[*series]).then_some(())
    })
    .await;
    let after = numbers().await;
    assert_eq!(after["palabre_panics_total"], "3");
    assert_eq!(after[r#"palabre_closes_total{code="1011"}"#], "5");
    hub.drain().await;
}
