//! Nodes of other builds on the same Redis: what they write is read, or counted and passed over.
//!
//! A test has no old binary to run. What one wrote is kept as bytes beside the envelope's code; here it stands in a stream and
//! comes through a channel, as the first build's script put it there.

use std::sync::Arc;

use channel_layer::{
    Amendment, ChannelLayer, Delivery, Error, Health, Mailbox, Message, MessageId, Mode, Owner, Posted,
    Recovered, RedisRelay, ResilientLayer, Span,
};
use palabre_tests::{RedisServer, machine::until};

use super::nodes::{
    Beside, PATIENT, PREFIX, channel, group, healthy_node, is, member, next, next_message, offset, send,
};

const FIRST: &str = include_str!("../../../channel-layer/golden/first.txt");
const AMEND: &str = include_str!("../../../channel-layer/golden/amend.txt");

/// The id of every golden envelope.
const ID: u128 = 0x9e9d_f6bf_09a6_d235_50d1_ea26_799f_ab42;

fn golden(file: &str, name: &str) -> Vec<u8> {
    let digits = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Keeps and publishes an envelope under an id, as the first build's script does.
async fn write(redis: &RedisServer, id: u128, kind: &str, envelope: &[u8]) {
    let script = r"
        local offset = redis.call('HINCRBY', KEYS[1], 'o', 1)
        local epoch, time = redis.call('HGET', KEYS[1], 'e'), redis.call('TIME')
        redis.call('XADD', KEYS[2], offset .. '-0', 'e', epoch, 'ts', time[1] .. '000', 'id', ARGV[2],
            'k', ARGV[4], 'b', ARGV[3])
        redis.call('HSET', KEYS[3], ARGV[2], epoch .. ':' .. offset .. ':aa')
        redis.call('HINCRBY', KEYS[1], 'b', #ARGV[3] + 96)
        redis.call('PUBLISH', ARGV[1], epoch .. string.format('%016x', offset) .. ARGV[3])";
    let (lobby, id) = (group("lobby"), id.to_be_bytes());
    let channel = channel(&lobby);
    let args: [&[u8]; 4] = [channel.as_bytes(), &id, envelope, kind.as_bytes()];
    Beside::new(redis).await.eval(script, &lobby, &args).await;
}

async fn history(layer: &dyn ChannelLayer) -> Vec<Arc<Posted>> {
    let recovered = layer.history(group("lobby"), Span::Latest, 100).await.unwrap();
    let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
    page.messages
}

/// A message's id and the last of its text.
fn shown(posted: &Posted) -> (u128, String) {
    let text = String::from_utf8(posted.body.data().to_vec()).unwrap();
    (posted.id.as_u128(), text.split(',').next_back().unwrap().to_owned())
}

#[tokio::test]
async fn what_the_first_build_kept_is_delivered_and_read_and_nobody_s_to_amend() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let lobby = group("lobby");
    let mut mailbox = member(&layer, &lobby, 16).await;
    for (number, name) in [(1, "excluding"), (2, "frame")] {
        let mut envelope = golden(FIRST, name);
        envelope[2..18].copy_from_slice(&u128::to_be_bytes(number));
        write(&redis, number, "msg", &envelope).await;
        let posted = next_message(&mut mailbox).await;
        assert_eq!(shown(&posted), (number, r#""version":1}"#.to_owned()));
        assert_eq!((posted.owner, posted.version.is_none()), (None, true));
        assert_eq!(posted.except.is_some(), name == "excluding");
    }
    let late = healthy_node(&redis).await;
    let ids: Vec<u128> = history(&late).await.iter().map(|posted| posted.id.as_u128()).collect();
    assert_eq!(ids, [1, 2]);
    let mine = Message::frame(MessageId::from_u128(9), "mine").owned_by(Owner::from_u64(0));
    let refused = late.amend(lobby, MessageId::from_u128(2), mine, Amendment::Replace).await;
    assert_eq!(refused, Err(Error::Forbidden));
}

#[tokio::test]
async fn what_this_build_keeps_is_what_another_one_of_its_kind_reads() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let mut mailbox = member(&layer, &group("lobby"), 16).await;
    write(&redis, ID, "msg", &golden(AMEND, "owned")).await;
    assert!(next_message(&mut mailbox).await.owner.is_some());
    write(&redis, 7, "msg", &golden(AMEND, "replaced")).await;
    let posted = next_message(&mut mailbox).await;
    let version = posted.version.as_ref().unwrap();
    assert_eq!((posted.id.as_u128(), version.number, version.first.offset), (ID, 2, 17));
    assert_eq!(history(&layer).await.len(), 1, "the node's copy has the newest alone");
}

async fn passed(mailbox: &mut Mailbox) -> u64 {
    match next(mailbox).await {
        Delivery::Message(posted) => offset(&posted),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_a_newer_build_writes_is_counted_and_passed_over() {
    let redis = RedisServer::start().await;
    let relay = Arc::new(RedisRelay::new(&redis.url(), PREFIX).unwrap());
    let layer = ResilientLayer::new(Arc::clone(&relay) as _, Mode::Redis, PATIENT);
    is(&layer, Health::Healthy).await;
    let lobby = group("lobby");
    let mut mailbox = member(&layer, &lobby, 16).await;
    send(&layer, &lobby, 1).await;
    let mut newer = golden(FIRST, "frame");
    newer[0] = 2;
    write(&redis, 2, "msg", &newer).await;
    write(&redis, 3, "poll", &golden(FIRST, "frame")).await;
    until("both were counted", async || (relay.unread() >= 1).then_some(())).await;
    send(&layer, &lobby, 4).await;
    let mut live = Vec::new();
    for _ in 0..4 {
        live.push(passed(&mut mailbox).await);
    }
    assert_eq!(live, [1, 2, 3, 4], "positions move past what nobody is shown");
    let late = healthy_node(&redis).await;
    let bodies: Vec<usize> = history(&late).await.iter().map(|posted| posted.body.data().len()).collect();
    assert_eq!(bodies, [1, 0, 0, 1]);
    assert!(relay.unread() >= 2, "{}", relay.unread());
}
