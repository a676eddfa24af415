//! The listening socket: who is accepted, how fast, and what happens when there is nothing to accept with.

use crate::listen::pace::Pace;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Connections that the kernel holds for us. With the usual 128 a storm of reconnects waits for retransmitted SYNs.
const BACKLOG: u16 = 4_096;

/// Between tries when there is nothing to accept with: descriptors come back as connections end.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Between two lines of the log that say so.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Listens on `address`, with room for 4,096 connections that wait to be accepted.
///
/// # Errors
///
/// What the system says: the port is taken, the address is not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    bind_with(address, BACKLOG)
}

/// Listens on `address`, with room for `backlog` connections that wait to be accepted; the system may allow fewer.
///
/// # Errors
///
/// As [`bind`].
pub fn bind_with(address: SocketAddr, backlog: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.into())?;
    Ok(socket.into())
}

/// Accepts until told to stop, no faster than `pace` and only when there is `room`, and hands on each connection with its
/// other end's address.
pub(crate) async fn accept<Room: Future<Output = ()>>(
    listener: TcpListener,
    stop: CancellationToken,
    mut pace: Pace,
    room: impl Fn() -> Room,
    hand_on: impl Fn(std::net::TcpStream, SocketAddr),
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut complaint = Complaint::default();
    let accept_all = async {
        loop {
            room().await;
            let accepted = listener.accept().await;
            match accepted.and_then(|(tcp, peer)| Ok((tcp.into_std()?, peer))) {
                Ok((tcp, peer)) => hand_on(tcp, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    complaint.about(&error);
                    sleep(EXHAUSTED).await;
                }
            }
            while let Err(wait) = pace.take(Instant::now()) {
                sleep(wait).await;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        never = accept_all => never,
    }
}

/// Says that connections cannot be accepted: at once, and then once a minute how often it was so.
#[derive(Default)]
struct Complaint {
    last: Option<Instant>,
    unsaid: u32,
}

impl Complaint {
    fn about(&mut self, error: &io::Error) {
        if self.last.is_some_and(|last| last.elapsed() < COMPLAIN_EVERY) {
            self.unsaid += 1;
            return;
        }
        let again = std::mem::take(&mut self.unsaid);
        self.last = Some(Instant::now());
        tracing::error!(event = "listen.accept_failed", %error, again, "cannot accept connections for now");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
