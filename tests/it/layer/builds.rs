//! Nodes of other builds on the same Redis: both chat, and what one cannot read is counted and passed over.
//!
//! A test has no old binary to run. What one wrote is kept as bytes beside the envelope's code, and so are its scripts: `other`
//! is a node that speaks to Redis by these. It is the first that kept histories in the present form, or one whose envelopes say
//! more than anybody knows yet. An older form is not shared: such a history begins anew.

mod envelope;
mod other;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use channel_layer::{
    Amendment, ChannelLayer, Delivery, Error, Health, Mailbox, Message, MessageId, Mode, Owner, Position,
    Posted, Recovered, RedisRelay, ResilientLayer, Retention, Sent, Span,
};
use futures_util::future::join_all;
use palabre_tests::{RedisServer, machine::until};

use self::{envelope::Build, other::OtherBuild};
use super::nodes::{
    Beside, PATIENT, PREFIX, group, healthy_node, is, member, message, next, next_message, number,
    numbers_of, offset, send,
};

const FIRST: &str = include_str!("../../../channel-layer/golden/first.txt");
const AMEND: &str = include_str!("../../../channel-layer/golden/amend.txt");

/// The id of every golden envelope.
const ID: u128 = 0x9e9d_f6bf_09a6_d235_50d1_ea26_799f_ab42;

