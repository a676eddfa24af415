//! Openings: who begins an epoch, and what they bring.

use super::{
    Fixture,
    node::{Node, ephemeral},
};
use crate::{
    conformance::{
        rules::{R3, R4, R5},
        tools::{group, message, not_applicable, numbers_of, read},
    },
    history::{GapReason, Recovered, Span},
    position::{Epoch, Position},
    relay::{LinkError, Verdict},
};
use futures_util::future::join;

pub(super) async fn an_unused_group_begins_one_epoch_whoever_opens_it(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    for round in 0..10 {
        let name = group(&format!("room-{round}"));
        let openings = [one.opening(&name, None), other.opening(&name, None)];
        let drawn = openings.each_ref().map(|opening| opening.epoch);
        let [first, second] = openings;
        let opened = join(one.relay.open(vec![first]), other.relay.open(vec![second]));
        let (first, second) = R3.in_time("two openings", opened).await;
        let opened = [R3.ok("an opening", first), R3.ok("an opening", second)];
        let epochs = opened.each_ref().map(|opened| opened[0].lineage.epoch);
        R3.same("the epoch of another node", epochs[1], epochs[0]);
        R3.holds(drawn.contains(&epochs[0]), "an epoch that neither has drawn");
        for opened in opened.into_iter().flatten() {
            R3.same("the epochs before", opened.lineage.past, vec![]);
            R3.same("what is in it", read(&opened.recovered), (None, vec![], false));
            R3.same("its head", opened.recovered.page().head, Position { epoch: epochs[0], offset: 0 });
        }
        let again = one.open(R3, &name, None).await;
        R3.same("the epoch of an opening again", again.lineage.epoch, epochs[0]);
    }
}

pub(super) async fn an_opening_gives_what_is_missing_or_the_last_and_why(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    let mut writer = one.writer(R4, &lobby).await;
    one.place(R4, &mut writer, 1..=5).await;
    let elsewhere = Position { epoch: Epoch::random(), offset: 3 };
    for (known, entries_max, expected) in [
        (None, 1_000, (None, vec![1, 2, 3, 4, 5], false)),
        (Some(writer.position(0)), 1_000, (None, vec![1, 2, 3, 4, 5], false)),
        (Some(writer.position(2)), 1_000, (None, vec![3, 4, 5], false)),
        (Some(writer.position(2)), 3, (None, vec![3, 4, 5], false)),
        (Some(writer.position(2)), 2, (None, vec![3, 4], true)),
        (Some(writer.position(5)), 1_000, (None, vec![], false)),
        (Some(writer.position(6)), 1_000, (Some(GapReason::Rebuilt), vec![1, 2, 3, 4, 5], false)),
        (Some(elsewhere), 1_000, (Some(GapReason::UnknownEpoch), vec![1, 2, 3, 4, 5], false)),
    ] {
        let mut opening = other.opening(&lobby, known);
        opening.entries_max = entries_max;
        let opened = R4.ok("an opening", R4.in_time("its answer", other.relay.open(vec![opening])).await);
        R4.same(format_args!("an opening after {known:?}"), read(&opened[0].recovered), expected);
        R4.same("the epoch", opened[0].lineage.epoch, writer.epoch);
        R4.same("the head", opened[0].recovered.page().head, writer.position(5));
        for (offset, posted) in opened[0].recovered.page().messages.iter().rev().zip(0..) {
            R4.holds(
                offset.position.is_some(),
                format_args!("message {posted} from the end has no position"),
            );
        }
    }
}

pub(super) async fn an_opening_behind_what_was_trimmed_says_so(fixture: &dyn Fixture) {
    let Some(trims_after) = fixture.trims_after() else {
        return not_applicable("after how many messages a history drops the first is not known");
    };
    let mut node = Node::new(fixture).await;
    let lobby = group("lobby");
    let mut writer = node.writer(R4, &lobby).await;
    let numbers: Vec<u64> = (1..=trims_after + 1).collect();
    for some in numbers.chunks(256) {
        node.place(R4, &mut writer, some.iter().copied()).await;
    }
    let opened = node.open(R4, &lobby, Some(writer.position(0))).await;
    R4.same("what is said of the beginning", read(&opened.recovered).0, Some(GapReason::Trimmed));
    let last = numbers_of(opened.recovered.page()).pop();
    R4.same("the last that comes with it", last, Some(trims_after + 1));
    let opened = node.open(R4, &lobby, Some(writer.position(trims_after - 1))).await;
    let expected = (None, vec![trims_after, trims_after + 1], false);
    R4.same("what came after one that is kept", read(&opened.recovered), expected);
}

pub(super) async fn many_groups_are_opened_in_one_call(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let names: Vec<_> = (0..50).map(|number| group(&format!("room-{number}"))).collect();
    for (number, name) in (0..).zip(&names).step_by(2) {
        let mut writer = one.writer(R4, name).await;
        one.place(R4, &mut writer, [number]).await;
    }
    let openings: Vec<_> = names.iter().map(|name| other.opening(name, None)).collect();
    let drawn: Vec<_> = openings.iter().map(|opening| opening.epoch).collect();
    let opened = R4.ok("openings", R4.in_time("their answer", other.relay.open(openings)).await);
    R4.same("answers", opened.len(), names.len());
    for (number, (opened, drawn)) in (0..).zip(opened.iter().zip(drawn)) {
        let expected = if number % 2 == 0 { vec![number] } else { vec![] };
        R4.same("what a group has", read(&opened.recovered), (None, expected, false));
        R4.same("whether it began now", opened.lineage.epoch == drawn, number % 2 == 1);
    }
}

pub(super) async fn nothing_but_an_opening_makes_a_group(fixture: &dyn Fixture) {
    let mut node = Node::new(fixture).await;
    let (lobby, garden) = (group("lobby"), group("garden"));
    let unopened = async |node: &Node| {
        let spans = [Span::Latest, Span::After(Position { epoch: Epoch::random(), offset: 0 })];
        for span in spans {
            let read = R5.in_time("a read's answer", node.relay.read(lobby.clone(), span, 8)).await;
            R5.holds(
                matches!(read, Err(LinkError::Unopened)),
                format_args!("a read of what nobody has opened was answered with {read:?}"),
            );
        }
    };
    unopened(&node).await;
    node.subscribe(R5, &[&lobby]).await;
    let mut writer = node.writer(R5, &garden).await;
    writer.group = lobby.clone();
    let batch = vec![writer.next(message(1)), ephemeral(&lobby, 2)];
    R5.same("the verdicts", node.publish(R5, batch).await, vec![Verdict::Stale, Verdict::Sent]);
    unopened(&node).await;
    let opening = node.opening(&lobby, None);
    let drawn = opening.epoch;
    let opened = R5.ok("an opening", R5.in_time("its answer", node.relay.open(vec![opening])).await);
    R5.same("the epoch", opened[0].lineage.epoch, drawn);
    let empty = matches!(&opened[0].recovered, Recovered::All(page) if page.messages.is_empty());
    R5.holds(empty, "there is something in it already");
}
