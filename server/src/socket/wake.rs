//! A task of this thread is woken by another, or by itself earlier: at once, or when it next waits.
//!
//! What `tokio::sync::Notify` does across threads, without its locks and its list: one waits at a time, and a message passes
//! here several times.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::poll_fn,
    task::{Poll, Waker},
};

/// Wakes whoever waits. Of several calls before that one is left.
#[derive(Default)]
pub(crate) struct Wake {
    is_due: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Wake {
    /// Wakes who waits, or who waits next.
    pub(crate) fn wake(&self) {
        if !self.is_due.replace(true)
            && let Some(waiter) = &*self.waiter.borrow()
        {
            waiter.wake_by_ref();
        }
    }

    /// Waits to be woken, unless that has happened since it last waited. Cancel safe. Of two that wait, the later is woken.
    pub(crate) fn woken(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            if self.is_due.replace(false) {
                return Poll::Ready(());
            }
            let mut waiter = self.waiter.borrow_mut();
            match &mut *waiter {
                // The same task, as a rule.
                Some(waiter) => waiter.clone_from(cx.waker()),
                waiter => *waiter = Some(cx.waker().clone()),
            }
            Poll::Pending
        })
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wake").field("is_due", &self.is_due).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, future::join};

    #[test]
    fn who_is_woken_before_it_waits_does_not_wait_and_then_does() {
        let wake = Wake::default();
        assert_eq!(wake.woken().now_or_never(), None);
        wake.wake();
        wake.wake();
        assert_eq!(wake.woken().now_or_never(), Some(()));
        assert_eq!(wake.woken().now_or_never(), None);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_another_task() {
        let wake = Wake::default();
        let waits = async {
            for _ in 0..3 {
                wake.woken().await;
                tokio::task::yield_now().await;
            }
        };
        let wakes = async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                wake.wake();
            }
        };
        join(waits, wakes).await;
    }
}
