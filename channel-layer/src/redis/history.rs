//! Reading a group's history from Redis: what is asked, and what the entries say.
//!
//! Nothing here changes anything. The hash and the stream are read in one transaction, so that a page and what is said
//! of it belong together.

use crate::{
    delivery::Posted,
    envelope,
    history::{GAP_MESSAGES_MAX, GapReason, Lineage, Page, PastEpoch, Recovered, Span},
    message::{Message, MessageId},
    name::GroupName,
    position::{Epoch, Position},
    redis::{
        keys::Keys,
        link::{self, Connections},
        scripts::{millis, parse, read},
        unread::Unread,
    },
    relay::LinkError,
};
use bytes::Bytes;
use redis::Value;
use std::{collections::HashMap, sync::Arc, time::Duration};

/// The kind of an event that stands for what cannot be read.
const UNREADABLE: &str = "unreadable";

/// More is not asked for at once, whatever a caller says.
const ENTRIES_MAX: usize = 1 << 20;

/// A group's history, over one link.
pub(super) struct History<'a> {
    pub(super) connections: &'a Connections,
    pub(super) keys: &'a Keys,
    pub(super) group: &'a GroupName,
    pub(super) age: Duration,
}

impl History<'_> {
    pub(super) async fn read(&self, span: Span, messages_max: usize) -> Result<Recovered, LinkError> {
        let messages_max = messages_max.min(ENTRIES_MAX);
        let mut useful = match span {
            Span::Latest => Ok(()),
            // What is no use to the reader is not fetched: anybody can ask with a position of long ago.
            Span::After(_) | Span::Before(_) => self.meta().await?.is_useful(span),
        };
        if useful.is_ok() {
            let (meta, page, gone) = self.page(span, messages_max).await?;
            useful = meta.is_useful(span);
            if let (Span::After(_), Gone::SomeForAge) = (span, gone) {
                useful = Err(GapReason::Trimmed);
            }
            if useful.is_ok() {
                return Ok(Recovered::All(page));
            }
        }
        let (_, page, _) = self.page(Span::Latest, messages_max.min(GAP_MESSAGES_MAX)).await?;
        Ok(Recovered::Gap(useful.err().unwrap_or(GapReason::Trimmed), page))
    }

    async fn meta(&self) -> Result<Meta, LinkError> {
        let [meta_key, ..] = self.keys.group(self.group);
        let ask = redis::cmd("HGETALL").arg(meta_key).to_owned();
        meta(link::answer(ask.query_async(&mut self.connections.commands())).await?)
    }

    async fn page(&self, span: Span, messages_max: usize) -> Result<(Meta, Page, Gone), LinkError> {
        let [meta_key, stream, ..] = self.keys.group(self.group);
        let (order, from, to) = match span {
            Span::After(known) => (Order::OldestFirst, format!("{}-0", known.offset.saturating_add(1)), "+"),
            Span::Before(known) => (Order::NewestFirst, format!("{}-0", known.offset.saturating_sub(1)), "-"),
            Span::Latest => (Order::NewestFirst, "+".to_owned(), "-"),
        };
        let range = if order == Order::OldestFirst { "XRANGE" } else { "XREVRANGE" };
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("HGETALL").arg(meta_key);
        // One more than is wanted tells whether there are more.
        pipe.cmd(range).arg(stream).arg(from).arg(to).arg("COUNT").arg(messages_max + 1);
        pipe.cmd("TIME");
        let (fields, entries, (seconds, micros)): (Value, Value, (u64, u64)) =
            link::answer(pipe.query_async(&mut self.connections.commands())).await?;
        let meta = meta(fields)?;
        let oldest_ms = (seconds * 1_000 + micros / 1_000).saturating_sub(millis(self.age));
        let found = Found { entries, order, oldest_ms, unread: &self.connections.unread };
        let (page, gone) = found.page(self.group, messages_max, meta.head)?;
        Ok((meta, page, gone))
    }
}

/// In which order entries were asked for; the one that is too many is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

/// Whether entries were left out that are in Redis still, for a group is trimmed by age only now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    Nothing,
    SomeForAge,
}

/// What a stream holds, of which one entry more than is wanted was asked for.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) entries: Value,
    pub(super) order: Order,
    /// What was kept before this time of Redis is too old.
    pub(super) oldest_ms: u64,
    /// Counts what cannot be read.
    pub(super) unread: &'a Unread,
}

