//! What a wire does with what it carries in one direction.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Read in one go.
const PIECE_BYTES: usize = 16 << 10;

/// Pieces under way; with more the sender is kept waiting, as by a network of some length.
const PIECES_MAX: usize = 64;

/// What a wire does in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Carries all at once.
    Pass,
    /// Carries all, this long later, and by up to the second duration more.
    Delay(Duration, Duration),
    /// Carries all, so many bytes at a time.
    Slice(usize),
    /// Takes all, and none of it arrives: a half-open connection.
    Swallow,
    /// Takes nothing any more, so that the sender's buffers fill.
    Stall,
    /// Says that the sender has ended, while the other direction goes on.
    HalfClose,
}

/// Carries what comes in one direction until its sender ends, or its receiver is gone.
pub(super) async fn carry(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    mut course: watch::Receiver<Course>,
    random: &Random,
) {
    let (pieces, mut due) = mpsc::channel::<(Instant, usize, Bytes)>(PIECES_MAX);
    let read = async move {
        let mut last = Instant::now();
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let is_over = |course: &Course| *course == Course::HalfClose;
            if course.wait_for(|course| *course != Course::Stall).await.is_ok_and(|now| is_over(&now)) {
                return;
            }
            let taken = tokio::select! {
                taken = from.read(&mut buffer) => taken,
                _ = course.changed() => continue,
            };
            let Ok(bytes @ 1..) = taken else { return };
            let now = *course.borrow();
            let at = match now {
                Course::Delay(delay, more) => Instant::now() + delay + more.mul_f64(random.next()),
                _ => Instant::now(),
            };
            // What was sent first arrives first.
            last = last.max(at);
            let slice = if let Course::Slice(bytes) = now { bytes.max(1) } else { PIECE_BYTES };
            let piece = Bytes::copy_from_slice(&buffer[..bytes]);
            if now != Course::Swallow && pieces.send((last, slice, piece)).await.is_err() {
                return;
            }
        }
    };
    let write = async {
        while let Some((at, slice, piece)) = due.recv().await {
            sleep_until(at).await;
            for part in piece.chunks(slice) {
                if to.write_all(part).await.is_err() {
                    return;
                }
                // Each part is a packet of its own.
                tokio::task::yield_now().await;
            }
        }
        // The receiver is told; it may be gone already.
        let _gone = to.shutdown().await;
    };
    tokio::join!(read, write);
}

/// A generator of delays.
#[derive(Debug)]
pub(super) struct Random(AtomicU64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed | 1))
    }

    /// From 0 to 1: xorshift, which is enough for delays.
    #[expect(clippy::cast_precision_loss, reason = "a delay needs no 64 bits")]
    pub(super) fn next(&self) -> f64 {
        let step = |mut state: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            Some(state)
        };
        let before = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).unwrap_or_default();
        before as f64 / u64::MAX as f64
    }
}
