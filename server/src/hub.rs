//! The hub as a value: a layer, a gate, the consumers mounted on it, and the workers that run them.

use crate::{
    connection::Doors,
    consumer::{Consumer, Gate, mounted::Mounts},
    listen::{
        acceptor,
        arrive::upgraded,
        handshake::Handshake,
        serve::{Site, open},
    },
    pool::{Arrival, Pool},
};
use axum::{Router, extract::Request, routing::any};
use channel_layer::ChannelLayer;
use hyper::StatusCode;
use palabre_protocol::Limits;
use std::{io, net::TcpListener, num::NonZeroUsize, sync::Arc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Why a hub does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody says who clients are.
    #[error("a hub needs a gate: HubBuilder::gate")]
    NoGate,
    /// Two consumers want the same requests.
    #[error("two consumers are mounted on {0}")]
    MountedTwice(String),
    /// The workers could not be started.
    #[error("the workers could not be started")]
    Workers(#[source] io::Error),
}

/// A hub that is being put together.
pub struct HubBuilder {
    layer: Arc<dyn ChannelLayer>,
    gate: Option<Arc<dyn Gate>>,
    mounts: Mounts,
    limits: Limits,
    workers: Option<NonZeroUsize>,
}

impl HubBuilder {
    /// Who says who clients are, and what they may do.
    #[must_use]
    pub fn gate(mut self, gate: impl Gate) -> Self {
        self.gate = Some(Arc::new(gate));
        self
    }

    /// Gives requests and events whose type begins with `prefix` to a consumer that `make` makes for each connection.
    /// Of two prefixes that fit, the longer one counts.
    #[must_use]
    pub fn mount<C: Consumer>(
        mut self,
        prefix: &str,
        make: impl Fn(&Handshake) -> C + Send + Sync + 'static,
    ) -> Self {
        self.mounts.add(prefix, make);
        self
    }

    /// What clients may do at most.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many workers; half of the machine's cores, and at least one, unless this is said.
    #[must_use]
    pub fn workers(mut self, workers: NonZeroUsize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn start(self) -> Result<Hub, StartError> {
        if let Some(prefix) = self.mounts.duplicate() {
            return Err(StartError::MountedTwice(prefix.to_owned()));
        }
        let node = self.layer.report().node;
        let gate = self.gate.ok_or(StartError::NoGate)?;
        let doors =
            Arc::new(Doors { gate, mounts: self.mounts, limits: self.limits, node: node.into_boxed_str() });
        let pool = Pool::start(self.workers, &self.layer, &doors).map_err(StartError::Workers)?;
        let parts = Parts {
            layer: self.layer,
            doors,
            pool,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Ok(Hub { parts: Arc::new(parts) })
    }
}

/// A running hub. Cheap to clone; it runs until it is drained.
#[derive(Clone)]
pub struct Hub {
    parts: Arc<Parts>,
}

struct Parts {
    layer: Arc<dyn ChannelLayer>,
    doors: Arc<Doors>,
    pool: Pool,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Hub {
    /// A hub over `layer`, to be put together.
    #[must_use]
    pub fn builder(layer: Arc<dyn ChannelLayer>) -> HubBuilder {
        HubBuilder { layer, gate: None, mounts: Mounts::default(), limits: Limits::default(), workers: None }
    }

    /// The name of this process, as the layer has it: new at each start.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.parts.doors.node
    }

    /// The layer.
    #[must_use]
    pub fn layer(&self) -> &Arc<dyn ChannelLayer> {
        &self.parts.layer
    }

    /// How many WebSockets are open.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.parts.pool.tallies().map(|tally| tally.sockets.get()).sum()
    }

    /// Whether it has begun to end: no new work should come here.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.parts.stop.is_cancelled()
    }

    /// The WebSocket at `path`, for an application that has a server of its own over plain TCP:
    /// `axum::serve(listener, app.merge(hub.routes("/ws")))`.
    pub fn routes(&self, path: &str) -> Router {
        let parts = Arc::clone(&self.parts);
        Router::new().route(
            path,
            any(move |request: Request| {
                let parts = Arc::clone(&parts);
                async move {
                    let (head, body) = request.into_parts();
                    let answer = open(&head);
                    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                        let handshake = Handshake::from_parts(&head, None);
                        let upgrade = hyper::upgrade::on(Request::from_parts(head, body));
                        let tasks = parts.tasks.clone();
                        tasks.spawn(async move {
                            let Some((tcp, early)) = upgraded(upgrade).await else { return };
                            if let Ok(tcp) = tcp.into_std() {
                                parts.pool.take_in(Arrival::Upgraded(tcp, handshake, early));
                            }
                        });
                    }
                    answer
                }
            }),
        )
    }

    /// Serves WebSockets at `path` and everything else by `app`, until the hub is drained. The HTTP is spoken on the
    /// workers themselves: the shortest way to a socket.
    ///
    /// # Errors
    ///
    /// When the listener cannot be used.
    pub async fn serve(&self, listener: TcpListener, path: &str, app: Router) -> io::Result<()> {
        let site = Arc::new(Site { path: path.into(), app });
        let hand_on = |tcp, peer| self.parts.pool.take_in(Arrival::Accepted(tcp, peer, Arc::clone(&site)));
        acceptor::accept(listener, self.parts.stop.clone(), hand_on).await
    }

    /// Ends the hub: tells the clients to come back to another node, closes their connections, and shuts the layer
    /// down.
    pub async fn drain(&self) {
        self.parts.stop.cancel();
        self.parts.pool.drain().await;
        // A layer that is shut down has nothing more to say.
        drop(self.parts.layer.shutdown().await);
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("node", &self.node()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubBuilder").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}
