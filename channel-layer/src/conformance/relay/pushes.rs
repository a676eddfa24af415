//! What comes in: subscriptions, direct messages, and a reader that is too slow.

use super::{
    Fixture,
    node::{Node, ephemeral},
};
use crate::{
    conformance::{
        rules::{R1, R12, R13, R14, R16},
        tools::{group, message, not_applicable, number, numbers_of, offset},
    },
    history::Span,
    relay::Incoming,
};
use tokio_util::task::TaskTracker;

pub(super) async fn messages_to_a_node_come_in_and_no_others(fixture: &dyn Fixture) {
    let (mut one, mut other, mut third) =
        (Node::new(fixture).await, Node::new(fixture).await, Node::new(fixture).await);
    // Each is awaited before the next is sent: between nodes they have no order.
    for number in 1..=10 {
        one.send(R1, &other, number).await;
        other.hears_directly(R1, number).await;
        other.send(R1, &third, 100 + number).await;
        third.hears_directly(R1, 100 + number).await;
        third.send(R1, &one, 200 + number).await;
        one.hears_directly(R1, 200 + number).await;
        one.send(R1, &one, 300 + number).await;
        one.hears_directly(R1, 300 + number).await;
    }
    // To a node that is none: nobody minds.
    let nobody = R1.ok("an address", "0123456789abcdef.0".parse());
    R1.ok("a direct message", R1.in_time("its answer", one.relay.send(nobody, message(1))).await);
    for node in [&mut one, &mut other, &mut third] {
        let more = node.incoming.try_recv();
        R1.holds(more.is_err(), format_args!("{more:?} came in as well"));
    }
}

pub(super) async fn what_is_published_after_a_subscription_is_pushed_in_order(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    for round in 0..20 {
        let names = ["a", "b", "c"].map(|name| group(&format!("{name}-{round}")));
        let mut writer = one.writer(R12, &names[1]).await;
        // From before: it is not pushed.
        one.place(R12, &mut writer, [1]).await;
        other.subscribe(R12, &[&names[0], &names[1], &names[2]]).await;
        one.subscribe(R12, &[&names[1]]).await;
        one.place(R12, &mut writer, [2, 3]).await;
        one.publish(R12, vec![ephemeral(&names[1], 9), writer.next(message(4))]).await;
        for node in [&mut one, &mut other] {
            node.hears(R12, [2, 3], 1).await;
            let mut last = [node.posted(R12).await, node.posted(R12).await].map(|posted| number(posted.id));
            last.sort_unstable();
            R12.same("what was pushed last", last, [4, 9]);
        }
    }
}

pub(super) async fn what_is_published_after_the_end_of_a_subscription_is_not_pushed(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let (lobby, garden) = (group("lobby"), group("garden"));
    let mut writers = [one.writer(R13, &lobby).await, one.writer(R13, &garden).await];
    other.subscribe(R13, &[&lobby, &garden]).await;
    one.place(R13, &mut writers[0], [1]).await;
    other.hears(R13, [1], 0).await;
    R13.ok("its end", R13.in_time("its answer", other.relay.unsubscribe(vec![lobby.clone()])).await);
    one.place(R13, &mut writers[0], [2]).await;
    one.publish(R13, vec![ephemeral(&lobby, 3)]).await;
    // The other group is heard as before.
    one.place(R13, &mut writers[1], [4]).await;
    other.hears(R13, [4], 0).await;
    other.subscribe(R13, &[&lobby]).await;
    one.place(R13, &mut writers[0], [5]).await;
    other.hears(R13, [5], 2).await;
}

pub(super) async fn an_opening_and_what_is_pushed_leave_no_hole(fixture: &dyn Fixture) {
    const COUNT: u64 = 300;
    let mut one = Node::new(fixture).await;
    let lobby = group("lobby");
    let mut writer = one.writer(R14, &lobby).await;
    let tasks = TaskTracker::new();
    let sender = tasks.spawn(async move {
        for number in 1..=COUNT {
            one.place(R14, &mut writer, [number]).await;
        }
    });
    // One after the other they come in the middle of it.
    let mut seen_all = 0;
    while seen_all < 5 {
        let mut late = Node::new(fixture).await;
        late.subscribe(R14, &[&lobby]).await;
        let opened = late.open(R14, &lobby, None).await;
        let page = opened.recovered.page();
        let head = page.head.offset;
        let read = numbers_of(page);
        let expected: Vec<u64> = (head + 1 - read.len() as u64..=head).collect();
        R14.same("what the opening read", read, expected);
        let mut last = head;
        while last < COUNT.min(head + 20) {
            let posted = late.posted(R14).await;
            let offset = offset(&posted);
            // What was read is pushed again, maybe.
            if offset > last {
                R14.same(
                    "what is pushed after what was read",
                    (offset, number(posted.id)),
                    (last + 1, last + 1),
                );
                last = offset;
            }
        }
        seen_all += 1;
    }
    R14.ok("the sender", R14.in_time("its end", sender).await);
}

pub(super) async fn a_reader_that_is_too_slow_is_told_and_holds_nobody_up(fixture: &dyn Fixture) {
    let Some(arrivals_max) = fixture.arrivals_max() else {
        return not_applicable("how many arrivals may wait is not known");
    };
    let (mut one, mut slow) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    let mut writer = one.writer(R16, &lobby).await;
    slow.subscribe(R16, &[&lobby]).await;
    let count = arrivals_max + 1_000;
    let numbers: Vec<u64> = (1..=count).collect();
    for some in numbers.chunks(256) {
        one.place(R16, &mut writer, some.iter().copied()).await;
    }
    // Nobody reads what comes in, and calls on the same link are answered all the same.
    slow.read(R16, &lobby, Span::Latest, 1).await;
    let mut own = slow.writer(R16, &lobby).await;
    slow.place(R16, &mut own, [count + 1]).await;
    one.send(R16, &slow, 1).await;
    // Once there is room the newest may come in before the word that some are missing: that word has no place in the order.
    let mut last = 0;
    loop {
        match R16.in_time("word that some was dropped", slow.incoming.recv()).await {
            Some(Incoming::Posted(posted)) => {
                let offset = offset(&posted);
                R16.holds(offset > last, format_args!("{offset} came after {last}"));
                last = offset;
            }
            Some(
                Incoming::Direct { .. }
                | Incoming::Presence { .. }
                | Incoming::Probe(_)
                | Incoming::Malformed,
            ) => {}
            Some(Incoming::Dropped | Incoming::Ended(_)) | None => return,
        }
    }
}
