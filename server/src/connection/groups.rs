//! The core words about groups: join and leave. Each mounted consumer is asked what it has to say beside what a joiner is given.

use crate::{
    connection::{
        member::Member,
        slots::{Given, slots},
    },
    consumer::{Context, Failure, careful::in_time, desk::Desk, joined::Hold},
    position::{from_wire, on_wire},
    worker::texts::{Keep, SLOTS_BYTES, SNAPSHOT_MAX, texts},
};
use channel_layer::{Body, GapReason, GroupName, Recovered, Span};
use futures_util::{
    FutureExt,
    stream::{self, StreamExt},
};
use palabre_protocol::{CloseCode, Join, JoinGroup, Leave, Left, Outcome, Request, Snapshot, joined};
use std::{pin::pin, rc::Rc};

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
                Ok(read) => self.admit(reference, read).await?,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = admitted {
                self.desk.refuse(Some(reference), Some(&asked.group), &failure);
            }
        }
        Ok(Ok(()))
    }

    async fn admit(&mut self, reference: &str, read: Read) -> Result<Result<(), Failure>, CloseCode> {
        let Read { group, recovered, hold, resumes } = read;
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
            joined(reference, group.as_str(), Some(on_wire(head)), &outcome)
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
    let read = read_history(desk, asked).await?;
    // Who is there is asked for once it is heard who comes; then it is known when the snapshot is made.
    cx.occupancy(&read.group).await;
    Ok(read)
}

async fn read_history(desk: &Desk, asked: &JoinGroup) -> Result<Read, Failure> {
    let group: GroupName = asked.group.parse()?;
    let Some(since) = asked.since else {
        let (recovered, hold) = desk.hold(&group)?.read(Span::Latest, SNAPSHOT_MAX).await?;
        return Ok(Read { group, recovered, hold, resumes: Resumes::Never });
    };
    let since = from_wire(since)?;
    let (recovered, hold) = desk.hold(&group)?.read(Span::After(since), RESUME_MAX).await?;
    let resumes = match &recovered {
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
        drop(hold);
        let (recovered, hold) = desk.hold(&group)?.read(Span::Latest, SNAPSHOT_MAX).await?;
        return Ok(Read { group, recovered, hold, resumes });
    }
    Ok(Read { group, recovered, hold, resumes })
}

/// What was read for one group of a join.
struct Read {
    group: GroupName,
    recovered: Recovered,
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
