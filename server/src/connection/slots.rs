//! What consumers have to say beside messages of the past: each is asked in its turn, in its time.

use crate::consumer::{Failure, desk::Desk, mounted::Mounted};
use channel_layer::{GroupName, Page, Posted};
use palabre_protocol::CloseCode;
use serde_json::value::RawValue;
use std::{rc::Rc, sync::Arc};

/// Why a client is given messages of the past.
#[derive(Debug, Clone, Copy)]
pub(super) enum Given<'a> {
    /// It begins anew, with a snapshot of this.
    Snapshot(&'a Page),
    /// It goes on, with these.
    Messages(&'a [Arc<Posted>]),
}

/// What each consumer says, under its name; the inner error is that of the first who refuses.
pub(super) async fn slots<'a>(
    consumers: &'a mut Mounted,
    group: &GroupName,
    given: Given<'_>,
    desk: &Rc<Desk>,
) -> Result<Result<Vec<(&'a str, Box<RawValue>)>, Failure>, CloseCode> {
    let mut slots = Vec::new();
    if let Given::Messages([]) = given {
        return Ok(Ok(slots));
    }
    for (name, consumer) in consumers.iter_mut() {
        let slot = match given {
            Given::Snapshot(page) => consumer.joining(group.clone(), page.clone(), desk).await?,
            Given::Messages(messages) => consumer.reading(group.clone(), messages.to_vec(), desk).await?,
        };
        match slot {
            Ok(slot) => slots.extend(slot.map(|slot| (name, slot))),
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Ok(slots))
}
