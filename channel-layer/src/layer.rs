//! The contract between those who send and receive, and whatever carries it between nodes.

use crate::{
    amend::Amendment,
    delivery::Delivery,
    error::Result,
    history::{Recovered, Span},
    mailbox::Mailbox,
    message::{Message, MessageId, Retention},
    name::{ChannelName, GroupName},
    position::{Position, Scope},
    presence::Presence,
    report::Report,
    state::LayerState,
};
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc};
use tokio::sync::watch;

/// An answer that borrows nothing: it can be kept, awaited elsewhere, or dropped without undoing the call.
pub type Answer<T> = BoxFuture<'static, Result<T>>;

/// How far a message got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// What it is known by.
    pub id: MessageId,
    /// Its place in the history; `None` for an ephemeral one.
    pub position: Option<Position>,
    /// Whom it reached.
    pub scope: Scope,
}

/// Groups of mailboxes. Chosen once at start-up, as `Arc<dyn ChannelLayer>`; `docs/channel-layer-spec.md` is the
/// contract in full.
///
/// In short: messages of one sender into one group arrive in the order of the calls, and messages of one group in
/// one order everywhere. A mailbox is bounded; a reader that falls behind is told how many it missed and reads
/// them from the history. Nothing here waits for a member.
pub trait ChannelLayer: Send + Sync + fmt::Debug + 'static {
    /// An address and its mailbox, which holds `capacity` deliveries. Dropping the mailbox leaves every group.
    fn new_channel(&self, capacity: usize) -> Mailbox;

    /// Sends to one mailbox of any node; at most once. What follows the `!` of `to` is for the mailbox's owner.
    ///
    /// # Errors
    ///
    /// [`NoSuchChannel`](crate::Error::NoSuchChannel) when this node owns the address and has no such mailbox;
    /// of another node's mailboxes nothing is known.
    fn send(&self, to: ChannelName, message: Message) -> Answer<()>;

    /// Adds one of this node's channels to a group. Idempotent. Whatever is sent after the answer arrives.
    fn group_add(&self, group: GroupName, channel: ChannelName) -> Answer<()>;

    /// Takes a channel out of a group: here at once, at the backend late, so that a quick return costs nothing.
    fn group_discard(&self, group: &GroupName, channel: &ChannelName);

    /// Sends to every member, the sender's own included. Whom `except` names is said with the delivery, for the owner
    /// of that member's mailbox to leave it out: everybody's position goes on.
    ///
    /// Takes its place in the order when *called*; the answer tells how far it got. Dropping the answer does not
    /// unsend. A message whose id the history knows is not sent again: the answer is its position.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::Error::Unavailable): outcome unknown, a repeat is safe.
    /// [`Conflict`](crate::Error::Conflict), [`Undecided`](crate::Error::Undecided),
    /// [`Overloaded`](crate::Error::Overloaded): not sent.
    fn group_send(&self, group: GroupName, message: Message, retention: Retention) -> Answer<Sent>;

    /// Puts `message` in the place of the kept message `target`: an edit, or what is left after a deletion. `message.id` is
    /// the amendment's own, and `message.owner` must be the target's.
    ///
    /// In all else it is a [`group_send`](Self::group_send) that is kept: it has its place in the order when called, and
    /// a repeat is answered with its position. Members get it under the target's id, with a new position and a
    /// [`Version`](crate::Version); the history keeps it instead of what was there.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound): the target is not in the history, or was deleted.
    /// [`Forbidden`](crate::Error::Forbidden): the owners differ, or there is none. And those of `group_send`.
    fn amend(
        &self,
        group: GroupName,
        target: MessageId,
        message: Message,
        amendment: Amendment,
    ) -> Answer<Sent>;

    /// A part of a group's history, oldest first, at most `messages_max` messages.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::Error::Unavailable) when it is not on this node and the backend is away: a
    /// [`Delivery::Answerable`](crate::Delivery::Answerable) tells the members of the group when to ask again.
    fn history(&self, group: GroupName, span: Span, messages_max: usize) -> Answer<Recovered>;

    /// What members of the group on this node were given before it had a place in the history, and still has none, oldest first:
    /// for whoever joins while there is no backend to number it: messages, and a [`Delivery::Gap`] for what is lost of them. To be
    /// asked for before the [`history`](Self::history), which may have some of it by then.
    fn unplaced(&self, group: &GroupName) -> Vec<Delivery> {
        let _all_placed = group;
        Vec::new()
    }

    /// Who is in which group.
    fn presence(&self) -> Arc<dyn Presence>;

    /// How the layer is. A change is seen by every receiver.
    fn status(&self) -> watch::Receiver<LayerState>;

    /// What it knows of itself and of its backend: from memory, so that whoever asks is answered at once.
    fn report(&self) -> Report;

    /// Sends what it still may, then ends and waits for its tasks. What is called afterwards is
    /// [`Closed`](crate::Error::Closed).
    fn shutdown(&self) -> Answer<()>;
}
