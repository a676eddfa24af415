//! A node of another build over a real Redis: an earlier build's scripts, and its envelopes, or those of a build to come.
//!
//! The scripts in `channel-layer/golden` are the first that kept histories in this form, byte for byte; what that build said to
//! Redis besides, and how it read and wrote an envelope, is written here as it was. It knew no owner, no amendment and no presence, and read no history
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
    Answered, ChannelName, GapReason, GroupName, Incoming, Lineage, Link, LinkError, Message, Opened,
    Opening, Outgoing, Page, Position, Posted, Presented, Recovered, Relay, RowStored, RowWrite, Span,
    Verdict,
};
use futures_util::{FutureExt, StreamExt};
use palabre_tests::machine::DEADLINE;
use redis::{
    AsyncConnectionConfig, Value,
    aio::{MultiplexedConnection, PubSubSink, PubSubStream},
};
use tokio::sync::{Mutex, mpsc};
use tokio_util::task::TaskTracker;

use super::envelope::{Build, decode, encode, label};
use crate::layer::nodes::{channel, history};

const OPEN: &str = include_str!("../../../../channel-layer/golden/first_open.lua");
const READ: &str = include_str!("../../../../channel-layer/golden/first_read.lua");
const PUBLISH: &str = include_str!("../../../../channel-layer/golden/first_publish.lua");

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
    arrivals: mpsc::Sender<Incoming>,
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

    /// Which part of a history a script gave, and its page.
    fn page(&self, group: &GroupName, part: Part, messages_max: usize) -> (String, Page) {
        let (epoch, offset, past, which, mut found) = part;
        assert_eq!(past, "", "these tests restart no Redis");
        let more = found.len() > messages_max;
        found.truncate(messages_max);
        if which != "after" {
            found.reverse();
        }
        let entry = |entry: Vec<u8>| {
            let (position, envelope) = label(&entry[10..])?;
            self.posted(group, envelope, position)
        };
        let messages = found.into_iter().filter_map(entry).collect();
        (which, Page { messages, head: Position { epoch: epoch.parse().unwrap(), offset }, more })
    }
}

/// What a script gives that reads: epoch, offset, past epochs, which part, entries: when each was kept, its position and its
/// envelope.
type Part = (String, u64, String, String, Vec<Vec<u8>>);

/// Asks for a part of a history, and one more than that.
fn ask(script: &mut redis::Cmd, known: Option<Position>, messages_max: usize) {
    script.arg(known.map_or("latest", |_| "after"));
    script.arg(known.map_or_else(|| "0".repeat(32), labelled)).arg(messages_max + 1).arg(101);
}

fn unconnected() -> LinkError {
    LinkError::Closed("not connected".to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn refused(error: redis::RedisError) -> LinkError {
    LinkError::Refused(error.to_string())
}

fn script(text: &str, group: &GroupName) -> redis::Cmd {
    redis::cmd("EVAL").arg(text).arg(1).arg(history(group)).to_owned()
}

fn labelled(Position { epoch, offset }: Position) -> String {
    format!("{epoch}{offset:016x}")
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
        let read = payload
            .get(10..)
            .and_then(label)
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
            let life = format!("{}{}", &said["run_id"][..8], &said["master_replid"][..8]);
            let (subscriptions, pushes) = self.client.get_async_pubsub().await.map_err(refused)?.split();
            let (arrivals, incoming) = mpsc::channel(ARRIVALS_MAX);
            self.tasks.spawn(listen(pushes, arrivals.clone(), Arc::clone(&self.unread)));
            let node = node.to_owned();
            *self.state.lock().await = Some(State { commands, subscriptions, arrivals, node, life });
            Ok(Link { incoming })
        }
        .boxed()
    }

    fn open(&self, groups: Vec<Opening>) -> Answered<'_, Vec<Opened>> {
        async move {
            let (mut commands, node, life) = self.state().await?;
            let mut opened = Vec::new();
            for Opening { group, generation, epoch, known, entries_max } in groups {
                let messages_max = known.map_or(100, |_| entries_max);
                let mut open = script(OPEN, &group);
                ask(&mut open, known, messages_max);
                open.arg(&node).arg(generation).arg(&life).arg(epoch.to_string());
                let (_, part): (String, Part) = open.query_async(&mut commands).await.map_err(refused)?;
                let (which, page) = self.page(&group, part, messages_max);
                let epoch = page.head.epoch;
                let recovered = match known {
                    Some(_) if which == "latest" => Recovered::Gap(GapReason::UnknownEpoch, page),
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
                    let payload = [&[b'0'; 42], &*envelope].concat();
                    let publish = redis::cmd("PUBLISH").arg(channel(&group)).arg(payload).to_owned();
                    publish.query_async::<i64>(&mut commands).await.map_err(refused)?;
                    verdicts.push(Ok(Verdict::Sent));
                    continue;
                };
                let floor = message.floor.unwrap();
                let mut publish = script(PUBLISH, &group);
                let chained = |seq: u64| format!("{epoch}{life}{}:{seq}", chain.generation);
                publish.arg(format!("n:{node}")).arg(chained(chain.seq - 1)).arg(chained(chain.seq));
                publish.arg(format!("{:016x}", message.digest())).arg(labelled(floor)).arg(&*envelope);
                let answer: Value = publish.query_async(&mut commands).await.map_err(refused)?;
                if let Value::Int(offset) = answer {
                    let offset = offset.try_into().unwrap();
                    verdicts.push(Ok(Verdict::Placed(Position { epoch, offset })));
                    continue;
                }
                let words: Vec<String> = redis::from_redis_value(answer).unwrap();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                verdicts.push(Ok(match words[..] {
                    ["dup", position] => Verdict::Known(label(position.as_bytes()).unwrap().0.unwrap()),
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
            let known = match span {
                Span::Latest => None,
                Span::After(known) => Some(known),
                Span::Before(_) => return Err(LinkError::Refused("not in this build".to_owned())),
            };
            let mut read = script(READ, &group);
            ask(&mut read, known, messages_max);
            let part: Option<Part> = read.query_async(&mut commands).await.map_err(refused)?;
            Ok(Recovered::All(self.page(&group, part.ok_or(LinkError::Unopened)?, messages_max).1))
        }
        .boxed()
    }

    fn probe(&self, number: u64) -> Answered<'_, ()> {
        async move {
            let state = self.state.lock().await;
            let arrivals = &state.as_ref().ok_or_else(unconnected)?.arrivals;
            arrivals.send(Incoming::Probe(number)).await.map_err(|_| unconnected())
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
