//! Editing and deleting what is kept: what every layer promises.

use std::collections::BTreeMap;

use channel_layer::{
    Amendment, Answer, ChannelLayer, Epoch, Error, GroupName, Message, MessageId, Owner, Page, Position,
    Posted, Recovered, Retention, Sent, Span,
};
use futures_util::future::join_all;

use super::both::{Layer, on_both_layers};
use super::nodes::{group, member, message, next_message, offset};

on_both_layers! {
    an_edit_reaches_everybody_under_its_target_s_id_and_stands_in_its_place
    only_its_owner_may_change_a_message
    what_is_not_in_the_history_is_not_found
    a_repeated_amendment_or_send_is_answered_and_delivered_to_nobody
    versions_count_on_and_a_deletion_is_final
    an_amendment_takes_its_place_when_it_is_called
    whatever_is_sent_and_amended_the_history_holds_the_newest_of_each
}

pub(super) const ANA: Owner = Owner::from_u64(0xfedc_ba98_7654_3210);
const BO: Owner = Owner::from_u64(7);

pub(super) fn id(number: u32) -> MessageId {
    message(number).id
}

/// Sends an own message of this number.
pub(super) async fn send(layer: &dyn ChannelLayer, number: u32) -> Position {
    let sent = layer.group_send(group("lobby"), message(number).owned_by(ANA), Retention::Kept).await;
    sent.unwrap().position.unwrap()
}

/// Ana's amendment of `target`: `body` under the id `by`.
fn amend(layer: &dyn ChannelLayer, target: u32, by: u32, body: &str, what: Amendment) -> Answer<Sent> {
    let message = Message::frame(id(by), body.to_owned()).owned_by(ANA);
    layer.amend(group("lobby"), id(target), message, what)
}

pub(super) async fn edit(
    layer: &dyn ChannelLayer,
    target: u32,
    by: u32,
    body: &str,
) -> Result<Position, Error> {
    amend(layer, target, by, body, Amendment::Replace).await.map(|sent| sent.position.unwrap())
}

pub(super) async fn delete(layer: &dyn ChannelLayer, target: u32, by: u32) -> Result<Position, Error> {
    amend(layer, target, by, "gone", Amendment::Delete).await.map(|sent| sent.position.unwrap())
}

/// Id, offset, body, version, and where the first stood.
pub(super) type Shown = (u128, u64, String, u64, u64);

pub(super) fn shown(posted: &Posted) -> Shown {
    let text = String::from_utf8(posted.body.data().to_vec()).unwrap();
    let here = offset(posted);
    let (version, first) = posted.version.as_ref().map_or((1, here), |v| (v.number, v.first.offset));
    (posted.id.as_u128(), here, text, version, first)
}

pub(super) fn row(id: u128, offset: u64, text: &str, version: u64, first: u64) -> Shown {
    (id, offset, text.to_owned(), version, first)
}

pub(super) async fn page(layer: &dyn ChannelLayer, lobby: &GroupName, span: Span) -> Page {
    let recovered = layer.history(lobby.clone(), span, 1_000).await.unwrap();
    let Recovered::All(page) = recovered else { panic!("{recovered:?}") };
    page
}

pub(super) async fn history(layer: &dyn ChannelLayer, span: Span) -> Vec<Shown> {
    page(layer, &group("lobby"), span).await.messages.iter().map(|posted| shown(posted)).collect()
}

async fn an_edit_reaches_everybody_under_its_target_s_id_and_stands_in_its_place(layer: Layer) {
    let lobby = group("lobby");
    let mut mailbox = member(&*layer, &lobby, 16).await;
    let first = send(&*layer, 1).await;
    send(&*layer, 2).await;
    let sent = amend(&*layer, 1, 100, "edited", Amendment::Replace).await.unwrap();
    assert_eq!((sent.id, sent.position), (id(100), Some(Position { offset: 3, ..first })));
    send(&*layer, 3).await;

    let edited = row(1, 3, "edited", 2, 1);
    let mut live = Vec::new();
    for _ in 0..4 {
        live.push(shown(&*next_message(&mut mailbox).await));
    }
    assert_eq!(live, [row(1, 1, "1", 1, 1), row(2, 2, "2", 1, 2), edited.clone(), row(3, 4, "3", 1, 4)]);
    let rest = [row(2, 2, "2", 1, 2), edited.clone(), row(3, 4, "3", 1, 4)];
    assert_eq!(history(&*layer, Span::Latest).await, rest);
    // Wherever a reader stands: before the first version, on it, behind it.
    for (offset, skip) in [(0, 0), (1, 0), (2, 1), (3, 2)] {
        let after = Span::After(Position { offset, ..first });
        assert_eq!(history(&*layer, after).await, rest[skip..], "after {offset}");
    }
    let before = Span::Before(Position { offset: 4, ..first });
    assert_eq!(history(&*layer, before).await, rest[..2]);
    let whole = page(&*layer, &lobby, before).await;
    assert!(!whole.more, "what was replaced is nothing that is left to read");
}

async fn only_its_owner_may_change_a_message(layer: Layer) {
    let lobby = group("lobby");
    send(&*layer, 1).await;
    layer.group_send(lobby.clone(), message(2), Retention::Kept).await.unwrap();
    let by = |owner| {
        let mut edit = Message::frame(id(100), "mine");
        edit.owner = owner;
        edit
    };
    for (target, owner) in [(1, Some(BO)), (1, None), (2, Some(ANA)), (2, None)] {
        for what in [Amendment::Replace, Amendment::Delete] {
            let refused = layer.amend(lobby.clone(), id(target), by(owner), what).await;
            assert_eq!(refused, Err(Error::Forbidden), "{target} by {owner:?}");
        }
    }
    assert_eq!(history(&*layer, Span::Latest).await, [row(1, 1, "1", 1, 1), row(2, 2, "2", 1, 2)]);
    // A refusal is not the end of the id, nor of the order.
    assert_eq!(edit(&*layer, 1, 100, "edited").await.unwrap().offset, 3);
}

