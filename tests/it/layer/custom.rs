//! The example of a relay of one's own, as it stands: both suites on it, so that what it shows is what works.

#[path = "../../../channel-layer/examples/custom_relay/broker.rs"]
mod broker;
#[path = "../../../channel-layer/examples/custom_relay/group.rs"]
mod group;
#[path = "../../../channel-layer/examples/custom_relay/relay.rs"]
mod relay;
#[path = "../../../channel-layer/examples/custom_relay/rows.rs"]
mod rows;

use std::sync::Arc;

use channel_layer::{ChannelLayer, Mode, Relay, ResilientLayer, conformance};
use futures_util::{FutureExt, future::BoxFuture};
use palabre_tests::machine::DEADLINE;

use self::{
    broker::Trouble,
    group::IDS_MAX,
    relay::{ARRIVALS_MAX, BrokerRelay},
};

/// A broker of the case's own, kept by one relay that never connects.
struct OverBroker(BrokerRelay);

impl OverBroker {
    fn new() -> Self {
        Self(BrokerRelay::new())
    }

    async fn cut_all(&self) {
        self.0.trouble(Trouble::Cut).await.expect("the broker answers");
    }
}

impl conformance::relay::Fixture for OverBroker {
    fn relay(&self) -> Arc<dyn Relay> {
        Arc::new(self.0.another())
    }

    fn cut(&self) -> Option<BoxFuture<'_, ()>> {
        Some(self.cut_all().boxed())
    }

    fn crash(&self) -> Option<BoxFuture<'_, ()>> {
        Some(async { self.0.trouble(Trouble::Crash).await.expect("the broker answers") }.boxed())
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
        let relay = Arc::new(self.0.another());
        async {
            Arc::new(ResilientLayer::new(relay, Mode::Other("broker"), DEADLINE)) as Arc<dyn ChannelLayer>
        }
        .boxed()
    }

    fn cut(&self) -> Option<BoxFuture<'_, ()>> {
        Some(self.cut_all().boxed())
    }

    fn trims_after(&self) -> Option<u64> {
        Some(1_000)
    }
}

mod its_relay {
    channel_layer::conformance_relay!(super::OverBroker::new());
}

mod a_layer_over_it {
    channel_layer::conformance_layer!(super::OverBroker::new());
}

#[tokio::test]
async fn members_are_seen_over_it_and_gone_with_their_node() {
    let broker = OverBroker::new();
    let (one, two) =
        tokio::join!(conformance::layer::Fixture::node(&broker), conformance::layer::Fixture::node(&broker));
    let lobby = super::nodes::group("lobby");
    for layer in [&one, &two] {
        super::nodes::is(&**layer, channel_layer::Health::Healthy).await;
    }
    let (_one, _two) =
        (super::nodes::member(&*one, &lobby, 8).await, super::nodes::member(&*two, &lobby, 8).await);
    let member = |key: &str| channel_layer::Member { key: key.into(), info: b"name".as_slice().into() };
    one.presence().enter(&lobby, &member("ana"));
    two.presence().enter(&lobby, &member("bo"));
    let sees = async |occupancy: usize| {
        palabre_tests::machine::until("members are seen", async || {
            (one.presence().occupancy(&lobby).await == occupancy).then_some(())
        })
        .await;
    };
    sees(2).await;
    two.shutdown().await.unwrap();
    sees(1).await;
}
