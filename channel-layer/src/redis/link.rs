//! The two connections to Redis: made together, watched together, ended together.
//!
//! What goes live has one of them: publishes, subscriptions, and what these bring. So the verdicts of a batch and what of it
//! comes back to this node are one write of Redis and one read here. Whatever else is asked has the other, so that nothing
//! live waits behind a long history.
//!
//! redis-rs' own reconnection is not used: it blocks callers for seconds, gives up in silence, and never replaces a
//! half-open connection. Instead every call has a deadline, both connections are asked for a `PONG` every second, and
//! whatever goes wrong ends the link; whoever uses the relay connects again.

use crate::{
    redis::{
        hand_over,
        keys::Keys,
        life::Life,
        scripts::{Scripts, Texts},
        subscriber,
        unread::Unread,
    },
    relay::{Incoming, LinkError},
};
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long any command may take; the caller of a publish stops waiting earlier than this.
const CALL_DEADLINE: Duration = Duration::from_secs(1);

/// Between two questions whether the connections are alive.
const PING_EVERY: Duration = Duration::from_secs(1);

/// What may wait between the connection and the layer: a second of a busy node.
pub(crate) const INCOMING_MAX: usize = 8_192;

/// What a command needs: handles of both connections, and what was found out when they were made.
#[derive(Clone)]
pub(crate) struct Connections {
    commands: MultiplexedConnection,
    /// Publishes and subscriptions.
    live: MultiplexedConnection,
    pub(crate) life: Life,
    pub(crate) node: Arc<str>,
    /// The field of a history that has this node's chain.
    pub(crate) chain: Arc<str>,
    pub(crate) scripts: Scripts,
    pub(super) unread: Arc<Unread>,
    ended: CancellationToken,
}

impl Connections {
    pub(crate) fn commands(&self) -> MultiplexedConnection {
        self.commands.clone()
    }

    /// Ends the link that these belong to.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    pub(crate) fn live(&self) -> MultiplexedConnection {
        self.live.clone()
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("life", &self.life).finish_non_exhaustive()
    }
}

pub(crate) fn client(url: &str) -> Result<Client, LinkError> {
    let no_url = |error: RedisError| LinkError::Refused(format!("not a Redis URL ({:?})", error.kind()));
    let info = url.into_connection_info().map_err(no_url)?;
    // Pushes need RESP3. Without `nodelay` a batch would wait for the acknowledgement of the one before it.
    let tcp = TcpSettings::default().set_nodelay(true);
    let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Client::open(info.set_tcp_settings(tcp).set_redis_settings(redis)).map_err(no_url)
}

/// Fresh connections with their watch, which has yet to be started.
pub(crate) struct Watched {
    pub(crate) connections: Connections,
    arrivals: mpsc::Sender<Incoming>,
    /// Arrivals were dropped since the reader was last told.
    dropped: Arc<AtomicBool>,
}

pub(crate) async fn connect(
    client: &Client,
    keys: &Keys,
    texts: &Texts,
    node: &str,
    arrivals: mpsc::Sender<Incoming>,
    unread: &Arc<Unread>,
) -> Result<Watched, LinkError> {
    let ended = CancellationToken::new();
    let dropped = Arc::new(AtomicBool::new(false));
    let on_push =
        || on_push(keys.clone(), arrivals.clone(), Arc::clone(&dropped), Arc::clone(unread), ended.clone());
    let mut commands = open(client, on_push()).await?;
    let mut live = open(client, on_push()).await?;
    let life = life(&mut commands).await?;
    let scripts = Scripts::load(&mut commands, texts).await?;
    answer(live.subscribe(keys.node(node))).await?;
    let (chain, node, unread) = (format!("n:{node}").into(), node.into(), Arc::clone(unread));
    let connections = Connections { commands, live, life, node, chain, scripts, unread, ended };
    Ok(Watched { connections, arrivals, dropped })
}

async fn open(
    client: &Client,
    on_push: impl Fn(PushInfo) -> Result<(), LinkError> + Send + Sync + 'static,
) -> Result<MultiplexedConnection, LinkError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CALL_DEADLINE))
        .set_response_timeout(Some(CALL_DEADLINE))
        .set_push_sender(on_push);
    answer(client.get_multiplexed_async_connection_with_config(&config)).await
}

