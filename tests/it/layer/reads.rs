//! Reads of the backend are few at a time, however many ask: they share its connection with the publishes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use channel_layer::{
    Answered, ChannelLayer, ChannelName, Epoch, GapReason, GroupName, Health, Link, LinkError, Message, Mode,
    Opened, Opening, Outgoing, Position, Recovered, RedisRelay, Relay, ResilientLayer, Span, Verdict,
};
use futures_util::{FutureExt, future::join_all};
use palabre_tests::RedisServer;

use super::nodes::{PATIENT, PREFIX, group, is, member, send};

/// A relay over Redis that counts how many reads are under way.
#[derive(Debug)]
struct Counting {
    relay: RedisRelay,
    now: AtomicUsize,
    most: Arc<AtomicUsize>,
}

impl Relay for Counting {
    fn connect<'a>(&'a self, node: &'a str) -> Answered<'a, Link> {
        self.relay.connect(node)
    }

    fn open(&self, groups: Vec<Opening>) -> Answered<'_, Vec<Opened>> {
        self.relay.open(groups)
    }

    fn publish(&self, batch: Vec<Outgoing>) -> Answered<'_, Vec<Result<Verdict, LinkError>>> {
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

    fn read(&self, group: GroupName, span: Span, messages_max: usize) -> Answered<'_, Recovered> {
        async move {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let read = self.relay.read(group, span, messages_max).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            read
        }
        .boxed()
    }
}

#[tokio::test]
async fn however_many_ask_with_useless_positions_four_reads_are_under_way() {
    let redis = RedisServer::start().await;
    let most = Arc::new(AtomicUsize::new(0));
    let relay = RedisRelay::new(&redis.url(), PREFIX).unwrap();
    let relay = Counting { relay, now: AtomicUsize::new(0), most: Arc::clone(&most) };
    let layer = ResilientLayer::new(Arc::new(relay), Mode::Redis, PATIENT);
    is(&layer, Health::Healthy).await;
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
    assert_eq!(most.load(Ordering::SeqCst), 4);
}
