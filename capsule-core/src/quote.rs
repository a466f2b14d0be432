//! Strings as strace prints them: C escapes in double quotes, or every byte as `\xNN`.
//!
//! Both the redaction of trace lines and their parser read these, so the reading stands here, once.

/// A quoted string that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// The bytes it stands for.
    pub bytes: Vec<u8>,
    /// How many bytes of the line it took, quotes and truncation mark included.
    pub length: usize,
    /// Whether `...` follows the closing quote: strace printed only the beginning.
    pub truncated: bool,
}

/// Reads the quoted string that `text` begins with; `None` where there is none, or it does not end.
#[must_use]
pub fn read(text: &[u8]) -> Option<Quoted> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut bytes = Vec::new();
    loop {
        // Most text is plain; copy it in one piece.
        let plain = memchr::memchr2(b'"', b'\\', rest)?;
        let (head, tail) = rest.split_at(plain);
        bytes.extend_from_slice(head);
        if tail.first() == Some(&b'"') {
            rest = tail.get(1..).unwrap_or_default();
            break;
        }
        rest = read_escape(tail.get(1..).unwrap_or_default(), &mut bytes)?;
    }
    let truncated = rest.starts_with(b"...");
    let left = rest.len() - if truncated { 3 } else { 0 };
    Some(Quoted { bytes, length: text.len() - left, truncated })
}

fn read_escape<'a>(text: &'a [u8], bytes: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (first, mut rest) = text.split_first()?;
    let byte = match *first {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'v' => 0x0b,
        b'f' => 0x0c,
        b'a' => 0x07,
        b'b' => 0x08,
        b'e' => 0x1b,
        b'x' => {
            let (high, low) = (hex(*rest.first()?)?, hex(*rest.get(1)?)?);
            rest = rest.get(2..)?;
            high << 4 | low
        }
        digit @ b'0'..=b'7' => {
            let mut value = u32::from(digit - b'0');
            for _ in 0..2 {
                match rest.split_first() {
                    Some((digit @ b'0'..=b'7', after)) => {
                        value = value << 3 | u32::from(digit - b'0');
                        rest = after;
                    }
                    _ => break,
                }
            }
            u8::try_from(value).ok()?
        }
        other => other,
    };
    bytes.push(byte);
    Some(rest)
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Writes `bytes` as a quoted string: printable ASCII as it is, or, with `all_hex`, every byte as `\xNN`.
pub fn write(bytes: &[u8], all_hex: bool, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' if !all_hex => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' if !all_hex => out.push(byte),
            _ => {
                let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_escapes_of_strace_are_read() {
        let read = read(br#""a\"\\\n\t\r\v\f\33[0m\0\1778\xff\377"..., 5"#).unwrap();
        assert_eq!(read.bytes, b"a\"\\\n\t\r\x0b\x0c\x1b[0m\0\x7f8\xff\xff");
        assert!(read.truncated);
        assert_eq!(super::read(br#""no end"#), None);
        assert_eq!(super::read(br#""\xg0""#), None);
        assert_eq!(super::read(br#""\777""#), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bytes: Vec<u8>, all_hex: bool) {
            let mut text = Vec::new();
            write(&bytes, all_hex, &mut text);
            let back = read(&text).unwrap();
            prop_assert_eq!(back.bytes, bytes);
            prop_assert_eq!(back.length, text.len());
        }

        #[test]
        fn reading_never_panics(text: Vec<u8>) {
            let mut quoted = b"\"".to_vec();
            quoted.extend(text);
            if let Some(read) = read(&quoted) {
                prop_assert!(read.length <= quoted.len());
            }
        }
    }
}
