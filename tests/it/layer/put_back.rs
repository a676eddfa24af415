//! What Redis lost, and the nodes have: it is put back as it was, and what nobody has any more is said.

use std::sync::Arc;

use channel_layer::{
    Amendment, ChannelLayer, Delivery, Error, GapReason, MessageId, Owner, Position, Posted, Recovered,
    Retention, Span,
};
use palabre_tests::RedisServer;

use super::{
    epochs::{read, restart},
    nodes::{
        Beside, group, healthy_node, member, message, next, next_gap, next_message, next_placed, number,
        numbers, send,
    },
};

#[tokio::test]
async fn what_a_restart_loses_is_put_back_by_those_who_have_it() {
    let mut redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 64).await, member(&nodes[1], &lobby, 64).await];
    for number in 1..=5 {
        send(&nodes[0], &lobby, number).await;
    }
    redis.save().await;
    let mut lost = send(&nodes[0], &lobby, 6).await.position.unwrap();
    for number in 7..=10 {
        lost = send(&nodes[1], &lobby, number).await.position.unwrap();
    }
    for mailbox in &mut mailboxes {
        assert_eq!(numbers(mailbox, 10).await, (1..=10).collect::<Vec<_>>());
    }
    restart(&mut redis, &nodes).await;

    let new = send(&nodes[0], &lobby, 11).await.position.unwrap();
    assert_eq!(new.offset, 11);
    assert_ne!(new.epoch, lost.epoch, "a position names one message for ever");
    for mailbox in &mut mailboxes {
        assert_eq!(next_gap(mailbox).await, (GapReason::Rebuilt, 0));
        for number in 6..=10 {
            let place = Position { offset: u64::from(number), ..new };
            assert_eq!(next_placed(mailbox).await, (number, place));
        }
        assert_eq!(next_message(mailbox).await.position, Some(new));
    }
    for layer in &nodes {
        let kept = Position { offset: 5, ..lost };
        assert_eq!(read(layer, kept).await, (None, (6..=11).collect()));
        assert_eq!(read(layer, lost).await, (None, (6..=11).collect()));
        assert_eq!(read(layer, Position { offset: 2, ..new }).await, (None, (3..=11).collect()));
    }
    let meta = Beside::new(&redis).await.meta(&lobby).await;
    assert_eq!(meta["p"], format!("{}:5:10", lost.epoch));
    // A repeat of what was put back is known, and a sender that stood among what was lost has seen no more than what was left: as
    // if ids from behind that were forgotten.
    let again = nodes[1].group_send(lobby.clone(), message(8), Retention::Kept).await.unwrap();
    assert_eq!(again.position, Some(Position { offset: 8, ..new }));
    let forget = "local h = head() h[4] = 8 set_head(h)";
    Beside::new(&redis).await.eval(forget, &lobby, &[]).await;
    let late = message(12).with_floor(Some(Position { offset: 9, ..lost }));
    let refused = nodes[0].group_send(lobby.clone(), late, Retention::Kept).await;
    assert_eq!(refused, Err(Error::Undecided));
}

#[tokio::test]
async fn what_nobody_has_any_more_is_announced() {
    let mut redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    let lobby = group("lobby");
    let mut mailboxes = [member(&nodes[0], &lobby, 256).await, member(&nodes[1], &lobby, 256).await];
    let first = send(&nodes[0], &lobby, 1).await.position.unwrap();
    redis.save().await;
    // A node has the last hundred.
    for number in 2..=150 {
        send(&nodes[0], &lobby, number).await;
    }
    for mailbox in &mut mailboxes {
        numbers(mailbox, 150).await;
    }
    restart(&mut redis, &nodes).await;
    let reader = healthy_node(&redis).await;
    let recovered = reader.history(lobby.clone(), Span::After(first), 200).await.unwrap();
    let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
    assert_eq!(page.gap_after(first), Some(GapReason::Hole));
    let later = Position { offset: 50, ..first };
    assert_eq!(page.gap_after(later), None, "who has seen them lacks nothing");
    let kept: Vec<u32> = page.messages[1..].iter().map(|posted| number(posted)).collect();
    assert_eq!(kept, (51..=150).collect::<Vec<_>>());
    let was: Vec<_> = page.messages[1..].iter().map(|posted| posted.was[0].offset).collect();
    assert_eq!(was, (51..=150).collect::<Vec<_>>());
    for mailbox in &mut mailboxes {
        assert_eq!(next_gap(mailbox).await.0, GapReason::Rebuilt);
        // The hole, and then what was put back.
        for offset in 2..=102 {
            let place = next(mailbox).await;
            assert!(
                matches!(place, Delivery::Placed { position, .. } if position.offset == offset),
                "{place:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_edit_that_redis_lost_is_put_back_as_it_was() {
    let mut redis = RedisServer::start().await;
    let nodes = [healthy_node(&redis).await, healthy_node(&redis).await];
    let lobby = group("lobby");
    let ana = Owner::from_u64(7);
    let mut mailboxes = [member(&nodes[0], &lobby, 64).await, member(&nodes[1], &lobby, 64).await];
    for number in 1..=3 {
        let own = message(number).owned_by(ana);
        nodes[0].group_send(lobby.clone(), own, Retention::Kept).await.unwrap();
    }
    let edit = |target: u32, by: u32| {
        let target = MessageId::from_u128(target.into());
        nodes[0].amend(lobby.clone(), target, message(by).owned_by(ana), Amendment::Replace)
    };
    edit(1, 10).await.unwrap();
    redis.save().await;
    edit(1, 11).await.unwrap();
    edit(2, 12).await.unwrap();
    for mailbox in &mut mailboxes {
        for _ in 0..6 {
            next(mailbox).await;
        }
    }
    restart(&mut redis, &nodes).await;
    let reader = healthy_node(&redis).await;
    let kept = reader.history(lobby.clone(), Span::Latest, 10).await.unwrap();
    let version = |posted: &Arc<Posted>| {
        let version = posted.version.as_ref().map(|version| (version.number, version.first.unwrap().offset));
        (number(posted), version, String::from_utf8_lossy(posted.body.data()).into_owned())
    };
    let kept: Vec<_> = kept.page().messages.iter().map(version).collect();
    let edited = |number: u32, version, text: &str| (number, version, text.to_owned());
    let expected = [edited(3, None, "3"), edited(1, Some((3, 1)), "11"), edited(2, Some((2, 2)), "12")];
    assert_eq!(kept, expected);
    // It may be edited further, and a repeat is one.
    edit(1, 11).await.unwrap();
    edit(1, 13).await.unwrap();
    let kept = reader.history(lobby.clone(), Span::Latest, 10).await.unwrap();
    let last = kept.page().messages.last().map(version);
    assert_eq!(last, Some(edited(1, Some((4, 1)), "13")));
}
