//! What a group keeps: read from anywhere, on any node, by page, and what is said when it is not there.

use super::{Fixture, two_nodes};
use crate::{
    conformance::{
        rules::{H1, H2, H3, H4, H5, H6, H7, H8},
        tools::{group, not_applicable, number, numbers_of, offset, read},
    },
    history::{GapReason, Recovered, Span},
    position::{Epoch, Position},
};

pub(super) async fn the_history_of_a_group_that_nobody_used_is_empty(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let empty = H4.history(&node, &lobby, Span::Latest, 8).await;
    H4.same("the history", read(&empty), (None, vec![], false));
    H4.same("the offset of its head", empty.page().head.offset, 0);
    let after = H4.history(&other, &lobby, Span::After(empty.page().head), 8).await;
    H4.same("what came after its head", read(&after), (None, vec![], false));
    let sent = H4.send(&other, &lobby, 1).await;
    H4.same("the first position", sent.position, Some(Position { offset: 1, ..empty.page().head }));
    let after = H4.history_to(&node, &lobby, Span::After(empty.page().head), 8, 1).await;
    H4.same("what came after it now", read(&after), (None, vec![1], false));
}

pub(super) async fn history_goes_on_after_any_position_or_says_why_not(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    // The one node has members and a copy of its own, maybe; the other has to ask.
    let mut member = H1.join(&nodes[0], &lobby, 8).await;
    let mut first = None;
    for number in 1..=5 {
        let position = H1.some("position", H1.send(&nodes[0], &lobby, number).await.position);
        let first = *first.get_or_insert(position);
        H1.same("a position", position, Position { offset: number, ..first });
    }
    let first = H1.some("position", first);
    H1.receives(&mut member, 1..=5).await;
    let at = |offset| Position { offset, ..first };
    let elsewhere = Position { epoch: Epoch::random(), offset: 3 };
    for node in &nodes {
        for (rule, span, messages_max, expected) in [
            (H3, Span::Latest, 8, (None, vec![1, 2, 3, 4, 5], false)),
            (H3, Span::Latest, 5, (None, vec![1, 2, 3, 4, 5], false)),
            (H3, Span::Latest, 2, (None, vec![4, 5], true)),
            (H2, Span::After(at(0)), 8, (None, vec![1, 2, 3, 4, 5], false)),
            (H2, Span::After(at(1)), 8, (None, vec![2, 3, 4, 5], false)),
            (H2, Span::After(at(2)), 2, (None, vec![3, 4], true)),
            (H2, Span::After(at(2)), 3, (None, vec![3, 4, 5], false)),
            (H2, Span::After(at(4)), 1, (None, vec![5], false)),
            (H2, Span::After(at(5)), 8, (None, vec![], false)),
            (H5, Span::After(at(6)), 2, (Some(GapReason::Rebuilt), vec![4, 5], true)),
            (H5, Span::After(at(u64::MAX)), 2, (Some(GapReason::Rebuilt), vec![4, 5], true)),
            (H5, Span::After(elsewhere), 8, (Some(GapReason::UnknownEpoch), vec![1, 2, 3, 4, 5], false)),
        ] {
            let recovered = rule.history_to(node, &lobby, span, messages_max, 5).await;
            rule.same(format_args!("{span:?}, {messages_max} at most"), read(&recovered), expected);
            rule.same("the head", recovered.page().head, at(5));
            for posted in &recovered.page().messages {
                rule.same("a position", posted.position, Some(at(number(posted.id))));
            }
        }
    }
}

pub(super) async fn the_position_of_an_answer_is_good_at_once_on_every_node(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [H6.join(&nodes[0], &lobby, 64).await, H6.join(&nodes[1], &lobby, 64).await];
    for number in 1..=50 {
        // The answer may be here before the delivery, and a client that has it may ask at once, anywhere.
        let position = H6.some("position", H6.send(&nodes[0], &lobby, number).await.position);
        for node in &nodes {
            let after = H6.history(node, &lobby, Span::After(position), 8).await;
            H6.same("what came after the last message", read(&after), (None, vec![], false));
        }
    }
    for member in &mut members {
        H6.receives(member, 1..=50).await;
    }
}

