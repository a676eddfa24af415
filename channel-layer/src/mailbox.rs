//! A mailbox: a bounded ring with one reader, which never makes a sender wait.
//!
//! A `tokio::sync::broadcast` with one receiver is just that: the oldest delivery gives way, and the reader is told
//! how many it missed. It then reads them from the history, which is what makes the loss harmless.

use crate::{delivery::Delivery, name::ChannelName, registry::Registry};
use std::{fmt, sync::Arc};
use tokio::sync::broadcast::{
    Receiver,
    error::{RecvError, TryRecvError},
};

/// What reading a mailbox gives.
#[derive(Debug, Clone)]
pub enum Received {
    /// The next delivery.
    Delivery(Delivery),
    /// This reader fell behind, and as many deliveries are gone from the ring.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// Nothing will come any more.
    Closed,
}

/// The reading end of a channel. Dropping it leaves every group.
pub struct Mailbox {
    channel: ChannelName,
    ring: Receiver<Delivery>,
    registry: Arc<Registry>,
}

impl Mailbox {
    pub(crate) fn new(channel: ChannelName, ring: Receiver<Delivery>, registry: Arc<Registry>) -> Self {
        Self { channel, ring, registry }
    }

    /// Its address.
    #[must_use]
    pub fn channel(&self) -> &ChannelName {
        &self.channel
    }

    /// Waits for the next delivery. Cancel safe.
    pub async fn recv(&mut self) -> Received {
        match self.ring.recv().await {
            Ok(delivery) => Received::Delivery(delivery),
            Err(RecvError::Lagged(missed)) => Received::Lagged { missed },
            Err(RecvError::Closed) => Received::Closed,
        }
    }

    /// The next delivery, if one waits.
    pub fn try_recv(&mut self) -> Option<Received> {
        match self.ring.try_recv() {
            Ok(delivery) => Some(Received::Delivery(delivery)),
            Err(TryRecvError::Lagged(missed)) => Some(Received::Lagged { missed }),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Received::Closed),
        }
    }

    /// How many deliveries wait, those included that are gone from the ring.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.registry.remove_mailbox(&self.channel);
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("channel", &self.channel).finish_non_exhaustive()
    }
}
