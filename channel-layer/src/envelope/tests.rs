//! What is written is read, whatever else comes is no panic, and other builds' envelopes are what they were.
//!
//! `golden/first.txt` was written by the first build, which knew neither owners nor amendments; `golden/amend.txt` by the
//! one that brought them. A line is a name and an envelope in hexadecimal digits. The files are never changed: a build that
//! writes something else adds a file, and reads them all.

use super::*;
use crate::amend::Amends;

const FIRST: &str = include_str!("../../golden/first.txt");
const AMEND: &str = include_str!("../../golden/amend.txt");

const ID: u128 = 0x9e9d_f6bf_09a6_d235_50d1_ea26_799f_ab42;
const BODY: &str = r#"{"type":"chat.message","client_id":"c-5b1e9f02","ts":1793620801000,"user":{"id":"g-1","name":"Ana"},"text":"Good morning!","version":1}"#;

fn id() -> MessageId {
    MessageId::from_u128(ID)
}

fn golden(file: &str, name: &str) -> Bytes {
    let line = file.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let digits = line.unwrap_or_else(|| panic!("no envelope named {name}"));
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn first_messages() -> [(&'static str, Message); 4] {
    let except = || "n.1!s".parse().unwrap();
    [
        ("frame", Message::frame(id(), BODY)),
        ("excluding", Message::frame(id(), BODY).except(except())),
        ("event", Message::event(id(), "chat.kick", "data")),
        ("event_excluding", Message::event(id(), "chat.kick", "").except(except())),
    ]
}

fn owned() -> Message {
    Message::frame(id(), BODY)
        .owned_by(Owner::from_u64(0x0123_4567_89ab_cdef))
        .except("n.1!s".parse().unwrap())
}

/// An amendment as it leaves its sender's node, and as Redis completes it.
fn amendment(amendment: Amendment) -> (Bytes, Bytes) {
    let mut message = owned();
    message.id = MessageId::from_u128(7);
    let sent = encode(&message.amending(Amends { target: id(), amendment }));
    let mut completed = sent.to_vec();
    completed[FILLED_IN].copy_from_slice(b"00000000000000ff000000000000001100000002");
    (sent, completed.into())
}

fn same(a: &Message, b: &Message) -> bool {
    (a.id, &a.except, &a.body, a.owner, a.digest()) == (b.id, &b.except, &b.body, b.owner, b.digest())
}

#[test]
fn what_was_encoded_is_decoded() {
    let messages = first_messages().map(|(_, message)| message).into_iter().chain([owned()]);
    for message in messages {
        let decoded = decode(encode(&message)).unwrap();
        assert!(same(&decoded.message, &message) && decoded.version.is_none(), "{message:?}");
    }
}

#[test]
fn an_amendment_bears_its_target_s_id_and_says_where_version_1_stands() {
    for kind in [Amendment::Replace, Amendment::Delete] {
        let (sent, completed) = amendment(kind);
        assert_eq!(decode(sent).err(), Some(Malformed), "without a place it is none yet");
        let decoded = decode(completed).unwrap();
        assert!(same(&decoded.message, &owned()), "{decoded:?}");
        let first = Position { epoch: Epoch::from_u64(255).unwrap(), offset: 17 };
        let by = MessageId::from_u128(7);
        assert_eq!(decoded.version, Some(Version { number: 2, first: Some(first), by, amendment: kind }));
    }
}

#[test]
fn a_field_of_a_newer_node_is_passed_over() {
    for good in [encode(&owned()), amendment(Amendment::Replace).1] {
        let before = decode(good.clone()).unwrap();
        let mut bytes = good.to_vec();
        let length = u16::from_be_bytes([bytes[18], bytes[19]]) + 5;
        bytes[18..20].copy_from_slice(&length.to_be_bytes());
        bytes.splice(20..20, [99, 0, 2, 1, 2]);
        let after = decode(bytes.into()).unwrap();
        assert!(same(&after.message, &before.message) && after.version == before.version);
    }
}

#[test]
fn whatever_else_comes_is_malformed_and_never_a_panic() {
    for good in [encode(&first_messages()[3].1), amendment(Amendment::Delete).1] {
        for cut in 0..FIXED_BYTES {
            assert_eq!(decode(good.slice(..cut)).err(), Some(Malformed), "cut at {cut}");
        }
        for position in 0..good.len() {
            for value in [0, 1, 2, 0x7f, 0x80, 0xff] {
                let mut bytes = good.to_vec();
                bytes[position] = value;
                // Some changes only make another message; none may panic.
                let _any = decode(bytes.into());
            }
        }
        let mut other_version = good.to_vec();
        other_version[0] = 2;
        assert_eq!(decode(other_version.into()).err(), Some(Malformed));
    }
    assert_eq!(decode(vec![1; ENVELOPE_BYTES_MAX + 1].into()).err(), Some(Malformed));
}

#[test]
fn the_first_build_s_envelopes_are_read_and_still_written() {
    for (name, message) in first_messages() {
        let envelope = golden(FIRST, name);
        assert_eq!(encode(&message), envelope, "{name}: what has no owner is written as before");
        let decoded = decode(envelope).unwrap();
        assert!(same(&decoded.message, &message) && decoded.version.is_none(), "{name}");
        assert_eq!(decoded.message.owner, None, "{name}: nobody may amend it");
    }
}

#[test]
fn what_this_build_adds_stands_where_the_first_one_passes_over_it() {
    let messages = [
        ("owned", encode(&owned())),
        ("replaced", amendment(Amendment::Replace).1),
        ("deleted", amendment(Amendment::Delete).1),
    ];
    for (name, envelope) in messages {
        assert_eq!(envelope, golden(AMEND, name), "{name}");
        // The first build reads the version, the kind, the id, the fields that it knows, and the body.
        let mut header = &envelope[FIXED_BYTES..envelope.len() - BODY.len()];
        assert_eq!(
            (envelope[0], envelope[1], &envelope[2..18]),
            (VERSION, KIND_FRAME, &ID.to_be_bytes()[..])
        );
        assert_eq!(usize::from(u16::from_be_bytes([envelope[18], envelope[19]])), header.len(), "{name}");
        assert!(envelope.ends_with(BODY.as_bytes()));
        let mut tags = Vec::new();
        while let [tag, high, low, rest @ ..] = header {
            tags.push(*tag);
            header = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
        }
        let known: Vec<u8> =
            tags.iter().copied().filter(|tag| [TAG_EXCEPT, TAG_EVENT_KIND].contains(tag)).collect();
        assert_eq!((known, header.len()), (vec![TAG_EXCEPT], 0), "{name}");
    }
}

/// Enough for a second or two in a build without optimization.
const INPUTS: u64 = 60_000;

#[test]
fn whatever_stands_in_the_backend_is_read_or_passed_over() {
    let names =
        |file: &'static str| file.lines().filter_map(move |line| Some((file, line.split_once(' ')?.0)));
    let corpus: Vec<_> =
        names(FIRST).chain(names(AMEND)).map(|(file, name)| golden(file, name).to_vec()).collect();
    let mut taken = 0;
    palabre_fuzz::each(&corpus, INPUTS, |bytes| {
        let Ok(Decoded { message, .. }) = decode(Bytes::copy_from_slice(bytes)) else { return };
        taken += 1;
        // What was taken is a message like any other: another node is given the same.
        assert!(same(&decode(encode(&message)).unwrap().message, &message));
    });
    assert!(taken > INPUTS / 100, "only {taken} inputs were envelopes: the mutations are too wild");
}

#[test]
fn a_kind_that_no_envelope_could_carry_on_is_malformed() {
    let mut bytes = encode(&Message::event(id(), "chat.kick", "")).to_vec();
    bytes.truncate(FIXED_BYTES);
    bytes[FIXED_BYTES - 2..].copy_from_slice(&u16::MAX.to_be_bytes());
    bytes.push(TAG_EVENT_KIND);
    bytes.extend((u16::MAX - 3).to_be_bytes());
    bytes.resize(FIXED_BYTES + usize::from(u16::MAX), b'k');
    assert_eq!(decode(bytes.into()).err(), Some(Malformed));
}