pub(super) async fn a_node_that_comes_late_reads_what_the_others_read(fixture: &dyn Fixture) {
    let [early, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut member = H7.join(&early, &lobby, 256).await;
    H7.send_all(&other, &lobby, 1..=150).await;
    H7.receives(&mut member, 1..=150).await;
    let late = fixture.node().await;
    super::is_healthy(&late).await;
    let mut newcomer = H7.join(&late, &lobby, 256).await;
    let first = H7.history_to(&early, &lobby, Span::Latest, 150, 150).await.page().messages.first().cloned();
    let first = H7.some("position", H7.some("first message", first).position);
    for (span, messages_max) in
        [(Span::Latest, 50), (Span::Latest, 1_000), (Span::After(first), 1_000), (Span::After(first), 20)]
    {
        let mut answers = Vec::new();
        for node in [&early, &other, &late] {
            let recovered = H7.history_to(node, &lobby, span, messages_max, 150).await;
            answers.push((read(&recovered), recovered.page().head));
        }
        H7.same(format_args!("{span:?} elsewhere"), answers[1].clone(), answers[0].clone());
        H7.same(format_args!("{span:?} on the late node"), answers[2].clone(), answers[0].clone());
    }
    H7.send(&early, &lobby, 151).await;
    H7.receives(&mut newcomer, [151]).await;
}

pub(super) async fn a_history_is_read_page_by_page_without_hole(fixture: &dyn Fixture) {
    const COUNT: u64 = 300;
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let _member = H2.join(&nodes[0], &lobby, 512).await;
    H2.send_all(&nodes[1], &lobby, 1..=COUNT).await;
    for node in &nodes {
        for messages_max in [1, 7, 100, 299, 300, 301] {
            let mut known = H2.history_to(node, &lobby, Span::Latest, 1, COUNT).await.page().head;
            known.offset = 0;
            let mut seen = Vec::new();
            loop {
                let recovered = H2.history(node, &lobby, Span::After(known), messages_max).await;
                let (gap, numbers, more) = read(&recovered);
                H2.same("a gap", gap, None);
                H2.holds(numbers.len() <= messages_max, "more than was asked for");
                seen.extend(&numbers);
                H2.holds(seen.len() as u64 <= COUNT, "pages overlap");
                H2.same("whether there is more", more, (seen.len() as u64) < COUNT);
                let Some(last) = recovered.page().messages.last() else { break };
                known.offset = offset(last);
            }
            H2.same("what was read", seen, (1..=COUNT).collect());
        }
    }
}

pub(super) async fn a_history_is_read_backwards_page_by_page(fixture: &dyn Fixture) {
    const COUNT: u64 = 150;
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    // The one node has a copy of its own of the last of it, maybe; the other has to ask.
    let mut member = H8.join(&nodes[0], &lobby, 256).await;
    H8.send_all(&nodes[1], &lobby, 1..=COUNT).await;
    H8.receives(&mut member, 1..=COUNT).await;
    for node in &nodes {
        for messages_max in [1, 40, 149, 150, 151] {
            let recovered = H8.history_to(node, &lobby, Span::Latest, messages_max, COUNT).await;
            let head = recovered.page().head;
            let (mut seen, mut page) = (numbers_of(recovered.page()), recovered.page().clone());
            while page.more {
                let first = page.messages.first().and_then(|posted| posted.position);
                let before = Span::Before(H8.some("message of a page that has more before it", first));
                let recovered = H8.history(node, &lobby, before, messages_max).await;
                page = match recovered {
                    Recovered::All(page) => page,
                    Recovered::Gap(reason, _) => H8.broken(format_args!("{before:?} is a gap: {reason:?}")),
                };
                H8.same("the head", page.head, head);
                H8.holds(page.messages.len() <= messages_max, "more than was asked for");
                seen.splice(..0, numbers_of(&page));
                H8.holds(seen.len() as u64 <= COUNT, "pages overlap");
            }
            H8.same(format_args!("pages of {messages_max}"), seen, (1..=COUNT).collect());
        }
        let head = H8.history(node, &lobby, Span::Latest, 1).await.page().head;
        let before_the_first = Span::Before(Position { offset: 1, ..head });
        let none = H8.history(node, &lobby, before_the_first, 8).await;
        H8.same("what came before the first", read(&none), (None, vec![], false));
        let strange = Span::Before(Position { epoch: Epoch::random(), offset: 3 });
        let beyond = Span::Before(Position { offset: COUNT + 1, ..head });
        for (span, reason) in [(strange, GapReason::UnknownEpoch), (beyond, GapReason::Rebuilt)] {
            let gap = H8.history(node, &lobby, span, 2).await;
            H8.same(format_args!("{span:?}"), read(&gap), (Some(reason), vec![COUNT - 1, COUNT], true));
        }
    }
}

pub(super) async fn what_was_trimmed_is_a_gap(fixture: &dyn Fixture) {
    let Some(trims_after) = fixture.trims_after() else {
        return not_applicable("after how many messages a history drops the first is not known");
    };
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let empty = H5.history(&nodes[0], &lobby, Span::Latest, 1).await.page().head;
    H5.send_all(&nodes[0], &lobby, 1..=trims_after + 1).await;
    for node in &nodes {
        let gap = H5.history_to(node, &lobby, Span::After(empty), 10, trims_after + 1).await;
        let last: Vec<u64> = (trims_after - 8..=trims_after + 1).collect();
        H5.same("what is said of the beginning", read(&gap), (Some(GapReason::Trimmed), last, true));
        // All that is there joins on to the end of what is not.
        let all =
            H5.history(node, &lobby, Span::Latest, usize::try_from(trims_after).unwrap_or(usize::MAX)).await;
        let (_, kept, more) = read(&all);
        H5.same("whether there is more than all", more, false);
        let expected: Vec<u64> = (trims_after + 2 - kept.len() as u64..=trims_after + 1).collect();
        H5.same("what is kept", &kept, &expected);
        let before = Position { offset: trims_after + 1 - kept.len() as u64, ..empty };
        let whole = H5.history(node, &lobby, Span::After(before), kept.len()).await;
        H5.same("what follows what was dropped last", read(&whole), (None, expected, false));
        let lost = Position { offset: before.offset - 1, ..empty };
        let gap = H5.history(node, &lobby, Span::After(lost), 1).await;
        H5.holds(matches!(gap, Recovered::Gap(GapReason::Trimmed, _)), "a hole of one message is not told");
    }
}
