//! Typing: a hint for those who look, worth nothing a moment later.
//!
//! It passes the layer as an ephemeral message, which a slow member's outbox skips. Of one connection a group hears
//! every third second at most, whatever the client sends.

use crate::consumer::{Context, Outcome};
use channel_layer::{GroupName, Message, MessageId, Retention};
use palabre_protocol::{ChatTyping, Request, Typing, User};
use std::time::Duration;
use tokio::time::Instant;

/// Between two hints of one connection in one group.
const EVERY: Duration = Duration::from_secs(3);

/// In a larger group somebody always types, and nobody looks at it.
const MEMBERS_MAX: usize = 500;

/// The groups that this connection was last seen typing in: those of the last seconds, so never more than it is in.
#[derive(Debug, Default)]
pub(super) struct Typist {
    recent: Vec<(GroupName, Instant)>,
}

impl Typist {
    pub(super) async fn typing(&mut self, request: &Request, cx: &Context) -> Outcome {
        let asked: Typing = request.body()?;
        let group = match cx.member_of(&asked.group) {
            Ok(group) => group,
            Err(failure) => {
                cx.refuse(request.reference(), &asked.group, &failure);
                return Ok(());
            }
        };
        if cx.members_known(&group).await <= MEMBERS_MAX && self.is_due(&group, Instant::now()) {
            let who = cx.identity();
            let payload = ChatTyping { user: User { id: &who.id, name: &who.name } }.payload();
            let message = Message::frame(MessageId::random(), payload).except(cx.address().clone());
            // Nobody waits for a hint: how far it got is not asked.
            drop(cx.group_send(&group, message, Retention::Ephemeral));
        }
        Ok(())
    }

    /// Whether the group is to hear of it; if so, not again for a while.
    fn is_due(&mut self, group: &GroupName, now: Instant) -> bool {
        self.recent.retain(|(_, at)| now.duration_since(*at) < EVERY);
        let is_due = self.recent.iter().all(|(recent, _)| recent != group);
        if is_due {
            self.recent.push((group.clone(), now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_hears_every_third_second() {
        let [lobby, garden] = ["lobby", "garden"].map(|name| name.parse::<GroupName>().unwrap());
        let (mut typist, start) = (Typist::default(), Instant::now());
        let mut at = |group, ms| typist.is_due(group, start + Duration::from_millis(ms));
        assert!(at(&lobby, 0) && !at(&lobby, 1) && at(&garden, 2) && !at(&lobby, 2_999));
        assert!(at(&lobby, 3_000) && !at(&garden, 3_001) && at(&garden, 3_002) && !at(&lobby, 5_999));
        assert_eq!(typist.recent.len(), 2);
    }
}
