//! The Lua scripts: what they are given, and what their answers mean.

use crate::{
    delivery::Posted,
    envelope,
    history::{GapReason, Lineage, Page, PastEpoch, Recovered},
    message::{Message, MessageId},
    name::GroupName,
    position::{Epoch, Position},
    redis::{
        keys::Keys,
        link::{self, Connections},
        subscriber::NO_POSITION,
    },
    relay::{Chain, LinkError, Opened, Opening, Outgoing, Verdict},
};
use bytes::Bytes;
use redis::{Cmd, FromRedisValue, Value, aio::MultiplexedConnection, from_redis_value};
use std::{collections::HashMap, str::FromStr, sync::Arc, time::Duration};

const OPEN: &str = include_str!("open.lua");
const PUBLISH: &str = include_str!("publish.lua");

/// What a group's stream keeps at most; the first bound that is hit counts.
const MESSAGES_MAX: usize = 1_000;
const BYTES_MAX: usize = 1 << 20;
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Ids in each of two generations: more than every node's copies and waiting messages together.
const IDS_MAX: usize = 12_000;

/// What an opening reads when the node has nothing of the group yet.
const LATEST_MAX: usize = 100;

/// The kind of an event that stands for what cannot be read.
const UNREADABLE: &str = "unreadable";

/// The names under which a Redis process knows the scripts.
#[derive(Clone)]
pub(crate) struct Scripts {
    open: Arc<str>,
    publish: Arc<str>,
}

impl Scripts {
    pub(crate) async fn load(commands: &mut MultiplexedConnection) -> Result<Self, LinkError> {
        let mut names = Vec::with_capacity(2);
        for script in [OPEN, PUBLISH] {
            let load = redis::cmd("SCRIPT").arg("LOAD").arg(script).to_owned();
            names.push(link::answer(load.query_async::<String>(commands)).await?);
        }
        let [open, publish] = <[String; 2]>::try_from(names).expect("one name a script");
        Ok(Self { open: open.into(), publish: publish.into() })
    }
}

fn call(script: &str, keys: &[String]) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(script).arg(keys.len()).arg(keys);
    cmd
}

pub(crate) fn open(connections: &Connections, keys: &Keys, opening: &Opening) -> Cmd {
    let mut cmd = call(&connections.scripts.open, &keys.group(&opening.group));
    cmd.arg(&*connections.node)
        .arg(opening.generation)
        .arg(&*connections.life)
        .arg(opening.epoch.to_string());
    match opening.known {
        Some(known) => cmd.arg(known.epoch.to_string()).arg(known.offset),
        None => cmd.arg("").arg(0),
    };
    cmd.arg(opening.entries_max).arg(LATEST_MAX).arg(millis(AGE_MAX));
    cmd
}

pub(crate) fn publish(
    connections: &Connections,
    keys: &Keys,
    outgoing: &Outgoing,
    (epoch, chain): (Epoch, Chain),
) -> Cmd {
    let Outgoing { group, message, .. } = outgoing;
    let mut cmd = call(&connections.scripts.publish, &keys.group(group));
    cmd.arg(keys.channel(group)).arg(epoch.to_string()).arg(&*connections.life).arg(&*connections.node);
    cmd.arg(format!("{}:{}", chain.generation, chain.seq - 1))
        .arg(format!("{}:{}", chain.generation, chain.seq));
    cmd.arg(&message.id.as_u128().to_be_bytes()[..]).arg(format!("{:016x}", message.digest()));
    match message.floor {
        Some(floor) => cmd.arg(floor.epoch.to_string()).arg(floor.offset),
        None => cmd.arg("").arg(0),
    };
    cmd.arg(&*envelope::encode(message));
    cmd.arg(MESSAGES_MAX).arg(BYTES_MAX).arg(millis(AGE_MAX)).arg(IDS_MAX);
    cmd
}

/// An ephemeral message needs no script: nothing is numbered or kept.
pub(crate) fn pass_on(keys: &Keys, outgoing: &Outgoing) -> Cmd {
    let payload = [&NO_POSITION, &*envelope::encode(&outgoing.message)].concat();
    redis::cmd("PUBLISH").arg(keys.channel(&outgoing.group)).arg(payload).to_owned()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn verdict(outgoing: &Outgoing, answer: Value) -> Result<Verdict, LinkError> {
    let words = match answer {
        Value::Int(_receivers) => return Ok(Verdict::Sent),
        words => read::<Vec<String>>(words)?,
    };
    let (epoch, _) = outgoing.place.ok_or(LinkError::Malformed("a verdict on an ephemeral message"))?;
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["ok", offset] => Ok(Verdict::Placed(Position { epoch, offset: parse(offset)? })),
        ["dup", epoch, offset] => {
            Ok(Verdict::Known(Position { epoch: parse(epoch)?, offset: parse(offset)? }))
        }
        ["conflict"] => Ok(Verdict::Conflict),
        ["undecided"] => Ok(Verdict::Undecided),
        ["stale"] => Ok(Verdict::Stale),
        ["fenced"] => Ok(Verdict::Fenced),
        _ => Err(LinkError::Malformed("an unknown verdict")),
    }
}

