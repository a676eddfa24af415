//! After a worker's mailbox has overflowed: each room reads from the history what its members were not given.
//!
//! Until that is done the room's new messages wait aside, so that nobody sees a later one first. What is gone from the
//! history as well is a resync, never a silent hole.

use crate::worker::{
    Worker,
    fanout::{resync, settled},
    rooms::Room,
};
use channel_layer::{GroupName, MessageId, Position, Posted, Recovered, Span};
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Messages that may arrive while a room is being repaired; those beyond it are read again.
const DEFERRED_MAX: usize = 4_096;

/// The same in bytes: more than a history keeps of a group unless it is told to.
const DEFERRED_BYTES_MAX: usize = 2 << 20;

/// What one read brings: as much as a history keeps.
const MESSAGES_MAX: usize = 1_000;

/// Between tries while the history cannot be read.
const RETRY: Duration = Duration::from_millis(250);

/// What a room that is being repaired puts aside.
#[derive(Default)]
pub(super) struct Repair {
    /// What arrived since the read began.
    pub(super) deferred: Vec<Arc<Posted>>,
    deferred_bytes: usize,
    /// Something was lost since then: what was read may lack it.
    pub(super) again: bool,
}

impl Room {
    /// Begins a repair after a loss of deliveries, unless one is under way or nobody can have missed anything.
    pub(super) fn begin_repair(&mut self) -> bool {
        if self.position.is_none() {
            // Nobody was given anything, but a history may have been read for somebody.
            self.held.iter_mut().for_each(|held| held.broken = true);
            return false;
        }
        match &mut self.repair {
            Some(repair) => {
                repair.again = true;
                false
            }
            None => {
                self.repair = Some(Repair::default());
                true
            }
        }
    }

    /// Where the members stand.
    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }

    /// Ends a repair, and gives what was put aside meanwhile.
    pub(super) fn end_repair(&mut self) -> Repair {
        self.repair.take().unwrap_or_default()
    }

    /// Puts messages aside if the room is being repaired; says whether it is.
    pub(super) fn defer(&mut self, messages: &[Arc<Posted>]) -> bool {
        let Some(Repair { deferred, deferred_bytes, again }) = &mut self.repair else { return false };
        // What has no position is nothing that a repair could put in order.
        for posted in messages.iter().filter(|posted| posted.position.is_some()) {
            let bytes = *deferred_bytes + posted.body.data().len();
            if deferred.len() < DEFERRED_MAX && bytes <= DEFERRED_BYTES_MAX {
                *deferred_bytes = bytes;
                deferred.push(Arc::clone(posted));
            } else {
                *again = true;
            }
        }
        true
    }
}

impl Worker {
    /// Deliveries were lost, and nobody knows of which groups.
    pub(super) fn repair_everything(self: &Rc<Self>) {
        let mut rooms = self.rooms.borrow_mut();
        let groups: Vec<GroupName> =
            rooms.iter_mut().filter_map(|(group, room)| room.begin_repair().then(|| group.clone())).collect();
        self.tally.repairs.add(groups.len() as u64);
        for group in groups {
            self.tasks.spawn_local(repair(Rc::clone(self), group));
        }
    }
}

async fn repair(worker: Rc<Worker>, group: GroupName) {
    loop {
        // Everybody may have left.
        let mut position = None;
        worker.with_room(&group, |room| position = room.position());
        let Some(position) = position else { return };
        let read = worker.layer.history(group.clone(), Span::After(position), MESSAGES_MAX).await;
        let Ok(recovered) = read else {
            sleep(RETRY).await;
            continue;
        };
        let mut repair = Repair::default();
        worker.with_room(&group, |room| repair = room.end_repair());
        let page = match recovered {
            Recovered::All(page) => {
                for posted in &page.messages {
                    worker.pass_over(posted);
                    worker.post_one(posted);
                }
                page
            }
            Recovered::Gap(reason, page) => {
                let frame = resync(&group, reason.as_str(), &page);
                worker.with_room(&group, |room| room.restart(&worker, page.head, &frame));
                page
            }
        };
        if page.more || repair.again {
            // What was put aside is in the history too, and what was lost is only there.
            worker.with_room(&group, |room| {
                room.begin_repair();
            });
            continue;
        }
        for posted in later(repair.deferred, page.head) {
            worker.post_one(&posted);
        }
        return;
    }
}

impl Worker {
    /// Takes a room's members past what was amended since: it stands further on, and what is live has no holes.
    fn pass_over(&self, next: &Posted) {
        let Some(next_at) = next.position else { return };
        self.with_room(&next.group, |room| {
            let Some(before) = room.position() else { return };
            for position in next_at.missing_after(before) {
                let frame = settled(&next.group, MessageId::REPLACED, position);
                room.give(self, Some(position), &frame);
            }
        });
    }
}

/// Of what arrived meanwhile, what a page up to `head` does not have.
fn later(mut deferred: Vec<Arc<Posted>>, head: Position) -> Vec<Arc<Posted>> {
    let covered = |position: Position| position.epoch == head.epoch && position.offset <= head.offset;
    let last = deferred.iter().rposition(|posted| posted.position.is_some_and(covered));
    deferred.drain(..last.map_or(0, |last| last + 1));
    deferred
}
