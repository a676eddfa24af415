//! Many clients in one thread: connected, greeted, and listened to through one epoll and one read buffer.
//!
//! [`Crowd::fill`] brings clients to where they take part; [`Crowd::turn`] waits once, reads what has come and
//! hands over each text frame in place. Pings of either kind are answered here. What the frames mean for a
//! measurement is the caller's.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mio::{Events, Poll, Token};

use crate::client::{Client, Stage, Until};
use crate::clock::Clock;
use crate::entrance::Entrance;
use crate::speech::{self, Ear, Kind};
use crate::start::{self, START, Start};
use crate::{cpu, wire};

/// Clients between their handshake and their last greeting, where nothing else is asked for; below a small listen
/// backlog.
pub const AT_ONCE: usize = 64;
/// One read takes all that one socket has, even when it was held up for a while.
const BUFFER_BYTES: usize = 256 << 10;
const EVENTS_MAX: usize = 1_024;
const ARRIVAL_DEADLINE_US: u64 = 15_000_000;
const HEALTHY_DEADLINE_US: u64 = 30_000_000;

/// A text frame that a client received.
#[derive(Debug)]
pub struct Heard<'a> {
    /// What it is.
    pub kind: Kind,
    /// The whole text.
    pub text: &'a [u8],
    /// Length on the wire, head included.
    pub bytes: usize,
    /// When it was read, by the crowd's clock.
    pub at_us: u64,
}

/// All clients of a run.
#[derive(Debug)]
pub struct Crowd {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    entrance: Entrance,
    ready: usize,
    refusal: Option<String>,
    /// The first client of those that were let in last, by which the crowd knows how their server's layer is.
    witness: usize,
    healthy: bool,
    started: bool,
    /// Lengths of the first `welcome` and the first `joined` on the wire.
    pub greetings: [usize; 2],
    /// Recognises frames; shared, as all clients receive frames of the same forms.
    ear: Ear,
    /// The clock of all times in this run.
    pub clock: Clock,
}

