//! What waits while Redis hangs is bounded in bytes as well: the largest messages that there are, as fast as they can be sent.

use channel_layer::{
    BODY_BYTES_MAX, ChannelLayer, ChannelName, Error, Health, Message, MessageId, Retention,
};
use futures_util::future::join_all;
use palabre_tests::{RedisServer, machine::until};

use super::nodes::{IN_LIFE, group, insist, is, node};

/// Together a gigabyte.
const SENT: u32 = 2_000;

/// What may wait in all: 32 MiB.
const WAITING_MAX: usize = 64;

/// Room for that, for what is packed of it, and for whatever other tests of this process do meanwhile.
const GROWS_KIB_MAX: u64 = 256 << 10;

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

fn large(id: u32) -> Message {
    Message::frame(MessageId::from_u128(id.into()), vec![b' '; BODY_BYTES_MAX])
}

#[tokio::test]
async fn what_waits_while_redis_hangs_is_bounded_in_bytes_and_there_is_room_again_after_it() {
    let redis = RedisServer::start().await;
    let layer = node(&redis, IN_LIFE);
    is(&layer, Health::Healthy).await;
    let lobby = group("lobby");
    insist(&layer, &lobby, &large(0)).await;
    redis.stop_process().await;

    let before = resident_kib();
    let elsewhere: ChannelName = "another.1!x".parse().unwrap();
    let mut answers = Vec::new();
    for id in 1..=SENT / 2 {
        answers.push(Box::pin(layer.send(elsewhere.clone(), large(id))) as _);
        let sent = layer.group_send(lobby.clone(), large(id), Retention::Kept);
        answers.push(Box::pin(async { sent.await.map(drop) })
            as futures_util::future::BoxFuture<'_, Result<(), Error>>);
    }
    let grown = resident_kib().saturating_sub(before);
    let answers: Vec<Result<(), Error>> = join_all(answers).await;
    let count = |error: Error| answers.iter().filter(|answer| **answer == Err(error.clone())).count();
    // Those to a group were handed out here.
    let waited = count(Error::Unavailable) + answers.iter().filter(|answer| answer.is_ok()).count();
    let refused = count(Error::Overloaded);
    assert_eq!(waited + refused, answers.len(), "{waited} waited, {refused} were refused");
    assert!((1..WAITING_MAX).contains(&waited), "{waited} waited");
    assert!(grown < GROWS_KIB_MAX, "{grown} KiB more");

    // Who was answered gives its room back, although Redis still hangs.
    until("there is room again", async || {
        layer.group_send(lobby.clone(), large(SENT), Retention::Kept).await.ok()
    })
    .await;
    redis.cont().await;
    is(&layer, Health::Healthy).await;
    insist(&layer, &lobby, &large(SENT + 1)).await;
}
