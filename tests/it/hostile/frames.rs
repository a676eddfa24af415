//! Bytes that are no WebSocket, a row each with the code that closes the connection.

use palabre_tests::bystander::undisturbed;
use palabre_tests::raw::{CLOSE, PING, PONG, TEXT, frame};
use palabre_tests::{HubProcess, RawClient};

/// The first byte of a text that goes on, of a piece that goes on, and of the last piece.
const BEGUN: u8 = 0x01;
const GOES_ON: u8 = 0x00;
const LAST: u8 = 0x80;
const BINARY: u8 = 0x82;

struct Row {
    what: String,
    bytes: Vec<u8>,
    code: u16,
}

fn row(what: impl Into<String>, code: u16, bytes: impl Into<Vec<u8>>) -> Row {
    Row { what: what.into(), bytes: bytes.into(), code }
}

fn joined(parts: &[(u8, &[u8])]) -> Vec<u8> {
    parts.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
}

/// A masked header whose length is written in 2 or 8 bytes whatever it is, and so many spaces under a mask of zeros.
fn long_form(first: u8, bytes: usize, length: u64, payload: usize) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | if bytes == 2 { 126 } else { 127 }];
    frame.extend(&length.to_be_bytes()[8 - bytes..]);
    frame.resize(frame.len() + 4, 0);
    frame.resize(frame.len() + payload, b' ');
    frame
}

fn headers() -> Vec<Row> {
    let mut rows = vec![
        row("a text without a mask", 1002, *b"\x81\x02{}"),
        row("nothing without a mask", 1002, *b"\x81\x00"),
        row("a ping without a mask", 1002, *b"\x89\x00"),
        row("a close without a mask", 1002, *b"\x88\x02\x03\xe8"),
        row("a last piece without a mask", 1002, [frame(BEGUN, b"{"), b"\x80\x01}".to_vec()].concat()),
        row("a reserved bit in a piece", 1002, joined(&[(BEGUN, b"{"), (LAST | 0x40, b"}")])),
        row("a reserved bit in a ping", 1002, frame(PING | 0x40, b"")),
        row("all reserved bits in a close", 1002, frame(CLOSE | 0x70, &1000_u16.to_be_bytes())),
        row("a length of 1 in two bytes", 1002, long_form(TEXT, 2, 1, 1)),
        row("a length of 125 in two bytes", 1002, long_form(TEXT, 2, 125, 125)),
        row("a length of 126 in eight bytes", 1002, long_form(TEXT, 8, 126, 126)),
        row("a length of 65,535 in eight bytes", 1002, long_form(TEXT, 8, 65_535, 65_535)),
        row("a ping's length in two bytes", 1002, long_form(PING, 2, 4, 4)),
    ];
    rows.extend(
        [0x40, 0x20, 0x10].map(|bit| row(format!("reserved bit {bit:x}"), 1002, frame(TEXT | bit, b"{}"))),
    );
    let unknown = (0x3..=0x7).chain(0xb..=0xf);
    rows.extend(unknown.map(|opcode| row(format!("opcode {opcode:x}"), 1002, frame(0x80 | opcode, b""))));
    rows
}

fn control() -> Vec<Row> {
    let mut rows = vec![
        row("a close of one byte", 1002, frame(CLOSE, b"\x03")),
        row("a close whose reason is no UTF-8", 1007, frame(CLOSE, b"\x03\xe8\xff")),
        row("a close whose reason ends in a character", 1007, frame(CLOSE, b"\x03\xe8\xe2\x82")),
    ];
    for (name, first) in [("ping", PING), ("pong", PONG), ("close", CLOSE)] {
        rows.push(row(format!("a {name} in pieces"), 1002, frame(first & 0x0f, b"")));
        rows.push(row(format!("a {name} of 126 bytes"), 1002, frame(first, &[0; 126])));
        rows.push(row(format!("a {name} of 64 KiB"), 1002, frame(first, &[0; 65_536])));
    }
    let no_codes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535_u16];
    rows.extend(no_codes.map(|code| row(format!("close {code}"), 1002, frame(CLOSE, &code.to_be_bytes()))));
    rows
}

