//! Whatever breaks: several nodes, clients and a backend in a world of their own, ten thousand times.
//!
//! Each story follows from its seed. Things go wrong for some seconds while people talk; then all is mended, and what everybody has
//! on the screen is compared with what they were promised. `PALABRE_SEED` tells one story, `PALABRE_SIM_SEEDS` says how many are tried.

mod backend;
mod client;
mod random;
mod world;

use crate::{
    name::GroupName,
    registry::{Group, Registry},
    state::Health,
};
use client::Client;
use random::Random;
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use world::{Event, World};

/// How long things go wrong, and how long it may take until all is well again.
const TROUBLE: Duration = Duration::from_secs(8);
const PEACE: Duration = Duration::from_secs(12);

struct Story {
    seed: u64,
    broken: Vec<String>,
    told: Vec<String>,
    troubles: BTreeSet<&'static str>,
    gaps: usize,
}

fn story(seed: u64, is_told: bool) -> Story {
    let mut random = Random(seed ^ 0x5eed);
    let are_small = random.one_in(4);
    let nodes = usize::try_from(2 + random.below(3)).expect("few");
    let mut world = World::new(random.next(), are_small, nodes, is_told);
    world.ends_at = world.now + TROUBLE;
    let groups = groups();
    let clients = 3 + random.below(4);
    for index in 0..usize::try_from(clients).expect("few") {
        let group = groups[usize::from(random.one_in(4))].clone();
        world.clients.push(Client::new(index, group, 5 + random.below(25)));
        world.at(Duration::from_millis(random.below(300)), Event::Return(index));
        world.at(Duration::from_millis(300 + random.below(500)), Event::Send(index));
    }
    world.at(Duration::from_millis(800 + random.below(1_500)), Event::Fault);
    if world.run(world.ends_at) {
        world.mend_all();
        world.run(world.ends_at + PEACE / 2);
        // A loss that nobody has come across yet shows with what is said next.
        for index in 0..world.clients.len() {
            world.with_client(index, Client::last_word);
        }
        world.run(world.ends_at + PEACE);
    }
    if world.broken.is_empty() {
        audit(&mut world);
    }
    let gaps = world.clients.iter().map(|client| client.gaps.len()).sum();
    Story { seed, broken: world.broken, told: world.story, troubles: world.troubles, gaps }
}

/// Compares what everybody has with what they were promised.
fn audit(world: &mut World) {
    let mut broken = Vec::new();
    let is_whole = world.is_whole();
    for (index, node) in world.nodes.iter().enumerate() {
        let health = node.status.borrow().health;
        if health != Health::Healthy {
            broken.push(format!("node {index} is {} in the end", health.as_str()));
        }
        let report = node.registry.report(crate::report::Census::default());
        if report.spooled > 0 {
            let left = groups().map(|name| {
                let unplaced = |group: &mut Group| group.unplaced().collect();
                node.registry.existing(&name, unplaced).unwrap_or_else(Vec::new)
            });
            broken.push(format!("node {index} still has what the others lack: {left:?}"));
        }
    }
    for (name, history) in &world.backend.groups {
        let kept: Vec<u128> = history.entries.values().map(|posted| posted.id.as_u128()).collect();
        if kept.iter().collect::<BTreeSet<_>>().len() < kept.len() {
            broken.push(format!("{name}: something is in the history twice"));
        }
        for (index, node) in world.nodes.iter().enumerate() {
            let copy = copied(&node.registry, name);
            if !copy.is_empty() && !kept.ends_with(&copy) {
                broken.push(format!("{name}: node {index} has another history"));
            }
        }
    }
    for (index, reader) in world.clients.iter().enumerate() {
        let shown: BTreeMap<u128, usize> = reader.shown.iter().copied().zip(0..).collect();
        if shown.len() < reader.shown.len() {
            broken.push(format!("client {index} shows something twice"));
        }
        if is_whole && !reader.gaps.is_empty() {
            broken
                .push(format!("client {index} is told of a gap though nothing was lost: {:?}", reader.gaps));
        }
        for (sender, writer) in
            world.clients.iter().enumerate().filter(|(_, writer)| writer.group == reader.group)
        {
            let promised =
                writer.letters.iter().filter(|letter| letter.acked.is_some() && letter.refused.is_none());
            let missing: Vec<u128> = promised
                .map(|letter| letter.id)
                .filter(|id| !shown.contains_key(id) && !world.orphans.contains(id))
                .collect();
            if !missing.is_empty() && (is_whole || reader.gaps.is_empty()) {
                broken
                    .push(format!("client {index} lacks of client {sender} {missing:x?}, and was not told"));
            }
            let order: Vec<usize> =
                writer.letters.iter().filter_map(|letter| shown.get(&letter.id).copied()).collect();
            if is_whole && !writer.has_moved && !order.is_sorted() {
                broken.push(format!("client {index} has client {sender} in another order"));
            }
            for letter in writer.letters.iter().filter(|_| is_whole) {
                if let Some(refused) = &letter.refused {
                    broken.push(format!("client {sender} was refused {:x}: {refused}", letter.id));
                }
            }
        }
    }
    world.broken = broken;
}

fn groups() -> [GroupName; 2] {
    ["a", "b"].map(|name| name.parse().expect("a name"))
}

fn copied(registry: &Registry, name: &GroupName) -> Vec<u128> {
    let read = registry.existing(name, |group| group.read(crate::history::Span::Latest, 10, false)).flatten();
    let page = read.map(|recovered| recovered.page().messages.clone()).unwrap_or_default();
    page.iter().map(|posted| posted.id.as_u128()).collect()
}

#[test]
fn whatever_breaks_nothing_promised_is_lost_and_nothing_comes_twice() {
    if let Some(seed) = env::var("PALABRE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        let Story { broken, told, .. } = story(seed, true);
        println!("{}", told.join("\n"));
        assert!(broken.is_empty(), "{broken:#?}");
        return;
    }
    let seeds = env::var("PALABRE_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(10_000);
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let seen = Mutex::new((BTreeSet::new(), 0));
    std::thread::scope(|tasks| {
        for _ in 0..2 {
            tasks.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds || failed.lock().unwrap().len() >= 5 {
                        return;
                    }
                    let Story { seed, broken, troubles, gaps, .. } = story(seed, false);
                    let mut seen = seen.lock().unwrap();
                    seen.0.extend(troubles);
                    seen.1 += gaps;
                    if !broken.is_empty() {
                        failed.lock().unwrap().push((seed, broken));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "by seed: {failed:#?}");
    let (troubles, gaps) = seen.into_inner().unwrap();
    assert!(seeds < 500 || (troubles.len() == 12 && gaps > 0), "{troubles:?}, {gaps} gaps");
}
