//! A WebSocket that is sent back what it says, message by message: for suites that look how the hub keeps to RFC 6455.
//!
//! It is a connection like any other, with the same limits, turns and goodbyes, and no part of the hub's own protocol: no
//! `hello`, no pings of ours. It shares nothing with anybody, and ends after a while whatever it does.

use crate::{
    connection::{Client, Doors, seated, wire::Wire},
    socket::{Stage, stream::Stream},
    worker::Worker,
};
use bytes::Bytes;
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Longer than any case of any suite; nobody asks an echo whether it is still there.
const ECHO_MAX: Duration = Duration::from_secs(600);

/// Runs it to its end.
pub(crate) async fn run(worker: Rc<Worker>, doors: Arc<Doors>, stream: Stream, early: Bytes) {
    let Some(socket) = worker.admit(stream) else { return };
    socket.stage.set(Stage::Echo);
    let wire = Wire::new(early, doors.limits.frame_bytes);
    // When the time is over there is nobody to tell.
    drop(timeout(ECHO_MAX, seated(worker, socket, wire, Client::Echo(doors))).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{DegradedPolicy, Rates},
        consumer::{mounted::Mounts, rate::Users},
        people::GuestGate,
        socket::Socket,
        worker::scene::Scene,
    };
    use palabre_protocol::{Limits, frame};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        task::LocalSet,
        time::Instant,
    };

    const FRAME: usize = 60_000;
    const FRAMES: usize = 80;

    /// Visits every place, as if so long had passed since now.
    fn beats(worker: &Worker, after: Duration) {
        for _ in 0..25 {
            worker.heartbeat(Instant::now() + after);
        }
    }

    async fn until(socket: &Socket, is_unread: bool) {
        while socket.is_unread.get() != is_unread {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn who_takes_its_time_over_what_it_asked_for_is_not_called_silent() {
        let story = async {
            let scene = Scene::new();
            let (socket, mut client) = scene.socket().await;
            let limits = Limits::default();
            let doors = Doors {
                gate: Arc::new(GuestGate::new(None, limits)),
                mounts: Mounts::default(),
                limits,
                rates: Rates::unlimited(),
                users: Users::default(),
                presence: None,
                node: "test".into(),
                policy: DegradedPolicy::Serve,
            };
            let wire = Wire::new(Bytes::new(), limits.frame_bytes);
            let worker = scene.start();
            let connection =
                seated(Rc::clone(&worker), Rc::clone(&socket), wire, Client::Echo(Arc::new(doors)));
            worker.tasks.spawn_local(connection);
            let (mut from, mut to) = client.split();
            let ask = async {
                // Masked with zeros, a client's frame differs from the hub's by four bytes and one bit.
                let ready = frame::text(&[b'x'; FRAME]);
                let asked = [&[0x81, 0x80 | 126][..], &ready[2..4], &[0; 4], &ready[4..]].concat();
                for _ in 0..FRAMES {
                    to.write_all(&asked).await.unwrap();
                }
            };
            let story = async {
                until(&socket, true).await;
                beats(&worker, Duration::from_secs(200));
                assert_eq!(socket.closing.get(), None, "its pongs were not read");
                let mut answers = vec![0; FRAMES * (FRAME + 4)];
                from.read_exact(&mut answers).await.unwrap();
                until(&socket, false).await;
                beats(&worker, Duration::from_secs(40));
                assert_eq!(socket.closing.get(), None);
            };
            tokio::join!(ask, story);
            beats(&worker, Duration::from_secs(200));
            assert_eq!(socket.closing.get(), Some(palabre_protocol::CloseCode::NoPong));
        };
        LocalSet::new().run_until(story).await;
    }
}
