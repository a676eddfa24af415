//! A consumer's hands.

use crate::{
    consumer::{
        Failure, Identity, Joined,
        apart::Apart,
        asking,
        errands::{self, Errand, Join},
        hands::Hands,
        rate::TooFast,
    },
    worker::tally::Tally,
};
use bytes::Bytes;
use channel_layer::{
    Amendment, Answer, ChannelName, GroupName, LayerState, Message, MessageId, Owner, Recovered, Retention,
    Roster, Sent, Span,
};
use futures_util::future::{BoxFuture, FutureExt};
use palabre_protocol::{CloseCode, ErrorCode, ErrorFrame, Refusal};
use serde::Serialize;
use std::{fmt, sync::Arc};
use tokio::sync::oneshot;

/// Work that a connection may have put off.
const DEFERRED_MAX: u32 = 64;

/// What a consumer acts with: its connection, the layer. Cheap to clone, and good on any thread.
///
/// What is done to the client (`reply`, `close`, `join`, `leave`) is done in the order in which it was asked for, by the thread that
/// has the client's socket: when the handler next waits or ends, or soon. A message that was sent into a group goes its own way,
/// and may reach the client before a reply that was made just before it, or after it was to leave. What waits to be done is
/// bounded, by 4,096 things and a mebibyte of frames (or one frame): more ends the connection. When that has ended nothing is
/// done, and what is sent still goes out.
///
/// What is asked of the layer is `overloaded` while 256 things that a connection's consumers have asked for are under way;
/// consumers that run [inline](crate::Runs::Inline) are not counted.
#[derive(Clone)]
pub struct Context {
    hands: Arc<Hands>,
    /// Where the consumer runs, if that is not its worker's thread.
    apart: Option<Apart>,
}

impl Context {
    pub(super) fn new(hands: Arc<Hands>, apart: Option<Apart>) -> Self {
        Self { hands, apart }
    }

    /// Where the consumer runs, if that is not its worker's thread.
    pub(super) fn apart(&self) -> Option<&Apart> {
        self.apart.as_ref()
    }

