//! A tail beside a backend that lost something: what goes back into it, and from where the tail goes on.

use super::{Tail, is_up_to, size};
use crate::{
    history::{Lineage, Remembered},
    position::Position,
};
use std::sync::Arc;

impl Tail {
    /// A backend that lost something goes on in another epoch, after `offset`: what was behind it comes again.
    pub(crate) fn rewind(&mut self, lineage: Lineage, offset: u64) {
        self.set_lineage(lineage);
        self.head = self.head.min(offset);
        self.start = self.start.min(self.head);
        while let Some((_, posted)) = self.entries.pop_back_if(|(_, posted)| !is_up_to(posted, offset)) {
            self.bytes -= size(&posted);
            if posted.version.is_some() {
                self.newest.remove(&posted.id);
            }
        }
    }

    /// What is here that a history of that lineage lacks, oldest first.
    pub(crate) fn lost(&self, lineage: &Lineage) -> Vec<Remembered> {
        let mut before = Position { epoch: self.lineage.epoch, offset: self.start };
        let mut lost = Vec::new();
        for (_, posted) in &self.entries {
            let Some(position) = posted.position else { continue };
            let is_next = lost.is_empty() || before.epoch == position.epoch;
            let after = if is_next { before.offset.min(position.offset - 1) } else { position.offset - 1 };
            before = position;
            if !lineage.accounts_for(position) {
                lost.push(Remembered { posted: Arc::clone(posted), after });
            }
        }
        lost
    }
}
