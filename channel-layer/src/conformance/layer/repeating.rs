//! What comes again, of what was amended and of what amends: answered, delivered to nobody, and telling nothing of a text that is
//! gone.

use super::{
    Fixture,
    amending::{ANA, ana_amends, ana_sends, row},
    two_nodes,
};
use crate::{
    amend::Amendment,
    conformance::{
        rules::A4,
        tools::{group, id},
    },
    error::Error,
    history::Span,
    message::{BODY_BYTES_MAX, Message, Retention},
};

pub(super) async fn a_repeated_amendment_reaches_nobody(fixture: &dyn Fixture) {
    let nodes = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut members = [A4.join(&nodes[0], &lobby, 16).await, A4.join(&nodes[1], &lobby, 16).await];
    let first = A4.sent(ana_sends(&nodes[0], &lobby, 1)).await;
    A4.sent(ana_sends(&nodes[0], &lobby, 2)).await;
    let edited = A4.edited(&nodes[0], &lobby, (1, 100), "edited").await;
    let again = A4.edited(&nodes[1], &lobby, (1, 101), "again").await;
    for node in &nodes {
        A4.same("a repeat", A4.edited(node, &lobby, (1, 100), "edited").await, edited);
        A4.same("a repeat of what was sent first", A4.sent(ana_sends(node, &lobby, 1)).await, first);
        // The text, the target and what it is are what a repeat has in common. Of what was replaced nobody knows the text any
        // more, so that no answer tells whether somebody guessed it.
        let guessed = A4.edited(node, &lobby, (1, 100), "something else").await;
        A4.same("a repeat with another text than was replaced", guessed, edited);
        for (of, text, amendment) in [
            ((1, 101), "something else", Amendment::Replace),
            ((2, 101), "again", Amendment::Replace),
            ((1, 101), "again", Amendment::Delete),
            ((2, 100), "edited", Amendment::Replace),
            ((1, 100), "edited", Amendment::Delete),
            ((2, 1), "1", Amendment::Replace),
        ] {
            let answer = ana_amends(node, &lobby, of, text, amendment);
            A4.same("another with its id", A4.in_time("its answer", answer).await, Err(Error::Conflict));
        }
        for by in [100, 101] {
            let plain = ana_sends(node, &lobby, by);
            A4.same("a message with its id", A4.in_time("its answer", plain).await, Err(Error::Conflict));
        }
        let large = Message::frame(id(102), vec![b'x'; BODY_BYTES_MAX + 1]).owned_by(ANA);
        let answer = node.amend(lobby.clone(), id(1), large, Amendment::Replace).await;
        A4.same("one that is too large", answer, Err(Error::TooLarge));
    }
    let deleted = A4.deleted(&nodes[0], &lobby, (1, 103)).await;
    A4.same("a repeated deletion", A4.deleted(&nodes[1], &lobby, (1, 103)).await, deleted);
    for text in ["1", "edited", "again", "something else"] {
        let again = Message::frame(id(1), text).owned_by(ANA).with_floor(Some(first));
        let again = nodes[1].group_send(lobby.clone(), again, Retention::Kept);
        A4.same("a repeat of what was deleted", A4.sent(again).await, first);
        A4.same("one of an edit", A4.edited(&nodes[0], &lobby, (1, 100), text).await, edited);
    }
    let last = A4.sent(ana_sends(&nodes[1], &lobby, 3)).await;
    A4.same("the offsets", [edited, again, deleted, last].map(|at| at.offset), [3, 4, 5, 6]);
    for member in &mut members {
        A4.live(member, 6).await;
        A4.holds(member.try_recv().is_none(), "a repeat arrived");
    }
    for node in &nodes {
        let expected = vec![row(2, 2, "2", 1, 2), row(1, 5, "gone", 4, 1), row(3, 6, "3", 1, 6)];
        A4.same("the history", A4.shows(node, &lobby, Span::Latest, 6).await, expected);
    }
}
