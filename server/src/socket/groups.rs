//! The groups of one socket: its worker's to write, and its consumers' to read, wherever they run.

use channel_layer::GroupName;
use smallvec::SmallVec;
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The groups that a socket is in, or is about to be; each once.
#[derive(Default)]
pub(crate) struct Groups {
    /// Held for a look, and never on the way of a delivery.
    names: Mutex<SmallVec<[GroupName; 1]>>,
}

impl Groups {
    pub(crate) fn contains(&self, group: &GroupName) -> bool {
        self.names().contains(group)
    }

    pub(crate) fn len(&self) -> usize {
        self.names().len()
    }

    /// The group of this name.
    pub(crate) fn named(&self, name: &str) -> Option<GroupName> {
        self.names().iter().find(|group| group.as_str() == name).cloned()
    }

    pub(crate) fn add(&self, group: GroupName) {
        let mut names = self.names();
        if !names.contains(&group) {
            names.push(group);
        }
    }

    pub(crate) fn remove(&self, group: &GroupName) {
        self.names().retain(|name| name != group);
    }

    /// Takes all of them.
    pub(crate) fn take(&self) -> SmallVec<[GroupName; 1]> {
        std::mem::take(&mut *self.names())
    }

    fn names(&self) -> MutexGuard<'_, SmallVec<[GroupName; 1]>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&*self.names()).finish()
    }
}
