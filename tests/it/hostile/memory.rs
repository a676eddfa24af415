//! What a client makes the hub hold by what it only claims, measured on the process from outside.

use std::time::Duration;

use palabre_tests::raw::{CLOSE, frame};
use palabre_tests::{Client, HubProcess, RawClient};
use tokio::time::interval;

const SOCKETS: u64 = 200;

/// Opens the sockets, each of which writes `bytes` after its hello.
async fn claim(hub: &HubProcess, bytes: &[u8]) -> Vec<RawClient> {
    let mut clients = Vec::new();
    for _ in 0..SOCKETS {
        let mut client = RawClient::connect(hub.addr()).await;
        client.hello().await;
        client.write(bytes).await;
        clients.push(client);
    }
    clients
}

/// Waits until the hub has read all that came before: a newcomer is heard after them.
async fn heard(hub: &HubProcess) {
    let mut client = Client::connect(hub.addr()).await;
    client.hello("last").await;
    client.so_far().await;
}

#[tokio::test]
async fn a_header_that_claims_a_huge_frame_reserves_nothing() {
    let hub = HubProcess::start(&[]).await;
    // The first connections take what every hub needs.
    drop(claim(&hub, &[]).await);
    heard(&hub).await;
    let (resident, virtual_) = (hub.resident_kib(), hub.virtual_kib());
    for length in [16_u64 << 20, 1 << 40, i64::MAX as u64] {
        let mut header = vec![0x81, 0xff];
        header.extend(length.to_be_bytes());
        header.extend([0; 4]);
        for mut client in claim(&hub, &header).await {
            assert_eq!(client.close_code().await, 1009);
            client.write(&frame(CLOSE, &1009_u16.to_be_bytes())).await;
        }
    }
    heard(&hub).await;
    let grown = (hub.resident_kib().saturating_sub(resident), hub.virtual_kib().saturating_sub(virtual_));
    assert!(grown.0 < 8 << 10 && grown.1 < 64 << 10, "{grown:?} KiB more, resident and reserved");
}

#[tokio::test]
async fn headers_of_the_longest_frame_with_nothing_after_them_take_no_memory_and_are_given_up() {
    let hub = HubProcess::start(&[]).await;
    drop(claim(&hub, &[]).await);
    heard(&hub).await;
    let (resident, virtual_) = (hub.resident_kib(), hub.virtual_kib());
    // 65,536 bytes are announced, and one comes.
    let header = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, b'{'];
    let mut clients = claim(&hub, &header).await;
    heard(&hub).await;
    let grown = (hub.resident_kib().saturating_sub(resident), hub.virtual_kib().saturating_sub(virtual_));
    assert!(grown.0 < 8 << 10 && grown.1 < 64 << 10, "{grown:?} KiB more, resident and reserved");
    // A byte every now and then is no way to the end of a message.
    let mut drip = interval(Duration::from_millis(500));
    for _ in 0..12 {
        drip.tick().await;
        clients[0].write(b" ").await;
    }
    for client in &mut clients {
        assert_eq!(client.close_code().await, 4001);
    }
}
