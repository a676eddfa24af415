//! Where application code runs that may hold its thread: on threads of its own, one for each consumer that computes at a time.
//!
//! A runtime polls many tasks on few threads, so that one which computes instead of waiting stops others. Here each step of
//! a handler is a job for a pool that has another thread while all are busy; a handler that waits has none. So one that
//! never comes back holds a thread, and nobody but its own client waits for it. What is to be delivered has the processor first.
//!
//! What handlers wait for (timers, sockets) and what they spawn has a runtime of its own: jobs that an application gives to its
//! `spawn_blocking` take no handler's thread.

use crate::{
    consumer::{
        careful::{Panicked, caught_now, panicked},
        lane::Lane,
    },
    worker::tally::Tally,
};
use async_task::Task;
use futures_util::future::TryFutureExt;
use rustix::{
    process::{getpriority_process, setpriority_process},
    thread::gettid,
};
use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
    task::JoinHandle,
};

/// Consumers that may compute at the same time; what is more waits for one to pause. A thread that has nothing to do for ten
/// seconds ends. As many again for what they do by `spawn_blocking`.
const THREADS_MAX: usize = 256;

/// Consumers that may wait for a thread. No more is begun then: who is closed comes back, and would wait again.
const WAITING_MAX: usize = 1_024;

/// What `nice` calls these threads: where they and a worker want the same core, they have a tenth of its share.
const NICE: i32 = 10;

/// Threads that drive what handlers wait for, and run what they spawn.
const DRIVERS: usize = 8;

/// The threads of a hub's applications, which end with this value.
pub(crate) struct Threads {
    /// Taken at the end, which may not wait for what never ends.
    runtimes: Option<[Runtime; 2]>,
    pool: Arc<Pool>,
}

/// What all consumers of a hub share.
pub(super) struct Pool {
    /// Its blocking threads do the steps; it has no others.
    pub(super) steps: Handle,
    /// What the steps are done within.
    pub(super) application: Handle,
    /// Consumers that wait for a thread.
    pub(super) waiting: AtomicUsize,
}

/// The way of one consumer's code to these threads; what is there when they have ended is dropped.
#[derive(Clone)]
pub(crate) struct Apart {
    lane: Arc<Lane>,
}

/// Why code that was to run apart has come to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It panicked, or its threads have ended.
    Panicked,
    /// Too much waits for a thread; it has not begun.
    Crowded,
}

impl From<Panicked> for Lost {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

impl Threads {
    pub(crate) fn start() -> io::Result<Self> {
        let steps = threads(&mut Builder::new_current_thread(), "application").build()?;
        let mut application = Builder::new_multi_thread();
        let application =
            threads(&mut application, "spawned").worker_threads(DRIVERS).enable_all().build()?;
        let pool = Pool {
            steps: steps.handle().clone(),
            application: application.handle().clone(),
            waiting: AtomicUsize::new(0),
        };
        Ok(Self { runtimes: Some([steps, application]), pool: Arc::new(pool) })
    }

    /// The way for another consumer.
    pub(crate) fn apart(&self) -> Apart {
        Apart { lane: Arc::new(Lane::new(&self.pool)) }
    }
}

fn threads<'a>(runtime: &'a mut Builder, name: &str) -> &'a mut Builder {
    runtime.max_blocking_threads(THREADS_MAX).thread_name(name).on_thread_start(|| {
        let thread = Some(gettid());
        let nice = getpriority_process(thread).unwrap_or_default().max(NICE);
        // If the system does not let them, they have an equal share.
        setpriority_process(thread, nice).ok();
    })
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.runtimes.take().into_iter().flatten().for_each(Runtime::shutdown_background);
    }
}

impl Apart {
    /// Runs `code`. Who does not wait for it any more has it dropped, when it next pauses.
    pub(crate) fn run<T: Send + 'static, C: Future<Output = T> + Send + 'static>(
        &self,
        code: C,
    ) -> impl Future<Output = Result<T, Lost>> + use<T, C> {
        let code = Careful::new(code);
        let is_crowded = self.lane.pool.waiting.load(Ordering::Relaxed) >= WAITING_MAX;
        let task = if is_crowded {
            // Its end is code as well.
            self.begin(async { drop(code) }).detach();
            None
        } else {
            Some(self.begin(code).fallible())
        };
        async {
            match task {
                Some(task) => task.await.unwrap_or(Err(Panicked)).map_err(Lost::from),
                None => Err(Lost::Crowded),
            }
        }
    }

