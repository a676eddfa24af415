//! A relay of one's own: all that it takes to join nodes by a backend that this crate does not know.
//!
//! [`relay`] is what one writes; [`broker`] with its [`group`]s is the backend, which one has. Nodes share nothing but what they ask the broker and
//! what it pushes. Deadlines towards callers, order, repair and reconnecting are the layer's.
//!
//! `cargo run -p channel-layer --example custom_relay` shows a message on its way. The project's tests mount both suites of
//! `channel_layer::conformance` on these files as they are.

mod broker;
mod group;
mod relay;
mod rows;

use broker::Trouble;
use channel_layer::{
    ChannelLayer, Delivery, GroupName, Health, Message, MessageId, Mode, Received, ResilientLayer, Retention,
};
use relay::BrokerRelay;
use std::{error::Error, sync::Arc, time::Duration};

/// How long a caller waits for the broker.
const DEADLINE: Duration = Duration::from_millis(250);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let backend = BrokerRelay::new();
    let node = || ResilientLayer::new(Arc::new(backend.another()), Mode::Other("broker"), DEADLINE);
    let nodes = [node(), node()];
    for layer in &nodes {
        layer.status().wait_for(|state| state.health == Health::Healthy).await?;
    }
    let garden: GroupName = "garden".parse()?;
    let mut ada = nodes[0].new_channel(64);
    nodes[0].group_add(garden.clone(), ada.channel().clone()).await?;

    for (text, trouble) in
        [("hello", Trouble::Cut), ("still here", Trouble::Crash), ("good night", Trouble::Cut)]
    {
        // Whoever is told that the backend is away repeats, with the same id.
        let message = Message::frame(MessageId::random(), text);
        while nodes[1].group_send(garden.clone(), message.clone(), Retention::Kept).await.is_err() {}
        match ada.recv().await {
            Received::Delivery(Delivery::Message(posted)) => {
                say(format_args!("Ada reads: {}", String::from_utf8_lossy(posted.body.data())));
            }
            Received::Delivery(Delivery::Resync { reason, page, .. }) => {
                say(format_args!(
                    "Ada begins anew ({}), with {} messages.",
                    reason.as_str(),
                    page.messages.len()
                ));
            }
            other => return Err(format!("Ada got something else: {other:?}").into()),
        }
        backend.trouble(trouble).await?;
    }
    for layer in nodes {
        layer.shutdown().await?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example is read on a terminal")]
fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}
