//! The workers that serve, and those that were given up.
//!
//! A worker whose thread something holds is given up in time: another takes its place, and its connections are ended from
//! outside, so that their clients come back by themselves and resume. Its thread cannot be ended. It is kept count of until it
//! has ended by itself, and there may be only so many of them: what makes threads without end helps nobody.

use crate::{connection::Doors, pool::entrance::Entrance, worker::tally::Total};
use channel_layer::ChannelLayer;
use std::{
    io, mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

/// Threads that something holds, whose workers were given up and have not ended.
const GIVEN_UP_MAX: usize = 8;

pub(super) struct Crew {
    layer: Arc<dyn ChannelLayer>,
    doors: Arc<Doors>,
    /// Read for each arrival; written when a worker is given up, or ends after that.
    posts: RwLock<Posts>,
}

#[derive(Default)]
struct Posts {
    serving: Vec<Arc<Entrance>>,
    given_up: Vec<Arc<Entrance>>,
    /// What those have counted who have ended since.
    past: Total,
    /// Nobody is to take a place any more.
    is_leaving: bool,
}

/// What became of a worker that was to be given up.
#[derive(Debug)]
pub(super) enum Relief {
    /// Another has its place, and so many connections were ended.
    Replaced(usize),
    /// So many connections were ended, and the hub with them.
    Left(usize),
    /// Too many were given up already; it keeps its place and its connections.
    TooMany,
    /// No other could be started.
    Failed(io::Error),
}

impl Crew {
    /// Starts `count` workers.
    pub(super) fn start(
        count: usize,
        layer: &Arc<dyn ChannelLayer>,
        doors: &Arc<Doors>,
    ) -> io::Result<Arc<Self>> {
        let start = |number| Entrance::start(number, layer, doors);
        let serving = (0..count).map(start).collect::<io::Result<_>>()?;
        let posts = RwLock::new(Posts { serving, ..Posts::default() });
        Ok(Arc::new(Self { layer: Arc::clone(layer), doors: Arc::clone(doors), posts }))
    }

    /// Looks at those that serve, each at its number.
    pub(super) fn with<T>(&self, look: impl FnOnce(&[Arc<Entrance>]) -> T) -> T {
        look(&self.read().serving)
    }

    /// Puts another worker in the place of one that does not come back, and ends the connections of that.
    pub(super) fn relieve(&self, number: usize) -> Relief {
        let mut posts = self.write();
        if posts.is_leaving {
            return Relief::Left(posts.serving[number].give_up());
        }
        if posts.given_up.len() >= GIVEN_UP_MAX {
            return Relief::TooMany;
        }
        match self.replace(&mut posts, number) {
            Ok(relieved) => {
                // Those who come back at once find somebody there.
                drop(posts);
                Relief::Replaced(relieved.give_up())
            }
            Err(error) => Relief::Failed(error),
        }
    }

    /// Puts another worker in the place of one that has ended by itself. Whether there is one now: a hub that ends needs none.
    pub(super) fn succeed(&self, number: usize) -> io::Result<bool> {
        let mut posts = self.write();
        if posts.is_leaving {
            return Ok(false);
        }
        self.replace(&mut posts, number).map(|_| true)
    }

    /// Puts another worker in the place of this one, which is kept count of until it has ended.
    fn replace(&self, posts: &mut Posts, number: usize) -> io::Result<Arc<Entrance>> {
        let successor = Entrance::start(number, &self.layer, &self.doors)?;
        let relieved = mem::replace(&mut posts.serving[number], successor);
        posts.given_up.push(Arc::clone(&relieved));
        posts.past.replaced += 1;
        Ok(relieved)
    }

    /// Lets go of those who have ended since another took their place. How many of them had been given up.
    pub(super) fn let_go(&self) -> usize {
        if self.read().given_up.iter().all(|worker| !worker.has_ended()) {
            return 0;
        }
        let mut posts = self.write();
        let Posts { given_up, past, .. } = &mut *posts;
        given_up
            .extract_if(.., |worker| worker.has_ended())
            .inspect(|worker| past.count(&worker.tally))
            .filter(|worker| worker.is_given_up())
            .count()
    }

    /// What all have counted. Open are the connections of those who serve: the others' were ended, whatever holds them still.
    pub(super) fn total(&self) -> Total {
        let posts = self.read();
        let mut total = posts.past.clone();
        posts.given_up.iter().for_each(|worker| total.count(&worker.tally));
        total.sockets = 0;
        posts.serving.iter().for_each(|worker| total.count(&worker.tally));
        total
    }

    /// Lets all clients leave, within so long; from now on nobody takes a place. Those who have to end for that.
    pub(super) fn leave(&self, spread: Duration) -> Vec<Arc<Entrance>> {
        let mut posts = self.write();
        posts.is_leaving = true;
        posts.serving.iter().for_each(|worker| worker.leave(spread));
        posts.serving.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Posts> {
        self.posts.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Posts> {
        self.posts.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{DegradedPolicy, Rates},
        consumer::{mounted::Mounts, rate::Users},
        people::GuestGate,
        pool::watchdog::look,
    };
    use channel_layer::MemoryLayer;
    use palabre_protocol::Limits;
    use tokio::time::{Instant, timeout};

    fn crew(count: usize) -> Arc<Crew> {
        let limits = Limits::default();
        let doors = Doors {
            gate: Arc::new(GuestGate::new(None, limits)),
            mounts: Mounts::default(),
            limits,
            rates: Rates::unlimited(),
            users: Users::default(),
            presence: None,
            node: "test".into(),
            policy: DegradedPolicy::Serve,
        };
        let layer: Arc<dyn ChannelLayer> = Arc::new(MemoryLayer::new());
        Crew::start(count, &layer, &Arc::new(doors)).unwrap()
    }

    /// Waits until these have ended.
    async fn ended(workers: impl IntoIterator<Item = Arc<Entrance>>) {
        for worker in workers {
            timeout(Duration::from_secs(10), worker.ended()).await.expect("it ends once it is given up");
        }
    }

    #[tokio::test]
    async fn so_many_are_given_up_at_a_time_and_no_more() {
        let crew = crew(2);
        let other = crew.with(|workers| Arc::clone(&workers[0]));
        let mut gone = Vec::new();
        for _ in 0..GIVEN_UP_MAX {
            gone.push(crew.with(|workers| Arc::clone(&workers[1])));
            assert!(matches!(crew.relieve(1), Relief::Replaced(0)));
        }
        assert!(matches!(crew.relieve(1), Relief::TooMany));
        ended(gone).await;
        assert!(matches!(crew.relieve(1), Relief::TooMany), "it is not known yet");
        assert_eq!((crew.let_go(), crew.let_go()), (GIVEN_UP_MAX, 0));
        assert!(matches!(crew.relieve(1), Relief::Replaced(0)));
        assert_eq!(crew.total().replaced, GIVEN_UP_MAX as u64 + 1);
        assert!(crew.with(|workers| workers.len() == 2 && Arc::ptr_eq(&workers[0], &other)));
        ended(crew.leave(Duration::ZERO)).await;
    }

    #[tokio::test]
    async fn nobody_takes_a_place_in_a_hub_that_ends() {
        let crew = crew(1);
        let workers = crew.leave(Duration::from_secs(60));
        assert!(matches!(crew.relieve(0), Relief::Left(0)));
        workers[0].over().await;
        assert_eq!(crew.total().replaced, 0);
        ended(workers).await;
    }

    #[tokio::test]
    async fn what_a_worker_has_counted_stays_when_it_is_gone() {
        let crew = crew(1);
        let first = crew.with(|workers| Arc::clone(&workers[0]));
        first.tally.panics.add(3);
        first.tally.sockets.set(5);
        assert!(matches!(crew.relieve(0), Relief::Replaced(0)));
        let counted = || (crew.total().panics, crew.total().sockets);
        assert_eq!(counted(), (3, 0));
        ended([first]).await;
        crew.let_go();
        assert_eq!(counted(), (3, 0));
        ended(crew.leave(Duration::ZERO)).await;
    }

    #[tokio::test]
    async fn a_worker_that_has_failed_is_started_anew_unless_the_hub_ends() {
        let crew = crew(1);
        let present = || crew.with(|workers| Arc::clone(&workers[0]));
        let (mut lives, now) = (Vec::new(), Instant::now());
        let failed = present();
        failed.leave(Duration::ZERO);
        ended([Arc::clone(&failed)]).await;
        look(&crew, &mut lives, now);
        assert!(!Arc::ptr_eq(&failed, &present()) && present().has_room());
        look(&crew, &mut lives, now);
        assert_eq!(crew.total().replaced, 1);
        ended(crew.leave(Duration::ZERO)).await;
        look(&crew, &mut lives, now);
        assert_eq!((crew.total().replaced, present().has_room()), (1, false));
    }
}
