//! Untrusted bytes: arguments and paths as the traced program wrote them.
//!
//! In memory they are bytes. In JSON they are a string where they are UTF-8, and otherwise an
//! object `{"lossy": "…", "base64": "…"}` that reads back to the same bytes. On a terminal they
//! go through [`escape_terminal`], which no control character, escape sequence or bidi mark survives.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, SerializeSeq as _, Serializer};
use serde::{Deserialize, Serialize};

/// Bytes of any value and length that are usually text: a path, an argument, a trace line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteString(Arc<[u8]>);

impl ByteString {
    /// Copies `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Arc::from(bytes))
    }

    /// The bytes as they were.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, with U+FFFD for what is not UTF-8. Not safe for a terminal: see [`escape_terminal`].
    #[must_use]
    pub fn to_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl From<Vec<u8>> for ByteString {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::from(bytes))
    }
}

impl From<&[u8]> for ByteString {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes)
    }
}

impl From<&str> for ByteString {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl From<String> for ByteString {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl fmt::Debug for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Terminal-safe: what [`escape_terminal`] makes of the bytes.
impl fmt::Display for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape_terminal(&self.0))
    }
}

/// Serialises borrowed bytes in the form described in the module's documentation.
struct BytesRef<'a>(&'a [u8]);

impl Serialize for BytesRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_not_utf8) => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("lossy", &String::from_utf8_lossy(self.0))?;
                map.serialize_entry("base64", &BASE64.encode(self.0))?;
                map.end()
            }
        }
    }
}

impl Serialize for ByteString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BytesRef(&self.0).serialize(serializer)
    }
}

/// Takes the bytes of a string, or of an object with `base64`, without a copy between.
pub(crate) struct BytesVisitor<F>(pub(crate) F);

impl<'de, T, F: FnOnce(&[u8]) -> T> Visitor<'de> for BytesVisitor<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or an object with `base64`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text.as_bytes()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut bytes = None;
        while let Some(key) = map.next_key::<String>()? {
            let value: String = map.next_value()?;
            if key == "base64" {
                bytes = Some(BASE64.decode(value).map_err(de::Error::custom)?);
            }
        }
        bytes.map(|bytes| (self.0)(&bytes)).ok_or_else(|| de::Error::missing_field("base64"))
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor(Self::new))
    }
}

/// An argument vector in the kernel's own form: each argument ended by a NUL.
///
/// `[]` and `[""]` are different, and arguments hold any byte but NUL (`execve(2)`). Cloning is cheap.
/// In JSON it is an array with one [`ByteString`] an argument.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Argv(Arc<[u8]>);

impl Argv {
    /// From the kernel's block of NUL-ended strings; a missing last NUL is added.
    #[must_use]
    pub fn from_block(block: &[u8]) -> Self {
        match block.last() {
            None | Some(0) => Self(Arc::from(block)),
            Some(_) => {
                let mut owned = block.to_vec();
                owned.push(0);
                Self(Arc::from(owned))
            }
        }
    }

    /// The block of NUL-ended strings.
    #[must_use]
    pub fn as_block(&self) -> &[u8] {
        &self.0
    }

    /// The arguments, the program's name first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let end = memchr::memchr(0, rest)?;
            let (arg, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            Some(arg)
        })
    }

    /// How many arguments there are, `argv[0]` included.
    #[must_use]
    pub fn len(&self) -> usize {
        memchr::memchr_iter(0, &self.0).count()
    }

    /// Whether there is no argument at all, not even `argv[0]`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The argument at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.iter().nth(index)
    }
}

impl<A: AsRef<[u8]>> FromIterator<A> for Argv {
    /// A NUL inside an argument cannot come from `execve`; it ends the argument there, as the kernel would.
    fn from_iter<I: IntoIterator<Item = A>>(args: I) -> Self {
        let mut block = Vec::new();
        for arg in args {
            let arg = arg.as_ref();
            let end = memchr::memchr(0, arg).unwrap_or(arg.len());
            block.extend(arg.iter().take(end));
            block.push(0);
        }
        Self(Arc::from(block))
    }
}

impl fmt::Debug for Argv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

impl Serialize for Argv {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for arg in self.iter() {
            seq.serialize_element(&BytesRef(arg))?;
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for Argv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Room for the arguments of most commands.
        const ROOM: usize = 128;

