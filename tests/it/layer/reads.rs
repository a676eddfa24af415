//! Calls of the backend are few and small, however many ask: reads are four at a time, messages share round trips, and a
//! node with many groups opens some at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use channel_layer::{
    Answered, ChannelLayer, ChannelName, Epoch, GapReason, GroupName, Health, Link, LinkError, Message, Mode,
    Opened, Opening, Outgoing, Position, Presented, Recovered, RedisRelay, Relay, ResilientLayer, RowStored,
    RowWrite, Span, Verdict,
};
use futures_util::{FutureExt, future::join_all};
use palabre_tests::{RedisServer, machine::until};
use tokio::time::{Instant, timeout};

use super::nodes::{Beside, PATIENT, PREFIX, group, insist, is, member, message, numbers, send};

/// What was asked of a relay.
#[derive(Debug, Default)]
struct Counts {
    reads_now: AtomicUsize,
    reads_most: AtomicUsize,
    batches: AtomicUsize,
}

/// A relay over Redis that counts, and opens groups no faster than this.
#[derive(Debug)]
struct Counting {
    relay: RedisRelay,
    counts: Arc<Counts>,
    a_group_takes: Duration,
}

/// How long a call may take before its link is given up, as in the relay itself.
const CALL_MAX: Duration = Duration::from_secs(1);

/// A healthy layer over a counting relay.
async fn counted(redis: &RedisServer) -> (ResilientLayer, Arc<Counts>) {
    slowed(redis, Duration::ZERO).await
}

/// The same, opening groups no faster than this.
async fn slowed(redis: &RedisServer, a_group_takes: Duration) -> (ResilientLayer, Arc<Counts>) {
    let counts = Arc::<Counts>::default();
    let relay = RedisRelay::new(&redis.url(), PREFIX).unwrap();
    let relay = Counting { relay, counts: Arc::clone(&counts), a_group_takes };
    let layer = ResilientLayer::new(Arc::new(relay), Mode::Redis, PATIENT);
    is(&layer, Health::Healthy).await;
    (layer, counts)
}

impl Relay for Counting {
    fn connect<'a>(&'a self, node: &'a str) -> Answered<'a, Link> {
        self.relay.connect(node)
    }

    fn open(&self, groups: Vec<Opening>) -> Answered<'_, Vec<Opened>> {
        async move {
            let takes = self.a_group_takes * u32::try_from(groups.len()).unwrap();
            tokio::time::sleep(takes.min(CALL_MAX)).await;
            if takes > CALL_MAX { Err(LinkError::TimedOut) } else { self.relay.open(groups).await }
        }
        .boxed()
    }

    fn publish(&self, batch: Vec<Outgoing>) -> Answered<'_, Vec<Result<Verdict, LinkError>>> {
        self.counts.batches.fetch_add(1, Ordering::SeqCst);
        self.relay.publish(batch)
    }

    fn send(&self, to: ChannelName, message: Message) -> Answered<'_, ()> {
        self.relay.send(to, message)
    }

    fn probe(&self, number: u64) -> Answered<'_, ()> {
        self.relay.probe(number)
    }

    fn subscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()> {
        self.relay.subscribe(groups)
    }

    fn unsubscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()> {
        self.relay.unsubscribe(groups)
    }

    fn present(&self, lease: Duration, writes: Vec<(GroupName, RowWrite)>) -> Answered<'_, Vec<Presented>> {
        self.relay.present(lease, writes)
    }

    fn rows(&self, groups: Vec<GroupName>) -> Answered<'_, Vec<Vec<RowStored>>> {
        self.relay.rows(groups)
    }

    fn read(&self, group: GroupName, span: Span, messages_max: usize) -> Answered<'_, Recovered> {
        async move {
            let now = self.counts.reads_now.fetch_add(1, Ordering::SeqCst) + 1;
            self.counts.reads_most.fetch_max(now, Ordering::SeqCst);
            let read = self.relay.read(group, span, messages_max).await;
            self.counts.reads_now.fetch_sub(1, Ordering::SeqCst);
            read
        }
        .boxed()
    }
}

#[tokio::test]
async fn however_many_ask_with_useless_positions_four_reads_are_under_way() {
    let redis = RedisServer::start().await;
    let (layer, counts) = counted(&redis).await;
    let name = group("busy");
    let _member = member(&layer, &name, 1_000).await;
    for number in 0..200 {
        send(&layer, &name, number).await;
    }
    let strange = Span::After(Position { epoch: Epoch::random(), offset: 1 });
    let asked = join_all((0..100).map(|_| layer.history(name.clone(), strange, 1_000)));
    for answer in asked.await {
        let Ok(Recovered::Gap(GapReason::UnknownEpoch, page)) = answer else { panic!("{answer:?}") };
        assert_eq!(page.messages.len(), 100, "a screen's worth, and not all that was asked for");
    }
    assert_eq!(counts.reads_most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn messages_that_come_one_after_the_other_share_round_trips() {
    let redis = RedisServer::start().await;
    let (layer, counts) = counted(&redis).await;
    let name = group("busy");
    let mut mailbox = member(&layer, &name, 1_000).await;
    send(&layer, &name, 0).await;
    let (before, begun) = (counts.batches.load(Ordering::SeqCst), Instant::now());
    // Each knows that the one before has arrived: without company it would have gone at once.
    for number in 1..=200 {
        send(&layer, &name, number).await;
    }
    let batches = counts.batches.load(Ordering::SeqCst) - before;
    let elapsed_ms = begun.elapsed().as_millis();
    assert!(batches as u128 <= elapsed_ms + 1, "{batches} batches in {elapsed_ms} ms");
    assert_eq!(numbers(&mut mailbox, 201).await, (0..=200).collect::<Vec<u32>>());
}

#[tokio::test]
async fn a_node_with_more_groups_than_one_call_can_open_comes_back_and_sends_meanwhile() {
    // All at once would take three times as long as a call may.
    const GROUPS: usize = 1_000;
    let redis = RedisServer::start().await;
    let (layer, _) = slowed(&redis, Duration::from_millis(3)).await;
    let mailbox = layer.new_channel(1_024);
    let names: Vec<GroupName> = (0..GROUPS).map(|number| group(&format!("g{number}"))).collect();
    let join = |name: &GroupName| layer.group_add(name.clone(), mailbox.channel().clone());
    until("all groups are joined", async || {
        join_all(names.iter().map(join)).await.into_iter().all(|joined| joined.is_ok()).then_some(())
    })
    .await;
    let mut status = layer.status();
    status.mark_unchanged();
    Beside::new(&redis).await.ask::<usize>("CLIENT KILL TYPE normal").await;
    timeout(PATIENT, status.changed()).await.expect("a lost connection is noticed").unwrap();
    insist(&layer, &names[GROUPS / 2], &message(1)).await;
    assert_ne!(layer.status().borrow().health, Health::Healthy, "most groups are still to be opened");
    is(&layer, Health::Healthy).await;
}
