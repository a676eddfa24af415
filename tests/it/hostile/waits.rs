//! Clients that make the hub wait: each kind of silence has its end, and what waits with it goes with it.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use palabre::chat::{Chat, PREFIX};
use palabre::protocol::{Limits, Request, encode};
use palabre::{Consumer, Context, Hub, Outcome};
use palabre_tests::bystander::undisturbed;
use palabre_tests::machine::until;
use palabre_tests::raw::{CLOSE, TEXT, frame, take};
use palabre_tests::{Client, HubProcess, RawClient};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};

use super::aftermath::{Before, Page};

/// Of each kind at once, so that what is left of one shows.
const CLIENTS: usize = 5;

/// Reads until the hub's close, saying nothing; the code, and how long it took.
async fn close_of(client: RawClient, patience: Duration) -> (u16, Duration) {
    let begun = Instant::now();
    let (mut stream, mut read) = client.into_parts();
    let closed = timeout(patience, async {
        loop {
            while let Some((first, payload)) = take(&mut read) {
                if first == CLOSE {
                    return u16::from_be_bytes(*payload.first_chunk().expect("a hub's close has a code"));
                }
            }
            let more = stream.read_buf(&mut read).await.expect("it is closed, not reset");
            assert!(more > 0, "the connection ended without a close");
        }
    });
    (closed.await.unwrap_or_else(|_| panic!("not closed in {patience:?}")), begun.elapsed())
}

#[tokio::test]
async fn those_who_open_sockets_and_say_nothing_are_let_go_after_five_seconds() {
    const SILENT: usize = 150;
    let hub = HubProcess::start(&[]).await;
    undisturbed(hub.addr(), async {
        let before = Before::of(&hub).await;
        let closed = Page::of(&hub).await.closes(4501);
        let begun = Instant::now();
        let mut mute = Vec::new();
        let mut nameless = Vec::new();
        for _ in 0..SILENT {
            mute.push(TcpStream::connect(hub.addr()).await.expect("the hub listens"));
            nameless.push(RawClient::connect(hub.addr()).await);
        }
        // They never hang up, either.
        before.is_back(&hub, "silence", Duration::from_secs(30)).await;
        assert!(begun.elapsed() > Duration::from_secs(4), "after {:?}", begun.elapsed());
        assert_eq!(Page::of(&hub).await.closes(4501), closed + SILENT as u64);
        drop((mute, nameless));
    })
    .await;
}

#[tokio::test]
async fn a_message_that_comes_a_byte_a_second_is_not_waited_for() {
    let hub = HubProcess::start(&[]).await;
    let long = frame(TEXT, &[b' '; 100]);
    let pieces = [frame(0x01, b"\""), frame(0x00, b"").repeat(30)].concat();
    let rows: [(&str, &[u8], usize); 3] =
        [("a byte a second", &long, 1), ("a piece a second", &pieces, 6), ("a piece of a piece", &pieces, 1)];
    undisturbed(hub.addr(), async {
        let before = Before::of(&hub).await;
        let mut drips = Vec::new();
        for (what, bytes, each) in rows {
            for _ in 0..CLIENTS {
                let mut client = RawClient::connect(hub.addr()).await;
                client.hello().await;
                let bytes = bytes.to_vec();
                drips.push(async move {
                    let (begun, mut seconds) = (Instant::now(), interval(Duration::from_secs(1)));
                    let mut chunks = bytes.chunks(each);
                    while begun.elapsed() < Duration::from_millis(12_500) {
                        seconds.tick().await;
                        client.write(chunks.next().expect("there are enough")).await;
                    }
                    assert_eq!(client.close_code().await, 4001, "{what}");
                });
            }
        }
        futures_util::future::join_all(drips).await;
        before.is_back(&hub, "drips", Duration::from_secs(15)).await;
    })
    .await;
}