    /// Who the client is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.hands.identity
    }

    /// Whose this client's messages are: the same in every connection of the user's, and on every node.
    #[must_use]
    pub fn owner(&self) -> Owner {
        self.hands.owner
    }

    /// The address of this connection: what is sent there comes to this consumer, or to this client's screen.
    #[must_use]
    pub fn address(&self) -> &ChannelName {
        &self.hands.address
    }

    /// How the layer is.
    #[must_use]
    pub fn layer_state(&self) -> LayerState {
        self.hands.shore.layer_state()
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
        self.hands.shore.tally.refused(ErrorCode::RateLimited);
        self.reply(&over.answer(reference, Some(group.as_str()), &message));
    }

    /// The frame of an error, counted.
    pub(crate) fn error(&self, error: &ErrorFrame<'_>) -> Bytes {
        self.hands.shore.tally.refused(error.code);
        palabre_protocol::encode(error)
    }

    /// Sends a frame that is ready.
    pub(crate) fn write(&self, frame: Bytes) {
        self.hands.ask(Errand::Write(frame));
    }

    /// Lets `work` go on while the client's next requests are handled; the frame that it makes is its reply. For an
    /// ack behind a slow layer, above all. While 16 are under way the client is not read.
    ///
    /// # Errors
    ///
    /// `overloaded` when 64 are under way.
    pub fn defer(&self, work: impl Future<Output = Option<Bytes>> + Send + 'static) -> Result<(), Failure> {
        let mut work = self.under_way(work)?;
        // Without a backend most answers are there at once, and need not be kept for later.
        match (&mut work).now_or_never() {
            Some(frame) => frame.into_iter().for_each(|frame| self.write(frame)),
            None => self.hands.ask(Errand::Defer(self.apart.clone(), work)),
        }
        Ok(())
    }

    /// The same for the reply to a send that is not answered yet: it is looked for when the message is handed out here, so
    /// that both are one write, and waited for by the connection's task when that does not happen soon. It runs on the
    /// worker's thread.
    pub(crate) fn defer_with_message(
        &self,
        id: MessageId,
        work: impl Future<Output = Option<Bytes>> + Send + 'static,
    ) -> Result<(), Failure> {
        let work = self.under_way(work)?;
        self.hands.ask(Errand::Await(id, work));
        Ok(())
    }

    /// Counts `work` among what is put off, until it has ended or is dropped.
    fn under_way(
        &self,
        work: impl Future<Output = Option<Bytes>> + Send + 'static,
    ) -> Result<BoxFuture<'static, Option<Bytes>>, Failure> {
        let open = Hands::put_off(&self.hands);
        if open.before >= DEFERRED_MAX {
            return Err(Refusal::new(ErrorCode::Overloaded, "too much is under way").into());
        }
        let is_apart = self.apart.is_some();
        let counted = work.map(move |frame| {
            drop(open);
            if is_apart { frame.as_deref().map(Bytes::copy_from_slice) } else { frame }
        });
        Ok(counted.boxed())
    }

    /// Ends the connection, once the handler that runs has ended.
    pub fn close(&self, code: CloseCode) {
        self.hands.ask(Errand::Close(code));
    }

    /// Joins a group, from here on: the client is a member when this returns.
    ///
    /// # Errors
    ///
    /// Those of [`Context::join_since`].
    pub async fn join(&self, group: &GroupName) -> Result<(), Failure> {
        // A history of one message is the shortest; whoever wants more asks for it.
        self.ask_to_join(group, Span::Latest, 1, errands::Answer::Admitted).await
    }

    /// Begins to join a group, reading up to `messages_max` of `span`; the client is a member once it is admitted.
    ///
    /// # Errors
    ///
    /// `too_many_groups`, `closed` when the connection has ended, `unavailable` when it left meanwhile, or what the layer says.
    pub async fn join_since(
        &self,
        group: &GroupName,
        span: Span,
        messages_max: usize,
    ) -> Result<Joined, Failure> {
        self.ask_to_join(group, span, messages_max, errands::Answer::Read).await
    }

    async fn ask_to_join<T>(
        &self,
        group: &GroupName,
        span: Span,
        messages_max: usize,
        answer_of: impl FnOnce(oneshot::Sender<Result<T, Failure>>) -> errands::Answer,
    ) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let answer = answer_of(answer);
        self.hands.ask(Errand::Join(Box::new(Join { group: group.clone(), span, messages_max, answer })));
        let closed = || Err(Refusal::new(ErrorCode::Closed, "the connection has ended").into());
        answered.await.unwrap_or_else(|_| closed())
    }

    /// The group of a request, if this connection is in it.
    ///
    /// # Errors
    ///
    /// `bad_request` when it is no name, `not_joined`.
    pub fn member_of(&self, group: &str) -> Result<GroupName, Failure> {
        if let Some(group) = self.hands.groups.named(group) {
            return Ok(group);
        }
        let group: GroupName = group.parse()?;
        let message = format!("{group} was not joined by this connection");
        Err(Refusal::new(ErrorCode::NotJoined, message).into())
    }

    /// How many members a group has, on all nodes, as far as this one knows without asking; where nobody is told who is there, the
    /// connections of this one's worker that are in it.
    pub async fn members_known(&self, group: &GroupName) -> usize {
        let presence = self.hands.shore.presence.as_ref();
        if let Some(known) = presence.and_then(|presence| presence.occupancy(group).now_or_never()) {
            return known;
        }
        let (answer, counted) = oneshot::channel();
        self.hands.ask(Errand::Count(group.clone(), answer));
        // A connection that has ended has nobody to tell.
        counted.await.unwrap_or(0)
    }

    /// Leaves a group, as soon as the handler waits or ends, or in a moment; [`member_of`](Self::member_of) may still find it. A join
    /// of it that is under way fails.
    pub fn leave(&self, group: &GroupName) {
        self.hands.ask(Errand::Leave(group.clone()));
    }

    /// Sends to a group; see [`ChannelLayer::group_send`](channel_layer::ChannelLayer::group_send). A frame's body is
    /// a JSON object with a `type`, into which the hub writes `group`, `id` and `position`; any other body reaches clients as
    /// the type `unreadable`.
    ///
    /// # Panics
    ///
    /// In a debug build, when a frame's body is no such object.
    pub fn group_send(&self, group: &GroupName, message: Message, retention: Retention) -> Answer<Sent> {
        let message = asking::ready(message, self.apart());
        // It set out when its sender's request was read.
        self.hands.set_out(message.id);
        asking::consult(&self.hands, self.apart(), |layer| {
            layer.group_send(group.clone(), message, retention)
        })
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
        let message = asking::ready(message, self.apart());
        asking::consult(&self.hands, self.apart(), |layer| {
            layer.amend(group.clone(), target, message, amendment)
        })
    }

    /// Sends to one mailbox; see [`ChannelLayer::send`](channel_layer::ChannelLayer::send).
    pub fn send(&self, to: ChannelName, message: Message) -> Answer<()> {
        let message = asking::owned(message, self.apart());
        asking::consult(&self.hands, self.apart(), |layer| layer.send(to, message))
    }

    /// Reads a group's history; see [`ChannelLayer::history`](channel_layer::ChannelLayer::history).
    pub fn history(&self, group: &GroupName, span: Span, messages_max: usize) -> Answer<Recovered> {
        asking::consult(&self.hands, self.apart(), |layer| layer.history(group.clone(), span, messages_max))
    }

    /// Who is in a group, on all nodes; see [`Presence`](channel_layer::Presence). A hub that tells nobody has none.
    pub async fn presence(&self, group: &GroupName) -> Roster {
        match &self.hands.shore.presence {
            Some(presence) => presence.roster(group).await,
            None => Roster { occupancy: 0, members: None },
        }
    }

    /// What its worker counts.
    pub(super) fn tally(&self) -> &Arc<Tally> {
        &self.hands.shore.tally
    }

    /// How many are in a group, unless that is nobody's business.
    pub(crate) async fn occupancy(&self, group: &GroupName) -> Option<u64> {
        let occupancy = self.hands.shore.presence.as_ref()?.occupancy(group).await;
        Some(occupancy as u64)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("identity", self.identity()).finish_non_exhaustive()
    }
}
