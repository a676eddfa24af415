//! What an operator may set, and from where: the file, then the environment, then the command line; the later wins.
//!
//! Everything is read once, before a port is bound. Each source becomes a list of [`Given`] values that remember where
//! they stand, so that a refusal is one line that names the setting and its place. The file is checked alone first: a
//! mistake in it is found also where a variable would hide it. Values of secret settings never get into an error, and
//! nothing here reads the process's environment: the caller hands it in.

mod secret;
mod settings;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use ::config::{Config, File, FileFormat, Map, Value, ValueKind};

pub use self::secret::{RedisUrl, Secret, mask_url};
pub use self::settings::{Auth, Prefix, Redis, SETTINGS, Server, Settings};

/// The file that is read from the working directory when the command line names none.
const FILE_NAME: &str = "config.toml";

/// Variables that begin like ours but are no settings: the log filter is read before there are any settings.
const OTHER_VARIABLES: &[&str] = &["PALABRE_LOG"];

/// What the command line may say; everything else comes from the file or the environment.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`: see [`Server::listen`].
    pub listen: Option<String>,
    /// `--redis-url`: see [`Redis::url`].
    pub redis_url: Option<Secret>,
    /// `--config`: the file to read instead of `config.toml`; it must exist.
    pub config: Option<PathBuf>,
}

/// Why the settings were refused; always one line, never with a secret in it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {file}")]
    Unreadable {
        /// The file, as it was named.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{file} is not valid TOML: {reason}")]
    Syntax {
        /// The file, as it was named.
        file: String,
        /// What is wrong, and in which line.
        reason: String,
    },
    /// The file has a key, or the environment a variable, that means nothing.
    #[error("unknown setting {name} in {origin}")]
    Unknown {
        /// The key with its sections, or the variable.
        name: String,
        /// Where it stands.
        origin: String,
    },
    /// A value does not fit its setting, or not with the others.
    #[error("{key} (in {origin}): {reason}")]
    Invalid {
        /// The setting, like `redis.deadline`.
        key: String,
        /// Where its value stands.
        origin: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}

/// One value of one setting, and where it stands.
struct Given {
    key: &'static str,
    origin: String,
    value: Value,
}

impl Settings {
    /// Reads the file, the variables and the flags, and checks all of it.
    ///
    /// A relative path is looked up in `cwd`; without `--config`, a `config.toml` there is read if it exists. Variables
    /// that do not begin with `PALABRE_` are passed over, but for `REDIS_URL`. An empty text counts as not set.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first thing found that is unreadable, unknown, malformed or contradicts the rest.
    pub fn load(
        flags: &Flags,
        env: impl IntoIterator<Item = (String, String)>,
        cwd: &Path,
    ) -> Result<Self, ConfigError> {
        let mut given = from_file(flags.config.as_deref(), cwd)?;
        build(&given)?;
        given.extend(from_environment(env)?);
        given.extend(from_flags(flags));
        let settings = build(&given)?;
        settings.check().map_err(|(key, reason)| invalid(key, reason, &given))?;
        Ok(settings)
    }
}

/// The process's variables as [`Settings::load`] wants them; bytes that are no UTF-8 become U+FFFD, never a panic.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// The variable of a setting: `redis.url` is `PALABRE_REDIS_URL`.
fn variable(key: &str) -> String {
    format!("PALABRE_{}", key.replace('.', "_").to_ascii_uppercase())
}

fn from_file(named: Option<&Path>, cwd: &Path) -> Result<Vec<Given>, ConfigError> {
    let path = named.unwrap_or_else(|| Path::new(FILE_NAME));
    let file = path.display().to_string().escape_debug().to_string();
    let text = match std::fs::read_to_string(cwd.join(path)) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ConfigError::Unreadable { file, source }),
    };
    let parsed = Config::builder().add_source(File::from_str(&text, FileFormat::Toml)).build();
    let table = parsed
        .and_then(|config| config.cache.into_table())
        .map_err(|error| ConfigError::Syntax { file: file.clone(), reason: one_line(&error.to_string()) })?;
    let mut given = Vec::new();
    flatten("", table, &file, &mut given)?;
    Ok(given)
}

