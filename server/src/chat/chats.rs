//! What the chats of all connections share: the values beside the histories, and the news of reactions.
//!
//! A message's reactions may change a thousand times in a second, and every member would be told of each. So what has
//! changed is put down, and told four times a second: as it is then, and always the last of it.

use crate::{
    chat::pace::Paces,
    config::Rates,
    state::{State, reactions::Tally},
};
use channel_layer::{Answer, ChannelLayer, Error, GroupName, Message, MessageId, Retention, Sent};
use futures_util::future::{FutureExt, ready};
use palabre_protocol::{ChatReactions, Counts};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time::sleep,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Between two frames about one message's reactions.
const NEWS_EVERY: Duration = Duration::from_millis(250);

/// Messages whose news may wait; those beyond it are told at once.
const NEWS_MAX: usize = 10_000;

/// What the chats of a hub share.
pub struct Chats {
    pub(super) state: State,
    pub(super) paces: Paces,
    news: Arc<News>,
    tasks: TaskTracker,
    /// Where work goes on that outlives the connection that began it.
    runtime: Handle,
    _ends_the_news: DropGuard,
}

impl Chats {
    /// Chats over `layer`, with `state` beside its histories; of `rates` those of edits are theirs.
    ///
    /// # Panics
    ///
    /// Outside a runtime of tokio.
    #[must_use]
    pub fn new(layer: Arc<dyn ChannelLayer>, state: State, rates: &Rates) -> Arc<Self> {
        let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
        let news = Arc::new(News { layer, waiting: Mutex::default(), wake: Notify::new() });
        tasks.spawn(Arc::clone(&news).tell(ended.clone()));
        let _ends_the_news = ended.drop_guard();
        Arc::new(Self {
            state,
            paces: Paces::new(rates),
            news,
            tasks,
            runtime: Handle::current(),
            _ends_the_news,
        })
    }

    /// Does `work` to its end, whatever becomes of the connection that wants its answer.
    pub(super) fn see_through<T: Send + 'static>(&self, mut work: Answer<T>) -> Answer<T> {
        // Without a backend it is done at once; with one its command is on its way, in the order of the calls.
        if let Some(done) = (&mut work).now_or_never() {
            return ready(done).boxed();
        }
        let (answer, answered) = oneshot::channel();
        // Whoever asked may be gone.
        self.tasks.spawn_on(async move { answer.send(work.await).ok() }, &self.runtime);
        async move { answered.await.unwrap_or(Err(Error::Unavailable)) }.boxed()
    }

    /// Drops the reactions to a message once its deletion was sent.
    pub(super) fn forgetting(
        &self,
        group: &GroupName,
        target: MessageId,
        sent: Answer<Sent>,
    ) -> Answer<Sent> {
        let (reactions, group) = (Arc::clone(&self.state.reactions), group.clone());
        let forgotten = async move {
            let sent = sent.await?;
            // Nobody is shown them any more. If they cannot be dropped now, they go with the history.
            reactions.forget(&group, target).await.ok();
            Ok(sent)
        };
        self.see_through(forgotten.boxed())
    }

    /// Tells a group of a message's reactions, soon.
    pub(super) fn tell(&self, group: &GroupName, target: MessageId, tally: Tally) {
        self.news.put(group, target, tally);
    }
}

impl fmt::Debug for Chats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chats").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Tallies on their way to the members.
struct News {
    layer: Arc<dyn ChannelLayer>,
    /// The latest of each message; held to put one in, or to take all.
    waiting: Mutex<HashMap<(GroupName, MessageId), Tally>>,
    wake: Notify,
}

impl News {
    fn put(&self, group: &GroupName, target: MessageId, tally: Tally) {
        let name = (group.clone(), target);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= NEWS_MAX && !waiting.contains_key(&name) {
            drop(waiting);
            self.send(name, &tally);
            return;
        }
        let latest = waiting.entry(name).or_default();
        // Answers may overtake each other.
        if tally.rev > latest.rev {
            *latest = tally;
        }
        drop(waiting);
        self.wake.notify_one();
    }

    fn send(&self, (group, target): (GroupName, MessageId), tally: &Tally) {
        let payload = ChatReactions { counts: Counts(&tally.counts), rev: tally.rev }.payload();
        // It has the id of the message that it is about. Nobody waits to hear how far it got: the next one says all again.
        drop(self.layer.group_send(group, Message::frame(target, payload), Retention::Ephemeral));
    }

    async fn tell(self: Arc<Self>, ended: CancellationToken) {
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                () = self.wake.notified() => {}
            }
            let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            for (name, tally) in waiting {
                self.send(name, &tally);
            }
            tokio::select! {
                () = ended.cancelled() => return,
                () = sleep(NEWS_EVERY) => {}
            }
        }
    }
}
