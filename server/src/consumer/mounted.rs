//! The consumers of a hub, by prefix: boxed once a connection, found once a request, called in their time.

use crate::{
    consumer::{
        Consumer, Context, Failure, Outcome, Runs,
        apart::Threads,
        desk::Desk,
        seat::{Factory, Unmade},
        seated::Seated,
    },
    listen::handshake::Handshake,
};
use channel_layer::{GroupName, Page, Posted};
use futures_util::future::{BoxFuture, FutureExt};
use palabre_protocol::{CloseCode, RESERVED, Request};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::{fmt, io, mem, rc::Rc, sync::Arc};

/// [`Consumer`] as an object. Every consumer is one; nobody else writes it.
pub(crate) trait AnyConsumer: Send {
    fn connected<'a>(&'a mut self, cx: &'a Context) -> BoxFuture<'a, Outcome>;
    fn received<'a>(&'a mut self, request: Request, cx: &'a Context) -> BoxFuture<'a, Outcome>;
    fn delivered<'a>(&'a mut self, event: &'a Posted, cx: &'a Context) -> BoxFuture<'a, Outcome>;
    fn disconnected<'a>(&'a mut self, why: CloseCode, cx: &'a Context) -> BoxFuture<'a, ()>;
    fn joining<'a>(
        &'a mut self,
        group: &'a GroupName,
        page: &'a Page,
        cx: &'a Context,
    ) -> BoxFuture<'a, Slot>;
    fn reading<'a>(
        &'a mut self,
        group: &'a GroupName,
        messages: &'a [Arc<Posted>],
        cx: &'a Context,
    ) -> BoxFuture<'a, Slot>;
}

/// What a consumer has to say beside some messages.
pub(super) type Slot = Result<Option<Box<RawValue>>, Failure>;

impl<C: Consumer> AnyConsumer for C {
    fn connected<'a>(&'a mut self, cx: &'a Context) -> BoxFuture<'a, Outcome> {
        Consumer::connected(self, cx).boxed()
    }

    fn received<'a>(&'a mut self, request: Request, cx: &'a Context) -> BoxFuture<'a, Outcome> {
        Consumer::received(self, request, cx).boxed()
    }

    fn delivered<'a>(&'a mut self, event: &'a Posted, cx: &'a Context) -> BoxFuture<'a, Outcome> {
        Consumer::delivered(self, event, cx).boxed()
    }

    fn disconnected<'a>(&'a mut self, why: CloseCode, cx: &'a Context) -> BoxFuture<'a, ()> {
        Consumer::disconnected(self, why, cx).boxed()
    }

    fn joining<'a>(
        &'a mut self,
        group: &'a GroupName,
        page: &'a Page,
        cx: &'a Context,
    ) -> BoxFuture<'a, Slot> {
        Consumer::joining(self, group, page, cx).boxed()
    }

    fn reading<'a>(
        &'a mut self,
        group: &'a GroupName,
        messages: &'a [Arc<Posted>],
        cx: &'a Context,
    ) -> BoxFuture<'a, Slot> {
        Consumer::reading(self, group, messages, cx).boxed()
    }
}

/// What a hub is made of: each prefix with the maker of its consumer, longest prefix first.
#[derive(Default)]
pub(crate) struct Mounts {
    mounts: Vec<Mount>,
    /// Where those run that run apart, from the start of the hub.
    threads: Option<Threads>,
}

struct Mount {
    prefix: Arc<str>,
    runs: Runs,
    make: Arc<Factory>,
}

impl Mounts {
    pub(crate) fn add<C: Consumer>(
        &mut self,
        prefix: &str,
        make: impl Fn(&Handshake) -> C + Send + Sync + 'static,
    ) {
        let make = Arc::new(move |handshake: &Handshake| Box::new(make(handshake)) as Box<dyn AnyConsumer>);
        self.mounts.push(Mount { prefix: prefix.into(), runs: C::RUNS, make });
        self.mounts.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then_with(|| a.prefix.cmp(&b.prefix)));
    }

    /// Starts the threads of those that run apart, if some do.
    pub(crate) fn start(&mut self) -> io::Result<()> {
        if self.mounts.iter().any(|mount| mount.runs == Runs::Apart) {
            self.threads = Some(Threads::start()?);
        }
        Ok(())
    }

    /// The prefix that is mounted twice, if one is.
    pub(crate) fn duplicate(&self) -> Option<&str> {
        let mut prefixes = self.prefixes();
        let mut before = prefixes.next()?;
        prefixes.find(|prefix| mem::replace(&mut before, prefix) == *prefix)
    }

    /// The prefix whose slot would have the name of one of the core's own fields, if there is one.
    pub(crate) fn reserved(&self) -> Option<&str> {
        self.prefixes().find(|prefix| RESERVED.contains(&slot_name(prefix)))
    }

    fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().map(|mount| &*mount.prefix)
    }

    /// One connection's consumers, to be made when they are told of it.
    pub(crate) fn seat(&self, handshake: &Arc<Handshake>, desk: &Desk) -> Mounted {
        let seat = |mount: &Mount| {
            let threads = self.threads.as_ref().filter(|_| mount.runs == Runs::Apart);
            let cx = desk.context(threads.map(Threads::apart));
            let unmade = Unmade { make: Arc::clone(&mount.make), handshake: Arc::clone(handshake) };
            (Arc::clone(&mount.prefix), Seated::new(unmade, cx))
        };
        Mounted { consumers: self.mounts.iter().map(seat).collect() }
    }
}

impl fmt::Debug for Mounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.prefixes()).finish()
    }
}

fn slot_name(prefix: &str) -> &str {
    prefix.trim_end_matches('.')
}

/// One connection's consumers.
pub(crate) struct Mounted {
    consumers: SmallVec<[(Arc<str>, Seated); 1]>,
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
    pub(crate) async fn disconnected(&mut self, why: CloseCode, desk: &Rc<Desk>) {
        for (_, consumer) in &mut self.consumers {
            consumer.disconnected(why, desk).await;
        }
    }
}
