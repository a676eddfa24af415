//! The consumers of a hub, by prefix: boxed once a connection, found once a request, called in their time.

use crate::{
    consumer::{
        Consumer, Context, Failure, Outcome,
        careful::{caught, in_time},
    },
    listen::handshake::Handshake,
};
use channel_layer::{GroupName, Page, Posted};
use futures_util::future::{FutureExt, LocalBoxFuture};
use palabre_protocol::{CloseCode, RESERVED, Request};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::{fmt, sync::Arc};

/// [`Consumer`] as an object. Every consumer is one; nobody else writes it.
pub(crate) trait AnyConsumer {
    fn connected<'a>(&'a mut self, cx: &'a Context) -> LocalBoxFuture<'a, Outcome>;
    fn received<'a>(&'a mut self, request: Request, cx: &'a Context) -> LocalBoxFuture<'a, Outcome>;
    fn delivered<'a>(&'a mut self, event: &'a Posted, cx: &'a Context) -> LocalBoxFuture<'a, Outcome>;
    fn disconnected<'a>(&'a mut self, why: CloseCode, cx: &'a Context) -> LocalBoxFuture<'a, ()>;
    fn joining<'a>(
        &'a mut self,
        group: &'a GroupName,
        page: &'a Page,
        cx: &'a Context,
    ) -> LocalBoxFuture<'a, Slot>;
    fn reading<'a>(
        &'a mut self,
        group: &'a GroupName,
        messages: &'a [Arc<Posted>],
        cx: &'a Context,
    ) -> LocalBoxFuture<'a, Slot>;
}

/// What a consumer has to say beside some messages.
type Slot = Result<Option<Box<RawValue>>, Failure>;

impl<C: Consumer> AnyConsumer for C {
    fn connected<'a>(&'a mut self, cx: &'a Context) -> LocalBoxFuture<'a, Outcome> {
        Consumer::connected(self, cx).boxed_local()
    }

    fn received<'a>(&'a mut self, request: Request, cx: &'a Context) -> LocalBoxFuture<'a, Outcome> {
        Consumer::received(self, request, cx).boxed_local()
    }

    fn delivered<'a>(&'a mut self, event: &'a Posted, cx: &'a Context) -> LocalBoxFuture<'a, Outcome> {
        Consumer::delivered(self, event, cx).boxed_local()
    }

    fn disconnected<'a>(&'a mut self, why: CloseCode, cx: &'a Context) -> LocalBoxFuture<'a, ()> {
        Consumer::disconnected(self, why, cx).boxed_local()
    }

    fn joining<'a>(
        &'a mut self,
        group: &'a GroupName,
        page: &'a Page,
        cx: &'a Context,
    ) -> LocalBoxFuture<'a, Slot> {
        Consumer::joining(self, group, page, cx).boxed_local()
    }

    fn reading<'a>(
        &'a mut self,
        group: &'a GroupName,
        messages: &'a [Arc<Posted>],
        cx: &'a Context,
    ) -> LocalBoxFuture<'a, Slot> {
        Consumer::reading(self, group, messages, cx).boxed_local()
    }
}

type Factory = Box<dyn Fn(&Handshake) -> Box<dyn AnyConsumer> + Send + Sync>;

/// What a hub is made of: each prefix with the maker of its consumer, longest prefix first.
#[derive(Default)]
pub(crate) struct Mounts {
    mounts: Vec<(Arc<str>, Factory)>,
}

impl Mounts {
    pub(crate) fn add<C: Consumer>(
        &mut self,
        prefix: &str,
        make: impl Fn(&Handshake) -> C + Send + Sync + 'static,
    ) {
        self.mounts.push((prefix.into(), Box::new(move |handshake| Box::new(make(handshake)))));
        self.mounts.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    }

    /// The prefix that is mounted twice, if one is.
    pub(crate) fn duplicate(&self) -> Option<&str> {
        let taken =
            |index: usize, prefix: &str| self.mounts[..index].iter().any(|(other, _)| **other == *prefix);
        self.mounts
            .iter()
            .enumerate()
            .find(|(index, (prefix, _))| taken(*index, prefix))
            .map(|(_, (prefix, _))| &**prefix)
    }

