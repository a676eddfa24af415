//! One text: a request that is handled, or a refusal that says why not.

use crate::{
    connection::{Client, Connection, wire::Frame},
    consumer::{Failure, rate::TooFast},
};
use palabre_protocol::{CloseCode, ErrorFrame, Refusal, Rejected};
use tokio::time::Instant;

impl Connection {
    pub(super) async fn text(
        &mut self,
        client: &mut Client,
        text: Box<str>,
        now: Instant,
    ) -> Result<(), CloseCode> {
        let request = match palabre_protocol::decode(text, self.limits(client)) {
            Ok(request) => request,
            Err(Rejected { refusal, reference }) => {
                self.refuse(reference.as_deref(), &refusal);
                return Ok(());
            }
        };
        match client {
            Client::New(newcomer) => {
                let Some(member) = Box::pin(self.hello(newcomer, &request)).await? else { return Ok(()) };
                *client = Client::Known(Box::new(member));
                // Its consumers are the client's by now: whoever of them hears of it hears of its end.
                let Client::Known(member) = client else { return Ok(()) };
                Box::pin(member.connected()).await
            }
            Client::Known(member) => {
                let reference: Option<Box<str>> = request.reference().map(Into::into);
                if let Err(over) = member.take(&request, now) {
                    self.slow_down(reference.as_deref(), &over);
                    return Ok(());
                }
                match member.handle(request).await? {
                    Ok(()) => {}
                    Err(Failure(refusal)) => self.refuse(reference.as_deref(), &refusal),
                }
                Ok(())
            }
            Client::Echo(_) => Ok(()),
        }
    }

    /// A message that is not looked at, but for its `ref`.
    pub(super) fn too_fast(&self, client: &Client, frame: &Frame, over: &TooFast) {
        let Frame::Text(text) = frame else { return self.slow_down(None, over) };
        match palabre_protocol::decode(&**text, self.limits(client)) {
            Ok(request) => self.slow_down(request.reference(), over),
            Err(rejected) => self.slow_down(rejected.reference.as_deref(), over),
        }
    }

    fn slow_down(&self, reference: Option<&str>, over: &TooFast) {
        let message = over.message();
        self.worker.push(&self.socket, self.worker.rate_limited(&over.answer(reference, None, &message)));
    }

    pub(super) fn refuse(&self, reference: Option<&str>, refusal: &Refusal) {
        let Refusal { code, message } = refusal;
        let error = ErrorFrame { reference, group: None, code: *code, message };
        self.worker.push(&self.socket, self.worker.error(&error));
    }
}
