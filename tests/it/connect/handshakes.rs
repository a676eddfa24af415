//! The handshake as it stands on the wire: what opens a WebSocket, what does not, and what is said then.

use palabre_tests::HubProcess;
use palabre_tests::bystander::undisturbed;
use palabre_tests::http::ask;
use palabre_tests::raw::request;

const KEY: &str = "Key: AAECAwQFBgcICQoLDA0ODw==";

#[tokio::test]
async fn the_handshake_is_answered_as_the_protocol_says() {
    let hub = HubProcess::start(&[]).await;
    let addr = hub.addr();
    let good = |headers: &str| request(addr, headers);
    let without = |line: &str| good("").replace(&format!("{line}\r\n"), "");
    let host = format!("Host: {addr}");
    let cases = [
        (good(""), 101),
        // Lists and case are as HTTP has them.
        (good("").replace("Upgrade: websocket", "UPGRADE: WebSocket"), 101),
        (good("").replace("Upgrade: websocket", "Upgrade: h2c , websocket"), 101),
        (good("").replace("Connection: Upgrade", "Connection: keep-alive, upgrade"), 101),
        (good("").replace("GET /ws ", "GET /ws?group=lobby "), 101),
        (good("Content-Length: 0\r\n"), 101),
        (good("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"), 101),
        (good("Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-deflate\r\n"), 101),
        (good("Authorization: Bearer something\r\nCookie: a=b\r\n"), 101),
        // Subprotocols.
        (good("Sec-WebSocket-Protocol: palabre.v1\r\n"), 101),
        (good("Sec-WebSocket-Protocol: other, palabre.v1\r\n"), 101),
        (good("Sec-WebSocket-Protocol: other\r\nSec-WebSocket-Protocol: palabre.v1\r\n"), 101),
        (good("Sec-WebSocket-Protocol: palabre.v2\r\n"), 400),
        (good("Sec-WebSocket-Protocol: palabre.v1.msgpack\r\n"), 400),
        (good("Sec-WebSocket-Protocol: PALABRE.V1\r\n"), 400),
        (good("Sec-WebSocket-Protocol: \r\n"), 400),
        // What is missing.
        (without(&host), 400),
        (without("Upgrade: websocket"), 426),
        (without("Connection: Upgrade"), 400),
        (without("Sec-WebSocket-Version: 13"), 426),
        (without(&format!("Sec-WebSocket-{KEY}")), 400),
        // What is wrong.
        (good("").replace("Upgrade: websocket", "Upgrade: h2c"), 426),
        (good("").replace("Upgrade: websocket", "Upgrade: websockets"), 426),
        (good("").replace("Connection: Upgrade", "Connection: keep-alive"), 400),
        (good("").replace("Connection: Upgrade", "Connection: upgrades"), 400),
        (good("").replace("Version: 13", "Version: 8"), 426),
        (good("").replace("Version: 13", "Version: 14"), 426),
        (good("").replace("Version: 13", "Version: 13, 8"), 426),
        (good("").replace("Version: 13", "Version: +13"), 426),
        (good("").replace(KEY, "Key: short"), 400),
        (good("").replace(KEY, "Key: "), 400),
        (good("").replace(KEY, "Key: AAECAwQFBgcICQoLDA0ODw"), 400),
        (good("").replace(KEY, "Key: AAECAwQFBgcICQoLDA0ODxA="), 400),
        (good("").replace(KEY, "Key: AAECAwQFBgcICQoLDA0OD-=="), 400),
        // What stands twice.
        (good(&format!("{host}\r\n")), 400),
        (good("Upgrade: websocket\r\n"), 400),
        (good("Connection: upgrade\r\n"), 400),
        (good("Sec-WebSocket-Version: 13\r\n"), 400),
        (good(&format!("Sec-WebSocket-{KEY}\r\n")), 400),
        (good(&format!("Origin: http://{addr}\r\nOrigin: http://{addr}\r\n")), 400),
        // No other method, version, path or body.
        (good("").replace("GET", "POST"), 405),
        (good("").replace("GET", "HEAD"), 405),
        (good("").replace("GET", "OPTIONS"), 405),
        (good("").replace("HTTP/1.1", "HTTP/1.0"), 505),
        (good("").replace("GET /ws ", "GET /wss "), 404),
        (good("").replace("GET /ws ", "GET /ws/ "), 404),
        (good("").replace("GET /ws ", "GET //ws "), 404),
        (good("Content-Length: 5\r\n"), 400),
        (good("Transfer-Encoding: chunked\r\n"), 400),
    ];
    undisturbed(addr, async {
        for (request, status) in &cases {
            let answer = ask(addr, request).await;
            assert_eq!(answer.status, *status, "{request}");
            let chosen = answer.header("sec-websocket-protocol");
            let offers_ours = *status == 101 && request.contains("palabre.v1");
            assert_eq!(chosen, offers_ours.then_some("palabre.v1"), "{request}");
            assert_eq!(answer.header("sec-websocket-extensions"), None, "{request}");
            if *status == 101 {
                // Worked out apart from the hub, by section 4.2.2 of RFC 6455.
                assert_eq!(answer.header("sec-websocket-accept"), Some("Bz3qJYTGdOe8gUSpLosEdiLKDrk="));
            } else if !request.starts_with("HEAD") {
                let lines = answer.text().lines().count();
                assert_eq!(
                    (lines, answer.header("content-type")),
                    (1, Some("text/plain; charset=utf-8")),
                    "{request}"
                );
            }
            match status {
                405 => assert_eq!(answer.header("allow"), Some("GET")),
                426 => assert_eq!(answer.header("sec-websocket-version"), Some("13")),
                _ => {}
            }
        }
    })
    .await;
}
