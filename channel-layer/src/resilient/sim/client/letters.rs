//! What a client says: kept until it has a place, and said again wherever it comes.

use super::{Client, DEADLINE, State};
use crate::{
    error::Error,
    layer::Sent,
    message::{Message, MessageId, Retention},
    position::{Position, Scope},
    resilient::{
        core::Command,
        pending::Pending,
        sim::world::{Event, World},
    },
};
use std::time::Duration;
use tokio::{sync::oneshot, time::Instant};

/// What somebody said.
pub(crate) struct Letter {
    pub(crate) id: u128,
    /// Where they stood when they said it first.
    floor: Option<Position>,
    /// How far it got, as the answer said.
    pub(crate) acked: Option<Scope>,
    /// It has a place in the history.
    pub(crate) is_settled: bool,
    pub(crate) refused: Option<Error>,
    pub(super) answer: Option<(oneshot::Receiver<crate::error::Result<Sent>>, Instant)>,
    /// Which process it was said to last.
    pub(super) said_to: u64,
}

impl Client {
    /// Says the next thing.
    pub(crate) fn send(&mut self, world: &mut World) {
        let next = Duration::from_millis(5 + world.random.below(400));
        if world.now + next < world.ends_at {
            world.at(next, Event::Send(self.index));
        }
        if self.to_say > 0 {
            self.to_say -= 1;
            self.speak(world);
        }
    }

    /// Says one thing more.
    pub(crate) fn last_word(&mut self, world: &mut World) {
        self.speak(world);
    }

    pub(super) fn speak(&mut self, world: &mut World) {
        if self.at.is_none() || !matches!(self.state, State::Live | State::Pending) {
            return;
        }
        let id = (self.index as u128 + 1) << 64 | self.letters.len() as u128;
        let floor = self.position;
        let (answer, said_to, acked, refused) = (None, 0, None, None);
        self.letters.push_back(Letter { id, floor, acked, is_settled: false, refused, answer, said_to });
        self.say(self.letters.len() - 1, world);
    }

    pub(super) fn say(&mut self, index: usize, world: &mut World) {
        let Some((node, process)) = self.at else { return };
        let letter = &mut self.letters[index];
        let id = letter.id;
        world.tell(|| format!("client {} says {id:x} to node {node}", self.index));
        let message =
            Message::frame(MessageId::from_u128(id), format!("{{\"{id:x}\":0}}")).with_floor(letter.floor);
        let room = world.nodes[node].room.take(&message).expect("there is room");
        let (answer, answered) = oneshot::channel();
        let deadline = world.now + DEADLINE;
        letter.answer = Some((answered, deadline));
        letter.said_to = process;
        let (group, retention) = (self.group.clone(), Retention::Kept);
        let pending = Pending { group, message, retention, deadline, answer, room };
        world.nodes[node].commands.push_back(Command::Publish(pending));
    }

    pub(super) fn hear_answers(&mut self, world: &mut World) {
        for letter in &mut self.letters {
            let Some((answer, due)) = &mut letter.answer else { continue };
            match answer.try_recv() {
                Ok(Ok(sent)) => {
                    letter.acked = Some(sent.scope);
                    letter.is_settled |= sent.scope == Scope::Cluster;
                    letter.answer = None;
                }
                Ok(Err(refused)) => {
                    letter.refused = Some(refused);
                    letter.answer = None;
                }
                Err(_) if world.now > *due + Duration::from_millis(1) => {
                    let waited = format!("client {} waits for the answer to {:x}", self.index, letter.id);
                    world.broken.push(waited);
                }
                Err(_) => {}
            }
        }
    }
}
