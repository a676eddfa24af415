//! What is left in Redis of what was replaced or deleted: neither a byte of the text, nor what tells it to a dictionary.

use channel_layer::{ChannelLayer, Message, Retention};
use palabre_tests::RedisServer;

use super::amended::{ANA, assert_whole, delete, edit, id, send};
use super::nodes::{Beside, group, healthy_node};

/// Whether any key of this Redis holds these bytes, in memory or in a dump.
async fn holds(beside: &mut Beside, text: &str) -> bool {
    beside.ask::<()>("CONFIG SET rdbcompression no").await;
    let (_, keys): (u64, Vec<String>) = beside.ask("SCAN 0 COUNT 1000").await;
    for key in keys {
        let dump: Vec<u8> = beside.ask(&format!("DUMP {key}")).await;
        if dump.windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
            return true;
        }
    }
    false
}

/// The digest of what was sent under an id.
async fn digest(beside: &mut Beside, number: u32) -> String {
    let known = &beside.stored(&group("lobby")).await.ids[&u128::from(number).to_be_bytes()[..]];
    String::from_utf8(known[32..].to_vec()).unwrap()
}

#[tokio::test]
async fn no_digest_is_left_in_redis_of_what_was_replaced_or_deleted() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let mut beside = Beside::new(&redis).await;
    for number in 1..=3 {
        send(&layer, number).await;
    }
    let mut gone = vec![digest(&mut beside, 1).await];
    edit(&layer, 1, 100, "edited").await.unwrap();
    gone.push(digest(&mut beside, 100).await);
    edit(&layer, 1, 101, "again").await.unwrap();
    gone.push(digest(&mut beside, 101).await);
    delete(&layer, 1, 102).await.unwrap();
    gone.push(digest(&mut beside, 2).await);
    edit(&layer, 2, 103, "edited").await.unwrap();
    for digest in &gone {
        assert_eq!(digest.len(), 16, "{digest}");
        assert!(!holds(&mut beside, digest).await, "{digest} of {gone:?}");
    }
    let kept = digest(&mut beside, 3).await;
    assert!(holds(&mut beside, &kept).await, "the test would see it");
}

#[tokio::test]
async fn nothing_is_left_in_redis_of_what_was_replaced_or_deleted() {
    let redis = RedisServer::start().await;
    let layer = healthy_node(&redis).await;
    let mut beside = Beside::new(&redis).await;
    let long = |number: u32| format!("secret-{number}-{}", "y".repeat(200));
    // The first, the last, and one between, each among neighbours that stay.
    for number in 1..=90 {
        let body = Message::frame(id(number), long(number)).owned_by(ANA);
        layer.group_send(group("lobby"), body, Retention::Kept).await.unwrap();
    }
    for (by, target) in [(101, 1), (102, 45), (103, 90)] {
        assert!(holds(&mut beside, &long(target)).await, "the test would see it");
        edit(&layer, target, by, "harmless").await.unwrap();
        assert!(!holds(&mut beside, &format!("secret-{target}-")).await, "{target} was replaced");
        assert!(holds(&mut beside, &long(44)).await, "its neighbours stay");
        assert_whole(&mut beside).await;
    }
    edit(&layer, 46, 104, "secret-second").await.unwrap();
    delete(&layer, 46, 105).await.unwrap();
    assert!(!holds(&mut beside, "secret-46").await && !holds(&mut beside, "secret-second").await);
    // All of it, down to the last word of each.
    for number in (1..=90).filter(|number| *number != 46) {
        delete(&layer, number, 1_000 + number).await.unwrap();
    }
    assert!(!holds(&mut beside, "secret").await);
    assert_eq!(assert_whole(&mut beside).await, 94);
}
