//! After a worker's mailbox has overflowed: each room reads from the history what its members were not given.
//!
//! Until that is done whatever has a place in the room's order waits aside, so that nobody sees a later one first. What is
//! gone from the history as well is a resync, never a silent hole. What is read is given in turns, as all writing is.

use crate::worker::{
    Worker,
    fanout::{resync, settled},
    flush::{Left, Turn},
    held::covers,
    rooms::Room,
};
use channel_layer::{Delivery, GroupName, MessageId, Position, Posted, Recovered, Retention, Span};
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::{task::yield_now, time::sleep};

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
    deferred: Vec<Delivery>,
    deferred_bytes: usize,
    /// What was read may lack something.
    again: bool,
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
                self.repair = Some(Box::default());
                true
            }
        }
    }

    /// What was put aside since this was last asked. When that is nothing, the repair is over.
    fn put_aside(&mut self) -> Repair {
        let repair = self.repair.take().unwrap_or_default();
        if repair.again || !repair.deferred.is_empty() {
            self.repair = Some(Box::default());
        }
        *repair
    }

    /// Puts deliveries aside if the room is being repaired; says whether it is.
    pub(super) fn defer(&mut self, deliveries: impl IntoIterator<Item = Delivery>) -> bool {
        let Some(repair) = &mut self.repair else { return false };
        let Repair { deferred, deferred_bytes, again } = &mut **repair;
        // What is ephemeral is nothing that a repair could put in order.
        for delivery in deliveries.into_iter().filter(is_kept) {
            let bytes = *deferred_bytes + size(&delivery);
            if deferred.len() < DEFERRED_MAX && bytes <= DEFERRED_BYTES_MAX {
                *deferred_bytes = bytes;
                deferred.push(delivery);
            } else {
                *again = true;
            }
        }
        true
    }

    /// Gives what was read. Of what was amended since, which stands further on, members are given the place, for what is
    /// live has no holes.
    fn catch_up(&mut self, worker: &Worker, next: &Arc<Posted>) {
        if let (Some(before), Some(next_at)) = (self.position, next.position) {
            for position in next_at.missing_after(before) {
                self.give(worker, Some(position), &settled(&next.group, MessageId::REPLACED, position));
            }
        }
        self.post_message(worker, next);
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
        worker.with_room(&group, |room| position = room.position);
        let Some(position) = position else { return };
        let unplaced = worker.layer.unplaced(&group);
        let read = worker.layer.history(group.clone(), Span::After(position), MESSAGES_MAX).await;
        let Ok(recovered) = read else {
            sleep(RETRY).await;
            continue;
        };
        if give(&worker, &group, recovered, &unplaced).await == Left::None {
            return;
        }
    }
}

/// Gives what was read, what has no place yet, and then what arrived meanwhile, in turns; says whether there is more to be read.
async fn give(worker: &Rc<Worker>, group: &GroupName, recovered: Recovered, unplaced: &[Delivery]) -> Left {
    let mut turn = Turn::begin(worker);
    let page = match recovered {
        Recovered::All(page) => {
            for posted in &page.messages {
                in_turn(worker, group, &mut turn, |room| room.catch_up(worker, posted)).await;
            }
            page
        }
        Recovered::Gap(reason, page) => {
            let frame = resync(group, reason.as_str(), &page);
            worker.with_room(group, |room| room.restart(worker, page.head, &frame));
            page
        }
    };
    for delivery in unplaced {
        in_turn(worker, group, &mut turn, |room| room.post(worker, delivery)).await;
    }
    loop {
        let mut repair = Repair::default();
        worker.with_room(group, |room| {
            if page.more {
                room.begin_repair();
            }
            repair = room.put_aside();
        });
        if repair.again {
            // What was put aside is in the history too, and what was lost is only there.
            return Left::Some;
        }
        if repair.deferred.is_empty() {
            return Left::None;
        }
        for delivery in later(repair.deferred, page.head) {
            in_turn(worker, group, &mut turn, |room| room.post(worker, &delivery)).await;
        }
    }
}

/// Gives something to a room, and lets others of the thread go first when that was a turn's worth.
async fn in_turn(worker: &Worker, group: &GroupName, turn: &mut Turn, act: impl FnOnce(&mut Room)) {
    let mut goes_on = true;
    worker.with_room(group, |room| {
        act(room);
        goes_on = turn.queued(room.len());
    });
    if !goes_on {
        yield_now().await;
        *turn = Turn::begin(worker);
    }
}

/// Where a delivery stands in its group's order.
fn position(delivery: &Delivery) -> Option<Position> {
    match delivery {
        Delivery::Message(posted) => posted.position,
        Delivery::Placed { position, .. } => Some(*position),
        Delivery::Gap { position, .. } => *position,
        Delivery::Resync { page, .. } => Some(page.head),
        Delivery::Answerable { .. } | Delivery::Presence(_) | Delivery::Direct { .. } => None,
    }
}