    /// Runs `code` to its end, whether or not anybody waits for it.
    pub(crate) fn finish<C: Future<Output = ()> + Send + 'static>(
        &self,
        code: C,
        tally: &Arc<Tally>,
    ) -> impl Future<Output = Result<(), Lost>> + use<C> {
        let (done, is_done) = oneshot::channel();
        let (code, tally) = (Careful::new(code), Arc::clone(tally));
        let told = async move {
            // Who waited is to tell, and may be gone.
            if let Err(Err(Panicked)) = done.send(code.await) {
                panicked(&tally);
            }
        };
        self.begin(told).detach();
        is_done.map_err(|_| Panicked).map_ok_or_else(Err, |done| done).map_err(Lost::from)
    }

    /// Runs code of the hub's, which only waits, to its end, where handlers have what they wait for.
    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        code: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.lane.pool.application.spawn(code)
    }

    fn begin<T: Send + 'static>(&self, code: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let lane = Arc::clone(&self.lane);
        let (first, task) = async_task::spawn(code, move |step| lane.add(step));
        first.schedule();
        task
    }
}

/// Code whose panics end it and nothing else; also one while it is dropped, which would end the process.
struct Careful<C> {
    code: Option<Pin<Box<C>>>,
}

impl<C> Careful<C> {
    fn new(code: C) -> Self {
        Self { code: Some(Box::pin(code)) }
    }

    fn end(&mut self) -> Result<(), Panicked> {
        let code = self.code.take();
        caught_now(|| drop(code))
    }
}

impl<C: Future> Future for Careful<C> {
    type Output = Result<C::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(code) = &mut self.code else { return Poll::Ready(Err(Panicked)) };
        let done = match caught_now(|| code.as_mut().poll(cx)) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(panicked) => Err(panicked),
        };
        let ended = self.end();
        Poll::Ready(done.and_then(|done| ended.map(|()| done)))
    }
}

