//! Who gets what, and in which order: what every layer promises its mailboxes.

use channel_layer::{
    Body, ChannelLayer, ChannelName, Delivery, Error, MemoryLayer, Message, MessageId, Received, Recovered,
    Retention, Scope, Span,
};
use tokio::time::timeout;

use super::both::{Layer, on_both_layers};
use super::nodes::{PATIENT, group, member, message, next, next_message, numbers, numbers_of, send};

on_both_layers! {
    whatever_is_sent_after_a_join_was_answered_arrives
    messages_arrive_in_the_order_of_the_calls
    a_dropped_answer_does_not_unsend
    a_channel_that_was_discarded_gets_nothing_more
    a_dropped_mailbox_is_in_no_group_any_more
    joining_twice_delivers_once
    a_mailbox_that_lags_says_how_many_it_missed_and_the_history_has_exactly_these
    whom_a_message_is_not_for_is_said_to_all
    an_ephemeral_message_has_no_position_and_no_history
    an_event_arrives_as_one
    a_direct_message_reaches_its_mailbox_alone
}

async fn whatever_is_sent_after_a_join_was_answered_arrives(layer: Layer) {
    let lobby = group("lobby");
    for round in 0..20 {
        let mut mailbox = member(&*layer, &lobby, 8).await;
        let sent = send(&*layer, &lobby, round).await;
        let posted = next_message(&mut mailbox).await;
        assert_eq!((posted.id, posted.position, &posted.group), (sent.id, sent.position, &lobby));
        assert_eq!(posted.body, message(round).body);
        assert_eq!(sent.scope, layer.status().borrow().scope());
    }
}

async fn messages_arrive_in_the_order_of_the_calls(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 1024).await;
    let send = |number| layer.group_send(lobby.clone(), message(number), Retention::Kept);
    let answers: Vec<_> = (0..500).map(send).collect();
    assert_eq!(numbers(&mut mailbox, 500).await, (0..500).collect::<Vec<_>>());
    let mut last = 0;
    // Whoever awaits the answers in another order changes nothing.
    for answer in answers.into_iter().rev() {
        let offset = answer.await.unwrap().position.unwrap().offset;
        assert!(last == 0 || offset == last - 1, "{offset} before {last}");
        last = offset;
    }
}

async fn a_dropped_answer_does_not_unsend(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    drop(layer.group_send(lobby.clone(), message(1), Retention::Kept));
    drop(layer.group_send(lobby.clone(), message(2), Retention::Kept));
    assert_eq!(numbers(&mut mailbox, 2).await, [1, 2]);
}

async fn a_channel_that_was_discarded_gets_nothing_more(layer: Layer) {
    let (lobby, garden) = (group("lobby"), group("garden"));
    let mut mailbox = member(&*layer, &lobby, 8).await;
    let mut other = member(&*layer, &lobby, 8).await;
    layer.group_add(garden.clone(), mailbox.channel().clone()).await.unwrap();
    layer.group_discard(&lobby, mailbox.channel());
    send(&*layer, &lobby, 1).await;
    assert_eq!(numbers(&mut other, 1).await, [1]);
    // The garden's message would come after the lobby's.
    send(&*layer, &garden, 2).await;
    assert_eq!(numbers(&mut mailbox, 1).await, [2]);
    // A quick return is a join like any other.
    layer.group_add(lobby.clone(), mailbox.channel().clone()).await.unwrap();
    send(&*layer, &lobby, 3).await;
    assert_eq!(numbers(&mut mailbox, 1).await, [3]);
}

async fn a_dropped_mailbox_is_in_no_group_any_more(layer: Layer) {
    let (lobby, garden) = (group("lobby"), group("garden"));
    let mailbox = member(&*layer, &lobby, 8).await;
    let channel = mailbox.channel().clone();
    layer.group_add(garden.clone(), channel.clone()).await.unwrap();
    drop(mailbox);
    let gone = Error::NoSuchChannel(channel.clone());
    assert_eq!(layer.group_add(lobby.clone(), channel.clone()).await, Err(gone.clone()));
    assert_eq!(layer.send(channel, message(1)).await, Err(gone));
    // Nobody hears it, and nobody minds.
    send(&*layer, &lobby, 2).await;
    send(&*layer, &garden, 3).await;
}