/// Whether it is a loss if nobody gets it.
fn is_kept(delivery: &Delivery) -> bool {
    match delivery {
        Delivery::Message(posted) => posted.retention == Retention::Kept,
        Delivery::Presence(_) | Delivery::Direct { .. } => false,
        Delivery::Placed { .. }
        | Delivery::Gap { .. }
        | Delivery::Answerable { .. }
        | Delivery::Resync { .. } => true,
    }
}

/// How many bytes of bodies it holds.
fn size(delivery: &Delivery) -> usize {
    match delivery {
        Delivery::Message(posted) => posted.body.data().len(),
        Delivery::Resync { page, .. } => page.messages.iter().map(|posted| posted.body.data().len()).sum(),
        Delivery::Placed { .. }
        | Delivery::Gap { .. }
        | Delivery::Answerable { .. }
        | Delivery::Presence(_)
        | Delivery::Direct { .. } => 0,
    }
}

/// Of what arrived meanwhile, what a page up to `head` does not have.
fn later(mut deferred: Vec<Delivery>, head: Position) -> Vec<Delivery> {
    let last = deferred.iter().rposition(|delivery| covers(head, position(delivery)));
    deferred.drain(..last.map_or(0, |last| last + 1));
    deferred
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::scene::{Scene, offsets};
    use channel_layer::{Epoch, GapReason, Message, Page, Received};
    use serde_json::Value;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn what_arrives_during_a_repair_comes_after_what_was_lost() {
        let story = async {
            let mut scene = Scene::new();
            let (socket, mut client) = scene.socket().await;
            scene.join(&socket).await;
            scene.send_frames(6).await;
            let first = scene.take();
            scene.deliver(Received::Delivery(first));
            // The second and the third are lost; the fourth was here before it had a position.
            let _lost = (scene.take(), scene.take());
            scene.deliver(Received::Lagged { missed: 2 });
            let here = scene.take_message();
            let (group, id, position) = (here.group.clone(), here.id, here.position.unwrap());
            scene.deliver(Received::Delivery(Delivery::Placed { group: group.clone(), id, position }));
            scene.deliver_all();
            let head = Position { epoch: Epoch::from_u64(1).unwrap(), offset: 3 };
            let page = Page { head, messages: Vec::new(), more: false };
            let reason = GapReason::UnknownEpoch;
            scene.deliver(Received::Delivery(Delivery::Resync { group, reason, page: Box::new(page) }));
            scene.settled().await;
            let got = scene.got(&socket, &mut client).await;
            assert_eq!(offsets(&got), [1, 2, 3, 4, 5, 6, 3], "{got:#?}");
            assert_eq!(got.last().map(|last| &last["type"]), Some(&Value::from("resync")));
            let mut stands = None;
            scene.worker.with_room(&scene.group, |room| stands = room.position);
            assert_eq!(stands, Some(head));
        };
        LocalSet::new().run_until(story).await;
    }

    #[tokio::test]
    async fn an_event_that_a_repair_has_told_is_not_told_again() {
        let story = async {
            let mut scene = Scene::new();
            let (socket, mut client) = scene.socket().await;
            scene.join(&socket).await;
            scene.send_frames(2).await;
            scene.send(Message::event(MessageId::random(), "test.event", "")).await;
            let first = scene.take();
            scene.deliver(Received::Delivery(first));
            let _lost = scene.take();
            scene.deliver(Received::Lagged { missed: 1 });
            scene.settled().await;
            // It was in the mailbox all the while.
            scene.deliver_all();
            assert!(socket.next_event().is_some());
            assert!(socket.next_event().is_none(), "told twice");
            assert_eq!(offsets(&scene.got(&socket, &mut client).await), [1, 2, 3]);
        };
        LocalSet::new().run_until(story).await;
    }

    #[tokio::test]
    async fn a_long_repair_lets_others_have_their_turns() {
        const MESSAGES: usize = 600;
        const MEMBERS: usize = 10;
        let story = async {
            let mut scene = Scene::new();
            let mut members = Vec::new();
            for _ in 0..MEMBERS {
                let (socket, client) = scene.socket().await;
                scene.join(&socket).await;
                members.push((socket, client));
            }
            scene.send_frames(1).await;
            scene.deliver_all();
            scene.send_frames(MESSAGES).await;
            while scene.mailbox.try_recv().is_some() {}
            scene.deliver(Received::Lagged { missed: 1 });
            let mut turns = 0;
            while !scene.worker.tasks.is_empty() {
                yield_now().await;
                turns += 1;
                if turns == 3 {
                    // In the middle of it comes what is later.
                    scene.send_frames(1).await;
                    scene.deliver_all();
                }
            }
            assert!(turns >= MESSAGES * MEMBERS / 1_000, "{turns} turns");
            for (socket, client) in &mut members {
                let got = offsets(&scene.got(socket, client).await);
                assert!(got.iter().copied().eq(1..=MESSAGES as u64 + 2), "{got:?}");
            }
        };
        LocalSet::new().run_until(story).await;
    }
}