fn golden(file: &str, name: &str) -> Vec<u8> {
    let digits = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Keeps and publishes an envelope under an id, as `keep.lua` does.
async fn write(redis: &RedisServer, id: u128, envelope: &[u8]) {
    let script = r"
        local h = head()
        h[1], h[2] = h[1] + 1, h[2] + #ARGV[2] + 96
        set_head(h)
        local label = redis.call('HGET', KEYS[1], 'e') .. string.format('%016x', h[1])
        local entry = redis.call('TIME')[1] .. label .. ARGV[2]
        redis.call('HSET', KEYS[1], h[1], entry, ARGV[1], label .. 'aa')
        redis.call('PUBLISH', KEYS[1], entry)";
    let args: [&[u8]; 2] = [&id.to_be_bytes(), envelope];
    Beside::new(redis).await.eval(script, &group("lobby"), &args).await;
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
        write(&redis, number, &envelope).await;
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
    write(&redis, ID, &golden(AMEND, "owned")).await;
    assert!(next_message(&mut mailbox).await.owner.is_some());
    write(&redis, 7, &golden(AMEND, "replaced")).await;
    let posted = next_message(&mut mailbox).await;
    let version = posted.version.as_ref().unwrap();
    assert_eq!((posted.id.as_u128(), version.number, version.first.unwrap().offset), (ID, 2, 17));
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
    write(&redis, 2, &newer).await;
    let mut poll = golden(FIRST, "frame");
    poll[1] = 77;
    write(&redis, 3, &poll).await;
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

#[tokio::test]
async fn what_a_build_of_another_form_keeps_is_left_alone_and_what_it_says_is_not_heard() {
    let redis = RedisServer::start().await;
    let mut beside = Beside::new(&redis).await;
    beside.ask::<i64>("HSET test:{lobby}:m v 2 e 00000000000000ff o 1").await;
    let layer = healthy_node(&redis).await;
    let mut mailbox = member(&layer, &group("lobby"), 16).await;
    send(&layer, &group("lobby"), 1).await;
    let payload = [b"00000000000000ff0000000000000001", &*golden(FIRST, "frame")].concat();
    let heard: u64 = beside.ask_bytes(&[b"PUBLISH", b"test:{lobby}", &payload]).await;
    send(&layer, &group("lobby"), 2).await;
    assert_eq!(heard, 0);
    for at in 1..=2 {
        assert_eq!(passed(&mut mailbox).await, at);
    }
    let form: String = beside.ask("HGET test:{lobby}:m v").await;
    assert_eq!((form.as_str(), layer.report().counts.malformed), ("2", 0));
}

/// A node of another build on the same Redis, and its relay.
async fn other_node(redis: &RedisServer, build: Build) -> (ResilientLayer, Arc<OtherBuild>) {
    let relay = Arc::new(OtherBuild::new(&redis.url(), build));
    let layer = ResilientLayer::new(Arc::clone(&relay) as _, Mode::Redis, PATIENT);
    is(&layer, Health::Healthy).await;
    (layer, relay)
}

/// The history as a node has it, with everything that was sent.
async fn texts(layer: &dyn ChannelLayer) -> Vec<(u32, String)> {
    let text = |posted: &Arc<Posted>| String::from_utf8(posted.body.data().to_vec()).unwrap();
    history(layer).await.iter().map(|posted| (number(posted), text(posted))).collect()
}

async fn two_builds_chat(build: Build) {
    const EACH: u32 = 100;
    let redis = RedisServer::start().await;
    let (other, relay) = other_node(&redis, build).await;
    let this = healthy_node(&redis).await;
    let lobby = group("lobby");
    let mut mailboxes = [member(&other, &lobby, 512).await, member(&this, &lobby, 512).await];
    // Both at once, each with owners, exclusions and repeats of what the other has sent.
    let except = mailboxes[0].channel().at("socket-3").unwrap();
    let own = |n: u32| message(n).owned_by(Owner::from_u64(7)).except(except.clone());
    let send = |layer: &ResilientLayer, n: u32| layer.group_send(lobby.clone(), own(n), Retention::Kept);
    let sends = (0..EACH).flat_map(|n| [send(&other, n), send(&this, EACH + n), send(&this, n)]);
    let mut positions = HashMap::new();
    for sent in join_all(sends.collect::<Vec<_>>()).await {
        let Sent { id, position, .. } = sent.unwrap();
        assert_eq!(*positions.entry(id).or_insert(position), position, "one message, one position");
    }
    let count = 2 * EACH as usize;
    assert_eq!(positions.len(), count);
    let mut orders = Vec::new();
    for mailbox in &mut mailboxes {
        let mut order = Vec::new();
        for at in 1..=u64::from(2 * EACH) {
            let posted = next_message(mailbox).await;
            assert_eq!((offset(&posted), positions[&posted.id]), (at, posted.position));
            assert_eq!(
                (posted.except.as_ref(), posted.body.data()),
                (Some(&except), own(number(&posted)).body.data())
            );
            order.push(number(&posted));
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1], "both see one order");
    // What is passed on without being kept, both ways.
    for (layer, n) in [(&other, 900), (&this, 901)] {
        layer.group_send(lobby.clone(), message(n), Retention::Ephemeral).await.unwrap();
        for mailbox in &mut mailboxes {
            let posted = next_message(mailbox).await;
            assert_eq!((number(&posted), posted.position), (n, None));
        }
    }
    // Whoever comes late reads all of it, of either build, from the same positions.
    let (late_other, _) = other_node(&redis, build).await;
    let late = healthy_node(&redis).await;
    let read = texts(&this).await;
    assert_eq!(read.iter().map(|(n, _)| *n).collect::<Vec<_>>(), orders[0][count - 100..]);
    for layer in [&other, &late_other, &late] {
        assert_eq!(texts(layer).await, read);
        let from = positions[&message(orders[0][149]).id].unwrap();
        let after = layer.history(lobby.clone(), Span::After(from), 100).await.unwrap();
        assert_eq!(
            numbers_of(after.page()),
            orders[0][150..],
            "a position of one build is good with the other"
        );
    }
    let another = Message::frame(message(0).id, "another body");
    for layer in [&late_other, &late] {
        let refused = layer.group_send(lobby.clone(), another.clone(), Retention::Kept).await;
        assert_eq!(refused, Err(Error::Conflict));
    }
    assert_eq!(relay.unread.load(Ordering::SeqCst), 0, "the other build could read everything");
    assert!(
        Beside::new(&redis).await.meta(&lobby).await["e"] == from_epoch(&positions),
        "one epoch all the time"
    );
}

fn from_epoch(positions: &HashMap<MessageId, Option<Position>>) -> String {
    positions.values().next().unwrap().unwrap().epoch.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_the_first_build_and_one_of_this_chat_on_one_redis() {
    two_builds_chat(Build::First).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_envelopes_have_fields_of_a_build_to_come_chats_with_one_of_this() {
    two_builds_chat(Build::Newer).await;
}

#[tokio::test]
async fn a_node_that_knows_no_amendments_goes_on_beside_one_that_makes_them() {
    let redis = RedisServer::start().await;
    let (first, relay) = other_node(&redis, Build::First).await;
    let this = healthy_node(&redis).await;
    let lobby = group("lobby");
    let mut mailboxes = [member(&first, &lobby, 64).await, member(&this, &lobby, 64).await];
    let owner = Owner::from_u64(7);
    for n in 1..=3 {
        this.group_send(lobby.clone(), message(n).owned_by(owner), Retention::Kept).await.unwrap();
    }
    let amend = async |by: u32, target: u32, amendment| {
        let message = Message::frame(message(by).id, "amended").owned_by(owner);
        this.amend(lobby.clone(), super::nodes::message(target).id, message, amendment).await.unwrap();
    };
    amend(100, 1, Amendment::Replace).await;
    amend(101, 2, Amendment::Delete).await;
    send(&first, &lobby, 4).await;
    // The one that knows takes each for what it is; to the other they are copies of what it has, and move its position.
    let mut live = [Vec::new(), Vec::new()];
    for (mailbox, live) in mailboxes.iter_mut().zip(&mut live) {
        for _ in 0..6 {
            live.push(match next(mailbox).await {
                Delivery::Message(posted) => (number(&posted), offset(&posted), posted.version.is_some()),
                Delivery::Placed { id, position, .. } => {
                    (u32::try_from(id.as_u128()).unwrap(), position.offset, false)
                }
                other => panic!("{other:?}"),
            });
        }
    }
    assert_eq!(
        live[1],
        [(1, 1, false), (2, 2, false), (3, 3, false), (1, 4, true), (2, 5, true), (4, 6, false)]
    );
    assert_eq!(live[0], live[1].iter().map(|(n, at, _)| (*n, *at, false)).collect::<Vec<_>>());
    // Who reads it anew has the newest text of each, of either build; and the group is the same one.
    let (late, _) = other_node(&redis, Build::First).await;
    let _member = member(&late, &lobby, 8).await;
    let expected = [(3, "3"), (1, "amended"), (2, "amended"), (4, "4")].map(|(n, text)| (n, text.to_owned()));
    for layer in [&late, &this] {
        assert_eq!(texts(layer).await, expected);
    }
    assert_eq!(send(&late, &lobby, 5).await.position.unwrap().offset, 7);
    assert_eq!(relay.unread.load(Ordering::SeqCst), 0);
}
