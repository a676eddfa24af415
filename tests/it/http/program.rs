//! The program itself: what it refuses before it serves, in which words, and with which exit code.

use palabre_tests::machine::Folder;
use palabre_tests::{Client, Ended, HubProcess};

use super::nowhere;

/// The one line of a program that ended by itself.
fn complaint(ended: &Ended) -> &str {
    let line = ended.stderr.strip_suffix('\n').unwrap_or_default();
    assert!(line.starts_with("palabre: ") && !line.contains('\n'), "not one line: {ended:?}");
    assert_eq!(ended.stdout, "", "what is refused prints nothing");
    line
}

#[tokio::test]
async fn guests_from_outside_have_to_be_wanted() {
    let refused = Ended::of(&["--listen", "0.0.0.0:0"], &[]).await;
    assert_eq!(refused.code, Some(2));
    assert!(complaint(&refused).contains("auth.guests = true"), "{refused:?}");
    // It listens and says where, which is what the fixture waits for.
    let hub = HubProcess::start_with(&["--listen", "0.0.0.0:0"], &[("PALABRE_AUTH_GUESTS", "true")]).await;
    assert!(hub.addr().ip().is_unspecified());
}

#[tokio::test]
async fn a_setting_that_means_nothing_is_refused_by_its_name_and_place() {
    let folder = Folder::new("config");
    let file = folder.file("chat.toml", "[server]\nlistne = '127.0.0.1:0'\n");
    let refused = Ended::of(&["--config", &file], &[]).await;
    assert_eq!(refused.code, Some(2));
    let line = complaint(&refused);
    assert!(line.contains("server.listne") && line.contains("chat.toml"), "{line}");

    let refused = Ended::of(&[], &[("PALABRE_REDIS_URI", "redis://:hunter2@127.0.0.1")]).await;
    assert_eq!(refused.code, Some(2));
    let line = complaint(&refused);
    assert!(line.contains("PALABRE_REDIS_URI") && !line.contains("hunter2"), "{line}");
}

#[tokio::test]
async fn a_file_is_obeyed() {
    let folder = Folder::new("config");
    let file =
        folder.file("chat.toml", "[server]\nlisten = '[::1]:0'\n[auth]\nsecret = '0123456789abcdef'\n");
    let starts = async |token: &str| {
        let hub = HubProcess::start(&["--config", &file, "--listen", "127.0.0.1:0"]).await;
        let mut client = Client::connect(hub.addr()).await;
        client.request(serde_json::json!({"type": "hello", "token": token})).await
    };
    let first = starts("").await;
    // The same secret in the next process knows the guest again.
    let again = starts(first["token"].as_str().unwrap()).await;
    assert_eq!(again["user"]["id"], first["user"]["id"]);
}

#[tokio::test]
async fn a_command_line_that_means_nothing_is_refused() {
    for args in [&["--port", "1"][..], &["start"], &["--listen", "here"], &["--redis-url", "http://x"]] {
        let refused = Ended::of(args, &[]).await;
        assert_eq!(refused.code, Some(2), "{args:?}");
        complaint(&refused);
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_line_and_another_exit_code() {
    let hub = HubProcess::start(&[]).await;
    let listen = hub.addr().to_string();
    let refused = Ended::of(&["--listen", &listen], &[]).await;
    assert_eq!(refused.code, Some(1));
    assert!(complaint(&refused).contains(&listen), "{refused:?}");
    // The first one does not mind.
    Client::connect(hub.addr()).await.hello("Ana").await;
}

#[tokio::test]
async fn the_version_is_printed_and_serving_is_what_it_does_unless_told_otherwise() {
    let version = Ended::of(&["--version"], &[]).await;
    assert_eq!((version.code, version.stderr.as_str()), (Some(0), ""));
    assert_eq!(version.stdout, format!("palabre {}\n", env!("CARGO_PKG_VERSION")));

    for args in [&[][..], &["serve"]] {
        let hub = HubProcess::start(args).await;
        assert_eq!(hub.stdout(), format!("listening on http://{}\n", hub.addr()));
        Client::connect(hub.addr()).await.hello("Ana").await;
    }
}

#[tokio::test]
async fn several_nodes_without_a_secret_are_warned_once() {
    let url = format!("redis://{}", nowhere());
    let hub = HubProcess::start(&["--redis-url", &url]).await;
    let log = hub.stderr();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("auth.secret")).collect();
    assert!(matches!(warnings[..], [warning] if warning.contains(" WARN ")), "{log}");

    let secret = [("PALABRE_AUTH_SECRET", "0123456789abcdef")];
    let hub = HubProcess::start_with(&["--redis-url", &url], &secret).await;
    assert!(!hub.stderr().contains("auth.secret"), "{}", hub.stderr());
}

/// How many descriptors a process has, and how many it may raise that to.
fn descriptors(hub: &HubProcess) -> (u64, u64) {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", hub.pid())).expect("the hub runs");
    let line =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("files are limited");
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    (numbers[0], numbers[1])
}

#[tokio::test]
async fn it_takes_all_the_descriptors_that_it_may_have() {
    let hub = HubProcess::start_soft_limited(300).await;
    let (soft, hard) = descriptors(&hub);
    assert!(soft == hard && soft > 300, "{soft} of {hard}");
    assert!(hub.stderr().contains(&format!("limit={soft}")), "{}", hub.stderr());
}

#[tokio::test]
async fn few_descriptors_are_warned_of_with_what_to_set() {
    let hub = HubProcess::start_limited(300, &[]).await;
    assert_eq!(descriptors(&hub), (300, 300));
    let log = hub.stderr();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("descriptors.few")).collect();
    let says = |line: &str| {
        let words = [" WARN ", "limit=300", "room=172", "LimitNOFILE", "4096"];
        words.iter().all(|word| line.contains(word))
    };
    assert!(matches!(warnings[..], [warning] if says(warning)), "{log}");
    Client::connect(hub.addr()).await.hello("Ana").await;
}
