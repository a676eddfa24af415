//! What this node's members have and its history does not, or not yet: this node's own messages that were handed out before
//! they were numbered (pure).
//!
//! They are bounded where they are kept to be sent again: what leaves there leaves here.

use crate::{delivery::Posted, message::MessageId};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Of one group, in the order in which its members got them.
#[derive(Debug, Default)]
pub(crate) struct Loose {
    /// Some are taken already; the first is not.
    order: VecDeque<Arc<Posted>>,
    /// What was sent under which id, and has not been taken.
    digests: HashMap<MessageId, u64>,
}

impl Loose {
    pub(crate) fn insert(&mut self, posted: Arc<Posted>, digest: u64) {
        self.digests.insert(posted.sent_as(), digest);
        self.order.push_back(posted);
    }

    /// Puts what some of it became before all the rest; again, if it is there.
    pub(crate) fn put_first(&mut self, posted: Arc<Posted>, digest: u64) {
        let id = posted.sent_as();
        match self.order.iter_mut().find(|known| known.sent_as() == id) {
            Some(known) => *known = posted,
            None => self.order.push_front(posted),
        }
        self.digests.insert(id, digest);
    }

    /// The digest of what was sent under an id.
    pub(crate) fn digest(&self, id: MessageId) -> Option<u64> {
        self.digests.get(&id).copied()
    }

    /// The newest version of a message that is here.
    pub(crate) fn newest(&self, id: MessageId) -> Option<&Arc<Posted>> {
        self.order.iter().rev().find(|posted| posted.id == id && self.digests.contains_key(&posted.sent_as()))
    }

    /// Takes what was sent under an id: it has been numbered, or given up.
    pub(crate) fn take(&mut self, id: MessageId) -> Option<Arc<Posted>> {
        self.digests.remove(&id)?;
        let taken = self.order.iter().find(|posted| posted.sent_as() == id).map(Arc::clone);
        while self.order.pop_front_if(|first| !self.digests.contains_key(&first.sent_as())).is_some() {}
        taken
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Posted>> {
        self.order.iter().filter(|posted| self.digests.contains_key(&posted.sent_as()))
    }

    pub(crate) fn len(&self) -> usize {
        self.digests.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn posted(id: u128) -> Arc<Posted> {
        Arc::new(Posted::new("g".parse().unwrap(), Message::frame(MessageId::from_u128(id), "{}"), None))
    }

    #[test]
    fn what_is_taken_is_gone_in_whatever_order_it_is() {
        let mut loose = Loose::default();
        for id in 1..=4 {
            loose.insert(posted(id), 7);
        }
        let ids = |loose: &Loose| loose.iter().map(|posted| posted.id.as_u128()).collect::<Vec<_>>();
        assert!(loose.take(MessageId::from_u128(2)).is_some());
        assert!(loose.take(MessageId::from_u128(2)).is_none(), "once");
        assert_eq!(ids(&loose), [1, 3, 4]);
        assert!(loose.take(MessageId::from_u128(1)).is_some());
        assert_eq!(loose.order.len(), 2, "what was taken out of its turn goes as well");
        assert_eq!(
            (loose.digest(MessageId::from_u128(3)), loose.digest(MessageId::from_u128(1))),
            (Some(7), None)
        );
        for id in [4, 3] {
            loose.take(MessageId::from_u128(id));
        }
        assert!(loose.is_empty() && loose.order.is_empty());
    }
}
