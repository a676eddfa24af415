//! From the configuration to a layer: the one place that knows a backend by name.

use crate::config::Redis;
use anyhow::Context;
use channel_layer::{ChannelLayer, MemoryLayer, Mode, RedisRelay, ResilientLayer};
use std::sync::Arc;

/// The layer that `redis` asks for: over Redis, or of this node alone.
///
/// # Errors
///
/// When the URL is none that the client understands.
pub fn layer(redis: &Redis) -> anyhow::Result<Arc<dyn ChannelLayer>> {
    let Some(url) = &redis.url else { return Ok(Arc::new(MemoryLayer::new())) };
    let relay = RedisRelay::new(url.expose(), redis.prefix.as_str()).context("redis.url")?;
    Ok(Arc::new(ResilientLayer::new(Arc::new(relay), Mode::Redis, redis.deadline)))
}