async fn joining_twice_delivers_once(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    layer.group_add(lobby.clone(), mailbox.channel().clone()).await.unwrap();
    send(&*layer, &lobby, 1).await;
    send(&*layer, &lobby, 2).await;
    assert_eq!(numbers(&mut mailbox, 2).await, [1, 2]);
}

async fn a_mailbox_that_lags_says_how_many_it_missed_and_the_history_has_exactly_these(layer: Layer) {
    let lobby = group("lobby");
    let mut slow = member(&*layer, &lobby, 4).await;
    // It joined later, so what it has got the slow one was given before.
    let mut quick = member(&*layer, &lobby, 64).await;
    send(&*layer, &lobby, 0).await;
    let seen = next_message(&mut slow).await.position.unwrap();
    for number in 1..=10 {
        send(&*layer, &lobby, number).await;
    }
    assert_eq!(numbers(&mut quick, 11).await, (0..=10).collect::<Vec<_>>());
    let Received::Lagged { missed } = timeout(PATIENT, slow.recv()).await.unwrap() else {
        panic!("nothing was missed")
    };
    assert_eq!(missed, 6);
    let missed = layer.history(lobby.clone(), Span::After(seen), 6).await.unwrap();
    let Recovered::All(page) = missed else { panic!("{missed:?}") };
    assert_eq!((numbers_of(&page), page.more), ((1..=6).collect(), true));
    assert_eq!(numbers(&mut slow, 4).await, [7, 8, 9, 10], "the rest was kept");
}

async fn whom_a_message_is_not_for_is_said_to_all(layer: Layer) {
    let lobby = group("lobby");
    let mut mailboxes = [member(&*layer, &lobby, 8).await, member(&*layer, &lobby, 8).await];
    let sender = mailboxes[0].channel().at("socket-3").unwrap();
    let private = message(1).except(sender.clone());
    layer.group_send(lobby.clone(), private, Retention::Kept).await.unwrap();
    for mailbox in &mut mailboxes {
        // The owner of the sender's mailbox needs the position, and alone knows what stands behind it.
        assert_eq!(next_message(mailbox).await.except.as_ref(), Some(&sender));
    }
    let page = layer.history(lobby, Span::Latest, 8).await.unwrap();
    assert_eq!(page.page().messages[0].except.as_ref(), Some(&sender));
}

async fn an_ephemeral_message_has_no_position_and_no_history(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    let sent = layer.group_send(lobby.clone(), message(1), Retention::Ephemeral).await.unwrap();
    assert_eq!(sent.position, None);
    let posted = next_message(&mut mailbox).await;
    assert_eq!((posted.id, posted.position), (sent.id, None));
    let kept = send(&*layer, &lobby, 2).await;
    assert_eq!(kept.position.unwrap().offset, 1, "it took no offset");
    assert_eq!(next_message(&mut mailbox).await.position, kept.position);
    let page = layer.history(lobby, Span::Latest, 8).await.unwrap();
    assert_eq!(numbers_of(page.page()), [2]);
}

async fn an_event_arrives_as_one(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    let event = Message::event(MessageId::random(), "chat.kick", &b"\0\xff"[..]);
    layer.group_send(lobby, event.clone(), Retention::Kept).await.unwrap();
    let posted = next_message(&mut mailbox).await;
    assert!(matches!(&posted.body, Body::Event { kind, .. } if &**kind == "chat.kick"));
    assert_eq!(posted.body, event.body);
}

async fn a_direct_message_reaches_its_mailbox_alone(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 8).await;
    let mut other = member(&*layer, &lobby, 8).await;
    let to = mailbox.channel().at("socket-3").unwrap();
    layer.send(to.clone(), message(1)).await.unwrap();
    let Delivery::Direct { to: read, message: direct } = next(&mut mailbox).await else {
        panic!("not a direct message")
    };
    assert_eq!((&read, read.local(), direct.id), (&to, Some("socket-3"), message(1).id));
    send(&*layer, &lobby, 2).await;
    assert_eq!(numbers(&mut other, 1).await, [2]);

    let stranger: ChannelName = format!("{}.4711!x", mailbox.channel().node()).parse().unwrap();
    let refused = layer.send(stranger.clone(), message(3)).await;
    assert_eq!(refused, Err(Error::NoSuchChannel(stranger)));
}

#[test]
fn a_layer_without_a_backend_says_so() {
    let state = *MemoryLayer::new().status().borrow();
    assert_eq!(
        (state.mode.as_str(), state.health.as_str(), state.scope()),
        ("memory", "healthy", Scope::Node)
    );
}
