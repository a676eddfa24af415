//! Whether a layer, or a relay, keeps the contract: named cases that anybody can run on their own.
//!
//! Written against the traits alone, so that every implementation runs the same. A case that fails says which numbered rule
//! of `docs/channel-layer-spec.md` is broken. All waits end, after ten seconds at most; nothing is timed.
//!
//! # Mounting it
//!
//! The crate's feature `conformance` brings it. Say how a node of yours is made, in a [`layer::Fixture`], and mount every
//! case as a test of its own by one line:
//!
//! ```
//! use channel_layer::{ChannelLayer, MemoryLayer, conformance::layer::Fixture};
//! use std::{pin::Pin, sync::Arc};
//!
//! /// One backend of the case's own. The memory layer has none, so that all "nodes" are one.
//! struct InMemory(Arc<dyn ChannelLayer>);
//!
//! impl InMemory {
//!     async fn new() -> Self {
//!         Self(Arc::new(MemoryLayer::new()))
//!     }
//! }
//!
//! impl Fixture for InMemory {
//!     fn node(&self) -> Pin<Box<dyn Future<Output = Arc<dyn ChannelLayer>> + Send + '_>> {
//!         Box::pin(async { Arc::clone(&self.0) })
//!     }
//! }
//!
//! mod in_memory {
//!     channel_layer::conformance_layer!(super::InMemory::new().await);
//! }
//! # fn main() {}
//! ```
//!
//! The expression is awaited anew in each case: what it gives must be empty, and must not be shared with another case that
//! runs at the same time. A test is a `#[tokio::test]` on two threads, so the mounting crate needs tokio with `macros` and
//! `rt-multi-thread`, under its own name. A relay is mounted in the same way, by a [`relay::Fixture`] and
//! [`conformance_relay!`](crate::conformance_relay); `examples/custom_relay` has one. Whoever has another runner goes
//! through the lists instead, on a tokio runtime:
//!
//! ```
//! # use channel_layer::{ChannelLayer, MemoryLayer, conformance::layer::{CASES, Fixture}};
//! # use std::{pin::Pin, sync::Arc};
//! # struct InMemory(Arc<dyn ChannelLayer>);
//! # impl Fixture for InMemory {
//! #     fn node(&self) -> Pin<Box<dyn Future<Output = Arc<dyn ChannelLayer>> + Send + '_>> {
//! #         Box::pin(async { Arc::clone(&self.0) })
//! #     }
//! # }
//! # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
//! # async fn main() {
//! for case in CASES.iter().filter(|case| case.name.starts_with("a_join")) {
//!     (case.run)(&InMemory(Arc::new(MemoryLayer::new()))).await;
//! }
//! # }
//! ```
//!
//! # What it does not do
//!
//! What a fixture can not bring about (a lost link, a crash, a second hub on the backend) is not looked at; such a case says
//! so on its output and passes. No speed is measured, and nothing is said of what a layer keeps beyond its contract.
//! Random cases print the seed and take it from `CONFORMANCE_SEED`.

/// One list of cases: as a constant, as a function, and as the macro that mounts them.
macro_rules! cases {
    ($dollar:tt $mount:ident $suite:ident: $($module:ident: $($case:ident)+;)+) => {
        /// A case by its name.
        #[derive(Debug, Clone, Copy)]
        pub struct Case {
            /// What must hold.
            pub name: &'static str,
            /// Panics when it does not.
            pub run: for<'a> fn(&'a dyn Fixture) -> futures_util::future::BoxFuture<'a, ()>,
        }

        /// Every case.
        pub const CASES: &[Case] =
            &[$($(Case { name: stringify!($case), run: |fixture| Box::pin($module::$case(fixture)) }),+),+];

        /// Runs the case of this name, which is one of [`CASES`].
        pub async fn run(name: &str, fixture: &dyn Fixture) {
            let case = CASES.iter().find(|case| case.name == name).expect("the name is one of the list's");
            (case.run)(fixture).await;
        }

        #[doc = concat!("Mounts each case of [`conformance::", stringify!($suite), "`](crate::conformance::", stringify!($suite), ")")]
        /// as a `#[tokio::test]` where it is called. Takes an expression that gives its `Fixture`; `.await` may stand in it.
        ///
        /// [`conformance`](crate::conformance) shows how.
        #[macro_export]
        macro_rules! $mount {
            ($dollar fixture:expr) => {
                $($(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        let fixture = $dollar fixture;
                        $dollar crate::conformance::$suite::run(stringify!($case), &fixture).await;
                    }
                )+)+
            };
        }
    };
}

mod faulty;
pub mod layer;
pub mod relay;
mod rules;
mod tools;

pub use faulty::FaultyRelay;
pub use rules::{RULES, Rule};
