//! Somebody who has nothing to do with it: two people who talk the whole time that a test does its worst to their hub.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Client;

/// Between two things that are said: often enough to notice, and no more than a hub takes with the limits that it has of
/// itself.
const TALK_EVERY: Duration = Duration::from_millis(30);

/// Two people in a group of theirs.
struct Talk {
    people: [Client; 2],
    group: String,
    said: u64,
    worst: Duration,
}

impl Talk {
    async fn begin(addr: SocketAddr) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let group = format!("bystanders-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut people = [Client::connect(addr).await, Client::connect(addr).await];
        for (person, name) in people.iter_mut().zip(["Ana", "Bo"]) {
            person.hello(name).await;
            person.join(&group).await;
        }
        Self { people, group, said: 0, worst: Duration::ZERO }
    }

    /// The first says something, and both hear it.
    async fn go_on(&mut self) {
        let asked = Instant::now();
        let text = format!("number {}", self.said);
        let ack = self.people[0].send(&self.group, &text).await;
        for person in &mut self.people {
            let (offset, message) = person.message().await;
            assert_eq!(message["text"], text.as_str(), "bystanders hear what is said, in order");
            assert_eq!(ack["position"]["offset"], offset);
        }
        self.said += 1;
        self.worst = self.worst.max(asked.elapsed());
    }
}

/// Does something to a hub while two people talk in a group there, and fails if anything of theirs is lost, late beyond
/// every deadline, twice or in another order. Returns what was done.
#[expect(clippy::print_stdout, reason = "how long people waited belongs beside what a failed test prints")]
pub async fn undisturbed<T>(addr: SocketAddr, doing: impl Future<Output = T>) -> T {
    let mut talk = Talk::begin(addr).await;
    talk.go_on().await;
    let mut ticks = interval(TALK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let on_and_on = async {
        loop {
            ticks.tick().await;
            talk.go_on().await;
        }
    };
    let done = tokio::select! {
        done = doing => done,
        () = on_and_on => unreachable!("people talk for ever"),
    };
    println!("bystanders: {} messages, the slowest in {:?}", talk.said, talk.worst);
    let mut left = 0;
    for person in &mut talk.people {
        left += person.so_far().await.len();
    }
    // What was being said when it was over: its ack, and what both hear.
    assert!(left <= 3, "nothing comes twice");
    done
}
