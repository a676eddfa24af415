//! The core word about members: who is in a group.

use crate::{
    connection::member::Member,
    consumer::{Failure, careful::in_time},
    worker::presence::{names, users},
};
use palabre_protocol::{CloseCode, Presence, Present, Request};

/// What the hub calls this part of the protocol.
pub(super) const FEATURE: &str = "presence";

impl Member {
    /// Answers with a group's members, if the client is one of them.
    pub(super) async fn presence(&self, request: &Request) -> Result<Result<(), Failure>, CloseCode> {
        if self.doors.presence.is_none() {
            return Ok(Err(request.unknown_type().into()));
        }
        let parsed = || -> Result<(&str, Presence), Failure> { Ok((request.answer_to()?, request.body()?)) };
        let (reference, asked) = match parsed() {
            Ok(parsed) => parsed,
            Err(failure) => return Ok(Err(failure)),
        };
        let group = match self.cx.member_of(&asked.group) {
            Ok(group) => group,
            Err(failure) => {
                self.desk.refuse(Some(reference), Some(&asked.group), &failure);
                return Ok(Ok(()));
            }
        };
        let roster = in_time(self.cx.presence(&group)).await?;
        let names = roster.members.as_deref().map(names);
        let members =
            roster.members.as_deref().zip(names.as_deref()).map(|(members, names)| users(members, names));
        self.desk.reply(&Present {
            reference,
            group: group.as_str(),
            occupancy: roster.occupancy as u64,
            members: members.as_deref(),
        });
        Ok(Ok(()))
    }
}
