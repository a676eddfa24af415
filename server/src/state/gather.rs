//! Questions about a group that come together are asked together.
//!
//! A thousand people who join at once each ask what they have marked themselves, and no answer serves another. So
//! questions are collected: one that comes after a pause leaves at once, those of the next 10 ms leave together, a
//! read a group. Each is answered by a read that began after it was asked.

use channel_layer::{Answer, Error, GroupName, Result};
use futures_util::future::FutureExt;
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::sleep,
};
use tokio_util::task::TaskTracker;

/// Between two reads of one group.
const PAUSE: Duration = Duration::from_millis(10);

/// Questions that may wait; one more is refused.
const ASKS_MAX: usize = 4_096;

/// Questions of one read: what Redis answers in a few milliseconds at worst.
const TOGETHER_MAX: usize = 64;

/// Reads that are under way; those after them wait.
const READS_MAX: usize = 16;

type Waiter<A> = oneshot::Sender<Result<A>>;

struct Ask<Q, A> {
    group: GroupName,
    question: Q,
    answer: Waiter<A>,
}

/// Asks questions `Q` together, which are answered by an `A` each.
pub(super) struct Gather<Q, A> {
    asks: mpsc::Sender<Ask<Q, A>>,
    /// Ends by itself with the last sender, once what was asked is answered.
    _tasks: TaskTracker,
}

impl<Q: Send + 'static, A: Send + 'static> Gather<Q, A> {
    /// One that reads by `together`: the answers to some questions about a group, in the order of these.
    ///
    /// # Panics
    ///
    /// Outside a runtime of tokio.
    pub(super) fn new(together: impl Fn(&GroupName, Vec<Q>) -> Answer<Vec<A>> + Send + 'static) -> Self {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let tasks = TaskTracker::new();
        tasks.spawn(gather(asked, together, tasks.clone()));
        Self { asks, _tasks: tasks }
    }

    /// Asks one question.
    ///
    /// # Errors
    ///
    /// Those of the read; [`Error::Overloaded`] when too many wait.
    pub(super) fn ask(&self, group: &GroupName, question: Q) -> Answer<A> {
        let (answer, answered) = oneshot::channel();
        let sent = self.asks.try_send(Ask { group: group.clone(), question, answer });
        async move {
            sent.map_err(|_| Error::Overloaded)?;
            answered.await.unwrap_or(Err(Error::Unavailable))
        }
        .boxed()
    }
}

impl<Q, A> fmt::Debug for Gather<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").finish_non_exhaustive()
    }
}

async fn gather<Q: Send + 'static, A: Send + 'static>(
    mut asked: mpsc::Receiver<Ask<Q, A>>,
    together: impl Fn(&GroupName, Vec<Q>) -> Answer<Vec<A>> + Send + 'static,
    tasks: TaskTracker,
) {
    let reads = Arc::new(Semaphore::new(READS_MAX));
    let mut waiting = Vec::new();
    while asked.recv_many(&mut waiting, ASKS_MAX).await > 0 {
        let mut by_group: HashMap<GroupName, Vec<(Q, Waiter<A>)>> = HashMap::new();
        for Ask { group, question, answer } in waiting.drain(..) {
            by_group.entry(group).or_default().push((question, answer));
        }
        for (group, mut asks) in by_group {
            while !asks.is_empty() {
                let rest = asks.split_off(asks.len().min(TOGETHER_MAX));
                let (questions, waiters): (Vec<Q>, Vec<_>) =
                    std::mem::replace(&mut asks, rest).into_iter().unzip();
                // It is never closed.
                let Ok(place) = Arc::clone(&reads).acquire_owned().await else { return };
                let read = together(&group, questions);
                tasks.spawn(async move {
                    answer(waiters, read.await);
                    drop(place);
                });
            }
        }
        sleep(PAUSE).await;
    }
}

/// Gives each waiter its answer, or all of them the error. Whoever asked may be gone.
fn answer<A>(waiters: Vec<Waiter<A>>, answers: Result<Vec<A>>) {
    match answers {
        Ok(answers) => {
            waiters.into_iter().zip(answers).for_each(|(waiter, answer)| drop(waiter.send(Ok(answer))));
        }
        Err(error) => waiters.into_iter().for_each(|waiter| drop(waiter.send(Err(error.clone())))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{join_all, ready};
    use std::sync::Mutex;

    /// How many questions there were in each read, with its group.
    type Reads = Arc<Mutex<Vec<(String, usize)>>>;

    /// A gather that doubles numbers.
    fn doubling() -> (Gather<u32, u32>, Reads) {
        let reads = Reads::default();
        let noted = Arc::clone(&reads);
        let gather = Gather::new(move |group: &GroupName, questions: Vec<u32>| {
            noted.lock().unwrap().push((group.to_string(), questions.len()));
            ready(Ok(questions.into_iter().map(|question| 2 * question).collect())).boxed()
        });
        (gather, reads)
    }

    #[tokio::test]
    async fn the_first_is_asked_at_once_and_those_after_it_together_each_with_its_own_answer() {
        let (gather, reads) = doubling();
        let [lobby, garden]: [GroupName; 2] = ["lobby", "garden"].map(|name| name.parse().unwrap());
        assert_eq!(gather.ask(&lobby, 21).await, Ok(42));
        let crowd = join_all((0..1_000).map(|number| gather.ask(&lobby, number)));
        let (crowd, other) = tokio::join!(crowd, gather.ask(&garden, 7));
        assert!(crowd.into_iter().zip(0..).all(|(answer, number)| answer == Ok(2 * number)));
        assert_eq!(other, Ok(14));
        let mut reads = reads.lock().unwrap().clone();
        assert_eq!(reads.remove(0), ("lobby".to_owned(), 1));
        let garden = reads.extract_if(.., |(group, _)| group == "garden").count();
        assert_eq!((garden, reads.len()), (1, 1_000_usize.div_ceil(TOGETHER_MAX)), "{reads:?}");
    }

    #[tokio::test]
    async fn an_error_is_everybody_s_and_too_many_are_refused() {
        let gather = Gather::<u32, u32>::new(|_, _| ready(Err(Error::Unavailable)).boxed());
        let lobby: GroupName = "lobby".parse().unwrap();
        let answers = join_all((0..ASKS_MAX + 10).map(|_| gather.ask(&lobby, 0)));
        let answers: Vec<_> = answers.await;
        let refused = answers.iter().filter(|answer| **answer == Err(Error::Overloaded)).count();
        assert_eq!(refused, 10);
        assert!(answers.iter().all(Result::is_err));
    }
}
