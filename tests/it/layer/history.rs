//! What is kept, what is known, and how it all ends: what every layer promises of ids, history and shutdown.

use channel_layer::{
    Delivery, Epoch, Error, GapReason, Message, Position, Received, Recovered, Retention, Span,
};
use tokio::time::timeout;

use super::both::{Layer, on_both_layers};
use super::nodes::{PATIENT, group, member, message, next_message, numbers, numbers_of, send};

on_both_layers! {
    a_repeat_is_answered_with_its_first_position_and_delivered_to_nobody
    another_message_with_a_known_id_is_a_conflict
    the_history_of_a_group_that_nobody_used_is_empty
    history_goes_on_after_any_position_or_says_why_not
    history_goes_back_page_by_page_from_any_position
    the_position_of_an_answer_is_good_at_once
    what_is_called_after_a_shutdown_is_closed_and_mailboxes_end
}

async fn a_repeat_is_answered_with_its_first_position_and_delivered_to_nobody(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    let first = send(&*layer, &lobby, 1).await;
    send(&*layer, &lobby, 2).await;
    assert_eq!(send(&*layer, &lobby, 1).await, first);
    let repeat = message(1).with_floor(first.position);
    assert_eq!(layer.group_send(lobby.clone(), repeat, Retention::Kept).await, Ok(first));
    send(&*layer, &lobby, 3).await;
    assert_eq!(numbers(&mut mailbox, 3).await, [1, 2, 3]);
}

async fn another_message_with_a_known_id_is_a_conflict(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    let first = send(&*layer, &lobby, 1).await;
    let other = Message::frame(first.id, "another body");
    let refused = layer.group_send(lobby.clone(), other.clone(), Retention::Kept).await;
    assert_eq!(refused, Err(Error::Conflict));
    // The digest decides, not the body: a node may add to it what a repeat would not repeat.
    let same = other.with_digest(message(1).digest());
    assert_eq!(layer.group_send(lobby.clone(), same, Retention::Kept).await, Ok(first));
    send(&*layer, &lobby, 2).await;
    assert_eq!(numbers(&mut mailbox, 2).await, [1, 2], "a refusal takes no offset and stops nothing");
}

async fn the_history_of_a_group_that_nobody_used_is_empty(layer: Layer) {
    let recovered = layer.history(group("lobby"), Span::Latest, 8).await.unwrap();
    let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
    assert_eq!((page.messages.len(), page.head.offset, page.more), (0, 0, false));
    let sent = send(&*layer, &group("lobby"), 1).await.position.unwrap();
    assert_eq!(sent, Position { offset: 1, ..page.head });
}

async fn history_goes_on_after_any_position_or_says_why_not(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    let empty = layer.history(lobby.clone(), Span::Latest, 8).await.unwrap();
    assert!(matches!(&empty, Recovered::All(page) if page.messages.is_empty() && page.head.offset == 0));
    let first = send(&*layer, &lobby, 1).await.position.unwrap();
    for number in 2..=5 {
        send(&*layer, &lobby, number).await;
    }
    numbers(&mut mailbox, 5).await;
    let read = async |span, max| {
        let recovered = layer.history(lobby.clone(), span, max).await.unwrap();
        let reason = match &recovered {
            Recovered::All(_) => None,
            Recovered::Gap(reason, _) => Some(*reason),
        };
        let page = recovered.page();
        assert_eq!(page.head, Position { offset: 5, ..first });
        (reason, numbers_of(page), page.more)
    };
    let at = |offset| Span::After(Position { offset, ..first });
    assert_eq!(read(Span::Latest, 8).await, (None, vec![1, 2, 3, 4, 5], false));
    assert_eq!(read(Span::Latest, 2).await, (None, vec![4, 5], true));
    assert_eq!(read(at(0), 8).await, (None, vec![1, 2, 3, 4, 5], false));
    assert_eq!(read(at(2), 2).await, (None, vec![3, 4], true));
    assert_eq!(read(at(2), 3).await, (None, vec![3, 4, 5], false));
    assert_eq!(read(at(5), 8).await, (None, vec![], false));
    assert_eq!(read(at(6), 2).await, (Some(GapReason::Rebuilt), vec![4, 5], true));
    let elsewhere = Position { epoch: Epoch::random(), offset: 3 };
    let unknown = read(Span::After(elsewhere), 8).await;
    assert_eq!(unknown, (Some(GapReason::UnknownEpoch), vec![1, 2, 3, 4, 5], false));
}

