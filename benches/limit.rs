//! `limit`: what the kernel charges for deliveries, and nothing else: the yardstick for the hub.
//!
//! Accepts its clients, answers their handshakes, and then writes ready frames: one plain write a socket and
//! message, at the times at which the hub's members would have spoken. No protocol, no queue, no history; no program
//! that writes each message to each socket by itself can cost less. With `--coalesce` what is due together is one write
//! a socket, which is the limit for a hub that does the same. With `--answers` it is the limit of an arrival: what a
//! client says first is answered by frames of given lengths, whatever it says.
#![expect(clippy::print_stdout, reason = "the figures are this program's output")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use palabre_benches::clock::Clock;
use palabre_benches::marker::{MARKER_BYTES, Marker};
use palabre_benches::plan::{Plan, Source};
use palabre_benches::start::{self, START, Start};
use palabre_benches::{cpu, wire};
use socket2::{Domain, Protocol, Socket, Type};

const LISTENER: Token = Token(usize::MAX - 2);
const BEFORE_MARKER: &[u8] = br#"{"type":"chat.message","text":""#;
const BEFORE_WELCOME: &[u8] = br#"{"type":"welcome","ref":""#;
const BEFORE_JOINED: &[u8] = br#"{"type":"joined","ref":""#;
const AFTER_MARKER: &[u8] = br#""}"#;

/// Writes ready frames to many sockets, and tells what that cost.
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[command(flatten)]
    plan: Plan,
    /// Length of a whole frame on the wire, head included: what the hub sends for one message.
    #[arg(long)]
    frame_bytes: usize,
    /// Write all messages that are due in one go, a write a socket.
    #[arg(long)]
    coalesce: bool,
    /// Lengths of the frames that answer what each client says first, like 600,200.
    #[arg(long, value_delimiter = ',')]
    answers: Vec<usize>,
}

#[derive(Debug)]
struct Member {
    stream: TcpStream,
    /// The request, until it is whole and answered.
    request: Vec<u8>,
    upgraded: bool,
    /// What the kernel refused; empty as long as the receivers keep up.
    unsent: Vec<u8>,
    /// How many of its frames were answered.
    answered: usize,
    left: bool,
}

#[derive(Debug)]
struct Limit {
    poll: Poll,
    listener: TcpListener,
    members: Vec<Member>,
    /// What is said to whoever comes in, in order.
    answers: Vec<Vec<u8>>,
    upgraded: u32,
    left: usize,
    started: bool,
}

fn main() -> Result<()> {
    let Flags { listen, plan, frame_bytes, coalesce, answers } = Flags::parse();
    plan.check()?;
    let (mut frame, marker_at) = ready_frame(frame_bytes)?;
    cpu::ensure_files(plan.sockets())?;

    let mut limit = Limit::listen(listen, &answers)?;
    let mut events = Events::with_capacity(1_024);
    while limit.upgraded < plan.sockets() {
        limit.turn(&mut events, None, plan.sockets())?;
    }
    if start::announce(limit.poll.registry())? == Start::OnLine {
        while !limit.started {
            limit.turn(&mut events, None, plan.sockets())?;
        }
        start::begin(limit.poll.registry())?;
    }

    let clock = Clock::start();
    let own = std::process::id();
    let cpu_before = cpu::cpu_seconds(own)?;
    let start_us = clock.now_us();
    let (mut sent, mut batch) = (0, Vec::new());
    while sent < plan.messages() {
        limit.turn(&mut events, Some(plan.until_due(sent, clock.now_us() - start_us)), plan.sockets())?;
        ensure!(limit.left == 0, "a client left during the sending phase");
        let due = plan.due(clock.now_us() - start_us);
        // Of one group the messages that are due stand `apart`.
        let apart = plan.groups;
        let (firsts, step) = if coalesce { (due.min(sent + apart), apart) } else { (due, u32::MAX) };
        for first in sent..firsts {
            batch.clear();
            for message in (first..due).step_by(step as usize) {
                let (sender, seq) = (message % plan.groups, message / plan.groups);
                let marker = Marker { sender, seq, sent_us: clock.now_us() };
                frame[marker_at..marker_at + MARKER_BYTES].copy_from_slice(&marker.bytes());
                batch.extend_from_slice(&frame);
            }
            let group = first % plan.groups;
            for member in limit.members.iter_mut().skip(group as usize).step_by(apart as usize) {
                member.write(&batch);
            }
        }
        sent = due;
    }
    let cpu_seconds = cpu::cpu_seconds(own)? - cpu_before;
    let seconds = (clock.now_us() - start_us) as f64 / 1e6;
    let (deliveries, senders) = (plan.deliveries(), plan.senders(Source::Limit));
    println!(
        r#"{{"deliveries":{deliveries},"senders":{senders},"cpu_seconds":{cpu_seconds:.6},"seconds":{seconds:.3}}}"#
    );

    // The receivers go when they have everything.
    while limit.left < limit.members.len() {
        limit.turn(&mut events, None, plan.sockets())?;
    }
    Ok(())
}

