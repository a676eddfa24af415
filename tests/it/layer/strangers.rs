//! What others write where this hub reads: at worst it is dropped and counted, and nobody waits for it.

use std::sync::Arc;

use channel_layer::{ChannelLayer, Health, Mode, RedisRelay, ResilientLayer};
use palabre_tests::{RedisServer, machine::until};

use super::nodes::{
    Beside, PATIENT, PREFIX, channel, group, healthy_node, is, member, message, numbers, send,
};

/// An envelope of the first build, with an empty header.
fn envelope(id: u128) -> Vec<u8> {
    [&[1, 0], &id.to_be_bytes()[..], &[0, 0], b"{}"].concat()
}

#[tokio::test]
async fn a_push_from_an_epoch_or_an_offset_that_never_was_is_counted_and_stops_nothing() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let lobby = group("lobby");
    let mut mailbox = member(&layer, &lobby, 64).await;
    let position = send(&layer, &lobby, 1).await.position.unwrap();
    let mut beside = Beside::new(&redis).await;
    let labels = [format!("{}{:016x}", position.epoch, 1_000_000), format!("{:016x}{:016x}", 77, 2)];
    for (number, label) in (1..).zip(&labels) {
        let payload = [b"1700000000", label.as_bytes(), &envelope(u128::MAX)].concat();
        beside.ask_bytes::<u64>(&[b"PUBLISH", channel(&lobby).as_bytes(), &payload]).await;
        until("what nobody sent is counted", async || {
            (layer.report().counts.malformed == number).then_some(())
        })
        .await;
    }
    assert_eq!(layer.report().counts.gaps, 0);
    // Neither this group nor another waits for anything.
    send(&layer, &lobby, 2).await;
    send(&layer, &group("garden"), 3).await;
    assert_eq!(numbers(&mut mailbox, 2).await, [1, 2]);
    let asked = calls(&mut beside).await;
    send(&layer, &lobby, 4).await;
    assert_eq!(calls(&mut beside).await - asked, 1, "nothing is asked for again and again");
}

/// How many scripts Redis has run.
async fn calls(beside: &mut Beside) -> u64 {
    let stats: String = beside.ask("INFO commandstats").await;
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")).unwrap();
    line.split(',').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn hubs_in_two_databases_of_one_server_do_not_meet() {
    let redis = RedisServer::start().await;
    let in_database = async |database: u32| {
        let relay = RedisRelay::new(&format!("{}/{database}", redis.url()), PREFIX).unwrap();
        let layer = ResilientLayer::new(Arc::new(relay), Mode::Redis, PATIENT);
        is(&layer, Health::Healthy).await;
        layer
    };
    let (here, there) = (in_database(0).await, in_database(3).await);
    let lobby = group("lobby");
    let (mut at_here, mut at_there) = (member(&here, &lobby, 8).await, member(&there, &lobby, 8).await);
    send(&there, &lobby, 1).await;
    send(&here, &lobby, 2).await;
    send(&there, &lobby, 3).await;
    assert_eq!(numbers(&mut at_here, 1).await, [2]);
    assert_eq!(numbers(&mut at_there, 2).await, [1, 3]);
    here.group_send(lobby, message(4), channel_layer::Retention::Ephemeral).await.unwrap();
    assert_eq!(numbers(&mut at_here, 1).await, [4]);
    for layer in [&here, &there] {
        assert_eq!(layer.report().counts.malformed, 0);
        layer.shutdown().await.unwrap();
    }
    assert!(at_there.try_recv().is_none_or(|last| matches!(last, channel_layer::Received::Closed)));
}
