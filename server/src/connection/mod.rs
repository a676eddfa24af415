//! The task that owns a socket's reading side, and has application code run for it.
//!
//! One request is handled after the other; what a handler defers goes on beside them. Reading has a budget a turn, so
//! that a flood costs its own worker's other sockets no more than a turn; and it waits while the client's outbox is
//! half full or too many of its requests are open.

mod client;
mod doors;
pub(crate) mod echo;
mod goodbye;
mod groups;
mod hello;
mod history;
mod member;
mod meter;
mod presence;
mod requests;
mod scan;
mod slots;
mod whole;
mod wire;

use crate::{
    consumer::careful,
    listen::handshake::Handshake,
    socket::{Socket, outbox::Outbox, stream::Stream},
    worker::Worker,
};
use bytes::Bytes;
use client::{Client, Newcomer};
pub(crate) use doors::Doors;
use futures_util::{StreamExt, stream::FuturesUnordered};
use meter::{Meter, Over};
use palabre_protocol::{CloseCode, ErrorCode, Limits, Refusal};
use std::{rc::Rc, sync::Arc};
use tokio::time::Instant;
use wire::{Frame, Wire};

/// Takes a connection in, and gives what runs it from its handshake to its end; `None`: its worker takes nobody any more.
pub(crate) fn run(
    worker: Rc<Worker>,
    doors: Arc<Doors>,
    handshake: Arc<Handshake>,
    stream: Stream,
    early: Bytes,
) -> Option<impl Future<Output = ()>> {
    let socket = worker.admit(stream)?;
    worker.await_hello(&socket);
    let wire = Wire::new(early, doors.limits.frame_bytes);
    let newcomer = Newcomer { handshake, doors };
    Some(seated(worker, socket, wire, Client::New(newcomer)))
}

/// Runs the connection behind a socket that its worker has taken in. Not an `async fn`, which would hold all of it twice.
fn seated(worker: Rc<Worker>, socket: Rc<Socket>, wire: Wire, client: Client) -> impl Future<Output = ()> {
    let seat = Seat { worker, socket };
    let (worker, socket) = (Rc::clone(&seat.worker), Rc::clone(&seat.socket));
    let meter = Meter::new(socket.heard.get());
    let mut connection = Connection { worker, socket, wire, meter, more: true };
    // Kept here and lent: tokio makes a task's memory a multiple of 128 bytes, and a second copy of it is over the next.
    let mut client = Some(client);
    async move {
        let _seat = seat;
        connection.run(&mut client).await;
    }
}

/// A socket's place in its worker. Dropping it leaves the groups and frees the place, however the task ends.
struct Seat {
    worker: Rc<Worker>,
    socket: Rc<Socket>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.worker.release(&self.socket);
    }
}

struct Connection {
    worker: Rc<Worker>,
    socket: Rc<Socket>,
    wire: Wire,
    meter: Meter,
    /// The last turn ended by its budget: there may be more without the kernel saying so.
    more: bool,
}

enum Event {
    Woken,
    Asked,
    Readable,
    Answer(Option<Bytes>),
}

/// Whether a message became whole in a turn.
#[derive(Debug, Clone, Copy)]
enum Whole {
    None,
    Some,
}

/// Why a connection ends.
enum End {
    /// The hub closes it.
    Close(CloseCode),
    /// The client said goodbye, and was answered; or it is gone.
    Gone(CloseCode),
}

impl Connection {
    /// Runs the connection to its end, and its client's, who is there at the beginning.
    async fn run(&mut self, client: &mut Option<Client>) {
        let Some(served) = client else { return };
        let tally = Arc::clone(&self.worker.tally);
        let end = match careful::caught(&tally, self.serve(served)).await {
            Ok(end) => end,
            Err(careful::Panicked) => End::Close(CloseCode::Internal),
        };
        let code = match end {
            End::Close(code) => code,
            End::Gone(code) => {
                self.socket.with_outbox(Outbox::end);
                code
            }
        };
        tally.closed(code);
        if let Client::Known(member) = served {
            Box::pin(member.disconnected(code)).await;
        }
        // The consumers' own ends are application code as well.
        drop(careful::caught(&tally, async { drop(client.take()) }).await);
        match end {
            End::Close(code) => Box::pin(self.say_goodbye(code)).await,
            End::Gone(_) => goodbye::hear_out(&self.worker, &self.socket).await,
        }
    }

