//! The core words about groups: join and leave. Each mounted consumer is asked what it has to say beside what a joiner is given.

use crate::{
    connection::{
        member::Member,
        slots::{Given, slots},
    },
    consumer::{Context, Failure, careful::in_time, desk::Desk, joined::Hold},
    position::{from_wire, on_wire},
    worker::{
        held::Asked,
        texts::{Keep, SLOTS_BYTES, SNAPSHOT_MAX, texts},
    },
};
use bytes::Bytes;
use channel_layer::{Body, GapReason, GroupName, Position, Posted, Recovered, Span};
use futures_util::{
    FutureExt,
    stream::{self, StreamExt},
};
use palabre_protocol::{
    CloseCode, Join, JoinGroup, Leave, Left, Outcome, Request, Snapshot, joined, resumed,
};
use std::{pin::pin, rc::Rc, sync::Arc};

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
        let (desk, cx) = (Rc::clone(&self.desk), self.cx.clone());
        let read = async |asked| (asked, read(&desk, &cx, asked).await);
        let mut reads = pin!(stream::iter(&join.groups).map(read).buffered(READ_AHEAD));
        while let Some((asked, read)) = in_time(reads.next()).await? {
            // Snapshots of busy groups are long: a client that takes them in is not too slow.
            self.desk.room().await?;
            let admitted = match read {
                Ok(read) => self.admit(Some(reference), read).await?,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = admitted {
                self.desk.refuse(Some(reference), Some(&asked.group), &failure);
            }
        }
        Ok(Ok(()))
    }

    /// Answers what could not be answered when the client asked for it.
    pub(super) async fn answer(&mut self, group: &GroupName) -> Result<(), CloseCode> {
        let Some(Asked { since }) = self.desk.awaits(group) else { return Ok(()) };
        let read = in_time(read_history(&self.desk, group, since)).await?;
        self.desk.room().await?;
        let answered = match read {
            Ok(read) => self.admit(None, read).await?,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = answered {
            self.desk.refuse(None, Some(group.as_str()), &failure);
        }
        Ok(())
    }

    /// Makes the client a member; `reference` is that of its request, if it is this that answers it.
    async fn admit(&mut self, reference: Option<&str>, read: Read) -> Result<Result<(), Failure>, CloseCode> {
        let Read { group, since, recovered, hold, resumes } = read;
        let Some(recovered) = recovered else {
            // Whoever waited already goes on waiting.
            let word = || match reference {
                Some(reference) => joined(reference, group.as_str(), None, &Outcome::Pending),
                None => Bytes::new(),
            };
            return Ok(hold.wait(since, word));
        };
        let page = recovered.page();
        let (slots, texts) = if resumes == Resumes::Recovered {
            let texts = texts(page, Keep::Oldest, RESUME_MAX, SLOTS_BYTES);
            let given = Given::Messages(texts.entries(page));
            match slots(&mut self.consumers, &group, given, &self.desk).await? {
                Ok(slots) => (slots, texts),
                Err(failure) => return Ok(Err(failure)),
            }
        } else {
            match slots(&mut self.consumers, &group, Given::Snapshot(page), &self.desk).await? {
                Ok(slots) => {
                    let slots_bytes = slots.iter().map(|(_, slot)| slot.get().len()).sum();
                    (slots, texts(page, Keep::Newest, SNAPSHOT_MAX, slots_bytes))
                }
                Err(failure) => return Ok(Err(failure)),
            }
        };
        let (messages, slots, more) = (&*texts.texts, &*slots, texts.is_cut || page.more);
        let head = page.head;
        let admitted = hold.admit(|| {
            // The joiner counts: it has entered by now.
            let occupancy = self.cx.occupancy(&group).now_or_never().flatten();
            let snapshot = Snapshot { messages, more, occupancy, slots };
            let outcome = match resumes {
                Resumes::Never => Outcome::Snapshot(snapshot),
                Resumes::Recovered => Outcome::Recovered { messages, more, slots },
                Resumes::Lost(reason) => Outcome::Lost { reason: reason.as_str(), snapshot },
            };
            match reference {
                Some(reference) => joined(reference, group.as_str(), Some(on_wire(head)), &outcome),
                None => resumed(group.as_str(), Some(on_wire(head)), &outcome),
            }
        });
        Ok(admitted)
    }

    pub(super) fn leave(&self, request: &Request) -> Result<(), Failure> {
        let leave: Leave = request.body()?;
        leave.check(&self.doors.limits)?;
        for name in &leave.groups {
            let left: Result<GroupName, _> = name.parse();
            match left {
                Ok(group) => {
                    self.desk.leave(&group);
                    if let Some(reference) = request.reference() {
                        self.desk.reply(&Left { reference, group: name });
                    }
                }
                Err(error) => self.desk.refuse(request.reference(), Some(name), &error.into()),
            }
        }
        Ok(())
    }
}

async fn read(desk: &Desk, cx: &Context, asked: &JoinGroup) -> Result<Read, Failure> {
    let group: GroupName = asked.group.parse()?;
    let since = asked.since.map(from_wire).transpose()?;
    let read = read_history(desk, &group, since).await?;
    // Who is there is asked for once it is heard who comes; then it is known when the snapshot is made.
    cx.occupancy(&read.group).await;
    Ok(read)
}

async fn read_history(desk: &Desk, group: &GroupName, since: Option<Position>) -> Result<Read, Failure> {
    let read = async |span, messages_max| desk.hold(group)?.read(span, messages_max).await;
    let as_read = |(recovered, hold), resumes| Read { group: group.clone(), since, recovered, hold, resumes };
    let Some(since) = since else {
        return Ok(as_read(read(Span::Latest, SNAPSHOT_MAX).await?, Resumes::Never));
    };
    let missed = read(Span::After(since), RESUME_MAX).await?;
    let resumes = match &missed.0 {
        // It is answered later.
        None => Resumes::Recovered,
        Some(Recovered::Gap(reason, _)) => Resumes::Lost(*reason),
        Some(Recovered::All(page)) => match page.gap_after(since) {
            Some(reason) => Resumes::Lost(reason),
            // A client reads on from the last message that it is given, and of these it is given none.
            None if page.more && !page.messages.iter().any(is_shown) => Resumes::Lost(GapReason::TooFar),
            None => Resumes::Recovered,
        },
    };
    if !matches!((&missed.0, resumes), (Some(Recovered::All(_)), Resumes::Lost(_))) {
        return Ok(as_read(missed, resumes));
    }
    // What was read is the beginning of what it missed; a snapshot is the end.
    drop(missed);
    Ok(as_read(read(Span::Latest, SNAPSHOT_MAX).await?, resumes))
}

fn is_shown(posted: &Arc<Posted>) -> bool {
    matches!(posted.body, Body::Frame(_))
}

/// What was read for one group of a join.
struct Read {
    group: GroupName,
    /// The position that the client brought.
    since: Option<Position>,
    /// `None`: it cannot be read now.
    recovered: Option<Recovered>,
    hold: Hold,
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
