//! Somebody who has nothing to do with it: two people who talk the whole time that a test does its worst to their hub.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::Client;

/// Between two things that are said: often enough to notice, and the processor is left to the test.
const TALK_EVERY: Duration = Duration::from_millis(10);

/// Does something to a hub while two people talk in a group there, and fails if anything of theirs is lost, late beyond
/// every deadline, twice or in another order. Returns what was done.
#[expect(clippy::print_stdout, reason = "how long people waited belongs beside what a failed test prints")]
pub async fn undisturbed<T>(addr: SocketAddr, doing: impl Future<Output = T>) -> T {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let group = format!("bystanders-{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let (mut says, mut hears) = (Client::connect(addr).await, Client::connect(addr).await);
    for (client, name) in [(&mut says, "Ana"), (&mut hears, "Bo")] {
        client.hello(name).await;
        client.join(&group).await;
    }
    let mut ticks = interval(TALK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut said, mut worst) = (0_u64, Duration::ZERO);
    let talk = async {
        loop {
            ticks.tick().await;
            let asked = Instant::now();
            let text = format!("number {said}");
            let ack = says.send(&group, &text).await;
            for client in [&mut says, &mut hears] {
                let (offset, message) = client.message().await;
                assert_eq!(message["text"], text.as_str(), "bystanders hear what is said, in order");
                assert_eq!(ack["position"]["offset"], offset);
            }
            (said, worst) = (said + 1, worst.max(asked.elapsed()));
        }
    };
    let done = tokio::select! {
        done = doing => done,
        () = talk => unreachable!("people talk for ever"),
    };
    println!("bystanders: {said} messages, the slowest in {worst:?}");
    assert!(says.so_far().await.len() + hears.so_far().await.len() <= 3, "nothing comes twice");
    assert!(said > 0, "nobody could say anything meanwhile");
    done
}