#[tokio::test]
async fn one_that_answers_no_ping_is_closed_with_4002() {
    let hub = HubProcess::start(&[]).await;
    undisturbed(hub.addr(), async {
        let before = Before::of(&hub).await;
        let mut closes = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = RawClient::connect(hub.addr()).await;
            client.enter(&["lobby".to_owned()]).await;
            closes.push(close_of(client, Duration::from_secs(120)));
        }
        for (code, took) in futures_util::future::join_all(closes).await {
            assert_eq!(code, 4002);
            assert!((50..110).contains(&took.as_secs()), "{took:?}");
        }
        before.is_back(&hub, "no pong", Duration::from_secs(15)).await;
    })
    .await;
}

/// Puts every request off until it is told to go on.
struct Slow {
    seen: Arc<AtomicUsize>,
    go_on: watch::Receiver<bool>,
}

impl Consumer for Slow {
    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        self.seen.fetch_add(1, Ordering::Relaxed);
        let mut go_on = self.go_on.clone();
        cx.defer(async move {
            go_on.wait_for(|go_on| *go_on).await.ok()?;
            Some(encode(&json!({"type": "slow.done", "ref": request.reference()})))
        })
    }
}

#[tokio::test]
async fn of_many_requests_sixteen_are_open_and_the_others_wait_unread() {
    const ASKED: usize = 60;
    let limits = Limits::default();
    let seen = Arc::<AtomicUsize>::default();
    let (go, go_on) = watch::channel(false);
    let count = Arc::clone(&seen);
    let hub = Hub::test()
        .mount(PREFIX, move |_| Chat::new(limits))
        .mount("slow.", move |_| Slow { seen: Arc::clone(&count), go_on: go_on.clone() })
        .open()
        .await;
    let mut client = hub.client("Mallory").await;
    undisturbed(hub.address(), async {
        for number in 0..ASKED {
            let ask = json!({"type": "slow.ask", "ref": number.to_string()});
            client.raw_text(&ask.to_string()).await;
        }
        let look = || seen.load(Ordering::Relaxed);
        until("sixteen are open", async || (look() >= limits.open_requests).then_some(())).await;
        // Whoever comes later on the same worker is served at once.
        let mut other = hub.client("Bo").await;
        other.join("lobby").await;
        other.so_far().await;
        assert_eq!(look(), limits.open_requests);

        go.send_replace(true);
        let mut answered = Vec::new();
        for _ in 0..ASKED {
            answered.push(client.expect("slow.done").await["ref"].as_str().map(str::to_owned));
        }
        answered.sort();
        let mut expected: Vec<_> = (0..ASKED).map(|number| Some(number.to_string())).collect();
        expected.sort();
        assert_eq!(answered, expected);
        assert_eq!(client.so_far().await, [] as [Value; 0]);
    })
    .await;
    drop(Client::connect(hub.address()).await);
    hub.end().await;
}

#[tokio::test]
async fn what_a_client_puts_off_as_it_says_goodbye_is_let_go() {
    /// Puts off what never ends, and holds what a consumer may hold.
    struct Endless(Arc<()>);

    impl Consumer for Endless {
        async fn received(&mut self, _: Request, cx: &Context) -> Outcome {
            let (held, here) = (Arc::clone(&self.0), cx.clone());
            cx.defer(async move {
                pending::<()>().await;
                drop((held, here));
                None
            })
        }
    }

    let held = Arc::new(());
    let of_each = Arc::clone(&held);
    let hub = Hub::test().mount("endless.", move |_| Endless(Arc::clone(&of_each))).open().await;
    let idle = Arc::strong_count(&held);
    for _ in 0..CLIENTS {
        let mut client = RawClient::connect(hub.address()).await;
        client.hello().await;
        let ask = frame(TEXT, br#"{"type":"endless.ask","ref":"1"}"#);
        // Both are read in one turn, before the connection looks at what it has put off.
        client.write(&[ask, frame(CLOSE, &[])].concat()).await;
        while client.read_some(1_024).await > 0 {}
    }
    until("nothing is held any more", async || (Arc::strong_count(&held) == idle).then_some(())).await;
    hub.end().await;
}
