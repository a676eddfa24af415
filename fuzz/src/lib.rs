//! Bytes that nobody would send, drawn from a corpus of those that somebody would.
//!
//! Whoever reads what strangers write has a test beside it that calls [`each`]: first with every entry of the corpus as it
//! is, then with a number of mutations. The same seed draws the same bytes, and stands in the panic of the input that
//! failed; `PALABRE_FUZZ_SEED` and `PALABRE_FUZZ_INPUTS` draw others, and more of them. On stable Rust, so that the gate
//! runs it; there is no coverage to guide it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What is drawn unless the environment says otherwise.
const SEED: u64 = 0x5061_6c61_6272_6531;

/// One input grows to about this.
const BYTES_MAX: usize = 8 << 10;

/// Bytes at which parsers change their minds.
const SPECIAL: &[u8] = b"\x00\x01\x7e\x7f\x80\x81\x88\xfe\xff\"\\{}[],:eE+-.0u";

/// Calls `target` with each entry of the corpus and with `inputs` mutations of them.
///
/// # Panics
///
/// When `target` does, with the input and how to draw it again on stderr.
pub fn each(corpus: &[Vec<u8>], inputs: u64, mut target: impl FnMut(&[u8])) {
    let seed = from_environment("PALABRE_FUZZ_SEED").unwrap_or(SEED);
    let inputs = from_environment("PALABRE_FUZZ_INPUTS").unwrap_or(inputs);
    let mut draw = Draw(seed | 1);
    let mutated = (0..inputs).map(|_| draw.mutation(corpus));
    for (number, input) in corpus.iter().cloned().chain(mutated).enumerate() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            say(&format!("input {number} of PALABRE_FUZZ_SEED={seed}: b\"{}\"", input.escape_ascii()));
            resume_unwind(panic);
        }
    }
}

#[expect(clippy::print_stderr, reason = "a failing test's output is where its input is looked for")]
fn say(line: &str) {
    eprintln!("{line}");
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Numbers that look random: xorshift, of which every state but zero leads to all others.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 11).map_or(0, |number| number.checked_rem(end).unwrap_or(0))
    }

    fn byte(&mut self) -> u8 {
        match self.below(2) {
            0 => SPECIAL[self.below(SPECIAL.len())],
            _ => self.next().to_le_bytes()[3],
        }
    }

    fn entry(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        corpus.get(self.below(corpus.len())).cloned().unwrap_or_default()
    }

    fn mutation(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.entry(corpus);
        for _ in 0..=self.below(6) {
            self.mutate(&mut bytes, corpus);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(bytes.len());
        let end = (at + 1 + self.below(16)).min(bytes.len());
        match self.below(7) {
            _ if bytes.is_empty() => bytes.push(self.byte()),
            0 => bytes[at] = self.byte(),
            1 => bytes[at] ^= 1 << self.below(8),
            2 => bytes.insert(at, self.byte()),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.truncate(at),
            5 => {
                // A part again and again: nesting, keys twice, fragments.
                let part = bytes[at..end].repeat(1 + self.below(40));
                bytes.splice(at..at, part);
            }
            _ => {
                let other = self.entry(corpus);
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_comes_first_and_the_same_seed_draws_the_same() {
        let corpus = vec![b"{\"type\":\"x\"}".to_vec(), Vec::new()];
        let drawn = || {
            let mut drawn = Vec::new();
            each(&corpus, 500, |bytes| drawn.push(bytes.to_vec()));
            drawn
        };
        let first = drawn();
        assert_eq!(first, drawn());
        assert_eq!((&first[..2], first.len()), (&corpus[..], 502));
        let different: std::collections::HashSet<_> = first.into_iter().collect();
        assert!(different.len() > 350, "{} different inputs", different.len());
    }

    #[test]
    fn a_target_that_panics_is_not_passed_over() {
        let found =
            catch_unwind(|| each(&[b"abc".to_vec()], 10_000, |bytes| assert!(!bytes.contains(&b'{'))));
        assert!(found.is_err());
    }
}
