//! The golden frames are what this crate reads and writes, and what the specification shows.
//!
//! The list of cases is the directory: a file that is put into `frames/` is tested. A client's frame must be taken;
//! a hub's frame is rebuilt from its values by the type that it names, and what is encoded must equal it; a bad text must
//! be refused with its code, its `ref` and a message that names the field.

#![expect(clippy::unwrap_used, reason = "what helps a test fails like a test")]

mod rebuild;
mod values;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use palabre_protocol::{
    Delete, Edit, ErrorCode, Hello, History, Join, Leave, Limits, Position, Presence, React, Read, Refusal,
    Rejected, Request, Send, Typing, decode, payload,
};
use serde_json::Value;
use serde_json::value::RawValue;

use rebuild::rebuild;
use values::text;

#[test]
fn every_golden_frame_of_a_client_is_taken() {
    for (name, case) in cases("frames", Some("client")) {
        let text = case["frame"].to_string();
        let request = decode(&*text, &Limits::default()).unwrap_or_else(|no| panic!("{name}: {no:?}"));
        assert_eq!(request.kind(), case["frame"]["type"], "{name}");
        assert_eq!(request.reference(), case["frame"]["ref"].as_str(), "{name}");
        understand(&request).unwrap_or_else(|no| panic!("{name}: {no}"));
    }
}

#[test]
fn a_clients_fields_arrive_as_they_were_said() {
    let said =
        |name: &str| decode(cases("frames", None)[name]["frame"].to_string(), &Limits::default()).unwrap();
    let request = said("hello.returning");
    let hello: Hello<'_> = request.body().unwrap();
    assert!(hello.token.is_some_and(|token| token.starts_with("v1.g-")));
    assert_eq!(hello.name.as_deref(), Some("Ana"));

    let join: Join = said("join.since").body().unwrap();
    let since = Position { epoch: 0x9f2c_41d0_7ab3_5e68, offset: 17 };
    assert_eq!((&*join.groups[0].group, join.groups[0].since), ("lobby", Some(since)));
    assert_eq!((&*join.groups[1].group, join.groups[1].since), ("garden", None));

    assert_eq!(said("leave").body::<Leave>().unwrap().groups, ["lobby", "garden"]);

    let request = said("chat.send.rich");
    let send: Send<'_> = request.body().unwrap();
    assert_eq!((&*send.group, &*send.client_id), ("lobby", "bo_000000001"));
    assert_eq!(send.data.map(RawValue::get), Some(r#"{"mood":["curious",2]}"#));
    assert_eq!(send.reply_to.as_deref().map(str::len), Some(32));
    assert_eq!(send.since, Some(since));
}

#[test]
fn every_golden_frame_of_the_hub_is_what_its_type_encodes() {
    for (name, case) in cases("frames", Some("hub")) {
        let frame = rebuild(&case["frame"]);
        let written: Value =
            serde_json::from_slice(&payload(&frame)).unwrap_or_else(|no| panic!("{name}: {no}"));
        assert_eq!(written, case["frame"], "{name}");
    }
}

#[test]
fn every_bad_text_is_refused_by_the_rule_that_it_breaks() {
    for (name, case) in cases("frames/bad", None) {
        let rejected = refusal_of(text(&case["text"])).unwrap_or_else(|| panic!("{name} was taken"));
        let Rejected { refusal, reference } = &rejected;
        assert_eq!(refusal.code.as_str(), case["code"], "{name}: {refusal}");
        assert_eq!(reference.as_deref(), case["ref"].as_str(), "{name}: {refusal}");
        if let Some(part) = case["names"].as_str() {
            assert!(refusal.message.contains(part), "{name} must name {part}: {refusal}");
        }
    }
}

#[test]
fn a_text_that_is_cut_anywhere_is_bad_json() {
    for case in cases("frames", Some("client")).into_values() {
        let text = case["frame"].to_string();
        let cuts = text.char_indices().map(|(place, _)| &text[..place]).take(400);
        for cut in cuts {
            let rejected = decode(cut, &Limits::default()).unwrap_err();
            assert_eq!((rejected.refusal.code, rejected.reference), (ErrorCode::BadJson, None), "{cut}");
        }
    }
}

#[test]
fn the_examples_of_the_specification_are_golden_frames() {
    let page = fs::read_to_string(root().join("../docs/protocol.md")).unwrap();
    let frames: Vec<Value> = cases("frames", None).into_values().map(|case| case["frame"].clone()).collect();
    let examples: Vec<&str> =
        page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() > 20, "only {} examples were found", examples.len());
    for example in examples {
        let value: Value = serde_json::from_str(example).unwrap_or_else(|no| panic!("{no} in {example}"));
        assert!(frames.contains(&value), "no golden frame is {example}");
    }
}

/// What the hub does with a frame that was decoded: reads its body as the type that belongs to the word.
fn understand(request: &Request) -> Result<(), Refusal> {
    let limits = Limits::default();
    match request.kind() {
        "hello" => request.answer_to().and_then(|_| request.body::<Hello<'_>>()?.check(&limits)),
        "join" => request.answer_to().and_then(|_| request.body::<Join>()?.check(&limits)),
        "leave" => request.body::<Leave>()?.check(&limits),
        "presence" => request.answer_to().and_then(|_| request.body::<Presence>().map(drop)),
        "chat.send" => request.body::<Send<'_>>()?.written().check(&limits),
        "chat.edit" => request.body::<Edit<'_>>()?.written().check(&limits),
        "chat.delete" => request.body::<Delete<'_>>().map(drop),
        "chat.react" => request.body::<React>().map(drop),
        "chat.read" => request.body::<Read>().map(drop),
        "chat.typing" => request.body::<Typing>().map(drop),
        "history" => request.answer_to().and_then(|_| request.body::<History>()?.check()).map(drop),
        "ping" | "pong" => Ok(()),
        _ => Err(request.unknown_type()),
    }
}

fn refusal_of(text: &str) -> Option<Rejected> {
    match decode(text, &Limits::default()) {
        Err(rejected) => Some(rejected),
        Ok(request) => {
            let reference = request.reference().map(Into::into);
            understand(&request).err().map(|refusal| Rejected { refusal, reference })
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder by name, those of one direction only if one is given.
fn cases(folder: &str, direction: Option<&str>) -> BTreeMap<String, Value> {
    let mut cases = BTreeMap::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let case: Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap_or_else(|no| panic!("{name}: {no}"));
        assert!(case["about"].is_string(), "{name} says nothing about itself");
        assert!(folder != "frames" || matches!(case["direction"].as_str(), Some("client" | "hub")), "{name}");
        if direction.is_none_or(|wanted| case["direction"] == wanted) {
            cases.insert(name, case);
        }
    }
    assert!(cases.len() >= 10, "only {} cases were found in {folder}", cases.len());
    cases
}
