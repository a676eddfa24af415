//! The workers of a node: some threads, each with its own runtime, and the choice among them.
//!
//! A connection stays on its worker: its socket, its consumers and the fan-out to it are one thread's business. Those that
//! arrive together are put together, as far as the load allows: people of one group often do, and a message whose
//! members all sit on one worker wakes one thread.

mod watchdog;

use crate::{
    connection::Doors,
    listen::{
        arrive::{Purpose, arrive},
        crowd::Place,
        handshake::Handshake,
        serve::{Site, serve},
    },
    worker::{Worker, tally::Tally},
};
use bytes::Bytes;
use channel_layer::ChannelLayer;
use std::{
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    runtime::{Builder, LocalOptions},
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use watchdog::{Watchdog, Watched};

/// Connections that may wait for their worker.
const ARRIVALS_MAX: usize = 1_024;

/// Between two looks for room when no worker has any.
const CROWDED: Duration = Duration::from_millis(5);

/// A connection on its way to a worker.
pub(crate) enum Arrival {
    /// Accepted by our own listener; HTTP comes first.
    Accepted(std::net::TcpStream, SocketAddr, Arc<Site>, Place),
    /// Upgraded by somebody else's server.
    Upgraded(std::net::TcpStream, Box<Handshake>, Bytes),
}

/// How many connections more than the idlest worker one may have before another takes over.
const LEAD_MAX: usize = 64;

pub(crate) struct Pool {
    workers: Vec<Entrance>,
    /// The worker that takes what arrives now.
    current: AtomicUsize,
    /// Over how long the clients leave, once they do.
    drain: watch::Sender<Option<Duration>>,
    _watchdog: Watchdog,
}

struct Entrance {
    arrivals: mpsc::Sender<(Arrival, Load)>,
    load: Arc<AtomicUsize>,
    /// What the worker counts.
    tally: Arc<Tally>,
    /// A handler holds its thread. Whoever arrives goes to another worker: newcomers, and clients that gave up waiting here.
    stands: Arc<AtomicBool>,
    /// Its thread has ended, however that came.
    ended: CancellationToken,
}

impl Entrance {
    fn has_room(&self) -> bool {
        // One that could not start has capacity for ever.
        !self.arrivals.is_closed() && self.arrivals.capacity() > 0 && !self.stands.load(Ordering::Relaxed)
    }

    fn watched(&self) -> Watched {
        Watched { tally: Arc::clone(&self.tally), stands: Arc::clone(&self.stands) }
    }
}

/// Counts a connection for as long as it lives.
struct Load(Arc<AtomicUsize>);

impl Load {
    fn of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
        let (drain, draining) = watch::channel(None);
        let start = |number| {
            let (arrivals, incoming) = mpsc::channel(ARRIVALS_MAX);
            let ended = CancellationToken::new();
            let end = ended.clone().drop_guard();
            let (layer, doors, draining) = (Arc::clone(layer), Arc::clone(doors), draining.clone());
            let tally = Arc::<Tally>::default();
            let counts = Arc::clone(&tally);
            let runtime = Builder::new_current_thread();
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                let _end = end;
                run(runtime, layer, doors, incoming, (counts, draining));
            })?;
            Ok(Entrance { arrivals, load: Arc::default(), tally, stands: Arc::default(), ended })
        };
        let workers = (0..count).map(start).collect::<io::Result<Vec<_>>>()?;
        let watched = workers.iter().map(Entrance::watched).collect();
        let watchdog = Watchdog::start(watched, draining)?;
        Ok(Self { workers, current: AtomicUsize::new(0), drain, _watchdog: watchdog })
    }

    /// Waits until some worker takes connections. Cancel safe.
    pub(crate) async fn room(&self) {
        while !self.workers.iter().any(Entrance::has_room) {
            sleep(CROWDED).await;
        }
    }

    /// Hands a connection to a worker; dropped, if none has room.
    pub(crate) fn take_in(&self, arrival: Arrival) {
        let worker = &self.workers[self.choose()];
        let load = Load::of(&worker.load);
        if worker.arrivals.try_send((arrival, load)).is_err() {
            tracing::warn!(event = "worker.full", "a worker takes no more connections for now");
        }
    }

    /// The worker that takes what arrives now.
    fn choose(&self) -> usize {
        let load_of = |worker: &Entrance| worker.load.load(Ordering::Relaxed);
        let with_room = (0..self.workers.len()).filter(|index| self.workers[*index].has_room());
        let idlest = with_room.min_by_key(|index| load_of(&self.workers[*index])).unwrap_or(0);
        let current = self.current.load(Ordering::Relaxed);
        let lead = load_of(&self.workers[current]).saturating_sub(load_of(&self.workers[idlest]));
        let chosen = if lead < LEAD_MAX && self.workers[current].has_room() { current } else { idlest };
        self.current.store(chosen, Ordering::Relaxed);
        chosen
    }

    /// What each worker counts.
    pub(crate) fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.workers.iter().map(|worker| &*worker.tally)
    }

    /// Closes every connection, each at its time within `spread`, and waits for the workers to end. Asked again while that
    /// goes on, it waits as well.
    pub(crate) async fn drain(&self, spread: Duration) {
        self.drain.send_replace(Some(spread));
        for worker in &self.workers {
            worker.ended.cancelled().await;
        }
    }
}

