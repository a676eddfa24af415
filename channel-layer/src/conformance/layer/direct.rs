//! Messages to one mailbox.

use super::{Fixture, are_one, two_nodes};
use crate::{
    conformance::{
        rules::{D1, D2, D3, Rule},
        tools::{group, id, message, not_applicable, number, read},
    },
    delivery::Delivery,
    error::Error,
    history::Span,
    mailbox::Mailbox,
    message::Message,
    name::ChannelName,
};

async fn direct(rule: Rule, mailbox: &mut Mailbox) -> (ChannelName, Message) {
    match rule.next(mailbox).await {
        Delivery::Direct { to, message } => (to, *message),
        other => rule.broken(format_args!("received {other:?} instead of a direct message")),
    }
}

pub(super) async fn a_direct_message_reaches_its_mailbox_alone(fixture: &dyn Fixture) {
    let [node, _] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut mailbox = D1.join(&node, &lobby, 8).await;
    let mut other = D1.join(&node, &lobby, 8).await;
    let to = D1.ok("an address", mailbox.channel().at("socket-3"));
    for address in [to, mailbox.channel().clone()] {
        D1.ok("a direct message", node.send(address.clone(), message(1)).await);
        let (read, direct) = direct(D1, &mut mailbox).await;
        D1.same("the address", read, address);
        D1.same("the message", (direct.id, direct.body), (id(1), message(1).body));
    }
    D1.send(&node, &lobby, 2).await;
    D1.receives(&mut other, [2]).await;
}

pub(super) async fn a_direct_message_reaches_another_node(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    if are_one(&nodes) {
        return not_applicable("there is one node");
    }
    let [node, other] = nodes;
    let (mut mailbox, mut beside) = (other.new_channel(64), other.new_channel(64));
    let to = D1.ok("an address", mailbox.channel().at("socket-3"));
    let bytes: Vec<u8> = (0..=255).collect();
    let event = Message::event(id(1), "chat.kick", bytes);
    D1.ok("a direct message", node.send(to.clone(), event.clone()).await);
    let (read, arrived) = direct(D1, &mut mailbox).await;
    D1.same("what arrived", (read, arrived.id, arrived.body), (to, event.id, event.body));
    // Each is awaited before the next is called: they cannot pass each other.
    for number in 2..=20 {
        D1.ok("a direct message", node.send(mailbox.channel().clone(), message(number)).await);
        D1.same("what arrived", direct(D1, &mut mailbox).await.1.id, id(number));
    }
    D1.ok("a direct message", node.send(beside.channel().clone(), message(21)).await);
    D1.same("what arrived beside", direct(D1, &mut beside).await.1.id, id(21));
}

pub(super) async fn an_address_that_leads_nowhere_is_told(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let mailbox = nodes[0].new_channel(8);
    let stranger = format!("{}.no-such-mailbox!x", mailbox.channel().node());
    let stranger: ChannelName = D2.ok("an address", stranger.parse());
    let refused = nodes[0].send(stranger.clone(), message(1)).await;
    D2.same("the answer", refused, Err(Error::NoSuchChannel(stranger)));
    // Of another node's mailboxes nothing is known; what is sent there is lost without harm.
    let mut there = nodes[1].new_channel(8);
    let gone = nodes[1].new_channel(8).channel().clone();
    let sent = nodes[0].send(gone.clone(), message(2)).await;
    let expected = if are_one(&nodes) { Err(Error::NoSuchChannel(gone)) } else { Ok(()) };
    D2.same("the answer", sent, expected);
    D2.ok("a direct message", nodes[0].send(there.channel().clone(), message(3)).await);
    D2.same("what arrived", direct(D2, &mut there).await.1.id, id(3));
}

pub(super) async fn a_direct_message_leaves_no_trace(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut mailbox = D3.join(&other, &lobby, 8).await;
    for _ in 0..2 {
        // The same id twice: both arrive.
        D3.ok("a direct message", node.send(mailbox.channel().clone(), message(1)).await);
        D3.same("what arrived", number(direct(D3, &mut mailbox).await.1.id), 1);
    }
    let sent = D3.send(&node, &lobby, 1).await;
    D3.same("the offset of the same id, kept", sent.position.map(|at| at.offset), Some(1));
    D3.receives(&mut mailbox, [1]).await;
    let recovered = D3.history_to(&node, &lobby, Span::Latest, 8, 1).await;
    D3.same("the history", read(&recovered), (None, vec![1], false));
}
