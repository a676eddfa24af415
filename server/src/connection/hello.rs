//! The first frame: who the client is, and what it is told in return.

use crate::{
    connection::{Connection, Newcomer, member::Member, presence},
    consumer::{careful::in_time, desk::Desk, gate::Admission},
    socket::Stage,
    standing,
    worker::heartbeat::PING_S,
};
use palabre_protocol::{CloseCode, ErrorCode, Refusal, Request, User, Welcome};
use std::sync::Arc;

impl Connection {
    /// Takes the first frame; `None` when the client has to say another.
    pub(super) async fn hello(
        &mut self,
        newcomer: &mut Newcomer,
        request: &Request,
    ) -> Result<Option<Member>, CloseCode> {
        let Newcomer { handshake, doors } = newcomer;
        if request.kind() != "hello" {
            let refusal = Refusal::new(ErrorCode::HelloRequired, "the first frame must be hello");
            self.refuse(request.reference(), &refusal);
            return Ok(None);
        }
        let reference = match request.answer_to() {
            Ok(reference) => reference,
            Err(refusal) => {
                self.refuse(None, &refusal);
                return Ok(None);
            }
        };
        let Admission { identity, token } = match in_time(doors.gate.identify(handshake, request)).await? {
            Ok(admission) => admission,
            Err(refusal) => {
                self.refuse(Some(reference), &refusal);
                return Ok(None);
            }
        };
        // What is optional in the protocol and offered here.
        let features: &[&str] = if doors.presence.is_some() { &[presence::FEATURE] } else { &[] };
        let session = format!("s-{}", random_name());
        self.worker.push(
            &self.socket,
            palabre_protocol::encode(&Welcome {
                reference,
                user: User { id: &identity.id, name: &identity.name },
                token: token.as_deref(),
                session: &session,
                node: &doors.node,
                layer: standing::layer(&self.worker.shore.layer_state()),
                limits: &doors.limits,
                ping_s: PING_S,
                features,
            }),
        );
        let member = || channel_layer::Member {
            key: Arc::clone(&identity.id),
            info: Arc::clone(&identity.name).into(),
        };
        self.socket.member.get_or_init(member);
        // From here on a change of the layer is told; the one in the welcome is the last before.
        self.socket.stage.set(Stage::Welcomed);
        let bucket = doors.users.bucket(&identity.id, self.socket.heard.get());
        let (worker, socket) = (self.worker.clone(), self.socket.clone());
        let desk = Desk::new(worker, socket, identity, &doors.limits).await;
        let (cx, consumers) = (desk.context(None), doors.mounts.seat(handshake, &desk));
        Ok(Some(Member { desk, cx, consumers, doors: Arc::clone(doors), bucket }))
    }
}

/// 128 random bits in hexadecimal digits.
fn random_name() -> String {
    channel_layer::MessageId::random().to_string()
}
