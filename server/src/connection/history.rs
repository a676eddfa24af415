//! The core word `history`: a page of what a group keeps, for its members.
//!
//! A page that starts where the history cannot go on is refused with `not_found` and never begins somewhere else.

use crate::{
    connection::{
        member::Member,
        slots::{Given, slots},
    },
    consumer::{Failure, careful::in_time},
    position::{from_wire, on_wire},
    worker::texts::{Keep, SLOTS_BYTES, texts},
};
use bytes::Bytes;
use channel_layer::{GroupName, Page, Recovered, Span};
use palabre_protocol::{CloseCode, ErrorCode, History, Refusal, Request, history};

impl Member {
    /// Answers with a page once the client has room for it.
    pub(super) async fn history(&mut self, request: &Request) -> Result<Result<(), Failure>, CloseCode> {
        let parsed = || -> Result<(&str, History), Failure> { Ok((request.answer_to()?, request.body()?)) };
        let (reference, asked) = match parsed() {
            Ok(parsed) => parsed,
            Err(failure) => return Ok(Err(failure)),
        };
        self.desk.room().await?;
        match self.page(reference, &asked).await? {
            Ok(frame) => self.desk.write(frame),
            Err(failure) => self.desk.refuse(Some(reference), Some(&asked.group), &failure),
        }
        Ok(Ok(()))
    }

    async fn page(&mut self, reference: &str, asked: &History) -> Result<Result<Bytes, Failure>, CloseCode> {
        let Read { group, page, keep, limit } = match in_time(self.read_page(asked)).await? {
            Ok(read) => read,
            Err(failure) => return Ok(Err(failure)),
        };
        let texts = texts(&page, keep, limit, SLOTS_BYTES);
        let given = Given::Messages(texts.entries(&page));
        let slots = match slots(&mut self.consumers, &group, given, &self.desk).await? {
            Ok(slots) => slots,
            Err(failure) => return Ok(Err(failure)),
        };
        let next = texts.edge.filter(|_| texts.is_cut || page.more).map(on_wire);
        Ok(Ok(history(reference, group.as_str(), &texts.texts, next, &slots)))
    }

    async fn read_page(&self, asked: &History) -> Result<Read, Failure> {
        let limit = asked.check()?;
        let group = self.cx.member_of(&asked.group)?;
        let (span, keep) = match (asked.before, asked.after) {
            (Some(before), _) => (Span::Before(from_wire(before)?), Keep::Newest),
            (None, Some(after)) => (Span::After(from_wire(after)?), Keep::Oldest),
            (None, None) => (Span::Latest, Keep::Newest),
        };
        match self.cx.history(&group, span, limit).await? {
            Recovered::All(page) => Ok(Read { group, page, keep, limit }),
            Recovered::Gap(reason, _) => {
                let message = format!("the history does not go on from this position: {}", reason.as_str());
                Err(Refusal::new(ErrorCode::NotFound, message).into())
            }
        }
    }
}

/// What was read, and which end of it is the nearer one.
struct Read {
    group: GroupName,
    page: Page,
    keep: Keep,
    limit: usize,
}
