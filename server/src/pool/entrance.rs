//! One worker's thread, as the others see it: the way in, what it counts, and its end.

use crate::{
    config::DegradedPolicy,
    connection::Doors,
    listen::{
        arrive::{Purpose, arrive},
        crowd::Place,
        handshake::Handshake,
        serve::{Site, serve},
    },
    socket::roll::Listed,
    worker::{Worker, tally::Tally},
};
use bytes::Bytes;
use channel_layer::ChannelLayer;
use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    runtime::{Builder, LocalOptions},
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

/// Connections that may wait for their worker.
const ARRIVALS_MAX: usize = 1_024;

/// Threads on which inline handlers and gates compute, or ask what answers no other way, by `spawn_blocking`. More wait for one.
const BLOCKING_MAX: usize = 32;

/// A connection on its way to a worker.
pub(crate) enum Arrival {
    /// Accepted by our own listener; HTTP comes first.
    Accepted(std::net::TcpStream, SocketAddr, Arc<Site>, Place),
    /// Upgraded by somebody else's server.
    Upgraded(std::net::TcpStream, Arc<Handshake>, Bytes),
}

pub(super) struct Entrance {
    /// A connection's line on the roll comes first, for so it is dropped first.
    arrivals: mpsc::Sender<(Listed, Arrival)>,
    /// What the worker counts, and whom it holds.
    pub(super) tally: Arc<Tally>,
    /// Something holds its thread. Whoever arrives goes to another worker: newcomers, and clients that gave up waiting here.
    pub(super) stands: AtomicBool,
    /// Over how long its clients leave, once they do.
    leaving: watch::Sender<Option<Duration>>,
    /// Nobody waits for it any more.
    given_up: CancellationToken,
    /// Its thread has ended, however that came.
    ended: CancellationToken,
}

impl Entrance {
    /// Starts a worker.
    pub(super) fn start(
        number: usize,
        layer: &Arc<dyn ChannelLayer>,
        doors: &Arc<Doors>,
    ) -> io::Result<Arc<Self>> {
        let (arrivals, incoming) = mpsc::channel(ARRIVALS_MAX);
        let (entrance, leave) = Self::new(arrivals);
        let end = entrance.ended.clone().drop_guard();
        let (layer, doors, tally) = (Arc::clone(layer), Arc::clone(doors), Arc::clone(&entrance.tally));
        let mut runtime = Builder::new_current_thread();
        runtime.max_blocking_threads(BLOCKING_MAX).thread_name(format!("computing-{number}"));
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let _end = end;
            run(runtime, layer, doors, incoming, (tally, leave));
        })?;
        Ok(Arc::new(entrance))
    }

    fn new(arrivals: mpsc::Sender<(Listed, Arrival)>) -> (Self, watch::Receiver<Option<Duration>>) {
        let (leaving, leave) = watch::channel(None);
        let (tally, stands, given_up, ended) = Default::default();
        (Self { arrivals, tally, stands, leaving, given_up, ended }, leave)
    }

    pub(super) fn has_room(&self) -> bool {
        // One that could not start has capacity for ever.
        !self.arrivals.is_closed() && self.arrivals.capacity() > 0 && !self.stands.load(Ordering::Relaxed)
    }

    /// How many connections it has, those included that wait for it.
    pub(super) fn load(&self) -> usize {
        self.tally.roll.len()
    }

    /// Hands it a connection; dropped, if it has no room.
    pub(super) fn take_in(&self, arrival: Arrival) {
        let listed = match &arrival {
            Arrival::Accepted(tcp, ..) | Arrival::Upgraded(tcp, ..) => self.tally.roll.list(tcp),
        };
        if self.arrivals.try_send((listed, arrival)).is_err() {
            tracing::warn!(event = "worker.full", "a worker takes no more connections for now");
        }
    }

    /// Lets its clients leave, within so long.
    pub(super) fn leave(&self, spread: Duration) {
        self.leaving.send_replace(Some(spread));
    }

    /// Ends its connections from here, for it does not come back by itself. If it ever does, it finds them ended and ends as
    /// well. How many there were.
    pub(super) fn give_up(&self) -> usize {
        self.leave(Duration::ZERO);
        self.given_up.cancel();
        self.tally.roll.end()
    }

    /// Waits until it has ended, or was given up. Cancel safe.
    pub(super) async fn over(&self) {
        tokio::select! {
            () = self.ended() => {}
            () = self.given_up.cancelled() => {}
        }
    }

    /// Waits until its thread has ended. Cancel safe.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.is_cancelled()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }
}

fn run(
    mut runtime: Builder,
    layer: Arc<dyn ChannelLayer>,
    doors: Arc<Doors>,
    arrivals: mpsc::Receiver<(Listed, Arrival)>,
    (tally, leave): (Arc<Tally>, watch::Receiver<Option<Duration>>),
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
        worker.sheds.set(doors.policy == DegradedPolicy::Shed);
        worker.tasks.spawn_local(take_in(Rc::clone(&worker), doors, arrivals));
        worker.run(mailbox, leave).await;
    });
    // What handlers compute elsewhere may take for ever.
    runtime.shutdown_background();
}

async fn take_in(worker: Rc<Worker>, doors: Arc<Doors>, mut arrivals: mpsc::Receiver<(Listed, Arrival)>) {
    while let Some((listed, arrival)) = arrivals.recv().await {
        let (on, doors) = (Rc::clone(&worker), Arc::clone(&doors));
        worker.tasks.spawn_local(async move {
            match arrival {
                Arrival::Accepted(tcp, peer, site, place) => {
                    if let Ok(tcp) = TcpStream::from_std(tcp) {
                        serve(on, doors, site, tcp, listed, peer, place).await;
                    }
                }
                Arrival::Upgraded(tcp, handshake, early) => {
                    // From here on its worker lists it.
                    drop(listed);
                    if let Ok(tcp) = TcpStream::from_std(tcp)
                        && let Some(connection) = arrive(on, doors, Purpose::Hub(handshake), tcp, early)
                    {
                        connection.await;
                    }
                }
            }
        });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A worker's entrance, and the other side of it.
    pub(in crate::pool) fn entrance() -> (Arc<Entrance>, mpsc::Receiver<(Listed, Arrival)>) {
        let (arrivals, incoming) = mpsc::channel(1);
        (Arc::new(Entrance::new(arrivals).0), incoming)
    }
}
