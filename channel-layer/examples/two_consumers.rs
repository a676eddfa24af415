//! Two mailboxes in one group, on the layer that needs nothing else.
//!
//! `cargo run -p channel-layer --example two_consumers` shows who got what. Over Redis only the line that makes the layer
//! is another one: `ResilientLayer::new(Arc::new(RedisRelay::new(url, prefix)?), Mode::Redis, deadline)`.

use std::{error::Error, sync::Arc};

use channel_layer::{
    ChannelLayer, Delivery, GroupName, MemoryLayer, Message, MessageId, Received, Retention, Span,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let layer: Arc<dyn ChannelLayer> = Arc::new(MemoryLayer::new());
    let garden: GroupName = "garden".parse()?;

    let mut ada = layer.new_channel(64);
    let mut bob = layer.new_channel(64);
    for mailbox in [&ada, &bob] {
        layer.group_add(garden.clone(), mailbox.channel().clone()).await?;
    }

    // A client draws an id for what it says, and keeps it: the second call is a repeat and reaches nobody again.
    let hello = Message::frame(MessageId::random(), "hello, everybody");
    let sent = layer.group_send(garden.clone(), hello.clone(), Retention::Kept).await?;
    assert_eq!(layer.group_send(garden.clone(), hello, Retention::Kept).await?, sent);
    let bye = Message::frame(MessageId::random(), "good night");
    layer.group_send(garden.clone(), bye, Retention::Kept).await?;

    for (name, mailbox) in [("Ada", &mut ada), ("Bob", &mut bob)] {
        for _ in 0..2 {
            let received = mailbox.recv().await;
            let Received::Delivery(Delivery::Message(posted)) = received else {
                return Err(format!("{name} got something else: {received:?}").into());
            };
            say(format_args!("{name} reads: {}", String::from_utf8_lossy(posted.body.data())));
        }
    }

    // Who comes late reads what was said.
    let history = layer.history(garden, Span::Latest, 50).await?;
    say(format_args!("The garden remembers {} messages.", history.page().messages.len()));
    layer.shutdown().await?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "an example is read on a terminal")]
fn say(line: std::fmt::Arguments<'_>) {
    println!("{line}");
}