    /// The prefix whose slot would have the name of one of the core's own fields, if there is one.
    pub(crate) fn reserved(&self) -> Option<&str> {
        let prefixes = self.mounts.iter().map(|(prefix, _)| &**prefix);
        prefixes.into_iter().find(|prefix| RESERVED.contains(&slot_name(prefix)))
    }

    /// One connection's consumers.
    pub(crate) fn make(&self, handshake: &Handshake) -> Mounted {
        let make = |(prefix, make): &(Arc<str>, Factory)| {
            (Arc::clone(prefix), Seated { consumer: make(handshake), stage: Stage::New })
        };
        Mounted { consumers: self.mounts.iter().map(make).collect() }
    }
}

impl fmt::Debug for Mounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.mounts.iter().map(|(prefix, _)| prefix)).finish()
    }
}

fn slot_name(prefix: &str) -> &str {
    prefix.trim_end_matches('.')
}

/// One connection's consumers.
pub(crate) struct Mounted {
    consumers: SmallVec<[(Arc<str>, Seated); 1]>,
}

/// One of them.
pub(crate) struct Seated {
    consumer: Box<dyn AnyConsumer>,
    stage: Stage,
}

/// What a consumer knows of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing yet.
    New,
    /// That it is there.
    Told,
    /// A handler of it runs. One that is found like this when the connection has ended has panicked.
    Busy,
}

impl Mounted {
    /// The consumer whose prefix begins `kind`: the longest one.
    pub(crate) fn of(&mut self, kind: &str) -> Option<&mut Seated> {
        let found = self.consumers.iter_mut().find(|(prefix, _)| kind.starts_with(&**prefix))?;
        Some(&mut found.1)
    }

    /// All of them, with the name of each one's slot beside messages.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Seated)> {
        self.consumers.iter_mut().map(|(prefix, seated)| (slot_name(prefix), seated))
    }

    /// Tells of the end those who were told of the beginning. Each has its time, whatever becomes of the others.
    pub(crate) async fn disconnected(&mut self, why: CloseCode, cx: &Context) {
        let told = self.consumers.iter_mut().filter(|(_, seated)| seated.stage == Stage::Told);
        for (_, seated) in told {
            // Nothing more can be done to a connection that has ended; it is in the log.
            drop(caught(cx.tally(), in_time(seated.consumer.disconnected(why, cx))).await);
        }
    }
}

impl Seated {
    pub(crate) fn connected<'a>(
        &'a mut self,
        cx: &'a Context,
    ) -> impl Future<Output = Result<Outcome, CloseCode>> {
        self.call(|consumer| consumer.connected(cx))
    }

    pub(crate) fn received<'a>(
        &'a mut self,
        request: Request,
        cx: &'a Context,
    ) -> impl Future<Output = Result<Outcome, CloseCode>> {
        self.call(|consumer| consumer.received(request, cx))
    }

    pub(crate) fn delivered<'a>(
        &'a mut self,
        event: &'a Posted,
        cx: &'a Context,
    ) -> impl Future<Output = Result<Outcome, CloseCode>> {
        self.call(|consumer| consumer.delivered(event, cx))
    }

    pub(crate) fn joining<'a>(
        &'a mut self,
        group: &'a GroupName,
        page: &'a Page,
        cx: &'a Context,
    ) -> impl Future<Output = Result<Result<Option<Box<RawValue>>, Failure>, CloseCode>> {
        self.call(|consumer| consumer.joining(group, page, cx))
    }

    pub(crate) fn reading<'a>(
        &'a mut self,
        group: &'a GroupName,
        messages: &'a [Arc<Posted>],
        cx: &'a Context,
    ) -> impl Future<Output = Result<Result<Option<Box<RawValue>>, Failure>, CloseCode>> {
        self.call(|consumer| consumer.reading(group, messages, cx))
    }

    /// Not an `async fn`, which would hold what `call` is given as well as what it makes of it.
    fn call<'a, T: 'a>(
        &'a mut self,
        call: impl FnOnce(&'a mut dyn AnyConsumer) -> LocalBoxFuture<'a, T>,
    ) -> impl Future<Output = Result<T, CloseCode>> {
        let Self { consumer, stage, .. } = self;
        *stage = Stage::Busy;
        let called = call(&mut **consumer);
        async move {
            let done = in_time(called).await;
            *stage = Stage::Told;
            done
        }
    }
}