impl Found<'_> {
    /// At most `messages_max` of it, oldest first, and nothing that is too old.
    ///
    /// An entry that this version cannot read becomes an event that no consumer knows: nobody is shown it, and everybody's
    /// position moves past it.
    pub(super) fn page(
        self,
        group: &GroupName,
        messages_max: usize,
        head: Position,
    ) -> Result<(Page, Gone), LinkError> {
        let mut entries: Vec<(String, Vec<Value>)> = read(self.entries)?;
        let more = entries.len() > messages_max;
        entries.truncate(messages_max);
        if self.order == Order::NewestFirst {
            entries.reverse();
        }
        // Whatever stands before one that is too old is so too.
        let old =
            entries.iter().rposition(|(_, fields)| kept_at(fields).is_some_and(|at| at < self.oldest_ms));
        entries.drain(..old.map_or(0, |last| last + 1));
        let gone = if old.is_some() { Gone::SomeForAge } else { Gone::Nothing };
        let more = more && (self.order == Order::OldestFirst || gone == Gone::Nothing);
        let messages =
            entries.into_iter().filter_map(|(id, fields)| entry(group, &id, &fields, self.unread)).collect();
        Ok((Page { messages, head, more }, gone))
    }
}

/// When an entry was kept, in milliseconds since 1970.
fn kept_at(fields: &[Value]) -> Option<u64> {
    let (_, text) = fields.chunks_exact(2).filter_map(field).find(|(name, _)| name == "ts")?;
    std::str::from_utf8(&text).ok()?.parse().ok()
}

/// One entry; `None` when it is none that a hub writes.
fn entry(group: &GroupName, id: &str, fields: &[Value], unread: &Unread) -> Option<Arc<Posted>> {
    let fields: HashMap<String, Bytes> = fields.chunks_exact(2).filter_map(field).collect();
    let text = |name| fields.get(name).and_then(|value| std::str::from_utf8(value).ok());
    let epoch = text("e")?.parse().ok()?;
    let offset = id.strip_suffix("-0")?.parse().ok()?;
    let position = Some(Position { epoch, offset });
    let envelope = match (text("k"), fields.get("b").cloned()) {
        (Some("msg"), Some(envelope)) => envelope::decode(envelope).ok(),
        _ => None,
    };
    Some(Arc::new(match envelope {
        Some(envelope) => envelope.posted(group.clone(), position),
        None => {
            unread.note();
            Posted::new(group.clone(), Message::event(MessageId::random(), UNREADABLE, ""), position)
        }
    }))
}

fn field(pair: &[Value]) -> Option<(String, Bytes)> {
    match pair {
        [Value::BulkString(name), Value::BulkString(value)] => {
            Some((String::from_utf8(name.clone()).ok()?, Bytes::copy_from_slice(value)))
        }
        _ => None,
    }
}

/// What the hash of a group says.
struct Meta {
    lineage: Lineage,
    head: Position,
    trimmed: u64,
}

impl Meta {
    /// Whether a reader with this span can be served, or why not.
    fn is_useful(&self, span: Span) -> Result<(), GapReason> {
        let (Span::After(known) | Span::Before(known)) = span else { return Ok(()) };
        let offset = self.lineage.resume(known, self.head.offset)?;
        match span {
            Span::After(_) if offset < self.trimmed => Err(GapReason::Trimmed),
            // What stands before a position may all be gone: then the page is empty, and the first of them.
            _ => Ok(()),
        }
    }
}

fn meta(answer: Value) -> Result<Meta, LinkError> {
    let fields: HashMap<String, Value> = read(answer)?;
    let text = |name: &str| match fields.get(name) {
        Some(value) => read::<String>(value.clone()).map(Some),
        None => Ok(None),
    };
    let epoch: Epoch = parse(&text("e")?.ok_or(LinkError::Unopened)?)?;
    let offset = parse(&text("o")?.unwrap_or_default())?;
    let trimmed = match text("t")? {
        Some(label) => parse(label.split_once(':').map_or("", |(_, offset)| offset))?,
        None => 0,
    };
    let mut past = Vec::new();
    for name in fields.keys() {
        if let Some(epoch) = name.strip_prefix("p:") {
            past.push(past_epoch(epoch, &text(name)?.unwrap_or_default())?);
        }
    }
    Ok(Meta { lineage: Lineage { epoch, past }, head: Position { epoch, offset }, trimmed })
}

pub(super) fn past_epoch(epoch: &str, marks: &str) -> Result<PastEpoch, LinkError> {
    let (base, high) = marks.split_once(':').ok_or(LinkError::Malformed("a past epoch"))?;
    Ok(PastEpoch { epoch: parse(epoch)?, base: parse(base)?, high: parse(high)? })
}
