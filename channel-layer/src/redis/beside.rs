//! Values beside a group's history, for whoever keeps some there: scripts over keys of their own, on the relay's link.
//!
//! A script is one atomic step for one group. Before it stands `beside.lua`, which tells it whether a message is kept; the
//! keys have the group's hash tag, and the life of its history where the script renews them. Nothing is repeated here: an
//! answer that does not come in time is [`Error::Unavailable`], and whether the script ran is unknown.

use crate::{
    error::Error,
    layer::Answer,
    name::GroupName,
    redis::{
        keys::Keys,
        link::{self, Connections},
    },
    relay::LinkError,
};
use futures_util::FutureExt;
use redis::{Value, aio::MultiplexedConnection};
use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::time::timeout;

const PRELUDE: &str = include_str!("beside.lua");

/// A script over values beside a history. `beside.lua` says what it finds in `KEYS` and `ARGV`, and may call.
pub struct Script {
    body: &'static str,
    /// What Redis calls it, once that was asked: a hash of its text, the same everywhere.
    name: OnceLock<String>,
}

impl Script {
    /// The script of this text.
    #[must_use]
    pub const fn new(body: &'static str) -> Self {
        Self { body, name: OnceLock::new() }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a script gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `nil` or `false`.
    Nothing,
    /// An integer.
    Number(i64),
    /// A string.
    Text(Vec<u8>),
    /// A table.
    List(Vec<Self>),
}

impl Reply {
    /// The string that it is, if it is one and UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    /// The table that it is; of anything else an empty one.
    #[must_use]
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        match value {
            Value::Int(number) => Self::Number(number),
            Value::BulkString(text) => Self::Text(text),
            Value::SimpleString(text) => Self::Text(text.into_bytes()),
            Value::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            _ => Self::Nothing,
        }
    }
}

/// Where scripts run: the present link of a [`RedisRelay`](crate::RedisRelay), whichever that is.
#[derive(Debug, Clone)]
pub struct Beside {
    pub(super) present: Arc<Mutex<Option<Connections>>>,
    pub(super) keys: Keys,
    /// How long a history lives.
    pub(super) age: Duration,
    pub(super) deadline: Duration,
}

impl Beside {
    /// Runs a script for a group, with the keys of these names and these arguments.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when there is no link, Redis refuses, or the deadline passes.
    pub fn run(
        &self,
        script: &'static Script,
        group: &GroupName,
        names: &[&str],
        arguments: Vec<Vec<u8>>,
    ) -> Answer<Reply> {
        let age_ms = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX).to_string().into_bytes();
        let arguments = [vec![age_ms], arguments].concat();
        let keys: Vec<String> = std::iter::once(self.keys.history(group))
            .chain(names.iter().map(|name| self.keys.beside(group, name)))
            .collect();
        let connections = self.present.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let deadline = self.deadline;
        async move {
            let mut commands = connections.ok_or(Error::Unavailable)?.commands();
            let answered = timeout(deadline, call(&mut commands, script, &keys, &arguments)).await;
            match answered {
                Ok(Ok(value)) => Ok(value.into()),
                Ok(Err(why)) => {
                    tracing::debug!(event = "layer.redis.script_failed", %why, "a script has no answer");
                    Err(Error::Unavailable)
                }
                Err(_) => Err(Error::Unavailable),
            }
        }
        .boxed()
    }
}

async fn call(
    commands: &mut MultiplexedConnection,
    script: &Script,
    keys: &[String],
    arguments: &[Vec<u8>],
) -> Result<Value, LinkError> {
    if let Some(name) = script.name.get() {
        match eval(commands, name, keys, arguments).await {
            // A Redis that started anew knows no scripts.
            Err(LinkError::Refused(code)) if code == "NOSCRIPT" => {}
            answer => return answer,
        }
    }
    let load = redis::cmd("SCRIPT").arg("LOAD").arg([PRELUDE, script.body].concat()).to_owned();
    let name: String = link::answer(load.query_async(commands)).await?;
    eval(commands, script.name.get_or_init(|| name), keys, arguments).await
}

async fn eval(
    commands: &mut MultiplexedConnection,
    name: &str,
    keys: &[String],
    arguments: &[Vec<u8>],
) -> Result<Value, LinkError> {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(name).arg(keys.len()).arg(keys).arg(arguments);
    link::answer(cmd.query_async(commands)).await
}
