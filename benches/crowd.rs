//! Many clients in one thread: connected, greeted, and listened to through one epoll and one read buffer.
//!
//! [`Crowd::gather`] brings every client to where it takes part; [`Crowd::turn`] waits once, reads what has come and
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

/// Clients between their handshake and their last greeting; below a small listen backlog.
const ARRIVING_MAX: usize = 64;
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
    healthy: bool,
    started: bool,
    /// Recognises frames; shared, as all clients receive frames of the same forms.
    ear: Ear,
    /// The clock of all times in this run.
    pub clock: Clock,
}

impl Crowd {
    /// Connects `count` clients and waits until all of them take part, and until the hub calls its layer healthy.
    ///
    /// # Errors
    ///
    /// When the shell allows too few open files, a client is refused or closed, or none gets any further for 15 s.
    pub fn gather(address: SocketAddr, count: u32, entrance: Entrance) -> Result<Self> {
        cpu::ensure_files(count)?;
        let mut crowd = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            clients: Vec::with_capacity(count as usize),
            buffer: vec![0; BUFFER_BYTES],
            entrance,
            ready: 0,
            refusal: None,
            healthy: entrance == Entrance::Limit,
            started: false,
            ear: Ear::default(),
            clock: Clock::start(),
        };
        let count = count as usize;
        let (mut last_ready, mut last_us) = (0, crowd.clock.now_us());
        while crowd.ready < count {
            while crowd.clients.len() < count && crowd.clients.len() - crowd.ready < ARRIVING_MAX {
                crowd.open(address)?;
            }
            crowd.turn(Some(Duration::from_millis(100)), |_, _, _| {})?;
            crowd.check_arrivals()?;
            if crowd.ready > last_ready {
                (last_ready, last_us) = (crowd.ready, crowd.clock.now_us());
            }
            ensure!(
                crowd.clock.now_us() < last_us + ARRIVAL_DEADLINE_US,
                "only {} of {count} clients came in, and none for 15 s",
                crowd.ready
            );
        }
        let healthy_by_us = crowd.clock.now_us() + HEALTHY_DEADLINE_US;
        while !crowd.healthy {
            crowd.turn(Some(Duration::from_millis(100)), |_, _, _| {})?;
            ensure!(crowd.clock.now_us() < healthy_by_us, "the hub's layer was not healthy within 30 s");
        }
        Ok(crowd)
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
                    Kind::Welcome | Kind::Layer if number == 0 => {
                        self.healthy = speech::says_healthy(frame.text);
                    }
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
