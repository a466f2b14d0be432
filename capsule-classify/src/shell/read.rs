//! The reader: lists, pipelines, compound commands, redirections, here-documents.

use super::ast::{Command, Group, GroupKind, Item, Part, Redirect, RedirectKind, Script, Simple, Word};

/// How deep scripts may nest in one text before the rest is plain text.
const MAX_DEPTH: u32 = 48;

/// Reads `text` whole. Never fails: what is not understood is passed over.
pub(crate) fn parse(text: &str) -> Script {
    let mut reader = Reader::new(text, 0);
    let mut script = Script::default();
    // A stray closer ends a list; what follows it is read as well.
    while reader.pos < reader.bytes.len() {
        let before = reader.pos;
        let mut part = reader.list(End::Text);
        script.items.append(&mut part.items);
        if reader.pos == before {
            reader.pos += 1;
        }
    }
    script
}

/// What ends a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Text,
    Paren,
    Brace,
    /// `;;`, `;&` or `esac`.
    Case,
    /// A closing keyword of the compound command that is being read.
    Keyword,
}

pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) pos: usize,
    pub(super) depth: u32,
    /// Here-documents whose bodies begin after the next newline: delimiter, quoted, tabs stripped.
    pending: Vec<(String, bool, bool)>,
    /// Bodies read, in the order of their operators; taken when the list ends.
    bodies: Vec<Word>,
    /// Here-documents seen so far.
    documents: usize,
}

