//! Clients that take little of what they asked for, or nothing: cut, let go in time, and nobody else is slowed.

use std::time::Duration;

use palabre_tests::bystander::undisturbed;
use palabre_tests::raw::take;
use palabre_tests::{Client, HubProcess, RawClient};
use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use super::aftermath::{Before, Page};

const TOO_SLOW: u16 = 4001;

/// More than an outbox and both kernels hold, in messages of a kilobyte.
const MESSAGES_MAX: u64 = 8_000;
const BATCH: u64 = 20;

/// Histories that keep all that these tests say.
const LONG: [(&str, &str); 2] = [("PALABRE_HISTORY_MESSAGES", "10000"), ("PALABRE_HISTORY_BYTES", "64MiB")];

/// A client takes nothing for five seconds after its cut; the machine may be busy.
const RESET_WITHIN: Duration = Duration::from_secs(20);

/// The one who talks, in groups where each message comes back once and in order.
struct Talker {
    client: Client,
    groups: Vec<String>,
    said: u64,
}

impl Talker {
    async fn enter(hub: &HubProcess, groups: &[String]) -> Self {
        let mut client = Client::connect(hub.addr()).await;
        client.hello("Talker").await;
        for group in groups {
            client.join(group).await;
        }
        Self { client, groups: groups.to_vec(), said: 0 }
    }

    /// Says some kilobytes, one group after the other, and hears them.
    async fn talk(&mut self) {
        let text = "x".repeat(1 << 10);
        let groups = self.groups.len() as u64;
        let place = |number: u64| usize::try_from(number % groups).expect("an index");
        for number in self.said..self.said + BATCH {
            let client_id = format!("talk-{number:08}");
            let group = &self.groups[place(number)];
            let send = json!({"type": "chat.send", "group": group, "client_id": client_id, "text": text});
            self.client.raw_text(&send.to_string()).await;
        }
        for number in self.said..self.said + BATCH {
            let (offset, message) = self.client.message().await;
            assert_eq!(
                (offset, &message["group"]),
                (number / groups + 1, &json!(self.groups[place(number)]))
            );
        }
        self.said += BATCH;
    }

    /// Talks until the hub has cut so many clients more than before.
    async fn talk_until_cut(&mut self, hub: &HubProcess, cut: u64) {
        let already = Page::of(hub).await.closes(TOO_SLOW);
        while Page::of(hub).await.closes(TOO_SLOW) < already + cut {
            assert!(self.said < MESSAGES_MAX, "nobody was too slow for {} messages", self.said);
            self.talk().await;
        }
    }
}

/// Reads so many bytes in each of the pauses between, until the hub ends it; returns the last offset that came whole.
async fn sip(mut client: RawClient, bytes: usize, pause: Duration) -> u64 {
    let mut pauses = interval(pause);
    loop {
        pauses.tick().await;
        if client.read_some(bytes).await == 0 {
            break;
        }
    }
    let (_, mut read) = client.into_parts();
    let mut last = 0;
    while let Some((_, payload)) = take(&mut read) {
        let frame: Value = serde_json::from_slice(&payload).expect("a hub speaks JSON");
        if frame["type"] == "chat.message" {
            last += 1;
            assert_eq!(frame["position"]["offset"], last);
        }
    }
    last
}

/// Comes back with the last offset that it has, and reads on to the end; returns all offsets after that.
async fn resume(hub: &HubProcess, group: &str, offset: u64) -> Vec<u64> {
    let mut client = Client::connect(hub.addr()).await;
    client.hello("again").await;
    let epoch = client.join(group).await["position"]["epoch"].clone();
    let since = json!({"epoch": epoch, "offset": offset});
    let join = json!({"type": "join", "groups": [{"group": group, "since": since}]});
    let mut page = client.request(join).await;
    assert_eq!(page["recovered"], true, "{}", page["reason"]);
    let mut offsets = Vec::new();
    loop {
        let messages = page["messages"].as_array().expect("messages");
        offsets.extend(messages.iter().map(|one| one["position"]["offset"].as_u64().expect("a position")));
        if page["more"] != true {
            return offsets;
        }
        let after = messages.last().expect("more follows something")["position"].clone();
        page = client.request(json!({"type": "history", "group": group, "after": after, "limit": 100})).await;
    }
}

