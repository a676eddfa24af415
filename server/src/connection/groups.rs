//! The core words about groups: join and leave. Each mounted consumer is asked what it has to say beside what a joiner is given.

use crate::{
    connection::{
        member::Member,
        slots::{Given, slots},
    },
    consumer::{Context, Failure, Joined, careful::in_time},
    position::{from_wire, on_wire},
    worker::texts::{Keep, SLOTS_BYTES, SNAPSHOT_MAX},
};
use channel_layer::{Body, GapReason, GroupName, Recovered, Span};
use futures_util::{
    FutureExt,
    stream::{self, StreamExt},
};
use palabre_protocol::{CloseCode, Join, JoinGroup, Leave, Left, Outcome, Request, Snapshot, joined};
use std::pin::pin;

/// Messages that a resume brings at most; who missed more reads on by `history`.
const RESUME_MAX: usize = 1_000;

/// Groups of one join that are read before the client has taken those before them: each may be a whole history.
const READ_AHEAD: usize = 4;

impl Member {
    /// Joins the groups of a request, reading some ahead; one answer a group.
    pub(super) async fn join(&mut self, request: &Request) -> Result<Result<(), Failure>, CloseCode> {
        let parsed = || -> Result<(&str, Join), Failure> {
            let reference = request.answer_to()?;
            let join: Join = request.body()?;
            join.check(&self.doors.limits)?;
            Ok((reference, join))
        };
        let (reference, join) = match parsed() {
            Ok(parsed) => parsed,
            Err(failure) => return Ok(Err(failure)),
        };
        let cx = self.cx.clone();
        let read = async |asked| (asked, read(&cx, asked).await);
        let mut reads = pin!(stream::iter(&join.groups).map(read).buffered(READ_AHEAD));
        while let Some((asked, read)) = in_time(reads.next()).await? {
            // Snapshots of busy groups are long: a client that takes them in is not too slow.
            self.cx.room().await?;
            let admitted = match read {
                Ok(read) => self.admit(reference, read).await?,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = admitted {
                self.cx.refuse(Some(reference), &asked.group, &failure);
            }
        }
        Ok(Ok(()))
    }

    async fn admit(&mut self, reference: &str, read: Read) -> Result<Result<(), Failure>, CloseCode> {
        let Read { group, joined: read, resumes } = read;
        let page = read.recovered.page();
        let (slots, texts) = if resumes == Resumes::Recovered {
            let texts = read.texts(Keep::Oldest, RESUME_MAX, SLOTS_BYTES);
            let given = Given::Messages(texts.entries(page));
            match slots(&mut self.consumers, &group, given, &self.cx).await? {
                Ok(slots) => (slots, texts),
                Err(failure) => return Ok(Err(failure)),
            }
        } else {
            match slots(&mut self.consumers, &group, Given::Snapshot(page), &self.cx).await? {
                Ok(slots) => {
                    let slots_bytes = slots.iter().map(|(_, slot)| slot.get().len()).sum();
                    (slots, read.texts(Keep::Newest, SNAPSHOT_MAX, slots_bytes))
                }
                Err(failure) => return Ok(Err(failure)),
            }
        };
        let (messages, slots, more) = (&*texts.texts, &*slots, texts.is_cut || page.more);
        let head = page.head;
        read.admit_with(|| {
            // The joiner counts: it has entered by now.
            let occupancy = self.cx.occupancy(&group).now_or_never().flatten();
            let snapshot = Snapshot { messages, more, occupancy, slots };
            let outcome = match resumes {
                Resumes::Never => Outcome::Snapshot(snapshot),
                Resumes::Recovered => Outcome::Recovered { messages, more, slots },
                Resumes::Lost(reason) => Outcome::Lost { reason: reason.as_str(), snapshot },
            };
            joined(reference, group.as_str(), Some(on_wire(head)), &outcome)
        });
        Ok(Ok(()))
    }

    pub(super) fn leave(&self, request: &Request) -> Result<(), Failure> {
        let leave: Leave = request.body()?;
        leave.check(&self.doors.limits)?;
        for name in &leave.groups {
            let left: Result<GroupName, _> = name.parse();
            match left {
                Ok(group) => {
                    self.cx.leave(&group);
                    if let Some(reference) = request.reference() {
                        self.cx.reply(&Left { reference, group: name });
                    }
                }
                Err(error) => self.cx.refuse(request.reference(), name, &error.into()),
            }
        }
        Ok(())
    }
}

async fn read(cx: &Context, asked: &JoinGroup) -> Result<Read, Failure> {
    let read = read_history(cx, asked).await?;
    // Who is there is asked for once it is heard who comes; then it is known when the snapshot is made.
    cx.occupancy(&read.group).await;
    Ok(read)
}

async fn read_history(cx: &Context, asked: &JoinGroup) -> Result<Read, Failure> {
    let group: GroupName = asked.group.parse()?;
    let Some(since) = asked.since else {
        let joined = cx.join_since(&group, Span::Latest, SNAPSHOT_MAX).await?;
        return Ok(Read { group, joined, resumes: Resumes::Never });
    };
    let since = from_wire(since)?;
    let joined = cx.join_since(&group, Span::After(since), RESUME_MAX).await?;
    let resumes = match &joined.recovered {
        Recovered::Gap(reason, _) => Resumes::Lost(*reason),
        Recovered::All(page)
            if page.more && !page.messages.iter().any(|posted| matches!(posted.body, Body::Frame(_))) =>
        {
            // A client reads on from the last message that it is given, and of these it is given none.
            Resumes::Lost(GapReason::TooFar)
        }
        Recovered::All(_) => Resumes::Recovered,
    };
    if resumes == Resumes::Lost(GapReason::TooFar) {
        // What was read is the beginning of what it missed; a snapshot is the end.
        drop(joined);
        let joined = cx.join_since(&group, Span::Latest, SNAPSHOT_MAX).await?;
        return Ok(Read { group, joined, resumes });
    }
    Ok(Read { group, joined, resumes })
}

/// What was read for one group of a join.
struct Read {
    group: GroupName,
    joined: Joined,
    resumes: Resumes,
}

/// What became of the position that a client came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resumes {
    /// It had none.
    Never,
    /// What came after it was read, all of it or the first.
    Recovered,
    /// It is of no use.
    Lost(GapReason),
}
