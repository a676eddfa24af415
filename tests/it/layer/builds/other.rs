//! A node of another build over a real Redis: the first build's own scripts, and its envelopes, or those of a build to come.
//!
//! The scripts in `channel-layer/golden` are the first build's, byte for byte; what it said to Redis besides, and how it read
//! and wrote an envelope, is written here as it was. It knew no owner, no amendment and no presence, and read no history
//! backwards. What stands above the relay is this build's layer, for other builds differ in what they write and read.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use channel_layer::{
    Answered, ChannelName, Epoch, GapReason, GroupName, Incoming, Lineage, Link, LinkError, Message, Opened,
    Opening, Outgoing, Page, Position, Posted, Presented, Recovered, Relay, RowStored, RowWrite, Span,
    Verdict,
};
use futures_util::{FutureExt, StreamExt};
use palabre_tests::machine::DEADLINE;
use redis::{
    AsyncConnectionConfig,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::TaskTracker;

use super::envelope::{Build, decode, encode, label};
use crate::layer::nodes::{channel, key};

const OPEN: &str = include_str!("../../../../channel-layer/golden/first_open.lua");
const PUBLISH: &str = include_str!("../../../../channel-layer/golden/first_publish.lua");

/// The bounds of the first build: messages, bytes, age, ids.
const BOUNDS: [u64; 4] = [1_000, 1 << 20, DAY_MS, 12_000];
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// More than any test sends.
const ARRIVALS_MAX: usize = 1_024;

/// The relay of a node of that build.
#[derive(Debug)]
pub(super) struct OtherBuild {
    client: redis::Client,
    build: Build,
    state: Mutex<Option<State>>,
    /// Envelopes that it could not read.
    pub(super) unread: Arc<AtomicU64>,
    tasks: TaskTracker,
}

struct State {
    commands: MultiplexedConnection,
    subscriptions: PubSubSink,
    node: String,
    life: String,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("node", &self.node).finish_non_exhaustive()
    }
}

impl OtherBuild {
    pub(super) fn new(url: &str, build: Build) -> Self {
        let client = redis::Client::open(url).unwrap();
        Self { client, build, state: Mutex::default(), unread: Arc::default(), tasks: TaskTracker::new() }
    }

    /// Commands, this node, and the life of its Redis.
    async fn state(&self) -> Result<(MultiplexedConnection, String, String), LinkError> {
        let state = self.state.lock().await;
        let state = state.as_ref().ok_or_else(unconnected)?;
        Ok((state.commands.clone(), state.node.clone(), state.life.clone()))
    }

    fn posted(&self, group: &GroupName, envelope: &[u8], position: Option<Position>) -> Option<Arc<Posted>> {
        let Some(message) = decode(envelope) else {
            self.unread.fetch_add(1, Ordering::SeqCst);
            return None;
        };
        Some(Arc::new(Posted::new(group.clone(), message, position)))
    }

    /// Entries of a stream, oldest first.
    fn entries(&self, group: &GroupName, found: Vec<(String, Vec<Vec<u8>>)>) -> Vec<Arc<Posted>> {
        let entry = |(id, fields): (String, Vec<Vec<u8>>)| {
            let offset = id.strip_suffix("-0")?.parse().ok()?;
            let epoch = std::str::from_utf8(&fields[1]).ok()?.parse().ok()?;
            self.posted(group, &fields[9], Some(Position { epoch, offset }))
        };
        found.into_iter().filter_map(entry).collect()
    }
}

