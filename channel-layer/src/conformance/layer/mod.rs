//! Cases for any [`ChannelLayer`]: what those who send and receive may rely on.
//!
//! Each is given a [`Fixture`] and makes two nodes, which may be one and the same. Groups are new in each case, so a
//! backend need be no more than empty. [`conformance_layer!`](crate::conformance_layer) mounts them.

mod amending;
mod direct;
mod ending;
mod history;
mod ids;
mod links;
mod members;
mod model;
mod presence;
mod races;
mod repeating;
mod rewriting;
mod sending;
mod turnover;
mod vanishing;
mod versions;

use crate::{
    conformance::{rules::Rule, tools},
    delivery::{Delivery, Posted},
    error::Error,
    history::{Recovered, Span},
    layer::{ChannelLayer, Sent},
    mailbox::{Mailbox, Received},
    message::Retention,
    name::GroupName,
    state::Health,
};
use futures_util::future::BoxFuture;
use std::{fmt, sync::Arc, time::Duration};

/// Where the layers under test come from: one backend, empty at first, that is gone when this is dropped.
///
/// Tasks that it needs for itself run before a case is given it: what is there more at the end, nodes have left behind.
pub trait Fixture: Send + Sync {
    /// A new node on the backend. A layer that knows no other nodes gives the same one every time.
    fn node(&self) -> BoxFuture<'_, Arc<dyn ChannelLayer>>;

    /// A node of another hub on the same backend: another prefix, schema or account. `None`: there is no such thing.
    fn stranger(&self) -> Option<BoxFuture<'_, Arc<dyn ChannelLayer>>> {
        None
    }

    /// Breaks every connection between nodes and backend; new ones can be made at once. `None`: there are none.
    fn cut(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    /// A node that can vanish. `None`: none can.
    fn mortal(&self) -> Option<BoxFuture<'_, Mortal>> {
        None
    }

    /// Of how many members of a group the names are told at most. `None`: nobody knows, or they are too many to be tried.
    fn members_max(&self) -> Option<usize> {
        None
    }

    /// After how many more small messages the first of a group is surely not kept any more. `None`: nobody knows.
    fn trims_after(&self) -> Option<u64> {
        None
    }

    /// After how many more small messages the id of the first is surely not remembered any more. `None`: nobody knows.
    fn forgets_after(&self) -> Option<u64> {
        None
    }
}

/// A node that can vanish without a word, as if its process had died: over any relay, by a
/// [`FaultyRelay`](crate::conformance::FaultyRelay).
pub struct Mortal {
    /// The node.
    pub node: Arc<dyn ChannelLayer>,
    /// Makes it vanish.
    pub vanish: Box<dyn FnOnce() + Send>,
    /// How long the others may show its members after that.
    pub forgotten_after: Duration,
}

impl fmt::Debug for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mortal").field("node", &self.node).finish_non_exhaustive()
    }
}

cases! { $ conformance_layer layer:
    members:
        an_address_is_drawn_once_and_tells_its_node
        a_mailbox_holds_what_it_was_made_for
        joining_twice_delivers_once
        only_a_mailbox_of_this_node_can_join
        whatever_is_sent_after_a_join_was_answered_arrives
        a_join_whose_answer_was_dropped_is_a_join
        a_channel_that_was_discarded_gets_nothing_more
        a_dropped_mailbox_is_in_no_group_any_more
        nothing_of_a_dropped_mailbox_stays;
    races:
        a_quick_return_loses_nothing
        the_last_to_leave_and_the_first_to_join_do_not_meet_badly
        a_mailbox_dropped_while_it_joins_is_a_member_of_nothing
        a_mailbox_made_while_its_layer_ends_is_closed
        a_wait_that_is_dropped_loses_no_delivery;
    sending:
        messages_arrive_in_the_order_of_the_calls
        a_dropped_answer_does_not_unsend
        everybody_gets_everything_the_sender_too
        two_nodes_that_send_at_once_see_one_order
        whom_a_message_is_not_for_is_said_to_all
        an_answer_says_where_and_how_far
        a_member_that_does_not_read_holds_nobody_up
        a_mailbox_that_lags_says_how_many_it_missed_and_the_history_has_them
        what_is_too_large_goes_nowhere
        groups_are_apart
        hubs_on_one_backend_are_apart
        whatever_a_message_carries_arrives_as_it_is
        an_ephemeral_message_has_no_position_and_no_history;
    ids:
        a_repeat_has_the_first_position_and_reaches_nobody
        a_repeat_on_another_node_is_known_there
        one_id_sent_on_two_nodes_at_once_is_one_message
        another_message_with_a_known_id_is_a_conflict
        what_was_forgotten_is_not_guessed_about
        an_ephemeral_message_takes_no_id;
    history:
        the_history_of_a_group_that_nobody_used_is_empty
        history_goes_on_after_any_position_or_says_why_not
        the_position_of_an_answer_is_good_at_once_on_every_node
        a_node_that_comes_late_reads_what_the_others_read
        a_history_is_read_page_by_page_without_hole
        a_history_is_read_backwards_page_by_page
        what_was_trimmed_is_a_gap;
    amending:
        an_amendment_reaches_everybody_in_its_target_s_name
        only_its_owner_may_amend_a_message
        what_is_not_in_the_history_is_not_found
        what_was_dropped_for_a_bound_cannot_be_amended
        an_amendment_takes_its_place_when_it_is_called;
    repeating:
        a_repeated_amendment_reaches_nobody;
    versions:
        a_reader_finds_the_newest_version_alone_wherever_it_stands
        versions_count_on_and_a_deletion_is_the_last
        amendments_at_once_have_a_version_each_and_a_deletion_wins;
    rewriting:
        whatever_is_amended_every_reader_finds_the_newest_of_each;
    direct:
        a_direct_message_reaches_its_mailbox_alone
        a_direct_message_reaches_another_node
        an_address_that_leads_nowhere_is_told
        a_direct_message_leaves_no_trace;
    ending:
        a_layer_says_how_it_is
        what_was_called_before_a_shutdown_goes_and_what_comes_after_is_closed
        a_shutdown_ends_every_mailbox_and_those_made_afterwards_hear_nothing
        the_others_go_on_without_a_node_that_was_shut_down
        no_task_is_left_of_a_layer_that_was_shut_down_or_dropped;
    links:
        a_lost_link_comes_back_with_every_mailbox_in_its_groups;
    presence:
        who_enters_is_there_at_once_and_is_told_to_the_mailboxes
        somebody_is_one_however_many_connections_they_have
        every_node_shows_the_same_members
        of_a_crowd_there_is_a_number_and_of_few_the_names
        presence_that_is_nobody_s_disturbs_nobody;
    turnover:
        every_node_keeps_up_with_who_comes_and_goes;
    vanishing:
        a_shutdown_takes_a_node_s_members_with_it
        a_node_that_vanishes_is_forgotten_with_its_members
        after_a_lost_link_everybody_is_there_again;
    model:
        whatever_happens_everybody_sees_the_history;
}

