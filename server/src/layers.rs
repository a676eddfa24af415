//! From the configuration to a layer: the one place that knows a backend by name.

use crate::config::Settings;
use anyhow::Context;
use channel_layer::{ChannelLayer, MemoryLayer, Mode, RedisRelay, ResilientLayer};
use std::sync::Arc;

/// The layer that the settings ask for: over Redis, where other nodes see this one under its `node.id`, or of this node
/// alone.
///
/// # Errors
///
/// When the URL is none that the client understands.
pub fn layer(settings: &Settings) -> anyhow::Result<Arc<dyn ChannelLayer>> {
    let redis = &settings.redis;
    let Some(url) = redis.url_in_use() else { return Ok(Arc::new(MemoryLayer::new())) };
    let mut relay = RedisRelay::new(url.expose(), redis.prefix.as_str()).context("redis.url")?;
    if let Some(id) = &settings.node.id {
        relay = relay.named(id.as_str());
    }
    Ok(Arc::new(ResilientLayer::new(Arc::new(relay), Mode::Redis, redis.deadline)))
}
