//! The values that all nodes share: scripts beside the histories in Redis, one atomic step each.

use crate::state::{
    gather::Gather,
    reactions::{KINDS_MAX, MARKS_MAX, MESSAGES_MAX, Mark, Reaction, Reactions, Seen, Tally},
    reads::{Reads, USERS_MAX},
};
use channel_layer::{Answer, Beside, Error, GroupName, MessageId, Owner, Position, Reply, Script};
use futures_util::future::FutureExt;
use indexmap::IndexMap;

static REACT: Script = Script::new(include_str!("react.lua"));
static REACTED: Script = Script::new(include_str!("reacted.lua"));
static UNREACT: Script = Script::new(include_str!("unreact.lua"));
static READ: Script = Script::new(include_str!("read.lua"));
static READERS: Script = Script::new(include_str!("readers.lua"));

/// The messages that have reactions, and what stands before an id in the names of its marks and counts.
const REACTIONS: [&str; 3] = ["reacted", "marks:", "counts:"];
const READS: [&str; 1] = ["reads"];

/// Reactions in Redis.
#[derive(Debug)]
pub(super) struct RedisReactions {
    beside: Beside,
    asked: Gather<(Owner, Vec<MessageId>), Vec<Seen>>,
}

impl RedisReactions {
    pub(super) fn new(beside: Beside) -> Self {
        let there = beside.clone();
        Self { beside, asked: Gather::new(move |group, asks| reacted(&there, group, &asks)) }
    }
}

/// What some users see of the reactions to some messages, which are the same for most of them.
fn reacted(beside: &Beside, group: &GroupName, asks: &[(Owner, Vec<MessageId>)]) -> Answer<Vec<Vec<Seen>>> {
    let mut places = IndexMap::new();
    let targets = |targets: &Vec<MessageId>| -> Vec<usize> {
        targets.iter().map(|target| places.insert_full(*target, ()).0).collect()
    };
    let wanted: Vec<Vec<usize>> = asks.iter().map(|(_, asked)| asked).map(targets).collect();
    let users = asks.iter().map(|(user, _)| hexadecimal(*user));
    let arguments = std::iter::once(asks.len().to_string()).chain(users);
    let arguments = arguments.chain(places.keys().map(MessageId::to_string)).map(String::into_bytes);
    let answer = beside.run(&REACTED, group, &REACTIONS, arguments.collect());
    async move {
        let answer = answer.await?;
        let messages: Option<Vec<Marked>> = answer.list().iter().map(marked).collect();
        let messages: Vec<Marked> = messages.ok_or(Error::Unavailable)?;
        // Where the group has no reactions there is nothing to say of any message.
        let seen = |(user, places): (usize, Vec<usize>)| {
            let seen =
                |place: usize| messages.get(place).map(|marked| marked.seen_by(user)).unwrap_or_default();
            places.into_iter().map(seen).collect()
        };
        Ok(wanted.into_iter().enumerate().map(seen).collect())
    }
    .boxed()
}

/// One message's reactions, and for each of its kinds which of the users who ask have given it.
struct Marked {
    tally: Tally,
    given: Vec<Vec<u8>>,
}

impl Marked {
    fn seen_by(&self, user: usize) -> Seen {
        let is_given = |given: &Vec<u8>| given.get(user) == Some(&b'1');
        let mine = self.tally.counts.iter().zip(&self.given).filter(|(_, given)| is_given(given));
        Seen { mine: mine.map(|((kind, _), _)| kind.clone()).collect(), tally: self.tally.clone() }
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
                    let mut counts = counts.collect::<Option<Vec<_>>>().ok_or(Error::Unavailable)?;
                    counts.sort_unstable();
                    Ok(Some(Tally { counts, rev: number(rev).ok_or(Error::Unavailable)? }))
                }
                _ => Err(Error::Unavailable),
            }
        }
        .boxed()
    }

    fn of(&self, group: &GroupName, targets: Vec<MessageId>, user: Owner) -> Answer<Vec<Seen>> {
        self.asked.ask(group, (user, targets))
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
    asked: Gather<Owner, Option<Position>>,
}

impl RedisReads {
    pub(super) fn new(beside: Beside) -> Self {
        let there = beside.clone();
        Self { beside, asked: Gather::new(move |group, users| readers(&there, group, &users)) }
    }
}

/// How far some users have read.
fn readers(beside: &Beside, group: &GroupName, users: &[Owner]) -> Answer<Vec<Option<Position>>> {
    let arguments = users.iter().map(|user| hexadecimal(*user).into_bytes()).collect();
    let answer = beside.run(&READERS, group, &READS, arguments);
    async move {
        let position = |reply: &Reply| match reply {
            Reply::Nothing => Ok(None),
            reply => reply.text().and_then(position_of).map(Some).ok_or(Error::Unavailable),
        };
        answer.await?.list().iter().map(position).collect()
    }
    .boxed()
}

impl Reads for RedisReads {
    fn advance(&self, group: &GroupName, user: Owner, position: Position) -> Answer<Position> {
        let Position { epoch, offset } = position;
        let arguments = [hexadecimal(user), epoch.to_string(), offset.to_string(), USERS_MAX.to_string()];
        let arguments = arguments.map(String::into_bytes).into();
        let answer = self.beside.run(&READ, group, &READS, arguments);
        async move {
            match answer.await?.text() {
                Some("full") => Err(Error::TooLarge),
                text => text.and_then(position_of).ok_or(Error::Unavailable),
            }
        }
        .boxed()
    }

    fn of(&self, group: &GroupName, user: Owner) -> Answer<Option<Position>> {
        self.asked.ask(group, user)
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

/// In the order of kinds, which Redis does not keep.
fn marked(answer: &Reply) -> Option<Marked> {
    let [rev, kinds @ ..] = answer.list() else {
        return Some(Marked { tally: Tally::default(), given: Vec::new() });
    };
    let mut all = Vec::new();
    for kind in kinds.chunks_exact(3) {
        all.push((word(&kind[0])?, number(&kind[1])?, kind[2].text()?.as_bytes().to_vec()));
    }
    all.sort_unstable();
    let (counts, given) = all.into_iter().map(|(kind, count, given)| ((kind, count), given)).unzip();
    Some(Marked { tally: Tally { counts, rev: number(rev)? }, given })
}

fn word(reply: &Reply) -> Option<String> {
    reply.text().map(str::to_owned)
}

fn number(reply: &Reply) -> Option<u64> {
    reply.text()?.parse().ok()
}
