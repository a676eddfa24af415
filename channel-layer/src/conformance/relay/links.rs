//! Links that end, backends that crash, and hubs that share one.

use super::{
    Fixture,
    node::{Node, ends},
};
use crate::{
    conformance::{
        rules::{R2, R17, R18, R20, R23},
        tools::{group, message, not_applicable, numbers_of, read},
    },
    history::{GapReason, Recovered, Span},
    position::Position,
    relay::Verdict,
};

pub(super) async fn connecting_anew_ends_the_link_before(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    let mut writer = one.writer(R2, &lobby).await;
    one.subscribe(R2, &[&lobby]).await;
    one.place(R2, &mut writer, [1]).await;
    one.hears(R2, [1], 0).await;
    for round in 0..3 {
        let mut before = one.connect_again(R2).await;
        ends(R2, &mut before).await;
        // Nothing is subscribed to on the new link, but the node itself is heard.
        let mut writer = other.writer(R2, &lobby).await;
        other.place(R2, &mut writer, [10 * round + 2]).await;
        other.send(R2, &one, 10 * round + 3).await;
        one.hears_directly(R2, 10 * round + 3).await;
        one.subscribe(R2, &[&lobby]).await;
        let placed = other.place(R2, &mut writer, [10 * round + 4]).await;
        one.hears(R2, [10 * round + 4], placed[0].offset - 1).await;
    }
    // Nor is the chain of the link before of any use.
    let stuck = writer.next(message(90));
    let mut writer = one.writer(R2, &lobby).await;
    R2.same("the verdict on what was stuck", one.publish(R2, vec![stuck]).await, vec![Verdict::Fenced]);
    one.place(R2, &mut writer, [91]).await;
}

pub(super) async fn a_link_that_was_cut_ends_and_another_can_be_made(fixture: &dyn Fixture) {
    if fixture.cut().is_none() {
        return not_applicable("there is no connection to be cut");
    }
    let (mut one, mut other) = (Node::new(fixture).await, Node::new(fixture).await);
    let lobby = group("lobby");
    for round in 0..3 {
        let mut writer = one.writer(R17, &lobby).await;
        other.subscribe(R17, &[&lobby]).await;
        let placed = one.place(R17, &mut writer, [round * 2]).await;
        R17.same("what is kept goes on", placed[0].offset, round * 2 + 1);
        other.hears(R17, [round * 2], round * 2).await;
        if let Some(cut) = fixture.cut() {
            cut.await;
        }
        for node in [&mut one, &mut other] {
            ends(R17, &mut node.incoming).await;
            let read = R17
                .in_time("an answer without a link", node.relay.read(lobby.clone(), Span::Latest, 1))
                .await;
            R17.holds(
                read.is_err(),
                format_args!("a call on a link that has ended was answered with {read:?}"),
            );
            node.connect_again(R17).await;
        }
        let mut writer = one.writer(R17, &lobby).await;
        one.place(R17, &mut writer, [round * 2 + 1]).await;
    }
    let recovered = other.read(R17, &lobby, Span::Latest, 8).await;
    R17.same("what is kept", read(&recovered), (None, (0..6).collect(), false));
}

pub(super) async fn a_crash_that_lost_nothing_costs_nobody_anything(fixture: &dyn Fixture) {
    if fixture.crash().is_none() || fixture.save().is_none() {
        return not_applicable("a crash that loses nothing cannot be brought about");
    }
    let mut node = Node::new(fixture).await;
    let lobby = group("lobby");
    let mut writer = node.writer(R18, &lobby).await;
    let old = node.place(R18, &mut writer, 1..=5).await;
    if let (Some(save), Some(crash)) = (fixture.save(), fixture.crash()) {
        save.await;
        crash.await;
    }
    back(&mut node).await;
    let opened = node.open(R18, &lobby, Some(old[2])).await;
    R18.same("what came after the third", read(&opened.recovered), (None, vec![4, 5], false));
    let opened = node.open(R18, &lobby, Some(old[4])).await;
    R18.same("what came after the last", read(&opened.recovered), (None, vec![], false));
    let mut writer = node.writer(R18, &lobby).await;
    let new = node.place(R18, &mut writer, [6]).await;
    R18.same("the next offset", new[0].offset, 6);
    let recovered = node.read(R18, &lobby, Span::After(old[3]), 8).await;
    R18.same("what came after the fourth", read(&recovered), (None, vec![5, 6], false));
    let known = node.publish(R18, vec![writer.next(message(2))]).await;
    R18.same("a repeat", known, vec![Verdict::Known(old[1])]);
}

