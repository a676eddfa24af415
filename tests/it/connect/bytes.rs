//! The connection below the frames: what RFC 6455 asks of a server.

use palabre_tests::raw::{CLOSE, PING, PONG, TEXT, frame};
use palabre_tests::{HubProcess, RawClient};
use serde_json::json;

const PING_FRAME: &[u8] = br#"{"type":"ping"}"#;

async fn client(hub: &HubProcess) -> RawClient {
    let mut client = RawClient::connect(hub.addr()).await;
    client.hello().await;
    client
}

/// The code that a hub closes with after it has read these bytes; the connection ends once the close is answered.
async fn closed_after(hub: &HubProcess, bytes: &[u8]) -> u16 {
    let mut client = client(hub).await;
    client.write(bytes).await;
    let code = client.close_code().await;
    client.write(&frame(CLOSE, &code.to_be_bytes())).await;
    client.ends().await;
    code
}

#[tokio::test]
async fn a_binary_message_is_refused_and_the_socket_lives() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    for payload in [&b""[..], b"\x00\xff", PING_FRAME] {
        client.write(&frame(0x82, payload)).await;
        assert_eq!(client.json().await["code"], "binary_unsupported");
    }
    client.write(&frame(TEXT, PING_FRAME)).await;
    assert_eq!(client.json().await, json!({"type": "pong"}));
}

#[tokio::test]
async fn a_message_may_be_as_long_as_it_says_and_no_longer() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    let mut longest = r#"{"type":"ping"}"#.to_owned();
    longest.push_str(&" ".repeat(65_536 - longest.len()));
    client.text(&longest).await;
    assert_eq!(client.json().await, json!({"type": "pong"}));

    let too_long = vec![b' '; 70 << 10];
    assert_eq!(closed_after(&hub, &frame(TEXT, &too_long)).await, 1009);
    assert_eq!(closed_after(&hub, &frame(TEXT, &vec![b' '; 65_537])).await, 1009);
    // All fragments together count.
    let fragments = [frame(0x01, &too_long[..40_000]), frame(0x80, &too_long[40_000..])].concat();
    assert_eq!(closed_after(&hub, &fragments).await, 1009);
}

#[tokio::test]
async fn who_writes_far_too_much_is_still_told_why_it_is_closed() {
    let hub = HubProcess::start(&[]).await;
    // More than both kernels hold, so that the hub is still being written to when it says goodbye.
    let huge = frame(TEXT, &vec![b' '; 16 << 20]);
    assert_eq!(closed_after(&hub, &huge).await, 1009);
}

#[tokio::test]
async fn what_is_no_utf_8_is_closed_with_1007() {
    let hub = HubProcess::start(&[]).await;
    for payload in [&b"\"\xff\""[..], b"\xed\xa0\x80", b"\xc3"] {
        assert_eq!(closed_after(&hub, &frame(TEXT, payload)).await, 1007, "{payload:?}");
    }
}

#[tokio::test]
async fn what_breaks_the_websocket_protocol_is_closed_with_1002() {
    let hub = HubProcess::start(&[]).await;
    let unmasked = b"\x81\x0f{\"type\":\"ping\"}".to_vec();
    for (what, bytes) in [
        ("no mask", unmasked),
        ("a reserved bit", frame(TEXT | 0x40, PING_FRAME)),
        ("a ping in fragments", frame(PING & 0x7f, b"")),
        ("a ping that is too long", frame(PING, &[0; 126])),
        ("an unknown opcode", frame(0x83, b"")),
        ("a fragment of nothing", frame(0x80, PING_FRAME)),
        ("a text inside a text", [frame(0x01, b"{"), frame(TEXT, PING_FRAME)].concat()),
    ] {
        assert_eq!(closed_after(&hub, &bytes).await, 1002, "{what}");
    }
}

#[tokio::test]
async fn the_fragments_of_a_message_are_put_together_around_a_ping() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    let (first, rest) = PING_FRAME.split_at(4);
    let (second, third) = rest.split_at(5);
    for part in [frame(0x01, first), frame(PING, b"between"), frame(0x00, second), frame(0x80, third)] {
        client.write(&part).await;
    }
    assert_eq!(client.next().await, (PONG, b"between".to_vec()));
    assert_eq!(client.json().await, json!({"type": "pong"}));
}

#[tokio::test]
async fn a_websocket_ping_is_answered_with_its_payload() {
    let hub = HubProcess::start(&[]).await;
    let mut client = client(&hub).await;
    for payload in [&b""[..], b"x", &[0xff; 125]] {
        client.write(&frame(PING, payload)).await;
        assert_eq!(client.next().await, (PONG, payload.to_vec()));
    }
    // A pong that nobody asked for is no reason for anything.
    client.write(&frame(PONG, b"unasked")).await;
    client.write(&frame(TEXT, PING_FRAME)).await;
    assert_eq!(client.json().await, json!({"type": "pong"}));
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_and_the_connection_ends() {
    let hub = HubProcess::start(&[]).await;
    for payload in [&1000_u16.to_be_bytes()[..], &3003_u16.to_be_bytes(), b"\x03\xe9bye", b""] {
        let mut client = client(&hub).await;
        client.write(&frame(CLOSE, payload)).await;
        let (first, answer) = client.next().await;
        assert_eq!((first, answer.get(..2)), (CLOSE, payload.get(..2)), "{answer:?}");
        client.ends().await;
    }
}

#[tokio::test]
async fn who_hangs_up_in_the_middle_of_a_frame_takes_nobody_along() {
    let hub = HubProcess::start(&[]).await;
    let mut other = client(&hub).await;
    for _ in 0..20 {
        let mut client = client(&hub).await;
        client.write(&frame(TEXT, PING_FRAME)[..9]).await;
    }
    other.write(&frame(TEXT, PING_FRAME)).await;
    assert_eq!(other.json().await, json!({"type": "pong"}));
}
