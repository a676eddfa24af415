//! A relay whose pushes go astray, or whose node vanishes: what a layer has to get over, around any relay.
//!
//! [`FaultyRelay::astray`] loses some of what is pushed, passes some twice, some late and out of order, by chance and by a
//! printed seed. It does so only where something brings it back: to kept messages, whose offsets show it, and to changes of
//! presence, whose versions do. Ephemeral and direct messages are sent at most once and pass as they came. What was lost is
//! said ([`Incoming::Dropped`]) only some time later, as by a relay that found out late: until then only a jump shows it.
//!
//! Mount [`conformance_layer!`](crate::conformance_layer) on layers over it: all must be as over a relay that is well.

use crate::{
    conformance::tools::Random,
    history::{Recovered, Span},
    message::Message,
    name::{ChannelName, GroupName},
    presence::{Presented, RowStored, RowWrite},
    relay::{Answered, Incoming, Link, LinkError, Opened, Opening, Outgoing, Relay, Verdict},
    report::Census,
};
use futures_util::{FutureExt, future::ready};
use std::{
    future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How many arrivals wait for their reader; the relay around which this is says what happens to more.
const ARRIVALS_MAX: usize = 1_024;

/// One in so many pushes is lost, one comes twice, and one late.
const ONE_IN: usize = 6;

/// How many others pass what is late.
const LATE_BY_MAX: usize = 6;

/// After this what is late comes, whether others came or not, and a loss is said.
const LATE_FOR: Duration = Duration::from_millis(20);

/// A relay with a fault, around one that has none.
#[derive(Debug)]
pub struct FaultyRelay {
    relay: Arc<dyn Relay>,
    /// Guards the draws of pushes that go astray; held for one. `None`: all pushes are whole.
    random: Option<Mutex<Random>>,
    gone: CancellationToken,
    tasks: TaskTracker,
}

impl FaultyRelay {
    /// A relay whose pushes are lost, repeated, delayed and reordered. The seed is printed, or taken from
    /// `CONFORMANCE_SEED`.
    #[must_use]
    pub fn astray(relay: Arc<dyn Relay>) -> Self {
        Self { random: Some(Mutex::new(Random::seeded())), ..Self::steady(relay) }
    }

    /// A relay that has no fault until it [vanishes](Self::vanish).
    #[must_use]
    pub fn steady(relay: Arc<dyn Relay>) -> Self {
        Self { relay, random: None, gone: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// From now on nothing passes, this way or that: for all others the node is gone, without a word.
    pub fn vanish(&self) {
        self.gone.cancel();
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        call: impl FnOnce(&'a dyn Relay) -> Answered<'a, T>,
    ) -> Answered<'a, T> {
        if self.gone.is_cancelled() {
            return ready(Err(LinkError::Closed("the node has vanished".to_owned()))).boxed();
        }
        call(&*self.relay)
    }

    fn faults(&self) -> Option<Faults> {
        let random = self.random.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).fork();
        Some(Faults { random, held: Vec::new(), lost: false, settle_at: None })
    }
}

impl Relay for FaultyRelay {
    fn connect<'a>(&'a self, node: &'a str) -> Answered<'a, Link> {
        async move {
            let link = self.call(|relay| relay.connect(node)).await?;
            let (arrivals, incoming) = mpsc::channel(ARRIVALS_MAX);
            self.tasks.spawn(pass(link.incoming, arrivals, self.faults(), self.gone.clone()));
            Ok(Link { incoming })
        }
        .boxed()
    }

    fn open(&self, groups: Vec<Opening>) -> Answered<'_, Vec<Opened>> {
        self.call(|relay| relay.open(groups))
    }

    fn publish(&self, batch: Vec<Outgoing>) -> Answered<'_, Vec<Result<Verdict, LinkError>>> {
        self.call(|relay| relay.publish(batch))
    }

    fn send(&self, to: ChannelName, message: Message) -> Answered<'_, ()> {
        self.call(|relay| relay.send(to, message))
    }

    fn probe(&self, number: u64) -> Answered<'_, ()> {
        self.call(|relay| relay.probe(number))
    }

    fn subscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()> {
        self.call(|relay| relay.subscribe(groups))
    }

    fn unsubscribe(&self, groups: Vec<GroupName>) -> Answered<'_, ()> {
        self.call(|relay| relay.unsubscribe(groups))
    }

    fn read(&self, group: GroupName, span: Span, messages_max: usize) -> Answered<'_, Recovered> {
        self.call(|relay| relay.read(group, span, messages_max))
    }

    fn announce<'a>(&'a self, node: &'a str) -> Answered<'a, Census> {
        self.call(|relay| relay.announce(node))
    }

    fn withdraw<'a>(&'a self, node: &'a str) -> Answered<'a, ()> {
        self.call(|relay| relay.withdraw(node))
    }

    fn present(&self, lease: Duration, writes: Vec<(GroupName, RowWrite)>) -> Answered<'_, Vec<Presented>> {
        self.call(|relay| relay.present(lease, writes))
    }

    fn rows(&self, groups: Vec<GroupName>) -> Answered<'_, Vec<Vec<RowStored>>> {
        self.call(|relay| relay.rows(groups))
    }
}

