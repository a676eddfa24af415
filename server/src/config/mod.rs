//! What an operator may set, and from where: the file, then the environment, then the command line; the later wins.
//!
//! Everything is read once, before a port is bound. Each source becomes a list of given values that remember where they
//! stand (`sources`), which the sections read into types (`values`, `kinds`, `settings`), so that a refusal is one line
//! that names the setting and its place. Values of secret settings never get into an error, and nothing here
//! reads the process's environment: the caller hands it in.
//!
//! A new setting is a field and a line in its section's `read`: its name, its [kind](kinds) with bounds, its default.

mod kinds;
mod problem;
mod secret;
mod settings;
mod sources;
mod values;
mod web;

use std::path::{Path, PathBuf};

pub use self::problem::{ConfigError, Problem};
pub use self::secret::{RedisUrl, Secret, mask_url};
pub use self::settings::{
    Auth, DegradedPolicy, Drain, History, Layer, Log, LogFormat, Node, NodeId, Prefix, Presence, Rate, Rates,
    Redis, Server, Settings,
};
use self::sources::{Collected, Sources};
pub use self::values::Setting;
use self::values::Values;
pub use self::web::{Authority, Network, Origin, Scheme};

/// What the command line may say; everything else comes from the file or the environment.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`: see [`Server::listen`].
    pub listen: Option<String>,
    /// `--redis-url`: see [`Redis::url`].
    pub redis_url: Option<Secret>,
    /// `--set KEY=VALUE`, as often as it stands there: any setting that is no secret. What somebody may have typed in
    /// spite of that is never printed.
    pub set: Vec<Secret>,
    /// `--config`: the file to read instead of `config.toml`; it must exist.
    pub config: Option<PathBuf>,
}

/// The settings of a start, with what is to be said of them.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings, checked.
    pub settings: Settings,
    /// Each of them with its origin, in the order of the sections.
    pub origins: Vec<Setting>,
    /// What is allowed and yet probably not meant, a line each, for the log.
    pub warnings: Vec<String>,
}

/// Reads the file, the variables and the flags, and checks all of it.
///
/// A relative path is looked up in `cwd`; without `--config`, a `config.toml` there is read if it exists. Variables that do
/// not begin with `PALABRE_` are passed over, but for `REDIS_URL`, `REDIS_URL_FILE` and `REDIS_ENABLED`. An empty text
/// counts as not set.
///
/// # Errors
///
/// [`ConfigError`] with all that is unreadable, unknown, malformed or contradicts the rest.
pub fn load(
    flags: &Flags,
    env: impl IntoIterator<Item = (String, String)>,
    cwd: &Path,
) -> Result<Loaded, ConfigError> {
    let defaults = defaults();
    let mut sources = Sources::new(&defaults, cwd);
    sources.file(flags.config.as_deref());
    sources.environment(env);
    sources.flags(flags);
    let Collected { given, mut problems, mut warnings } = sources.collected();
    let mut values = Values::new(&given);
    let settings = Settings::read(&mut values);
    if let Err((key, reason)) = settings.check() {
        values.refuse(key, reason);
    }
    let (origins, wrong) = values.into_parts();
    problems.extend(wrong);
    ConfigError::of(problems)?;
    warnings.extend(settings.warnings().into_iter().map(str::to_owned));
    Ok(Loaded { settings, origins, warnings })
}

/// Every setting with its default, in the order of the sections.
pub fn defaults() -> Vec<Setting> {
    let mut values = Values::new(&[]);
    Settings::read(&mut values);
    values.into_parts().0
}

