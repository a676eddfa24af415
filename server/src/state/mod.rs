//! Small values beside a group's history: reactions to its messages, how far each user has read.
//!
//! Each is a trait with a form in memory, for a node that stands alone, and one in Redis, which all nodes share; one suite
//! of tests holds for both. They have the life of the history that they stand beside. While Redis is away they answer
//! [`Unavailable`](channel_layer::Error::Unavailable): nothing stands in for it.

mod gather;
mod in_memory;
mod in_redis;
pub mod reactions;
pub mod reads;

pub use reactions::Reactions;
pub use reads::Reads;

use channel_layer::{MemoryLayer, RedisRelay};
use std::{sync::Arc, time::Duration};

/// The values of a hub.
#[derive(Debug, Clone)]
pub struct State {
    /// Reactions to messages.
    pub reactions: Arc<dyn Reactions>,
    /// How far users have read.
    pub reads: Arc<dyn Reads>,
}

impl State {
    /// In this process, beside the histories of `layer`.
    #[must_use]
    pub fn in_memory(layer: &Arc<MemoryLayer>) -> Self {
        Self {
            reactions: Arc::new(in_memory::MemoryReactions::new(Arc::clone(layer))),
            reads: Arc::new(in_memory::MemoryReads::new(layer)),
        }
    }

    /// In Redis, over the link of `relay`, which has `deadline` for an answer.
    ///
    /// # Panics
    ///
    /// Outside a runtime of tokio.
    #[must_use]
    pub fn in_redis(relay: &RedisRelay, deadline: Duration) -> Self {
        Self {
            reactions: Arc::new(in_redis::RedisReactions::new(relay.beside(deadline))),
            reads: Arc::new(in_redis::RedisReads::new(relay.beside(deadline))),
        }
    }
}
