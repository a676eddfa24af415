//! Nodes of one hub in this process: layers over a Redis of the test's own, and readers with a deadline.
//!
//! What a test looks for in Redis itself it asks over a connection of its own, by the names that the layer's document
//! gives. Nothing here knows more of the layer than its public door.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use channel_layer::{
    ChannelLayer, Delivery, GapReason, GroupName, Health, Mailbox, Message, MessageId, Mode, Page, Position,
    Posted, Received, RedisRelay, ResilientLayer, Retention, Sent,
};
use palabre_tests::{
    RedisServer,
    machine::{DEADLINE, until},
};
use redis::{AsyncConnectionConfig, FromRedisValue, Value, aio::MultiplexedConnection};
use tokio::time::timeout;

/// What every key and channel name of these tests begins with.
pub(super) const PREFIX: &str = "test";

/// How long callers wait for the backend, as in a deployment.
pub(super) const IN_LIFE: Duration = Duration::from_millis(250);

/// The same for tests in which Redis is well: a loaded machine must not look like an outage.
pub(super) const PATIENT: Duration = DEADLINE;

/// A node whose callers wait at most `deadline`; it connects by itself.
pub(super) fn node(redis: &RedisServer, deadline: Duration) -> ResilientLayer {
    let relay = RedisRelay::new(&redis.url(), PREFIX).expect("the fixture's URL is one");
    ResilientLayer::new(Arc::new(relay), Mode::Redis, deadline)
}

/// A patient node that is healthy.
pub(super) async fn healthy_node(redis: &RedisServer) -> ResilientLayer {
    let layer = node(redis, PATIENT);
    is(&layer, Health::Healthy).await;
    layer
}

/// Waits until the layer says this of itself.
pub(super) async fn is(layer: &dyn ChannelLayer, health: Health) {
    let mut status = layer.status();
    let wait = timeout(DEADLINE, status.wait_for(|state| state.health == health));
    let reached = wait.await.unwrap_or_else(|_| panic!("waited in vain to be {}", health.as_str()));
    drop(reached.expect("the layer lives"));
}

pub(super) fn group(name: &str) -> GroupName {
    name.parse().expect("a good name")
}

/// A message whose id and body are this number.
pub(super) fn message(number: u32) -> Message {
    Message::frame(MessageId::from_u128(u128::from(number)), number.to_string())
}

/// A mailbox in `group`, whose join has been answered.
pub(super) async fn member(layer: &dyn ChannelLayer, group: &GroupName, capacity: usize) -> Mailbox {
    let mailbox = layer.new_channel(capacity);
    layer.group_add(group.clone(), mailbox.channel().clone()).await.expect("a join while all is well");
    mailbox
}

/// Sends the message of this number and waits for the answer.
pub(super) async fn send(layer: &dyn ChannelLayer, group: &GroupName, number: u32) -> Sent {
    layer.group_send(group.clone(), message(number), Retention::Kept).await.expect("a send while all is well")
}

/// Sends a message until it is answered by something else than that the layer is away; a repeat has the same id.
pub(super) async fn insist(layer: &dyn ChannelLayer, group: &GroupName, message: &Message) -> Sent {
    until("a repeated send is answered", async || {
        layer.group_send(group.clone(), message.clone(), Retention::Kept).await.ok()
    })
    .await
}

/// The next delivery.
pub(super) async fn next(mailbox: &mut Mailbox) -> Delivery {
    match timeout(DEADLINE, mailbox.recv()).await {
        Ok(Received::Delivery(delivery)) => delivery,
        other => panic!("not a delivery: {other:?}"),
    }
}

/// The next delivery, which is a message of a group.
pub(super) async fn next_message(mailbox: &mut Mailbox) -> Arc<Posted> {
    match next(mailbox).await {
        Delivery::Message(posted) => posted,
        other => panic!("not a message: {other:?}"),
    }
}

/// The next delivery, which says where something stands that was delivered without a position.
pub(super) async fn next_placed(mailbox: &mut Mailbox) -> (u32, Position) {
    match next(mailbox).await {
        Delivery::Placed { id, position, .. } => (u32::try_from(id.as_u128()).unwrap(), position),
        other => panic!("not a place: {other:?}"),
    }
}

/// The next delivery, which says that something is lost, and why.
pub(super) async fn next_gap(mailbox: &mut Mailbox) -> (GapReason, u64) {
    match next(mailbox).await {
        Delivery::Gap { reason, lost, .. } => (reason, lost),
        other => panic!("not a gap: {other:?}"),
    }
}

/// The numbers of the next messages, as many as `count`.
pub(super) async fn numbers(mailbox: &mut Mailbox, count: usize) -> Vec<u32> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        let posted = next_message(mailbox).await;
        numbers.push(number(&posted));
    }
    numbers
}