pub(crate) fn opened(opening: &Opening, answer: Value) -> Result<Opened, LinkError> {
    let (epoch, head, trimmed, past, how, messages): (String, u64, u64, Vec<String>, String, Value) =
        read(answer)?;
    let past = past.chunks_exact(2).map(|pair| past_epoch(&pair[0], &pair[1])).collect::<Result<_, _>>()?;
    let lineage = Lineage { epoch: parse(&epoch)?, past };
    let head = Position { epoch: lineage.epoch, offset: head };
    let messages = entries(&opening.group, messages)?;
    let recovered = match opening.known {
        Some(_) if how == "after" => {
            let more = has_more(&messages, opening.entries_max, head);
            Recovered::All(Page { messages, head, more })
        }
        known => {
            let page = latest_page(messages, head, trimmed);
            match known.map(|known| lineage.resume(known, head.offset)) {
                None => Recovered::All(page),
                Some(Ok(_)) => Recovered::Gap(GapReason::Trimmed, page),
                Some(Err(reason)) => Recovered::Gap(reason, page),
            }
        }
    };
    Ok(Opened { lineage, recovered })
}

/// Whether a history that ends at `head` goes on after these, of which `entries_max` were asked for. Fewer than asked
/// for: what is missing up to the head was dropped from the history, not left out here.
pub(crate) fn has_more(messages: &[Arc<Posted>], entries_max: usize, head: Position) -> bool {
    let last = messages.last().and_then(|posted| posted.position);
    messages.len() == entries_max && last.is_some_and(|last| last.offset < head.offset)
}

/// The last entries, and whether the stream holds earlier ones.
pub(crate) fn latest_page(messages: Vec<Arc<Posted>>, head: Position, trimmed: u64) -> Page {
    let first =
        messages.first().and_then(|posted| posted.position).map_or(head.offset + 1, |first| first.offset);
    Page { messages, head, more: first > trimmed + 1 }
}

/// What the hash of a group says.
pub(crate) struct Meta {
    pub(crate) lineage: Lineage,
    pub(crate) head: Position,
    pub(crate) trimmed: u64,
}

pub(crate) fn meta(answer: Value) -> Result<Meta, LinkError> {
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

fn past_epoch(epoch: &str, marks: &str) -> Result<PastEpoch, LinkError> {
    let (base, high) = marks.split_once(':').ok_or(LinkError::Malformed("a past epoch"))?;
    Ok(PastEpoch { epoch: parse(epoch)?, base: parse(base)?, high: parse(high)? })
}

/// The entries of a stream, in the order in which they came.
///
/// One that this version cannot read becomes an event that no consumer knows: nobody is shown it, and everybody's
/// position moves past it.
pub(crate) fn entries(group: &GroupName, answer: Value) -> Result<Vec<Arc<Posted>>, LinkError> {
    let entries: Vec<(String, Vec<Value>)> = read(answer)?;
    Ok(entries.into_iter().filter_map(|(id, fields)| entry(group, &id, &fields)).collect())
}

/// One entry; `None` when it is none that a hub writes.
fn entry(group: &GroupName, id: &str, fields: &[Value]) -> Option<Arc<Posted>> {
    let fields: HashMap<String, Bytes> = fields.chunks_exact(2).filter_map(field).collect();
    let text = |name| fields.get(name).and_then(|value| std::str::from_utf8(value).ok());
    let epoch = text("e")?.parse().ok()?;
    let offset = id.strip_suffix("-0")?.parse().ok()?;
    let message = match (text("k"), fields.get("b").cloned()) {
        (Some("msg"), Some(envelope)) => envelope::decode(envelope).ok(),
        _ => None,
    };
    let message = message.unwrap_or_else(|| Message::event(MessageId::random(), UNREADABLE, ""));
    Some(Arc::new(Posted::new(group.clone(), message, Some(Position { epoch, offset }))))
}

fn field(pair: &[Value]) -> Option<(String, Bytes)> {
    match pair {
        [Value::BulkString(name), Value::BulkString(value)] => {
            Some((String::from_utf8(name.clone()).ok()?, Bytes::copy_from_slice(value)))
        }
        _ => None,
    }
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, LinkError> {
    from_redis_value(value).map_err(|_| LinkError::Malformed("another shape than the script gives"))
}

fn parse<T: FromStr>(text: &str) -> Result<T, LinkError> {
    text.parse().map_err(|_| LinkError::Malformed("a number or an epoch"))
}