fn unconnected() -> LinkError {
    LinkError::Closed("not connected".to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn refused(error: redis::RedisError) -> LinkError {
    LinkError::Refused(error.to_string())
}

fn keys(group: &GroupName) -> [String; 4] {
    ["m", "s", "i0", "i1"].map(|part| key(group, part))
}

fn script(text: &str, group: &GroupName) -> redis::Cmd {
    redis::cmd("EVAL").arg(text).arg(4).arg(&keys(group)).to_owned()
}

/// Hands on what is pushed, until nobody reads it.
async fn listen(mut pushes: PubSubStream, arrivals: mpsc::Sender<Incoming>, unread: Arc<AtomicU64>) {
    loop {
        let push = tokio::select! {
            () = arrivals.closed() => return,
            push = pushes.next() => push,
        };
        let Some(push) = push else { return };
        let (name, payload) = (push.get_channel_name(), push.get_payload_bytes());
        let group = name.split(['{', '}']).nth(1).and_then(|group| group.parse::<GroupName>().ok());
        let read = label(payload)
            .and_then(|(position, envelope)| Some(Posted::new(group?, decode(envelope)?, position)));
        let arrival = read.map_or_else(
            || {
                unread.fetch_add(1, Ordering::SeqCst);
                Incoming::Malformed
            },
            |posted| Incoming::Posted(Arc::new(posted)),
        );
        if arrivals.send(arrival).await.is_err() {
            return;
        }
    }
}

impl Relay for OtherBuild {
    fn connect<'a>(&'a self, node: &'a str) -> Answered<'a, Link> {
        async move {
            let patient = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(DEADLINE))
                .set_response_timeout(Some(DEADLINE));
            let commands = self.client.get_multiplexed_async_connection_with_config(&patient).await;
            let mut commands = commands.map_err(refused)?;
            let info: String = redis::cmd("INFO").query_async(&mut commands).await.map_err(refused)?;
            let said: HashMap<&str, &str> =
                info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
            let life = format!("{}{}", said["run_id"], said["master_replid"]);
            let (subscriptions, pushes) = self.client.get_async_pubsub().await.map_err(refused)?.split();
            let (arrivals, incoming) = mpsc::channel(ARRIVALS_MAX);
            self.tasks.spawn(listen(pushes, arrivals, Arc::clone(&self.unread)));
            *self.state.lock().await = Some(State { commands, subscriptions, node: node.to_owned(), life });
            Ok(Link { incoming })
        }
        .boxed()
    }

    fn open(&self, groups: Vec<Opening>) -> Answered<'_, Vec<Opened>> {
        async move {
            let (mut commands, node, life) = self.state().await?;
            let mut opened = Vec::new();
            for Opening { group, generation, epoch, known, entries_max } in groups {
                let mut open = script(OPEN, &group);
                open.arg(&node).arg(generation).arg(&life).arg(epoch.to_string());
                open.arg(known.map_or_else(String::new, |known| known.epoch.to_string()));
                open.arg(known.map_or(0, |known| known.offset)).arg(entries_max).arg(100).arg(DAY_MS);
                type Answer = (String, u64, u64, Vec<String>, String, Vec<(String, Vec<Vec<u8>>)>);
                let (epoch, offset, trimmed, past, how, found): Answer =
                    open.query_async(&mut commands).await.map_err(refused)?;
                assert_eq!(past, [""; 0], "these tests restart no Redis");
                let epoch: Epoch = epoch.parse().unwrap();
                let messages = self.entries(&group, found);
                let more = how == "latest" && offset - trimmed > messages.len() as u64;
                let page = Page { messages, head: Position { epoch, offset }, more };
                let recovered = match known {
                    Some(_) if how == "latest" => Recovered::Gap(GapReason::UnknownEpoch, page),
                    _ => Recovered::All(page),
                };
                opened.push(Opened { lineage: Lineage { epoch, past: Vec::new() }, recovered });
            }
            Ok(opened)
        }
        .boxed()
    }

    fn publish(&self, batch: Vec<Outgoing>) -> Answered<'_, Vec<Result<Verdict, LinkError>>> {
        async move {
            let (mut commands, node, life) = self.state().await?;
            let mut verdicts = Vec::new();
            for Outgoing { group, message, place } in batch {
                let envelope = encode(self.build, &message);
                let Some((epoch, chain)) = place else {
                    let payload = [&[b'0'; 32], &*envelope].concat();
                    let publish = redis::cmd("PUBLISH").arg(channel(&group)).arg(payload).to_owned();
                    publish.query_async::<i64>(&mut commands).await.map_err(refused)?;
                    verdicts.push(Ok(Verdict::Sent));
                    continue;
                };
                let floor = message.floor.unwrap();
                let mut publish = script(PUBLISH, &group);
                publish.arg(channel(&group)).arg(epoch.to_string()).arg(&life).arg(&node);
                publish.arg(format!("{}:{}", chain.generation, chain.seq - 1));
                publish.arg(format!("{}:{}", chain.generation, chain.seq));
                publish.arg(&message.id.as_u128().to_be_bytes()[..]);
                publish.arg(format!("{:016x}", message.digest()));
                publish.arg(floor.epoch.to_string()).arg(floor.offset).arg(&*envelope).arg(&BOUNDS);
                let words: Vec<String> = publish.query_async(&mut commands).await.map_err(refused)?;
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                verdicts.push(Ok(match words[..] {
                    ["ok", offset] => Verdict::Placed(Position { epoch, offset: offset.parse().unwrap() }),
                    ["dup", epoch, offset] => Verdict::Known(Position {
                        epoch: epoch.parse().unwrap(),
                        offset: offset.parse().unwrap(),
                    }),
                    ["conflict"] => Verdict::Conflict,
                    ["undecided"] => Verdict::Undecided,
                    ["stale"] => Verdict::Stale,
                    ["fenced"] => Verdict::Fenced,
                    _ => panic!("{words:?}"),
                }));
            }
            Ok(verdicts)
        }
        .boxed()
    }

    fn read(&self, group: GroupName, span: Span, messages_max: usize) -> Answered<'_, Recovered> {
        async move {
            let (mut commands, ..) = self.state().await?;
            let meta: HashMap<String, String> = redis::cmd("HGETALL")
                .arg(key(&group, "m"))
                .query_async(&mut commands)
                .await
                .map_err(refused)?;
            let epoch: Epoch = meta.get("e").ok_or(LinkError::Unopened)?.parse().unwrap();
            let head = Position { epoch, offset: meta["o"].parse().unwrap() };
            let first = match span {
                Span::Latest => 1,
                Span::After(known) => known.offset + 1,
                Span::Before(_) => return Err(LinkError::Refused("not in this build".to_owned())),
            };
            let range =
                redis::cmd("XRANGE").arg(key(&group, "s")).arg(format!("{first}-0")).arg("+").to_owned();
            let found = range.query_async(&mut commands).await.map_err(refused)?;
            let mut messages = self.entries(&group, found);
            let more = messages.len() > messages_max;
            match span {
                Span::Latest => drop(messages.drain(..messages.len().saturating_sub(messages_max))),
                _ => messages.truncate(messages_max),
            }
            Ok(Recovered::All(Page { messages, head, more }))
        }
        .boxed()
    }

    fn subscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()> {
        async move {
            let mut state = self.state.lock().await;
            let state = state.as_mut().ok_or_else(unconnected)?;
            for group in &groups {
                state.subscriptions.subscribe(channel(group)).await.map_err(refused)?;
            }
            Ok(())
        }
        .boxed()
    }

    fn unsubscribe(&self, _groups: Vec<GroupName>) -> Answered<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn send(&self, _to: ChannelName, _message: Message) -> Answered<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn present(&self, _lease: Duration, writes: Vec<(GroupName, RowWrite)>) -> Answered<'_, Vec<Presented>> {
        let unknown = |_| Presented { is_there: true, others: Vec::new() };
        async move { Ok(writes.into_iter().map(unknown).collect()) }.boxed()
    }

    fn rows(&self, groups: Vec<GroupName>) -> Answered<'_, Vec<Vec<RowStored>>> {
        async move { Ok(groups.iter().map(|_| Vec::new()).collect()) }.boxed()
    }
}
