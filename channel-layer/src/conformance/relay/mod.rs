//! Cases for any [`Relay`]: what the layer that is built on relays relies on.
//!
//! A case plays that layer for some nodes: it connects, opens, publishes in chains, subscribes, and looks at what is answered
//! and pushed. Timers, repeats and repairs are not a relay's business, so there are none here.
//! [`conformance_relay!`](crate::conformance_relay) mounts them. A relay that passes is worth mounting
//! [`conformance_layer!`](crate::conformance_layer) on too, under a [`ResilientLayer`](crate::ResilientLayer).

mod carried;
mod links;
mod node;
mod opening;
mod presence;
mod publishing;
mod pushes;
mod reads;

use crate::relay::Relay;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// Where the relays under test come from: one backend, empty at first, that is gone when this is dropped.
pub trait Fixture: Send + Sync {
    /// A relay to the backend for one more node; not connected yet.
    fn relay(&self) -> Arc<dyn Relay>;

    /// A relay of another hub on the same backend: another prefix, schema or account. `None`: there is no such thing.
    fn stranger(&self) -> Option<Arc<dyn Relay>> {
        None
    }

    /// Breaks every connection to the backend; new ones can be made at once. `None`: there are none.
    fn cut(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    /// Makes all that the backend has outlive a crash. `None`: nothing does, or everything.
    fn save(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    /// Ends the backend without a warning, and starts it again. `None`: it cannot be done.
    fn crash(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    /// How many arrivals of a link may wait for its reader. `None`: nobody knows.
    fn arrivals_max(&self) -> Option<u64> {
        None
    }

    /// After how many more small messages the first of a group is surely not kept any more. `None`: nobody knows.
    fn trims_after(&self) -> Option<u64> {
        None
    }

    /// After how many more messages the id of the first is surely not remembered any more. `None`: nobody knows.
    fn forgets_after(&self) -> Option<u64> {
        None
    }
}

cases! { $ conformance_relay relay:
    opening:
        an_unused_group_begins_one_epoch_whoever_opens_it
        an_opening_gives_what_is_missing_or_the_last_and_why
        an_opening_behind_what_was_trimmed_says_so
        many_groups_are_opened_in_one_call
        nothing_but_an_opening_makes_a_group;
    publishing:
        a_batch_is_numbered_from_one_on
        a_known_id_is_not_numbered_again
        what_does_not_follow_is_fenced_and_changes_nothing
        an_opening_fences_what_was_published_before_it
        another_epoch_is_stale
        two_nodes_that_publish_at_once_share_one_numbering
        what_may_have_been_forgotten_is_undecided;
    carried:
        a_message_is_pushed_and_read_as_it_was_sent
        what_is_ephemeral_is_passed_on_and_not_kept
        an_amendment_takes_the_place_of_its_target;
    pushes:
        messages_to_a_node_come_in_and_no_others
        what_is_published_after_a_subscription_is_pushed_in_order
        what_is_published_after_the_end_of_a_subscription_is_not_pushed
        an_opening_and_what_is_pushed_leave_no_hole
        a_reader_that_is_too_slow_is_told_and_holds_nobody_up;
    reads:
        a_history_is_read_from_anywhere_or_says_why_not;
    links:
        connecting_anew_ends_the_link_before
        a_link_that_was_cut_ends_and_another_can_be_made
        a_crash_that_lost_nothing_costs_nobody_anything
        a_crash_that_lost_something_shows
        who_announces_itself_is_listed_until_it_withdraws
        hubs_on_one_backend_do_not_meet;
    presence:
        a_row_is_read_as_it_was_put_until_it_is_withdrawn
        a_row_ends_with_its_lease_unless_its_version_is_renewed
        who_writes_is_told_which_other_rows_hold
        a_change_of_presence_is_pushed_to_who_hears_the_group
        rows_of_hubs_on_one_backend_do_not_meet;
}