type Layer = Arc<dyn ChannelLayer>;

/// Two nodes that are well, or one twice.
async fn two_nodes(fixture: &dyn Fixture) -> [Layer; 2] {
    let nodes = [fixture.node().await, fixture.node().await];
    for node in &nodes {
        is_healthy(node).await;
    }
    nodes
}

async fn is_healthy(node: &Layer) {
    let mut status = node.status();
    let healthy =
        super::rules::E1.in_time("healthy", status.wait_for(|state| state.health == Health::Healthy)).await;
    super::rules::E1.holds(healthy.is_ok(), "the status ended");
}

fn are_one(nodes: &[Layer; 2]) -> bool {
    Arc::ptr_eq(&nodes[0], &nodes[1])
}

/// Steps of cases: each belongs to the rule that is looked at.
impl Rule {
    /// A mailbox in `group`, whose join was answered.
    async fn join(self, layer: &Layer, group: &GroupName, capacity: usize) -> Mailbox {
        let mailbox = layer.new_channel(capacity);
        self.add(layer, group, &mailbox).await;
        mailbox
    }

    async fn add(self, layer: &Layer, group: &GroupName, mailbox: &Mailbox) {
        let join = layer.group_add(group.clone(), mailbox.channel().clone());
        let joined = self.in_time("a join's answer", join).await;
        self.ok("a join", joined);
    }

    /// Sends the message of this number and gives the answer.
    async fn send(self, layer: &Layer, group: &GroupName, number: u64) -> Sent {
        let answer = layer.group_send(group.clone(), tools::message(number), Retention::Kept);
        let sent = self.in_time("a send's answer", answer).await;
        self.ok("a send", sent)
    }

    /// Sends the messages of these numbers, all called before any is awaited.
    async fn send_all(
        self,
        layer: &Layer,
        group: &GroupName,
        numbers: impl IntoIterator<Item = u64>,
    ) -> Vec<Sent> {
        let send = |number| layer.group_send(group.clone(), tools::message(number), Retention::Kept);
        let answers: Vec<_> = numbers.into_iter().map(send).collect();
        let mut sent = Vec::with_capacity(answers.len());
        for answer in answers {
            let answered = self.in_time("a send's answer", answer).await;
            sent.push(self.ok("a send", answered));
        }
        sent
    }

    async fn refused(self, layer: &Layer, group: &GroupName, message: crate::Message, error: Error) {
        let answer = layer.group_send(group.clone(), message, Retention::Kept);
        let answer = self.in_time("a send's answer", answer).await;
        self.same("the answer", answer, Err(error));
    }

    async fn next(self, mailbox: &mut Mailbox) -> Delivery {
        match self.in_time("a delivery", mailbox.recv()).await {
            Received::Delivery(delivery) => delivery,
            other => self.broken(format_args!("received {other:?} instead of a delivery")),
        }
    }

    async fn message(self, mailbox: &mut Mailbox) -> Arc<Posted> {
        match self.next(mailbox).await {
            Delivery::Message(posted) => posted,
            other => self.broken(format_args!("received {other:?} instead of a message of a group")),
        }
    }

    /// The numbers of the next messages, as many as are expected.
    async fn receives(self, mailbox: &mut Mailbox, expected: impl IntoIterator<Item = u64>) {
        let expected: Vec<u64> = expected.into_iter().collect();
        let mut received = Vec::with_capacity(expected.len());
        while received.len() < expected.len() {
            let next = self.message(mailbox).await;
            received.push(tools::number(next.id));
        }
        self.same("a mailbox received", received, expected);
    }

    async fn history(self, layer: &Layer, group: &GroupName, span: Span, messages_max: usize) -> Recovered {
        let read = self.in_time("a history's answer", layer.history(group.clone(), span, messages_max)).await;
        self.ok("a read of the history", read)
    }

    /// The same, once the node knows of the message at `offset`: its own copy may be behind for a moment.
    async fn history_to(
        self,
        layer: &Layer,
        group: &GroupName,
        span: Span,
        messages_max: usize,
        offset: u64,
    ) -> Recovered {
        let wait = async {
            loop {
                let recovered = self.history(layer, group, span, messages_max).await;
                if recovered.page().head.offset >= offset {
                    return recovered;
                }
                tokio::task::yield_now().await;
            }
        };
        self.in_time("a history with what was sent", wait).await
    }
}
