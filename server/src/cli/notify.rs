//! What a service manager is told, if one asked: that the hub listens, and that it is going.
//!
//! systemd's way, a datagram to the socket that `NOTIFY_SOCKET` names; nothing without one. There is no watchdog: what
//! restarts nodes asks `/livez`, which knows of the workers too.

use sd_notify::NotifyState;

/// The hub can be reached.
pub(super) fn listening() {
    tell(NotifyState::Ready);
}

/// The hub is told to end, and takes leave of its clients.
pub(super) fn going() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(event = "notify.failed", %error, "the service manager could not be told");
    }
}
