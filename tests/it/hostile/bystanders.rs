//! People who chat while others misbehave, and see nothing of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use palabre_tests::Client;
use tokio::time::interval;

/// Quicker than people, and slower than any limit.
const PACE: Duration = Duration::from_millis(50);

/// Runs an attack beside two people who chat from before it to after it: each message comes to both, once and in order,
/// in the time that a fixture waits for anything.
pub(super) async fn undisturbed<T>(addr: SocketAddr, attack: impl Future<Output = T>) -> T {
    let (mut ana, mut bo) = (Client::connect(addr).await, Client::connect(addr).await);
    for client in [&mut ana, &mut bo] {
        client.hello("bystander").await;
        client.join("quiet").await;
    }
    let over = AtomicBool::new(false);
    let chat = async {
        let mut pace = interval(PACE);
        for offset in 1_u64.. {
            pace.tick().await;
            ana.send("quiet", "and what do you think?").await;
            for client in [&mut ana, &mut bo] {
                assert_eq!(client.message().await.0, offset);
            }
            if over.load(Ordering::Acquire) {
                break;
            }
        }
    };
    let attack = attack.inspect(|_| over.store(true, Ordering::Release));
    let (done, ()) = tokio::join!(attack, chat);
    for client in [&mut ana, &mut bo] {
        assert!(client.so_far().await.is_empty());
    }
    done
}
