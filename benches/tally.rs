//! What each socket has received of each sender: once, in order, all of it?
//!
//! One small record for each pair of a receiver and a sender of its group. Knows markers and the plan; nothing of
//! sockets or frames.

use crate::marker::Marker;
use crate::plan::{Plan, Source};

/// The count of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    plan: Plan,
    source: Source,
    /// Senders of one group.
    slots: usize,
    tracks: Vec<Track>,
    /// Deliveries that were due and came, each counted once.
    pub(crate) delivered: u64,
    /// Came after a later one of the same sender.
    pub(crate) out_of_order: u64,
    /// Came again.
    pub(crate) duplicated: u64,
    /// Of another group, or never sent.
    pub(crate) foreign: u64,
}

#[derive(Debug, Clone, Default)]
struct Track {
    next: u32,
    /// Skipped so far; empty as long as all is well.
    missing: Vec<u32>,
}

impl Tally {
    pub(crate) fn new(plan: &Plan, source: Source) -> Self {
        let slots = plan.senders(source).div_ceil(plan.groups) as usize;
        Self {
            plan: plan.clone(),
            source,
            slots,
            tracks: vec![Track::default(); plan.sockets() as usize * slots],
            delivered: 0,
            out_of_order: 0,
            duplicated: 0,
            foreign: 0,
        }
    }

    /// Socket number `socket` received a message.
    pub(crate) fn hear(&mut self, socket: usize, marker: &Marker) {
        let groups = self.plan.groups;
        let known = marker.sender < self.plan.senders(self.source)
            && marker.sender as usize % groups as usize == socket % groups as usize
            && marker.seq < self.plan.messages_of(marker.sender, self.source);
        let slot = (marker.sender / groups) as usize;
        let track = match self.tracks.get_mut(socket * self.slots + slot) {
            Some(track) if known => track,
            _ => {
                self.foreign += 1;
                return;
            }
        };
        if marker.seq >= track.next {
            track.missing.extend(track.next..marker.seq);
            track.next = marker.seq + 1;
            self.delivered += 1;
        } else if let Some(place) = track.missing.iter().position(|&seq| seq == marker.seq) {
            track.missing.swap_remove(place);
            self.out_of_order += 1;
            self.delivered += 1;
        } else {
            self.duplicated += 1;
        }
    }

    /// Whether every message of the plan has reached every member.
    pub(crate) fn is_complete(&self) -> bool {
        self.lost() == 0
    }

    /// Deliveries that are still due.
    pub(crate) fn lost(&self) -> u64 {
        self.plan.deliveries() - self.delivered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Shape;

    const PLAN: Plan = Plan { shape: Shape::Groups, members: 2, groups: 2, rate: 8, seconds: 1 };

    fn heard(tally: &mut Tally, socket: usize, sender: u32, seq: u32) {
        tally.hear(socket, &Marker { sender, seq, sent_us: 0 });
    }

    #[test]
    fn a_run_in_which_each_member_hears_all_of_its_group_in_order_is_complete() {
        let mut tally = Tally::new(&PLAN, Source::Hub);
        for (socket, senders) in [(0, [0, 2]), (1, [1, 3]), (2, [2, 0]), (3, [3, 1])] {
            for seq in [0, 1] {
                senders.iter().for_each(|&sender| heard(&mut tally, socket, sender, seq));
            }
        }
        assert!(tally.is_complete());
        assert_eq!((tally.delivered, tally.out_of_order, tally.duplicated, tally.foreign), (16, 0, 0, 0));
    }

    #[test]
    fn a_late_a_second_and_a_foreign_message_are_told_apart() {
        let mut tally = Tally::new(&PLAN, Source::Limit);
        heard(&mut tally, 0, 0, 2);
        heard(&mut tally, 0, 0, 0);
        heard(&mut tally, 0, 0, 0);
        heard(&mut tally, 0, 1, 0);
        heard(&mut tally, 0, 0, 4);
        assert_eq!((tally.delivered, tally.out_of_order, tally.duplicated, tally.foreign), (2, 1, 1, 2));
        assert_eq!(tally.lost(), 14);
    }
}
