//! The chat: a consumer like any other, which sends what people write to the groups that they are in.
//!
//! What people write are messages, kept and ordered by the layer: `post` sends, edits and deletes, the latter two at a `pace`.
//! Beside them stand `marks`, reactions and read positions, in values that all `chats` of a hub share. `typing` is kept nowhere.

mod post;

mod marks;

mod typing;

mod answer;
mod chats;
mod message;
mod pace;

pub use chats::Chats;

use crate::consumer::{Consumer, Context, Failure, Outcome, Runs};
use channel_layer::{GroupName, Page, Posted};
use pace::Pace;
use palabre_protocol::{Limits, Request};
use serde_json::value::RawValue;
use std::sync::Arc;
use typing::Typist;

/// What the chat's words begin with.
pub const PREFIX: &str = "chat.";

/// The chat behind one connection.
#[derive(Debug)]
pub struct Chat {
    /// The hub's, as a rule: one for all.
    limits: Arc<Limits>,
    /// What stands beside the messages, if something does.
    chats: Option<Arc<Chats>>,
    typist: Typist,
    pace: Pace,
}

impl Chat {
    /// A chat of messages alone: its reactions and read positions are `unknown_type`, and its edits limited by connection only.
    #[must_use]
    pub fn new(limits: impl Into<Arc<Limits>>) -> Self {
        Self { limits: limits.into(), chats: None, typist: Typist::default(), pace: Pace::new() }
    }

    /// One with reactions and read positions.
    #[must_use]
    pub fn sharing(self, chats: &Arc<Chats>) -> Self {
        Self { chats: Some(Arc::clone(chats)), ..self }
    }
}

impl Consumer for Chat {
    /// Nothing of it computes: what takes longer than a look waits for the layer.
    const RUNS: Runs = Runs::Inline;

    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        match (request.kind(), &self.chats) {
            ("chat.send", _) => post::send(&request, &self.limits, cx),
            ("chat.edit", chats) => post::edit(&request, &self.limits, chats.as_ref(), &mut self.pace, cx),
            ("chat.delete", chats) => post::delete(&request, chats.as_ref(), &mut self.pace, cx),
            ("chat.typing", _) => self.typist.typing(&request, cx).await,
            ("chat.react", Some(chats)) => marks::react(&request, chats, cx),
            ("chat.read", Some(chats)) => marks::read(&request, chats, cx),
            _ => Err(Failure(request.unknown_type())),
        }
    }

    async fn joining(
        &mut self,
        group: &GroupName,
        page: &Page,
        cx: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        match &self.chats {
            Some(chats) => Ok(marks::joining(group, &page.messages, chats, cx).await),
            None => Ok(None),
        }
    }

    async fn reading(
        &mut self,
        group: &GroupName,
        messages: &[Arc<Posted>],
        cx: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        match &self.chats {
            Some(chats) => Ok(marks::reading(group, messages, chats, cx).await),
            None => Ok(None),
        }
    }
}