const CLOSERS: &[&str] = &["fi", "done", "esac", "}", "then", "else", "elif", "do"];

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, depth: u32) -> Self {
        Self { text, bytes: text.as_bytes(), pos: 0, depth, pending: Vec::new(), bodies: Vec::new(), documents: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        crate::effort::spent(1);
        self.bytes.get(self.pos).copied()
    }

    pub(super) fn at(&self, offset: usize) -> Option<u8> {
        self.bytes.get(self.pos + offset).copied()
    }

    pub(super) fn starts(&self, what: &str) -> bool {
        self.bytes.get(self.pos..).is_some_and(|rest| rest.starts_with(what.as_bytes()))
    }

    pub(super) fn too_deep(&self) -> bool {
        self.depth >= MAX_DEPTH
    }

    /// A script up to `)`; the opening one is already taken.
    pub(super) fn parenthesised(&mut self) -> Script {
        self.depth += 1;
        let script = self.list(End::Paren);
        if self.peek() == Some(b')') {
            self.pos += 1;
        }
        self.depth -= 1;
        script
    }

    fn skip_blank(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.pos += 1,
                Some(b'\\') if self.at(1) == Some(b'\n') => self.pos += 2,
                Some(b'#') if self.pos == 0 || self.before_is_blank() => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.pos += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn before_is_blank(&self) -> bool {
        self.pos
            .checked_sub(1)
            .and_then(|at| self.bytes.get(at))
            .is_none_or(|b| matches!(b, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')'))
    }

    /// Takes a newline and the here-documents that follow it.
    fn newline(&mut self) {
        self.pos += 1;
        for (delimiter, quoted, strip) in std::mem::take(&mut self.pending) {
            let body = self.document(&delimiter, strip);
            let word = if quoted || self.too_deep() {
                Word::literal(&body)
            } else {
                let mut inner = Reader::new(&body, self.depth + 1);
                Word { parts: inner.quoted_parts(None) }
            };
            self.bodies.push(word);
        }
    }

    fn document(&mut self, delimiter: &str, strip: bool) -> String {
        let mut body = String::new();
        while self.pos < self.bytes.len() {
            let rest = self.bytes.get(self.pos..).unwrap_or_default();
            let len = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
            crate::effort::spent(len);
            let line = self.text.get(self.pos..self.pos + len).unwrap_or_default();
            let shown = if strip { line.trim_start_matches('\t') } else { line };
            self.pos += len + usize::from(len < rest.len());
            // Agents nest documents in `$(…)`: the closer may stand on the delimiter's own line.
            if shown == delimiter {
                return body;
            }
            if let Some(tail) = shown.strip_prefix(delimiter)
                && !delimiter.is_empty()
                && tail.trim_start().starts_with(')')
            {
                self.pos -= usize::from(len < rest.len()) + tail.len();
                return body;
            }
            body.push_str(shown);
            body.push('\n');
        }
        body
    }

    pub(super) fn list(&mut self, end: End) -> Script {
        let mut script = Script::default();
        let first_document = self.documents;
        loop {
            self.skip_blank();
            match self.peek() {
                None => break,
                Some(b'\n') => self.newline(),
                Some(b';') => {
                    if self.at(1) == Some(b';') || self.at(1) == Some(b'&') {
                        if end == End::Case {
                            break;
                        }
                        self.pos += 1;
                    }
                    self.pos += 1;
                }
                Some(b'&') => self.pos += 1,
                Some(b'|') => self.pos += 1,
                Some(b')') => {
                    if end == End::Paren || end == End::Text {
                        break;
                    }
                    if self.depth > 0 {
                        break;
                    }
                    self.pos += 1;
                }
                Some(_) => {
                    if self.at_closer(end) {
                        break;
                    }
                    let before = self.pos;
                    let item = self.pipeline();
                    if !item.commands.is_empty() {
                        script.items.push(item);
                    }
                    if self.pos == before {
                        self.pos += 1;
                    }
                }
            }
        }
        if end == End::Text || end == End::Paren {
            self.attach_documents(&mut script, first_document);
        }
        script
    }

    /// Whether the next word closes the compound command that encloses this list.
    fn at_closer(&self, end: End) -> bool {
        if end == End::Text || end == End::Paren {
            return false;
        }
        CLOSERS.iter().any(|closer| self.at_keyword(closer))
    }

    fn at_keyword(&self, word: &str) -> bool {
        self.starts(word)
            && self.bytes.get(self.pos + word.len()).is_none_or(|b| {
                matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' | b'"' | b'`')
            })
    }

    fn take_keyword(&mut self, word: &str) -> bool {
        let found = self.at_keyword(word);
        if found {
            self.pos += word.len();
        }
        found
    }

    fn skip_lines(&mut self) {
        loop {
            self.skip_blank();
            match self.peek() {
                Some(b'\n') => self.newline(),
                Some(b';') if self.at(1) != Some(b';') => self.pos += 1,
                _ => return,
            }
        }
    }

    fn pipeline(&mut self) -> Item {
        let mut item = Item::default();
        loop {
            self.skip_blank();
            while self.take_keyword("!") || self.take_keyword("time") {
                self.skip_blank();
                if self.starts("-p ") {
                    self.pos += 3;
                }
                self.skip_blank();
            }
            if let Some(command) = self.command() {
                item.commands.push(command);
            }
            self.skip_blank();
            match self.peek() {
                Some(b'|') if self.at(1) != Some(b'|') => {
                    self.pos += 1;
                    if self.peek() == Some(b'&') {
                        self.pos += 1;
                    }
                    loop {
                        self.skip_blank();
                        if self.peek() == Some(b'\n') {
                            self.newline();
                        } else {
                            break;
                        }
                    }
                }
                Some(b'|') => {
                    self.pos += 2;
                    return item;
                }
                Some(b'&') => {
                    if self.at(1) == Some(b'&') {
                        self.pos += 2;
                    } else {
                        self.pos += 1;
                        item.background = true;
                    }
                    return item;
                }
                _ => return item,
            }
        }
    }

    fn command(&mut self) -> Option<Command> {
        if self.peek() == Some(b'(') {
            if self.at(1) == Some(b'(') {
                self.pos += 2;
                self.skip_arithmetic();
                return None;
            }
            self.pos += 1;
            if self.too_deep() {
                return None;
            }
            let body = self.parenthesised();
            return Some(self.group(GroupKind::Plain, body));
        }
        if !self.too_deep()
            && self.peek().is_some_and(|b| matches!(b, b'{' | b'i' | b'w' | b'u' | b'f' | b'c' | b's' | b'['))
        {
            if self.take_keyword("{") {
                let body = self.nested(End::Brace);
                self.take_keyword("}");
                return Some(self.group(GroupKind::Plain, body));
            }
            if self.take_keyword("if") {
                let body = self.until(&["fi"]);
                return Some(self.group(GroupKind::Plain, body));
            }
            if self.take_keyword("while") || self.take_keyword("until") {
                let body = self.until(&["done"]);
                return Some(self.group(GroupKind::Plain, body));
            }
            if self.take_keyword("for") || self.take_keyword("select") {
                return Some(self.for_loop());
            }
            if self.take_keyword("case") {
                return Some(self.case());
            }
            if self.take_keyword("function") {
                self.skip_blank();
                let name = self.word().map(|word| word.flat()).unwrap_or_default();
                self.skip_blank();
                if self.starts("()") {
                    self.pos += 2;
                }
                return Some(self.function(name));
            }
            if self.take_keyword("[[") {
                return Some(self.condition());
            }
        }
        self.simple()
    }

    fn nested(&mut self, end: End) -> Script {
        self.depth += 1;
        let script = self.list(end);
        self.depth -= 1;
        script
    }

    /// Reads bodies past the inner keywords up to one of `closers`.
    fn until(&mut self, closers: &[&str]) -> Script {
        let mut all = Script::default();
        loop {
            let mut part = self.nested(End::Keyword);
            all.items.append(&mut part.items);
            if closers.iter().any(|closer| self.take_keyword(closer)) {
                return all;
            }
            let inner = ["then", "else", "elif", "do"].iter().any(|word| self.take_keyword(word));
            if !inner {
                return all;
            }
        }
    }

    fn group(&mut self, kind: GroupKind, body: Script) -> Command {
        let mut redirects = Vec::new();
        loop {
            self.skip_blank();
            match self.redirect() {
                Some(redirect) => redirects.push(redirect),
                None => break,
            }
        }
        Command::Group(Box::new(Group { kind, body, redirects }))
    }

    fn for_loop(&mut self) -> Command {
        self.skip_blank();
        if self.starts("((") {
            self.pos += 2;
            self.skip_arithmetic();
            self.skip_lines();
            let body = self.until(&["done", "}"]);
            return self.group(GroupKind::Plain, body);
        }
        let name = self.word().map(|word| word.flat()).unwrap_or_default();
        self.skip_lines();
        let mut words = Vec::new();
        if self.take_keyword("in") {
            loop {
                self.skip_blank();
                match self.word() {
                    Some(word) => words.push(word),
                    None => break,
                }
            }
        }
        self.skip_lines();
        let body = if self.take_keyword("{") { self.until(&["}"]) } else { self.until(&["done"]) };
        self.group(GroupKind::For(name, words), body)
    }

    fn case(&mut self) -> Command {
        self.skip_blank();
        // The subject may hold substitutions; it is read as a command that does nothing.
        let subject = self.word();
        self.skip_lines();
        self.take_keyword("in");
        let mut body = Script::default();
        if let Some(word) = subject {
            let simple = Simple { words: vec![Word::literal(":"), word], ..Simple::default() };
            body.items.push(Item { commands: vec![Command::Simple(simple)], background: false });
        }
        loop {
            self.skip_lines();
            while self.starts(";;") || self.starts(";&") {
                self.pos += 2;
                if self.peek() == Some(b'&') {
                    self.pos += 1;
                }
                self.skip_lines();
            }
            if self.take_keyword("esac") || self.peek().is_none() {
                break;
            }
            let before = self.pos;
            if self.peek() == Some(b'(') {
                self.pos += 1;
            }
            loop {
                self.skip_blank();
                if self.peek() == Some(b'|') {
                    self.pos += 1;
                } else if self.word().is_none() {
                    break;
                }
            }
            if self.peek() == Some(b')') {
                self.pos += 1;
                let mut part = self.nested(End::Case);
                body.items.append(&mut part.items);
            }
            if self.pos == before {
                self.pos += 1;
            }
        }
        self.group(GroupKind::Plain, body)
    }

    fn function(&mut self, name: String) -> Command {
        self.skip_lines();
        let body = match self.command() {
            Some(Command::Group(group)) => {
                let mut group = *group;
                if group.redirects.is_empty() {
                    group.body
                } else {
                    Script {
                        items: vec![Item {
                            commands: vec![Command::Group(Box::new(Group {
                                kind: GroupKind::Plain,
                                body: std::mem::take(&mut group.body),
                                redirects: group.redirects,
                            }))],
                            background: false,
                        }],
                    }
                }
            }
            Some(command) => Script { items: vec![Item { commands: vec![command], background: false }] },
            None => Script::default(),
        };
        Command::Group(Box::new(Group { kind: GroupKind::Function(name), body, redirects: Vec::new() }))
    }

    /// `[[ … ]]`: its words, as a `test`.
    fn condition(&mut self) -> Command {
        let mut simple = Simple { words: vec![Word::literal("test")], ..Simple::default() };
        loop {
            self.skip_blank();
            match self.peek() {
                None => break,
                Some(b'\n') => self.newline(),
                Some(b'<' | b'>' | b'&' | b'|' | b'(' | b')' | b';') => self.pos += 1,
                Some(_) => {
                    if self.take_keyword("]]") {
                        break;
                    }
                    match self.word() {
                        Some(word) => simple.words.push(word),
                        None => self.pos += 1,
                    }
                }
            }
        }
        Command::Simple(simple)
    }

    pub(super) fn skip_arithmetic(&mut self) {
        let mut open = 2_u32;
        while let Some(byte) = self.peek() {
            self.pos += 1;
            match byte {
                b'(' => open = open.saturating_add(1),
                b')' => {
                    open -= 1;
                    if open == 0 {
                        return;
                    }
                }
                _ => {}
            }
        }
    }

    fn simple(&mut self) -> Option<Command> {
        let mut simple = Simple::default();
        loop {
            self.skip_blank();
            if let Some(redirect) = self.redirect() {
                simple.redirects.push(redirect);
                continue;
            }
            if self.peek() == Some(b'(') && self.at(1) == Some(b')') && simple.words.len() == 1 {
                let name = simple.words.first().map(Word::flat).unwrap_or_default();
                self.pos += 2;
                if self.too_deep() {
                    return None;
                }
                self.depth += 1;
                let function = self.function(name);
                self.depth -= 1;
                return Some(function);
            }
            let start = self.pos;
            if simple.words.is_empty()
                && let Some(name) = self.assignment_name()
            {
                let value = if self.peek() == Some(b'(') { self.array() } else { self.word().unwrap_or_default() };
                simple.assigns.push((name, value));
                continue;
            }
            match self.word() {
                Some(word) => simple.words.push(word),
                None => {
                    // A parenthesis after words (`declare -a x=(…)`, extended globs): its content are words as well.
                    if self.peek() == Some(b'(') && !simple.words.is_empty() {
                        let array = self.array();
                        simple.words.push(array);
                        continue;
                    }
                    break;
                }
            }
            if self.pos == start {
                break;
            }
        }
        let empty = simple.words.is_empty() && simple.assigns.is_empty() && simple.redirects.is_empty();
        (!empty).then_some(Command::Simple(simple))
    }

    /// `NAME=` or `NAME+=` or `NAME[…]=`, taken.
    fn assignment_name(&mut self) -> Option<String> {
        let rest = self.bytes.get(self.pos..)?;
        let first = *rest.first()?;
        if !(first.is_ascii_alphabetic() || first == b'_') {
            return None;
        }
        let len = rest.iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'_'))?;
        let name = self.text.get(self.pos..self.pos + len)?.to_owned();
        let mut after = len;
        if rest.get(after) == Some(&b'[') {
            let close = rest.iter().skip(after).take(256).position(|b| *b == b']')?;
            after += close + 1;
        }
        if rest.get(after) == Some(&b'+') {
            after += 1;
        }
        if rest.get(after) != Some(&b'=') {
            return None;
        }
        self.pos += after + 1;
        Some(name)
    }

    /// `(a b c)` as one word of all its parts, separated by blanks.
    fn array(&mut self) -> Word {
        self.pos += 1;
        let mut all = Word::default();
        loop {
            self.skip_blank();
            match self.peek() {
                None => break,
                Some(b')') => {
                    self.pos += 1;
                    break;
                }
                Some(b'\n') => self.newline(),
                Some(_) => match self.word() {
                    Some(mut word) => {
                        if !all.parts.is_empty() {
                            all.parts.push(Part::Text { text: " ".to_owned(), quoted: false });
                        }
                        all.parts.append(&mut word.parts);
                    }
                    None => self.pos += 1,
                },
            }
        }
        all
    }

    fn redirect(&mut self) -> Option<Redirect> {
        let mut at = self.pos;
        let mut fd = None;
        while let Some(byte) = self.bytes.get(at) {
            if byte.is_ascii_digit() && at - self.pos < 4 {
                fd = Some(fd.unwrap_or(0_u32) * 10 + u32::from(byte - b'0'));
                at += 1;
            } else {
                break;
            }
        }
        let rest = self.bytes.get(at..)?;
        let (kind, len) = match rest {
            [b'<', b'<', b'<', ..] => (RedirectKind::HereString, 3),
            [b'<', b'<', b'-', ..] => (RedirectKind::HereDocument, 3),
            [b'<', b'<', ..] => (RedirectKind::HereDocument, 2),
            [b'<', b'>', ..] => (RedirectKind::ReadWrite, 2),
            [b'<', b'&', ..] => (RedirectKind::Duplicate, 2),
            [b'<' | b'>', b'(', ..] => return None,
            [b'<', ..] => (RedirectKind::Input, 1),
            [b'&', b'>', b'>', ..] => (RedirectKind::Both, 3),
            [b'&', b'>', ..] => (RedirectKind::Both, 2),
            [b'>', b'>', ..] => (RedirectKind::Append, 2),
            [b'>', b'&', ..] => (RedirectKind::Duplicate, 2),
            [b'>', b'|', ..] => (RedirectKind::Output, 2),
            [b'>', ..] => (RedirectKind::Output, 1),
            _ => return None,
        };
        let strip = rest.starts_with(b"<<-") && kind == RedirectKind::HereDocument;
        self.pos = at + len;
        self.skip_blank();
        let target = self.word().unwrap_or_default();
        match kind {
            RedirectKind::HereDocument => {
                self.pending.push((target.flat(), target.is_quoted(), strip));
                self.documents += 1;
                Some(Redirect { fd, kind, target: Word::default() })
            }
            RedirectKind::Duplicate => {
                let text = target.flat();
                let number = text.trim_end_matches('-').bytes().all(|b| b.is_ascii_digit());
                let kind = if number && target.parts.len() <= 1 { kind } else { RedirectKind::Both };
                let kind =
                    if rest.starts_with(b"<") && kind == RedirectKind::Both { RedirectKind::Duplicate } else { kind };
                Some(Redirect { fd, kind, target })
            }
            _ => Some(Redirect { fd, kind, target }),
        }
    }

    /// Gives each here-document operator of the list its body, in order.
    fn attach_documents(&mut self, script: &mut Script, _first: usize) {
        if self.bodies.is_empty() {
            return;
        }
        let mut bodies = std::mem::take(&mut self.bodies).into_iter();
        fill(script, &mut bodies);
        self.bodies = bodies.collect();
    }
}

fn fill(script: &mut Script, bodies: &mut std::vec::IntoIter<Word>) {
    for item in &mut script.items {
        for command in &mut item.commands {
            let redirects = match command {
                Command::Simple(simple) => &mut simple.redirects,
                Command::Group(group) => {
                    fill(&mut group.body, bodies);
                    &mut group.redirects
                }
            };
            for redirect in redirects {
                if redirect.kind == RedirectKind::HereDocument && redirect.target.parts.is_empty() {
                    match bodies.next() {
                        Some(body) => redirect.target = body,
                        None => return,
                    }
                }
            }
        }
    }
}
