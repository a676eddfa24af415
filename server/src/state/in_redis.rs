//! The values that all nodes share: scripts beside the histories in Redis, one atomic step each.

use crate::state::{
    reactions::{KINDS_MAX, MARKS_MAX, MESSAGES_MAX, Mark, Reaction, Reactions, Seen, Tally},
    reads::{Reads, USERS_MAX},
};
use channel_layer::{Answer, Beside, Error, GroupName, MessageId, Owner, Position, Reply, Script};
use futures_util::future::FutureExt;

static REACT: Script = Script::new(include_str!("react.lua"));
static REACTED: Script = Script::new(include_str!("reacted.lua"));
static UNREACT: Script = Script::new(include_str!("unreact.lua"));
static READ: Script = Script::new(include_str!("read.lua"));

/// The messages that have reactions, and what stands before an id in the names of its marks and counts.
const REACTIONS: [&str; 3] = ["reacted", "marks:", "counts:"];
const READS: [&str; 1] = ["reads"];

/// Reactions in Redis.
#[derive(Debug)]
pub(super) struct RedisReactions {
    beside: Beside,
}

impl RedisReactions {
    pub(super) fn new(beside: Beside) -> Self {
        Self { beside }
    }
}

impl Reactions for RedisReactions {
    fn react(&self, group: &GroupName, target: MessageId, reaction: Reaction) -> Answer<Option<Tally>> {
        let Reaction { user, kind, mark, version } = reaction;
        let arguments = vec![
            target.as_u128().to_be_bytes().to_vec(),
            target.to_string().into_bytes(),
            hexadecimal(user).into_bytes(),
            kind.into_bytes(),
            if mark == Mark::On { b"1".to_vec() } else { b"0".to_vec() },
            version.map(|version| version.to_string()).unwrap_or_default().into_bytes(),
            KINDS_MAX.to_string().into_bytes(),
            MARKS_MAX.to_string().into_bytes(),
            MESSAGES_MAX.to_string().into_bytes(),
        ];
        let answer = self.beside.run(&REACT, group, &REACTIONS, arguments);
        async move {
            let answer = answer.await?;
            match answer.list() {
                [word] if word.text() == Some("same") => Ok(None),
                [word] if word.text() == Some("full") => Err(Error::TooLarge),
                [word] if word.text() == Some("not_found") => Err(Error::NotFound),
                [_, rev, counts @ ..] => {
                    let counts =
                        counts.chunks_exact(2).map(|pair| Some((word(&pair[0])?, number(&pair[1])?)));
                    let tally = counts.collect::<Option<_>>().and_then(|counts| tally(counts, number(rev)?));
                    tally.map(Some).ok_or(Error::Unavailable)
                }
                _ => Err(Error::Unavailable),
            }
        }
        .boxed()
    }

    fn of(&self, group: &GroupName, targets: Vec<MessageId>, user: Owner) -> Answer<Vec<Seen>> {
        let ids = targets.iter().map(|target| target.to_string().into_bytes());
        let arguments = std::iter::once(hexadecimal(user).into_bytes()).chain(ids).collect();
        let answer = self.beside.run(&REACTED, group, &REACTIONS, arguments);
        async move { answer.await?.list().iter().map(|seen_by| seen(seen_by).ok_or(Error::Unavailable)).collect() }
            .boxed()
    }

    fn forget(&self, group: &GroupName, target: MessageId) -> Answer<()> {
        let answer = self.beside.run(&UNREACT, group, &REACTIONS, vec![target.to_string().into_bytes()]);
        async move { answer.await.map(drop) }.boxed()
    }
}

/// Read positions in Redis.
#[derive(Debug)]
pub(super) struct RedisReads {
    beside: Beside,
}

impl RedisReads {
    pub(super) fn new(beside: Beside) -> Self {
        Self { beside }
    }

    fn run(&self, group: &GroupName, user: Owner, epoch: String, offset: u64) -> Answer<Reply> {
        let arguments = [hexadecimal(user), epoch, offset.to_string(), USERS_MAX.to_string()];
        self.beside.run(&READ, group, &READS, arguments.map(String::into_bytes).into())
    }
}

impl Reads for RedisReads {
    fn advance(&self, group: &GroupName, user: Owner, position: Position) -> Answer<Position> {
        let answer = self.run(group, user, position.epoch.to_string(), position.offset);
        async move {
            match answer.await?.text() {
                Some("full") => Err(Error::TooLarge),
                text => text.and_then(position_of).ok_or(Error::Unavailable),
            }
        }
        .boxed()
    }

    fn of(&self, group: &GroupName, user: Owner) -> Answer<Option<Position>> {
        let answer = self.run(group, user, String::new(), 0);
        async move {
            match answer.await? {
                Reply::Nothing => Ok(None),
                reply => reply.text().and_then(position_of).map(Some).ok_or(Error::Unavailable),
            }
        }
        .boxed()
    }
}

/// A user in the name of a field: of one length, so that what follows is told from it.
fn hexadecimal(user: Owner) -> String {
    format!("{:016x}", user.as_u64())
}

fn position_of(text: &str) -> Option<Position> {
    let (epoch, offset) = text.split_once(':')?;
    Some(Position { epoch: epoch.parse().ok()?, offset: offset.parse().ok()? })
}

fn seen(answer: &Reply) -> Option<Seen> {
    let [rev, kinds @ ..] = answer.list() else { return Some(Seen::default()) };
    let mut mine = Vec::new();
    let mut counts = Vec::new();
    for kind in kinds.chunks_exact(3) {
        counts.push((word(&kind[0])?, number(&kind[1])?));
        if kind[2].text() == Some("1") {
            mine.push(word(&kind[0])?);
        }
    }
    mine.sort_unstable();
    Some(Seen { tally: tally(counts, number(rev)?)?, mine })
}

/// In the order of kinds, which Redis does not keep.
fn tally(mut counts: Vec<(String, u64)>, rev: u64) -> Option<Tally> {
    counts.sort_unstable();
    Some(Tally { counts, rev })
}

fn word(reply: &Reply) -> Option<String> {
    reply.text().map(str::to_owned)
}

fn number(reply: &Reply) -> Option<u64> {
    reply.text()?.parse().ok()
}