pub(super) async fn a_crash_that_lost_something_shows(fixture: &dyn Fixture) {
    if fixture.crash().is_none() {
        return not_applicable("a crash cannot be brought about");
    }
    let mut node = Node::new(fixture).await;
    for (name, saved) in [("lost", 0), ("halved", 5)] {
        let name = group(name);
        let mut writer = node.writer(R18, &name).await;
        let mut old = node.place(R18, &mut writer, 1..=5).await;
        if saved > 0 {
            let Some(save) = fixture.save() else { return };
            save.await;
        }
        old.extend(node.place(R18, &mut writer, 6..=8).await);
        if let Some(crash) = fixture.crash() {
            crash.await;
        }
        back(&mut node).await;
        // A publish that was on its way finds nobody who takes it for a new one.
        let late = node.publish(R18, vec![writer.next(message(9))]).await;
        R18.same("a publish from before the crash", late, vec![Verdict::Stale]);
        let opened = node.open(R18, &name, old.last().copied()).await;
        R18.same("what comes after what is kept", numbers_of(opened.recovered.page()), vec![]);
        // Of a past epoch that is known, what is behind what is kept may be put back, and says so itself.
        let reason = if saved > 0 { None } else { Some(GapReason::UnknownEpoch) };
        R18.same("what is said to who had more", read(&opened.recovered).0, reason);
        R18.holds(opened.lineage.epoch != writer.epoch, "the epoch is the one that lost something");
        let mut writer = node.writer(R18, &name).await;
        let new = node.place(R18, &mut writer, [6, 10]).await;
        R18.holds(!new.iter().any(|position| old.contains(position)), "a position is given twice");
        R18.same("the next offset", new[0].offset, saved + 1);
        whole(&node, &name, &old, saved).await;
    }
}

/// Those who had no more than is kept go on; the others are told.
async fn whole(node: &Node, name: &crate::GroupName, old: &[Position], saved: u64) {
    for (had, position) in (1..).zip(old) {
        let recovered = node.read(R18, name, Span::After(*position), 20).await;
        if saved == 0 {
            R18.holds(
                matches!(recovered, Recovered::Gap(..)),
                format_args!("who had {had} is told of no gap"),
            );
        } else {
            // Whoever had more gets what stands there now.
            let expected: Vec<u64> = (had + 1..=saved).chain([6, 10]).collect();
            R18.same("what came after what is whole", read(&recovered), (None, expected, false));
        }
    }
}

/// The link of a node ends with its backend, and another is made.
async fn back(node: &mut Node) {
    ends(R18, &mut node.incoming).await;
    node.connect_again(R18).await;
}

pub(super) async fn who_announces_itself_is_listed_until_it_withdraws(fixture: &dyn Fixture) {
    let (one, other) = (Node::new(fixture).await, Node::new(fixture).await);
    let ask = async |node: &Node| {
        let census = R23.in_time("an announcement's answer", node.relay.announce(&node.name)).await;
        let nodes = R23.ok("an announcement", census).nodes?;
        Some(nodes.into_iter().map(|peer| peer.node).collect::<Vec<_>>())
    };
    let Some(first) = ask(&one).await else {
        return not_applicable("the relay keeps no list of nodes");
    };
    R23.same("the list of one", first, vec![one.name.clone()]);
    let mut both = vec![one.name.clone(), other.name.clone()];
    both.sort();
    for node in [&other, &one] {
        let mut listed = R23.some("list", ask(node).await);
        listed.sort();
        R23.same("the list of both", &listed, &both);
    }
    let withdrawn = R23.in_time("its answer", one.relay.withdraw(&one.name)).await;
    R23.ok("withdrawing", withdrawn);
    R23.same("the list of who stays", ask(&other).await, Some(vec![other.name.clone()]));
}

pub(super) async fn hubs_on_one_backend_do_not_meet(fixture: &dyn Fixture) {
    let Some(stranger) = fixture.stranger() else {
        return not_applicable("the backend carries one hub");
    };
    let (mut one, mut other) = (Node::new(fixture).await, Node::over(stranger).await);
    let lobby = group("lobby");
    let mut writers = [one.writer(R20, &lobby).await, other.writer(R20, &lobby).await];
    R20.holds(writers[0].epoch != writers[1].epoch, "two hubs have one group");
    for node in [&one, &other] {
        node.subscribe(R20, &[&lobby]).await;
    }
    one.place(R20, &mut writers[0], [1]).await;
    other.place(R20, &mut writers[1], [2, 1]).await;
    one.place(R20, &mut writers[0], [3]).await;
    one.hears(R20, [1, 3], 0).await;
    other.hears(R20, [2, 1], 0).await;
    // Not even by address.
    one.send(R20, &other, 4).await;
    other.send(R20, &other, 5).await;
    other.hears_directly(R20, 5).await;
}
