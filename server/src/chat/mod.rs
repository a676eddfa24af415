//! The chat: a consumer like any other, which sends what people write to the groups that they are in.

mod amend;
mod post;
mod typing;

use crate::consumer::{Consumer, Context, Failure, Outcome};
use palabre_protocol::{Limits, Request};
use typing::Typist;

/// What the chat's words begin with.
pub const PREFIX: &str = "chat.";

/// The chat behind one connection.
#[derive(Debug)]
pub struct Chat {
    limits: Limits,
    typist: Typist,
}

impl Chat {
    /// A chat within these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, typist: Typist::default() }
    }
}

impl Consumer for Chat {
    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        match request.kind() {
            "chat.send" => post::send(&request, &self.limits, cx),
            "chat.edit" => amend::edit(&request, &self.limits, cx),
            "chat.delete" => amend::delete(&request, cx),
            "chat.typing" => self.typist.typing(&request, cx),
            _ => Err(Failure(request.unknown_type())),
        }
    }
}
