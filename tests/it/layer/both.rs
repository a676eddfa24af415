//! Cases that know no backend, run on the layer in memory and on the one over Redis.

use std::sync::Arc;

use channel_layer::ChannelLayer;

/// What a case is given.
pub(super) type Layer = Arc<dyn ChannelLayer>;

/// Runs each case on both layers; the one over Redis is healthy, and its Redis lives as long as the case.
macro_rules! on_both_layers {
    ($($case:ident)*) => {
        mod in_memory {
            use channel_layer::MemoryLayer;
            $(#[tokio::test] async fn $case() { super::$case(std::sync::Arc::new(MemoryLayer::new())).await; })*
        }
        mod over_redis {
            use crate::layer::nodes::healthy_node;
            use palabre_tests::RedisServer;
            $(#[tokio::test] async fn $case() {
                let redis = RedisServer::start().await;
                super::$case(std::sync::Arc::new(healthy_node(&redis).await)).await;
            })*
        }
    };
}
pub(super) use on_both_layers;
