//! What all contexts of one connection share, on whatever thread they are: who the client is, the layer, and the way to the
//! worker that has the socket.

use crate::{
    consumer::{
        Identity,
        digest::digest,
        errands::{Errand, Errands},
    },
    socket::{Socket, groups::Groups},
    worker::{Worker, shore::Shore},
};
use channel_layer::{ChannelName, MessageId, Owner};
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use tokio::time::Instant;

/// One connection's. In this order, so that what each message touches stands together in the processor's cache.
#[repr(C)]
pub(super) struct Hands {
    pub(super) shore: Arc<Shore>,
    pub(super) groups: Arc<Groups>,
    pub(super) identity: Identity,
    pub(super) owner: Owner,
    /// When the client was last heard before a handler began, as the departures count.
    heard: AtomicU64,
    /// How much was put off and is under way.
    open: AtomicU32,
    /// With so much of that the client is not read.
    open_max: u32,
    pub(super) errands: Errands,
    /// What a consumer that runs apart has asked the layer for, and is under way.
    pub(super) asking: AtomicU32,
    pub(super) address: ChannelName,
}

impl Hands {
    pub(super) fn new(worker: &Worker, socket: &Socket, identity: Identity, open_max: usize) -> Self {
        Self {
            owner: Owner::from_u64(digest(&[&[&identity.id]])),
            identity,
            address: socket.address.clone(),
            groups: Arc::clone(&socket.groups),
            errands: Errands::new(),
            open: AtomicU32::new(0),
            open_max: u32::try_from(open_max).unwrap_or(u32::MAX),
            asking: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            shore: Arc::clone(&worker.shore),
        }
    }

    /// A handler goes on, of a client that was last heard then.
    pub(super) fn attend(&self, heard: Instant) {
        self.errands.attend();
        self.heard.store(self.shore.departures.nanos(heard), Ordering::Relaxed);
    }

    /// A message of the client's sets out.
    pub(super) fn set_out(&self, id: MessageId) {
        self.shore.departures.set_out(id, self.heard.load(Ordering::Relaxed));
    }

    pub(super) fn ask(&self, errand: Errand) {
        self.errands.ask(errand);
    }

    /// Something more is put off, until what this gives is dropped.
    pub(super) fn put_off(self: &Arc<Self>) -> Open {
        Open { before: self.open.fetch_add(1, Ordering::Relaxed), hands: Arc::clone(self) }
    }

    /// How much was put off and is under way.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed) as usize
    }
}

/// One of what was put off, while it is under way.
pub(super) struct Open {
    /// How many there were before it.
    pub(super) before: u32,
    hands: Arc<Hands>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let Hands { open, open_max, errands, .. } = &*self.hands;
        if open.fetch_sub(1, Ordering::Relaxed) >= *open_max {
            errands.look_again();
        }
    }
}
