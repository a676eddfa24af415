//! What must not be seen is not seen: secrets are planted wherever a node takes one, and looked for in all that it says.

use palabre_tests::http::get;
use palabre_tests::machine::{Folder, until};
use palabre_tests::{Client, Ended, HubProcess, RedisServer};
use serde_json::json;

use super::health;

/// No word of any program; each secret begins with it.
const MARK: &str = "zq7XkSecret";

/// Arguments, variables, and the exit code that they lead to.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], i32);

/// Everything that a running hub says to whoever looks.
async fn said(hub: &HubProcess) -> Vec<(&'static str, String)> {
    let mut all = vec![("stdout", hub.stdout()), ("stderr", hub.stderr())];
    for path in ["/", "/health", "/api/health", "/readyz", "/livez", "/metrics", "/nothing"] {
        all.push((path, get(hub.addr(), path).await.text().to_owned()));
    }
    let command_line = std::fs::read(format!("/proc/{}/cmdline", hub.pid())).expect("the hub runs");
    all.push(("the command line", String::from_utf8_lossy(&command_line).into_owned()));
    all
}

fn assert_clean(said: &[(&str, String)]) {
    for (place, text) in said {
        assert!(!text.contains(MARK), "{place} shows a secret:\n{text}");
    }
}

/// Takes Redis away from everybody but one user.
async fn lock(redis: &RedisServer, user: &str, password: &str) {
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut link = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let mut acl = redis::cmd("ACL");
    acl.arg(&["SETUSER", user, "on", &format!(">{password}"), "~*", "&*", "+@all"]);
    acl.query_async::<()>(&mut link).await.expect("a user can be made");
    let mut off = redis::cmd("ACL");
    off.arg(&["SETUSER", "default", "off"])
        .query_async::<()>(&mut link)
        .await
        .expect("and the others locked out");
}

#[tokio::test]
async fn no_secret_and_nothing_of_a_client_is_in_anything_that_a_node_says() {
    let (user, password) = (format!("{MARK}-user"), format!("{MARK}-password"));
    let mut redis = RedisServer::start().await;
    lock(&redis, &user, &password).await;
    let folder = Folder::new("secrets");
    let secret = folder.file("secret", &format!("{MARK}-signing\n"));
    let url = format!("redis://{user}:{password}@127.0.0.1:{}", redis.port());
    let env = [
        ("PALABRE_REDIS_URL", url.as_str()),
        ("PALABRE_AUTH_SECRET_FILE", secret.as_str()),
        ("PALABRE_LOG", "trace"),
    ];
    let hub = HubProcess::start_with(&[], &env).await;
    until("the password opens Redis", async || {
        (health(hub.addr()).await["status"] == "healthy").then_some(())
    })
    .await;

    let mut client = Client::connect(hub.addr()).await;
    let welcome = client.hello(&format!("{MARK}-name")).await;
    let token = welcome["token"].as_str().expect("a guest gets a token");
    client.join("room").await;
    client.send("room", &format!("{MARK}-text")).await;
    for bad in [
        format!(r#"{{"type":"{MARK}-type","ref":"1"}}"#),
        format!(r#"{{"type":"chat.send","ref":"{MARK}-ref","{MARK}-field":1}}"#),
        format!("{MARK}-no-json"),
    ] {
        client.raw_text(&bad).await;
    }
    client.so_far().await;
    let mut again = Client::connect(hub.addr()).await;
    again.request(json!({"type": "hello", "token": token})).await;
    let mut forged = Client::connect(hub.addr()).await;
    forged.request(json!({"type": "hello", "token": format!("{MARK}-token")})).await;

    // What is said of a password that is wrong, and of a Redis that goes, comes from deep inside.
    let wrong = format!("redis://{user}:{MARK}-wrong@127.0.0.1:{}", redis.port());
    let locked_out = HubProcess::start_with(&[], &[("REDIS_URL", &wrong), ("PALABRE_LOG", "trace")]).await;
    until("Redis refuses", async || locked_out.stderr().contains("WRONGPASS").then_some(())).await;
    assert_clean(&said(&locked_out).await);
    redis.kill().await;
    until("the loss is seen", async || (health(hub.addr()).await["status"] == "degraded").then_some(()))
        .await;

    let said = said(&hub).await;
    assert!(said.iter().any(|(_, text)| text.contains("***@127.0.0.1")), "the address itself may be known");
    assert_clean(&said);
    assert!(said.iter().all(|(_, text)| !text.contains(token)), "a guest's token is shown");
}

#[tokio::test]
async fn no_secret_is_in_what_the_program_prints_about_its_settings() {
    let folder = Folder::new("secrets");
    let url = format!("redis://{MARK}:{MARK}@127.0.0.1");
    let file =
        folder.file("chat.toml", &format!("[auth]\nsecret = '{MARK}-{MARK}'\n[redis]\nurl = '{url}'\n"));
    // The same in every wrong place: another setting, another variable, another flag, a broken file, no setting at all.
    let broken = folder.file("broken.toml", &format!("[auth]\nsecret = \"{MARK}\n"));
    let typed =
        folder.file("typed.toml", &format!("[auth]\nguests = '{MARK}'\n[server]\nlisten = '{MARK}'\n"));
    let (assigned, bare) = (format!("auth.secret={MARK}-{MARK}"), format!("--auth-secret={MARK}"));
    let cases: [Case<'_>; 11] = [
        (&["config", "print", "--config", &file], &[], 0),
        (&["config", "check", "--config", &file], &[], 0),
        (&["config", "print", "--redis-url", &url], &[("PALABRE_AUTH_SECRET", MARK)], 2),
        (&["config", "check", "--config", &broken], &[], 2),
        (&["--config", &typed], &[], 2),
        (&["--set", &assigned], &[], 2),
        (&["--set", MARK], &[], 2),
        (&[&bare], &[], 2),
        (&[], &[("PALABRE_AUTH_SECRET_FILE", MARK)], 2),
        (&[], &[("REDIS_URL", MARK), ("PALABRE_REDIS_DEADLINE", MARK)], 2),
        (&[], &[("PALABRE_SECRET", MARK), ("PALABRE_LOG", MARK), ("REDIS_ENABLED", MARK)], 2),
    ];
    for (args, env, code) in cases {
        let ended = Ended::of(args, env).await;
        assert_eq!(ended.code, Some(code), "{args:?} {env:?}: {ended:?}");
        assert_clean(&[("stdout", ended.stdout), ("stderr", ended.stderr)]);
    }
}
