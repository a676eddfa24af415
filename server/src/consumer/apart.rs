//! Where application code runs that may hold its thread: on threads of its own, one for each that computes at a time.
//!
//! A runtime polls many tasks on few threads, so that one which computes instead of waiting stops others. Here each step of
//! a handler is a job for a pool that has another thread while all are busy; a handler that waits has none. So one that
//! never comes back holds a thread, and nobody but its own client waits for it. What is to be delivered has the processor first.

use crate::consumer::careful::Panicked;
use async_task::{Runnable, Task};
use futures_util::future::TryFutureExt;
use rustix::{process::setpriority_process, thread::gettid};
use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
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
};

/// Handlers that may compute at the same time, with what they do by `spawn_blocking`; what is more waits for one to pause. A
/// thread that has nothing to do for ten seconds ends.
const THREADS_MAX: usize = 256;

/// Handlers that may wait for their first step. More are not begun at all: who is closed comes back, and would wait again.
const WAITING_MAX: usize = 1_024;

/// What `nice` calls these threads: where they and a worker want the same core, they have a tenth of its share.
const NICE: i32 = 10;

/// Threads that drive what handlers wait for, timers and sockets, and run what they spawn.
const DRIVERS: usize = 2;

/// The threads of a hub's applications, which end with this value.
pub(crate) struct Threads {
    /// Taken at the end, which may not wait for what never ends.
    runtime: Option<Runtime>,
    apart: Apart,
}

/// The way to these threads; what is there when they have ended is dropped.
#[derive(Clone)]
pub(crate) struct Apart {
    runtime: Handle,
    /// Handlers that wait for their first step.
    waiting: Arc<AtomicUsize>,
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
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(DRIVERS).max_blocking_threads(THREADS_MAX).thread_name("application");
        runtime.on_thread_start(|| {
            // If the system does not let them, they have an equal share.
            setpriority_process(Some(gettid()), NICE).ok();
        });
        let runtime = runtime.enable_all().build()?;
        let apart = Apart { runtime: runtime.handle().clone(), waiting: Arc::default() };
        Ok(Self { runtime: Some(runtime), apart })
    }

    pub(crate) fn apart(&self) -> &Apart {
        &self.apart
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Apart {
    /// Runs `code`. Who does not wait for it any more has it dropped, when it next pauses.
    pub(crate) fn run<T: Send + 'static, C: Future<Output = T> + Send + 'static>(
        &self,
        code: C,
    ) -> impl Future<Output = Result<T, Lost>> + use<T, C> {
        let waits = Waits::begin(&self.waiting);
        let task = (waits.count < WAITING_MAX).then(|| self.begin(Careful::new(waits, code)).fallible());
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
    ) -> impl Future<Output = Result<(), Lost>> + use<C> {
        let (done, is_done) = oneshot::channel();
        let code = Careful::new(Waits::begin(&self.waiting), code);
        // Who waited may be gone.
        self.begin(async move { done.send(code.await).ok() }).detach();
        is_done.map_err(|_| Panicked).map_ok_or_else(Err, |done| done).map_err(Lost::from)
    }

    fn begin<T: Send + 'static>(&self, code: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let runtime = self.runtime.clone();
        let step = move |step: Runnable| drop(runtime.spawn_blocking(|| step.run()));
        let (first, task) = async_task::spawn(code, step);
        first.schedule();
        task
    }
}

/// One of those that wait for their first step, while it does.
struct Waits {
    waiting: Arc<AtomicUsize>,
    /// How many waited before it.
    count: usize,
}

impl Waits {
    fn begin(waiting: &Arc<AtomicUsize>) -> Self {
        let count = waiting.fetch_add(1, Ordering::Relaxed);
        Self { waiting: Arc::clone(waiting), count }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Code whose panics end it and nothing else; also one while it is dropped, which would end the process.
struct Careful<C> {
    waits: Option<Waits>,
    code: Option<Pin<Box<C>>>,
}

impl<C> Careful<C> {
    fn new(waits: Waits, code: C) -> Self {
        Self { waits: Some(waits), code: Some(Box::pin(code)) }
    }

    fn end(&mut self) -> Result<(), Panicked> {
        let code = self.code.take();
        catch_unwind(AssertUnwindSafe(|| drop(code))).map_err(|_| Panicked)
    }
}

impl<C: Future> Future for Careful<C> {
    type Output = Result<C::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.waits = None;
        let Some(code) = &mut self.code else { return Poll::Ready(Err(Panicked)) };
        let done = match catch_unwind(AssertUnwindSafe(|| code.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(_) => Err(Panicked),
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
        sync::{Condvar, Mutex},
        time::Duration,
    };
    use tokio::time::timeout;

    /// Panics when it is dropped.
    struct Sore;

    impl Drop for Sore {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    #[tokio::test]
    async fn what_panics_when_it_is_dropped_ends_nothing_else() {
        let threads = Threads::start().unwrap();
        let apart = threads.apart();
        let (begun, has_begun) = oneshot::channel();
        let hangs = apart.run(async {
            let _sore = Sore;
            begun.send(()).unwrap();
            pending::<()>().await;
        });
        has_begun.await.unwrap();
        drop(hangs);
        assert_eq!(apart.run(async { drop(Sore) }).await, Err(Lost::Panicked));
        assert_eq!(apart.finish(async { drop(Sore) }).await, Err(Lost::Panicked));
        assert_eq!(apart.run(async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn so_many_wait_for_a_thread_and_no_more() {
        let threads = Threads::start().unwrap();
        let apart = threads.apart();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let held = Arc::new(AtomicUsize::new(0));
        let run = || {
            let (gate, held) = (Arc::clone(&gate), Arc::clone(&held));
            apart.run(async move {
                held.fetch_add(1, Ordering::Relaxed);
                let (is_open, opens) = &*gate;
                drop(opens.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
            })
        };
        let computing: Vec<_> = (0..THREADS_MAX).map(|_| run()).collect();
        while held.load(Ordering::Relaxed) < THREADS_MAX {
            tokio::task::yield_now().await;
        }
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| run()).collect();
        assert_eq!(run().await, Err(Lost::Crowded));
        // One that is not waited for any more waits on, for its end is code as well.
        drop(waiting.pop());
        assert_eq!(run().await, Err(Lost::Crowded));
        let (is_open, opens) = &*gate;
        *is_open.lock().unwrap() = true;
        opens.notify_all();
        let all = timeout(Duration::from_secs(10), join_all(computing.into_iter().chain(waiting))).await;
        assert!(all.unwrap().iter().all(Result::is_ok));
        assert_eq!(run().await, Ok(()));
        assert_eq!(apart.waiting.load(Ordering::Relaxed), 0);
    }
}
