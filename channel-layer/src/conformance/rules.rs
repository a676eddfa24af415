//! The rules that have a case, by their numbers in `docs/channel-layer-spec.md`, and how a case says that one is broken.

use std::{
    fmt::{Debug, Display},
    time::Duration,
};
use tokio::time::timeout;

/// How long anything may take: seconds, for a loaded machine must not look like a fault.
pub(super) const PATIENT: Duration = Duration::from_secs(10);

/// A numbered rule of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its number in the document. A number is never given to another rule.
    pub number: &'static str,
    /// What it says, in short.
    pub says: &'static str,
}

macro_rules! rules {
    ($($number:ident $says:literal;)*) => {
        $(pub(super) const $number: Rule = Rule { number: stringify!($number), says: $says };)*
        /// Every rule that has a case, in the document's order.
        pub const RULES: &[Rule] = &[$($number),*];
    };
}

rules! {
    N1 "no two mailboxes ever have one address, and an address tells its node";
    N2 "what follows the `!` of an address is for the mailbox's owner";
    G1 "a mailbox holds the capacity that it was made for";
    G2 "a join is idempotent, and possible for a mailbox of this node only";
    G3 "what is sent after a join was answered arrives";
    G4 "a join whose answer was dropped is a join";
    G5 "what is sent after a discard, and before the next join, is not delivered";
    G6 "a dropped mailbox has left all its groups, and nothing of it stays";
    S1 "a send has its place in the order when it is called";
    S2 "dropping an answer does not unsend";
    S3 "a message goes to every member on every node, the sender's own mailbox included";
    S4 "whom `except` names is said to every mailbox, and in the history";
    S5 "the answer says the message's id, its position or that it has none, and how far it got";
    S6 "a sender does not wait for a member";
    S7 "a group has one order everywhere, and each caller's messages stand in it in the order of the calls";
    S8 "what is over the limit is too large, and goes nowhere; what is at the limit goes";
    S9 "groups are apart, and so are hubs on one backend";
    S10 "a message arrives as it was sent";
    S11 "an ephemeral message has no position and no history";
    I1 "a repeat is answered with the first one's position, and is not kept or delivered again";
    I2 "another message with a known id is a conflict; digests decide which is another";
    I3 "a repeat whose id may have been forgotten is undecided, and never a second copy";
    I4 "ephemeral messages are not deduplicated";
    A1 "an amendment reaches every member under its target's id, with its position, its version and where the first stood";
    A2 "only the owner of a message may amend it, however often it was amended before";
    A3 "what is not in the history cannot be amended, and what is refused takes no offset";
    A4 "an amendment is a message: it has its place in the order when called, and its repeat reaches nobody";
    A5 "a reader finds the newest version alone, in its place, and no hole where others were";
    A6 "versions count on, each amendment has its own, and a deletion is the last";
    L1 "a reader that fell behind is told exactly how many it missed, and the history has them";
    H1 "a position names one message for ever, and offsets begin at 1 and rise by one";
    H2 "a reader is given what came after its position, oldest first, and told whether there is more";
    H3 "the last of a history comes oldest first, with whether there are older ones";
    H4 "a history that nobody has used is empty, and its head has offset 0";
    H5 "what cannot be gone on from is a gap, with its reason and the last of the history";
    H6 "a position from an answer, or from another node, is good at once";
    H7 "every node gives the same history";
    H8 "what came before a position is read backwards, page by page, to the first message that is kept";
    D1 "a direct message reaches the one mailbox of its address, on any node, as it was sent";
    D2 "an address of this node that leads nowhere is no such channel";
    D3 "a direct message is in no history, and no id keeps it back";
    E1 "a layer says how it is, and its scope";
    E2 "what was called before a shutdown still goes";
    E3 "after a shutdown a mailbox gives what waits, then that it is closed";
    E4 "what is called after a shutdown is closed, and a second shutdown succeeds";
    E5 "a layer that was shut down, or dropped, leaves no task behind";
    E6 "a link that was lost comes back by itself, and what others sent meanwhile is delivered once, in order";
    E7 "an answer and a wait for a delivery may be dropped at any time, and nothing is lost by it";
    P1 "who enters is in the roster and the number at once, by the name that was said last";
    P2 "mailboxes on every node are told who has come and who has gone, and not who merely has another connection";
    P3 "somebody is one member, however many connections they have, on whichever nodes";
    P4 "every node shows the same members";
    P5 "members that are too many to be named are numbers, on every node, until they are few again";
    P6 "the members of a node that ends are gone, and those of one that vanished when its lease is over";
    P7 "presence never fails: who was not there cannot leave, and groups and hubs are apart";
    P8 "after a lost link presence is right again";
    R1 "from the answer to connect on, messages to the node come in, and those to others do not";
    R2 "connecting anew ends the link before, and its subscriptions";
    R3 "opening an unused group begins the drawn epoch, and all who open it get the same";
    R4 "an opening gives what came after the known position, or the last of the history and why";
    R5 "nothing but an opening makes a group, or begins an epoch";
    R6 "a batch gets one verdict a message, in order, and offsets rise by one from 1";
    R7 "an id that is known is answered with its first position, or is a conflict, and nothing is numbered";
    R8 "a publish that does not follow the node's last one is fenced, and changes nothing";
    R9 "`Known` and `Conflict` count in the chain, `Stale` and `Fenced` do not";
    R10 "a publish of another epoch is stale, and changes nothing";
    R11 "an ephemeral message is passed on without position, and not kept";
    R12 "once subscribe is answered, what is published is pushed, in order, to every node";
    R13 "after unsubscribe nothing of the group is pushed";
    R14 "what an opening reads and what is pushed leave no hole between them";
    R15 "a read is as history, and a group that is not held is unopened";
    R16 "a relay does not wait for a reader that is too slow, and says that it dropped something";
    R17 "when a link ends its reader is told or the channel closes, calls fail, and connecting makes another";
    R18 "what a crash lost shows: no position is given twice, and what is whole stays good";
    R19 "an id that may have been forgotten since the floor is undecided, and counts in the chain";
    R20 "hubs on one backend are apart";
    R21 "a message arrives as it was sent, pushed and read";
    R22 "an amendment is checked, numbered, and takes the place of its target in the history, in one step";
    R23 "who announces itself is listed until it withdraws, or nobody is";
    R24 "a row of presence is read as it was put, by every node, until it is withdrawn";
    R25 "a row holds for its lease, and longer when its very version is renewed";
    R26 "who writes a row is told whether it is there, and which others hold";
    R27 "a change of presence is pushed to the nodes that hear the group, and a renewal to none";
}

