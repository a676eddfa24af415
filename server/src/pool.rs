//! The workers of a node: some threads, each with its own runtime, and the choice among them.
//!
//! A connection stays on its worker: its socket, the core's words and the fan-out to it are one thread's business. Those that
//! arrive together are put together, as far as the load allows: people of one group often do, and a message whose
//! members all sit on one worker wakes one thread.

mod crew;
mod entrance;
mod watchdog;

pub(crate) use entrance::Arrival;

use crate::{connection::Doors, worker::tally::Total};
use channel_layer::ChannelLayer;
use crew::Crew;
use entrance::Entrance;
use std::{
    io,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::time::sleep;
use watchdog::Watchdog;

/// Between two looks for room when no worker has any.
const CROWDED: Duration = Duration::from_millis(5);

/// How many connections more than the idlest worker one may have before another takes over.
const LEAD_MAX: usize = 64;

pub(crate) struct Pool {
    crew: Arc<Crew>,
    /// The worker that takes what arrives now.
    current: AtomicUsize,
    _watchdog: Watchdog,
}

impl Pool {
    /// Starts `count` workers, or half as many as there are cores: the kernel's network work and the backend's link need
    /// some too, and each worker with a member of a group is woken for each of its messages.
    pub(crate) fn start(
        count: Option<NonZeroUsize>,
        layer: &Arc<dyn ChannelLayer>,
        doors: &Arc<Doors>,
    ) -> io::Result<Self> {
        let count = match count {
            Some(count) => count.get(),
            None => thread::available_parallelism()?.get().div_ceil(2),
        };
        let crew = Crew::start(count, layer, doors)?;
        let watchdog = Watchdog::start(Arc::clone(&crew))?;
        Ok(Self { crew, current: AtomicUsize::new(0), _watchdog: watchdog })
    }

    /// Waits until some worker takes connections. Cancel safe.
    pub(crate) async fn room(&self) {
        while !self.crew.with(|workers| workers.iter().any(|worker| worker.has_room())) {
            sleep(CROWDED).await;
        }
    }

    /// Hands a connection to a worker; dropped, if none has room.
    pub(crate) fn take_in(&self, arrival: Arrival) {
        self.crew.with(|workers| {
            let chosen = choose(workers, self.current.load(Ordering::Relaxed));
            self.current.store(chosen, Ordering::Relaxed);
            workers[chosen].take_in(arrival);
        });
    }

    /// What all workers have counted.
    pub(crate) fn total(&self) -> Total {
        self.crew.total()
    }

    /// Closes every connection, each at its time within `spread`, and waits for the workers to end. Gives how many
    /// connections were ended otherwise, since something held their worker. Asked again while that goes on, it waits as well.
    pub(crate) async fn drain(&self, spread: Duration) -> u64 {
        let workers = self.crew.leave(spread);
        for worker in &workers {
            worker.over().await;
        }
        workers.iter().filter(|worker| !worker.has_ended()).map(|worker| worker.tally.sockets.get()).sum()
    }
}

/// The worker that takes what arrives now, where `current` took what came before.
fn choose(workers: &[Arc<Entrance>], current: usize) -> usize {
    let with_room = (0..workers.len()).filter(|index| workers[*index].has_room());
    let idlest = with_room.min_by_key(|index| workers[*index].load()).unwrap_or(0);
    let lead = workers[current].load().saturating_sub(workers[idlest].load());
    if lead < LEAD_MAX && workers[current].has_room() { current } else { idlest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_gone_is_given_nobody() {
        let (workers, mut incoming): (Vec<_>, Vec<_>) = (0..3).map(|_| entrance::tests::entrance()).unzip();
        assert_eq!(choose(&workers, 0), 0);
        // It has no load, and would be the idlest for ever.
        incoming.remove(0);
        assert_ne!(choose(&workers, 0), 0);
        incoming.remove(0);
        assert_eq!(choose(&workers, 0), 2);
    }
}
