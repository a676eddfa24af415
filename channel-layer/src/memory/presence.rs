//! Presence of one node: turns of the table, told to the mailboxes.

use crate::{
    delivery::Delivery,
    member::{Member, Roster},
    name::GroupName,
    presence::{
        Known, Presence, PresenceRules,
        room::{Room, Writes},
        table::{PARTS, Table},
    },
    registry::Registry,
};
use futures_util::future::{FutureExt, ready};
use std::sync::{Arc, OnceLock};
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Who is in which group of this process.
#[derive(Debug)]
pub(super) struct LocalPresence {
    table: Arc<Table>,
    registry: Arc<Registry>,
    tasks: TaskTracker,
    /// Ends the turns; also when nobody has the layer any more.
    stop: CancellationToken,
    turning: OnceLock<()>,
}

impl LocalPresence {
    pub(super) fn new(registry: Arc<Registry>, rules: PresenceRules) -> Self {
        let this = Self {
            table: Arc::new(Table::alone(rules)),
            registry,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            turning: OnceLock::new(),
        };
        // Where a runtime is, it is the best owner: it outlives whoever enters first.
        this.begin_turns();
        this
    }

    /// Starts the turns on the runtime of whoever calls first from within one.
    fn begin_turns(&self) {
        if self.turning.get().is_some() || self.stop.is_cancelled() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        self.turning.get_or_init(|| {
            let turns = turns(Arc::clone(&self.table), Arc::clone(&self.registry), self.stop.clone());
            self.tasks.spawn_on(turns, &runtime);
        });
    }

    pub(super) fn shutdown(&self) -> TaskTracker {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.clone()
    }
}

impl Drop for LocalPresence {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn turns(table: Arc<Table>, registry: Arc<Registry>, stop: CancellationToken) {
    let mut ticks = interval(table.step());
    // A turn is not to grow by what each of its steps is late.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for part in (0..PARTS).cycle() {
        // While nobody comes or goes nothing has a turn, and the process sleeps.
        let turn = async {
            table.restless().await;
            ticks.tick().await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = turn => {}
        }
        for told in table.turn(part, Instant::now(), Writes::Away).told {
            registry.existing(&told.group, |group| group.fan_out(Delivery::Presence(Arc::clone(&told))));
        }
    }
}

impl Presence for LocalPresence {
    fn enter(&self, group: &GroupName, member: &Member) {
        self.begin_turns();
        self.table.enter(group, member);
    }

    fn leave(&self, group: &GroupName, key: &str) {
        self.table.leave(group, key);
    }

    fn occupancy(&self, group: &GroupName) -> Known<usize> {
        ready(self.table.look(group, |room, _| room.occupancy())).boxed()
    }

    fn roster(&self, group: &GroupName) -> Known<Roster> {
        ready(self.table.look(group, Room::roster)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layer::ChannelLayer, mailbox::Received, memory::MemoryLayer};
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn a_quiet_layer_sleeps_until_somebody_comes() {
        let layer = MemoryLayer::new();
        let mut mailbox = layer.new_channel(8);
        let group: GroupName = "room".parse().unwrap();
        layer.group_add(group.clone(), mailbox.channel().clone()).await.unwrap();
        let metrics = Handle::current().metrics();
        for (index, key) in ["ana", "bo"].into_iter().enumerate() {
            layer.presence.enter(&group, &Member { key: key.into(), info: (*b"").into() });
            let told = timeout(Duration::from_secs(2), mailbox.recv()).await.expect("it is told");
            let Received::Delivery(Delivery::Presence(told)) = told else { panic!("{told:?}") };
            assert_eq!(told.occupancy, index + 1);
            let parks = metrics.worker_park_count(0);
            sleep(Duration::from_secs(3_600)).await;
            let parks = metrics.worker_park_count(0) - parks;
            assert!(parks < 100, "it woke {parks} times in an hour");
        }
    }
}