async fn history_goes_back_page_by_page_from_any_position(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 256).await;
    let first = send(&*layer, &lobby, 1).await.position.unwrap();
    // More than a node's own copy holds, so that the question goes to the backend too.
    for number in 2..=150 {
        send(&*layer, &lobby, number).await;
    }
    numbers(&mut mailbox, 150).await;
    let at = |offset| Position { offset, ..first };
    let read = async |span| {
        let recovered = layer.history(lobby.clone(), span, 40).await.unwrap();
        let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
        assert_eq!(page.head, at(150));
        page
    };
    let mut page = read(Span::Latest).await;
    let mut seen = numbers_of(&page);
    while page.more {
        page = read(Span::Before(page.messages[0].position.unwrap())).await;
        seen.splice(..0, numbers_of(&page));
    }
    assert_eq!(seen, (1..=150).collect::<Vec<_>>());
    let none = read(Span::Before(at(1))).await;
    assert_eq!((none.messages.len(), none.more), (0, false));

    let strange = Span::Before(Position { epoch: Epoch::random(), offset: 3 });
    for (span, why) in [(strange, GapReason::UnknownEpoch), (Span::Before(at(151)), GapReason::Rebuilt)] {
        let recovered = layer.history(lobby.clone(), span, 2).await.unwrap();
        let Recovered::Gap(reason, page) = recovered else { panic!("{recovered:?}") };
        assert_eq!((reason, numbers_of(&page), page.more), (why, vec![149, 150], true));
    }
}

async fn the_position_of_an_answer_is_good_at_once(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 64).await;
    for number in 1..=50 {
        // The answer may be here before the delivery, and a client that has it may ask at once.
        let position = send(&*layer, &lobby, number).await.position.unwrap();
        let after = layer.history(lobby.clone(), Span::After(position), 8).await.unwrap();
        assert!(matches!(&after, Recovered::All(page) if page.messages.is_empty()), "{after:?}");
        let posted = next_message(&mut mailbox).await;
        assert_eq!(posted.position, Some(position));
    }
}

async fn what_is_called_after_a_shutdown_is_closed_and_mailboxes_end(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    let channel = mailbox.channel().clone();
    let last = layer.group_send(lobby.clone(), message(1), Retention::Kept);
    timeout(PATIENT, layer.shutdown()).await.unwrap().unwrap();
    assert_eq!(last.await.unwrap().position.unwrap().offset, 1, "what was called before still goes");

    assert_eq!(layer.group_send(lobby.clone(), message(2), Retention::Kept).await, Err(Error::Closed));
    assert_eq!(layer.group_add(lobby.clone(), channel.clone()).await, Err(Error::Closed));
    assert_eq!(layer.send(channel.clone(), message(3)).await, Err(Error::Closed));
    assert!(matches!(layer.history(lobby.clone(), Span::Latest, 8).await, Err(Error::Closed)));
    layer.group_discard(&lobby, &channel);
    loop {
        match timeout(PATIENT, mailbox.recv()).await.unwrap() {
            Received::Closed => break,
            Received::Delivery(Delivery::Message(posted)) => assert_eq!(posted.id, message(1).id),
            other => panic!("{other:?}"),
        }
    }
    timeout(PATIENT, layer.shutdown()).await.unwrap().expect("a second shutdown is no fault");
}
