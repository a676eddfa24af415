//! A client that has said who it is: its requests and events, handed to the consumers, each in its time.

use crate::{
    connection::Doors,
    consumer::{
        Context, Failure,
        careful::in_time,
        desk::Desk,
        mounted::Mounted,
        rate::{Bucket, TooFast},
    },
    socket::Socket,
    worker::rooms::ANSWERABLE,
};
use channel_layer::{Body, Posted};
use palabre_protocol::{CloseCode, ErrorCode, Pong, Refusal, Request};
use serde::{Deserialize, de::IgnoredAny};
use std::{
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::Instant;

/// A client that has said who it is.
pub(super) struct Member {
    pub(super) desk: Rc<Desk>,
    /// For the core's own words, which run here.
    pub(super) cx: Context,
    pub(super) consumers: Mounted,
    pub(super) doors: Arc<Doors>,
    /// What is left of the user's requests; held for a look only.
    pub(super) bucket: Arc<Mutex<Bucket>>,
}

impl Member {
    /// Takes a request from what the user has left: signs of life are none, and each group of a `join` or `leave` is one.
    pub(super) fn take(&self, request: &Request, now: Instant) -> Result<(), TooFast> {
        #[derive(Deserialize)]
        struct Named {
            groups: Vec<IgnoredAny>,
        }
        let count = match request.kind() {
            "ping" | "pong" => return Ok(()),
            // What is none of either is refused, which is one request like any other.
            "join" | "leave" => request.body::<Named>().map_or(1, |named| named.groups.len().max(1)),
            _ => 1,
        };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take("requests of a user", self.doors.rates.user_requests, count, now)
    }

    /// Handles one request; the outer error ends the connection.
    pub(super) async fn handle(&mut self, request: Request) -> Result<Result<(), Failure>, CloseCode> {
        if let Err(refusal) = in_time(self.doors.gate.allow(self.cx.identity(), &request)).await? {
            return Ok(Err(refusal.into()));
        }
        match request.kind() {
            "join" => return Box::pin(self.join(&request)).await,
            "presence" => return Box::pin(self.presence(&request)).await,
            "leave" => return Ok(self.leave(&request)),
            "history" => return Box::pin(self.history(&request)).await,
            "ping" => self.desk.reply(&Pong),
            "pong" => {}
            "hello" => return Ok(Err(Refusal::new(ErrorCode::BadRequest, "hello was said already").into())),
            kind => match self.consumers.of(kind) {
                Some(consumer) => return consumer.received(request, &self.desk).await,
                None => return Ok(Err(request.unknown_type().into())),
            },
        }
        Ok(Ok(()))
    }

    /// Hands over the events that wait.
    pub(super) async fn deliver_events(&mut self, socket: &Socket) -> Result<(), CloseCode> {
        while socket.closing.get().is_none() {
            let Some(event) = socket.next_event() else { return Ok(()) };
            let Posted { body: Body::Event { kind, .. }, .. } = &*event else { continue };
            if **kind == *ANSWERABLE {
                Box::pin(self.answer(&event.group)).await?;
                continue;
            }
            let Some(consumer) = self.consumers.of(kind) else { continue };
            if let Err(failure) = consumer.delivered(Arc::clone(&event), &self.desk).await? {
                self.desk.refuse(None, None, &failure);
            }
        }
        Ok(())
    }

    /// Tells the consumers that the client is there.
    pub(super) async fn connected(&mut self) -> Result<(), CloseCode> {
        for (_, consumer) in self.consumers.iter_mut() {
            if let Err(failure) = consumer.connected(&self.desk).await? {
                self.desk.refuse(None, None, &failure);
            }
        }
        Ok(())
    }

    pub(super) async fn disconnected(&mut self, code: CloseCode) {
        // What was asked for before comes first, also where a handler has panicked since.
        self.desk.catch_up().await;
        self.consumers.disconnected(code, &self.desk).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.desk.end();
    }
}
