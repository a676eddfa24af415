//! The settings themselves: their types, their defaults, their bounds, and the rules between them.
//!
//! A value that exists is a valid one: texts become types while they are read. Where values come from, and how a refusal
//! is worded with its place, is the business of the module above. The file `config.toml` of the repository explains each
//! setting to operators; a test keeps the two together.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::secret::{RedisUrl, Secret};

/// Every setting, by section and name. The list is explicit, so that names with underscores stay unambiguous as
/// variables.
pub const SETTINGS: &[&str] = &[
    "server.listen",
    "server.workers",
    "redis.url",
    "redis.deadline",
    "redis.prefix",
    "auth.secret",
    "auth.guests",
];

/// Below 10 ms a healthy Redis next door misses its deadline by a hiccup of the scheduler.
const DEADLINE_MIN: Duration = Duration::from_millis(10);
/// A sender waits for its ack this long at worst, and 10 s are more than anybody waits.
const DEADLINE_MAX: Duration = Duration::from_secs(10);
/// More threads than any machine has cores only take memory.
const WORKERS_MAX: usize = 256;
/// Groups have up to 100 characters; with this much before them, keys stay short.
const PREFIX_BYTES_MAX: usize = 32;
/// 128 bits, if they are random: what signs identities must not be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// Everything that can be set, checked; see [`Settings::load`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The node's own door.
    pub server: Server,
    /// What joins the nodes.
    pub redis: Redis,
    /// Who may come in.
    pub auth: Auth,
}

/// The section `[server]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where HTTP and WebSockets are served; port 0 takes a free one.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// Threads that hold sockets, 1 to 256; none = half of the machine's cores, at least one.
    #[serde(deserialize_with = "workers")]
    pub workers: Option<NonZeroUsize>,
}

/// The section `[redis]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Where Redis is; none = this node stands alone, which is not a failure.
    pub url: Option<RedisUrl>,
    /// How long a sender, or somebody who joins, waits for Redis before being told `unavailable`; 10 ms to 10 s.
    #[serde(deserialize_with = "deadline")]
    pub deadline: Duration,
    /// What all keys and channels in Redis begin with: two deployments with different ones can share a Redis.
    pub prefix: Prefix,
}

/// The section `[auth]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// What guests' identities are signed with; none = drawn at each start, known to this node alone.
    #[serde(deserialize_with = "signing_secret")]
    pub secret: Option<Secret>,
    /// Whether anybody may come in as a guest; none = yes if only this machine can reach the node.
    pub guests: Option<bool>,
}

/// A name before the keys in Redis: 1–32 ASCII letters, digits, `-`, `_`, `.`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Prefix(Box<str>);

impl Settings {
    /// What is allowed and yet probably not meant, a line each, for the log.
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut lines = Vec::new();
        if self.auth.secret.is_none() && self.redis.url.is_some() {
            lines.push(
                "auth.secret is not set: guests' tokens will be known neither to other nodes nor after a restart",
            );
        }
        lines
    }

    /// The rules between settings.
    ///
    /// # Errors
    ///
    /// The setting at fault and what to do about it.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let listen = self.server.listen;
        match self.auth.guests {
            Some(true) => Ok(()),
            Some(false) => Err((
                "auth.guests",
                "guests are the only way in so far: leave it out, or set it to true".to_owned(),
            )),
            None if listen.ip().to_canonical().is_loopback() => Ok(()),
            None => Err((
                "server.listen",
                format!(
                    "{listen} can be reached from outside, where anybody could come in as a guest: \
                     set auth.guests = true if that is meant, or listen on 127.0.0.1"
                ),
            )),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), workers: None }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: None, deadline: Duration::from_millis(250), prefix: Prefix::default() }
    }
}

impl Prefix {
    /// The name, without any separator.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("palabre".into())
    }
}

impl FromStr for Prefix {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fits = (1..=PREFIX_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if fits {
            Ok(Self(name.into()))
        } else {
            Err("must be 1 to 32 ASCII letters, digits, '-', '_' or '.'")
        }
    }
}

impl TryFrom<String> for Prefix {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| {
        D::Error::custom(
            "must be an IP address and a port, like 127.0.0.1:8080 or [::1]:8080; names are not looked up",
        )
    })
}

fn workers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroUsize>, D::Error> {
    let number = usize::deserialize(deserializer)?;
    let workers = NonZeroUsize::new(number).filter(|workers| workers.get() <= WORKERS_MAX);
    workers.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is not between 1 and {WORKERS_MAX}")))
}

fn deadline<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let deadline = humantime::parse_duration(&text)
        .map_err(|_| D::Error::custom("must be a duration with its unit, like \"250ms\" or \"1s\""))?;
    if (DEADLINE_MIN..=DEADLINE_MAX).contains(&deadline) {
        Ok(deadline)
    } else {
        Err(D::Error::custom("must be between 10ms and 10s"))
    }
}

fn signing_secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    let secret = Secret::deserialize(from)?;
    if secret.expose().len() < SECRET_BYTES_MIN {
        return Err(D::Error::custom("must be at least 16 bytes long"));
    }
    Ok(Some(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(listen: &str, guests: Option<bool>) -> Settings {
        let server = Server { listen: listen.parse().unwrap(), ..Server::default() };
        Settings { server, auth: Auth { guests, ..Auth::default() }, ..Settings::default() }
    }

    #[test]
    fn only_loopback_is_open_to_guests_without_being_told() {
        for listen in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            listening(listen, None).check().unwrap();
        }
        for listen in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"] {
            let (key, why) = listening(listen, None).check().unwrap_err();
            assert_eq!(key, "server.listen");
            assert!(why.contains(listen) && why.contains("auth.guests = true"), "{why}");
            listening(listen, Some(true)).check().unwrap();
        }
    }

    #[test]
    fn shutting_guests_out_is_refused_while_there_is_no_other_way_in() {
        for listen in ["127.0.0.1:80", "0.0.0.0:80"] {
            let (key, why) = listening(listen, Some(false)).check().unwrap_err();
            assert_eq!(key, "auth.guests");
            assert!(why.contains("the only way in so far"), "{why}");
        }
    }

    #[test]
    fn several_nodes_without_a_common_secret_are_warned_of() {
        let mut settings = Settings::default();
        assert!(settings.warnings().is_empty());
        settings.redis.url = Some("redis://localhost".parse().unwrap());
        assert_eq!(settings.warnings().len(), 1);
        settings.auth.secret = Some(Secret::from("0123456789abcdef".to_owned()));
        assert!(settings.warnings().is_empty());
    }

    #[test]
    fn a_prefix_is_a_short_plain_name() {
        for name in ["p", "palabre", "A-z_0.9", &"x".repeat(32)] {
            assert_eq!(name.parse::<Prefix>().unwrap().as_str(), name);
        }
        for name in ["", "a b", "a:b", "a{b}", "a*", "é", "a\n", &"x".repeat(33)] {
            assert!(name.parse::<Prefix>().is_err(), "{name:?}");
        }
    }
}
