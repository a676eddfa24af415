//! Reading a history: from this node's copy, or else from the backend, which is asked beside everything else.

use crate::{
    error::Error,
    history::{Recovered, Span},
    layer::Answer,
    name::GroupName,
    registry::{Group, Registry},
    relay::{LinkError, Relay},
    resilient::core::Command,
};
use futures_util::{FutureExt, future::ready};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;

/// What a reader of histories needs.
#[derive(Debug)]
pub(super) struct Reader {
    relay: Arc<dyn Relay>,
    registry: Arc<Registry>,
    /// Of the owner, who opens groups.
    commands: mpsc::WeakSender<Command>,
    /// Places for reads of the backend.
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Where reads run: not on the thread of whoever asks.
    runtime: Handle,
    deadline: Duration,
}

impl Reader {
    pub(super) fn new(
        relay: Arc<dyn Relay>,
        registry: Arc<Registry>,
        commands: mpsc::WeakSender<Command>,
        places: Arc<Semaphore>,
        tasks: TaskTracker,
        deadline: Duration,
    ) -> Self {
        Self { relay, registry, commands, places, tasks, runtime: Handle::current(), deadline }
    }

    /// `is_alone`: there is no backend to be asked.
    pub(super) fn read(
        &self,
        group: GroupName,
        span: Span,
        messages_max: usize,
        is_alone: bool,
    ) -> Answer<Recovered> {
        let read = self.registry.existing(&group, |group| {
            let read = group.read(span, messages_max, is_alone);
            // In step with the backend that can be asked, whatever was said of it last.
            let is_vain = is_alone && !group.synced && read.is_none();
            group.owes |= is_vain;
            (read, is_vain, group.is_behind())
        });
        let is_behind = match read {
            Some((Some(recovered), ..)) => return ready(Ok(recovered)).boxed(),
            Some((None, true, _)) => return ready(Err(Error::Unavailable)).boxed(),
            Some((None, false, is_behind)) => is_behind,
            None => false,
        };
        let (answer, answered) = oneshot::channel();
        let (relay, commands, owed) = (Arc::clone(&self.relay), self.commands.clone(), group.clone());
        let (places, registry) = (Arc::clone(&self.places), Arc::clone(&self.registry));
        let read = async move {
            if is_behind {
                let caught_up = catch_up(&registry, &commands, &group, span, messages_max).await?;
                if let Some(recovered) = caught_up {
                    return answer.send(recovered).ok();
                }
            }
            // The place is kept until the backend has answered, however early the caller stops waiting.
            let _place = places.acquire().await.ok()?;
            if answer.is_closed() {
                return None;
            }
            let recovered = read_backend(&*relay, &commands, group, span, messages_max).await?;
            answer.send(recovered).ok()
        };
        self.tasks.spawn_on(read, &self.runtime);
        let (registry, commands) = (Arc::clone(&self.registry), self.commands.clone());
        let deadline = Instant::now() + self.deadline;
        async move {
            if let Ok(Ok(recovered)) = timeout_at(deadline, answered).await {
                return Ok(recovered);
            }
            // It can be read once this node has it; members are told then.
            let is_known = registry.existing(&owed, |group| group.owes = true).is_some();
            if let Some(commands) = commands.upgrade().filter(|_| is_known) {
                let _full = commands.try_send(Command::Owe(owed));
            }
            Err(Error::Unavailable)
        }
        .boxed()
    }
}

/// Waits until what is sent into a group arrives here, and reads this node's copy, which may not reach that far. The backend's answer
/// would end before what members here are going to hear begins.
async fn catch_up(
    registry: &Registry,
    commands: &mpsc::WeakSender<Command>,
    group: &GroupName,
    span: Span,
    messages_max: usize,
) -> Option<Option<Recovered>> {
    let (answer, heard) = oneshot::channel();
    commands.upgrade()?.try_send(Command::Join(group.clone(), answer)).ok()?;
    heard.await.ok()?;
    let read = |group: &mut Group| (!group.is_behind()).then(|| group.read(span, messages_max, false));
    registry.existing(group, read).unwrap_or(Some(None))
}

/// Reads from the backend, which may have to open the group first.
async fn read_backend(
    relay: &dyn Relay,
    commands: &mpsc::WeakSender<Command>,
    group: GroupName,
    span: Span,
    messages_max: usize,
) -> Option<Recovered> {
    match relay.read(group.clone(), span, messages_max).await {
        Err(LinkError::Unopened) => {}
        read => return read.ok(),
    }
    // It was quiet for so long that the backend has forgotten it, or nobody has used it yet.
    let (answer, opened) = oneshot::channel();
    commands.upgrade()?.try_send(Command::Open(group.clone(), answer)).ok()?;
    opened.await.ok()?;
    relay.read(group, span, messages_max).await.ok()
}
