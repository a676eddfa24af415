//! A whiteboard as a third party would write it: a consumer of one's own, mounted beside the chat.
//!
//! `cargo run --example whiteboard -- 127.0.0.1:8081 redis://127.0.0.1` opens boards at `ws://127.0.0.1:8081/ws`; with
//! the same Redis, a second one on another port shares them. `board.open` joins a board and gives its last strokes;
//! `board.draw` draws one, which everybody sees; `board.wipe` is an event that every connection's consumer acts on.

#![expect(clippy::print_stdout, reason = "the address is what the program has to say")]

use palabre::channel_layer::{GroupName, Message, MessageId, Posted, Retention, Scope, Span};
use palabre::protocol::{Limits, Request};
use palabre::{
    Consumer, Context, Hub, Outcome, chat,
    chat::{Chat, Chats},
    config::Settings,
    people::GuestGate,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use std::sync::Arc;

#[derive(Default)]
struct Whiteboard {
    strokes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked<'a> {
    board: String,
    #[serde(borrow)]
    stroke: Option<&'a RawValue>,
}

impl Consumer for Whiteboard {
    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        let Asked { board, stroke } = request.body()?;
        match request.kind() {
            "board.open" => {
                let board: GroupName = board.parse()?;
                let joined = cx.join_since(&board, Span::Latest, 50).await?;
                let strokes = joined.messages().texts.len();
                joined
                    .admit(&json!({"type": "board.opened", "ref": request.reference(), "strokes": strokes}));
            }
            "board.draw" => {
                let stroke = json!({"type": "board.stroke", "by": cx.identity().name, "stroke": stroke});
                let message = Message::frame(MessageId::random(), stroke.to_string());
                let sent = cx.group_send(&cx.member_of(&board)?, message, Retention::Kept).await?;
                self.strokes += 1;
                let everywhere = sent.scope == Scope::Cluster;
                cx.reply(
                    &json!({"type": "board.drawn", "ref": request.reference(), "everywhere": everywhere}),
                );
            }
            "board.wipe" => {
                let wipe = Message::event(MessageId::random(), "board.wipe", "");
                cx.group_send(&cx.member_of(&board)?, wipe, Retention::Ephemeral).await?;
            }
            _ => return Err(request.unknown_type().into()),
        }
        Ok(())
    }

    async fn delivered(&mut self, event: &Posted, cx: &Context) -> Outcome {
        let board = event.group.as_str();
        cx.reply(
            &json!({"type": "board.wiped", "board": board, "strokes": std::mem::take(&mut self.strokes)}),
        );
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = Settings::default();
    let mut arguments = std::env::args().skip(1);
    let listener = palabre::bind(arguments.next().ok_or("usage: whiteboard ADDRESS [REDIS_URL]")?.parse()?)?;
    settings.redis.url = arguments.next().map(|url| url.parse()).transpose()?;
    let (layer, state) = palabre::layer(&settings)?;
    let chats = Chats::new(Arc::clone(&layer), state, &settings.limits);
    let hub = Hub::builder(layer)
        .gate(GuestGate::new(None, Limits::default()))
        .mount(chat::PREFIX, move |_| Chat::new(Limits::default()).sharing(&chats))
        .mount("board.", |_| Whiteboard::default())
        .start()?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(hub.serve(listener, "/ws", Default::default()).await?)
}
