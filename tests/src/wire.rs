//! A wire to a server, and what happens to wires: it ends, hangs, swallows, delays and cuts into pieces what it carries, one
//! way or both, for connections that stand and for those that come.
//!
//! It stands for the network alone: what a server does is done by the server. Delays are drawn from a seed, which is printed.

mod course;

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::course::Course;
use self::course::{Random, carry};

/// What comes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// They reach the server.
    Open,
    /// They are accepted, and nothing more is heard.
    Silent,
    /// They are refused.
    Closed,
}

/// How connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As by a peer that closes.
    Closed,
    /// As by a peer that has forgotten them (RST).
    Reset,
}

/// One of the two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From whoever connects.
    ToServer,
    /// From the server.
    FromServer,
}

/// A wire to a server, which ends with the test.
#[derive(Debug)]
pub struct Wire {
    shared: Arc<Shared>,
    door: Mutex<(Door, Option<JoinHandle<()>>)>,
}

#[derive(Debug)]
struct Shared {
    at: SocketAddr,
    server: SocketAddr,
    courses: [watch::Sender<Course>; 2],
    /// How to end each connection that stands.
    standing: Mutex<HashMap<u64, watch::Sender<Option<End>>>>,
    accepted: AtomicU64,
    random: Random,
    over: CancellationToken,
    tasks: TaskTracker,
}

impl Wire {
    /// A wire to `server`, at an address of its own. Delays on it are those of `seed`.
    #[expect(clippy::print_stdout, reason = "what is random is known by its seed")]
    pub async fn to(server: SocketAddr, seed: u64) -> Self {
        println!("the wire's seed is {seed}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("loopback has a free port");
        let shared = Arc::new(Shared {
            at: listener.local_addr().expect("a bound listener has an address"),
            server,
            courses: [Course::Pass, Course::Pass].map(|course| watch::channel(course).0),
            standing: Mutex::default(),
            accepted: AtomicU64::new(0),
            random: Random::new(seed),
            over: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let accepting = shared.tasks.spawn(Arc::clone(&shared).accept(listener, Door::Open));
        Self { shared, door: Mutex::new((Door::Open, Some(accepting))) }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.shared.at
    }

    /// How many connections were accepted so far, those of a silent door among them.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// From now on the wire does this in one direction, also on connections that stand.
    pub fn set(&self, direction: Direction, course: Course) {
        self.shared.courses[direction as usize].send_replace(course);
    }

    /// The same in both directions.
    pub fn set_both(&self, course: Course) {
        self.set(Direction::ToServer, course);
        self.set(Direction::FromServer, course);
    }

    /// From now on this comes of new connections.
    pub async fn door(&self, wanted: Door) {
        let before = {
            let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
            door.0 = wanted;
            door.1.take()
        };
        if let Some(accepting) = before {
            accepting.abort();
            // The listener is closed when its task is gone.
            let _aborted = accepting.await;
        }
        if wanted == Door::Closed {
            return;
        }
        let listener = TcpListener::bind(self.shared.at).await.expect("the wire's port is its own");
        let accepting = self.shared.tasks.spawn(Arc::clone(&self.shared).accept(listener, wanted));
        self.door.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(accepting);
    }

    /// Ends all connections that stand.
    pub fn cut(&self, end: End) {
        for standing in self.shared.standing().values() {
            standing.send_replace(Some(end));
        }
    }

    /// Ends one connection that stands: the one that was accepted as number `number`, from 0.
    pub fn cut_one(&self, number: u64, end: End) {
        let standing = self.shared.standing();
        standing.get(&number).expect("the connection stands").send_replace(Some(end));
    }

    /// The numbers of the connections that stand.
    pub fn standing(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.shared.standing().keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.over.cancel();
        if let Some(accepting) = &self.door.lock().unwrap_or_else(PoisonError::into_inner).1 {
            accepting.abort();
        }
    }
}

impl Shared {
    fn standing(&self) -> std::sync::MutexGuard<'_, HashMap<u64, watch::Sender<Option<End>>>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn course(&self, direction: Direction) -> watch::Receiver<Course> {
        self.courses[direction as usize].subscribe()
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, door: Door) {
        loop {
            let Ok((near, _)) = listener.accept().await else { continue };
            let number = self.accepted.fetch_add(1, Ordering::AcqRel);
            let (end, ended) = watch::channel(None);
            self.standing().insert(number, end);
            let shared = Arc::clone(&self);
            self.tasks.spawn(async move {
                shared.carry(near, door, ended).await;
                shared.standing().remove(&number);
            });
        }
    }

    /// Carries one connection until it ends, by itself or otherwise.
    async fn carry(&self, near: TcpStream, door: Door, mut ended: watch::Receiver<Option<End>>) {
        let over = async {
            tokio::select! {
                _ = ended.wait_for(Option::is_some) => {}
                () = self.over.cancelled() => {}
            }
        };
        if door == Door::Silent {
            return over.await;
        }
        let Ok(far) = TcpStream::connect(self.server).await else {
            // What a wire to nobody says.
            return reset(&near);
        };
        for stream in [&near, &far] {
            stream.set_nodelay(true).expect("an open socket takes it");
        }
        let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
        tokio::select! {
            _ = async {
                tokio::join!(
                    carry(&mut near_in, &mut far_out, self.course(Direction::ToServer), &self.random),
                    carry(&mut far_in, &mut near_out, self.course(Direction::FromServer), &self.random),
                )
            } => {}
            () = over => {}
        }
        if *ended.borrow() == Some(End::Reset) {
            for (from, to) in [(near_in, near_out), (far_in, far_out)] {
                reset(from.as_ref());
                // Dropped, it would say goodbye first.
                to.forget();
            }
        }
    }
}

/// Its peer hears that the connection is not known any more, once it is dropped.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().expect("an open socket takes it");
}
