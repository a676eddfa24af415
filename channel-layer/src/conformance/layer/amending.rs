//! Editing and deleting what is kept: who may, what members get, and that an amendment is a message.

use super::{Fixture, Layer, two_nodes};
use crate::{
    amend::{Amendment, Owner, Version},
    conformance::{
        rules::{A1, A2, A3, A4, Rule},
        tools::{group, id, message, not_applicable, number, offset},
    },
    delivery::{Delivery, Posted},
    error::Error,
    history::{Recovered, Span},
    layer::{Answer, Sent},
    mailbox::Mailbox,
    message::{Message, Retention},
    name::GroupName,
    position::Position,
};
use futures_util::future::join_all;

pub(super) const ANA: Owner = Owner::from_u64(0xfedc_ba98_7654_3210);
const BO: Owner = Owner::from_u64(7);

/// A message as a screen has it: number, offset, text, version, and where the first version stood.
pub(super) type Shown = (u64, u64, String, u64, u64);

pub(super) fn row(number: u64, offset: u64, text: &str, version: u64, first: u64) -> Shown {
    (number, offset, text.to_owned(), version, first)
}

fn shown(posted: &Posted) -> Shown {
    let here = offset(posted);
    let (version, first) =
        posted.version.as_ref().map_or((1, here), |v| (v.number, v.first.map_or(0, |first| first.offset)));
    (number(posted.id), here, String::from_utf8_lossy(posted.body.data()).into_owned(), version, first)
}

/// A message of Ana's.
pub(super) fn ana_sends(layer: &Layer, group: &GroupName, number: u64) -> Answer<Sent> {
    layer.group_send(group.clone(), message(number).owned_by(ANA), Retention::Kept)
}

/// Ana's `text` in the place of `target`, as the message of number `by`.
pub(super) fn ana_amends(
    layer: &Layer,
    group: &GroupName,
    (target, by): (u64, u64),
    text: &str,
    amendment: Amendment,
) -> Answer<Sent> {
    let message = Message::frame(id(by), text.to_owned()).owned_by(ANA);
    layer.amend(group.clone(), id(target), message, amendment)
}

/// Steps of these cases, and what they look at.
impl Rule {
    pub(super) async fn sent(self, answer: Answer<Sent>) -> Position {
        let sent = self.ok("a send", self.in_time("a send's answer", answer).await);
        self.some("position of a kept message", sent.position)
    }

    pub(super) async fn edited(
        self,
        layer: &Layer,
        group: &GroupName,
        of: (u64, u64),
        text: &str,
    ) -> Position {
        self.sent(ana_amends(layer, group, of, text, Amendment::Replace)).await
    }

    pub(super) async fn deleted(self, layer: &Layer, group: &GroupName, of: (u64, u64)) -> Position {
        self.sent(ana_amends(layer, group, of, "gone", Amendment::Delete)).await
    }

    pub(super) async fn not_amended(self, layer: &Layer, group: &GroupName, of: (u64, u64), error: Error) {
        for amendment in [Amendment::Replace, Amendment::Delete] {
            let answer = ana_amends(layer, group, of, "again", amendment);
            let answer = self.in_time("an amendment's answer", answer).await;
            self.same(format_args!("{amendment:?} of {of:?}"), answer, Err(error.clone()));
        }
    }

    /// A part of the history that reaches up to `head`, as screens have it.
    pub(super) async fn shows(self, layer: &Layer, group: &GroupName, span: Span, head: u64) -> Vec<Shown> {
        let recovered = self.history_to(layer, group, span, 1_000, head).await;
        match &recovered {
            Recovered::All(page) => page.messages.iter().map(|posted| shown(posted)).collect(),
            Recovered::Gap(reason, _) => self.broken(format_args!("{span:?} is a gap: {reason:?}")),
        }
    }

    /// What arrives up to an offset, which must come without a step: each message, or that it was replaced since.
    pub(super) async fn live(self, mailbox: &mut Mailbox, upto: u64) -> Vec<Option<Shown>> {
        let mut live = Vec::new();
        while (live.len() as u64) < upto {
            let (at, shown) = match self.next(mailbox).await {
                Delivery::Message(posted) => (offset(&posted), Some(shown(&posted))),
                Delivery::Placed { position, .. } => (position.offset, None),
                other => self.broken(format_args!("received {other:?}")),
            };
            live.push(shown);
            self.same("the offset of what arrived", at, live.len() as u64);
        }
        live
    }
}