/// Hands on what arrives over one link, until it ends, nobody reads it, or the node vanishes.
async fn pass(
    mut from: Receiver<Incoming>,
    to: Sender<Incoming>,
    mut faults: Option<Faults>,
    gone: CancellationToken,
) {
    loop {
        let settle_at = faults.as_ref().and_then(|faults| faults.settle_at);
        let arrived = tokio::select! {
            biased;
            () = gone.cancelled() => return,
            () = to.closed() => return,
            () = at(settle_at) => None,
            arrived = from.recv() => match arrived {
                Some(arrival) => Some(arrival),
                None => return,
            },
        };
        let due = match (&mut faults, arrived) {
            (Some(faults), Some(arrival)) => faults.take(arrival),
            (Some(faults), None) => faults.settle(),
            (None, arrived) => arrived.into_iter().collect(),
        };
        for arrival in due {
            if to.send(arrival).await.is_err() {
                return;
            }
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}

/// What happens to the pushes of one link.
struct Faults {
    random: Random,
    /// What is late, and how many more others pass it.
    held: Vec<(usize, Incoming)>,
    /// Something was lost, and the reader was not told.
    lost: bool,
    /// When what is held comes and what was lost is said.
    settle_at: Option<Instant>,
}

impl Faults {
    /// What the reader gets because of an arrival: it, others that were late, nothing.
    fn take(&mut self, arrival: Incoming) -> Vec<Incoming> {
        if matches!(arrival, Incoming::Ended(_)) {
            // Nothing follows it.
            (self.lost, self.settle_at) = (false, None);
            self.held.clear();
            return vec![arrival];
        }
        for (others, _) in &mut self.held {
            *others = others.saturating_sub(1);
        }
        let mut due = Vec::new();
        let late_by = 1 + self.random.below(LATE_BY_MAX);
        match again(&arrival) {
            Some(_) if self.random.one_in(ONE_IN) => self.lost = true,
            Some(copy) if self.random.one_in(ONE_IN) => {
                due.push(arrival);
                self.held.push((late_by, copy));
            }
            Some(_) if self.random.one_in(ONE_IN) => self.held.push((late_by, arrival)),
            _ => due.push(arrival),
        }
        due.extend(self.held.extract_if(.., |(others, _)| *others == 0).map(|(_, late)| late));
        if self.lost || !self.held.is_empty() {
            self.settle_at.get_or_insert_with(|| Instant::now() + LATE_FOR);
        }
        due
    }

    /// All that was late, newest first, and the word that something is missing, if so.
    fn settle(&mut self) -> Vec<Incoming> {
        self.settle_at = None;
        let lost = std::mem::take(&mut self.lost).then_some(Incoming::Dropped);
        self.held.drain(..).rev().map(|(_, late)| late).chain(lost).collect()
    }
}

/// A second one of an arrival that may go astray.
fn again(arrival: &Incoming) -> Option<Incoming> {
    match arrival {
        Incoming::Posted(posted) if posted.position.is_some() => Some(Incoming::Posted(Arc::clone(posted))),
        Incoming::Presence { group, change } => {
            Some(Incoming::Presence { group: group.clone(), change: change.clone() })
        }
        Incoming::Posted(_)
        | Incoming::Direct { .. }
        | Incoming::Probe(_)
        | Incoming::Malformed
        | Incoming::Dropped
        | Incoming::Ended(_) => None,
    }
}
