//! The Lua scripts: what they are given, and what their answers mean.

use crate::{
    amend::{Amendment, Amends, Owner},
    bounds::{Bounds, Kept},
    envelope,
    history::{Remembered, Span},
    message::MessageId,
    name::GroupName,
    position::{Epoch, Position},
    redis::{
        history::Wanted,
        keys::Keys,
        label,
        link::{self, Connections},
        subscriber,
    },
    relay::{Chain, LinkError, Opened, Opening, Outgoing, Verdict},
};
use redis::{Cmd, FromRedisValue, Value, aio::MultiplexedConnection, from_redis_value};
use std::{collections::HashMap, iter, str::FromStr, sync::Arc, time::Duration};

const OPEN: &str = concat!(include_str!("page.lua"), include_str!("open.lua"));
const READ: &str = concat!(include_str!("page.lua"), include_str!("read.lua"));
const PUBLISH: &str = concat!(include_str!("check.lua"), include_str!("keep.lua"));
const AMEND: &str = concat!(include_str!("check.lua"), include_str!("amend.lua"), include_str!("keep.lua"));
const HOLE: &str = concat!(include_str!("lost.lua"), include_str!("hole.lua"), include_str!("keep.lua"));
const PUT_BACK: &str =
    concat!(include_str!("lost.lua"), include_str!("putback.lua"), include_str!("keep.lua"));
const PRESENCE: &str = include_str!("presence.lua");

/// The texts of the scripts. What is the same for every call stands in them: an argument more costs every message.
#[derive(Debug)]
pub(crate) struct Texts([String; 7]);

/// How a history's field `h` is packed: the last offset, the bytes kept, when the time to live is to be renewed (s), and up to
/// where ids are forgotten. As binary numbers in one field, for to find each by itself and to read it as text costs a tenth of
/// the publishing script.
const HEAD: &str = ">I8I8I8I8";

impl Texts {
    pub(crate) fn new(bounds: &Bounds, keys: &Keys) -> Self {
        let Kept { messages, bytes, age } = bounds.history;
        // Entries say when they were kept in seconds.
        let age_s = age.as_secs().max(1);
        let constants = format!(
            "local MESSAGES_MAX, BYTES_MAX, AGE_S, IDS_MAX, DATABASE, HEAD = {messages}, {bytes}, {age_s}, {}, '{}', '{HEAD}'\n",
            bounds.ids,
            keys.database()
        );
        Self(
            [OPEN, READ, PUBLISH, AMEND, HOLE, PUT_BACK, PRESENCE]
                .map(|script| format!("{constants}{script}")),
        )
    }
}

/// The names under which a Redis process knows the scripts.
#[derive(Clone)]
pub(crate) struct Scripts {
    open: Arc<str>,
    read: Arc<str>,
    publish: Arc<str>,
    amend: Arc<str>,
    hole: Arc<str>,
    put_back: Arc<str>,
    pub(crate) presence: Arc<str>,
}

impl Scripts {
    pub(crate) async fn load(
        commands: &mut MultiplexedConnection,
        Texts(texts): &Texts,
    ) -> Result<Self, LinkError> {
        let mut names = Vec::with_capacity(texts.len());
        for script in texts {
            let load = redis::cmd("SCRIPT").arg("LOAD").arg(script).to_owned();
            names.push(link::answer(load.query_async::<String>(commands)).await?);
        }
        let [open, read, publish, amend, hole, put_back, presence] =
            <[String; 7]>::try_from(names).expect("one name a script");
        Ok(Self {
            open: open.into(),
            read: read.into(),
            publish: publish.into(),
            amend: amend.into(),
            hole: hole.into(),
            put_back: put_back.into(),
            presence: presence.into(),
        })
    }
}

pub(crate) fn call(script: &str, keys: &[String]) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(script).arg(keys.len()).arg(keys);
    cmd
}