    async fn serve(&mut self, client: &mut Client) -> End {
        let mut deferred = FuturesUnordered::new();
        loop {
            let mut open = 0;
            if let Client::Known(member) = client {
                member.desk.run_errands();
                open = member.desk.open();
                // Where the client has to wait for it, nothing waits for a message first. What runs apart may be done already.
                let is_full = open >= member.doors.limits.open_requests;
                deferred.extend(member.desk.take_deferred(is_full));
                if self.socket.has_events()
                    && let Err(code) = Box::pin(member.deliver_events(&self.socket)).await
                {
                    return End::Close(code);
                }
            }
            if let Some(code) = self.socket.closing.get() {
                return End::Close(code);
            }
            let may_read = open < self.limits(client).open_requests && !self.socket.is_half_full();
            if may_read {
                self.socket.go_on_reading();
            } else {
                self.socket.stop_reading();
            }
            let event = tokio::select! {
                biased;
                () = self.socket.wake.woken() => Event::Woken,
                Some(frame) = deferred.next(), if !deferred.is_empty() => Event::Answer(frame),
                () = client.asked() => Event::Asked,
                () = self.readable(), if may_read => Event::Readable,
            };
            match event {
                Event::Woken => {}
                // Who asks for ever waits its turn.
                Event::Asked => tokio::task::yield_now().await,
                Event::Answer(frame) => {
                    if let Client::Known(member) = client {
                        // What it asked for while it was made comes before it.
                        Box::pin(member.desk.catch_up()).await;
                    }
                    if let Some(frame) = frame {
                        self.worker.push(&self.socket, frame);
                    }
                }
                Event::Readable => {
                    // Most of a connection's state is that of a turn: it is idle connections' to do without, and hot in a cache
                    // where the last turn of another has been.
                    if let Some(end) = Box::pin(self.turn(client)).await {
                        return end;
                    }
                }
            }
        }
    }

    fn limits<'a>(&self, client: &'a Client) -> &'a Limits {
        &client.doors().limits
    }

    /// Notes since when a message is begun and not whole, for the worker to look at.
    fn note_begun(&self, turn: Instant, whole: Whole) {
        // A request may have waited for the client to take what it was sent, which is not the time of what comes next.
        let now = if self.socket.is_unread.get() { Instant::now() } else { turn };
        let begun = match whole {
            _ if self.wire.is_at_rest() => None,
            Whole::Some => Some(now),
            Whole::None => self.socket.begun.get().or(Some(now)),
        };
        self.worker.watch(&self.socket, begun);
    }

    /// Waits until there may be something to read. An error is for the read to find.
    async fn readable(&self) {
        if !self.more {
            drop(self.socket.stream.readable().await);
        }
    }

    /// Reads and handles a turn's worth.
    async fn turn(&mut self, client: &mut Client) -> Option<End> {
        let open_max = self.limits(client).open_requests;
        let now = Instant::now();
        self.more = true;
        self.wire.begin_turn();
        self.socket.heard.set(now);
        let mut whole = Whole::None;
        for _ in 0..wire::FRAMES_A_TURN {
            let frame = self.wire.read(&self.worker, &self.socket);
            let (pieces, rates) = (self.wire.take_pieces(), &client.doors().rates);
            let taken = match client {
                // A suite says thousands of frames, which is what it is for.
                Client::Echo(_) => Ok(()),
                _ => self.meter.take(rates, pieces + frame.count(), frame.bytes(), now),
            };
            let frame = match frame {
                Frame::End(code) => return Some(End::Gone(code)),
                Frame::Broken(code) => return Some(End::Close(code)),
                _ if taken == Err(Over::Flood) => return Some(End::Close(CloseCode::Flood)),
                Frame::Nothing if self.wire.is_spent() => break,
                Frame::Nothing => {
                    self.more = false;
                    self.note_begun(now, whole);
                    return None;
                }
                frame => frame,
            };
            if !matches!(frame, Frame::Control) || !self.wire.is_in_pieces() {
                whole = Whole::Some;
            }
            match frame {
                Frame::Control | Frame::Nothing | Frame::End(_) | Frame::Broken(_) => {}
                Frame::Text(text) if matches!(client, Client::Echo(_)) => {
                    self.worker.push(&self.socket, palabre_protocol::frame::text(text.as_bytes()));
                }
                Frame::Binary(bytes) if matches!(client, Client::Echo(_)) => {
                    self.worker.push(&self.socket, palabre_protocol::frame::binary(&bytes));
                }
                _ if let Err(Over::TooFast(over)) = taken => self.too_fast(client, &frame, &over),
                Frame::Text(text) => {
                    if let Err(code) = self.text(client, text, now).await {
                        return Some(End::Close(code));
                    }
                }
                Frame::Binary(_) => {
                    let refusal =
                        Refusal::new(ErrorCode::BinaryUnsupported, "binary frames are not understood");
                    self.refuse(None, &refusal);
                }
            }
            let open = match client {
                Client::Known(member) => member.desk.open(),
                Client::New(_) | Client::Echo(_) => 0,
            };
            let full = open >= open_max || self.socket.is_half_full();
            if full || self.socket.closing.get().is_some() {
                break;
            }
            if self.wire.is_drained() {
                self.more = false;
                self.note_begun(now, whole);
                return None;
            }
        }
        self.note_begun(now, whole);
        tokio::task::yield_now().await;
        None
    }
}
