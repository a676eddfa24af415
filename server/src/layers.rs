//! From the configuration to a layer: the one place that knows a backend by name.

use crate::{config::Settings, state::State};
use anyhow::Context;
use channel_layer::{ChannelLayer, MemoryLayer, Mode, PresenceRules, RedisRelay, ResilientLayer};
use std::sync::Arc;

/// The layer that the settings ask for, and the values beside its histories: over Redis, where other nodes see this one
/// under its `node.id`, or of this node alone.
///
/// # Errors
///
/// When the URL is none that the client understands.
pub fn layer(settings: &Settings) -> anyhow::Result<(Arc<dyn ChannelLayer>, State)> {
    let redis = &settings.redis;
    let bounds = settings.history.bounds;
    let presence = PresenceRules { members_max: settings.presence.members_max, ..PresenceRules::default() };
    let Some(url) = redis.url_in_use() else {
        let layer = Arc::new(MemoryLayer::with_presence(bounds, presence));
        let state = State::in_memory(&layer);
        return Ok((layer, state));
    };
    let mut relay =
        RedisRelay::new(url.expose(), redis.prefix.as_str()).context("redis.url")?.with_bounds(bounds);
    if let Some(id) = &settings.node.id {
        relay = relay.named(id.as_str());
    }
    let state = State::in_redis(&relay, redis.deadline);
    let relay = Arc::new(relay);
    let layer = ResilientLayer::with_presence(relay, Mode::Redis, redis.deadline, bounds, presence);
    Ok((Arc::new(layer), state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use channel_layer::{GroupName, Message, MessageId, Retention, Span};

    #[tokio::test]
    async fn a_layer_keeps_as_much_as_the_settings_say() {
        let mut settings = Settings::default();
        settings.history.bounds.history.messages = 100;
        let (layer, _) = layer(&settings).unwrap();
        let lobby: GroupName = "lobby".parse().unwrap();
        for _ in 0..150 {
            let message = Message::frame(MessageId::random(), "{}");
            layer.group_send(lobby.clone(), message, Retention::Kept).await.unwrap();
        }
        let kept = layer.history(lobby, Span::Latest, 1_000).await.unwrap();
        assert_eq!(kept.page().messages.len(), 100);
    }
}
