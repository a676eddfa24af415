//! Clients that mean harm, or behave as if: each gets what it deserves, and nobody else notices.
//!
//! The files below are tables and the stories that need more than a row. What they have in common is here: a hub that says
//! how its connections ended, and clients who see that nothing is wrong.

mod aftermath;
mod ends;
mod frames;
mod greedy;
mod memory;
mod names;
mod readers;
mod requests;
mod slow;
mod waits;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use axum::Router;
use channel_layer::MemoryLayer;
use palabre::chat::{Chat, PREFIX};
use palabre::config::Rates;
use palabre::people::GuestGate;
use palabre::protocol::{CloseCode, Limits, Request};
use palabre::{Consumer, Context, Hub, Outcome};
use tokio_util::task::TaskTracker;

/// A hub with one worker and without limits of speed, in this process, and how its connections ended.
struct Watched {
    addr: SocketAddr,
    ends: Arc<Mutex<Vec<CloseCode>>>,
    _hub: Hub,
}

/// Notes how its connection ends.
struct Witness(Arc<Mutex<Vec<CloseCode>>>);

impl Consumer for Witness {
    async fn received(&mut self, request: Request, _: &Context) -> Outcome {
        Err(request.unknown_type().into())
    }

    async fn disconnected(&mut self, why: CloseCode, _: &Context) {
        self.0.lock().expect("nobody panics with it").push(why);
    }
}

impl Watched {
    fn start() -> Self {
        let limits = Limits::default();
        let ends = Arc::<Mutex<Vec<CloseCode>>>::default();
        let witness = Arc::clone(&ends);
        let hub = Hub::builder(Arc::new(MemoryLayer::new()))
            .gate(GuestGate::new(None, limits))
            .mount(PREFIX, move |_| Chat::new(limits))
            .mount("witness.", move |_| Witness(Arc::clone(&witness)))
            .rates(Rates::unlimited())
            .workers(NonZeroUsize::MIN)
            .start()
            .expect("the hub starts");
        let listener =
            palabre::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has a free port");
        let addr = listener.local_addr().expect("it is bound");
        let serving = hub.clone();
        TaskTracker::new().spawn(async move { serving.serve(listener, "/ws", Router::new()).await });
        Self { addr, ends, _hub: hub }
    }

    /// How its connections ended so far, in that order.
    fn ends(&self) -> Vec<CloseCode> {
        self.ends.lock().expect("nobody panics with it").clone()
    }
}