impl Crowd {
    /// A crowd of nobody.
    ///
    /// # Errors
    ///
    /// When there is no epoll.
    pub fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            clients: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            entrance: Entrance::Limit,
            ready: 0,
            refusal: None,
            witness: 0,
            healthy: false,
            started: false,
            greetings: [0; 2],
            ear: Ear::default(),
            clock: Clock::start(),
        })
    }

    /// Connects `count` clients more, `at_once` of them on their way in at any time, and waits until all of them take
    /// part, and until the hub calls its layer healthy.
    ///
    /// # Errors
    ///
    /// When the shell allows too few open files, a client is refused or closed, or none gets any further for 15 s.
    pub fn fill(
        &mut self,
        address: SocketAddr,
        count: u32,
        entrance: Entrance,
        at_once: usize,
    ) -> Result<()> {
        self.entrance = entrance;
        self.witness = self.clients.len();
        self.healthy = !entrance.has_layer();
        let count = self.clients.len() + count as usize;
        cpu::ensure_files(u32::try_from(count).unwrap_or(u32::MAX))?;
        let (mut last_ready, mut last_us) = (self.ready, self.clock.now_us());
        while self.ready < count {
            while self.clients.len() < count && self.clients.len() - self.ready < at_once {
                self.open(address)?;
            }
            self.turn(Some(Duration::from_millis(100)), |_, _, _| {})?;
            self.check_arrivals()?;
            if self.ready > last_ready {
                (last_ready, last_us) = (self.ready, self.clock.now_us());
            }
            ensure!(
                self.clock.now_us() < last_us + ARRIVAL_DEADLINE_US,
                "only {} of {count} clients came in, and none for 15 s",
                self.ready
            );
        }
        let healthy_by_us = self.clock.now_us() + HEALTHY_DEADLINE_US;
        while !self.healthy {
            self.turn(Some(Duration::from_millis(100)), |_, _, _| {})?;
            ensure!(self.clock.now_us() < healthy_by_us, "the hub's layer was not healthy within 30 s");
        }
        Ok(())
    }

    fn open(&mut self, address: SocketAddr) -> Result<()> {
        let token = Token(self.clients.len());
        self.clients.push(Client::connect(address, self.entrance.path(), self.poll.registry(), token)?);
        Ok(())
    }

    fn check_arrivals(&self) -> Result<()> {
        if let Some(refusal) = &self.refusal {
            bail!("the hub refused a client: {refusal}");
        }
        for client in &self.clients {
            if let Stage::Closed(code) = client.stage {
                bail!("a client was closed before it was let in, code {code:?}");
            }
        }
        Ok(())
    }

    /// Waits once, at most for `wait`, and hands every text frame that has come to `heard`, with the number of the
    /// client that received it.
    ///
    /// # Errors
    ///
    /// When a server sends what is no frame, or epoll fails.
    pub fn turn(
        &mut self,
        wait: Option<Duration>,
        mut heard: impl FnMut(&mut Ear, usize, &Heard<'_>),
    ) -> Result<()> {
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled.context("waiting for the sockets")?,
        }
        // The events are lent out while the clients change; an empty list costs nothing to make.
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            if event.token() == START {
                self.started = true;
                continue;
            }
            let number = event.token().0;
            if event.is_writable() {
                self.clients[number].flush();
            }
            if event.is_readable() || event.is_read_closed() {
                let until = if event.is_read_closed() { Until::Closed } else { Until::Drained };
                self.read(number, until, &mut heard).with_context(|| format!("client {number}"))?;
            }
        }
        self.events = events;
        Ok(())
    }

    fn read(
        &mut self,
        number: usize,
        until: Until,
        heard: &mut impl FnMut(&mut Ear, usize, &Heard<'_>),
    ) -> Result<()> {
        while let Some(filled) = self.clients[number].read(&mut self.buffer) {
            let at_us = self.clock.now_us();
            let mut used = 0;
            if self.clients[number].stage == Stage::Upgrading {
                used = self.upgrade(number, filled)?;
            }
            while self.clients[number].stage != Stage::Upgrading
                && let Some(frame) = wire::frame(&self.buffer[used..filled])?
            {
                used += frame.bytes;
                if frame.opcode != wire::TEXT {
                    self.clients[number].control(&frame);
                    continue;
                }
                let kind = self.ear.kind(frame.payload);
                let frame = Heard { kind, text: frame.payload, bytes: frame.bytes, at_us };
                match kind {
                    Kind::Ping => {
                        let mut pong = Vec::new();
                        wire::put_masked(&mut pong, wire::TEXT, speech::PONG);
                        self.clients[number].send(&pong);
                    }
                    Kind::Welcome | Kind::Layer if number == self.witness => {
                        self.healthy |= speech::says_healthy(frame.text);
                        if kind == Kind::Welcome && number == 0 {
                            self.greetings[0] = frame.bytes;
                        }
                    }
                    Kind::Joined if number == 0 => self.greetings[1] = frame.bytes,
                    _ => {}
                }
                let client = &mut self.clients[number];
                if kind == Kind::Error && matches!(client.stage, Stage::Greeting(_)) {
                    self.refusal = Some(String::from_utf8_lossy(frame.text).into_owned());
                }
                self.ready += usize::from(client.is_let_in_by(kind));
                heard(&mut self.ear, number, &frame);
            }
            self.clients[number].keep(&self.buffer[used..filled]);
            ensure!(filled - used < BUFFER_BYTES, "a frame that is longer than the read buffer");
            if filled < BUFFER_BYTES && until == Until::Drained {
                break;
            }
        }
        Ok(())
    }

    /// Reads the answer to the handshake and says what comes after it; gives the bytes used.
    fn upgrade(&mut self, number: usize, filled: usize) -> Result<usize> {
        let Some(used) = wire::upgraded(&self.buffer[..filled])? else { return Ok(0) };
        let client = &mut self.clients[number];
        client.send(&self.entrance.greeting(number));
        client.stage = self.entrance.stage();
        self.ready += usize::from(client.stage == Stage::Ready);
        Ok(used)
    }

    /// Says `ready` and serves the clients until the start is given. What they hear goes to `heard`: the limit gets
    /// its start by itself, and its first frames may be here before ours.
    ///
    /// # Errors
    ///
    /// As [`Crowd::turn`].
    pub fn wait_for_start(&mut self, mut heard: impl FnMut(&mut Ear, usize, &Heard<'_>)) -> Result<()> {
        if start::announce(self.poll.registry()).context("standard input")? == Start::OnLine {
            while !self.started {
                self.turn(None, &mut heard)?;
            }
            start::begin(self.poll.registry()).context("standard input")?;
        }
        Ok(())
    }

    /// Client `number` sends `bytes`, which are whole frames.
    pub fn send(&mut self, number: usize, bytes: &[u8]) {
        self.clients[number].send(bytes);
    }

    /// Client `number` sends as many of these equally long frames as the kernel takes now; gives how many.
    pub fn send_some(&mut self, number: usize, frames: &[u8], frame_bytes: usize) -> usize {
        self.clients[number].send_some(frames, frame_bytes)
    }

    /// How many clients are gone.
    #[must_use]
    pub fn closed(&self) -> usize {
        self.clients.iter().filter(|client| client.is_closed()).count()
    }

    /// Whether client `number` is gone, and with which code of a close frame.
    #[must_use]
    pub fn close_of(&self, number: usize) -> Option<Option<u16>> {
        match self.clients[number].stage {
            Stage::Closed(code) => Some(code),
            Stage::Upgrading | Stage::Greeting(_) | Stage::Ready => None,
        }
    }
}
