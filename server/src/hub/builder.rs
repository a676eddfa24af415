//! A hub that is being put together: what it is made of, and what it may not lack.

use crate::{
    config::{DegradedPolicy, Rates, Server},
    connection::Doors,
    consumer::{Consumer, Gate, mounted::Mounts, rate::Users},
    descriptors,
    drain::DrainPlan,
    hub::{Hub, Parts},
    listen::{
        crowd::{self, Crowd},
        handshake::Handshake,
    },
    pool::Pool,
};
use channel_layer::{ChannelLayer, Presence};
use palabre_protocol::Limits;
use std::{io, num::NonZeroUsize, sync::Arc};
use tokio::sync::OnceCell;
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
    /// What a consumer says beside messages would stand where the hub's own words do.
    #[error("a consumer cannot be mounted on {0}: the name is the hub's own")]
    Reserved(String),
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
    server: Server,
    plan: DrainPlan,
    rates: Rates,
    policy: DegradedPolicy,
    presence: Option<Arc<dyn Presence>>,
}

impl HubBuilder {
    pub(super) fn new(layer: Arc<dyn ChannelLayer>) -> Self {
        Self {
            presence: Some(layer.presence()),
            layer,
            gate: None,
            mounts: Mounts::default(),
            limits: Limits::default(),
            server: Server::default(),
            plan: DrainPlan::default(),
            rates: Rates::default(),
            policy: DegradedPolicy::default(),
        }
    }

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

    /// How fast clients may speak.
    #[must_use]
    pub fn rates(mut self, rates: Rates) -> Self {
        self.rates = rates;
        self
    }

    /// What becomes of clients while this node is without the others.
    #[must_use]
    pub fn degraded_policy(mut self, policy: DegradedPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Tells nobody who is in a group: no list, no numbers, nobody who comes or goes.
    #[must_use]
    pub fn without_presence(mut self) -> Self {
        self.presence = None;
        self
    }

    /// How many workers; half of the machine's cores, and at least one, unless this is said.
    #[must_use]
    pub fn workers(mut self, workers: NonZeroUsize) -> Self {
        self.server.workers = Some(workers);
        self
    }

    /// Who may connect, and how many: as in the section `[server]` of the configuration, of which `listen` and `backlog`
    /// are for [`bind_with`](crate::bind_with). Says [`workers`](Self::workers) as well.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.server = server;
        self
    }

    /// How the hub ends.
    #[must_use]
    pub fn drain_plan(mut self, plan: DrainPlan) -> Self {
        self.plan = plan;
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub fn start(mut self) -> Result<Hub, StartError> {
        if let Some(prefix) = self.mounts.duplicate() {
            return Err(StartError::MountedTwice(prefix.to_owned()));
        }
        if let Some(prefix) = self.mounts.reserved() {
            return Err(StartError::Reserved(prefix.to_owned()));
        }
        self.mounts.start().map_err(StartError::Workers)?;
        let node = self.layer.report().node;
        let gate = self.gate.ok_or(StartError::NoGate)?;
        let doors = Arc::new(Doors {
            gate,
            mounts: self.mounts,
            limits: self.limits,
            rates: self.rates,
            users: Users::default(),
            presence: self.presence,
            node: node.into_boxed_str(),
            policy: self.policy,
        });
        let room = crowd::connections_max(descriptors::limit());
        let connections_max = self.server.connections_max.map_or(room, NonZeroUsize::get);
        if connections_max > room {
            tracing::warn!(
                event = "listen.few_descriptors",
                connections_max,
                room,
                "more connections are allowed than there are descriptors for"
            );
        }
        let pool = Pool::start(self.server.workers, &self.layer, &doors).map_err(StartError::Workers)?;
        let parts = Parts {
            layer: self.layer,
            doors,
            pool,
            crowd: Crowd::new(connections_max, self.server.connections_per_address),
            server: self.server,
            plan: self.plan,
            draining: CancellationToken::new(),
            drained: OnceCell::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Ok(Hub { parts: Arc::new(parts) })
    }
}

impl std::fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubBuilder").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}