impl<C> Drop for Careful<C> {
    fn drop(&mut self) {
        // Whatever it was about has ended; the panic itself was told by the process's hook.
        self.end().ok();
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{join_all, pending};
    use std::{
        mem::ManuallyDrop,
        panic::panic_any,
        sync::{Condvar, Mutex},
        thread,
        time::Duration,
    };
    use tokio::{task::spawn_blocking, time::timeout};

    /// Panics when it is dropped.
    struct Sore;

    impl Drop for Sore {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    /// Panics with it when it is dropped.
    struct Sorer;

    impl Drop for Sorer {
        fn drop(&mut self) {
            panic_any(Sore);
        }
    }

    /// Says where it was dropped.
    struct Telling(Option<oneshot::Sender<Option<String>>>);

    impl Drop for Telling {
        fn drop(&mut self) {
            let name = thread::current().name().map(str::to_owned);
            self.0.take().unwrap().send(name).unwrap();
        }
    }

    /// Where handlers compute until all are let go.
    #[derive(Clone, Default)]
    struct Held(Arc<(Mutex<bool>, Condvar, AtomicUsize)>);

    impl Held {
        fn compute(&self) {
            let (is_open, opens, count) = &*self.0;
            count.fetch_add(1, Ordering::Relaxed);
            drop(opens.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
        }

        async fn holds(&self, handlers: usize) {
            while self.0.2.load(Ordering::Relaxed) < handlers {
                tokio::task::yield_now().await;
            }
        }

        fn let_go(&self) {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_all();
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            // A test that has failed ends all the same.
            self.let_go();
        }
    }

    fn compute(apart: &Apart, held: &Held) -> impl Future<Output = Result<(), Lost>> + use<> {
        let held = Arc::clone(&held.0);
        apart.run(async move { ManuallyDrop::new(Held(held)).compute() })
    }

    #[tokio::test]
    async fn what_panics_when_it_is_dropped_ends_nothing_else() {
        let threads = Threads::start().unwrap();
        let (apart, tally) = (threads.apart(), Arc::default());
        for sorer in [false, true] {
            let (begun, has_begun) = oneshot::channel();
            let hangs = apart.run(async move {
                let _sore = (!sorer).then(|| Sore);
                let _sorer = sorer.then(|| Sorer);
                begun.send(()).unwrap();
                pending::<()>().await;
            });
            has_begun.await.unwrap();
            drop(hangs);
            assert_eq!(apart.run(async { 7 }).await, Ok(7));
        }
        assert_eq!(apart.run(async { drop(Sore) }).await, Err(Lost::Panicked));
        assert_eq!(apart.finish(async { drop(Sorer) }, &tally).await, Err(Lost::Panicked));
        assert_eq!(apart.run(async { panic_any(Sore) }).await.map(|()| 7), Err(Lost::Panicked));
        assert_eq!(apart.run(async { 7 }).await, Ok(7));
        // Nobody waits for this one, and it is told all the same.
        drop(apart.finish(async { drop(Sore) }, &tally));
        while tally.panics.get() == 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn whatever_one_has_begun_it_has_one_thread_and_others_have_theirs() {
        let threads = Threads::start().unwrap();
        let (one, other) = (threads.apart(), threads.apart());
        let held = Held::default();
        let computing: Vec<_> = (0..2 * THREADS_MAX).map(|_| compute(&one, &held)).collect();
        held.holds(1).await;
        assert_eq!(other.run(async { 7 }).await, Ok(7));
        assert_eq!(held.0.2.load(Ordering::Relaxed), 1);
        held.let_go();
        assert!(join_all(computing).await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn what_an_application_gives_to_spawn_blocking_takes_no_handlers_thread() {
        let threads = Threads::start().unwrap();
        let held = Held::default();
        let computing = (0..2 * THREADS_MAX).map(|_| {
            let held = Arc::clone(&held.0);
            move || ManuallyDrop::new(Held(held)).compute()
        });
        let computing: Vec<_> = computing.collect();
        let spawn = async { computing.into_iter().map(spawn_blocking).collect::<Vec<_>>() };
        let spawned = threads.apart().run(spawn).await.unwrap();
        held.holds(THREADS_MAX).await;
        assert_eq!(threads.apart().run(async { 7 }).await, Ok(7));
        held.let_go();
        assert!(join_all(spawned).await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn so_many_wait_for_a_thread_and_no_more() {
        let threads = Threads::start().unwrap();
        let held = Held::default();
        let run = || compute(&threads.apart(), &held);
        let computing: Vec<_> = (0..THREADS_MAX).map(|_| run()).collect();
        held.holds(THREADS_MAX).await;
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| run()).collect();
        assert_eq!(run().await, Err(Lost::Crowded));
        // One that is not waited for any more waits on, for its end is code as well; so is that of one which has not begun.
        drop(waiting.pop());
        let (telling, told) = oneshot::channel();
        let telling = Telling(Some(telling));
        assert_eq!(threads.apart().run(async { drop(telling) }).await, Err(Lost::Crowded));
        held.let_go();
        let all = timeout(Duration::from_secs(10), join_all(computing.into_iter().chain(waiting))).await;
        assert!(all.unwrap().iter().all(Result::is_ok));
        assert_eq!(told.await.unwrap().as_deref(), Some("application"));
        assert_eq!(run().await, Ok(()));
        assert_eq!(threads.pool.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_waits_for_threads_that_have_ended_is_dropped() {
        let threads = Threads::start().unwrap();
        let (apart, held) = (threads.apart(), Held::default());
        let computes = compute(&apart, &held);
        held.holds(1).await;
        let waits = apart.run(async { 7 });
        drop(threads);
        held.let_go();
        computes.await.ok();
        assert_eq!(waits.await, Err(Lost::Panicked));
        assert_eq!(apart.run(async { 7 }).await, Err(Lost::Panicked));
    }
}
