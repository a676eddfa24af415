//! What is sent: how many groups of how many members, who speaks, how often.
//!
//! Pure arithmetic that the sender, the receivers and the limit share, so that each knows from the flags alone what
//! has to arrive where. Message `k` of a run is message `k / senders` of sender `k % senders`, and sender `s` speaks
//! in group `s % groups`; socket `i` is a member of group `i % groups`.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::marker::{SENDER_MAX, SEQ_MAX};

/// The form of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// One group; one of its members speaks.
    Fanout,
    /// Many groups; every member of every group speaks in turn.
    Groups,
}

/// Who writes the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Members, through the hub.
    Hub,
    /// The limit program: one sender for each group.
    Limit,
}

/// One run.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// fanout: one group, one sender; groups: many groups, all members talk in turn.
    #[arg(long, value_enum)]
    pub shape: Shape,
    /// Members of each group.
    #[arg(long)]
    pub members: u32,
    /// Groups; 1 for fanout.
    #[arg(long, default_value_t = 1)]
    pub groups: u32,
    /// Messages a second, over all groups.
    #[arg(long)]
    pub rate: u32,
    /// Length of the sending phase.
    #[arg(long, default_value_t = 10)]
    pub seconds: u32,
}

impl Plan {
    /// # Errors
    ///
    /// When a number is zero, does not fit the marker, or `fanout` has more than one group.
    pub fn check(&self) -> Result<()> {
        ensure!(self.members > 0 && self.groups > 0, "a run needs at least one group with one member");
        ensure!(self.rate > 0 && self.seconds > 0, "a run needs at least one message a second, for a second");
        ensure!(self.shape == Shape::Groups || self.groups == 1, "fanout is one group: leave --groups out");
        let sockets = u64::from(self.members) * u64::from(self.groups);
        ensure!(sockets <= u64::from(SENDER_MAX), "more than {SENDER_MAX} sockets do not fit the marker");
        let messages = u64::from(self.rate) * u64::from(self.seconds);
        ensure!(messages <= u64::from(SEQ_MAX), "more than {SEQ_MAX} messages do not fit the marker");
        Ok(())
    }

    /// The flags that make another program follow this plan.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let shape = match self.shape {
            Shape::Fanout => "fanout",
            Shape::Groups => "groups",
        };
        let numbers = [
            ("--members", self.members),
            ("--groups", self.groups),
            ("--rate", self.rate),
            ("--seconds", self.seconds),
        ];
        let mut flags = vec!["--shape".to_owned(), shape.to_owned()];
        flags.extend(numbers.iter().flat_map(|(flag, number)| [(*flag).to_owned(), number.to_string()]));
        flags
    }

    /// Sockets of the run.
    #[must_use]
    pub fn sockets(&self) -> u32 {
        self.members * self.groups
    }

    /// Messages of the run, over all senders.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.rate * self.seconds
    }

    /// Deliveries that the messages of the run have to become.
    #[must_use]
    pub fn deliveries(&self) -> u64 {
        u64::from(self.messages()) * u64::from(self.members)
    }

    /// How many senders take turns.
    #[must_use]
    pub fn senders(&self, source: Source) -> u32 {
        match (source, self.shape) {
            (Source::Hub, Shape::Groups) => self.sockets(),
            (Source::Hub, Shape::Fanout) => 1,
            (Source::Limit, _) => self.groups,
        }
    }

    /// How many of the run's messages are `sender`'s.
    #[must_use]
    pub fn messages_of(&self, sender: u32, source: Source) -> u32 {
        let senders = self.senders(source);
        self.messages() / senders + u32::from(sender < self.messages() % senders)
    }

    /// How many messages should have left `elapsed_us` after the start: the first at once, the others evenly.
    #[must_use]
    pub fn due(&self, elapsed_us: u64) -> u32 {
        let due = elapsed_us.saturating_mul(u64::from(self.rate)) / 1_000_000 + 1;
        u32::try_from(due).unwrap_or(u32::MAX).min(self.messages())
    }

    /// How long after `elapsed_us` the message after the first `sent` is due.
    #[must_use]
    pub fn until_due(&self, sent: u32, elapsed_us: u64) -> Duration {
        let due_us = (u64::from(sent) * 1_000_000).div_ceil(u64::from(self.rate));
        Duration::from_micros(due_us.saturating_sub(elapsed_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: Plan = Plan { shape: Shape::Groups, members: 5, groups: 3, rate: 100, seconds: 1 };

    #[test]
    fn the_senders_shares_add_up_to_all_messages() {
        for source in [Source::Hub, Source::Limit] {
            let shares = (0..GROUPS.senders(source)).map(|sender| GROUPS.messages_of(sender, source));
            assert_eq!(shares.sum::<u32>(), GROUPS.messages());
        }
    }

    #[test]
    fn the_last_message_is_due_within_the_phase_and_none_follows_it() {
        assert_eq!(GROUPS.due(0), 1);
        assert_eq!(GROUPS.due(9_999), 1);
        assert_eq!(GROUPS.due(10_000), 2);
        assert_eq!(GROUPS.due(990_000), 100);
        assert_eq!(GROUPS.due(60_000_000), 100);
        assert_eq!(GROUPS.until_due(1, 4_000), Duration::from_micros(6_000));
        assert_eq!(GROUPS.until_due(1, 20_000), Duration::ZERO);
    }

    #[test]
    fn a_plan_that_the_marker_cannot_carry_is_refused() {
        assert!(GROUPS.check().is_ok());
        assert!(Plan { shape: Shape::Fanout, ..GROUPS }.check().is_err());
        assert!(Plan { members: 500_000, ..GROUPS }.check().is_err());
        assert!(Plan { rate: u32::MAX, seconds: u32::MAX, ..GROUPS }.check().is_err());
    }
}
