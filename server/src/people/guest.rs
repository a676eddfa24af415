//! Guests: ids that the hub draws, and the signed token with which somebody is the same guest again.
//!
//! A token is `v1.<id>.<mac>`, the mac an HMAC-SHA256 over a label of its own and the id. It proves that the hub drew the
//! id, nothing else: it does not expire, is not listed anywhere, and carries no rights. All nodes with the same secret
//! know each other's guests; without one, the key is drawn at the start and the tokens end with the process.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::Secret;

/// Keeps these signatures apart from any other use of the same secret.
const LABEL: &[u8] = b"palabre guest v1\0";
const VERSION: &str = "v1.";
const ID_PREFIX: &str = "g-";
/// 128 bits in base 32.
const ID_DIGITS: usize = 26;
/// 256 bits in base 64, without padding.
const MAC_DIGITS: usize = 43;
const TOKEN_BYTES: usize = VERSION.len() + ID_PREFIX.len() + ID_DIGITS + 1 + MAC_DIGITS;

/// The hub's hand: draws guests' ids, signs them, and knows its signature again.
#[derive(Clone)]
pub(crate) struct Guests {
    /// Keyed once; each signature works on a copy.
    signer: Hmac<Sha256>,
}

/// A guest's id: `g-` and 128 random bits in lower-case base 32.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct GuestId(Box<str>);

impl Guests {
    /// Signs with `secret`, or with a random key of this process's own.
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give.
    pub(crate) fn new(secret: Option<&Secret>) -> Self {
        let drawn: [u8; 32];
        let key = match secret {
            Some(secret) => secret.expose().as_bytes(),
            None => {
                drawn = random();
                &drawn
            }
        };
        Self { signer: Hmac::new_from_slice(key).expect("HMAC takes a key of any length") }
    }

    /// Draws a new guest.
    ///
    /// # Panics
    ///
    /// If the operating system has no random bytes to give.
    pub(crate) fn issue(&self) -> GuestId {
        let digits = BASE32_NOPAD.encode(&random::<16>()).to_ascii_lowercase();
        GuestId(format!("{ID_PREFIX}{digits}").into_boxed_str())
    }

    /// The token that proves `id`, for the guest to keep.
    pub(crate) fn token(&self, id: &str) -> String {
        let mac = self.mac(id).finalize().into_bytes();
        format!("{VERSION}{id}.{}", BASE64URL_NOPAD.encode(&mac))
    }

    /// The id that a token proves; none for anything that this hub's secret did not sign.
    ///
    /// Any text may be handed in: a wrong length ends it before any work, and macs are compared in constant time.
    pub(crate) fn verify(&self, token: &str) -> Option<String> {
        if token.len() != TOKEN_BYTES {
            return None;
        }
        let (id, mac) = token.strip_prefix(VERSION)?.split_once('.')?;
        let digits = id.strip_prefix(ID_PREFIX)?;
        if digits.len() != ID_DIGITS
            || !digits.bytes().all(|digit| matches!(digit, b'a'..=b'z' | b'2'..=b'7'))
        {
            return None;
        }
        let mac = BASE64URL_NOPAD.decode(mac.as_bytes()).ok()?;
        self.mac(id).verify_slice(&mac).ok()?;
        Some(id.to_owned())
    }

    fn mac(&self, id: &str) -> Hmac<Sha256> {
        self.signer.clone().chain_update(LABEL).chain_update(id)
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guests").finish_non_exhaustive()
    }
}

impl GuestId {
    /// The id as it stands on the wire.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GuestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What others see somebody called: the name that was asked for, or one made of the id.
///
/// How long a name may be and which characters it may have was checked when the frame was read.
pub(crate) fn display_name(asked: Option<&str>, id: &str) -> String {
    match asked.map(str::trim) {
        Some(name) if !name.chars().all(is_blank) => name.to_owned(),
        _ => {
            let from = id.char_indices().rev().nth(3).map_or(0, |(from, _)| from);
            format!("Guest {}", id[from..].to_ascii_uppercase())
        }
    }
}

/// Whether nothing is seen of a character that stands alone: spaces, fillers, and what only joins or marks others.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
}

