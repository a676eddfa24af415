//! A consumer's hands.

mod deferred;

use crate::{
    consumer::{Failure, Identity, Joined, digest::digest, rate::TooFast},
    socket::Socket,
    worker::{Worker, fanout::is_object, tally::Tally},
};
use bytes::Bytes;
use channel_layer::{
    Amendment, Answer, Body, ChannelName, GroupName, LayerState, Message, MessageId, Owner, Recovered,
    Retention, Roster, Sent, Span,
};
use deferred::PutOff;
use futures_util::future::FutureExt;
use palabre_protocol::{CloseCode, ErrorCode, ErrorFrame, Refusal};
use serde::Serialize;
use std::{fmt, rc::Rc};

/// What a consumer acts with: its connection, its worker, the layer. Cheap to clone; stays on its thread.
#[derive(Clone)]
pub struct Context(Rc<Desk>);

/// What all clones of a context share.
struct Desk {
    worker: Rc<Worker>,
    socket: Rc<Socket>,
    identity: Identity,
    owner: Owner,
    groups_max: usize,
    put_off: PutOff,
}

impl Context {
    pub(crate) fn new(worker: Rc<Worker>, socket: Rc<Socket>, identity: Identity, groups_max: usize) -> Self {
        let owner = Owner::from_u64(digest(&[&[&identity.id]]));
        Self(Rc::new(Desk { worker, socket, identity, owner, groups_max, put_off: PutOff::default() }))
    }

