//! A client that speaks the protocol by hand, one frame at a time, and remembers what it was not waiting for.
//!
//! It is as strict as a test wants it: a frame that is no JSON object with a `type` fails the test. It answers the hub's
//! pings as every client must, and does nothing else by itself: no reconnect, no repeat, no bookkeeping of positions.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::testing::DEADLINE;

/// What a close without a code counts as.
const NO_CODE: u16 = 1005;
/// What the end of a connection without a close counts as.
const BROKEN: u16 = 1006;

/// One open WebSocket to a hub.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// Frames that came while another was waited for, in order.
    waiting: VecDeque<Value>,
    refs: u64,
    closed: Option<u16>,
}

impl Client {
    /// Opens a WebSocket at `/ws`, and says nothing on it yet.
    pub async fn connect(addr: SocketAddr) -> Self {
        let open = async {
            let mut request =
                format!("ws://{addr}/ws").into_client_request().expect("the address makes a URL");
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("palabre.v1"));
            let stream = TcpStream::connect(addr).await.unwrap_or_else(|error| panic!("{addr}: {error}"));
            stream.set_nodelay(true).expect("a TCP socket takes nodelay");
            client_async(request, stream)
                .await
                .unwrap_or_else(|error| panic!("{addr} refuses a WebSocket: {error}"))
        };
        let (socket, _) =
            timeout(DEADLINE, open).await.unwrap_or_else(|_| panic!("{addr} did not answer in {DEADLINE:?}"));
        Self { socket, waiting: VecDeque::new(), refs: 0, closed: None }
    }

    /// Says hello under a name; returns the `welcome`.
    pub async fn hello(&mut self, name: &str) -> Value {
        let answer = self.request(json!({"type": "hello", "name": name})).await;
        of_type(answer, "welcome")
    }

    /// Joins one group; returns its `joined`.
    pub async fn join(&mut self, group: &str) -> Value {
        let answer = self.request(json!({"type": "join", "groups": [{"group": group}]})).await;
        of_type(answer, "joined")
    }

    /// Sends a text to a group under a new `client_id`; returns the `ack`.
    pub async fn send(&mut self, group: &str, text: &str) -> Value {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let client_id = format!("test-{}-{count:08}", std::process::id());
        let frame = json!({"type": "chat.send", "group": group, "client_id": client_id, "text": text});
        of_type(self.request(frame).await, "ack")
    }

    /// Sends any request, with a `ref` of our own if it has none; returns the first frame with that `ref`, an `error` too.
    pub async fn request(&mut self, mut frame: Value) -> Value {
        if frame.get("ref").is_none() {
            self.refs += 1;
            frame["ref"] = json!(format!("r{}", self.refs));
        }
        self.raw_text(&frame.to_string()).await;
        let reference = frame["ref"].clone();
        self.next_where(&format!("an answer to {frame}"), |frame| frame["ref"] == reference).await
    }

    /// The next frame of this type, whatever comes before it; the others stay for later.
    pub async fn expect(&mut self, kind: &str) -> Value {
        self.next_where(&format!("a frame {kind}"), |frame| frame["type"] == kind).await
    }

    /// The next `error`, which must have this code.
    pub async fn expect_error(&mut self, code: &str) -> Value {
        let error = self.expect("error").await;
        assert_eq!(error["code"], code, "{error}");
        error
    }

    /// What came and was not asked for: all frames up to the answer of a ping, but for who came and went, which is told
    /// by the second and has tests of its own.
    pub async fn so_far(&mut self) -> Vec<Value> {
        self.raw_text(r#"{"type":"ping"}"#).await;
        let pong = self.expect("pong").await;
        assert_eq!(pong, json!({"type": "pong"}));
        self.waiting.drain(..).filter(|frame| frame["type"] != "presence").collect()
    }

    /// The oldest frame of this type, if one comes within a second: for what takes longer than a test should wait.
    pub async fn soon(&mut self, kind: &str) -> Option<Value> {
        let fits = |frame: &Value| frame["type"] == kind;
        loop {
            if let Some(at) = self.waiting.iter().position(fits) {
                return self.waiting.remove(at);
            }
            let frame = timeout(Duration::from_secs(1), self.read()).await.ok()?;
            self.waiting.push_back(frame.unwrap_or_else(|| panic!("closed with {:?}", self.closed)));
        }
    }

    /// The next message of any group: its `position.offset`, with the message.
    pub async fn message(&mut self) -> (u64, Value) {
        let message = self.expect("chat.message").await;
        let offset = message["position"]["offset"].as_u64();
        (offset.unwrap_or_else(|| panic!("no offset: {message}")), message)
    }

    /// The next frame of any type; none once the connection is closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Value> {
        match self.waiting.pop_front() {
            Some(frame) => Some(frame),
            None => timeout(DEADLINE, self.read())
                .await
                .unwrap_or_else(|_| panic!("{DEADLINE:?} without a frame")),
        }
    }

    /// Writes a text message as it is.
    pub async fn raw_text(&mut self, text: &str) {
        self.write(Message::text(text)).await;
    }

    /// Writes a binary message as it is.
    pub async fn raw_binary(&mut self, bytes: &[u8]) {
        self.write(Message::binary(bytes.to_vec())).await;
    }

    /// Waits until the connection is closed and returns the code: 1005 for a close without one, 1006 for an end without a
    /// close. What came before stays for [`Self::expect`].
    pub async fn closed(&mut self) -> u16 {
        let end = timeout(DEADLINE, async {
            while let Some(frame) = self.read().await {
                self.waiting.push_back(frame);
            }
        });
        assert!(end.await.is_ok(), "not closed after {DEADLINE:?}; frames: {:?}", self.waiting);
        self.closed.unwrap_or(BROKEN)
    }

    async fn next_where(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&fits) {
            return self.waiting.remove(at).expect("it was found there");
        }
        let found = timeout(DEADLINE, async {
            loop {
                match self.read().await {
                    Some(frame) if fits(&frame) => return Some(frame),
                    Some(frame) => self.waiting.push_back(frame),
                    None => return None,
                }
            }
        });
        match found.await {
            Ok(Some(frame)) => frame,
            Ok(None) => panic!("closed with {:?} instead of {what}; frames: {:?}", self.closed, self.waiting),
            Err(_) => panic!("{DEADLINE:?} without {what}; frames: {:?}", self.waiting),
        }
    }

    /// The next frame that is not a ping; none once the connection is closed.
    async fn read(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text)
                        .unwrap_or_else(|error| panic!("the hub sent what is no JSON ({error}): {text}"));
                    assert!(frame["type"].is_string(), "the hub sent a frame without a type: {text}");
                    if frame["type"] == "ping" {
                        self.raw_text(r#"{"type":"pong"}"#).await;
                    } else {
                        return Some(frame);
                    }
                }
                Some(Ok(Message::Close(close))) => {
                    self.closed.get_or_insert_with(|| close.map_or(NO_CODE, |close| close.code.into()));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => panic!("the hub sent what is not in the protocol: {message:?}"),
                Some(Err(_)) | None => {
                    self.closed.get_or_insert(BROKEN);
                    return None;
                }
            }
        }
    }

    async fn write(&mut self, message: Message) {
        // A hub that has closed shows in what is read next, with its code, which says more than a failed write.
        let sent = timeout(DEADLINE, self.socket.send(message)).await;
        assert!(sent.is_ok(), "the hub took nothing for {DEADLINE:?}");
    }
}