fn random<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    // Linux gives random bytes to every process once it has booted; a hub that could not draw a key or an id must not
    // go on with one that can be guessed.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guests(secret: &str) -> Guests {
        Guests::new(Some(&Secret::from(secret.to_owned())))
    }

    #[test]
    fn an_id_is_short_plain_and_never_the_same() {
        let guests = Guests::new(None);
        let (one, other) = (guests.issue(), guests.issue());
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), ID_PREFIX.len() + ID_DIGITS);
        assert!(
            one.as_str()
                .bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
        );
    }

    #[test]
    fn every_node_with_the_secret_knows_the_guest_again() {
        let id = guests("0123456789abcdef").issue();
        let token = guests("0123456789abcdef").token(id.as_str());
        assert_eq!(token.len(), TOKEN_BYTES);
        assert_eq!(guests("0123456789abcdef").verify(&token).as_deref(), Some(id.as_str()));
    }

    #[test]
    fn the_text_of_a_token_stays_as_it_is() {
        // A guest comes back after an upgrade of the hub: this must not change without a new version.
        let token = guests("0123456789abcdef").token("g-aaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(token, "v1.g-aaaaaaaaaaaaaaaaaaaaaaaaaa.DVElHBEwng-zejEVkqLTXl2huxYhAUjwUfeTM5g0ZoU");
    }

    #[test]
    fn another_secret_knows_nothing_of_the_guest() {
        let here = guests("0123456789abcdef");
        let token = here.token(here.issue().as_str());
        assert_eq!(guests("0123456789abcdeF").verify(&token), None);
        assert_eq!(Guests::new(None).verify(&token), None);
        assert_ne!(Guests::new(None).token("g-a"), Guests::new(None).token("g-a"));
    }

    #[test]
    fn any_changed_byte_spoils_a_token() {
        let guests = guests("0123456789abcdef");
        let token = guests.token(guests.issue().as_str());
        for at in 0..token.len() {
            for byte in [b'a', b'b', b'.', b'=', b' ', 0] {
                let mut changed = token.clone().into_bytes();
                changed[at] = byte;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(guests.verify(&changed).is_some(), changed == token, "{changed}");
            }
        }
    }

    #[test]
    fn the_mac_of_one_guest_does_not_prove_another() {
        let guests = guests("0123456789abcdef");
        let (one, other) = (guests.issue(), guests.issue());
        let mac = guests.token(one.as_str()).rsplit_once('.').unwrap().1.to_owned();
        assert_eq!(guests.verify(&format!("v1.{other}.{mac}")), None);
    }

    #[test]
    fn what_is_no_token_is_refused_without_a_panic() {
        let guests = Guests::new(None);
        // Signed by us, and yet no guest's id: the shape counts as well.
        let signed = guests.token("g-AAAAAAAAAAAAAAAAAAAAAAAAAA");
        let other_length = guests.token("g-aa");
        let wide = "é".repeat(TOKEN_BYTES / 2) + "x";
        let long = "v1.".repeat(1 << 19);
        for token in
            ["", "v1", "v1..", "...", "é", &signed, &other_length, &wide, &long, &"\0".repeat(TOKEN_BYTES)]
        {
            assert_eq!(guests.verify(token), None);
        }
    }

    #[test]
    fn a_name_is_trimmed_and_never_empty() {
        assert_eq!(display_name(Some("  Ada "), "g-abcdefgh"), "Ada");
        for asked in [None, Some(""), Some(" \t\u{2003}"), Some("\u{200b}\u{3164}\u{2800}\u{feff}")] {
            assert_eq!(display_name(asked, "g-abcdefgh"), "Guest EFGH");
        }
        assert_eq!(display_name(None, "éé"), "Guest éé");
        assert_eq!(display_name(None, ""), "Guest ");
    }
}
