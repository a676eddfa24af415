//! Reads of a history.

use super::{Fixture, node::Node};
use crate::{
    conformance::{
        rules::R15,
        tools::{group, number, offset, read},
    },
    history::{GapReason, Span},
    position::{Epoch, Position},
};

pub(super) async fn a_history_is_read_from_anywhere_or_says_why_not(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    let mut writer = one.writer(R15, &lobby).await;
    let empty = other.read(R15, &lobby, Span::Latest, 8).await;
    R15.same("what is in it", (read(&empty), empty.page().head), ((None, vec![], false), writer.position(0)));
    one.place(R15, &mut writer, 1..=5).await;
    let at = |offset| Span::After(writer.position(offset));
    let before = |offset| Span::Before(writer.position(offset));
    let strange = Position { epoch: Epoch::random(), offset: 3 };
    // Whoever has opened it: all may read.
    other.open(R15, &lobby, None).await;
    for node in [&one, &other] {
        for (span, messages_max, expected) in [
            (Span::Latest, 8, (None, vec![1, 2, 3, 4, 5], false)),
            (Span::Latest, 5, (None, vec![1, 2, 3, 4, 5], false)),
            (Span::Latest, 2, (None, vec![4, 5], true)),
            (at(0), 8, (None, vec![1, 2, 3, 4, 5], false)),
            (at(2), 2, (None, vec![3, 4], true)),
            (at(2), 3, (None, vec![3, 4, 5], false)),
            (at(4), 1, (None, vec![5], false)),
            (at(5), 8, (None, vec![], false)),
            (at(6), 2, (Some(GapReason::Rebuilt), vec![4, 5], true)),
            (Span::After(strange), 8, (Some(GapReason::UnknownEpoch), vec![1, 2, 3, 4, 5], false)),
            (before(5), 8, (None, vec![1, 2, 3, 4], false)),
            (before(5), 4, (None, vec![1, 2, 3, 4], false)),
            (before(5), 2, (None, vec![3, 4], true)),
            (before(1), 8, (None, vec![], false)),
            (before(6), 2, (Some(GapReason::Rebuilt), vec![4, 5], true)),
            (Span::Before(strange), 2, (Some(GapReason::UnknownEpoch), vec![4, 5], true)),
        ] {
            let recovered = node.read(R15, &lobby, span, messages_max).await;
            R15.same(format_args!("{span:?}, {messages_max} at most"), read(&recovered), expected);
            R15.same("the head", recovered.page().head, writer.position(5));
            for posted in &recovered.page().messages {
                R15.same("an offset", offset(posted), number(posted.id));
                R15.same("a group", &posted.group, &lobby);
            }
        }
    }
}
