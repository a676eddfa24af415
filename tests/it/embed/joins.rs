//! Consumers that join and leave: no group is kept that nobody is in, and no join is left unanswered.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;

use channel_layer::{GroupName, Page, Span};
use futures_util::future::join_all;
use palabre::protocol::{ErrorCode, Refusal, Request};
use palabre::{Consumer, Context, Failure, Hub, Outcome};
use palabre_tests::Client;
use palabre_tests::machine::until;
use serde_json::json;
use serde_json::value::RawValue;

use super::serve_whole;

/// Joins that a connection may have under way: as many as it may be in.
const JOINS_MAX: usize = 200;

/// Joins and leaves.
struct Restless {
    /// It leaves each group that its client is about to join.
    leaves: bool,
}

/// Looks at it once, so that it is under way; or done, where the worker was quicker.
async fn begin(work: &mut (impl Future + Unpin)) {
    drop(poll_fn(|cx| Poll::Ready(Pin::new(&mut *work).poll(cx))).await);
}

impl Consumer for Restless {
    async fn received(&mut self, request: Request, cx: &Context) -> Outcome {
        let mut said = json!({"type": "test.done", "ref": request.reference()});
        match request.kind() {
            "test.come-and-go" => {
                for number in 0..100 {
                    let group: GroupName = format!("room-{number}").parse()?;
                    let mut join = Box::pin({
                        let (cx, group) = (cx.clone(), group.clone());
                        async move { cx.join(&group).await }
                    });
                    begin(&mut join).await;
                    cx.leave(&group);
                    // Nobody will ever ask what became of it.
                    std::mem::forget(join);
                }
                for number in 100..120 {
                    let group: GroupName = format!("room-{number}").parse()?;
                    // The worker may have been quicker.
                    let (_, ()) = tokio::join!(cx.join(&group), async { cx.leave(&group) });
                }
            }
            "test.join" => {
                let room: GroupName = "room".parse()?;
                let (mut kept, mut refused) = (Vec::new(), Vec::new());
                let joins: Vec<_> =
                    (0..2 * JOINS_MAX).map(|_| cx.join_since(&room, Span::Latest, 1)).collect();
                for joined in join_all(joins).await {
                    match joined {
                        Ok(joined) => kept.push(joined),
                        Err(Failure(Refusal { code, .. })) => refused.push(code),
                    }
                }
                said["kept"] = kept.len().into();
                said["refused"] = refused.len().into();
                assert!(refused.iter().all(|code| *code == ErrorCode::TooManyGroups), "{refused:?}");
                drop(kept);
                cx.join(&room).await?;
            }
            _ => {}
        }
        cx.reply(&said);
        Ok(())
    }

    async fn joining(
        &mut self,
        group: &GroupName,
        _: &Page,
        cx: &Context,
    ) -> Result<Option<Box<RawValue>>, Failure> {
        if self.leaves {
            cx.leave(group);
        }
        Ok(None)
    }
}

fn hub(leaves: bool) -> (Hub, SocketAddr) {
    let make = move |_: &_| Restless { leaves };
    serve_whole(Hub::test().mount("test.", make).start().expect("the hub starts"))
}

async fn guest(addr: SocketAddr) -> Client {
    let mut client = Client::connect(addr).await;
    client.hello("Ana").await;
    client
}

#[tokio::test]
async fn a_group_that_was_left_while_it_was_joined_is_left() {
    let (hub, addr) = hub(false);
    let mut ana = guest(addr).await;
    ana.request(json!({"type": "test.come-and-go"})).await;
    drop(ana);
    let nothing = async || {
        let report = hub.layer().report();
        (report.memberships == 0 && hub.connections() == 0).then_some(())
    };
    until("nobody is in any group", nothing).await;
    hub.drain().await;
}

#[tokio::test]
async fn a_join_is_answered_also_where_a_consumer_leaves_the_group_meanwhile() {
    let (hub, addr) = hub(true);
    let mut ana = guest(addr).await;
    let answer = ana.request(json!({"type": "join", "groups": [{"group": "lobby"}]})).await;
    assert_eq!((&answer["code"], &answer["group"]), (&json!("unavailable"), &json!("lobby")), "{answer}");
    drop(ana);
    hub.drain().await;
}

#[tokio::test]
async fn so_many_joins_are_under_way_and_no_more() {
    let (hub, addr) = hub(false);
    let mut ana = guest(addr).await;
    let joined = ana.request(json!({"type": "test.join"})).await;
    assert_eq!((&joined["kept"], &joined["refused"]), (&json!(JOINS_MAX), &json!(JOINS_MAX)));
    drop(ana);
    hub.drain().await;
}
