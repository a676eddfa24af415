//! Requests from strangers: whatever the text, there is an answer, and no panic.

use palabre_protocol::{ErrorCode, Hello, History, Join, Leave, Limits, Request, Send, Typing, decode};
use std::{fs, path::Path};

/// Enough for a second or two in a build without optimization.
const INPUTS: u64 = 30_000;

/// A refusal is sent to the client, who is told no more than it needs.
const MESSAGE_BYTES_MAX: usize = 400;

/// Every frame and every bad text that is kept.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for folder in ["frames", "frames/bad"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let entries = fs::read_dir(folder).expect("the folder is part of the crate");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
        files.sort();
        for path in files.iter().filter(|path| path.is_file()) {
            let file = fs::read(path).expect("it can be read");
            let file: serde_json::Value = serde_json::from_slice(&file).expect("a golden file is JSON");
            let text = file["text"].as_str().map_or_else(|| file["frame"].to_string(), str::to_owned);
            // The long ones would leave no time for the others.
            corpus.extend((text.len() <= 2_048).then(|| text.into_bytes()));
        }
    }
    corpus
}

/// What each of the hub's words does with a request before anything else.
fn read(request: &Request, limits: &Limits) {
    let outcomes = [
        request.body::<Hello<'_>>().and_then(|hello| hello.check(limits)),
        request.body::<Join>().and_then(|join| join.check(limits)),
        request.body::<Leave>().and_then(|leave| leave.check(limits)),
        request.body::<Send<'_>>().and_then(|send| send.written().check(limits)),
        request.body::<History>().map(drop),
        request.body::<Typing>().map(drop),
    ];
    for refusal in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(matches!(refusal.code, ErrorCode::BadRequest | ErrorCode::TooLarge), "{refusal}");
        assert!(refusal.message.len() <= MESSAGE_BYTES_MAX, "{refusal}");
    }
}

#[test]
fn whatever_a_client_says_is_read_or_refused() {
    let corpus = corpus();
    assert!(corpus.len() > 150, "{} texts", corpus.len());
    let limits = Limits::default();
    let mut taken = 0;
    palabre_fuzz::each(&corpus, INPUTS, |bytes| {
        // What is no UTF-8 does not get so far.
        let text = String::from_utf8_lossy(bytes);
        match decode(&*text, &limits) {
            Ok(request) => {
                taken += 1;
                assert!((1..=64).contains(&request.kind().len()));
                read(&request, &limits);
            }
            Err(rejected) => {
                let refusal = rejected.refusal;
                let codes = [ErrorCode::BadJson, ErrorCode::BadRequest, ErrorCode::TooDeep];
                assert!(codes.contains(&refusal.code), "{refusal}");
                assert!(refusal.message.len() <= MESSAGE_BYTES_MAX, "{refusal}");
            }
        }
    });
    assert!(taken > INPUTS / 100, "only {taken} texts were requests: the mutations are too wild");
}
