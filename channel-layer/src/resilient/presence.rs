//! Presence over a backend, as its users have it: answered from what this node knows, or once that has been asked for.

use crate::{
    member::{Member, Roster},
    name::GroupName,
    presence::{Known, Presence, PresenceRules, room::Room, table::Table},
    registry::Registry,
    relay::Relay,
    resilient::presenter::Presenter,
    state::{Health, LayerState},
};
use futures_util::{FutureExt, future::ready};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// Questions about groups without members here that may wait; who is not among them is told what this node knows.
pub(super) const ASKS_MAX: usize = 1_024;

/// A question about a group of which this node knows nothing.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) group: GroupName,
    pub(super) answer: oneshot::Sender<()>,
}

/// The layer's presence, as its users have it.
#[derive(Debug)]
pub(super) struct SharedPresence {
    table: Arc<Table>,
    asks: mpsc::Sender<Ask>,
    status: watch::Receiver<LayerState>,
    deadline: Duration,
}

impl SharedPresence {
    /// Runs `look` on what is known of a group once it has been read, or cannot be.
    fn look<T: Send + 'static>(
        &self,
        group: &GroupName,
        look: impl FnOnce(&Room, &PresenceRules) -> T + Copy + Send + 'static,
    ) -> Known<T> {
        if let Some(known) = self.table.known(group, look) {
            return ready(known).boxed();
        }
        let (answer, answered) = oneshot::channel();
        let is_linked = self.status.borrow().health == Health::Healthy;
        if !is_linked || self.asks.try_send(Ask { group: group.clone(), answer }).is_err() {
            return ready(self.table.look(group, look)).boxed();
        }
        let (table, group, deadline) = (Arc::clone(&self.table), group.clone(), self.deadline);
        async move {
            // Without an answer in time, what this node knows is all that there is to say.
            drop(timeout(deadline, answered).await);
            table.look(&group, look)
        }
        .boxed()
    }
}

impl Presence for SharedPresence {
    fn enter(&self, group: &GroupName, member: &Member) {
        self.table.enter(group, member);
    }

    fn leave(&self, group: &GroupName, key: &str) {
        self.table.leave(group, key);
    }

    fn occupancy(&self, group: &GroupName) -> Known<usize> {
        self.look(group, |room, _| room.occupancy())
    }

    fn roster(&self, group: &GroupName) -> Known<Roster> {
        self.look(group, Room::roster)
    }
}

/// A layer's presence, and the task behind it.
pub(super) fn presence(
    relay: Arc<dyn Relay>,
    table: Arc<Table>,
    registry: Arc<Registry>,
    status: watch::Receiver<LayerState>,
    deadline: Duration,
) -> (SharedPresence, Presenter) {
    let (asks, asked) = mpsc::channel(ASKS_MAX);
    let shared = SharedPresence { table: Arc::clone(&table), asks, status: status.clone(), deadline };
    (shared, Presenter::new(relay, table, registry, asked, status))
}
