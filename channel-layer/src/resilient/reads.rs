//! A read of the backend for a caller: of whatever this node has no copy of.

use crate::{
    history::{Recovered, Span},
    name::GroupName,
    relay::{LinkError, Relay},
    resilient::core::Command,
};
use tokio::sync::{mpsc, oneshot};

/// Reads from the backend, which may have to open the group first.
pub(super) async fn read_backend(
    relay: &dyn Relay,
    commands: &mpsc::WeakSender<Command>,
    group: GroupName,
    span: Span,
    messages_max: usize,
) -> Option<Recovered> {
    match relay.read(group.clone(), span, messages_max).await {
        Err(LinkError::Unopened) => {}
        read => return read.ok(),
    }
    // It was quiet for so long that the backend has forgotten it, or nobody has used it yet.
    let (answer, opened) = oneshot::channel();
    commands.upgrade()?.try_send(Command::Open(group.clone(), answer)).ok()?;
    opened.await.ok()?;
    relay.read(group, span, messages_max).await.ok()
}