fn of_type(frame: Value, kind: &str) -> Value {
    assert_eq!(frame["type"], kind, "{frame}");
    frame
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_hdr_async;
    use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
    use tokio_tungstenite::tungstenite::protocol::CloseFrame;

    use super::*;

    /// Answers the subprotocol, as a client wants that has offered one.
    struct Speaks;

    impl Callback for Speaks {
        fn on_request(self, _: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("palabre.v1"));
            Ok(response)
        }
    }

    /// Plays a hub to one client: hears a frame, says all of the next line of the script, and closes after the last.
    async fn play(listener: TcpListener, script: Vec<Vec<Value>>) -> Vec<Value> {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = accept_hdr_async(stream, Speaks).await.unwrap();
        let mut heard = Vec::new();
        for line in script {
            let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
            heard.push(serde_json::from_str(&text).unwrap());
            for frame in line {
                socket.send(Message::text(frame.to_string())).await.unwrap();
            }
        }
        socket.close(Some(CloseFrame { code: 4000.into(), reason: "".into() })).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
        heard
    }

    #[tokio::test]
    async fn it_finds_the_answer_keeps_the_rest_answers_pings_and_learns_the_code() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let script = vec![
            vec![json!({"type": "ping"}), json!({"type": "layer"}), json!({"type": "welcome", "ref": "r1"})],
            vec![],
            vec![json!({"type": "error", "code": "not_joined"}), json!({"type": "ack", "ref": "r2"})],
        ];
        let test = async {
            let mut client = Client::connect(addr).await;
            client.hello("Ada").await;
            client.send("room", "text").await;
            client.expect("layer").await;
            client.expect_error("not_joined").await;
            assert_eq!(client.closed().await, 4000);
        };
        let (heard, ()) = tokio::join!(play(listener, script), test);
        let kinds: Vec<_> = heard.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["hello", "pong", "chat.send"]);
        assert_eq!(heard[0]["name"], "Ada");
        assert_eq!(heard[2]["ref"], "r2");
    }
}
