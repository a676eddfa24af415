//! The contract as a suite, mounted on everything here that has to keep it.

use std::{sync::Arc, time::Duration};

use channel_layer::{
    Bounds, ChannelLayer, MemoryLayer, Mode, PresenceRules, RedisRelay, Relay, ResilientLayer, Scope,
    conformance,
    conformance::{FaultyRelay, layer::Mortal},
};
use futures_util::{FutureExt, future::BoxFuture};
use palabre_tests::RedisServer;
use tokio::{runtime::Handle, sync::Mutex, task::block_in_place};

use super::nodes::{Beside, PATIENT, PREFIX};

/// As in life, and ten times as fast; a lease is long enough for a loaded machine.
pub(super) const QUICK: PresenceRules = PresenceRules {
    members_max: 40,
    turn: Duration::from_millis(100),
    heartbeat: Duration::from_millis(1_000),
    lease: Duration::from_millis(5_000),
};

/// A node over any relay.
pub(super) fn node_over(relay: Arc<dyn Relay>, mode: Mode, rules: PresenceRules) -> Arc<dyn ChannelLayer> {
    Arc::new(ResilientLayer::with_presence(relay, mode, PATIENT, Bounds::default(), rules))
}

/// The same, which can vanish.
pub(super) fn mortal_over(relay: Arc<dyn Relay>, mode: Mode, rules: PresenceRules) -> Mortal {
    let relay = Arc::new(FaultyRelay::steady(relay));
    let node = node_over(Arc::clone(&relay) as _, mode, rules);
    // Who was seen to be absent is told two turns later.
    let forgotten_after = rules.lease + 4 * rules.turn;
    Mortal { node, vanish: Box::new(move || relay.vanish()), forgotten_after }
}

/// Another hub on the same Redis, whose names begin alike.
const STRANGE_PREFIX: &str = "test2";

/// One layer that is every node.
struct InMemory(Arc<dyn ChannelLayer>);

impl InMemory {
    fn new() -> Self {
        // Fewer ids than usual, so that forgetting some does not take thousands of messages.
        let bounds = Bounds { ids: 1_000, ..Bounds::default() };
        Self(Arc::new(MemoryLayer::with_presence(bounds, QUICK)))
    }
}

impl conformance::layer::Fixture for InMemory {
    fn node(&self) -> BoxFuture<'_, Arc<dyn ChannelLayer>> {
        async { Arc::clone(&self.0) }.boxed()
    }

    fn members_max(&self) -> Option<usize> {
        Some(QUICK.members_max)
    }

    fn trims_after(&self) -> Option<u64> {
        Some(1_000)
    }

    fn forgets_after(&self) -> Option<u64> {
        Some(2_001)
    }
}

/// A Redis of the case's own, with nodes and relays over it.
struct OverRedis {
    url: String,
    redis: Mutex<RedisServer>,
}

impl OverRedis {
    async fn new() -> Self {
        let redis = RedisServer::start().await;
        Self { url: redis.url(), redis: Mutex::new(redis) }
    }

    fn relay(&self, prefix: &str) -> Arc<RedisRelay> {
        Arc::new(RedisRelay::new(&self.url, prefix).expect("the fixture's URL is one"))
    }

    async fn node(&self, prefix: &str) -> Arc<dyn ChannelLayer> {
        node_over(self.relay(prefix), Mode::Redis, QUICK)
    }

    async fn cut_all(&self) {
        let mut beside = Beside::new(&*self.redis.lock().await).await;
        for kind in ["normal", "pubsub"] {
            beside.ask::<i64>(&format!("CLIENT KILL TYPE {kind} SKIPME yes")).await;
        }
    }
}

impl conformance::layer::Fixture for OverRedis {
    fn node(&self) -> BoxFuture<'_, Arc<dyn ChannelLayer>> {
        self.node(PREFIX).boxed()
    }

    fn stranger(&self) -> Option<BoxFuture<'_, Arc<dyn ChannelLayer>>> {
        Some(self.node(STRANGE_PREFIX).boxed())
    }

    fn cut(&self) -> Option<BoxFuture<'_, ()>> {
        Some(self.cut_all().boxed())
    }

    fn mortal(&self) -> Option<BoxFuture<'_, Mortal>> {
        Some(async { mortal_over(self.relay(PREFIX), Mode::Redis, QUICK) }.boxed())
    }

    fn members_max(&self) -> Option<usize> {
        Some(QUICK.members_max)
    }

    fn trims_after(&self) -> Option<u64> {
        Some(1_064)
    }
}

impl conformance::relay::Fixture for OverRedis {
    fn relay(&self) -> Arc<dyn Relay> {
        self.relay(PREFIX)
    }

    fn stranger(&self) -> Option<Arc<dyn Relay>> {
        Some(self.relay(STRANGE_PREFIX))
    }

    fn cut(&self) -> Option<BoxFuture<'_, ()>> {
        Some(self.cut_all().boxed())
    }

    fn save(&self) -> Option<BoxFuture<'_, ()>> {
        Some(async { self.redis.lock().await.save().await }.boxed())
    }

    fn crash(&self) -> Option<BoxFuture<'_, ()>> {
        let crash = async {
            let mut redis = self.redis.lock().await;
            // What waits for a process cannot change threads, and need not.
            block_in_place(|| {
                Handle::current().block_on(async {
                    redis.kill().await;
                    redis.start_again().await;
                });
            });
        };
        Some(crash.boxed())
    }

    fn trims_after(&self) -> Option<u64> {
        Some(1_064)
    }

    fn arrivals_max(&self) -> Option<u64> {
        Some(8_192)
    }

    fn forgets_after(&self) -> Option<u64> {
        Some(24_001)
    }
}

#[test]
fn a_layer_without_a_backend_says_so() {
    let state = *MemoryLayer::new().status().borrow();
    let words = (state.mode.as_str(), state.health.as_str(), state.scope());
    assert_eq!(words, ("memory", "healthy", Scope::Node));
}

mod in_memory {
    channel_layer::conformance_layer!(super::InMemory::new());
}

mod over_redis {
    channel_layer::conformance_layer!(super::OverRedis::new().await);
}

mod redis_itself {
    channel_layer::conformance_relay!(super::OverRedis::new().await);
}