        /// Appends an argument, and says whether it can be one.
        struct Append<'a>(&'a mut Vec<u8>);

        impl<'de> DeserializeSeed<'de> for Append<'_> {
            type Value = bool;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
                deserializer.deserialize_any(BytesVisitor(|arg: &[u8]| {
                    if self.0.is_empty() {
                        self.0.reserve(ROOM.max(arg.len() + 1));
                    }
                    self.0.extend_from_slice(arg);
                    self.0.push(0);
                    memchr::memchr(0, arg).is_none()
                }))
            }
        }

        struct ArgvVisitor;

        impl<'de> Visitor<'de> for ArgvVisitor {
            type Value = Argv;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Argv, A::Error> {
                let mut block = Vec::new();
                while let Some(whole) = seq.next_element_seed(Append(&mut block))? {
                    if !whole {
                        return Err(de::Error::custom("an argument holds a NUL byte"));
                    }
                }
                Ok(Argv(Arc::from(block)))
            }
        }

        deserializer.deserialize_seq(ArgvVisitor)
    }
}

/// Text that is safe to print on a terminal, whatever `bytes` hold.
///
/// C0 and C1 controls (ESC, newline, tab, carriage return and NEL among them), DEL, bidirectional
/// and invisible format characters, line and paragraph separators, tag characters and bytes that are not UTF-8 become
/// visible escapes: `\n`, `\t`, `\r`, `\e`, `\xNN`, `\u{NNNN}`. A backslash stays as it is.
#[must_use]
pub fn escape_terminal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let written = match c {
                '\n' => out.write_str("\\n"),
                '\t' => out.write_str("\\t"),
                '\r' => out.write_str("\\r"),
                '\u{1b}' => out.write_str("\\e"),
                c if (c as u32) < 0x20 || c as u32 == 0x7f => write!(out, "\\x{:02x}", c as u32),
                c if misleads(c) => write!(out, "\\u{{{:x}}}", c as u32),
                c => out.write_char(c),
            };
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
        for byte in chunk.invalid() {
            let written = write!(out, "\\x{byte:02x}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
    }
    out
}

/// Characters that change how the text around them is shown without being seen themselves
/// (C1 controls; Unicode general categories Cf, Zl and Zp; variation selectors stay, emoji need them).
fn misleads(c: char) -> bool {
    matches!(
        c as u32,
        0x80..=0x9f
            | 0xad
            | 0x600..=0x605
            | 0x61c
            | 0x6dd
            | 0x70f
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180e
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x206f
            | 0x3164
            | 0xfeff
            | 0xffa0
            | 0xfff9..=0xfffb
            | 0x110bd
            | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn empty_argv_and_empty_argument_differ() {
        let none = Argv::from_iter::<[&str; 0]>([]);
        let one = Argv::from_iter([""]);
        assert_eq!((none.len(), one.len()), (0, 1));
        assert_eq!(serde_json::to_string(&none).unwrap(), "[]");
        assert_eq!(serde_json::to_string(&one).unwrap(), r#"[""]"#);
    }

    #[test]
    fn terminal_text_cannot_escape() {
        let hostile = b"\x1b]0;title\x07\x1b[2J\r\n\xff\xc2\x9b31m\xe2\x80\xaeevil\x7f";
        let safe = escape_terminal(hostile);
        assert_eq!(safe, "\\e]0;title\\x07\\e[2J\\r\\n\\xff\\u{9b}31m\\u{202e}evil\\x7f");
        assert!(!safe.chars().any(char::is_control));
    }

    proptest! {
        #[test]
        fn argv_round_trips_through_json(args: Vec<Vec<u8>>) {
            let args: Vec<Vec<u8>> = args.into_iter().map(|a| a.into_iter().filter(|b| *b != 0).collect()).collect();
            let argv = Argv::from_iter(&args);
            let json = serde_json::to_string(&argv).unwrap();
            let back: Argv = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&back, &argv);
            prop_assert_eq!(back.iter().map(<[u8]>::to_vec).collect::<Vec<_>>(), args);
        }

        #[test]
        fn escaped_text_has_no_control_characters(bytes: Vec<u8>) {
            let escaped = escape_terminal(&bytes);
            prop_assert!(!escaped.chars().any(|c| c.is_control() || misleads(c)));
        }
    }
}