pub(super) async fn an_amendment_reaches_everybody_in_its_target_s_name(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [A1.join(&nodes[0], &lobby, 16).await, A1.join(&nodes[1], &lobby, 16).await];
    let first = A1.sent(ana_sends(&nodes[0], &lobby, 1)).await;
    A1.sent(ana_sends(&nodes[1], &lobby, 2)).await;
    for member in &mut members {
        A1.receives(member, [1, 2]).await;
    }
    // From another node than it was sent from; then something else than it was.
    let except = A1.ok("an address", members[0].channel().at("socket-3"));
    let bytes: Vec<u8> = (0..=255).collect();
    let amendments = [
        (100, Message::frame(id(100), "edited"), Amendment::Replace),
        (101, Message::event(id(101), "chat.kick", bytes).except(except), Amendment::Replace),
        (102, Message::frame(id(102), ""), Amendment::Delete),
    ];
    for (step, (by, message, amendment)) in (1..).zip(amendments) {
        let message = message.owned_by(ANA);
        let node = &nodes[usize::from(step % 2 == 1)];
        let answer = node.amend(lobby.clone(), id(1), message.clone(), amendment);
        let sent = A1.ok("an amendment", A1.in_time("its answer", answer).await);
        let position = Some(Position { offset: 2 + step, ..first });
        A1.same("its answer", (sent.id, sent.position), (id(by), position));
        let version = Version { number: 1 + step, first: Some(first), by: id(by), amendment };
        for member in &mut members {
            let posted = A1.message(member).await;
            A1.same("the id and the position", (posted.id, posted.position), (id(1), position));
            A1.same("the version", posted.version.as_deref().copied(), Some(version));
            A1.same("whom it is not for", (posted.owner, &posted.except), (Some(ANA), &message.except));
            A1.same("the body", &posted.body, &message.body);
        }
    }
    A1.send(&nodes[0], &lobby, 3).await;
    for member in &mut members {
        A1.receives(member, [3]).await;
    }
}

pub(super) async fn only_its_owner_may_amend_a_message(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    A2.sent(ana_sends(&nodes[0], &lobby, 1)).await;
    A2.send(&nodes[0], &lobby, 2).await;
    // Whatever a body says, it makes nobody an owner: neither the bytes, nor how an envelope might say it.
    let bytes = ANA.as_u64().to_be_bytes();
    for (number, body) in [(3, bytes.to_vec()), (4, [&[3, 0, 8], &bytes[..], &[0; 99]].concat())] {
        let posing = nodes[0].group_send(lobby.clone(), Message::frame(id(number), body), Retention::Kept);
        A2.sent(posing).await;
    }
    for node in &nodes {
        for (target, owner) in
            [(1, Some(BO)), (1, None), (2, Some(ANA)), (2, None), (3, Some(ANA)), (4, Some(ANA))]
        {
            for amendment in [Amendment::Replace, Amendment::Delete] {
                let mut by = Message::frame(id(100), "mine");
                by.owner = owner;
                let answer = node.amend(lobby.clone(), id(target), by, amendment);
                let answer = A2.in_time("an amendment's answer", answer).await;
                A2.same(
                    format_args!("{amendment:?} of {target} by {owner:?}"),
                    answer,
                    Err(Error::Forbidden),
                );
            }
        }
        let mut kept = A2.shows(node, &lobby, Span::Latest, 4).await;
        A2.same("the history's length", kept.len(), 4);
        kept.truncate(2);
        A2.same("the history", kept, vec![row(1, 1, "1", 1, 1), row(2, 2, "2", 1, 2)]);
    }
    // A refusal is not the end of its id, takes no offset, and what was amended is still its owner's alone.
    let edited = A2.edited(&nodes[1], &lobby, (1, 100), "edited").await;
    A2.same("the next offset", edited.offset, 5);
    let by = Message::frame(id(101), "mine").owned_by(BO);
    let answer = nodes[0].amend(lobby.clone(), id(1), by, Amendment::Delete).await;
    A2.same("somebody else's deletion of what was edited", answer, Err(Error::Forbidden));
    A2.same("the next offset", A2.deleted(&nodes[0], &lobby, (1, 101)).await.offset, 6);
}

