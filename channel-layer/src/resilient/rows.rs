//! Rows of presence that are to be written: in order, and of each part of the table no more until what it asked for is
//! through (pure).

use crate::{
    name::GroupName,
    presence::{RowWrite, table::PARTS},
};
use std::collections::VecDeque;

#[derive(Debug)]
pub(super) struct RowWrites {
    /// Each with the part that it is of.
    queue: VecDeque<(usize, GroupName, RowWrite)>,
    /// How many of each part are queued or under way.
    open: [usize; PARTS],
}

/// Which rows of which parts are under way together.
pub(super) type Rows = Vec<(usize, GroupName)>;

impl RowWrites {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), open: [0; PARTS] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether all that a part has asked for is through.
    pub(super) fn is_through(&self, part: usize) -> bool {
        self.open[part] == 0
    }

    pub(super) fn push(&mut self, part: usize, writes: Vec<(GroupName, RowWrite)>) {
        self.open[part] += writes.len();
        self.queue.extend(writes.into_iter().map(|(group, write)| (part, group, write)));
    }

    /// The next of them, which are then under way.
    pub(super) fn next(&mut self, rows_max: usize) -> (Rows, Vec<(GroupName, RowWrite)>) {
        let next = self.queue.drain(..self.queue.len().min(rows_max));
        next.map(|(part, group, write)| ((part, group.clone()), (group, write))).unzip()
    }

    /// What was under way is through, or nobody knows.
    pub(super) fn done(&mut self, rows: &Rows) {
        for (part, _) in rows {
            self.open[*part] -= 1;
        }
    }

    /// Drops what is not under way yet.
    pub(super) fn clear(&mut self) {
        for (part, ..) in self.queue.drain(..) {
            self.open[part] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_waits_for_its_own_rows_alone_whether_they_are_written_or_dropped() {
        let write = |number: usize| (format!("g{number}").parse().unwrap(), RowWrite::Renew { version: 1 });
        let mut writes = RowWrites::new();
        writes.push(1, (0..3).map(write).collect());
        writes.push(2, (3..5).map(write).collect());
        assert!(writes.is_through(0) && !writes.is_through(1) && !writes.is_through(2));
        let (rows, batch) = writes.next(4);
        assert_eq!((rows.len(), batch.len()), (4, 4));
        writes.clear();
        assert!(writes.is_empty() && !writes.is_through(1) && !writes.is_through(2));
        writes.done(&rows);
        assert!(writes.is_through(1) && writes.is_through(2));
    }
}
