//! Reading a group's history from Redis: what is asked of the scripts that read, and what their answers say.
//!
//! One script reads everything, so that a page and what is said of it belong together. It gives what can be had without a
//! hole, or else the last of what there is; why it does is told here from the epochs that come with it.

use crate::{
    delivery::Posted,
    envelope,
    history::{GAP_MESSAGES_MAX, GapReason, Lineage, Page, PastEpoch, Recovered, Span},
    message::{Message, MessageId},
    name::GroupName,
    position::Position,
    redis::{
        label,
        scripts::{parse, shaped},
        unread::Unread,
    },
    relay::LinkError,
};
use bytes::Bytes;
use redis::{Cmd, Value};
use std::sync::Arc;

/// The kind of an event that stands for what cannot be read.
const UNREADABLE: &str = "unreadable";

/// More is not asked for at once, whatever a caller says.
const ENTRIES_MAX: usize = 1 << 20;

/// When it was kept, its label, its envelope.
type Entry = Vec<u8>;

/// How many digits of an entry say when it was kept.
pub(super) const TIME_BYTES: usize = 10;

/// What is asked for, and given, oldest first.
const AFTER: &str = "after";

/// A part of a group's history.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) group: &'a GroupName,
    pub(super) span: Span,
    pub(super) messages_max: usize,
    /// How many of the last messages come with a gap.
    pub(super) latest_max: usize,
}

impl<'a> Wanted<'a> {
    /// What somebody asks for who may be anybody: a position of long ago brings a screen's worth.
    pub(super) fn by_reader(group: &'a GroupName, span: Span, messages_max: usize) -> Self {
        let messages_max = messages_max.min(ENTRIES_MAX);
        Self { group, span, messages_max, latest_max: messages_max.min(GAP_MESSAGES_MAX) }
    }

    /// The span as `page.lua` calls it.
    fn which(&self) -> &'static str {
        match self.span {
            Span::After(_) => AFTER,
            Span::Before(_) => "before",
            Span::Latest => "latest",
        }
    }

    /// Adds what `page.lua` is given.
    pub(super) fn ask(&self, cmd: &mut Cmd) {
        let position = match self.span {
            Span::After(known) | Span::Before(known) => label::of(known),
            Span::Latest => label::NONE,
        };
        // One more than is wanted tells whether there are more.
        cmd.arg(self.which()).arg(&position).arg(self.messages_max + 1).arg(self.latest_max + 1);
    }

    /// What `page.lua` gave.
    ///
    /// # Errors
    ///
    /// [`LinkError::Unopened`] when it gave nothing, [`LinkError::Malformed`] when it is none of its answers.
    pub(super) fn found(&self, answer: Value, unread: &Unread) -> Result<(Lineage, Recovered), LinkError> {
        if answer == Value::Nil {
            return Err(LinkError::Unopened);
        }
        let (epoch, offset, past, which, entries): (String, u64, String, String, Vec<Entry>) =
            shaped(answer)?;
        let past = past.split_whitespace().map(past_epoch).collect::<Result<_, _>>()?;
        let lineage = Lineage { epoch: parse(&epoch)?, past };
        let head = Position { epoch: lineage.epoch, offset };
        let (Span::After(known) | Span::Before(known)) = self.span else {
            let page = self.page(entries, &which, self.messages_max, head, unread)?;
            return Ok((lineage, Recovered::All(page)));
        };
        let recovered = if which == self.which() {
            Recovered::All(self.page(entries, &which, self.messages_max, head, unread)?)
        } else {
            let reason = lineage.resume(known, offset).err().unwrap_or(GapReason::Trimmed);
            Recovered::Gap(reason, self.page(entries, &which, self.latest_max, head, unread)?)
        };
        Ok((lineage, recovered))
    }

    /// At most `messages_max` of the entries, oldest first.
    fn page(
        &self,
        mut entries: Vec<Entry>,
        which: &str,
        messages_max: usize,
        head: Position,
        unread: &Unread,
    ) -> Result<Page, LinkError> {
        let more = entries.len() > messages_max;
        entries.truncate(messages_max);
        if which != AFTER {
            entries.reverse();
        }
        let messages = entries.into_iter().map(|entry| posted(self.group, entry, unread));
        Ok(Page { messages: messages.collect::<Result<_, _>>()?, head, more })
    }
}

/// One entry. One that this version cannot read becomes an event that no consumer knows: nobody is shown it, and
/// everybody's position moves past it.
fn posted(group: &GroupName, entry: Entry, unread: &Unread) -> Result<Arc<Posted>, LinkError> {
    let mut envelope = Bytes::from(entry);
    let head = envelope.split_to(envelope.len().min(TIME_BYTES + label::BYTES));
    let position = head.get(TIME_BYTES..).and_then(label::position);
    let position = Some(position.ok_or(LinkError::Malformed("an entry without a position"))?);
    Ok(Arc::new(match envelope::decode(envelope) {
        Ok(envelope) => envelope.posted(group.clone(), position),
        Err(_) => {
            unread.note();
            Posted::new(group.clone(), Message::event(MessageId::random(), UNREADABLE, ""), position)
        }
    }))
}

fn past_epoch(words: &str) -> Result<PastEpoch, LinkError> {
    let no_epoch = LinkError::Malformed("a past epoch");
    let [epoch, base, high] = words.split(':').collect::<Vec<_>>()[..] else { return Err(no_epoch) };
    Ok(PastEpoch { epoch: parse(epoch)?, base: parse(base)?, high: parse(high)? })
}
