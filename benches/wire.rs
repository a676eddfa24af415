//! The bytes of RFC 6455, as far as a load generator and a yardstick need them: the handshake of both sides, masked
//! frames out, unmasked frames in.
//!
//! Works on slices alone and copies nothing on the way in. Of the rules it checks what would make a count wrong
//! (lengths, masking, fragments) and leaves the others to the suites of the hub.

use anyhow::{Context as _, Result, bail, ensure};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// A whole message in text.
pub const TEXT: u8 = 1;
/// The end of the connection.
pub const CLOSE: u8 = 8;
/// "Are you there?"
pub const PING: u8 = 9;
/// "I am."
pub const PONG: u8 = 10;

/// Far above the largest frame of the hub; what claims to be longer is not a frame.
const FRAME_BYTES_MAX: usize = 1 << 20;
const HEAD_BYTES_MAX: usize = 8 << 10;
/// All clients of a swarm offer one key: it protects caches between strangers, and there are none here.
const KEY: &str = "cGFsYWJyZS1iZW5jaGVzIQ==";
/// Any key but zero will do: the hub has to do the work of unmasking.
const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x68];

/// The request that opens a WebSocket at `path`.
#[must_use]
pub fn upgrade_request(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    .into_bytes()
}

/// The length of the server's answer to [`upgrade_request`], or `None` while it is not complete.
///
/// # Errors
///
/// When the server did not switch protocols, or answered another key.
pub fn upgraded(answer: &[u8]) -> Result<Option<usize>> {
    let Some((head, length)) = head(answer)? else { return Ok(None) };
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.starts_with("HTTP/1.1 101"), "the server refused the upgrade: {status}");
    let accepted = header(head, "sec-websocket-accept").context("the server's answer has no accept key")?;
    ensure!(accepted == derive_accept_key(KEY.as_bytes()), "the server answered another key");
    Ok(Some(length))
}

/// What a server answers to the upgrade in `request`, or `None` while that is not complete.
///
/// # Errors
///
/// When the request is no upgrade.
pub fn upgrade_answer(request: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some((head, _)) = head(request)? else { return Ok(None) };
    let key = header(head, "sec-websocket-key").context("the request has no Sec-WebSocket-Key")?;
    let accept = derive_accept_key(key.as_bytes());
    Ok(Some(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes(),
    ))
}

fn head(bytes: &[u8]) -> Result<Option<(&str, usize)>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        ensure!(bytes.len() < HEAD_BYTES_MAX, "an HTTP head of more than {HEAD_BYTES_MAX} bytes");
        return Ok(None);
    };
    let head = str::from_utf8(&bytes[..end]).context("an HTTP head that is not text")?;
    Ok(Some((head, end + 4)))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Appends a client's frame: masked.
pub fn put_masked(into: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    put_head(into, opcode, payload.len());
    let second = into.len() - head_bytes(payload.len()) + 1;
    into[second] |= 0x80;
    into.extend_from_slice(&MASK);
    into.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// Appends the head of a server's frame: not masked.
pub fn put_head(into: &mut Vec<u8>, opcode: u8, payload_bytes: usize) {
    into.push(0x80 | opcode);
    match (u8::try_from(payload_bytes), u16::try_from(payload_bytes)) {
        (Ok(short @ ..=125), _) => into.push(short),
        (_, Ok(medium)) => {
            into.push(126);
            into.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            into.push(127);
            into.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
}

/// Bytes of the head that [`put_head`] writes for a payload of this length.
#[must_use]
pub fn head_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        ..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// The length of the client's frame that `bytes` begin with, head and mask included, as far as its head is there; the
/// frame itself may be cut.
#[must_use]
pub fn masked_bytes(bytes: &[u8]) -> Option<usize> {
    let payload = match *bytes.get(1)? & 0x7f {
        126 => usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
        127 => usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?,
        short => usize::from(short),
    };
    Some(head_bytes(payload) + MASK.len() + payload)
}

/// A frame of the server, in place.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// [`TEXT`], [`CLOSE`], [`PING`], [`PONG`] or another.
    pub opcode: u8,
    /// What it carries.
    pub payload: &'a [u8],
    /// Its whole length, head included.
    pub bytes: usize,
}

/// The frame at the start of `bytes`, or `None` while it is not complete.
///
/// # Errors
///
/// When a server may not send it, or it is a fragment: the hub sends none, and one would hide a delivery.
pub fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    ensure!(first & 0x70 == 0, "a frame with reserved bits");
    ensure!(first & 0x80 != 0 && first & 0x0f != 0, "a fragment");
    ensure!(second & 0x80 == 0, "a masked frame from the server");
    let (head, payload) = match second {
        126 => match rest.first_chunk() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (10, usize::try_from(u64::from_be_bytes(*length))?),
            None => return Ok(None),
        },
        length => (2, usize::from(length)),
    };
    if payload > FRAME_BYTES_MAX {
        bail!("a frame of {payload} bytes");
    }
    let whole = head + payload;
    Ok(bytes.get(head..whole).map(|payload| Frame { opcode: first & 0x0f, payload, bytes: whole }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_the_handshake_agree() {
        let request = upgrade_request("127.0.0.1:1", "/ws");
        assert_eq!(upgrade_answer(&request[..request.len() - 1]).unwrap(), None);
        let mut answer = upgrade_answer(&request).unwrap().unwrap();
        let length = answer.len();
        answer.extend_from_slice(b"\x81\x00");
        assert_eq!(upgraded(&answer).unwrap(), Some(length));
        assert!(upgraded(b"HTTP/1.1 403 Forbidden\r\n\r\n").is_err());
    }

    #[test]
    fn a_frame_of_each_size_of_head_is_read_back_and_waits_while_it_is_cut() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            put_head(&mut bytes, TEXT, length);
            assert_eq!(bytes.len(), head_bytes(length));
            bytes.resize(bytes.len() + length, b'x');
            assert_eq!(frame(&bytes[..bytes.len() - 1]).unwrap(), None, "{length}");
            let whole = bytes.len();
            bytes.extend_from_slice(b"\x81\x05more");
            let read = frame(&bytes).unwrap().unwrap();
            assert_eq!((read.opcode, read.payload.len(), read.bytes), (TEXT, length, whole));
        }
    }

    #[test]
    fn the_length_of_a_masked_frame_stands_in_its_head() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            put_masked(&mut bytes, TEXT, &vec![b'x'; length]);
            assert_eq!(masked_bytes(&bytes), Some(bytes.len()), "{length}");
            assert_eq!(masked_bytes(&bytes[..1]), None);
        }
    }

    #[test]
    fn a_masked_frame_says_so_and_hides_its_text() {
        let mut bytes = Vec::new();
        put_masked(&mut bytes, TEXT, b"x");
        assert_eq!(bytes, [0x81, 0x81, 0x5a, 0x17, 0xc3, 0x68, b'x' ^ 0x5a]);
    }

    #[test]
    fn what_would_hide_a_delivery_is_an_error() {
        assert!(frame(b"\x01\x01x").is_err(), "the first of several fragments");
        assert!(frame(b"\x80\x01x").is_err(), "a continuation");
        assert!(frame(b"\x81\x81").is_err(), "masked");
        assert!(frame(b"\xc1\x01").is_err(), "compressed");
    }
}