/// The process's variables as [`load`] wants them; bytes that are no UTF-8 become U+FFFD, never a panic.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
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
            std::fs::write(path.join("config.toml"), config).unwrap();
            Self(path)
        }
    }

    impl Folder {
        fn keep(&self, name: &str, content: &[u8], mode: u32) {
            let path = self.0.join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn load(file: &str, env: &[(&str, &str)], flags: &Flags) -> Result<Settings, String> {
        load_in(&Folder::with(file), env, flags).map(|loaded| loaded.settings)
    }

    fn load_in(folder: &Folder, env: &[(&str, &str)], flags: &Flags) -> Result<Loaded, String> {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        super::load(flags, env, &folder.0).map_err(|error| error.to_string())
    }

    fn setting(assignments: &[&str]) -> Flags {
        let set = assignments.iter().map(|text| Secret::from((*text).to_owned())).collect();
        Flags { set, ..Flags::default() }
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
        assert_eq!(refused("[redis.url]\nhost = 1", &[]), "redis.url (in config.toml): must be a text");
        assert_eq!(
            refused("", &[("PALABRE_REDIS_URI", "redis://:hunter2@h")]),
            "unknown setting PALABRE_REDIS_URI in the environment, did you mean PALABRE_REDIS_URL?"
        );
    }

    #[test]
    fn a_bad_value_is_refused_with_its_key_and_place() {
        let cases = [
            ("[redis]\ndeadline = '9ms'", &[][..], "redis.deadline (in config.toml): "),
            ("[history]\nmessages = 99", &[], "history.messages (in config.toml): "),
            ("[history]\nbytes = '63KiB'", &[], "history.bytes (in config.toml): "),
            ("[history]\nage = '59s'", &[], "history.age (in config.toml): "),
            ("[history]\ntail_messages = 1001", &[], "history.tail_messages (in config.toml): "),
            ("[history]\ntail_bytes = 16384", &[], "history.tail_bytes (in config.toml): "),
            ("[history]\ntail_age = '61m'", &[], "history.tail_age (in config.toml): "),
            ("[history]\nids = 9999", &[], "history.ids (in config.toml): "),
            ("[history]\nnode_bytes = '15MiB'", &[], "history.node_bytes (in config.toml): "),
            ("[presence]\nmembers_max = 9", &[], "presence.members_max (in config.toml): "),
            ("[presence]\nmembers_max = 2001", &[], "presence.members_max (in config.toml): "),
            ("[presence]\nenabled = 1", &[], "presence.enabled (in config.toml): "),
            ("[limits]\nuser_requests_burst = 199", &[], "limits.user_requests_burst (in config.toml): "),
            ("[redis]\ndeadline = 250", &[], "redis.deadline (in config.toml): "),
            ("[server]\nlisten = 'here'", &[], "server.listen (in config.toml): "),
            ("[auth]\nguests = 'maybe'", &[], "auth.guests (in config.toml): must be true or false"),
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
        let line = load("", &[], &flags).unwrap_err();
        assert!(line.starts_with("cannot read other.toml: "), "{line}");
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
        let env = [
            ("REDIS_URL", "redis://someone:hunter2@h:1/2"),
            ("PALABRE_AUTH_SECRET", "hunter2hunter2hunter2"),
        ];
        let settings = load("", &env, &Flags::default()).unwrap();
        let shown = format!("{settings:?} {}", settings.redis.url.as_ref().unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("someone"), "{shown}");
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
    fn a_name_that_is_almost_right_is_answered_with_the_right_one() {
        for (file, line) in [
            (
                "[redis]\nprefx = 'a'",
                "unknown setting redis.prefx in config.toml, did you mean redis.prefix?",
            ),
            ("[sever]\nlisten = 'a'", "unknown setting sever in config.toml, did you mean server?"),
            ("[other]\nlisten = 'a'", "unknown setting other in config.toml"),
        ] {
            assert_eq!(refused(file, &[]), line);
        }
    }

    #[test]
    fn everything_that_is_wrong_is_found_at_once() {
        let folder = Folder::with("port = 1\n[redis]\ndeadline = '9ms'\n[auth]\nguests = 1");
        let env = [("PALABRE_PORT".to_owned(), "1".to_owned())];
        let error = super::load(&Flags::default(), env, &folder.0).unwrap_err();
        assert_eq!(error.problems().len(), 4, "{:?}", error.problems());
        assert!(error.to_string().ends_with(" (and 3 more problems)"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_text_or_too_long_is_refused() {
        let folder = Folder::with("");
        for (bytes, why) in [(&[0xff, 0xfe][..], "UTF-8"), (&vec![b'\n'; (1 << 20) + 1], "1048576 bytes")] {
            std::fs::write(folder.0.join("config.toml"), bytes).unwrap();
            let line = super::load(&Flags::default(), [], &folder.0).unwrap_err().to_string();
            assert!(line.starts_with("cannot read config.toml: ") && line.contains(why), "{line}");
        }
    }

    #[test]
    fn a_secret_may_stand_in_a_file_of_its_own() {
        let folder = Folder::with("[auth]\nsecret = 'the file of settings'");
        for (content, secret) in [
            ("sixteen letters!", "sixteen letters!"),
            ("sixteen letters!\n", "sixteen letters!"),
            ("sixteen letters!\r\n", "sixteen letters!"),
            (" sixteen letters \n\n", " sixteen letters "),
        ] {
            folder.keep("secret", content.as_bytes(), 0o600);
            let loaded =
                load_in(&folder, &[("PALABRE_AUTH_SECRET_FILE", "secret")], &Flags::default()).unwrap();
            assert_eq!(loaded.settings.auth.secret.unwrap().expose(), secret);
            assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        }
        folder.keep("url", b"redis://:hunter2@ours", 0o600);
        for name in ["PALABRE_REDIS_URL_FILE", "REDIS_URL_FILE"] {
            let loaded = load_in(&folder, &[(name, "url")], &Flags::default()).unwrap();
            assert_eq!(loaded.settings.redis.url.unwrap().expose(), "redis://:hunter2@ours");
        }
    }

    #[test]
    fn a_secret_s_file_that_everybody_can_read_is_warned_of() {
        let folder = Folder::with("");
        folder.keep("secret", b"hunter2hunter2hunter2", 0o644);
        let env = [("PALABRE_AUTH_SECRET_FILE", "secret")];
        let loaded = load_in(&folder, &env, &Flags::default()).unwrap();
        let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
        assert!(warning.contains("auth.secret") && warning.contains("PALABRE_AUTH_SECRET_FILE"), "{warning}");
        assert!(!warning.contains("hunter2"), "{warning}");
    }

    #[test]
    fn a_secret_s_file_that_is_none_is_refused_by_its_variable_and_nothing_of_it_is_said() {
        let folder = Folder::with("");
        folder.keep("empty", b"\n", 0o600);
        folder.keep("long", &[b'x'; (1 << 16) + 1], 0o600);
        folder.keep("bytes", b"hunter2hunter2\xff\xff", 0o600);
        folder.keep("short", b"hunter2", 0o600);
        for path in ["missing", "hunter2hunter2hunter2", ".", "/dev/null", "empty", "long", "bytes", "short"]
        {
            let env = [("PALABRE_AUTH_SECRET_FILE", path)];
            let line = load_in(&folder, &env, &Flags::default()).unwrap_err();
            assert!(line.contains("PALABRE_AUTH_SECRET_FILE"), "{path}: {line}");
            assert!(!line.contains("hunter2") && !line.contains('\n'), "{path}: {line}");
        }
    }

    #[test]
    fn a_secret_in_a_variable_and_in_a_file_is_a_contradiction() {
        for (value, file) in
            [("PALABRE_AUTH_SECRET", "PALABRE_AUTH_SECRET_FILE"), ("REDIS_URL", "REDIS_URL_FILE")]
        {
            let line = refused("", &[(value, "hunter2hunter2hunter2"), (file, "hunter2")]);
            assert!(line.contains(&format!("(in {value}): {file} is set as well")), "{line}");
        }
        // Only secrets have files, and an empty text is not set.
        assert!(refused("", &[("PALABRE_REDIS_PREFIX_FILE", "x")]).starts_with("unknown setting PALABRE_"));
        load("", &[("PALABRE_AUTH_SECRET", ""), ("PALABRE_AUTH_SECRET_FILE", "")], &Flags::default())
            .unwrap();
    }

    #[test]
    fn anything_but_a_secret_can_be_set_on_the_command_line() {
        let env = [("PALABRE_SERVER_WORKERS", "2"), ("PALABRE_REDIS_PREFIX", "env")];
        let settings = load("", &env, &setting(&["server.workers=3", "redis.prefix=a=b"])).unwrap_err();
        assert!(settings.starts_with("redis.prefix (in --set): "), "{settings}");
        let settings = load("", &env, &setting(&["server.workers=3", "redis.prefix="])).unwrap();
        assert_eq!(settings.server.workers.unwrap().get(), 3);
        assert_eq!(settings.redis.prefix.as_str(), "env");
        for (assignment, start) in [
            ("auth.secret=hunter2hunter2hunter2", "auth.secret (in --set): is a secret"),
            ("redis.url=redis://:hunter2@h", "redis.url (in --set): is a secret"),
            ("server.worker=2", "unknown setting server.worker in --set, did you mean server.workers?"),
            ("hunter2", "the command line (in --set): must be KEY=VALUE"),
        ] {
            let line = load("", &[], &setting(&[assignment])).unwrap_err();
            assert!(line.starts_with(start) && !line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        let twice = setting(&["redis.prefix=a", "redis.prefix=a"]);
        let both =
            Flags { listen: Some("127.0.0.1:2".to_owned()), ..setting(&["server.listen=127.0.0.1:1"]) };
        for (flags, key) in [(twice, "redis.prefix (in --set)"), (both, "server.listen (in --listen)")] {
            let line = load("", &[], &flags).unwrap_err();
            assert_eq!(line, format!("{key}: stands on the command line already"));
        }
    }

    #[test]
    fn redis_can_be_switched_off_although_its_address_is_known() {
        let url = ("REDIS_URL", "redis://h");
        let in_use = |env: &[(&str, &str)]| {
            load("", env, &Flags::default()).unwrap().redis.url_in_use().map(ToString::to_string)
        };
        assert_eq!(in_use(&[url]).as_deref(), Some("redis://h"));
        assert_eq!(in_use(&[url, ("REDIS_ENABLED", "false")]), None);
        assert_eq!(
            in_use(&[url, ("REDIS_ENABLED", "False"), ("PALABRE_REDIS_ENABLED", "true")]).as_deref(),
            Some("redis://h")
        );
        assert!(refused("", &[("REDIS_ENABLED", "maybe")]).starts_with("redis.enabled (in REDIS_ENABLED): "));
    }

    #[test]
    fn each_setting_tells_where_its_value_stands() {
        let folder =
            Folder::with("[redis]\nprefix = 'file'\nurl = 'redis://u:hunter2@h'\n[server]\nworkers = 2");
        let env = [("PALABRE_SERVER_WORKERS", "3"), ("PALABRE_AUTH_SECRET", "hunter2hunter2hunter2")];
        let loaded = load_in(&folder, &env, &setting(&["redis.deadline=1s"])).unwrap();
        let of = |key| loaded.origins.iter().find(|setting| setting.key == key).unwrap();
        for (key, value, origin) in [
            ("server.listen", Some("\"127.0.0.1:8080\""), None),
            ("server.workers", Some("3"), Some("PALABRE_SERVER_WORKERS")),
            ("redis.prefix", Some("\"file\""), Some("config.toml")),
            ("redis.deadline", Some("\"1s\""), Some("--set")),
            ("redis.url", Some("\"redis://***@h\""), Some("config.toml")),
            ("auth.secret", Some("\"***\""), Some("PALABRE_AUTH_SECRET")),
            ("auth.guests", None, None),
        ] {
            assert_eq!((of(key).value.as_deref(), of(key).origin.as_deref()), (value, origin), "{key}");
            assert_eq!(of(key).is_masked, value.is_some_and(|value| value.contains("***")), "{key}");
        }
    }
}
