//! What waits to be written to one socket: one order, two bounds.
//!
//! It holds only what the kernel has refused, or not been offered yet. Pieces are whole frames, so wherever it ends, it
//! ends at a frame's boundary.

use crate::socket::stream::Stream;
use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

/// A client this far behind does better to reconnect and resume by position.
const BYTES_MAX: usize = 1 << 20;
const PIECES_MAX: usize = 4_096;

/// What is copied into one piece rather than written as several.
const SMALL_BYTES: usize = 1_024;

/// From here on a client counts as behind, and is spared what may be skipped.
const BEHIND_BYTES: usize = 64 << 10;

/// Room that an empty outbox keeps, in pieces: making it anew for each delivery would cost more than it saves.
const ROOM_KEPT: usize = 8;

/// Pieces in one write; more than wait in practice.
const SLICES_MAX: usize = 32;

/// There is no room for these frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full(pub(crate) Bytes);

/// What became of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// The kernel has taken everything.
    All,
    /// It takes no more for now.
    Blocked,
}

#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Outbox {
    /// Of all pieces, none of which is empty.
    bytes: usize,
    /// The last word is queued or written: a close frame, after which the standard allows nothing.
    ended: bool,
    pieces: VecDeque<Bytes>,
}

impl Outbox {
    /// Appends whole frames; after the last word they are dropped.
    pub(crate) fn push(&mut self, frames: Bytes) -> Result<(), Full> {
        if self.ended || frames.is_empty() {
            return Ok(());
        }
        if self.bytes + frames.len() > BYTES_MAX && !self.pieces.is_empty() || self.pieces.len() >= PIECES_MAX
        {
            return Err(Full(frames));
        }
        self.bytes += frames.len();
        self.pieces.push_back(frames);
        Ok(())
    }

    /// Whether nothing waits, and something may.
    pub(crate) fn is_idle(&self) -> bool {
        self.bytes == 0 && !self.ended
    }

    /// Takes what is left of a piece of which `written` bytes have passed an idle outbox by.
    pub(crate) fn go_on(&mut self, mut piece: Bytes, written: usize) {
        piece.advance(written);
        self.bytes = piece.len();
        self.pieces.push_back(piece);
    }

    /// Ends with `frame`, unless the last word has been said: there is always room for it.
    pub(crate) fn end_with(&mut self, frame: Bytes) {
        if !self.ended {
            self.bytes += frame.len();
            self.pieces.push_back(frame);
            self.end();
        }
    }

    /// What is queued now is the last that is written; the connection's writing side ends after it.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether so much waits that the client's requests should wait too.
    pub(crate) fn is_half_full(&self) -> bool {
        self.bytes > BYTES_MAX / 2 || self.pieces.len() > PIECES_MAX / 2
    }

    /// Whether more waits than one write takes, or than a moment's worth: what nobody misses is left out then.
    pub(crate) fn is_behind(&self) -> bool {
        self.pieces.len() >= SLICES_MAX || self.bytes > BEHIND_BYTES
    }

    /// How much waits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes as much as the kernel takes.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub(crate) fn flush(&mut self, stream: &Stream) -> io::Result<Flushed> {
        while let Some(first) = self.pieces.front() {
            let written = if self.pieces.len() == 1 {
                stream.try_write(first)
            } else if self.bytes <= SMALL_BYTES {
                // An ack and a message, usually: a short copy saves the kernel a walk over a list of pieces.
                let mut small = [0; SMALL_BYTES];
                let mut end = 0;
                for piece in &self.pieces {
                    small[end..end + piece.len()].copy_from_slice(piece);
                    end += piece.len();
                }
                stream.try_write(&small[..end])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = self.pieces.len().min(SLICES_MAX);
                for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                    *slice = IoSlice::new(piece);
                }
                stream.try_write_vectored(&slices[..count])
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.pieces.capacity() > 2 * ROOM_KEPT {
            self.pieces.shrink_to(ROOM_KEPT);
        }
        if self.ended {
            stream.end_writing();
        }
        Ok(Flushed::All)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.pieces.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    async fn pair() -> (Stream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Stream::Plain(listener.accept().await.unwrap().0), client)
    }

    #[tokio::test]
    async fn a_blocked_outbox_keeps_every_byte_in_order() {
        let (stream, mut client) = pair().await;
        stream.writable().await.unwrap();
        let mut outbox = Outbox::default();
        let mut expected = Vec::new();
        let mut number = 0_u32;
        // Until the kernel refuses, and then until the outbox does.
        loop {
            let piece: Vec<u8> = number.to_be_bytes().repeat(5_000);
            if outbox.push(piece.clone().into()).is_err() {
                break;
            }
            expected.extend(piece);
            number += 1;
            if !outbox.is_half_full() {
                outbox.flush(&stream).unwrap();
            }
        }
        let read = async {
            let mut got = vec![0; expected.len()];
            client.read_exact(&mut got).await.unwrap();
            got
        };
        let write = async {
            while outbox.flush(&stream).unwrap() == Flushed::Blocked {
                stream.writable().await.unwrap();
            }
        };
        let (got, ()) = tokio::join!(read, write);
        assert!(got == expected, "{} bytes differ", expected.len());
        assert!(outbox.pieces.capacity() <= 2 * ROOM_KEPT, "room for {} pieces", outbox.pieces.capacity());
    }

    #[tokio::test]
    async fn what_passed_an_idle_outbox_by_in_part_is_gone_on_with() {
        let (stream, mut client) = pair().await;
        let mut outbox = Outbox::default();
        assert!(outbox.is_idle());
        outbox.go_on(Bytes::from_static(b"[begun]"), 3);
        outbox.push(Bytes::from_static(b"[next]")).unwrap();
        outbox.end_with(Bytes::from_static(b"[end]"));
        assert_eq!(outbox.flush(&stream).unwrap(), Flushed::All);
        assert!(!outbox.is_idle(), "nothing may follow the last word");
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"gun][next][end]");
    }

    #[tokio::test]
    async fn the_last_word_comes_after_all_that_waits_however_full_it_is_and_nothing_after_it() {
        let (stream, mut client) = pair().await;
        stream.writable().await.unwrap();
        let mut outbox = Outbox::default();
        let mut whole = 0;
        while outbox.push(vec![b'a'; 100_001].into()).is_ok() {
            whole += 1;
            outbox.flush(&stream).unwrap();
        }
        for word in [&b"end"[..], b"and"] {
            outbox.end_with(Bytes::from_static(word));
            outbox.push(vec![b'b'; 10].into()).unwrap();
        }
        let read = async {
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            got
        };
        let write = async {
            while outbox.flush(&stream).unwrap() == Flushed::Blocked {
                stream.writable().await.unwrap();
            }
        };
        let (got, ()) = tokio::join!(read, write);
        assert_eq!(got.len(), whole * 100_001 + 3);
        assert!(got.ends_with(b"aend") && outbox.bytes() == 0);
    }
}
