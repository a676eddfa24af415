//! What is pushed and kept of a message: all of it, nothing of it, or in the place of another.

use super::{
    Fixture,
    node::{Node, ephemeral},
};
use crate::{
    amend::{Amendment, Amends, Owner, Version},
    conformance::{
        rules::{R11, R21, R22},
        tools::{group, id, message, offset, read},
    },
    history::Span,
    message::{BODY_BYTES_MAX, Message},
    relay::Verdict,
};

pub(super) async fn what_is_ephemeral_is_passed_on_and_not_kept(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    let mut writer = one.writer(R11, &lobby).await;
    other.subscribe(R11, &[&lobby]).await;
    for number in [1, 2, 2] {
        let verdicts = one.publish(R11, vec![ephemeral(&lobby, number)]).await;
        R11.same("the verdict", verdicts, vec![Verdict::Sent]);
        let posted = other.posted(R11).await;
        R11.same("what was pushed", (&posted.group, posted.position, posted.id), (&lobby, None, id(number)));
    }
    let batch = vec![ephemeral(&lobby, 3), writer.next(message(2)), ephemeral(&lobby, 4)];
    let expected = vec![Verdict::Sent, Verdict::Placed(writer.position(1)), Verdict::Sent];
    R11.same("the verdicts", one.publish(R11, batch).await, expected);
    let recovered = other.read(R11, &lobby, Span::Latest, 8).await;
    R11.same("what is kept", read(&recovered), (None, vec![2], false));
}

pub(super) async fn an_amendment_takes_the_place_of_its_target(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    let mut writer = one.writer(R22, &lobby).await;
    other.subscribe(R22, &[&lobby]).await;
    let owner = Owner::from_u64(7);
    let amend = |number: u64, target: u64, owner, amendment| {
        message(number).owned_by(owner).amending(Amends { target: id(target), amendment })
    };
    let batch = vec![
        writer.next(message(1).owned_by(owner)),
        writer.next(message(2)),
        writer.next(amend(10, 1, Owner::from_u64(8), Amendment::Replace)),
        writer.next(amend(11, 2, owner, Amendment::Replace)),
        writer.next(amend(12, 9, owner, Amendment::Replace)),
        writer.next(amend(13, 1, owner, Amendment::Replace)),
        writer.next(amend(13, 1, owner, Amendment::Replace)),
        writer.next(message(1).owned_by(owner)),
        writer.next(amend(14, 1, owner, Amendment::Delete)),
        writer.next(amend(15, 1, owner, Amendment::Replace)),
        writer.next(message(3)),
    ];
    let at = |offset| writer.position(offset);
    let expected = vec![
        Verdict::Placed(at(1)),
        Verdict::Placed(at(2)),
        Verdict::Forbidden,
        Verdict::Forbidden,
        Verdict::NotFound,
        Verdict::Placed(at(3)),
        Verdict::Known(at(3)),
        Verdict::Known(at(1)),
        Verdict::Placed(at(4)),
        Verdict::NotFound,
        Verdict::Placed(at(5)),
    ];
    R22.same("the verdicts", one.publish(R22, batch).await, expected);
    let version = |number, by, amendment| Some(Version { number, first: Some(at(1)), by: id(by), amendment });
    let versions = [
        (1, None),
        (2, None),
        (1, version(2, 13, Amendment::Replace)),
        (1, version(3, 14, Amendment::Delete)),
        (3, None),
    ];
    for (offset, (expected, version)) in (1..).zip(versions) {
        let pushed = other.posted(R22).await;
        R22.same("what was pushed", (pushed.id, pushed.position), (id(expected), Some(at(offset))));
        R22.same("its version", pushed.version.as_deref().copied(), version);
    }
    for node in [&one, &other] {
        for (span, kept) in [(Span::Latest, vec![2, 1, 3]), (Span::After(at(2)), vec![1, 3])] {
            let recovered = node.read(R22, &lobby, span, 8).await;
            R22.same("what is kept", read(&recovered), (None, kept, false));
        }
    }
    let opened = other.open(R22, &lobby, Some(at(1))).await;
    R22.same("what an opening brings", read(&opened.recovered), (None, vec![2, 1, 3], false));
}

pub(super) async fn a_message_is_pushed_and_read_as_it_was_sent(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    let mut writer = one.writer(R21, &lobby).await;
    other.subscribe(R21, &[&lobby]).await;
    let bytes: Vec<u8> = (0..=255).collect();
    let sender = R21.ok("an address", format!("{}.0!socket-3", one.name).parse());
    let sent = [
        Message::frame(id(1), ""),
        Message::frame(id(2), bytes.clone()),
        Message::event(id(3), "chat.kick", bytes).except(sender),
        Message::event(id(4), "é", "").with_digest(7),
        Message::frame(id(5), vec![b'x'; BODY_BYTES_MAX]),
    ];
    for (at, sent) in (1..).zip(&sent) {
        let verdicts = one.publish(R21, vec![writer.next(sent.clone())]).await;
        R21.same("the verdict", verdicts, vec![Verdict::Placed(writer.position(at))]);
        let pushed = other.posted(R21).await;
        R21.same("what was pushed", (&pushed.group, pushed.position), (&lobby, Some(writer.position(at))));
        R21.same("whom it is not for", (pushed.id, &pushed.except), (sent.id, &sent.except));
        R21.holds(pushed.body == sent.body, format_args!("the body of {at} was pushed as another"));
    }
    let recovered = other.read(R21, &lobby, Span::Latest, 8).await;
    // The last is so large that some of those before it may be gone.
    let kept = &recovered.page().messages;
    R21.holds(!kept.is_empty(), "nothing is kept");
    for posted in kept {
        let place = usize::try_from(offset(posted)).unwrap_or(usize::MAX) - 1;
        let sent = R21.some("such message", sent.get(place));
        R21.same("what is kept", (posted.id, &posted.except), (sent.id, &sent.except));
        R21.holds(posted.body == sent.body, format_args!("the body of {} is kept as another", posted.id));
    }
}