/// Makes a group ready for this node's publishes, and reads what the node lacks or, when it has nothing of it yet, what it
/// will keep.
pub(crate) fn open(connections: &Connections, keys: &Keys, bounds: &Bounds, opening: &Opening) -> Cmd {
    let mut cmd = call(&connections.scripts.open, &[keys.history(&opening.group)]);
    wanted(bounds, opening).ask(&mut cmd);
    cmd.arg(&*connections.node)
        .arg(opening.generation)
        .arg(&connections.life.digits())
        .arg(opening.epoch.to_string());
    cmd
}

/// What an opening reads.
fn wanted<'a>(bounds: &Bounds, opening: &'a Opening) -> Wanted<'a> {
    let latest_max = bounds.tail.messages;
    let (span, messages_max) = match opening.known {
        Some(known) => (Span::After(known), opening.entries_max),
        None => (Span::Latest, latest_max),
    };
    Wanted { group: &opening.group, span, messages_max, latest_max }
}

/// Reads a part of a group's history.
pub(crate) fn read(connections: &Connections, keys: &Keys, wanted: &Wanted<'_>) -> Cmd {
    let mut cmd = call(&connections.scripts.read, &[keys.history(wanted.group)]);
    wanted.ask(&mut cmd);
    cmd
}

/// Numbers a message, keeps it and publishes it; if it amends another, in that one's place.
pub(crate) fn publish(
    connections: &Connections,
    keys: &Keys,
    outgoing: &Outgoing,
    (epoch, chain): (Epoch, Chain),
) -> Cmd {
    let Outgoing { group, message, .. } = outgoing;
    let script = match message.amends() {
        Some(_) => &connections.scripts.amend,
        None => &connections.scripts.publish,
    };
    let envelope = envelope::encode(message);
    // What there is beside the envelope, and the 16 arguments of an amendment.
    let mut cmd = Cmd::with_capacity(16, 384 + envelope.len());
    cmd.arg("EVALSHA").arg(&**script).arg(1).arg(keys.history(group)).arg(&*connections.chain);
    let present = [label::digits(epoch.as_u64()), connections.life.digits()];
    let chained =
        |seq: u64| [present.as_flattened(), format!("{}:{seq}", chain.generation).as_bytes()].concat();
    cmd.arg(chained(chain.seq - 1)).arg(chained(chain.seq)).arg(&label::digits(message.digest()));
    cmd.arg(&message.floor.map_or(label::NONE, label::of));
    let Some(Amends { target, amendment }) = message.amends() else {
        cmd.arg(&*envelope);
        return cmd;
    };
    let bytes = |id: MessageId| id.as_u128().to_be_bytes();
    let owner = message.owner.map(Owner::as_u64).unwrap_or_default();
    cmd.arg(&envelope[..envelope::FILLED_IN.start]).arg(&bytes(message.id)).arg(&bytes(target));
    cmd.arg(&owner.to_be_bytes()).arg(word(amendment));
    cmd.arg(&envelope[envelope::FILLED_IN.end..]);
    cmd
}

/// What an amendment was, as `amend.lua` has it.
fn word(amendment: Amendment) -> &'static str {
    match amendment {
        Amendment::Replace => "r",
        Amendment::Delete => "d",
    }
}

