//! What is left of a message that was amended: the newest version alone, wherever a reader stands, and nothing after the last.

use super::{
    Fixture,
    amending::{ana_amends, ana_sends, row},
    two_nodes,
};
use crate::{
    amend::Amendment,
    conformance::{
        rules::{A5, A6},
        tools::{group, number},
    },
    error::Error,
    history::Span,
    position::Position,
};
use futures_util::future::{join, join_all};

pub(super) async fn a_reader_finds_the_newest_version_alone_wherever_it_stands(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    // The one node has a copy of its own, maybe, with all that was replaced in it; the others have to ask.
    let mut member = A5.join(&nodes[0], &lobby, 16).await;
    let first = A5.sent(ana_sends(&nodes[0], &lobby, 1)).await;
    for number in 2..=4 {
        A5.sent(ana_sends(&nodes[0], &lobby, number)).await;
    }
    A5.live(&mut member, 4).await;
    A5.edited(&nodes[1], &lobby, (1, 100), "edited").await;
    A5.deleted(&nodes[1], &lobby, (3, 101)).await;
    A5.edited(&nodes[1], &lobby, (1, 102), "twice").await;
    A5.deleted(&nodes[1], &lobby, (4, 103)).await;
    let kept =
        [row(2, 2, "2", 1, 2), row(3, 6, "gone", 2, 3), row(1, 7, "twice", 3, 1), row(4, 8, "gone", 2, 4)];
    let late = fixture.node().await;
    super::is_healthy(&late).await;
    let _newcomer = A5.join(&late, &lobby, 16).await;
    let at = |offset| Position { offset, ..first };
    for node in nodes.iter().chain([&late]) {
        A5.same("the last", A5.shows(node, &lobby, Span::Latest, 8).await, kept.to_vec());
        for (offset, seen) in [(0, 0), (1, 0), (2, 1), (3, 1), (5, 1), (6, 2), (7, 3), (8, 4)] {
            let after = A5.shows(node, &lobby, Span::After(at(offset)), 8).await;
            A5.same(format_args!("what came after {offset}"), after, kept[seen..].to_vec());
        }
        for (offset, seen) in [(1, 0), (2, 0), (3, 1), (6, 1), (7, 2), (8, 3)] {
            let before = A5.shows(node, &lobby, Span::Before(at(offset)), 8).await;
            A5.same(format_args!("what came before {offset}"), before, kept[..seen].to_vec());
        }
        // What was replaced is nothing that is left to read, in either direction.
        for (span, messages_max, more) in [
            (Span::After(at(0)), 4, false),
            (Span::After(at(0)), 3, true),
            (Span::After(at(6)), 2, false),
            (Span::Before(at(6)), 1, false),
            (Span::Before(at(7)), 1, true),
            (Span::Latest, 4, false),
        ] {
            let recovered = A5.history_to(node, &lobby, span, messages_max, 8).await;
            A5.same(format_args!("more than {messages_max} of {span:?}"), recovered.page().more, more);
            A5.same("the head", recovered.page().head, at(8));
        }
    }
}

pub(super) async fn versions_count_on_and_a_deletion_is_the_last(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    A6.sent(ana_sends(&nodes[0], &lobby, 1)).await;
    for (by, version) in [(100, 2), (101, 3), (102, 4)] {
        A6.edited(&nodes[usize::from(version % 2 == 0)], &lobby, (1, by), "edited").await;
        for node in &nodes {
            let kept = A6.shows(node, &lobby, Span::Latest, version).await;
            A6.same("the history", kept, vec![row(1, version, "edited", version, 1)]);
        }
    }
    A6.deleted(&nodes[0], &lobby, (1, 103)).await;
    for node in &nodes {
        A6.not_amended(node, &lobby, (1, 104), Error::NotFound).await;
        let kept = A6.shows(node, &lobby, Span::Latest, 5).await;
        A6.same("the history", kept, vec![row(1, 5, "gone", 5, 1)]);
    }
}

pub(super) async fn amendments_at_once_have_a_version_each_and_a_deletion_wins(fixture: &dyn Fixture) {
    const EACH: u64 = 20;
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [A6.join(&nodes[0], &lobby, 128).await, A6.join(&nodes[1], &lobby, 128).await];
    A6.sent(ana_sends(&nodes[0], &lobby, 1)).await;
    let edit =
        |node: usize, by: u64| ana_amends(&nodes[node], &lobby, (1, by), &by.to_string(), Amendment::Replace);
    let calls = (0..EACH).flat_map(|by| [edit(0, 100 + by), edit(1, 200 + by)]);
    let answers = A6.in_time("all answers", join_all(calls.collect::<Vec<_>>())).await;
    let mut by_offset: Vec<(u64, u64)> = Vec::new();
    for answer in answers {
        let sent = A6.ok("an amendment", answer);
        by_offset.push((A6.some("position", sent.position).offset, number(sent.id)));
    }
    by_offset.sort_unstable();
    let head = 1 + 2 * EACH;
    A6.same("their offsets", by_offset.iter().map(|at| at.0).collect(), (2..=head).collect::<Vec<_>>());
    // The first stands at offset 1, so each version has the number of its offset.
    let expected = |(at, by): (u64, u64)| row(1, at, &by.to_string(), at, 1);
    for member in &mut members {
        let live = A6.live(member, head).await;
        for (live, at) in live.into_iter().skip(1).zip(&by_offset) {
            A6.holds(
                live.is_none() || live == Some(expected(*at)),
                format_args!("received {live:?}, not {at:?}"),
            );
        }
    }
    let newest = vec![expected(by_offset[by_offset.len() - 1])];
    for node in &nodes {
        A6.same("the history", A6.shows(node, &lobby, Span::Latest, head).await, newest.clone());
    }

    let garden = group("garden");
    for target in 1..=10 {
        let mut head = A6.sent(ana_sends(&nodes[0], &garden, target)).await.offset;
        let amend = |node: usize, by: u64, amendment| {
            ana_amends(&nodes[node], &garden, (target, 100 * by + target), "last", amendment)
        };
        let edit = amend(0, 1, Amendment::Replace);
        let deletions = join(amend(1, 2, Amendment::Delete), amend(0, 3, Amendment::Delete));
        let (edit, (one, other)) = A6.in_time("all answers", join(edit, deletions)).await;
        let refused = [&edit, &one, &other].into_iter().filter(|answer| **answer == Err(Error::NotFound));
        let refused = refused.count();
        A6.holds(
            one.is_ok() != other.is_ok(),
            format_args!("two deletions are answered {one:?} and {other:?}"),
        );
        A6.same("whether each is done or not found", refused, 1 + usize::from(edit.is_err()));
        head += 1 + u64::from(edit.is_ok());
        let newest = A6.shows(&nodes[1], &garden, Span::Latest, head).await.pop();
        let version = 2 + u64::from(edit.is_ok());
        let first = head + 1 - version;
        A6.same("what is left of it", newest, Some(row(target, head, "last", version, first)));
    }
}