#[tokio::test]
async fn one_that_reads_a_byte_a_second_is_cut_let_go_and_resumes_with_nothing_missing() {
    let hub = HubProcess::start_with(&[], &LONG).await;
    let lobby = ["lobby".to_owned()];
    undisturbed(hub.addr(), async {
        let mut talker = Talker::enter(&hub, &lobby).await;
        let before = Before::of(&hub).await;
        let mut slow = RawClient::connect_small(hub.addr()).await;
        slow.enter(&lobby).await;
        let sips = sip(slow, 1, Duration::from_secs(1));
        let (mut sips, mut ended) = (std::pin::pin!(sips), None);
        tokio::select! {
            () = talker.talk_until_cut(&hub, 1) => {}
            offset = &mut sips => ended = Some(offset),
        }
        assert_eq!(ended, None, "it was let go before it was told to be slow");
        let cut = Instant::now();
        // Its place is free long before it has read what its kernel has.
        tokio::select! {
            _ = &mut sips => {}
            () = before.is_back(&hub, "a byte a second", RESET_WITHIN) => {}
        }
        assert!(cut.elapsed() > Duration::from_secs(3), "let go after {:?}", cut.elapsed());
        // It had not read one whole message yet.
        let expected: Vec<_> = (1..=talker.said).collect();
        assert_eq!(resume(&hub, "lobby", 0).await, expected);
    })
    .await;
}

#[tokio::test]
async fn those_that_read_nothing_are_let_go_and_what_they_had_coming_is_given_back() {
    const CLIENTS: u64 = 8;
    let hub = HubProcess::start_with(&[], &LONG).await;
    let lobby = ["lobby".to_owned()];
    undisturbed(hub.addr(), async {
        let mut talker = Talker::enter(&hub, &lobby).await;
        let before = Before::of(&hub).await;
        let mut deaf = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = RawClient::connect_small(hub.addr()).await;
            client.enter(&lobby).await;
            deaf.push(client);
        }
        talker.talk_until_cut(&hub, CLIENTS).await;
        let grown = before.grown_kib(&hub);
        assert!(grown < 48 << 10, "{grown} KiB for {CLIENTS} clients that read nothing");
        before.is_back(&hub, "nothing read", RESET_WITHIN).await;
        drop(deaf);
    })
    .await;
}

#[tokio::test]
async fn one_that_asks_for_huge_pages_and_reads_none_is_let_go() {
    const CLIENTS: u64 = 5;
    let hub = HubProcess::start_with(&[], &LONG).await;
    let lobby = ["lobby".to_owned()];
    undisturbed(hub.addr(), async {
        let mut talker = Talker::enter(&hub, &lobby).await;
        for _ in 0..30 {
            talker.talk().await;
        }
        let before = Before::of(&hub).await;
        let peak = hub.peak_kib();
        let closed = Page::of(&hub).await.closes(TOO_SLOW);
        let mut deaf = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = RawClient::connect_small(hub.addr()).await;
            client.enter(&lobby).await;
            for number in 0..200 {
                let ask =
                    json!({"type": "history", "ref": number.to_string(), "group": "lobby", "limit": 100});
                client.text(&ask.to_string()).await;
            }
            deaf.push(client);
        }
        // Half a minute without taking anything, and what a goodbye lasts.
        before.is_back(&hub, "pages that nobody reads", Duration::from_secs(60)).await;
        let grown = hub.peak_kib() - peak;
        assert!(grown < 16 << 10, "{grown} KiB for pages that nobody reads");
        assert_eq!(Page::of(&hub).await.closes(TOO_SLOW), closed + CLIENTS);
        drop(deaf);
    })
    .await;
}

#[tokio::test]
async fn one_that_is_everywhere_and_takes_crumbs_is_let_go_like_one_that_takes_nothing() {
    let hub = HubProcess::start_with(&[], &LONG).await;
    let groups: Vec<_> = (0..200).map(|number| format!("room-{number}")).collect();
    undisturbed(hub.addr(), async {
        let mut talker = Talker::enter(&hub, &groups).await;
        let before = Before::of(&hub).await;
        let mut slow = RawClient::connect_small(hub.addr()).await;
        slow.enter(&groups[..100]).await;
        let rest: Vec<_> = groups[100..].iter().map(|group| json!({"group": group})).collect();
        slow.text(&json!({"type": "join", "ref": "rest", "groups": rest}).to_string()).await;
        for _ in &rest {
            while slow.json().await["type"] != "joined" {}
        }
        // Five kilobytes a second are less than its kernel asks for at a time.
        let crumbs = async {
            let mut pauses = interval(Duration::from_millis(100));
            while slow.read_some(512).await > 0 {
                pauses.tick().await;
            }
        };
        let story = async {
            talker.talk_until_cut(&hub, 1).await;
            let cut = Instant::now();
            before.is_back(&hub, "crumbs", RESET_WITHIN).await;
            assert!(cut.elapsed() > Duration::from_secs(3), "let go after {:?}", cut.elapsed());
        };
        tokio::join!(crumbs, story);
    })
    .await;
}