/// The answer number `at` to a client that comes in: a frame of exactly `bytes`.
fn answer(at: usize, bytes: usize) -> Result<Vec<u8>> {
    let text = if at == 0 { BEFORE_WELCOME } else { BEFORE_JOINED };
    let payload = (0..bytes).rev().find(|payload| wire::head_bytes(*payload) + payload == bytes);
    let payload = payload.filter(|payload| *payload >= text.len() + AFTER_MARKER.len());
    let payload = payload.with_context(|| format!("no answer is {bytes} bytes long"))?;
    let mut frame = Vec::with_capacity(bytes);
    wire::put_head(&mut frame, wire::TEXT, payload);
    frame.extend_from_slice(text);
    frame.resize(bytes - AFTER_MARKER.len(), b'.');
    frame.extend_from_slice(AFTER_MARKER);
    Ok(frame)
}

/// A frame of exactly `frame_bytes` with room for a marker, and where that stands.
fn ready_frame(frame_bytes: usize) -> Result<(Vec<u8>, usize)> {
    let payload = (0..frame_bytes).rev().find(|payload| wire::head_bytes(*payload) + payload == frame_bytes);
    let payload = payload.with_context(|| format!("no frame is {frame_bytes} bytes long"))?;
    let fixed = BEFORE_MARKER.len() + MARKER_BYTES + AFTER_MARKER.len();
    ensure!(payload >= fixed, "a frame of {frame_bytes} bytes has no room for a marker");
    let mut frame = Vec::with_capacity(frame_bytes);
    wire::put_head(&mut frame, wire::TEXT, payload);
    frame.extend_from_slice(BEFORE_MARKER);
    let marker_at = frame.len();
    frame.resize(frame_bytes - AFTER_MARKER.len(), b'.');
    frame.extend_from_slice(AFTER_MARKER);
    Ok((frame, marker_at))
}

impl Limit {
    fn listen(address: SocketAddr, answers: &[usize]) -> Result<Self> {
        let poll = Poll::new()?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into()).with_context(|| format!("listening on {address}"))?;
        // As the hub's: with the usual 128 a storm would wait for SYNs to be sent again.
        socket.listen(4_096)?;
        let mut listener = TcpListener::from_std(socket.into());
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let answers =
            answers.iter().enumerate().map(|(at, &bytes)| answer(at, bytes)).collect::<Result<_>>()?;
        println!("listening on {}", listener.local_addr()?);
        Ok(Self { poll, listener, members: Vec::new(), answers, upgraded: 0, left: 0, started: false })
    }

    /// Waits once and does what is due: accepts, answers handshakes, writes what was refused, notices who left.
    fn turn(&mut self, events: &mut Events, wait: Option<Duration>, members_max: u32) -> Result<()> {
        match self.poll.poll(events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled.context("waiting for the sockets")?,
        }
        for event in events.iter() {
            match event.token() {
                LISTENER => self.accept(members_max)?,
                START => self.started = true,
                Token(number) => {
                    let member = &mut self.members[number];
                    if event.is_writable() {
                        member.flush();
                    }
                    if event.is_readable() || event.is_read_closed() {
                        let was_here = !member.left;
                        self.upgraded += u32::from(member.read(&self.answers)?);
                        self.left += usize::from(was_here && member.left);
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, members_max: u32) -> Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accepting a client"),
            };
            if self.members.len() == members_max as usize {
                bail!("more clients than {members_max} came");
            }
            stream.set_nodelay(true)?;
            let token = Token(self.members.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            let (request, unsent) = (Vec::new(), Vec::new());
            self.members.push(Member { stream, request, upgraded: false, unsent, answered: 0, left: false });
        }
    }
}

impl Member {
    /// The one write that is measured.
    fn write(&mut self, frame: &[u8]) {
        let taken = if self.unsent.is_empty() { self.stream.write(frame).unwrap_or(0) } else { 0 };
        if taken < frame.len() {
            self.unsent.extend_from_slice(&frame[taken..]);
        }
    }

    /// Answers each frame in `bytes`, while there are answers left: pongs and closes later are of no interest. The clients
    /// of a swarm write their first frames in one go, so none is cut.
    fn greet(&mut self, mut bytes: &[u8], answers: &[Vec<u8>]) {
        while let (Some(answer), Some(frame)) = (answers.get(self.answered), wire::masked_bytes(bytes)) {
            self.answered += 1;
            self.write(answer);
            bytes = &bytes[frame.min(bytes.len())..];
        }
    }

    fn flush(&mut self) {
        if !self.unsent.is_empty() {
            let taken = self.stream.write(&self.unsent).unwrap_or(0);
            self.unsent.drain(..taken);
        }
    }

    /// Reads all there is; says whether the handshake was completed by it.
    fn read(&mut self, answers: &[Vec<u8>]) -> Result<bool> {
        let mut bytes = [0; 4_096];
        let mut completed = false;
        while !self.left {
            match self.stream.read(&mut bytes) {
                Ok(0) => self.left = true,
                Ok(count) if self.upgraded => self.greet(&bytes[..count], answers),
                Ok(count) => {
                    self.request.extend_from_slice(&bytes[..count]);
                    if let Some(answer) = wire::upgrade_answer(&self.request)? {
                        self.upgraded = true;
                        self.request = Vec::new();
                        self.write(&answer);
                        completed = true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.left = true,
            }
        }
        Ok(completed)
    }
}
