//! The relay over Redis: scripts number and keep, pub/sub passes on.
//!
//! A node has one connection for what goes live and one for whatever else it asks. They are made together and end together,
//! so that "publishes work, nothing is heard" cannot last. `keys` names everything, `label` writes positions, `scripts` speaks
//! for the Lua files, `history` knows what they read, `subscriber` what is pushed, `link` watches over both connections,
//! `census` knows who else is there.

mod beside;
mod census;
mod failures;
mod history;
mod keys;
mod label;
mod life;
mod link;
mod presence;
mod scripts;
mod subscriber;
mod unread;

use crate::{
    bounds::Bounds,
    envelope,
    history::{Recovered, Remembered, Span},
    message::Message,
    name::{ChannelName, GroupName},
    position::Epoch,
    presence::{Presented, RowStored, RowWrite},
    relay::{Answered, Incoming, Link, LinkError, Opened, Opening, Outgoing, Relay, Verdict},
    report::Census,
};
pub use beside::{Beside, Reply, Script};
use failures::Failures;
use futures_util::FutureExt;
use history::Wanted;
use keys::Keys;
use link::{Connections, INCOMING_MAX};
use redis::Value;
use scripts::Texts;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use unread::Unread;

/// Between two lines about a Redis that cannot be reached.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

/// A [`Relay`] over one Redis server, version 6.2 or later.
#[derive(Debug)]
pub struct RedisRelay {
    client: redis::Client,
    keys: Keys,
    bounds: Bounds,
    /// What the operator calls this node.
    name: Option<Box<str>>,
    /// Guards which connections are the present ones; held for a clone.
    present: Arc<Mutex<Option<Connections>>>,
    /// Guards what was logged of failures; held for a comparison.
    failures: Mutex<Failures>,
    unread: Arc<Unread>,
    tasks: TaskTracker,
}

impl RedisRelay {
    /// A relay to the server at `url` (`redis://[user:password@]host[:port][/db]`), under keys that begin with
    /// `prefix`. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`LinkError::Refused`] when `url` is no Redis URL. The text does not repeat it: it may hold a password.
    pub fn new(url: &str, prefix: &str) -> Result<Self, LinkError> {
        let client = link::client(url)?;
        let database = client.get_connection_info().redis_settings().db();
        Ok(Self {
            client,
            keys: Keys::new(prefix, database),
            bounds: Bounds::default(),
            name: None,
            present: Arc::default(),
            failures: Mutex::default(),
            unread: Arc::default(),
            tasks: TaskTracker::new(),
        })
    }

    /// Other bounds on what is kept. Each node trims by its own, so all of a hub should have the same.
    #[must_use]
    pub fn with_bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds.fitted();
        self
    }

    /// What the operator calls this node; it stands in the list of nodes, and nowhere else. Without white space.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How much came from Redis that this build cannot read, and passed over: pushes and entries of histories.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread.count()
    }

    /// Where scripts run over values beside the histories, on whichever link the relay has; an answer takes `deadline` at
    /// most.
    #[must_use]
    pub fn beside(&self, deadline: Duration) -> Beside {
        Beside {
            present: Arc::clone(&self.present),
            keys: self.keys.clone(),
            age: self.bounds.history.age,
            deadline,
        }
    }

    fn connections(&self) -> Result<Connections, LinkError> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.clone().ok_or_else(|| LinkError::Closed("not connected".to_owned()))
    }
}

