//! What a request of the chat's is answered: an error that names its group, or an ack once it is known what became of it.

use crate::{
    consumer::{Context, Failure, Outcome},
    position::on_wire,
};
use bytes::Bytes;
use channel_layer::{Answer, GroupName, MessageId, Mode, Position, Sent};
use futures_util::FutureExt;
use palabre_protocol::{Ack, Done, ErrorFrame, Refusal, Request, encode};

/// Does what a request about a group asks for; a refusal names the group.
pub(super) fn refusing(
    request: &Request,
    group: &str,
    cx: &Context,
    act: impl FnOnce() -> Outcome,
) -> Outcome {
    if let Err(failure) = act() {
        cx.refuse(request.reference(), group, &failure);
    }
    Ok(())
}

/// Puts off the ack, or the error, until it is known what became of what was sent as `sent_as`. The ack names the message `id`:
/// that, or what it amends.
pub(super) fn answer(
    request: &Request,
    group: &GroupName,
    mut sent: Answer<Sent>,
    sent_as: MessageId,
    id: MessageId,
    cx: &Context,
) -> Outcome {
    let ack = move |sent: Sent, reference: &str, group: &str, _: &Context| {
        let position = sent.position.map(on_wire);
        Ack { reference, group, id: id.as_u128(), position, scope: sent.scope.as_str() }.encode()
    };
    // In process it is known already, and nothing need be kept for later. A backend never has the answer yet, and whoever looks
    // for it has the runtime set a timer.
    let known = if cx.layer_state().mode == Mode::Memory { (&mut sent).now_or_never() } else { None };
    match known {
        Some(sent) => at_once(sent.map_err(Failure::from), request, group, cx, ack),
        None => {
            cx.defer_with_message(sent_as, reply(request, group, async move { Ok(sent.await?) }, cx, ack))
        }
    }
}

/// The same of something that has no place in the order; it may come to a position, which is how far the user has read.
pub(super) fn answer_done(
    request: &Request,
    group: &GroupName,
    id: Option<MessageId>,
    work: impl Future<Output = Result<Option<Position>, Failure>> + Send + 'static,
    cx: &Context,
) -> Outcome {
    let ack = move |read: Option<Position>, reference: &str, group: &str, cx: &Context| {
        let (id, read) = (id.map(MessageId::as_u128), read.map(on_wire));
        encode(&Done { reference, group, id, read, scope: cx.layer_state().scope().as_str() })
    };
    cx.defer(reply(request, group, work, cx, ack))
}

/// The reply of `work` that goes on beside the client's next requests; `ack` makes a frame of what it comes to, given `ref` and
/// group.
fn reply<T: Send + 'static>(
    request: &Request,
    group: &GroupName,
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    cx: &Context,
    ack: impl FnOnce(T, &str, &str, &Context) -> Bytes + Send + 'static,
) -> impl Future<Output = Option<Bytes>> + Send + 'static {
    let (reference, group, cx) = (request.reference().map(str::to_owned), group.clone(), cx.clone());
    async move { frame(work.await, reference.as_deref(), &group, &cx, ack) }
}

/// Answers with what has been done.
fn at_once<T>(
    done: Result<T, Failure>,
    request: &Request,
    group: &GroupName,
    cx: &Context,
    ack: impl FnOnce(T, &str, &str, &Context) -> Bytes,
) -> Outcome {
    if let Some(frame) = frame(done, request.reference(), group, cx, ack) {
        cx.write(frame);
    }
    Ok(())
}

/// The ack of what was done, if anybody asked for it, or the error.
fn frame<T>(
    done: Result<T, Failure>,
    reference: Option<&str>,
    group: &GroupName,
    cx: &Context,
    ack: impl FnOnce(T, &str, &str, &Context) -> Bytes,
) -> Option<Bytes> {
    let group = group.as_str();
    match done {
        Ok(done) => Some(ack(done, reference?, group, cx)),
        Err(Failure(Refusal { code, message })) => {
            Some(cx.error(&ErrorFrame { reference, group: Some(group), code, message: &message }))
        }
    }
}