    /// Who the client is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// Whose this client's messages are: the same in every connection of the user's, and on every node.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.0.owner
    }

    /// The address of this connection: what is sent there comes to this consumer, or to this client's screen.
    #[must_use]
    pub fn address(&self) -> &ChannelName {
        &self.0.socket.address
    }

    /// How the layer is.
    #[must_use]
    pub fn layer_state(&self) -> LayerState {
        self.0.worker.layer_state()
    }

    /// Sends a frame to this client, in order with everything else that it gets.
    pub fn reply(&self, frame: &impl Serialize) {
        self.write(palabre_protocol::encode(frame));
    }

    /// Answers a request about `group` that failed.
    pub fn refuse(&self, reference: Option<&str>, group: &str, failure: &Failure) {
        let Failure(Refusal { code, message }) = failure;
        self.write(self.error(&ErrorFrame { reference, group: Some(group), code: *code, message }));
    }

    /// Answers a request about `group` that came too soon.
    pub(crate) fn slow_down(&self, reference: Option<&str>, group: &GroupName, over: &TooFast) {
        let message = over.message();
        let error = over.answer(reference, Some(group.as_str()), &message);
        self.write(self.0.worker.rate_limited(&error));
    }

    /// The frame of an error, counted.
    pub(crate) fn error(&self, error: &ErrorFrame<'_>) -> Bytes {
        self.0.worker.error(error)
    }

    /// Sends a frame that is ready.
    pub(crate) fn write(&self, frame: Bytes) {
        self.0.worker.push(&self.0.socket, frame);
    }

    /// What its worker counts.
    pub(crate) fn tally(&self) -> &Tally {
        &self.0.worker.tally
    }

    /// Waits until the client has taken so much of what was sent to it that more may be queued. Until its request is done
    /// nothing more of it is read.
    ///
    /// # Errors
    ///
    /// The connection is closing.
    pub(crate) async fn room(&self) -> Result<(), CloseCode> {
        self.0.socket.stop_reading();
        loop {
            if let Some(code) = self.0.socket.closing.get() {
                return Err(code);
            }
            if !self.0.socket.outbox.borrow().is_half_full() {
                return Ok(());
            }
            // Whatever else this wakes for is looked at again when the request is done.
            self.0.socket.wake.woken().await;
        }
    }

    /// Ends the connection.
    pub fn close(&self, code: CloseCode) {
        self.0.socket.close(code);
    }

    /// Joins a group, from here on: the client is a member when this returns.
    ///
    /// # Errors
    ///
    /// Those of [`Context::join_since`].
    pub async fn join(&self, group: &GroupName) -> Result<(), Failure> {
        // A history of one message is the shortest; whoever wants more asks for it.
        self.join_since(group, Span::Latest, 1).await?.admit_silently();
        Ok(())
    }

    /// Begins to join a group, reading up to `messages_max` of `span`; the client is a member once it is admitted.
    ///
    /// # Errors
    ///
    /// `too_many_groups`, or what the layer says.
    pub async fn join_since(
        &self,
        group: &GroupName,
        span: Span,
        messages_max: usize,
    ) -> Result<Joined, Failure> {
        let is_new = !self.0.socket.groups.borrow().contains(group);
        if is_new && self.0.socket.groups.borrow().len() >= self.0.groups_max {
            let message = format!("at most {} groups a connection", self.0.groups_max);
            return Err(Refusal::new(ErrorCode::TooManyGroups, message).into());
        }
        Joined::read(&self.0.worker, &self.0.socket, group, span, messages_max).await
    }

    /// The group of a request, if this connection is in it.
    ///
    /// # Errors
    ///
    /// `bad_request` when it is no name, `not_joined`.
    pub fn member_of(&self, group: &str) -> Result<GroupName, Failure> {
        let joined = self.0.socket.groups.borrow().iter().find(|joined| joined.as_str() == group).cloned();
        if let Some(group) = joined {
            return Ok(group);
        }
        let group: GroupName = group.parse()?;
        let message = format!("{group} was not joined by this connection");
        Err(Refusal::new(ErrorCode::NotJoined, message).into())
    }

    /// How many members a group has, on all nodes, as far as this one knows without asking; where nobody is told who is there, the
    /// connections of this one's worker that are in it.
    #[must_use]
    pub fn members_known(&self, group: &GroupName) -> usize {
        let presence = self.0.worker.presence.as_ref();
        let known = presence.and_then(|presence| presence.occupancy(group).now_or_never());
        known.unwrap_or_else(|| self.0.worker.members(group))
    }

    /// Leaves a group.
    pub fn leave(&self, group: &GroupName) {
        self.0.worker.leave_room(group, &self.0.socket);
    }

    /// Sends to a group; see [`ChannelLayer::group_send`](channel_layer::ChannelLayer::group_send). A frame's body is
    /// a JSON object with a `type`, into which the hub writes `group`, `id` and `position`; any other body reaches clients as
    /// the type `unreadable`.
    ///
    /// # Panics
    ///
    /// In a debug build, when a frame's body is no such object.
    pub fn group_send(&self, group: &GroupName, message: Message, retention: Retention) -> Answer<Sent> {
        debug_check(&message);
        // It set out when its sender's request was read.
        self.0.worker.follow.set_out(message.id, self.0.socket.heard.get());
        self.0.worker.layer.group_send(group.clone(), message, retention)
    }

    /// Edits or deletes a kept message; see [`ChannelLayer::amend`](channel_layer::ChannelLayer::amend). Into a frame's body
    /// the hub writes `first` and `version` as well.
    ///
    /// # Panics
    ///
    /// As [`Context::group_send`].
    pub fn amend(
        &self,
        group: &GroupName,
        target: MessageId,
        message: Message,
        amendment: Amendment,
    ) -> Answer<Sent> {
        debug_check(&message);
        self.0.worker.layer.amend(group.clone(), target, message, amendment)
    }

    /// Sends to one mailbox; see [`ChannelLayer::send`](channel_layer::ChannelLayer::send).
    pub fn send(&self, to: ChannelName, message: Message) -> Answer<()> {
        self.0.worker.layer.send(to, message)
    }

    /// Reads a group's history; see [`ChannelLayer::history`](channel_layer::ChannelLayer::history).
    pub fn history(&self, group: &GroupName, span: Span, messages_max: usize) -> Answer<Recovered> {
        self.0.worker.layer.history(group.clone(), span, messages_max)
    }

    /// Who is in a group, on all nodes; see [`Presence`](channel_layer::Presence). A hub that tells nobody has none.
    pub async fn presence(&self, group: &GroupName) -> Roster {
        match &self.0.worker.presence {
            Some(presence) => presence.roster(group).await,
            None => Roster { occupancy: 0, members: None },
        }
    }

    /// How many are in a group, unless that is nobody's business.
    pub(crate) async fn occupancy(&self, group: &GroupName) -> Option<u64> {
        let occupancy = self.0.worker.presence.as_ref()?.occupancy(group).await;
        Some(occupancy as u64)
    }
}

#[track_caller]
fn debug_check(message: &Message) {
    let is_showable = || matches!(message.body, Body::Event { .. }) || is_object(message.body.data());
    debug_assert!(is_showable(), "a frame's body is a JSON object with a type, and nothing around it");
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("identity", &self.0.identity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::scene::Scene;

    #[tokio::test]
    async fn who_is_waited_for_is_not_read_meanwhile() {
        let scene = Scene::new();
        let (socket, _client) = scene.socket().await;
        let identity = Identity { id: "ana".into(), name: "Ana".into() };
        let cx = Context::new(Rc::clone(&scene.worker), Rc::clone(&socket), identity, 1);
        socket.begun.set(Some(tokio::time::Instant::now()));
        cx.write(vec![b'x'; 600 << 10].into());
        assert!(cx.room().now_or_never().is_none());
        assert!(socket.is_unread.get() && socket.begun.get().is_none());
    }
}
