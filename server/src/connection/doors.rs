//! What all connections of a hub have in common.

use crate::{
    config::{DegradedPolicy, Rates},
    consumer::{Gate, mounted::Mounts, rate::Users},
};
use channel_layer::Presence;
use palabre_protocol::Limits;
use std::sync::Arc;

/// What every connection of a hub shares.
pub(crate) struct Doors {
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) mounts: Mounts,
    pub(crate) limits: Limits,
    pub(crate) rates: Rates,
    pub(crate) users: Users,
    /// Who is in which group, unless that is nobody's business.
    pub(crate) presence: Option<Arc<dyn Presence>>,
    /// The name of this process, new at each start.
    pub(crate) node: Box<str>,
    /// Whether clients are sent away while this node is without the others.
    pub(crate) policy: DegradedPolicy,
}
