//! Whose pages may come in: the hosts that a hub answers to, the origins that it lets open a WebSocket, and what proxies
//! may say of both.

use palabre_tests::HubProcess;
use palabre_tests::bystander::undisturbed;
use palabre_tests::http::ask;
use palabre_tests::raw::request;

#[tokio::test]
async fn a_page_whose_name_points_here_reads_nothing() {
    let hub = HubProcess::start(&[]).await;
    let addr = hub.addr();
    let port = addr.port();
    let hosts = [
        (format!("127.0.0.1:{port}"), true),
        (format!("localhost:{port}"), true),
        (format!("LOCALHOST:{port}"), true),
        (format!("chat.localhost:{port}"), true),
        (format!("127.8.9.10:{port}"), true),
        (format!("[::1]:{port}"), true),
        ("127.0.0.1".to_owned(), false),
        ("localhost".to_owned(), false),
        (format!("localhost:{}", port ^ 1), false),
        (format!("evil.example:{port}"), false),
        ("evil.example".to_owned(), false),
        (format!("localhost.evil.example:{port}"), false),
        (format!("127.0.0.1.nip.example:{port}"), false),
        (format!("localhost.:{port}"), false),
        (format!("0.0.0.0:{port}"), false),
        (format!("192.168.1.10:{port}"), false),
        (format!("[::]:{port}"), false),
    ];
    undisturbed(addr, async {
        for (host, answers) in &hosts {
            for path in ["/", "/app.js", "/health", "/nothing"] {
                let answer = ask(addr, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
                assert_eq!(answer.status != 421, *answers, "{host} {path}: {}", answer.status);
            }
            for origin in [String::new(), format!("Origin: http://{host}\r\n")] {
                let socket =
                    request(addr, &origin).replace(&format!("Host: {addr}"), &format!("Host: {host}"));
                assert_eq!(ask(addr, &socket).await.status, if *answers { 101 } else { 421 }, "{socket}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn only_pages_of_the_hub_and_of_listed_origins_open_a_websocket() {
    let lists = [
        ("PALABRE_SERVER_HOSTS", "hub.example.org,other.example.org:8443"),
        ("PALABRE_SERVER_ORIGINS", "https://chat.example.org, http://localhost:3000"),
    ];
    let hub = HubProcess::start_with(&[], &lists).await;
    let addr = hub.addr();
    let port = addr.port();
    let own = format!("http://{addr}");
    let table = [
        (None, 101),
        (Some(own.as_str()), 101),
        (Some("https://hub.example.org"), 101),
        (Some("http://hub.example.org"), 101),
        (Some("https://HUB.example.org:443"), 101),
        (Some("https://chat.example.org"), 101),
        (Some("https://chat.example.org:443"), 101),
        (Some("http://localhost:3000"), 101),
        (Some("null"), 403),
        (Some(""), 403),
        (Some("*"), 403),
        (Some("http://chat.example.org"), 403),
        (Some("https://chat.example.org:8443"), 403),
        (Some("https://other.example.org:8443"), 403),
        (Some("https://evil-chat.example.org"), 403),
        (Some("https://evil.chat.example.org"), 403),
        (Some("https://chat.example.org.evil.example"), 403),
        (Some("https://chat.example.org."), 403),
        (Some("https://chat.example.org@evil.example"), 403),
        (Some("https://evil.example@chat.example.org"), 403),
        (Some("https://chat.example.org/"), 403),
        (Some("https://chat.example.org, https://evil.example"), 403),
        (Some("chat.example.org"), 403),
        (Some("HTTPS://chat.example.org"), 403),
        (Some("file://"), 403),
        (Some("wss://chat.example.org"), 403),
        (Some("http://localhost"), 403),
        (Some("http://localhost:30000"), 403),
        (Some("http://[::1]:3000"), 403),
    ];
    undisturbed(addr, async {
        for (origin, status) in table {
            let header = origin.map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
            // The page's own host is the one that it asks for.
            let asked =
                if origin == Some(&own) { format!("127.0.0.1:{port}") } else { "hub.example.org".to_owned() };
            let socket = request(addr, &header).replace(&format!("Host: {addr}"), &format!("Host: {asked}"));
            let answer = ask(addr, &socket).await;
            assert_eq!(answer.status, status, "{origin:?}: {}", answer.text());
        }
    })
    .await;
}

#[tokio::test]
async fn a_proxy_is_believed_about_host_and_scheme_only_if_it_is_trusted() {
    let told = "X-Forwarded-Host: hub.example.org\r\nX-Forwarded-Proto: https\r\nOrigin: https://hub.example.org\r\n";
    let in_the_clear = told.replace("Origin: https:", "Origin: http:");
    let elsewhere = told.replace("hub.example.org", "evil.example");
    for (trusted, expected) in [("127.0.0.0/8", [101, 403, 421]), ("10.0.0.0/8", [403, 403, 403])] {
        let lists =
            [("PALABRE_SERVER_HOSTS", "hub.example.org"), ("PALABRE_SERVER_TRUSTED_PROXIES", trusted)];
        let hub = HubProcess::start_with(&[], &lists).await;
        for (headers, status) in [told, &in_the_clear, &elsewhere].into_iter().zip(expected) {
            let answer = ask(hub.addr(), &request(hub.addr(), headers)).await;
            assert_eq!(answer.status, status, "{trusted}: {headers}");
        }
    }
}
