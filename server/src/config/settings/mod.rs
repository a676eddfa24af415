//! The settings themselves, a file a section: their types, their defaults, their bounds, and the rules between them.
//!
//! A value that exists is a valid one: texts become types while they are read. Where values come from, and how a refusal
//! is worded with its place, is the business of the module above. The file `config.toml` of the repository explains each
//! setting to operators; a test keeps the two together.

mod auth;
mod drain;
mod history;
mod layer;
mod limits;
mod log;
mod node;
mod presence;
mod redis;
mod server;

pub use self::auth::Auth;
pub use self::drain::Drain;
pub use self::history::History;
pub use self::layer::{DegradedPolicy, Layer};
pub use self::limits::{Rate, Rates};
pub use self::log::{Log, LogFormat};
pub use self::node::{Node, NodeId};
pub use self::presence::Presence;
pub use self::redis::{Prefix, Redis};
pub use self::server::Server;
use super::values::Values;

/// Everything that can be set, checked; see [`load`](super::load).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The node itself.
    pub node: Node,
    /// The node's own door.
    pub server: Server,
    /// What joins the nodes.
    pub redis: Redis,
    /// What a node does without the others.
    pub layer: Layer,
    /// How much is kept.
    pub history: History,
    /// Who may come in.
    pub auth: Auth,
    /// How the node ends.
    pub drain: Drain,
    /// How fast clients may speak.
    pub limits: Rates,
    /// How the log looks.
    pub log: Log,
    /// What members are told of each other.
    pub presence: Presence,
}

impl Settings {
    pub(super) fn read(from: &mut Values<'_>) -> Self {
        Self {
            node: Node::read(from.section("node")),
            server: Server::read(from.section("server")),
            redis: Redis::read(from.section("redis")),
            layer: Layer::read(from.section("layer")),
            history: History::read(from.section("history")),
            auth: Auth::read(from.section("auth")),
            drain: Drain::read(from.section("drain")),
            limits: Rates::read(from.section("limits")),
            log: Log::read(from.section("log")),
            presence: Presence::read(from.section("presence")),
        }
    }

    /// What is allowed and yet probably not meant, a line each, for the log.
    pub(super) fn warnings(&self) -> Vec<&'static str> {
        let mut lines = Vec::new();
        if self.auth.secret.is_none() && self.redis.url_in_use().is_some() {
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
        self.drain.check()?;
        self.history.check()?;
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

impl Default for Settings {
    fn default() -> Self {
        Self::read(&mut Values::new(&[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    /// The setting that is refused.
    pub(super) fn refusal(settings: &Settings) -> &'static str {
        settings.check().unwrap_err().0
    }

    fn listening(listen: &str, guests: Option<bool>) -> Settings {
        let mut settings = Settings::default();
        settings.server.listen = listen.parse().unwrap();
        settings.auth.guests = guests;
        settings
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
}
