//! What flows between the commands of a script: literal text where it is known, and where it came from.

use std::rc::Rc;

/// Where data came from, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Taint(pub(crate) u32);

macro_rules! taints {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Taint {
            $($(#[$doc])* pub(crate) const $name: Self = Self(1 << $bit);)*
            /// Names as rules write them.
            pub(crate) const NAMES: &'static [(&'static str, Self)] = &[$(($text, Self::$name),)*];
        }
    };
}

taints! {
    /// Content of a credential.
    SECRET = 0, "secret";
    /// Not a credential by itself, but nobody else's business: environment, history, private documents.
    SENSITIVE = 1, "sensitive";
    /// Came over the network from elsewhere.
    NETWORK = 2, "network";
    /// … from an address without a name, a paste or file-drop site, a tunnel.
    DUBIOUS = 3, "dubious";
    /// … from a well-known installer.
    KNOWN = 4, "known";
    /// Was decoded (base64, hex, reversed, decrypted).
    DECODED = 5, "decoded";
    /// Was encoded.
    ENCODED = 6, "encoded";
    /// Names this host or its user.
    HOST = 7, "host";
    /// A dump of a database.
    DUMP = 8, "dump";
    /// An archive or listing of a source tree.
    TREE = 9, "tree";
    /// The home directory's files.
    HOME = 10, "home";
    /// Names of files made by a search.
    SEARCH = 11, "search";
    /// Standard output of a socket.
    SOCKET = 12, "socket";
    /// A private key or password hash made for a test.
    RANDOM = 13, "random";
    /// Was put together from pieces, so that it cannot be read as it stands.
    HIDDEN = 14, "hidden";
    /// Compressed.
    PACKED = 15, "packed";
    /// What an interactive shell says.
    SHELL = 16, "shell";
    /// Authored text: a document or program written in the script itself.
    AUTHORED = 17, "authored";
    /// Came from a host that many trust for downloads.
    REPUTED = 18, "reputed";
    /// Names a process that records this session.
    RECORDER = 19, "recorder";
    /// A list of running processes.
    PROCESSES = 20, "processes";
    /// Only some of a list, chosen by a filter.
    CHOSEN = 21, "chosen";
    /// One of many values, tried one after the other in a loop.
    MANY = 22, "many";
}

impl Taint {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// The longest literal text that is carried along.
pub(crate) const TEXT_KEPT: usize = 32 * 1024;

/// Data on its way from one command to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flow {
    pub(crate) taint: Taint,
    /// The text itself, where it is a literal of the script.
    pub(crate) text: Option<Rc<str>>,
    /// Whether anything is connected at all.
    pub(crate) present: bool,
}

impl Flow {
    pub(crate) fn of(taint: Taint) -> Self {
        Self { taint, text: None, present: true }
    }

    pub(crate) fn literal(text: &str) -> Self {
        let text = (text.len() <= TEXT_KEPT).then(|| Rc::from(text));
        Self { taint: Taint::NONE, text, present: true }
    }
}

/// An argument after expansion.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arg {
    pub(crate) text: String,
    pub(crate) taint: Taint,
    /// What it holds is not (only) what the text says.
    pub(crate) dynamic: bool,
}

impl Arg {
    pub(crate) fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }
}