fn run(
    mut runtime: Builder,
    layer: Arc<dyn ChannelLayer>,
    doors: Arc<Doors>,
    arrivals: mpsc::Receiver<(Arrival, Load)>,
    (tally, draining): (Arc<Tally>, watch::Receiver<Option<Duration>>),
) {
    let runtime = match runtime.enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(event = "worker.failed", %error, "a worker could not start");
            return;
        }
    };
    runtime.block_on(async {
        let (worker, mailbox) = Worker::new(layer, doors.presence.clone(), tally);
        worker.tasks.spawn_local(take_in(Rc::clone(&worker), doors, arrivals));
        worker.run(mailbox, draining).await;
    });
}

async fn take_in(worker: Rc<Worker>, doors: Arc<Doors>, mut arrivals: mpsc::Receiver<(Arrival, Load)>) {
    while let Some((arrival, load)) = arrivals.recv().await {
        let (on, doors) = (Rc::clone(&worker), Arc::clone(&doors));
        worker.tasks.spawn_local(async move {
            match arrival {
                Arrival::Accepted(tcp, peer, site, place) => {
                    if let Ok(tcp) = TcpStream::from_std(tcp) {
                        serve(on, doors, site, tcp, peer, place, load).await;
                    }
                }
                Arrival::Upgraded(tcp, handshake, early) => {
                    if let Ok(tcp) = TcpStream::from_std(tcp) {
                        arrive(on, doors, Purpose::Hub(handshake), tcp, early).await;
                    }
                    drop(load);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_gone_is_given_nobody() {
        let entrance = || {
            let (arrivals, incoming) = mpsc::channel(1);
            let ended = CancellationToken::new();
            let (load, tally, stands) = Default::default();
            (Entrance { arrivals, load, tally, stands, ended }, incoming)
        };
        let (workers, mut incoming): (Vec<_>, Vec<_>) = (0..3).map(|_| entrance()).unzip();
        let (drain, draining) = watch::channel(None);
        let watchdog = Watchdog::start(Vec::new(), draining).unwrap();
        let pool = Pool { workers, current: AtomicUsize::new(0), drain, _watchdog: watchdog };
        assert_eq!(pool.choose(), 0);
        // It has no load, and would be the idlest for ever.
        incoming.remove(0);
        assert_ne!(pool.choose(), 0);
        incoming.remove(0);
        assert_eq!(pool.choose(), 2);
    }
}
