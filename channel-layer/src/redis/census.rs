//! Who is there: each node says so every few seconds, and hears at the same time who else is and how Redis is.
//!
//! The entries are leases by Redis' own clock. A node that ends takes its entry away; one that was killed, or cannot reach
//! Redis, is gone from the list when its lease has run out.

use crate::{
    redis::{
        keys::Keys,
        link::{self, Connections},
    },
    relay::LinkError,
    report::{Backend, Census, Peer},
};
use redis::{FromRedisValue, RedisResult, Value, from_redis_value};
use std::time::Duration;
use tokio::time::Instant;

const ANNOUNCE: &str = include_str!("announce.lua");

/// How long a node counts after it was last heard: two announcements may go astray.
const GRACE: Duration = Duration::from_secs(15);

/// More nodes than this are not listed.
const NODES_MAX: usize = 1_000;

/// One entry: the process, and what its operator calls it.
fn entry(node: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{node} {name}"),
        None => node.to_owned(),
    }
}

fn peer(entry: &str) -> Peer {
    let (node, name) = entry.split_once(' ').map_or((entry, None), |(node, name)| (node, Some(name)));
    Peer { node: node.to_owned(), name: name.map(str::to_owned) }
}

/// Announces a node, and asks who else is there and how Redis is. What Redis refuses to say is absent.
pub(super) async fn announce(
    connections: &Connections,
    keys: &Keys,
    node: &str,
    name: Option<&str>,
) -> Result<Census, LinkError> {
    let mut pipe = redis::pipe();
    pipe.cmd("EVAL").arg(ANNOUNCE).arg(1).arg(keys.nodes()).arg(entry(node, name));
    pipe.arg(u64::try_from(GRACE.as_millis()).expect("seconds")).arg(NODES_MAX);
    for section in ["server", "clients", "memory"] {
        pipe.cmd("INFO").arg(section);
    }
    let begun = Instant::now();
    let answers: Vec<RedisResult<Value>> =
        link::answer(pipe.ignore_errors().query_async(&mut connections.commands())).await?;
    let latency = begun.elapsed();
    let mut answers = answers.into_iter();
    let entries: Option<Vec<String>> = answers.next().and_then(read);
    let info: String = answers.filter_map(read::<String>).collect();
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(|value| value.trim().to_owned())
    };
    let number = |name| field(name).and_then(|value| value.parse().ok());
    let mut nodes: Option<Vec<Peer>> =
        entries.map(|entries| entries.iter().map(|entry| peer(entry)).collect());
    if let Some(nodes) = &mut nodes {
        nodes.sort();
    }
    let backend = Backend {
        version: field("redis_version"),
        clients: number("connected_clients"),
        memory_bytes: number("used_memory"),
        memory_human: field("used_memory_human"),
        latency_us: u64::try_from(latency.as_micros()).ok(),
    };
    Ok(Census { nodes, backend: Some(backend) })
}

/// Takes a node's entry away.
pub(super) async fn withdraw(
    connections: &Connections,
    keys: &Keys,
    node: &str,
    name: Option<&str>,
) -> Result<(), LinkError> {
    let remove = redis::cmd("ZREM").arg(keys.nodes()).arg(entry(node, name)).to_owned();
    link::answer(remove.query_async(&mut connections.commands())).await
}

fn read<T: FromRedisValue>(answer: RedisResult<Value>) -> Option<T> {
    from_redis_value(answer.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_leads_back_to_its_node_and_its_name() {
        for name in [None, Some("web-1.example")] {
            let peer = peer(&entry("00ff", name));
            assert_eq!((peer.node.as_str(), peer.name.as_deref()), ("00ff", name));
        }
    }
}
