//! A worker without its loop, for tests: what is in its mailbox is handed out, lost or made up, delivery by delivery.

use crate::{
    socket::{Socket, Stage, stream::Stream},
    worker::{Worker, enter::Head, flush::Turn},
};
use bytes::Bytes;
use channel_layer::{
    ChannelLayer, Delivery, GroupName, Mailbox, MemoryLayer, Message, MessageId, Posted, Received, Retention,
    Span,
};
use palabre_protocol::frame::text;
use serde_json::Value;
use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

/// A frame after which a client looks at what it got.
const MARK: &[u8] = br#"{"type":"mark"}"#;

/// One group's worker, and its layer.
pub(crate) struct Scene {
    pub(crate) worker: Rc<Worker>,
    pub(crate) layer: Arc<MemoryLayer>,
    pub(crate) mailbox: Mailbox,
    pub(crate) group: GroupName,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let layer = Arc::new(MemoryLayer::new());
        let presence = layer.presence();
        let (worker, mailbox) = Worker::new(Arc::clone(&layer) as _, Some(presence), Arc::default());
        Self { worker, layer, mailbox, group: "room".parse().unwrap() }
    }

    /// A socket of somebody who has said hello, and the client's end.
    pub(crate) async fn socket(&self) -> (Rc<Socket>, TcpStream) {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = self.worker.admit(Stream::Plain(listener.accept().await.unwrap().0)).unwrap();
        socket.stage.set(Stage::Welcomed);
        let key = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
        socket.member.get_or_init(|| channel_layer::Member { key: key.into(), info: Arc::new([]) });
        (socket, client)
    }

    /// Holds a socket, hears the group and reads its history: a join up to its admission. The head that it read.
    pub(crate) async fn read(&self, socket: &Rc<Socket>) -> channel_layer::Position {
        self.worker.hold(&self.group, socket);
        self.worker.hear(&self.group).await.unwrap();
        let read = self.layer.history(self.group.clone(), Span::Latest, 1).await.unwrap();
        read.page().head
    }

    /// Joins, with nothing for a snapshot.
    pub(crate) async fn join(&self, socket: &Rc<Socket>) {
        let head = self.read(socket).await;
        self.worker.admit_to(&self.group, socket, Head::At(head), &[], Bytes::new);
    }

    /// Sends a kept message; what its delivery is waits in the mailbox.
    pub(crate) async fn send(&self, message: Message) {
        self.layer.group_send(self.group.clone(), message, Retention::Kept).await.unwrap();
    }

    pub(crate) async fn send_frames(&self, count: usize) {
        for _ in 0..count {
            self.send(Message::frame(MessageId::random(), r#"{"type":"x"}"#)).await;
        }
    }

    /// Takes the next delivery out of the mailbox, and drops it unless somebody wants it.
    pub(crate) fn take(&mut self) -> Delivery {
        match self.mailbox.try_recv() {
            Some(Received::Delivery(delivery)) => delivery,
            other => panic!("no delivery: {other:?}"),
        }
    }

    pub(crate) fn take_message(&mut self) -> Arc<Posted> {
        match self.take() {
            Delivery::Message(posted) => posted,
            other => panic!("no message: {other:?}"),
        }
    }

    /// Hands something out as if it came from the mailbox, and nothing of what waits there.
    pub(crate) fn deliver(&mut self, received: Received) {
        self.worker.deliver(received, &mut self.mailbox, 1, &mut Turn::begin(&self.worker));
    }

    /// Hands out all that waits in the mailbox.
    pub(crate) fn deliver_all(&mut self) {
        while let Some(received) = self.mailbox.try_recv() {
            self.deliver(received);
        }
    }

    /// Starts the loop, which takes over.
    pub(crate) fn start(self) -> Rc<Worker> {
        let Self { worker, mailbox, .. } = self;
        worker.tasks.spawn_local(Rc::clone(&worker).deliver_and_write(mailbox));
        worker
    }

    /// Waits until no task of the worker's is left.
    pub(crate) async fn settled(&self) {
        while !self.worker.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// What the client was sent since it was last asked.
    pub(crate) async fn got(&self, socket: &Rc<Socket>, client: &mut TcpStream) -> Vec<Value> {
        self.worker.push(socket, text(MARK));
        self.worker.write(socket);
        let mut got = Vec::new();
        loop {
            let payload = next(client).await;
            if payload == MARK {
                return got;
            }
            got.push(serde_json::from_slice(&payload).unwrap());
        }
    }
}

/// The payload of the hub's next frame.
async fn next(client: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 2];
    client.read_exact(&mut header).await.unwrap();
    let length = match header[1] {
        126 => client.read_u16().await.unwrap().into(),
        127 => client.read_u64().await.unwrap(),
        short => short.into(),
    };
    let mut payload = vec![0; length.try_into().unwrap()];
    client.read_exact(&mut payload).await.unwrap();
    payload
}

/// The offsets that these frames stand at.
pub(crate) fn offsets(frames: &[Value]) -> Vec<u64> {
    let position = |frame: &Value| match frame.get("items") {
        Some(items) => items[0]["position"]["offset"].as_u64(),
        None => frame["position"]["offset"].as_u64(),
    };
    frames.iter().filter_map(position).collect()
}
