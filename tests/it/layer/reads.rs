//! Calls of the backend are few, however many ask: reads are four at a time, and messages share round trips.

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
use palabre_tests::RedisServer;

use tokio::time::Instant;

use super::nodes::{PATIENT, PREFIX, group, is, member, numbers, send};

/// What was asked of a relay.
#[derive(Debug, Default)]
struct Counts {
    reads_now: AtomicUsize,
    reads_most: AtomicUsize,
    batches: AtomicUsize,
}

/// A relay over Redis that counts.
#[derive(Debug)]
struct Counting {
    relay: RedisRelay,
    counts: Arc<Counts>,
}

/// A healthy layer over a counting relay.
async fn counted(redis: &RedisServer) -> (ResilientLayer, Arc<Counts>) {
    let counts = Arc::<Counts>::default();
    let relay = RedisRelay::new(&redis.url(), PREFIX).unwrap();
    let relay = Counting { relay, counts: Arc::clone(&counts) };
    let layer = ResilientLayer::new(Arc::new(relay), Mode::Redis, PATIENT);
    is(&layer, Health::Healthy).await;
    (layer, counts)
}

impl Relay for Counting {
    fn connect<'a>(&'a self, node: &'a str) -> Answered<'a, Link> {
        self.relay.connect(node)
    }

    fn open(&self, groups: Vec<Opening>) -> Answered<'_, Vec<Opened>> {
        self.relay.open(groups)
    }

    fn publish(&self, batch: Vec<Outgoing>) -> Answered<'_, Vec<Result<Verdict, LinkError>>> {
        self.counts.batches.fetch_add(1, Ordering::SeqCst);
        self.relay.publish(batch)
    }

    fn send(&self, to: ChannelName, message: Message) -> Answered<'_, ()> {
        self.relay.send(to, message)
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
