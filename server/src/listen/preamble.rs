//! The PROXY protocol: what a proxy that passes bytes, not requests, says of its client before the client's first byte.
//!
//! Versions 1 (a line) and 2 (binary), as `haproxy` writes them (`send-proxy`, `send-proxy-v2`) and load balancers of
//! layer 4 do. It is expected of every trusted proxy when it is switched on, and understood from nobody else: to guess
//! would let clients say who they are. What it tells beside the address is passed over. The parser is pure.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// From the connection's beginning to the end of the preamble; the proxy has it ready.
const PREAMBLE_MAX: Duration = Duration::from_secs(5);

/// The longest that is understood. A line has 107 bytes at most; version 2 may carry certificates, and rarely does.
const BYTES_MAX: usize = 4_096;

/// The longest line of version 1, with its end.
const LINE_MAX: usize = 107;

/// What version 2 begins with: no line of any protocol.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// How the bytes so far stand.
#[derive(Debug, PartialEq, Eq)]
enum Preamble {
    /// Not all of it is there.
    Begun,
    /// It is there, so many bytes of it; the source is none when the proxy speaks for itself, to see whether we live.
    Whole { length: usize, source: Option<SocketAddr> },
    /// It is none.
    Broken,
}

/// Reads the preamble of a connection: who is behind the proxy, if it says so, and the bytes that came after it.
///
/// # Errors
///
/// `InvalidData` when there is none, `TimedOut` when it does not come in time, or what the connection says.
pub(crate) async fn read(tcp: &mut TcpStream) -> io::Result<(Option<SocketAddr>, Vec<u8>)> {
    let read = async {
        let mut bytes = Vec::new();
        loop {
            match parse(&bytes) {
                Preamble::Whole { length, source } => {
                    bytes.drain(..length);
                    return Ok((source, bytes));
                }
                Preamble::Begun if bytes.len() < BYTES_MAX => {}
                Preamble::Begun | Preamble::Broken => return Err(io::ErrorKind::InvalidData.into()),
            }
            if tcp.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    timeout(PREAMBLE_MAX, read).await?
}

fn parse(bytes: &[u8]) -> Preamble {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(one, other)| one == other);
    if begins(SIGNATURE) {
        binary(bytes)
    } else if begins(b"PROXY ") {
        line(bytes)
    } else {
        Preamble::Broken
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 4711 80`, or `PROXY UNKNOWN` and anything.
fn line(bytes: &[u8]) -> Preamble {
    let Some(end) = bytes.windows(2).take(LINE_MAX - 1).position(|two| two == b"\r\n") else {
        return if bytes.len() < LINE_MAX { Preamble::Begun } else { Preamble::Broken };
    };
    let length = end + 2;
    let Ok(text) = std::str::from_utf8(&bytes[..end]) else { return Preamble::Broken };
    let found = match text.split(' ').collect::<Vec<_>>()[..] {
        ["PROXY", "UNKNOWN", ..] => return Preamble::Whole { length, source: None },
        ["PROXY", "TCP4", from, to, port, to_port] => source::<Ipv4Addr>([from, to], [port, to_port]),
        ["PROXY", "TCP6", from, to, port, to_port] => source::<Ipv6Addr>([from, to], [port, to_port]),
        _ => None,
    };
    found.map_or(Preamble::Broken, |source| Preamble::Whole { length, source: Some(source) })
}

/// Where a connection came from, of the two ends that a line names in turn.
fn source<Ip: FromStr + Into<IpAddr>>(ips: [&str; 2], ports: [&str; 2]) -> Option<SocketAddr> {
    let [Ok(from), Ok(_to)] = ips.map(str::parse::<Ip>) else { return None };
    let [Ok(port), Ok(_to_port)] = ports.map(str::parse::<u16>) else { return None };
    Some(SocketAddr::new(from.into(), port))
}

/// Version 2: after the signature version and command, family, the length of the rest; then addresses and more.
fn binary(bytes: &[u8]) -> Preamble {
    const HEAD: usize = 16;
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    const TCP4: u8 = 0x11;
    const TCP6: u8 = 0x21;
    let Some(&[command, family, long, short]) = bytes.get(SIGNATURE.len()..HEAD) else {
        return Preamble::Begun;
    };
    let length = HEAD + usize::from(u16::from_be_bytes([long, short]));
    if (command != LOCAL && command != PROXY) || length > BYTES_MAX {
        return Preamble::Broken;
    }
    let Some(rest) = bytes.get(HEAD..length) else { return Preamble::Begun };
    let found = match (command, family) {
        (PROXY, TCP4) => rest.first_chunk::<12>().map(|&[a, b, c, d, _, _, _, _, high, low, ..]| {
            SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
        }),
        (PROXY, TCP6) => rest.first_chunk::<36>().and_then(|addresses| {
            let (from, ports) = (addresses.first_chunk::<16>()?, addresses.last_chunk::<4>()?);
            Some(SocketAddr::from((*from, u16::from_be_bytes([ports[0], ports[1]]))))
        }),
        // The proxy's own, or of no family that a browser comes by.
        _ => return Preamble::Whole { length, source: None },
    };
    found.map_or(Preamble::Broken, |source| Preamble::Whole { length, source: Some(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary_of(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, rest].concat()
    }

    /// What is found when it comes at once and when it comes byte by byte, with a request behind it.
    fn found(bytes: &[u8]) -> Preamble {
        let all = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        for end in 0..bytes.len() {
            assert!(
                matches!(parse(&all[..end]), Preamble::Begun | Preamble::Broken),
                "{end} bytes of {bytes:?}"
            );
        }
        parse(&all)
    }

    fn from(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn what_proxies_write_is_understood() {
        let four = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0, 80];
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0x12, 0x67, 0, 80]].concat();
        let with_more = [&four[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        for (bytes, source) in [
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 80\r\n".to_vec(), from("203.0.113.9:4711")),
            (b"PROXY TCP6 2001:db8::7 fd00::1 4711 80\r\n".to_vec(), from("[2001:db8::7]:4711")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (binary_of(0x21, 0x11, &four), from("203.0.113.9:4711")),
            (binary_of(0x21, 0x11, &with_more), from("203.0.113.9:4711")),
            (binary_of(0x21, 0x21, &six), from("[2001:db8::7]:4711")),
            (binary_of(0x21, 0x31, &[0; 216]), None),
            (binary_of(0x20, 0x00, &[]), None),
            (binary_of(0x20, 0x11, &four), None),
        ] {
            assert_eq!(found(&bytes), Preamble::Whole { length: bytes.len(), source }, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_preamble_is_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4711\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 99999 80\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::7 fd00::1 4711 80\r\n".to_vec(),
            b"PROXY TCP6 203.0.113.9 10.0.0.1 4711 80\r\n".to_vec(),
            b"PROXY  TCP4 203.0.113.9 10.0.0.1 4711 80\r\n".to_vec(),
            b"PROXY UDP4 203.0.113.9 10.0.0.1 4711 80\r\n".to_vec(),
            b"PROXY \xff\r\n".to_vec(),
            [&b"PROXY UNKNOWN "[..], &[b'x'; 200], b"\r\n"].concat(),
            binary_of(0x11, 0x11, &[0; 12]),
            binary_of(0x22, 0x11, &[0; 12]),
            binary_of(0x21, 0x11, &[0; 11]),
            binary_of(0x21, 0x21, &[0; 35]),
            binary_of(0x21, 0x11, &[0; 5_000]),
        ] {
            assert_eq!(parse(&bytes), Preamble::Broken, "{bytes:?}");
        }
    }
}