impl Relay for RedisRelay {
    fn connect<'a>(&'a self, node: &'a str) -> Answered<'a, Link> {
        async move {
            let (arrivals, incoming) = mpsc::channel(INCOMING_MAX);
            let texts = Texts::new(&self.bounds, &self.keys);
            let watched = link::connect(&self.client, &self.keys, &texts, node, arrivals, &self.unread).await;
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).log(watched.as_ref().err());
            let watched = watched?;
            let fresh = Some(watched.connections.clone());
            let before =
                std::mem::replace(&mut *self.present.lock().unwrap_or_else(PoisonError::into_inner), fresh);
            if let Some(before) = before {
                before.end();
            }
            self.tasks.spawn(watched.watch(Arc::clone(&self.present)));
            Ok(Link { incoming })
        }
        .boxed()
    }

    fn open(&self, groups: Vec<Opening>) -> Answered<'_, Vec<Opened>> {
        async move {
            let connections = self.connections()?;
            let mut pipe = redis::pipe();
            for opening in &groups {
                pipe.add_command(scripts::open(&connections, &self.keys, &self.bounds, opening));
            }
            let answers: Vec<Value> = link::answer(pipe.query_async(&mut connections.commands())).await?;
            let opened = |(opening, answer)| scripts::opened(&connections, &self.bounds, opening, answer);
            groups.iter().zip(answers).map(opened).collect()
        }
        .boxed()
    }

    fn publish(&self, batch: Vec<Outgoing>) -> Answered<'_, Vec<Result<Verdict, LinkError>>> {
        async move {
            let connections = self.connections()?;
            let mut pipe = redis::Pipeline::with_capacity(batch.len());
            for outgoing in &batch {
                pipe.add_command(match outgoing.place {
                    Some(place) => scripts::publish(&connections, &self.keys, outgoing, place),
                    None => scripts::pass_on(&self.keys, outgoing),
                });
            }
            let answers: Vec<redis::RedisResult<Value>> =
                link::answer(pipe.ignore_errors().query_async(&mut connections.live())).await?;
            let verdict = |(outgoing, answer): (&Outgoing, redis::RedisResult<Value>)| {
                scripts::verdict(outgoing, answer.map_err(link::error)?)
            };
            Ok(batch.iter().zip(answers).map(verdict).collect())
        }
        .boxed()
    }

    fn put_back(&self, group: GroupName, epoch: Epoch, lost: Vec<Remembered>) -> Answered<'_, ()> {
        async move {
            let connections = self.connections()?;
            let pipe = scripts::put_back(&connections, &self.keys, &group, epoch, &lost);
            // Where another epoch has begun since, nothing was done, and the next opening shows it.
            let _done: Vec<Value> = link::answer(pipe.query_async(&mut connections.commands())).await?;
            Ok(())
        }
        .boxed()
    }

    fn send(&self, to: ChannelName, message: Message) -> Answered<'_, ()> {
        async move {
            let connections = self.connections()?;
            let payload = subscriber::direct(&to, &envelope::encode(&message));
            let publish = redis::cmd("PUBLISH").arg(self.keys.node(to.node())).arg(payload).to_owned();
            link::answer(publish.query_async(&mut connections.commands())).await
        }
        .boxed()
    }

    fn probe(&self, number: u64) -> Answered<'_, ()> {
        async move {
            // Out on one connection and back on the other.
            let connections = self.connections()?;
            let own = self.keys.node(&connections.node);
            let publish = redis::cmd("PUBLISH").arg(own).arg(&subscriber::probe(number)).to_owned();
            link::answer(publish.query_async(&mut connections.commands())).await
        }
        .boxed()
    }

    fn subscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()> {
        async move {
            let channels: Vec<String> = groups.iter().map(|group| self.keys.channel(group)).collect();
            link::answer(self.connections()?.live().subscribe(channels)).await
        }
        .boxed()
    }

    fn unsubscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()> {
        async move {
            let channels: Vec<String> = groups.iter().map(|group| self.keys.channel(group)).collect();
            link::answer(self.connections()?.live().unsubscribe(channels)).await
        }
        .boxed()
    }

    fn present(&self, lease: Duration, writes: Vec<(GroupName, RowWrite)>) -> Answered<'_, Vec<Presented>> {
        async move { presence::present(&self.connections()?, &self.keys, lease, &writes).await }.boxed()
    }

    fn rows(&self, groups: Vec<GroupName>) -> Answered<'_, Vec<Vec<RowStored>>> {
        async move { presence::rows(&self.connections()?, &self.keys, &groups).await }.boxed()
    }

    fn read(&self, group: GroupName, span: Span, messages_max: usize) -> Answered<'_, Recovered> {
        async move {
            let connections = self.connections()?;
            let wanted = Wanted::by_reader(&group, span, messages_max);
            let read = scripts::read(&connections, &self.keys, &wanted);
            let answer = link::answer(read.query_async(&mut connections.commands())).await?;
            wanted.found(answer, &connections.unread).map(|(_, recovered)| recovered)
        }
        .boxed()
    }

    fn announce<'a>(&'a self, node: &'a str) -> Answered<'a, Census> {
        async move { census::announce(&self.connections()?, &self.keys, node, self.name.as_deref()).await }
            .boxed()
    }

    fn withdraw<'a>(&'a self, node: &'a str) -> Answered<'a, ()> {
        async move { census::withdraw(&self.connections()?, &self.keys, node, self.name.as_deref()).await }
            .boxed()
    }
}

impl Drop for RedisRelay {
    fn drop(&mut self) {
        // The watch over the connections ends when they are nobody's any more.
        self.present.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Hands an arrival over without waiting. When the reader is too slow it is dropped, and `dropped` says so until the
/// reader has been told.
fn hand_over(arrivals: &mpsc::Sender<Incoming>, dropped: &AtomicBool, arrival: Incoming) {
    if let Err(mpsc::error::TrySendError::Full(_)) = arrivals.try_send(arrival) {
        dropped.store(true, Ordering::Release);
    }
}