impl Rule {
    /// Ends the case.
    #[track_caller]
    pub(super) fn broken(self, how: impl Display) -> ! {
        panic!("rule {} of docs/channel-layer-spec.md is broken ({}): {how}", self.number, self.says)
    }

    #[track_caller]
    pub(super) fn holds(self, holds: bool, otherwise: impl Display) {
        if !holds {
            self.broken(otherwise);
        }
    }

    /// What is there must be what is expected.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "what is compared is often made for it")]
    pub(super) fn same<T: PartialEq + Debug>(self, what: impl Display, there: T, expected: T) {
        if there != expected {
            self.broken(format_args!("{what}: {there:?} instead of {expected:?}"));
        }
    }

    #[track_caller]
    pub(super) fn ok<T, E: Debug>(self, what: impl Display, answer: Result<T, E>) -> T {
        match answer {
            Ok(answer) => answer,
            Err(error) => self.broken(format_args!("{what} was answered with {error:?}")),
        }
    }

    #[track_caller]
    pub(super) fn some<T>(self, what: impl Display, found: Option<T>) -> T {
        match found {
            Some(found) => found,
            None => self.broken(format_args!("there is no {what}")),
        }
    }

    /// What is awaited, in time.
    pub(super) async fn in_time<T>(self, what: impl Display, wait: impl Future<Output = T>) -> T {
        match timeout(PATIENT, wait).await {
            Ok(done) => done,
            Err(_) => self.broken(format_args!("waited {PATIENT:?} in vain: {what}")),
        }
    }

    /// Looks again and again until it is so.
    pub(super) async fn at_last(self, what: impl Display, mut is_so: impl FnMut() -> bool) {
        let look = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        self.in_time(what, look).await;
    }
}
