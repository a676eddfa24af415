//! Descriptors: how many files and sockets this process may have open, which is what bounds its connections.
//!
//! A process starts with a soft limit, 1,024 as a rule for the sake of old programs, and may raise it up to a hard one that
//! is its operator's word. The program does so once at its start; a hub inside another program leaves that
//! program's limit alone. Who takes how many of them is not decided here.

use std::io;

use rlimit::{INFINITY, Resource};

/// Less is enough to try the hub out, and not for the thousands of sockets that a node is there for.
const FLOOR: usize = 4_096;

/// How many descriptors this process may have open; none if nobody says.
pub(crate) fn limit() -> Option<usize> {
    let soft = Resource::NOFILE.get_soft().ok().filter(|soft| *soft != INFINITY)?;
    usize::try_from(soft).ok()
}

/// Raises the soft limit to the hard one, and logs what it is then, with a warning if that is little. `room` is for how many
/// connections a limit has room.
pub(crate) fn raise(room: impl Fn(Option<usize>) -> usize) {
    if let Err(error) = raised() {
        tracing::warn!(
            event = "descriptors.not_raised",
            %error,
            "the limit of open files could not be raised"
        );
    }
    match limit() {
        Some(limit) if limit < FLOOR => tracing::warn!(
            event = "descriptors.few",
            limit,
            room = room(Some(limit)),
            "few connections fit into so few descriptors: set LimitNOFILE in the systemd unit, or the hard limit of \
             `ulimit -n`, to {FLOOR} at least"
        ),
        limit => tracing::info!(event = "descriptors.limit", limit, "so many files and sockets may be open"),
    }
}

fn raised() -> io::Result<()> {
    let (soft, hard) = Resource::NOFILE.get()?;
    if soft < hard { Resource::NOFILE.set(hard, hard) } else { Ok(()) }
}