fn on_push(
    keys: Keys,
    arrivals: mpsc::Sender<Incoming>,
    dropped: Arc<AtomicBool>,
    unread: Arc<Unread>,
    ended: CancellationToken,
) -> impl Fn(PushInfo) -> Result<(), LinkError> + Send + Sync {
    move |push| {
        match push.kind {
            PushKind::Disconnection => ended.cancel(),
            PushKind::Message => match subscriber::read(&keys, push.data) {
                Some(arrival) => hand_over(&arrivals, &dropped, arrival),
                None => {
                    unread.note();
                    hand_over(&arrivals, &dropped, Incoming::Malformed);
                }
            },
            _ => {}
        }
        Ok(())
    }
}

/// The life of the Redis at the end of a connection, which must take writes.
async fn life(commands: &mut MultiplexedConnection) -> Result<Life, LinkError> {
    let mut info = String::new();
    for section in ["server", "replication"] {
        let text: String = answer(redis::cmd("INFO").arg(section).query_async(commands)).await?;
        info.push_str(&text);
    }
    let field =
        |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    if field("role").is_some_and(|role| role != "master") {
        return Err(LinkError::Refused("this Redis is a replica".to_owned()));
    }
    let life = field("run_id").zip(field("master_replid"));
    life.and_then(|(run, replication)| Life::new(run, replication))
        .ok_or(LinkError::Malformed("INFO without run_id and master_replid"))
}

impl Watched {
    /// Asks both connections for a sign of life until one gives none, then says that the link has ended.
    pub(crate) async fn watch(self, present: Arc<Mutex<Option<Connections>>>) {
        let Self { connections, arrivals, dropped } = self;
        let ended = connections.ended.clone();
        let (mut commands, mut live) = (connections.commands(), connections.live());
        // From here on, who replaces the present connections, or drops the relay, ends these.
        drop(connections);
        let mut ticks = interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let why = loop {
            tokio::select! {
                () = ended.cancelled() => break LinkError::Closed("the connection has ended".to_owned()),
                () = arrivals.closed() => return forget(&present, &ended),
                _ = ticks.tick() => {}
            }
            if dropped.swap(false, Ordering::AcqRel) && arrivals.send(Incoming::Dropped).await.is_err() {
                return forget(&present, &ended);
            }
            let alive = async {
                answer(redis::cmd("PING").query_async::<()>(&mut commands)).await?;
                answer(redis::cmd("PING").query_async::<()>(&mut live)).await
            };
            let alive = tokio::select! {
                () = ended.cancelled() => continue,
                alive = alive => alive,
            };
            if let Err(why) = alive {
                break why;
            }
        };
        tracing::error!(event = "layer.redis.error", %why, "lost the connection to Redis");
        forget(&present, &ended);
        // The reader may have what came before to read first, or be gone.
        let _gone = arrivals.send(Incoming::Ended(why)).await;
    }
}

/// Lets go of the connections of a link that has ended, unless others are the present ones by now.
fn forget(present: &Mutex<Option<Connections>>, ended: &CancellationToken) {
    ended.cancel();
    let mut present = present.lock().unwrap_or_else(PoisonError::into_inner);
    if present.as_ref().is_some_and(|connections| connections.ended.is_cancelled()) {
        present.take();
    }
}

/// What Redis answers, in time or not at all.
pub(crate) async fn answer<T>(call: impl Future<Output = RedisResult<T>>) -> Result<T, LinkError> {
    match timeout(CALL_DEADLINE, call).await {
        Ok(answer) => answer.map_err(error),
        Err(_) => Err(LinkError::TimedOut),
    }
}

/// The kind of an error decides, never its text. Only codes are passed on: a text can hold a key or an address.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
pub(crate) fn error(error: RedisError) -> LinkError {
    if error.is_timeout() {
        return LinkError::TimedOut;
    }
    if error.is_io_error() || error.is_connection_dropped() {
        return LinkError::Closed(error.to_string());
    }
    match error.code() {
        Some(code) => LinkError::Refused(code.to_owned()),
        None => LinkError::Refused(format!("{:?}", error.kind())),
    }
}
