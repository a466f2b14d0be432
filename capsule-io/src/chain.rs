//! The link of a hash chain, as a pure function of bytes.
//!
//! A chain value is BLAKE3 over six fields, each preceded by its length as eight bytes, little endian, so that no two
//! different sets of fields give the same input:
//!
//! 1. the domain, [`STREAM_DOMAIN`] for streams, [`LEDGER_DOMAIN`] for the ledger of sessions;
//! 2. the session's id (empty in the ledger);
//! 3. the stream's name (`raw`, `events`, …; `ledger`);
//! 4. the sequence number, eight bytes, little endian;
//! 5. the previous record's chain value, 32 bytes;
//! 6. the line's bytes before `,"chain"`, as written.
//!
//! The value before the first record is the link of sequence number 0, 32 zero bytes and no bytes.

use std::fmt::Write as _;

/// The domain of a session's streams.
pub const STREAM_DOMAIN: &str = "capsule.stream.v1";
/// The domain of the ledger of sessions.
pub const LEDGER_DOMAIN: &str = "capsule.ledger.v1";
/// The domain of a session's seal.
pub const SEAL_DOMAIN: &str = "capsule.seal.v1";

/// What stands between a record's own bytes and its chain value.
pub(crate) const CHAIN_FIELD: &[u8] = b",\"chain\":\"";
/// What stands between the metadata's own bytes and its seal.
pub(crate) const SEAL_FIELD: &[u8] = b",\"seal\":\"";
/// What stands between a keyed seal's own bytes and its code.
pub(crate) const MAC_FIELD: &[u8] = b",\"mac\":\"";
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What stands after a hash.
const END: &[u8] = b"\"}";

/// A chain value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// 64 hex digits.
    #[must_use]
    pub fn to_hex(self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            // Writing to a String cannot fail.
            if write!(text, "{byte:02x}").is_err() {
                break;
            }
        }
        text
    }

    /// Reads 64 lower-case hex digits.
    #[must_use]
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let digits: &[u8; 64] = hex.try_into().ok()?;
        let mut hash = [0; 32];
        // One look at the end instead of one a digit: this runs for every record that is verified.
        let mut seen = 0;
        for (byte, pair) in hash.iter_mut().zip(digits.as_chunks::<2>().0) {
            let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
            seen |= high | low;
            *byte = (high << 4) | (low & 15);
        }
        (seen < 16).then_some(Self(hash))
    }

    pub(crate) fn push_hex(self, out: &mut Vec<u8>) {
        let mut hex = [0; 64];
        for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        out.extend_from_slice(&hex);
    }
}

/// What each byte is worth as a lower-case hex digit; 255 for one that is none.
const NIBBLES: [u8; 256] = {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 16 {
        table[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    table
};

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// The chain of one stream of one session: everything of a link that does not change from record to record.
#[derive(Debug, Clone)]
pub struct Chain {
    /// Has taken in domain, session and stream, each with its length; then the sequence number's length, always 8.
    prefix: blake3::Hasher,
}

fn push_field(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&(field.len() as u64).to_le_bytes());
    out.extend_from_slice(field);
}

impl Chain {
    /// The chain of the stream `stream` of the session `session`.
    #[must_use]
    pub fn new(domain: &str, session: &str, stream: &str) -> Self {
        let mut prefix = Vec::with_capacity(domain.len() + session.len() + stream.len() + 96);
        for field in [domain, session, stream] {
            push_field(&mut prefix, field.as_bytes());
        }
        prefix.extend_from_slice(&8_u64.to_le_bytes());
        let mut hasher = blake3::Hasher::new();
        hasher.update(&prefix);
        Self { prefix: hasher }
    }

    /// The value before the first record.
    #[must_use]
    pub fn start(&self) -> Hash {
        self.link(0, Hash([0; 32]), b"")
    }

    /// The chain value of the record `seq` with these bytes, after a record with the value `prev`.
    #[must_use]
    pub fn link(&self, seq: u64, prev: Hash, bytes: &[u8]) -> Hash {
        let mut fixed = [0; 56];
        let parts: [&[u8]; 4] =
            [&seq.to_le_bytes(), &32_u64.to_le_bytes(), &prev.0, &(bytes.len() as u64).to_le_bytes()];
        let mut rest = fixed.as_mut_slice();
        for part in parts {
            let (head, tail) = rest.split_at_mut(part.len());
            head.copy_from_slice(part);
            rest = tail;
        }
        let mut hasher = self.prefix.clone();
        hasher.update(&fixed).update(bytes);
        Hash(*hasher.finalize().as_bytes())
    }
}

/// The seal of a session: BLAKE3 over the length-prefixed domain, session id, and the metadata's bytes before `,"seal"`.
#[must_use]
pub fn seal(session: &str, bytes: &[u8]) -> Hash {
    let mut head = Vec::with_capacity(96);
    push_field(&mut head, SEAL_DOMAIN.as_bytes());
    push_field(&mut head, session.as_bytes());
    head.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head).update(bytes);
    Hash(*hasher.finalize().as_bytes())
}

/// Takes a line that ends in a hash apart: the bytes that are hashed, and the hash. The line comes without its newline.
#[must_use]
pub fn split_line(line: &[u8]) -> Option<(&[u8], Hash)> {
    split_at_field(line, CHAIN_FIELD)
}

/// Takes sealed metadata apart: the bytes that are sealed, and the seal.
#[must_use]
pub fn split_seal(bytes: &[u8]) -> Option<(&[u8], Hash)> {
    split_at_field(bytes, SEAL_FIELD)
}

/// Takes a keyed seal apart: the bytes that the code is over, and the code.
pub(crate) fn split_mac(line: &[u8]) -> Option<(&[u8], Hash)> {
    split_at_field(line, MAC_FIELD)
}

fn split_at_field<'a>(line: &'a [u8], field: &[u8]) -> Option<(&'a [u8], Hash)> {
    let line = line.strip_suffix(END)?;
    let (rest, hex) = line.split_at_checked(line.len().checked_sub(64)?)?;
    Some((rest.strip_suffix(field)?, Hash::from_hex(hex)?))
}

/// Ends a JSON object that stands in `out` without its closing brace with a hash.
pub(crate) fn push_field_hash(out: &mut Vec<u8>, field: &[u8], hash: Hash) {
    out.extend_from_slice(field);
    hash.push_hex(out);
    out.extend_from_slice(END);
}

/// The sequence number at the beginning of a record's bytes: `{"seq":N,` or `{"seq":N` at the end.
#[must_use]
pub fn leading_seq(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.strip_prefix(b"{\"seq\":")?;
    let length = digits.iter().take(20).take_while(|b| b.is_ascii_digit()).count();
    let (number, rest) = digits.split_at_checked(length)?;
    if !matches!(rest.first(), None | Some(b',')) {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
