//! Joins, leaves and drops that meet: each in many rounds, from two threads at once where that matters.

use super::{Fixture, two_nodes};
use crate::{
    conformance::{
        layer::members::usage,
        rules::{E3, E7, G3, G6},
        tools::{Random, group, message, number},
    },
    delivery::Delivery,
    mailbox::{Mailbox, Received},
    message::Retention,
};
use futures_util::FutureExt;
use std::{
    hint,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Runs two calls on two threads, as nearly at once as can be; which is first is drawn.
fn at_once<A: Send, B>(
    random: &mut Random,
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B,
) -> (A, B) {
    let turns = [random.below(50), random.below(50)];
    let (runtime, ready) = (Handle::current(), AtomicUsize::new(0));
    // A thread that sleeps wakes up too late to be in anybody's way, so both spin.
    let start = |turns: usize| {
        ready.fetch_add(1, Ordering::AcqRel);
        while ready.load(Ordering::Acquire) < 2 {
            thread::yield_now();
        }
        (0..turns).for_each(|_| hint::spin_loop());
    };
    thread::scope(|tasks| {
        let one = tasks.spawn(|| {
            let _inside = runtime.enter();
            start(turns[0]);
            one()
        });
        start(turns[1]);
        let other = other();
        (one.join().expect("a call does not panic"), other)
    })
}

pub(super) async fn a_quick_return_loses_nothing(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let (called, enough, tasks) = (Arc::new(AtomicU64::new(0)), CancellationToken::new(), TaskTracker::new());
    let sender = {
        let (called, enough, lobby) = (Arc::clone(&called), enough.clone(), lobby.clone());
        tasks.spawn(async move {
            while !enough.is_cancelled() {
                let number = called.fetch_add(1, Ordering::SeqCst) + 1;
                G3.send(&other, &lobby, number).await;
            }
        })
    };
    let enough = enough.drop_guard();
    let mut mailbox = node.new_channel(4_096);
    for _ in 0..30 {
        G3.add(&node, &lobby, &mailbox).await;
        // What has a greater number is called after the answer.
        let first_max = called.load(Ordering::SeqCst) + 1;
        let mut last = 0;
        let mut take = |mailbox_gave: u64| {
            if last == 0 {
                G3.holds(
                    mailbox_gave <= first_max,
                    format_args!("{mailbox_gave} came first, and {first_max} was sent after the join"),
                );
            } else {
                G3.same("what came next", mailbox_gave, last + 1);
            }
            last = mailbox_gave;
            last
        };
        while take(number(G3.message(&mut mailbox).await.id)) < first_max + 2 {}
        node.group_discard(&lobby, mailbox.channel());
        while let Some(Received::Delivery(Delivery::Message(posted))) = mailbox.try_recv() {
            take(number(posted.id));
        }
    }
    drop(enough);
    G3.ok("the sender", G3.in_time("the sender ends", sender).await);
}

pub(super) async fn the_last_to_leave_and_the_first_to_join_do_not_meet_badly(fixture: &dyn Fixture) {
    let [node, other] = two_nodes(fixture).await;
    let mut random = Random::seeded();
    let mut mailboxes: Vec<Mailbox> = (0..4).map(|_| node.new_channel(64)).collect();
    let names: Vec<_> = (0..4).map(|number| group(&format!("room-{number}"))).collect();
    let mut inside = [0; 4];
    for (name, at) in names.iter().zip(inside) {
        G3.add(&node, name, &mailboxes[at]).await;
    }
    for round in 0..200 {
        let room = random.below(names.len());
        let (name, leaves) = (&names[room], inside[room]);
        let joins = (leaves + 1 + random.below(3)) % 4;
        let join = || node.group_add(name.clone(), mailboxes[joins].channel().clone());
        let leave = || node.group_discard(name, mailboxes[leaves].channel());
        let (joined, ()) = at_once(&mut random, join, leave);
        G3.ok("a join", G3.in_time("a join's answer", joined).await);
        G3.send(&other, name, round).await;
        G3.receives(&mut mailboxes[joins], [round]).await;
        G3.holds(mailboxes[leaves].try_recv().is_none(), "who has left is still a member");
        inside[room] = joins;
    }
}

pub(super) async fn a_mailbox_dropped_while_it_joins_is_a_member_of_nothing(fixture: &dyn Fixture) {
    let [node, _] = two_nodes(fixture).await;
    let mut random = Random::seeded();
    let lobby = group("lobby");
    let before = usage(&node);
    for _ in 0..1_000 {
        let mailbox = node.new_channel(8);
        let channel = mailbox.channel().clone();
        let join = || node.group_add(lobby.clone(), channel);
        // Joined or too late: either is right.
        let (_joined, ()) = at_once(&mut random, join, || drop(mailbox));
    }
    G6.same("what is held after all were dropped", usage(&node), before);
}

pub(super) async fn a_mailbox_made_while_its_layer_ends_is_closed(fixture: &dyn Fixture) {
    let mut random = Random::seeded();
    let lobby = group("lobby");
    let mut last = None;
    for _ in 0..10 {
        let node = fixture.node().await;
        if last.is_some_and(|last| Arc::ptr_eq(&last, &node)) {
            // It is one with all others, and has ended.
            return;
        }
        let make = || {
            let mailbox = node.new_channel(8);
            drop(node.group_add(lobby.clone(), mailbox.channel().clone()));
            mailbox
        };
        let (mut mailbox, ended) = at_once(&mut random, make, || node.shutdown());
        E3.ok("a shutdown", E3.in_time("a shutdown's answer", ended).await);
        let end = E3.in_time("the end of a mailbox", mailbox.recv()).await;
        E3.holds(matches!(end, Received::Closed), format_args!("received {end:?}"));
        last = Some(node);
    }
}

pub(super) async fn a_wait_that_is_dropped_loses_no_delivery(fixture: &dyn Fixture) {
    const COUNT: u64 = 300;
    let [node, other] = two_nodes(fixture).await;
    let lobby = group("lobby");
    let mut mailbox = E7.join(&node, &lobby, 1_024).await;
    let answers: Vec<_> =
        (1..=COUNT).map(|number| other.group_send(lobby.clone(), message(number), Retention::Kept)).collect();
    let read = async {
        let mut next = 1;
        while next <= COUNT {
            match mailbox.recv().now_or_never() {
                None => tokio::task::yield_now().await,
                Some(Received::Delivery(Delivery::Message(posted))) => {
                    E7.same("what came next", number(posted.id), next);
                    next += 1;
                }
                Some(other) => E7.broken(format_args!("received {other:?}")),
            }
        }
    };
    E7.in_time("all deliveries", read).await;
    // Answers that nobody has looked at until now are there.
    for answer in answers {
        E7.ok("an answer that was kept", E7.in_time("it", answer).await);
    }
}
