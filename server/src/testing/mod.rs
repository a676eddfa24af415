//! Tests of one's own consumers: a real hub on a free port, and a client that says what it expects.
//!
//! ```
//! # use palabre::{Consumer, Context, Hub, Outcome, protocol::Request};
//! # use serde_json::json;
//! # #[derive(Default)]
//! # struct Echo;
//! # impl Consumer for Echo {
//! #     async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
//! #         cx.reply(&json!({"type": "echo.heard", "ref": request.reference()}));
//! #         Ok(())
//! #     }
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let hub = Hub::test().mount("echo.", |_| Echo::default()).open().await;
//! let mut ada = hub.client("Ada").await;
//! let heard = ada.request(json!({"type": "echo.say", "text": "hello"})).await;
//! assert_eq!(heard["type"], "echo.heard");
//! hub.end().await;
//! # });
//! ```
//!
//! Nothing is simulated: the client speaks over a socket of loopback, the consumer runs where it would run, messages go
//! through the memory layer. What does not come within [`DEADLINE`] fails the test, and the panic says what came
//! instead. Behind the feature `testing`, which belongs in `[dev-dependencies]`.

#![expect(clippy::missing_panics_doc, reason = "every fixture panics when what a test relies on is not so")]

mod client;

pub use client::Client;

use crate::{Hub, HubBuilder, people::GuestGate};
use axum::Router;
use channel_layer::MemoryLayer;
use palabre_protocol::Limits;
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    ops::Deref,
    sync::Arc,
    time::Duration,
};
use tokio_util::task::TaskTracker;

/// How long anything may take before a test gives up; a loaded machine with two cores needs seconds for some.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A hub that is served on a free port of loopback, at `/ws`. It is used like the [`Hub`] that it is.
#[derive(Debug)]
pub struct TestHub {
    hub: Hub,
    address: SocketAddr,
    tasks: TaskTracker,
}

impl Hub {
    /// A hub for a test: over the memory layer, for guests, with one worker. What a test needs otherwise is set as with
    /// [`Hub::builder`]; two nodes are two builders over layers that share a backend. [`HubBuilder::open`] starts it.
    #[must_use]
    pub fn test() -> HubBuilder {
        Self::builder(Arc::new(MemoryLayer::new()))
            .gate(GuestGate::new(None, Limits::default()))
            .workers(NonZeroUsize::MIN)
    }
}

impl HubBuilder {
    /// Starts the hub and serves it on a free port, until [`TestHub::end`] or the end of the test.
    pub async fn open(self) -> TestHub {
        let hub = self.start().unwrap_or_else(|error| panic!("the hub does not start: {error}"));
        let listener = crate::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let tasks = TaskTracker::new();
        let served = hub.clone();
        tasks.spawn(async move { served.serve(listener, "/ws", Router::new()).await });
        tasks.close();
        TestHub { hub, address, tasks }
    }
}

impl TestHub {
    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Somebody who has come in under this name.
    pub async fn client(&self, name: &str) -> Client {
        let mut client = Client::connect(self.address).await;
        client.hello(name).await;
        client
    }

    /// Ends the hub as a deployment would: its clients are closed with 4000.
    pub async fn end(self) {
        self.hub.drain().await;
        self.tasks.wait().await;
    }
}

impl Deref for TestHub {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.hub
    }
}
