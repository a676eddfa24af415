//! Random sends and amendments of two nodes, checked against a plain model: what is kept, by offset.

use super::{
    Fixture,
    amending::{Shown, ana_sends, row},
    two_nodes,
};
use crate::{
    conformance::{
        rules::A5,
        tools::{Random, group},
    },
    history::{Recovered, Span},
    position::Position,
};
use std::collections::BTreeMap;

const STEPS: u64 = 300;

pub(super) async fn whatever_is_amended_every_reader_finds_the_newest_of_each(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let mut random = Random::seeded();
    let lobby = group("lobby");
    let mut member = A5.join(&nodes[0], &lobby, 512).await;
    let mut kept: BTreeMap<u64, Shown> = BTreeMap::new();
    let mut start = None;
    for at in 1..=STEPS {
        let node = &nodes[random.below(2)];
        let target = (!kept.is_empty() && random.one_in(2)).then(|| random.below(kept.len()));
        let position = match target.and_then(|nth| kept.values().nth(nth).cloned()) {
            Some((number, here, _, version, first)) => {
                let text = "x".repeat(random.below(2_000));
                kept.remove(&here);
                kept.insert(at, (number, at, text.clone(), version + 1, first));
                A5.edited(node, &lobby, (number, at), &text).await
            }
            None => {
                kept.insert(at, row(at, at, &at.to_string(), 1, at));
                A5.sent(ana_sends(node, &lobby, at)).await
            }
        };
        A5.same("an offset", position.offset, at);
        start = start.or(Some(Position { offset: 0, ..position }));
    }
    let start = A5.some("first position", start);
    // Then the copy of its own that the one node has, maybe, is not behind any more.
    A5.live(&mut member, STEPS).await;
    let kept: Vec<Shown> = kept.into_values().collect();
    for node in &nodes {
        A5.same("the last", A5.shows(node, &lobby, Span::Latest, STEPS).await, kept.clone());
        for messages_max in [1 + random.below(20), 50] {
            let (mut forward, mut after) = (Vec::new(), start);
            loop {
                let recovered = A5.history(node, &lobby, Span::After(after), messages_max).await;
                let Recovered::All(page) = recovered else { A5.broken("the history has a gap") };
                forward.extend(page.messages.iter().filter_map(|posted| posted.position));
                A5.holds(forward.len() <= kept.len(), "pages overlap");
                let Some(last) = forward.last().filter(|_| page.more) else { break };
                after = *last;
            }
            let (mut back, mut span) = (Vec::new(), Span::Latest);
            loop {
                let recovered = A5.history(node, &lobby, span, messages_max).await;
                let Recovered::All(page) = recovered else { A5.broken("the history has a gap") };
                back.extend(page.messages.iter().rev().filter_map(|posted| posted.position));
                A5.holds(back.len() <= kept.len(), "pages overlap");
                let Some(first) = back.last().filter(|_| page.more) else { break };
                span = Span::Before(*first);
            }
            back.reverse();
            for read in [forward, back] {
                let offsets: Vec<u64> = read.into_iter().map(|position| position.offset).collect();
                let expected = kept.iter().map(|(_, here, ..)| *here).collect();
                A5.same(format_args!("pages of {messages_max}"), offsets, expected);
            }
        }
    }
}