/// Puts messages back in their order, each after what is known to be missing before it.
pub(crate) fn put_back(
    connections: &Connections,
    keys: &Keys,
    group: &GroupName,
    epoch: Epoch,
    lost: &[Remembered],
) -> redis::Pipeline {
    let mut pipe = redis::pipe();
    let history = keys.history(group);
    let present = [label::digits(epoch.as_u64()), connections.life.digits()];
    let call = |script: &str, digest: &[u8]| {
        let mut cmd = call(script, std::slice::from_ref(&history));
        // It is nobody's chain.
        cmd.arg("p").arg(present.as_flattened()).arg("").arg(digest);
        cmd
    };
    let mut declared: HashMap<Epoch, u64> = HashMap::new();
    for Remembered { posted, after } in lost {
        let Some(position) = posted.position else { continue };
        // What it was before, nobody here knows what stood beside it.
        let was = posted.was.iter().map(|was| (*was, was.offset.saturating_sub(1)));
        for (label, after) in iter::once((position, *after)).chain(was) {
            if declared.insert(label.epoch, label.offset).is_none_or(|last| last < after) && after > 0 {
                let mut hole = call(&connections.scripts.hole, b"-");
                hole.arg(label.epoch.to_string()).arg(after);
                pipe.add_command(hole);
            }
        }
        let labels: Vec<u8> =
            iter::once(&position).chain(&posted.was).flat_map(|at| label::of(*at)).collect();
        let bytes = |id: MessageId| id.as_u128().to_be_bytes();
        let target = bytes(posted.id);
        let amended = posted.version.as_ref().map(|version| (version, word(version.amendment)));
        // What was sent is not known any more, so a repeat is known by its id, and by what it amends.
        let digest = match amended {
            Some((_, word)) => [b"-", &target[..], word.as_bytes()].concat(),
            None => b"-".to_vec(),
        };
        let mut cmd = call(&connections.scripts.put_back, &digest);
        cmd.arg(labels).arg(&*envelope::encode_again(posted)).arg(&bytes(posted.sent_as()));
        if let Some((version, word)) = amended {
            let first = version.first.map_or(label::NONE, label::of);
            cmd.arg(&target).arg(&first).arg(format!("{:08x}", version.number)).arg(word);
        }
        pipe.add_command(cmd);
    }
    pipe
}

/// An ephemeral message needs no script: nothing is numbered or kept.
pub(crate) fn pass_on(keys: &Keys, outgoing: &Outgoing) -> Cmd {
    let payload = [&subscriber::UNPLACED[..], &*envelope::encode(&outgoing.message)].concat();
    redis::cmd("PUBLISH").arg(keys.channel(&outgoing.group)).arg(payload).to_owned()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn verdict(outgoing: &Outgoing, answer: Value) -> Result<Verdict, LinkError> {
    let words = match (answer, outgoing.place) {
        (Value::Int(_receivers), None) => return Ok(Verdict::Sent),
        (Value::Int(offset), Some((epoch, _))) => {
            let offset = u64::try_from(offset).map_err(|_| LinkError::Malformed("an offset below zero"))?;
            return Ok(Verdict::Placed(Position { epoch, offset }));
        }
        (words, _) => shaped::<Vec<String>>(words)?,
    };
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["dup", position] => {
            let known = label::position(position.as_bytes());
            Ok(Verdict::Known(known.ok_or(LinkError::Malformed("a position"))?))
        }
        ["conflict"] => Ok(Verdict::Conflict),
        ["undecided"] => Ok(Verdict::Undecided),
        ["not_found"] => Ok(Verdict::NotFound),
        ["forbidden"] => Ok(Verdict::Forbidden),
        ["stale"] => Ok(Verdict::Stale),
        ["fenced"] => Ok(Verdict::Fenced),
        _ => Err(LinkError::Malformed("an unknown verdict")),
    }
}

pub(crate) fn opened(
    connections: &Connections,
    bounds: &Bounds,
    opening: &Opening,
    answer: Value,
) -> Result<Opened, LinkError> {
    let (life, part): (String, Value) = shaped(answer)?;
    if !connections.life.learn(&life) {
        return Err(LinkError::Malformed("a life"));
    }
    let (lineage, recovered) = wanted(bounds, opening).found(part, &connections.unread)?;
    Ok(Opened { lineage, recovered })
}

pub(super) fn shaped<T: FromRedisValue>(value: Value) -> Result<T, LinkError> {
    from_redis_value(value).map_err(|_| LinkError::Malformed("another shape than the script gives"))
}

pub(super) fn parse<T: FromStr>(text: &str) -> Result<T, LinkError> {
    text.parse().map_err(|_| LinkError::Malformed("a number or an epoch"))
}