async fn what_is_not_in_the_history_is_not_found(layer: Layer) {
    assert_eq!(edit(&*layer, 1, 100, "edited").await, Err(Error::NotFound));
    send(&*layer, 1).await;
    layer.group_send(group("lobby"), message(2).owned_by(ANA), Retention::Ephemeral).await.unwrap();
    edit(&*layer, 1, 101, "edited").await.unwrap();
    for target in [2, 3, 101] {
        assert_eq!(edit(&*layer, target, 102, "again").await, Err(Error::NotFound), "{target}");
    }
    assert_eq!(send(&*layer, 4).await.offset, 3);
}

async fn a_repeated_amendment_or_send_is_answered_and_delivered_to_nobody(layer: Layer) {
    let mut mailbox = member(&*layer, &group("lobby"), 16).await;
    let first = send(&*layer, 1).await;
    send(&*layer, 2).await;
    let edited = edit(&*layer, 1, 100, "edited").await.unwrap();
    let again = edit(&*layer, 1, 101, "again").await.unwrap();
    assert_eq!(edit(&*layer, 1, 100, "edited").await, Ok(edited));
    assert_eq!(edit(&*layer, 1, 100, "something else").await, Err(Error::Conflict));
    assert_eq!(
        edit(&*layer, 2, 100, "edited").await,
        Err(Error::Conflict),
        "another target is another request"
    );
    let other = amend(&*layer, 1, 100, "edited", Amendment::Delete).await;
    assert_eq!(other, Err(Error::Conflict));
    assert_eq!(send(&*layer, 1).await, first, "a repeat of what was sent first is still known");
    assert_eq!(send(&*layer, 3).await.offset, again.offset + 1);
    let mut live = Vec::new();
    for _ in 0..5 {
        live.push(offset(&*next_message(&mut mailbox).await));
    }
    assert_eq!(live, [1, 2, 3, 4, 5]);
}

async fn versions_count_on_and_a_deletion_is_final(layer: Layer) {
    send(&*layer, 1).await;
    for (by, version) in [(100, 2), (101, 3), (102, 4)] {
        edit(&*layer, 1, by, "edited").await.unwrap();
        assert_eq!(history(&*layer, Span::Latest).await, [row(1, version, "edited", version, 1)]);
    }
    let deleted = delete(&*layer, 1, 103).await.unwrap();
    assert_eq!(history(&*layer, Span::Latest).await, [row(1, 5, "gone", 5, 1)]);
    assert_eq!(edit(&*layer, 1, 104, "back").await, Err(Error::NotFound));
    assert_eq!(delete(&*layer, 1, 105).await, Err(Error::NotFound));
    assert_eq!(delete(&*layer, 1, 103).await, Ok(deleted), "its repeat is answered all the same");
}

async fn an_amendment_takes_its_place_when_it_is_called(layer: Layer) {
    let mut mailbox = member(&*layer, &group("lobby"), 16).await;
    let mine = |number| layer.group_send(group("lobby"), message(number).owned_by(ANA), Retention::Kept);
    let edited = |by, body| amend(&*layer, 1, by, body, Amendment::Replace);
    let calls = vec![mine(1), edited(100, "a"), mine(2), edited(101, "b"), edited(102, "c"), mine(3)];
    let sent = join_all(calls).await;
    let offsets: Vec<u64> = sent.into_iter().map(|sent| sent.unwrap().position.unwrap().offset).collect();
    assert_eq!(offsets, [1, 2, 3, 4, 5, 6]);
    let mut live = Vec::new();
    for _ in 0..6 {
        live.push(shown(&*next_message(&mut mailbox).await).2);
    }
    assert_eq!(live, ["1", "a", "2", "b", "c", "3"]);
}

async fn whatever_is_sent_and_amended_the_history_holds_the_newest_of_each(layer: Layer) {
    let mut random = Random::new();
    let mut kept: BTreeMap<u64, Shown> = BTreeMap::new();
    for number in 1..=400 {
        let at = u64::from(number);
        let target = random.below(kept.len()).and_then(|index| kept.values().nth(index).cloned());
        match target {
            Some((id, here, _, version, first)) if number % 2 == 0 => {
                let body = random.text();
                edit(&*layer, u32::try_from(id).unwrap(), number, &body).await.unwrap();
                kept.remove(&here);
                kept.insert(at, (id, at, body, version + 1, first));
            }
            _ => {
                send(&*layer, number).await;
                kept.insert(at, (u128::from(number), at, number.to_string(), 1, at));
            }
        }
    }
    assert_eq!(history(&*layer, Span::Latest).await, kept.into_values().collect::<Vec<_>>());
}

/// Numbers that look random, and begin with a seed that a failure shows.
pub(super) struct Random(u64);

impl Random {
    #[expect(clippy::print_stderr, reason = "the seed of a failure is shown with it")]
    pub(super) fn new() -> Self {
        let seed = Epoch::random().as_u64();
        eprintln!("seed {seed}");
        Self(seed)
    }

    /// A number below `count`; `None` when there is none.
    pub(super) fn below(&mut self, count: usize) -> Option<usize> {
        // Xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap().checked_rem(count)
    }

    fn text(&mut self) -> String {
        "x".repeat(self.below(2_000).unwrap())
    }
}
