//! The example of a relay of one's own, as it stands: both suites on it, so that what it shows is what works.

#[path = "../../../channel-layer/examples/custom_relay/broker.rs"]
mod broker;
#[path = "../../../channel-layer/examples/custom_relay/group.rs"]
mod group;
#[path = "../../../channel-layer/examples/custom_relay/relay.rs"]
mod relay;
#[path = "../../../channel-layer/examples/custom_relay/rows.rs"]
mod rows;

use std::{sync::Arc, time::Duration};

use channel_layer::{
    ChannelLayer, Mode, PresenceRules, Relay, conformance,
    conformance::{FaultyRelay, layer::Mortal},
};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::time::Instant;

use self::{
    broker::Trouble,
    group::IDS_MAX,
    relay::{ARRIVALS_MAX, BrokerRelay},
};
use super::suite::{QUICK, mortal_over, node_over};

const MODE: Mode = Mode::Other("broker");

/// What becomes of what is pushed to the nodes.
#[derive(Clone, Copy)]
enum Pushes {
    Whole,
    Astray,
}

/// A broker of the case's own, kept by one relay that never connects.
struct OverBroker {
    broker: BrokerRelay,
    pushes: Pushes,
    rules: PresenceRules,
}

impl OverBroker {
    fn new(pushes: Pushes) -> Self {
        Self { broker: BrokerRelay::new(), pushes, rules: QUICK }
    }

    fn another(&self) -> Arc<dyn Relay> {
        let relay = Arc::new(self.broker.another());
        match self.pushes {
            Pushes::Whole => relay,
            Pushes::Astray => Arc::new(FaultyRelay::astray(relay)),
        }
    }

    async fn trouble(&self, trouble: Trouble) {
        self.broker.trouble(trouble).await.expect("the broker answers");
    }
}

impl conformance::relay::Fixture for OverBroker {
    fn relay(&self) -> Arc<dyn Relay> {
        self.another()
    }

    fn cut(&self) -> Option<BoxFuture<'_, ()>> {
        Some(self.trouble(Trouble::Cut).boxed())
    }

    fn crash(&self) -> Option<BoxFuture<'_, ()>> {
        Some(self.trouble(Trouble::Crash).boxed())
    }

    fn trims_after(&self) -> Option<u64> {
        Some(1_000)
    }

    fn arrivals_max(&self) -> Option<u64> {
        Some(ARRIVALS_MAX as u64)
    }

    fn forgets_after(&self) -> Option<u64> {
        Some(IDS_MAX as u64)
    }
}

impl conformance::layer::Fixture for OverBroker {
    fn node(&self) -> BoxFuture<'_, Arc<dyn ChannelLayer>> {
        async { node_over(self.another(), MODE, self.rules) }.boxed()
    }

    fn mortal(&self) -> Option<BoxFuture<'_, Mortal>> {
        Some(async { mortal_over(self.another(), MODE, self.rules) }.boxed())
    }

    fn members_max(&self) -> Option<usize> {
        Some(self.rules.members_max)
    }

    fn cut(&self) -> Option<BoxFuture<'_, ()>> {
        Some(self.trouble(Trouble::Cut).boxed())
    }

    fn trims_after(&self) -> Option<u64> {
        Some(1_000)
    }

    fn forgets_after(&self) -> Option<u64> {
        Some(IDS_MAX as u64 + 1)
    }
}

mod its_relay {
    channel_layer::conformance_relay!(super::OverBroker::new(super::Pushes::Whole));
}

mod a_layer_over_it {
    channel_layer::conformance_layer!(super::OverBroker::new(super::Pushes::Whole));
}

mod a_layer_over_it_whose_pushes_go_astray {
    channel_layer::conformance_layer!(super::OverBroker::new(super::Pushes::Astray));
}

#[tokio::test(start_paused = true)]
async fn by_the_usual_rules_a_node_that_vanishes_is_forgotten_within_30_seconds() {
    let rules = PresenceRules::default();
    let fixture = OverBroker { rules, ..OverBroker::new(Pushes::Whole) };
    assert!(rules.lease + 4 * rules.turn <= Duration::from_secs(30));
    let begun = Instant::now();
    conformance::layer::run("a_node_that_vanishes_is_forgotten_with_its_members", &fixture).await;
    // The clock is the test's own, and the case takes some seconds before the node vanishes.
    let took = begun.elapsed();
    assert!((Duration::from_secs(16)..Duration::from_secs(38)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_ends_takes_its_members_with_it_long_before_its_leases_do() {
    let rules = PresenceRules::default();
    let fixture = OverBroker { rules, ..OverBroker::new(Pushes::Whole) };
    let begun = Instant::now();
    conformance::layer::run("a_shutdown_takes_a_node_s_members_with_it", &fixture).await;
    let took = begun.elapsed();
    assert!(took < rules.lease, "{took:?}");
}