/// Takes the settings out of nested tables, and refuses what is not one.
fn flatten(
    section: &str,
    table: Map<String, Value>,
    file: &str,
    given: &mut Vec<Given>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let path = if section.is_empty() { name } else { format!("{section}.{name}") };
        let is_section =
            SETTINGS.iter().any(|key| key.split_once('.').is_some_and(|(first, _)| first == path));
        if let Some(&key) = SETTINGS.iter().find(|key| **key == path) {
            given.extend(set(key, file.to_owned(), value));
        } else if !is_section {
            let name = path.escape_debug().to_string();
            return Err(ConfigError::Unknown { name, origin: file.to_owned() });
        } else if let ValueKind::Table(inner) = value.kind {
            flatten(&path, inner, file, given)?;
        } else {
            let reason = format!("is a section: write [{path}], and its settings below");
            return Err(ConfigError::Invalid { key: path, origin: file.to_owned(), reason });
        }
    }
    Ok(())
}

fn from_environment(env: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Given>, ConfigError> {
    let mut common = None;
    let mut ours = Vec::new();
    for (name, value) in env {
        if name == "REDIS_URL" {
            common = set("redis.url", name, value);
        } else if let Some(key) = SETTINGS.iter().find(|key| variable(key) == name) {
            ours.extend(set(key, name, value));
        } else if name.starts_with("PALABRE_") && !OTHER_VARIABLES.contains(&name.as_str()) {
            let name = name.escape_debug().to_string();
            return Err(ConfigError::Unknown { name, origin: "the environment".to_owned() });
        }
    }
    // The variable that many programs share comes first, so that our own wins.
    Ok(common.into_iter().chain(ours).collect())
}

fn from_flags(flags: &Flags) -> impl Iterator<Item = Given> {
    let listen = flags.listen.as_deref().and_then(|value| set("server.listen", "--listen".to_owned(), value));
    let url = flags.redis_url.as_ref();
    let url = url.and_then(|value| set("redis.url", "--redis-url".to_owned(), value.expose()));
    listen.into_iter().chain(url)
}

/// A value for a setting, unless it is the empty text: that is how a deployment's template leaves something out.
fn set(key: &'static str, origin: String, value: impl Into<Value>) -> Option<Given> {
    let value = value.into();
    let is_empty = matches!(&value.kind, ValueKind::String(text) if text.is_empty());
    (!is_empty).then_some(Given { key, origin, value })
}

/// The settings that these values make, later ones over earlier ones, over the defaults.
fn build(given: &[Given]) -> Result<Settings, ConfigError> {
    let layered = given
        .iter()
        .try_fold(Config::builder(), |builder, one| builder.set_override(one.key, one.value.kind.clone()));
    layered.and_then(|builder| builder.build()?.try_deserialize()).map_err(|error| {
        // What was found instead is left out: it may be a secret that stands in the wrong place.
        let (key, reason) = match error {
            ::config::ConfigError::Type { expected, key, .. } => (key, format!("expected {expected}")),
            ::config::ConfigError::At { error, key, .. } => (key, error.to_string()),
            other => (None, other.to_string()),
        };
        invalid(&key.unwrap_or_default(), reason, given)
    })
}

fn invalid(key: &str, reason: impl Into<Cow<'static, str>>, given: &[Given]) -> ConfigError {
    let origin =
        given.iter().rfind(|one| one.key == key).map_or("the defaults", |one| &one.origin).to_owned();
    ConfigError::Invalid { key: key.to_owned(), origin, reason: reason.into().into_owned() }
}

/// A TOML error without the line of the file that it quotes, which may hold a secret.
fn one_line(error: &str) -> String {
    let mut lines = error.lines();
    let first = lines.next().unwrap_or_default();
    let Some(place) = first.strip_prefix("TOML parse error at ") else { return first.to_owned() };
    // After the place come three lines of picture: a rule, the quoted line, a pointer into it.
    let what: Vec<&str> = lines.skip(3).collect();
    format!("{place}: {}", what.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for one test, gone with it.
    struct Folder(PathBuf);

    impl Folder {
        fn with(config: &str) -> Self {
            let id = format!("{:?}", std::thread::current().id());
            let path = std::env::temp_dir().join(format!("palabre-config-{}-{id}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(FILE_NAME), config).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn load(file: &str, env: &[(&str, &str)], flags: &Flags) -> Result<Settings, String> {
        let folder = Folder::with(file);
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::load(flags, env, &folder.0).map_err(|error| error.to_string())
    }

    fn refused(file: &str, env: &[(&str, &str)]) -> String {
        let line = load(file, env, &Flags::default()).unwrap_err();
        assert!(!line.contains('\n'), "more than one line: {line}");
        assert!(!line.contains("hunter2"), "a secret got out: {line}");
        line
    }

    #[test]
    fn flags_win_over_variables_and_variables_over_the_file() {
        let file = "[server]\nlisten = '127.0.0.1:1'\n[redis]\nprefix = 'file'\ndeadline = '20ms'";
        let env = [("PALABRE_SERVER_LISTEN", "127.0.0.1:2"), ("PALABRE_REDIS_PREFIX", "env")];
        let flags = Flags { listen: Some("127.0.0.1:3".to_owned()), ..Flags::default() };
        let settings = load(file, &env, &flags).unwrap();
        assert_eq!(settings.server.listen.port(), 3);
        assert_eq!(settings.redis.prefix.as_str(), "env");
        assert_eq!(settings.redis.deadline.as_millis(), 20);
    }

    #[test]
    fn the_redis_url_comes_from_the_flag_then_our_variable_then_the_common_one() {
        let both = [("PALABRE_REDIS_URL", "redis://ours"), ("REDIS_URL", "redis://common")];
        let url = |env: &[(&str, &str)], flags: &Flags| {
            load("", env, flags).unwrap().redis.url.unwrap().expose().to_owned()
        };
        let flags = Flags { redis_url: Some(Secret::from("redis://flag".to_owned())), ..Flags::default() };
        assert_eq!(url(&both, &flags), "redis://flag");
        assert_eq!(url(&both, &Flags::default()), "redis://ours");
        assert_eq!(url(&both[1..], &Flags::default()), "redis://common");
    }

    #[test]
    fn an_empty_text_counts_as_not_set() {
        let env = [("PALABRE_REDIS_URL", ""), ("PALABRE_AUTH_GUESTS", ""), ("PALABRE_SERVER_LISTEN", "")];
        let settings = load("[auth]\nsecret = ''", &env, &Flags::default()).unwrap();
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn foreign_variables_and_the_log_filter_are_passed_over() {
        let env = [("PATH", "/bin"), ("REDIS_HOST", "x"), ("PALABRE_LOG", "debug")];
        assert_eq!(load("", &env, &Flags::default()).unwrap(), Settings::default());
    }

    #[test]
    fn what_is_unknown_is_refused_by_name_and_place() {
        assert_eq!(
            refused("[server]\nlisten_on = 1", &[]),
            "unknown setting server.listen_on in config.toml"
        );
        assert_eq!(refused("port = 1", &[]), "unknown setting port in config.toml");
        assert_eq!(refused("[redis.url]\nhost = 1", &[]), "redis.url (in config.toml): expected a string");
        assert_eq!(
            refused("", &[("PALABRE_REDIS_URI", "redis://:hunter2@h")]),
            "unknown setting PALABRE_REDIS_URI in the environment"
        );
    }

    #[test]
    fn a_bad_value_is_refused_with_its_key_and_place() {
        let cases = [
            ("[redis]\ndeadline = '9ms'", &[][..], "redis.deadline (in config.toml): "),
            ("[redis]\ndeadline = 250", &[], "redis.deadline (in config.toml): "),
            ("[server]\nlisten = 'here'", &[], "server.listen (in config.toml): "),
            ("[auth]\nguests = 'maybe'", &[], "auth.guests (in config.toml): expected a boolean"),
            ("auth = 'hunter2'", &[], "auth (in config.toml): is a section"),
            ("", &[("PALABRE_REDIS_DEADLINE", "11s")], "redis.deadline (in PALABRE_REDIS_DEADLINE): "),
            ("", &[("REDIS_URL", "rediss://:hunter2@h")], "redis.url (in REDIS_URL): "),
            ("", &[("PALABRE_AUTH_SECRET", "hunter2")], "auth.secret (in PALABRE_AUTH_SECRET): "),
        ];
        for (file, env, start) in cases {
            let line = refused(file, env);
            assert!(line.starts_with(start), "{line}");
        }
    }

    #[test]
    fn a_mistake_in_the_file_is_found_also_where_a_variable_hides_it() {
        let line = refused("[redis]\nprefix = 'a b'", &[("PALABRE_REDIS_PREFIX", "fine")]);
        assert!(line.starts_with("redis.prefix (in config.toml): "), "{line}");
    }

    #[test]
    fn broken_toml_is_refused_in_one_line_that_does_not_quote_the_file() {
        let line = refused("[auth]\nsecret = \"hunter2", &[]);
        assert!(line.starts_with("config.toml is not valid TOML: line 2, column "), "{line}");
        let line = refused("[auth]\nsecret = 'hunter2'\nsecret = 'hunter2'", &[]);
        assert!(line.starts_with("config.toml is not valid TOML: line 3, column 1: duplicate"), "{line}");
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let flags = Flags { config: Some(PathBuf::from("other.toml")), ..Flags::default() };
        assert_eq!(load("", &[], &flags).unwrap_err(), "cannot read other.toml");
    }

    #[test]
    fn a_rule_between_settings_names_the_place_of_the_value_it_refuses() {
        let flags = Flags { listen: Some("0.0.0.0:8080".to_owned()), ..Flags::default() };
        let line = load("", &[], &flags).unwrap_err();
        assert!(
            line.starts_with("server.listen (in --listen): ") && line.contains("auth.guests = true"),
            "{line}"
        );
        load("", &[("PALABRE_AUTH_GUESTS", "true")], &flags).unwrap();
    }

    #[test]
    fn no_secret_shows_in_what_debug_prints() {
        let env =
            [("REDIS_URL", "redis://user:hunter2@h:1/2"), ("PALABRE_AUTH_SECRET", "hunter2hunter2hunter2")];
        let settings = load("", &env, &Flags::default()).unwrap();
        let shown = format!("{settings:?} {}", settings.redis.url.as_ref().unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("user"), "{shown}");
        assert!(shown.contains("redis://***@h:1/2"), "{shown}");
    }

    #[test]
    fn the_file_of_the_repository_loads_as_it_is_and_with_its_examples_switched_on() {
        let file = include_str!("../../../config.toml");
        assert_eq!(load(file, &[], &Flags::default()).unwrap(), Settings::default());
        let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let examples: String = file
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.split_once(" = ").is_some_and(|(name, _)| is_name(name)) => rest,
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let settings = load(&examples, &[], &Flags::default()).unwrap();
        assert!(settings.redis.url.is_some() && settings.auth.guests == Some(true));
    }

    #[test]
    fn every_setting_stands_in_the_file_of_the_repository() {
        let file = include_str!("../../../config.toml");
        for key in SETTINGS {
            let (section, name) = key.split_once('.').unwrap();
            let body = file.split(&format!("[{section}]\n")).nth(1).unwrap_or_default();
            let body = body.split("\n[").next().unwrap_or_default();
            let stands = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{name} = "));
            assert!(body.lines().any(stands), "{key} is missing in config.toml");
        }
    }
}
