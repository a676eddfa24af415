//! The hub as a value: a layer, a gate, the consumers mounted on it, and the workers that run them.

mod builder;

pub use builder::{HubBuilder, StartError};

use crate::{
    config::{DegradedPolicy, Server},
    connection::Doors,
    drain::{DrainPlan, Drained},
    listen::{
        acceptor,
        arrive::upgraded,
        crowd::Crowd,
        pace::Pace,
        rules::Rules,
        serve::{Echo, ProxyProtocol, Site, open},
    },
    pool::{Arrival, Pool},
    worker::tally::Total,
};
use axum::{
    Router,
    extract::{ConnectInfo, Request},
    routing::any,
};
use channel_layer::ChannelLayer;
use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};
use tokio::{sync::OnceCell, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A running hub. Cheap to clone; it runs until it is drained.
#[derive(Clone)]
pub struct Hub {
    parts: Arc<Parts>,
}

struct Parts {
    layer: Arc<dyn ChannelLayer>,
    doors: Arc<Doors>,
    pool: Pool,
    crowd: Arc<Crowd>,
    server: Server,
    plan: DrainPlan,
    /// The end has begun.
    draining: CancellationToken,
    /// How it ended.
    drained: OnceCell<Drained>,
    /// Nobody is taken in any more.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Hub {
    /// A hub over `layer`, to be put together.
    #[must_use]
    pub fn builder(layer: Arc<dyn ChannelLayer>) -> HubBuilder {
        HubBuilder::new(layer)
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
        self.total().sockets
    }

    /// What all workers have counted.
    pub(crate) fn total(&self) -> Total {
        self.parts.pool.total()
    }

    /// Whether it has begun to end: no new work should come here.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.parts.draining.is_cancelled()
    }

    /// The WebSocket at `path`, for an application that has a server of its own over plain TCP:
    /// `axum::serve(listener, app.merge(hub.routes("/ws")))`.
    ///
    /// Hosts, origins and proxies are judged here as well, the latter if the server says who is connected
    /// (`into_make_service_with_connect_info::<SocketAddr>()`); how many connections there are, and how long they may take
    /// to ask, is that server's business.
    pub fn routes(&self, path: &str) -> Router {
        let parts = Arc::clone(&self.parts);
        let rules = Arc::new(self.rules(None));
        let answer = move |request: Request| {
            let (parts, rules) = (Arc::clone(&parts), Arc::clone(&rules));
            async move {
                let (head, body) = request.into_parts();
                let peer = head.extensions.get().map(|ConnectInfo::<SocketAddr>(peer)| *peer);
                let (answer, handshake) = open(&head, &rules, peer);
                if let Some(handshake) = handshake {
                    let upgrade = hyper::upgrade::on(Request::from_parts(head, body));
                    let tasks = parts.tasks.clone();
                    tasks.spawn(async move {
                        let Some((tcp, early)) = upgraded(upgrade).await else { return };
                        if let Ok(tcp) = tcp.into_std() {
                            parts.pool.take_in(Arrival::Upgraded(tcp, Arc::new(handshake), early));
                        }
                    });
                }
                answer
            }
        };
        Router::new().route(path, any(answer))
    }

    /// Whether nobody is taken in, since this node is without the others and that is its
    /// [policy](crate::DegradedPolicy::Shed).
    #[must_use]
    pub fn is_shedding(&self) -> bool {
        let is_apart = || self.layer().status().borrow().apart_since_ms.is_some();
        self.parts.doors.policy == DegradedPolicy::Shed && is_apart()
    }

    /// Serves WebSockets at `path` and everything else by `app`, until the hub is drained. The HTTP is spoken on the
    /// workers themselves: the shortest way to a socket. `app` is asked only what the rules for all requests let pass: on
    /// loopback that is the hosts of loopback and those that are listed. A request with a body is the last of its
    /// connection.
    ///
    /// # Errors
    ///
    /// When the listener cannot be used.
    pub async fn serve(&self, listener: TcpListener, path: &str, app: Router) -> io::Result<()> {
        let Parts { pool, crowd, server, stop, .. } = &*self.parts;
        let rules = self.rules(Some(listener.local_addr()?));
        let echo = if server.echo { Echo::Present } else { Echo::Absent };
        let proxy_protocol =
            if server.proxy_protocol { ProxyProtocol::Expected } else { ProxyProtocol::Absent };
        let site = Site { path: path.into(), app, rules, crowd: Arc::clone(crowd), echo, proxy_protocol };
        let site = Arc::new(site);
        let hand_on = |tcp, peer: SocketAddr| {
            let counted = Some(peer.ip()).filter(|ip| !site.rules.proxies.trust(*ip));
            if let Some(place) = crowd.enter(counted) {
                pool.take_in(Arrival::Accepted(tcp, peer, Arc::clone(&site), place));
            }
        };
        acceptor::accept(listener, stop.clone(), Pace::new(server.accept_rate), || pool.room(), hand_on).await
    }

    fn rules(&self, at: Option<SocketAddr>) -> Rules {
        let Server { hosts, origins, trusted_proxies, .. } = &self.parts.server;
        let shedding = (self.parts.doors.policy == DegradedPolicy::Shed).then(|| self.layer().status());
        Rules { shedding, ..Rules::new(at, hosts, origins, trusted_proxies) }
    }

    /// Ends the hub as was [planned](DrainPlan): says that it is not ready, takes nobody in any more, tells the clients
    /// when to come back to another node, closes their connections one after the other, and shuts the layer down. Whoever
    /// asks meanwhile, or later, waits for the same end.
    pub async fn drain(&self) -> Drained {
        *self.parts.drained.get_or_init(|| self.end()).await
    }

    async fn end(&self) -> Drained {
        let Parts { plan, draining, stop, pool, layer, .. } = &*self.parts;
        draining.cancel();
        let end = async {
            sleep(plan.delay).await;
            stop.cancel();
            let cut_off = pool.drain(plan.spread(self.connections())).await;
            // A layer that is shut down has nothing more to say.
            drop(layer.shutdown().await);
            cut_off
        };
        plan.in_time(end, || self.connections()).await
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("node", &self.node()).finish_non_exhaustive()
    }
}
