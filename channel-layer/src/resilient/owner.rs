//! What drives a layer's [`core`](super::core): a task with a clock, the calls of a relay, and those who ask.
//!
//! So nothing here needs a lock, and nothing is decided here but who is heard first.

use crate::{
    relay::{Incoming, Link, LinkError},
    resilient::{
        calls::{Call, Calls, Done},
        core::{Command, Core},
    },
};
use futures_util::FutureExt;
use std::{future, pin::Pin, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, Sleep, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Arrivals taken in one go, before the owner looks at anything else.
const ARRIVALS_A_TURN: usize = 256;

pub(super) struct Owner {
    core: Core,
    calls: Calls,
    link: Option<Link>,
    /// One timer for all that the core waits for: to make one is to wake this thread.
    alarm: Pin<Box<Sleep>>,
    /// What it is set to, if to anything.
    set_to: Option<Instant>,
}

impl Owner {
    pub(super) fn new(core: Core, calls: Calls) -> Self {
        Self { core, calls, link: None, alarm: Box::pin(sleep_until(Instant::now())), set_to: None }
    }

    /// Runs until `stop`, and then for `grace` at most: what is queued may still go. The link is kept until presence has
    /// said its `farewell`.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
        farewell: CancellationToken,
        grace: Duration,
    ) {
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ends_at = None;
        self.core.connect();
        self.make_calls();
        loop {
            let is_over = ends_at.is_some_and(|at| Instant::now() >= at || self.core.is_idle());
            if is_over && farewell.is_cancelled() {
                break;
            }
            tokio::select! {
                () = stop.cancelled(), if ends_at.is_none() => {
                    // What is queued by now may still go; nothing new comes in.
                    commands.close();
                    ends_at = Some(Instant::now() + grace);
                    self.take(&mut commands);
                }
                command = commands.recv(), if self.core.takes_commands() && (ends_at.is_none() || !commands.is_empty()) => match command {
                    Some(command) => self.core.command(command, Instant::now()),
                    // Nobody has the layer any more.
                    None => break,
                },
                arrived = arrival(&mut self.link) => self.arrived(arrived),
                Some(done) = self.calls.next() => self.done(done),
                () = self.alarm.as_mut(), if self.set_to.is_some() => {
                    self.set_to = None;
                    self.core.wake(Instant::now());
                }
                () = at(ends_at), if !is_over => continue,
                () = farewell.cancelled(), if is_over => continue,
                _ = ticks.tick() => self.core.tick(Instant::now()),
            }
            if self.core.takes_commands() {
                self.take(&mut commands);
            }
            self.core.pump(Instant::now());
            self.make_calls();
            self.set_alarm();
        }
        self.core.end();
        if self.link.is_some() {
            self.calls.withdraw().await;
        }
    }

    /// Takes all commands that wait.
    fn take(&mut self, commands: &mut mpsc::Receiver<Command>) {
        while let Ok(command) = commands.try_recv() {
            self.core.command(command, Instant::now());
        }
    }

    fn arrived(&mut self, first: Incoming) {
        // What a batch came to and what it passed on come together: who sent a message is answered first, so that the answer can go
        // with the message.
        if let Some(Some(done)) = self.calls.next().now_or_never() {
            self.done(done);
        }
        let mut next = Some(first);
        for _ in 0..ARRIVALS_A_TURN {
            // With the link goes what came over it.
            let Some(arrived) = next.filter(|_| self.core.has_link()) else { return };
            self.core.arrived(arrived, Instant::now());
            next = self.link.as_mut().and_then(|link| link.incoming.try_recv().ok());
        }
        if let Some(last) = next.filter(|_| self.core.has_link()) {
            self.core.arrived(last, Instant::now());
        }
    }

    fn done(&mut self, (done, link): (Done, Option<Link>)) {
        if link.is_some() {
            self.link = link;
        }
        self.core.done(done, Instant::now());
    }

    fn make_calls(&mut self) {
        for call in self.core.take_calls() {
            if let Call::End = call {
                self.link = None;
            }
            self.calls.make(call);
        }
    }

    fn set_alarm(&mut self) {
        let wanted = self.core.wakes_at();
        if let Some(at) = wanted.filter(|_| wanted != self.set_to) {
            self.alarm.as_mut().reset(at);
        }
        self.set_to = wanted;
    }
}

/// What arrives over the link next; never, without one.
async fn arrival(link: &mut Option<Link>) -> Incoming {
    let Some(link) = link else { return future::pending().await };
    let silence = || Incoming::Ended(LinkError::Closed("nothing comes in any more".to_owned()));
    link.incoming.recv().await.unwrap_or_else(silence)
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}
