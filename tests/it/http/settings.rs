//! `palabre config`, and where settings come from, as whoever runs the program sees it.

use palabre_tests::machine::{Folder, until};
use palabre_tests::{Ended, HubProcess, RedisServer};

use super::{health, nowhere};

/// What `palabre config print` says, without the line of the port that the fixture gives every program.
async fn printed(args: &[&str], env: &[(&str, &str)]) -> String {
    let ended = Ended::of(&[&["config", "print"], args].concat(), env).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    ended.stdout
}

#[tokio::test]
async fn what_is_printed_says_where_each_value_stands() {
    let folder = Folder::new("config");
    let file = folder.file("chat.toml", "[redis]\nprefix = 'chat'\n[server]\nworkers = 2\n");
    let env =
        [("REDIS_URL", "redis://keeper:hunter2@redis/3"), ("PALABRE_AUTH_SECRET", "hunter2hunter2hunter2")];
    let text = printed(&["--config", &file, "--set", "redis.deadline=1s"], &env).await;
    for line in [
        "listen = \"127.0.0.1:0\" # --listen",
        &format!("workers = 2 # {file}"),
        "# url = \"redis://***@redis/3\" # REDIS_URL, masked",
        "enabled = true # default",
        "deadline = \"1s\" # --set",
        &format!("prefix = \"chat\" # {file}"),
        "# secret = \"***\" # PALABRE_AUTH_SECRET, masked",
        "# guests is not set",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is missing:\n{text}");
    }
    assert!(!text.contains("hunter2") && !text.contains("keeper"), "{text}");
}

#[tokio::test]
async fn what_is_printed_is_a_file_that_means_the_same() {
    let folder = Folder::new("config");
    let file = folder.file(
        "all.toml",
        "[node]\nid = 'one'\n[server]\nworkers = 2\n[redis]\nurl = 'redis://[::1]:7/3'\nenabled = false\n\
         deadline = '1s 5ms'\nprefix = 'x'\n[auth]\nguests = true\n\
         [presence]\nenabled = false\nmembers_max = 50\n",
    );
    let first = printed(&["--config", &file], &[]).await;
    let again = folder.file("again.toml", &first);
    let second = printed(&["--config", &again], &[]).await;
    let settings = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#') && line.contains(" # "));
        let lines = lines.map(|line| line.rsplit_once(" # ").unwrap().0.to_owned());
        lines.collect::<Vec<_>>()
    };
    assert!(settings(&first).len() >= 10, "{first}");
    assert_eq!(settings(&second), settings(&first));
}

#[tokio::test]
async fn a_check_finds_every_mistake_and_touches_nothing() {
    let folder = Folder::new("config");
    let file = folder.file("chat.toml", "[server]\nlistne = 1\n[redis]\ndeadline = '9ms'\n");
    let env = [("REDIS_URL", "http://:hunter2@h"), ("PALABRE_AUTH_SECRET_FILE", "/hunter2")];
    let refused = Ended::of(&["config", "check", "--config", &file], &env).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    let lines: Vec<&str> = refused.stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{refused:?}");
    for (line, part) in lines.iter().zip([
        "server.listne in",
        "the file that PALABRE_AUTH_SECRET_FILE names",
        "redis.url (in REDIS_URL)",
        "redis.deadline (in",
    ]) {
        assert!(line.starts_with("palabre: ") && line.contains(part), "{part}: {refused:?}");
    }
    assert!(!refused.stderr.contains("hunter2"), "{refused:?}");

    // A Redis that is not there, and a port that is taken, are no mistakes of the configuration.
    let hub = HubProcess::start(&[]).await;
    let (listen, url) = (hub.addr().to_string(), format!("redis://{}", nowhere()));
    let args = ["config", "check", "--listen", &listen, "--redis-url", &url];
    let fine = Ended::of(&args, &[("PALABRE_AUTH_SECRET", "0123456789abcdef")]).await;
    assert_eq!(
        (fine.code, fine.stdout.as_str(), fine.stderr.as_str()),
        (Some(0), "the configuration is valid\n", "")
    );
    let warned = Ended::of(&args, &[]).await;
    assert_eq!(warned.code, Some(0));
    assert!(warned.stderr.starts_with("palabre: warning: auth.secret is not set"), "{warned:?}");

    let filter = Ended::of(&["config", "check"], &[("PALABRE_LOG", "=[")]).await;
    assert_eq!(filter.code, Some(2), "{filter:?}");
}

#[tokio::test]
async fn a_node_whose_redis_is_switched_off_stands_alone_and_is_well() {
    let url = format!("redis://{}", nowhere());
    let hub = HubProcess::start_with(&["--redis-url", &url], &[("REDIS_ENABLED", "false")]).await;
    let health = health(hub.addr()).await;
    assert_eq!(health["layer"]["mode"], "memory");
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["redis"]["redis_enabled"], false);
    assert_eq!(health["redis"]["redis_configured"], true);
    assert!(!hub.stderr().contains("auth.secret"), "{}", hub.stderr());
}

#[tokio::test]
async fn a_node_s_name_is_seen_by_whoever_looks_after_it_and_by_the_other_nodes() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let one = HubProcess::start(&["--redis-url", &url, "--set", "node.id=one"]).await;
    let two = HubProcess::start_with(&["--redis-url", &url], &[("PALABRE_NODE_ID", "two.example")]).await;
    assert_eq!(health(one.addr()).await["node_id"], "one");
    assert!(one.stderr().contains("id=one"), "{}", one.stderr());
    let names = until("each node sees both", async || {
        let peers = health(two.addr()).await["layer"]["peers"].take();
        let mut names: Vec<_> = peers.as_array()?.iter().map(|peer| peer["node_id"].to_string()).collect();
        names.sort();
        (names.len() == 2).then_some(names)
    })
    .await;
    assert_eq!(names, ["\"one\"", "\"two.example\""]);

    let refused = Ended::of(&["--set", "node.id=a b"], &[]).await;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("node.id (in --set): must be 1 to 64"), "{refused:?}");
}
