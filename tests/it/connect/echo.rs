//! `/echo`: the layer below the protocol, as a suite of somebody else's would look at it.

use palabre_tests::bystander::undisturbed;
use palabre_tests::http::get;
use palabre_tests::machine::Signal;
use palabre_tests::raw::{CLOSE, PING, PONG, TEXT, frame};
use palabre_tests::{HubProcess, RawClient};
use tokio::net::TcpStream;

const BINARY: u8 = 0x82;
const CONTINUED: u8 = 0x00;
const LAST: u8 = 0x80;
const NOT_LAST: u8 = 0x7f;

async fn echo(hub: &HubProcess) -> RawClient {
    let stream = TcpStream::connect(hub.addr()).await.expect("the hub listens");
    RawClient::open_at("/echo", stream, "", &[]).await
}

async fn hub() -> HubProcess {
    HubProcess::start_with(&[], &[("PALABRE_SERVER_ECHO", "true")]).await
}

#[tokio::test]
async fn there_is_no_echo_unless_it_is_wanted() {
    let hub = HubProcess::start(&[]).await;
    assert_eq!(get(hub.addr(), "/echo").await.status, 404);
}

#[tokio::test]
async fn every_message_comes_back_whole_and_in_its_kind() {
    let hub = hub().await;
    undisturbed(hub.addr(), async {
        let mut client = echo(&hub).await;
        for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
            for kind in [TEXT, BINARY] {
                let payload = vec![b'*'; length];
                client.write(&frame(kind, &payload)).await;
                assert_eq!(client.next().await, (kind, payload));
            }
        }
        for text in ["", "Hello-µ@ßöäüàá-UTF-8!!", "\u{0}\u{7f}\u{ffff}\u{10ffff}\u{fffe}"] {
            client.text(text).await;
            assert_eq!(client.next().await, (TEXT, text.as_bytes().to_vec()));
        }
        let bytes: Vec<u8> = (0..=255).collect();
        client.write(&frame(BINARY, &bytes)).await;
        assert_eq!(client.next().await, (BINARY, bytes));
    })
    .await;
}

#[tokio::test]
async fn fragments_are_joined_and_control_frames_stand_between_them() {
    let hub = hub().await;
    let mut client = echo(&hub).await;
    // A character is cut in two, which only a text as a whole must not be.
    let parts = [
        frame(TEXT & NOT_LAST, b"\xc3"),
        frame(PING, b"p"),
        frame(CONTINUED, b""),
        frame(CONTINUED | LAST, b"\xa4"),
    ];
    for part in parts {
        client.write(&part).await;
    }
    assert_eq!(client.next().await, (PONG, b"p".to_vec()));
    assert_eq!(client.next().await, (TEXT, "ä".as_bytes().to_vec()));
    // Byte by byte is the same.
    for byte in [frame(BINARY & NOT_LAST, b"ab"), frame(CONTINUED | LAST, b"c")].concat() {
        client.write(&[byte]).await;
    }
    assert_eq!(client.next().await, (BINARY, b"abc".to_vec()));
    for length in [0, 125] {
        client.write(&frame(PING, &vec![0xfe; length])).await;
        assert_eq!(client.next().await, (PONG, vec![0xfe; length]));
    }
    client.write(&frame(PONG, b"unasked")).await;
    client.text("after a pong").await;
    assert_eq!(client.next().await.1, b"after a pong");
}

#[tokio::test]
async fn what_the_standard_forbids_is_closed_with_its_code() {
    let hub = hub().await;
    let close = |code: u16, reason: &[u8]| frame(CLOSE, &[&code.to_be_bytes()[..], reason].concat());
    let cases = [
        ("a reserved bit", frame(TEXT | 0x40, b"x"), 1002),
        ("two reserved bits", frame(TEXT | 0x30, b"x"), 1002),
        ("opcode 3", frame(0x83, b""), 1002),
        ("opcode 7", frame(0x87, b""), 1002),
        ("opcode 11", frame(0x8b, b""), 1002),
        ("opcode 15", frame(0x8f, b""), 1002),
        ("a long ping", frame(PING, &[0; 126]), 1002),
        ("a ping in fragments", frame(PING & NOT_LAST, b""), 1002),
        ("a pong in fragments", frame(PONG & NOT_LAST, b""), 1002),
        ("a fragment of nothing", frame(CONTINUED | LAST, b"x"), 1002),
        ("a text in a text", [frame(TEXT & NOT_LAST, b"a"), frame(TEXT, b"b")].concat(), 1002),
        ("a binary in a text", [frame(TEXT & NOT_LAST, b"a"), frame(BINARY, b"b")].concat(), 1002),
        ("no mask", b"\x81\x01x".to_vec(), 1002),
        ("a close of one byte", frame(CLOSE, b"\x03"), 1002),
        ("a long close", frame(CLOSE, &[3; 126]), 1002),
        ("code 0", close(0, b""), 1002),
        ("code 999", close(999, b""), 1002),
        ("code 1004", close(1004, b""), 1002),
        ("code 1005", close(1005, b""), 1002),
        ("code 1006", close(1006, b""), 1002),
        ("code 1015", close(1015, b""), 1002),
        ("code 1016", close(1016, b""), 1002),
        ("code 2999", close(2999, b""), 1002),
        ("code 5000", close(5000, b""), 1002),
        ("code 65535", close(65535, b""), 1002),
        ("a reason that is no text", close(1000, b"\xff"), 1007),
        ("a text that is none", frame(TEXT, b"\xce\xba\xed\xa0\x80"), 1007),
        ("a text that ends in a character", frame(TEXT, b"\xf4\x8f\xbf"), 1007),
        ("beyond Unicode", frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
        ("an overlong slash", frame(TEXT, b"\xc0\xaf"), 1007),
        ("too long", frame(BINARY, &vec![0; 65_537]), 1009),
    ];
    undisturbed(hub.addr(), async {
        for (what, bytes, expected) in &cases {
            let mut client = echo(&hub).await;
            client.write(bytes).await;
            let code = client.close_code().await;
            assert_eq!(code, *expected, "{what}");
            client.write(&frame(CLOSE, &code.to_be_bytes())).await;
            client.ends().await;
        }
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
            let mut client = echo(&hub).await;
            client.write(&close(code, b"why")).await;
            assert_eq!(client.close_code().await, code);
            client.ends().await;
        }
        let mut client = echo(&hub).await;
        client.write(&frame(CLOSE, b"")).await;
        assert_eq!(client.next().await, (CLOSE, Vec::new()));
        client.ends().await;
    })
    .await;
}

#[tokio::test]
async fn an_echo_says_nothing_of_the_hub_s_own_and_ends_with_it() {
    let mut hub = hub().await;
    let mut client = echo(&hub).await;
    client.text("said").await;
    assert_eq!(client.next().await, (TEXT, b"said".to_vec()));
    hub.send(Signal::Term);
    // The first thing that comes is the close: what tells others when to come back would look like an echo.
    let (first, payload) = client.next().await;
    assert_eq!((first, &payload[..2]), (CLOSE, &4000_u16.to_be_bytes()[..]));
    client.write(&frame(CLOSE, &payload)).await;
    client.ends().await;
    assert_eq!(hub.ended().await.code(), Some(0));
}