pub(super) async fn what_is_not_in_the_history_is_not_found(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    A3.not_amended(&nodes[0], &lobby, (1, 100), Error::NotFound).await;
    A3.sent(ana_sends(&nodes[0], &lobby, 1)).await;
    let ephemeral = nodes[0].group_send(lobby.clone(), message(2).owned_by(ANA), Retention::Ephemeral);
    A3.ok("an ephemeral send", A3.in_time("its answer", ephemeral).await);
    A3.edited(&nodes[0], &lobby, (1, 101), "edited").await;
    A3.sent(ana_sends(&nodes[0], &group("garden"), 3)).await;
    A3.sent(ana_sends(&nodes[0], &lobby, 4)).await;
    A3.deleted(&nodes[1], &lobby, (4, 104)).await;
    for node in &nodes {
        // Ephemeral, of another group, never sent, an amendment's own id, and deleted.
        for target in [2, 3, 5, 101, 4, 104] {
            A3.not_amended(node, &lobby, (target, 102), Error::NotFound).await;
        }
    }
    A3.same("the next offset", A3.sent(ana_sends(&nodes[1], &lobby, 6)).await.offset, 5);
}

pub(super) async fn what_was_dropped_for_a_bound_cannot_be_amended(fixture: &dyn Fixture) {
    let Some(trims_after) = fixture.trims_after() else {
        return not_applicable("after how many messages a history drops the first is not known");
    };
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    A3.sent(ana_sends(&nodes[0], &lobby, 0)).await;
    let amended = A3.edited(&nodes[0], &lobby, (0, 5_000), "edited").await;
    A3.sent(ana_sends(&nodes[0], &lobby, 1)).await;
    let mut answers = Vec::new();
    for number in 2..=trims_after + 1 {
        answers.push(ana_sends(&nodes[0], &lobby, number));
    }
    let mut last = amended;
    for answer in answers {
        last = A3.sent(answer).await;
    }
    for node in &nodes {
        for target in [0, 1] {
            A3.not_amended(node, &lobby, (target, 6_000), Error::NotFound).await;
        }
    }
    // What is still kept can be amended wherever it stands, and the id of what is not is known all the same.
    let edited = A3.edited(&nodes[1], &lobby, (trims_after - 500, 6_001), "edited").await;
    A3.same("the next offset", edited.offset, last.offset + 1);
    A3.same("a repeat", A3.edited(&nodes[1], &lobby, (0, 5_000), "edited").await, amended);
}

pub(super) async fn an_amendment_takes_its_place_when_it_is_called(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [A4.join(&node, &lobby, 16).await, A4.join(&other, &lobby, 16).await];
    let sends = |number| ana_sends(&node, &lobby, number);
    let edits = |by, text| ana_amends(&node, &lobby, (1, by), text, Amendment::Replace);
    let calls = vec![sends(1), edits(100, "a"), sends(2), edits(101, "b"), edits(102, "c"), sends(3)];
    let sent = A4.in_time("all answers", join_all(calls)).await;
    for (at, sent) in (1..).zip(sent) {
        let position = A4.some("position", A4.ok("a call", sent).position);
        A4.same("the offset of an answer", position.offset, at);
    }
    let kept = [row(2, 3, "2", 1, 3), row(1, 5, "c", 4, 1), row(3, 6, "3", 1, 6)];
    let all = [row(1, 1, "1", 1, 1), row(1, 2, "a", 2, 1), kept[0].clone(), row(1, 4, "b", 3, 1)];
    for member in &mut members {
        for (live, expected) in A4.live(member, 6).await.into_iter().zip(all.iter().chain(&kept[1..])) {
            // A node that came to it late may know no more than that it was replaced.
            let is_it = live.as_ref().map_or_else(|| !kept.contains(expected), |live| live == expected);
            A4.holds(is_it, format_args!("received {live:?} instead of {expected:?}"));
        }
    }
    A4.same("the history", A4.shows(&other, &lobby, Span::Latest, 6).await, kept.to_vec());
}