fn utf8() -> Vec<Row> {
    let mut rows = vec![
        row("a character cut by the end", 1007, joined(&[(BEGUN, b"\"\xe2\x82"), (LAST, b"")])),
        row("a character of two pieces that is none", 1007, joined(&[(BEGUN, b"\"\xe2\x82"), (LAST, b"\"")])),
        row("half a pair in two pieces", 1007, joined(&[(BEGUN, b"\xed"), (LAST, b"\xa0\x80")])),
        row("a bad first piece, found before the last", 1007, frame(BEGUN, b"\xff")),
        row("a bad piece in the middle", 1007, joined(&[(BEGUN, b"\""), (GOES_ON, b"\xc0\xaf")])),
    ];
    let bad: [&[u8]; 9] = [
        b"\x80",
        b"\xff",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xb0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\x8c",
    ];
    rows.extend(bad.map(|bytes| row(format!("{bytes:x?}"), 1007, frame(TEXT, bytes))));
    rows
}

fn pieces() -> Vec<Row> {
    vec![
        row("a last piece of nothing", 1002, frame(LAST, b"{}")),
        row("a piece of nothing", 1002, frame(GOES_ON, b"")),
        row("a piece after the last", 1002, joined(&[(BEGUN, b"{"), (LAST, b"}"), (LAST, b"")])),
        row("a text inside a text", 1002, joined(&[(BEGUN, b"{"), (TEXT, b"{}")])),
        row("a text begun inside a text", 1002, joined(&[(BEGUN, b"{"), (BEGUN, b"{}")])),
        row("a binary message inside a text", 1002, joined(&[(BEGUN, b"{"), (BINARY, b"{}")])),
        row("a ping in pieces inside a text", 1002, joined(&[(BEGUN, b"{"), (PING & 0x0f, b"")])),
    ]
}

fn sizes() -> Vec<Row> {
    let large = vec![b' '; 40_000];
    let crumbs = [frame(BEGUN, b"\""), frame(GOES_ON, b"").repeat(1_100)].concat();
    let full = [frame(BEGUN, b"\""), frame(GOES_ON, b"x").repeat(1_100)].concat();
    vec![
        row("a byte more than a message may have", 1009, frame(TEXT, &[b' '; 65_537])),
        row("a binary byte more", 1009, frame(BINARY, &[0; 65_537])),
        row("two pieces that are too much", 1009, joined(&[(BEGUN, &large), (LAST, &large)])),
        row("too much before the last piece", 1009, joined(&[(BEGUN, &large), (GOES_ON, &large)])),
        row("pieces of nothing without end", 1009, crumbs),
        row("pieces of a byte without end", 1009, full),
        row("a claim of 16 MiB", 1009, long_form(TEXT, 8, 16 << 20, 0)),
        row(
            "a claim of 16 MiB in a piece",
            1009,
            [frame(BEGUN, b"\""), long_form(LAST, 8, 16 << 20, 0)].concat(),
        ),
        row("a claim of 2^63 - 1", 1009, long_form(TEXT, 8, i64::MAX as u64, 0)),
        row("a claim of 2^63, which is no length", 1002, long_form(TEXT, 8, 1 << 63, 0)),
        row("a claim of 2^64 - 1, which is none either", 1002, long_form(BINARY, 8, u64::MAX, 0)),
        row("a ping that claims 2^40", 1009, long_form(PING, 8, 1 << 40, 0)),
    ]
}

#[tokio::test]
async fn every_frame_that_is_none_closes_its_own_connection_with_its_code() {
    let rows: Vec<Row> = [headers(), control(), utf8(), pieces(), sizes()].into_iter().flatten().collect();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let hub = HubProcess::start(&[]).await;
    undisturbed(hub.addr(), async {
        for Row { what, bytes, code } in &rows {
            let mut client = RawClient::connect(hub.addr()).await;
            client.hello().await;
            client.write(bytes).await;
            assert_eq!(client.close_code().await, *code, "{what}");
            client.write(&frame(CLOSE, &code.to_be_bytes())).await;
            client.ends().await;
        }
    })
    .await;
    assert!(!hub.stderr().contains("panicked"), "{}", hub.stderr());
}
