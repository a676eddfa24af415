//! The contract as a suite, mounted on everything here that has to keep it.

use std::sync::Arc;

use channel_layer::{ChannelLayer, MemoryLayer, Mode, RedisRelay, ResilientLayer, Scope, conformance};
use futures_util::{FutureExt, future::BoxFuture};
use palabre_tests::RedisServer;

use super::nodes::{Beside, PATIENT, PREFIX, node};

/// One layer that is every node.
struct InMemory(Arc<dyn ChannelLayer>);

impl InMemory {
    fn new() -> Self {
        Self(Arc::new(MemoryLayer::new()))
    }
}

impl conformance::layer::Fixture for InMemory {
    fn node(&self) -> BoxFuture<'_, Arc<dyn ChannelLayer>> {
        async { Arc::clone(&self.0) }.boxed()
    }

    fn trims_after(&self) -> Option<u64> {
        Some(1_000)
    }

    fn forgets_after(&self) -> Option<u64> {
        Some(12_001)
    }
}

/// A Redis of the case's own, and nodes over it.
struct OverRedis(RedisServer);

impl OverRedis {
    async fn new() -> Self {
        Self(RedisServer::start().await)
    }

    async fn cut_all(&self) {
        let mut beside = Beside::new(&self.0).await;
        for kind in ["normal", "pubsub"] {
            beside.ask::<i64>(&format!("CLIENT KILL TYPE {kind} SKIPME yes")).await;
        }
    }
}

impl conformance::layer::Fixture for OverRedis {
    fn node(&self) -> BoxFuture<'_, Arc<dyn ChannelLayer>> {
        async { Arc::new(node(&self.0, PATIENT)) as Arc<dyn ChannelLayer> }.boxed()
    }

    fn stranger(&self) -> Option<BoxFuture<'_, Arc<dyn ChannelLayer>>> {
        let stranger = async {
            let relay =
                RedisRelay::new(&self.0.url(), &format!("{PREFIX}2")).expect("the fixture's URL is one");
            Arc::new(ResilientLayer::new(Arc::new(relay), Mode::Redis, PATIENT)) as Arc<dyn ChannelLayer>
        };
        Some(stranger.boxed())
    }

    fn cut(&self) -> Option<BoxFuture<'_, ()>> {
        Some(self.cut_all().boxed())
    }

    fn trims_after(&self) -> Option<u64> {
        Some(1_064)
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
