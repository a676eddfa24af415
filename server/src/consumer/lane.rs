//! The steps of one consumer of a connection, one at a time: whatever it begins and never comes back from, it has one thread.

use crate::consumer::apart::Pool;
use async_task::Runnable;
use std::{
    collections::VecDeque,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

/// What a consumer has to do, in the order in which it may go on.
pub(super) struct Lane {
    pub(super) pool: Arc<Pool>,
    /// Held for a look.
    steps: Mutex<Steps>,
}

#[derive(Default)]
struct Steps {
    waiting: VecDeque<Runnable>,
    /// One has a thread, or waits for it.
    is_under_way: bool,
}

impl Lane {
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        Self { pool: Arc::clone(pool), steps: Mutex::default() }
    }

    /// Takes a step that is to be done.
    pub(super) fn add(self: &Arc<Self>, step: Runnable) {
        let mut steps = self.steps();
        steps.waiting.push_back(step);
        if !mem::replace(&mut steps.is_under_way, true) {
            drop(steps);
            self.go_on();
        }
    }

    /// Has the next step done.
    fn go_on(self: &Arc<Self>) {
        let turn = Turn::begin(self);
        let turn = AssertUnwindSafe(|| drop(self.pool.steps.spawn_blocking(|| turn.run())));
        // It panics if the system refuses the pool its first thread, and has queued the turn by then: it comes with the next.
        drop(catch_unwind(turn));
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lane's next step, which waits for a thread. One that is dropped undone has the threads' end behind it: the others will not be
/// done either.
struct Turn {
    lane: Arc<Lane>,
    is_waiting: bool,
    is_done: bool,
}

impl Turn {
    fn begin(lane: &Arc<Lane>) -> Self {
        lane.pool.waiting.fetch_add(1, Ordering::Relaxed);
        Self { lane: Arc::clone(lane), is_waiting: true, is_done: false }
    }

    fn run(mut self) {
        self.end_waiting();
        let lane = Arc::clone(&self.lane);
        let step = lane.steps().waiting.pop_front();
        if let Some(step) = step {
            // What it spawns, or asks to be woken by, is the application's own.
            let _application = lane.pool.application.enter();
            step.run();
        }
        self.is_done = true;
        let mut steps = lane.steps();
        steps.is_under_way = !steps.waiting.is_empty();
        if steps.is_under_way {
            drop(steps);
            // Behind those of others that wait.
            lane.go_on();
        }
    }

    fn end_waiting(&mut self) {
        if mem::take(&mut self.is_waiting) {
            self.lane.pool.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end_waiting();
        if !self.is_done {
            let undone = mem::take(&mut *self.lane.steps());
            drop(undone);
        }
    }
}
