//! A part of a history as JSON texts for one client: what belongs on a screen, within the bounds of one answer.
//!
//! A message that alone is more than an answer holds is stood for by its position, so that whoever reads page by page
//! gets past it.

use crate::worker::fanout::{rendered, unreadable};
use bytes::Bytes;
use channel_layer::{Body, Page, Position, Posted};
use std::sync::Arc;

/// Messages of a snapshot.
pub(crate) const SNAPSHOT_MAX: usize = 50;

/// What the messages of one frame may weigh: 256 KiB less what stands around them.
const BYTES_MAX: usize = (256 << 10) - (1 << 10);

/// What consumers may say beside messages of the past that are no snapshot.
pub(crate) const SLOTS_BYTES: usize = 64 << 10;

/// JSON texts of messages, oldest first.
#[derive(Debug, Clone)]
pub struct Texts {
    /// The texts, ready for a frame.
    pub texts: Vec<Bytes>,
    /// Some were left out: together they are more than one answer holds.
    pub is_cut: bool,
    /// Where what was left out begins: the position of the entry next to it.
    pub(crate) edge: Option<Position>,
    /// So many entries of the page were gone through, from the end that is kept.
    entries: usize,
    keep: Keep,
}

impl Texts {
    /// Of the page that these are the texts of, what was not left out.
    pub(crate) fn entries<'a>(&self, page: &'a Page) -> &'a [Arc<Posted>] {
        match self.keep {
            Keep::Oldest => &page.messages[..self.entries],
            Keep::Newest => &page.messages[page.messages.len() - self.entries..],
        }
    }
}

/// Which of too many messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Oldest,
    Newest,
}

/// The JSON texts of a page's messages for screens, at most `messages_max`, in a frame that has `other_bytes` besides.
pub(crate) fn texts(page: &Page, keep: Keep, messages_max: usize, other_bytes: usize) -> Texts {
    let mut taken = Texts { texts: Vec::new(), is_cut: false, edge: None, entries: 0, keep };
    let mut bytes = other_bytes;
    let mut take = |posted: &Arc<Posted>| {
        if let Body::Frame(_) = posted.body {
            let mut text = palabre_protocol::payload(&rendered(posted));
            if text.len() > BYTES_MAX {
                text = palabre_protocol::payload(&unreadable(posted));
            }
            // And a comma.
            bytes += text.len() + 1;
            if bytes > BYTES_MAX || taken.texts.len() == messages_max {
                taken.is_cut = true;
                return false;
            }
            taken.texts.push(text);
        }
        taken.edge = posted.position;
        taken.entries += 1;
        true
    };
    match keep {
        Keep::Oldest => page.messages.iter().all(&mut take),
        Keep::Newest => page.messages.iter().rev().all(&mut take),
    };
    if keep == Keep::Newest {
        taken.texts.reverse();
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use channel_layer::{Epoch, Message, MessageId};

    fn page(sizes: &[usize]) -> Page {
        let at = |offset| Position { epoch: Epoch::from_u64(1).unwrap(), offset };
        let posted = |(offset, size): (u64, &usize)| {
            let body = format!(r#"{{"x":"{}"}}"#, "x".repeat(*size));
            let message = match size {
                0 => Message::event(MessageId::from_u128(1), "board.event", ""),
                _ => Message::frame(MessageId::from_u128(1), body),
            };
            Arc::new(Posted::new("g".parse().unwrap(), message, Some(at(offset))))
        };
        let messages: Vec<_> = (1..).zip(sizes).map(posted).collect();
        Page { head: at(sizes.len() as u64), messages, more: false }
    }

    /// The offsets that are shown, whether some were left out, and where.
    fn shown(sizes: &[usize], keep: Keep, messages_max: usize) -> (Vec<u64>, bool, Option<u64>) {
        let page = page(sizes);
        let taken = texts(&page, keep, messages_max, 0);
        let entries: Vec<_> = taken.entries(&page).iter().filter_map(|posted| posted.position).collect();
        let ends = if keep == Keep::Oldest { entries.last() } else { entries.first() };
        assert_eq!(ends.copied(), taken.edge, "what was gone through ends where it was cut");
        let Texts { texts, is_cut, edge, .. } = taken;
        assert!(texts.iter().map(Bytes::len).sum::<usize>() < 256 << 10);
        let offset = |text: &Bytes| {
            let text: serde_json::Value = serde_json::from_slice(text).unwrap();
            text["position"]["offset"].as_u64().unwrap()
        };
        (texts.iter().map(offset).collect(), is_cut, edge.map(|edge| edge.offset))
    }

    #[test]
    fn the_bound_cuts_at_the_end_that_is_not_kept() {
        let sizes = [100 << 10; 5];
        assert_eq!(shown(&sizes, Keep::Oldest, 9), (vec![1, 2], true, Some(2)));
        assert_eq!(shown(&sizes, Keep::Newest, 9), (vec![4, 5], true, Some(4)));
        assert_eq!(shown(&[9; 5], Keep::Newest, 2), (vec![4, 5], true, Some(4)));
        assert_eq!(shown(&[9; 5], Keep::Oldest, 5), (vec![1, 2, 3, 4, 5], false, Some(5)));
        assert_eq!(shown(&[], Keep::Oldest, 5), (vec![], false, None));
    }

    #[test]
    fn what_is_not_for_screens_and_what_is_too_large_is_passed() {
        assert_eq!(shown(&[9, 0, 0], Keep::Oldest, 1), (vec![1], false, Some(3)));
        assert_eq!(shown(&[300 << 10, 9], Keep::Oldest, 9), (vec![1, 2], false, Some(2)));
        let texts = texts(&page(&[300 << 10]), Keep::Newest, 9, 0).texts;
        assert!(texts[0].ends_with(br#""type":"unreadable"}"#), "{texts:?}");
    }
}
