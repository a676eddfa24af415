//! SHA-256 over several texts, each after its length: what makes ids, owners and repeats the same on every node.

use sha2::{Digest, Sha256};

/// Over the texts of all parts, one after the other. Once in the program, for it is long and each message needs it twice.
#[inline(never)]
pub(crate) fn hash(parts: &[&[&str]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in parts.iter().copied().flatten() {
        let length = u32::try_from(text.len()).expect("a frame is shorter");
        hash.update(length.to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

/// Its first 64 bits.
pub(crate) fn digest(parts: &[&[&str]]) -> u64 {
    let [first, ..] = *hash(parts).as_chunks::<8>().0 else { unreachable!("it has four") };
    u64::from_be_bytes(first)
}