/// The number of a message that [`message`] made.
pub(super) fn number(posted: &Posted) -> u32 {
    u32::try_from(posted.id.as_u128()).expect("an id that a test drew")
}

/// The numbers of a page's messages.
pub(super) fn numbers_of(page: &Page) -> Vec<u32> {
    page.messages.iter().map(|posted| number(posted)).collect()
}

pub(super) fn offset(posted: &Posted) -> u64 {
    posted.position.expect("a kept message").offset
}

/// A connection to the same Redis, beside the layer.
#[derive(Debug, Clone)]
pub(super) struct Beside(MultiplexedConnection);

impl Beside {
    pub(super) async fn new(redis: &RedisServer) -> Self {
        let client = redis::Client::open(redis.url()).expect("the fixture's URL is one");
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(DEADLINE))
            .set_response_timeout(Some(DEADLINE));
        let connection = client.get_multiplexed_async_connection_with_config(&patient).await;
        Self(connection.expect("the fixture answers"))
    }

    /// The answer to a command whose words hold no spaces.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &str) -> T {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        self.ask_bytes(&words).await
    }

    /// The answer to a command, word by word.
    pub(super) async fn ask_bytes<T: FromRedisValue>(&mut self, words: &[&[u8]]) -> T {
        let mut cmd = redis::Cmd::new();
        for word in words {
            cmd.arg(*word);
        }
        cmd.query_async(&mut self.0).await.unwrap_or_else(|error| panic!("Redis refused: {error}"))
    }

    /// Runs a script on a group's history, which has `head()` and `set_head(h)` for its field `h`.
    pub(super) async fn eval(&mut self, script: &str, group: &GroupName, args: &[&[u8]]) -> Value {
        let script = format!(
            r"local function head() return {{struct.unpack('>I8I8I8I8', redis.call('HGET', KEYS[1], 'h'))}} end
            local function set_head(h)
                redis.call('HSET', KEYS[1], 'h', struct.pack('>I8I8I8I8', unpack(h, 1, 4)))
            end
            {script}"
        );
        let history = history(group);
        let mut words: Vec<&[u8]> = vec![b"EVAL", script.as_bytes(), b"1", history.as_bytes()];
        words.extend(args);
        self.ask_bytes(&words).await
    }

    /// What Redis holds of a group's history.
    pub(super) async fn stored(&mut self, group: &GroupName) -> Stored {
        let flat: Vec<(Vec<u8>, Vec<u8>)> = self.ask(&format!("HGETALL {}", history(group))).await;
        let mut stored = Stored::default();
        for (field, value) in flat {
            match std::str::from_utf8(&field).ok().and_then(|field| field.parse().ok()) {
                _ if field.len() == 16 => drop(stored.ids.insert(field, value)),
                _ if field.len() == 17 && field[0] == b'a' => drop(stored.newest.insert(field, value)),
                Some(offset) if value.len() > 32 => drop(stored.entries.insert(offset, value)),
                Some(offset) => drop(stored.left.insert(offset, value)),
                None if field == b"h" => {
                    let numbers =
                        value.chunks_exact(8).map(|number| u64::from_be_bytes(number.try_into().unwrap()));
                    let names = ["last", "bytes", "renew", "forgotten"].map(str::to_owned);
                    stored.meta.extend(names.into_iter().zip(numbers.map(|number| number.to_string())));
                }
                None => {
                    let text = |bytes| String::from_utf8(bytes).expect("what is known of a history is text");
                    stored.meta.insert(text(field), text(value));
                }
            }
        }
        stored
    }

    /// What is known of a group's history.
    pub(super) async fn meta(&mut self, group: &GroupName) -> BTreeMap<String, String> {
        self.stored(group).await.meta
    }
}

/// What Redis holds of a group's history.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) meta: BTreeMap<String, String>,
    /// What is kept, by offset: when, its position, its envelope.
    pub(super) entries: BTreeMap<u64, Vec<u8>>,
    /// What is left of the rest.
    pub(super) left: BTreeMap<u64, Vec<u8>>,
    /// Positions and digests.
    pub(super) ids: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where the newest versions are.
    pub(super) newest: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Stored {
    /// A number that is known of the history; 0 when there is none.
    pub(super) fn number(&self, field: &str) -> u64 {
        self.meta.get(field).map_or(0, |value| value.parse().expect("a number"))
    }

    /// Up to which offset all was dropped.
    pub(super) fn trimmed(&self) -> u64 {
        let offset = |label: &String| u64::from_str_radix(&label[16..], 16).expect("a label");
        self.meta.get("t").map_or(0, offset)
    }
}

/// The hash of a group's history.
pub(super) fn history(group: &GroupName) -> String {
    format!("{PREFIX}:{{{group}}}:4")
}

/// The channel on which Redis passes a group's messages on.
pub(super) fn channel(group: &GroupName) -> String {
    history(group)
}
