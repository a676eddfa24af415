//! Rows of presence in Redis: one hash a group for the rows, one for their leases, and one script for both.
//!
//! Redis 7.0 has no time to live for a field of a hash, so each row has its own end beside it, by the clock of Redis, and
//! whoever writes drops the rows that have ended. Both hashes have a time to live besides.

use crate::{
    name::GroupName,
    presence::{Presented, RowStored, RowWrite, Standing},
    redis::{
        keys::Keys,
        link::{self, Connections},
        scripts::{call, millis},
        subscriber::PRESENCE,
    },
    relay::LinkError,
};
use bytes::Bytes;
use redis::{FromRedisValue, Value, from_redis_value};
use std::{collections::HashMap, str::FromStr, time::Duration};

/// Bytes of a row are not copied into a text; a hash gives both.
type Hash = HashMap<String, Vec<u8>>;

pub(super) async fn present(
    connections: &Connections,
    keys: &Keys,
    lease: Duration,
    writes: &[(GroupName, RowWrite)],
) -> Result<Vec<Presented>, LinkError> {
    let mut pipe = redis::pipe();
    for (group, write) in writes {
        let none = Bytes::new();
        let (what, version, row, change) = match write {
            RowWrite::Put { version, row, change } => ("put", *version, row, change),
            RowWrite::Renew { version } => ("renew", *version, &none, &none),
            RowWrite::Withdraw { change } => ("withdraw", 0, &none, change),
        };
        let mut script = call(&connections.scripts.presence, &keys.presence(group));
        script.arg(what).arg(keys.channel(group)).arg(&*connections.node).arg(version).arg(millis(lease));
        script.arg(&**row);
        match change.is_empty() {
            true => script.arg(""),
            false => script.arg([&PRESENCE, &**change].concat()),
        };
        pipe.add_command(script);
    }
    let answers: Vec<Value> = link::answer(pipe.query_async(&mut connections.commands())).await?;
    answers.into_iter().map(presented).collect()
}

fn presented(answer: Value) -> Result<Presented, LinkError> {
    let Value::Array(words) = answer else { return Err(MALFORMED) };
    let mut words = words.into_iter();
    let is_there = read::<u8>(words.next().ok_or(MALFORMED)?)? == 1;
    let words: Vec<String> = words.map(read).collect::<Result<_, _>>()?;
    let standing = |[node, version, left_ms]: &[String; 3]| {
        let left = Duration::from_millis(parse(left_ms)?);
        Ok(Standing { node: node.as_str().into(), version: parse(version)?, left })
    };
    let (others, rest) = words.as_chunks();
    if rest.is_empty() {
        Ok(Presented { is_there, others: others.iter().map(standing).collect::<Result<_, _>>()? })
    } else {
        Err(MALFORMED)
    }
}

pub(super) async fn rows(
    connections: &Connections,
    keys: &Keys,
    groups: &[GroupName],
) -> Result<Vec<Vec<RowStored>>, LinkError> {
    let mut pipe = redis::pipe();
    // One time for all, read before the rows: a lease is rather too long by the time between than too short.
    pipe.atomic().cmd("TIME");
    for group in groups {
        let [leases, rows] = keys.presence(group);
        pipe.cmd("HGETALL").arg(leases).cmd("HGETALL").arg(rows);
    }
    let answers: Vec<Value> = link::answer(pipe.query_async(&mut connections.commands())).await?;
    let (time, hashes) = answers.split_first().ok_or(MALFORMED)?;
    let (seconds, micros): (u64, u64) = read(time.clone())?;
    let now_ms = seconds * 1_000 + micros / 1_000;
    let group = |[leases, rows]: &[Value; 2]| -> Result<Vec<RowStored>, LinkError> {
        let leases: HashMap<String, String> = read(leases.clone())?;
        let mut rows: Hash = read(rows.clone())?;
        Ok(leases.into_iter().filter_map(|(node, lease)| stored(&mut rows, node, &lease, now_ms)).collect())
    };
    hashes.as_chunks().0.iter().map(group).collect()
}

/// One row, if it holds. What makes no sense is no row: its node writes it anew, or it ends.
fn stored(rows: &mut Hash, node: String, lease: &str, now_ms: u64) -> Option<RowStored> {
    let (until, version) = lease.split_once(':')?;
    let left_ms = until.parse::<u64>().ok()?.checked_sub(now_ms).filter(|left| *left > 0)?;
    let row = rows.remove(&node)?.into();
    Some(RowStored {
        node: node.into(),
        version: version.parse().ok()?,
        left: Duration::from_millis(left_ms),
        row,
    })
}

const MALFORMED: LinkError = LinkError::Malformed("another shape than presence has");

fn read<T: FromRedisValue>(value: Value) -> Result<T, LinkError> {
    from_redis_value(value).map_err(|_| MALFORMED)
}

fn parse<T: FromStr>(text: &str) -> Result<T, LinkError> {
    text.parse().map_err(|_| MALFORMED)
}
