//! One command with its arguments: which program it is, whose code it runs, what it reads, writes and reaches.

use capsule_core::{ResourceKind, Workflow};

use super::{Done, Eval, MAX_DEPTH, Plumbing, heavier};
use crate::agent::Kinship;
use crate::flow::{Arg, Flow, Taint};
use crate::knowledge::{Operand, Program, plain_name, without_version};
use crate::place::looks_like_url;
use crate::risk::{Verb, flag};

/// A command's arguments, taken apart by what is known of its program.
pub(crate) struct Parsed<'a> {
    /// Option with its value, where it has one.
    pub(crate) options: Vec<(&'a str, Option<&'a Arg>)>,
    pub(crate) operands: Vec<&'a Arg>,
    /// Index of each operand in the arguments.
    pub(crate) at: Vec<usize>,
}

impl<'a> Parsed<'a> {
    /// The value of the first of `names`, as `-o x`, `-ox` (short) or `--output=x`.
    pub(crate) fn value(&self, names: &[&str]) -> Option<&'a str> {
        self.options.iter().find_map(|(option, value)| {
            if names.contains(option) {
                return value.map(|arg| arg.text.as_str());
            }
            names.iter().find_map(|name| {
                let rest = option.strip_prefix(name)?;
                if name.starts_with("--") { rest.strip_prefix('=') } else { (!rest.is_empty()).then_some(rest) }
            })
        })
    }

    pub(crate) fn has(&self, names: &[&str]) -> bool {
        self.options.iter().any(|(option, _)| {
            names.contains(option) || option.split_once('=').is_some_and(|(name, _)| names.contains(&name))
        })
    }

    /// A short flag, alone or in a bundle.
    pub(crate) fn flag(&self, letter: char) -> bool {
        self.options.iter().any(|(option, _)| {
            option
                .strip_prefix('-')
                .is_some_and(|rest| !rest.starts_with('-') && rest.len() < 9 && rest.contains(letter))
        })
    }
}

/// Takes arguments apart. `valued` options take the next argument.
pub(crate) fn parse_args<'a>(args: &'a [Arg], valued: impl Fn(&str) -> bool) -> Parsed<'a> {
    let mut parsed = Parsed { options: Vec::new(), operands: Vec::new(), at: Vec::new() };
    crate::effort::spent(args.len());
    let mut index = 1;
    let mut only_operands = false;
    while let Some(arg) = args.get(index) {
        let text = arg.text.as_str();
        if !only_operands && text == "--" {
            only_operands = true;
        } else if !only_operands && text.len() > 1 && text.starts_with('-') {
            if valued(text) {
                parsed.options.push((text, args.get(index + 1)));
                index += 1;
            } else {
                parsed.options.push((text, None));
            }
        } else {
            parsed.operands.push(arg);
            parsed.at.push(index);
        }
        index += 1;
    }
    parsed
}

/// Whether a container engine lists only what a filter lets through.
fn chooses(parsed: &Parsed<'_>) -> bool {
    let lists = parsed.operands.iter().any(|arg| matches!(arg.text.as_str(), "ps" | "ls" | "list" | "images"));
    lists && (parsed.has(&["--filter", "-f"]) || parsed.flag('f'))
}

const SHELLS: &[&str] =
    &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash", "fish", "csh", "tcsh", "yash", "busybox sh"];

pub(crate) fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name)
}

impl<'r> Eval<'r> {
    /// What is known of the program at `path`, with the name it is known by.
    pub(crate) fn program(&self, path: &str) -> (String, Option<&'r Program>) {
        let rules = self.rules;
        let name = plain_name(path);
        if let Some(program) = rules.knowledge.get(name) {
            return (name.to_owned(), Some(program));
        }
        let bare = without_version(name);
        if bare.len() < name.len()
            && let Some(program) = rules.knowledge.get(bare)
        {
            return (bare.to_owned(), Some(program));
        }
        // `npx create-next-app@latest`.
        if let Some((package, _)) = name.split_once('@').filter(|(package, _)| !package.is_empty())
            && let Some(program) = rules.knowledge.get(package)
        {
            return (package.to_owned(), Some(program));
        }
        for extension in [".js", ".mjs", ".cjs", ".py", ".rb", ".sh", ".phar", ".pl"] {
            if let Some(stem) = bare.strip_suffix(extension)
                && path.contains("/bin/")
                && let Some(program) = rules.knowledge.get(stem)
            {
                return (stem.to_owned(), Some(program));
            }
        }
        if let Some((_, last)) = bare.rsplit_once("-gnu-").or_else(|| bare.rsplit_once("-musl-"))
            && let Some(program) = rules.knowledge.get(last)
        {
            return (last.to_owned(), Some(program));
        }
        (name.to_owned(), None)
    }

    /// Works out one command.
    pub(crate) fn run(&mut self, args: &[Arg], stdin: &Flow, flags: u32, plumbing: &Plumbing, piped: bool) -> Done {
        let Some(first) = args.first() else { return Done::plumbing() };
        if self.depth >= MAX_DEPTH {
            return Done::default();
        }
        self.depth += 1;
        let done = self.run_known(first, args, stdin, flags, plumbing, piped);
        self.depth -= 1;
        done
    }

    fn run_known(
        &mut self,
        first: &Arg,
        args: &[Arg],
        stdin: &Flow,
        flags: u32,
        plumbing: &Plumbing,
        piped: bool,
    ) -> Done {
        if (first.dynamic && first.taint != Taint::NONE)
            || first.taint.has(Taint::DECODED.and(Taint::NETWORK).and(Taint::SOCKET).and(Taint::HIDDEN))
        {
            self.deed(Verb::Execute, &first.text, first.taint, flags, "", None);
        }
        if first.text.contains(' ') && !first.text.starts_with('/') && args.len() == 1 && first.dynamic {
            return self.shell_text(&first.text.clone(), stdin, flags);
        }
        if let Some(done) = self.agent(first, args, flags) {
            return done;
        }
        // What pagers and editors take for "run a shell".
        if let Some(escape) = first.text.strip_prefix(":!").or_else(|| first.text.strip_prefix('!'))
            && is_shell(plain_name(escape))
        {
            self.deed(Verb::Shape, "interactive-shell", Taint::NONE, flags, "!", None);
            return Done::work(None);
        }
        let (name, program) = self.program(&first.text);
        // Multi-call programs: the applet is the program.
        if matches!(name.as_str(), "busybox" | "toybox" | "coreutils")
            && let Some(applet) = args.get(1).filter(|applet| !applet.text.starts_with('-'))
        {
            let _applet_name = &applet.text;
            return self.run(args.get(1..).unwrap_or_default(), stdin, flags, plumbing, piped);
        }
        let mut flags = flags;
        // What stands behind code is an argument of the code's: `bash -c CODE --help` runs it.
        let runs_code = is_shell(&name) || passes_on(&name) || program.is_some_and(|known| known.language.is_some());
        if !runs_code
            && args.iter().skip(1).any(|arg| {
                matches!(
                    arg.text.as_str(),
                    "--dry-run" | "--help" | "-help" | "--dryrun" | "--simulate" | "--just-print"
                )
            })
        {
            flags |= flag::DRY;
        }
        if name.starts_with("test")
            || args.iter().skip(1).any(|arg| arg.text.contains("test") || arg.text.contains("fixture"))
        {
            flags |= flag::TEST;
        }
        self.run_deeds(first, &name, program, args, stdin, flags);
        if is_shell(&name) {
            return self.shell(&name, args, stdin, flags, plumbing);
        }
        if let Some(program) = program {
            if !program.wrappers.is_empty() {
                self.through.push(name.clone());
                // The same holds of commands: each looks at its own arguments.
                let done = self.wrapper(&name, program, args, stdin, flags & !flag::DRY, plumbing, piped);
                self.through.pop();
                if let Some(done) = done {
                    return done;
                }
            }
            if program.language.is_some() {
                return self.interpreter(&name, program, args, stdin, flags, plumbing, piped);
            }
        }
        if let Some(done) = self.builtin(&name, args, stdin, flags, piped) {
            return self.with_work(done, program, args);
        }
        if version_asked(args) && !passes_on(&name) && !matches!(name.as_str(), "echo" | "printf") {
            return Done::work(Some(Workflow::SystemExploration));
        }
        let known = match name.as_str() {
            "curl" | "wget" | "wget2" | "http" | "https" | "xh" | "xhs" | "curlie" | "aria2c" | "axel" => {
                Some(self.http_client(&name, args, stdin, flags))
            }
            // libwww-perl's and BSD's own: an address, then a file.
            "lwp-download" | "fetch" if args.get(1).is_some_and(|arg| arg.text.contains("://")) => {
                let mut words: Vec<Arg> = args.iter().take(2).cloned().collect();
                if let Some(file) = args.get(2) {
                    words.push(Arg { text: "-O".to_owned(), ..Arg::default() });
                    words.push(file.clone());
                }
                Some(self.http_client("wget", &words, stdin, flags))
            }
            "ssh" | "autossh" | "mosh" | "sshpass" | "dbclient" => Some(self.ssh(&name, args, stdin, flags)),
            "scp" | "rsync" | "sftp" | "rclone" => Some(self.transfer(&name, args, stdin, flags)),
            "nc" | "ncat" | "netcat" | "socat" | "telnet" | "pwncat" => {
                Some(self.socket_tool(&name, args, stdin, flags))
            }
            "openssl" => Some(self.openssl(args, stdin, flags)),
            "find" | "fd" | "fdfind" | "bfs" => Some(self.find(&name, args, stdin, flags, plumbing)),
            "grep" | "egrep" | "fgrep" | "rg" | "ag" | "ack" | "ugrep" | "zgrep" | "pcregrep" | "ripgrep"
            | "git-grep" => Some(self.grep(&name, args, stdin, flags, piped)),
            "sed" | "gsed" => Some(self.sed(args, stdin, flags, piped)),
            "awk" | "gawk" | "mawk" | "nawk" | "original-awk" => Some(self.awk(args, stdin, flags, piped)),
            "tar" | "bsdtar" | "gtar" => Some(self.tar(args, stdin, flags)),
            "zip" | "7z" | "7za" | "7zz" | "rar" | "jar" | "cpio" | "ar" | "pax" => {
                Some(self.archive(&name, args, stdin, flags))
            }
            "cp" | "mv" | "install" | "ln" => Some(self.copy(&name, args, flags)),
            "chmod" | "chown" | "chgrp" | "setfacl" | "chattr" | "setfattr" => {
                Some(self.permissions(&name, args, flags))
            }
            "rm" | "rmdir" | "unlink" | "shred" | "srm" | "truncate" | "trash" | "trash-put" | "wipe" | "del" => {
                Some(self.remove(&name, args, stdin, flags))
            }
            "dd" => Some(self.dd(args, stdin, flags)),
            "tee" | "sponge" => Some(self.tee(&name, args, stdin, flags)),
            "base64" | "base32" | "basenc" | "xxd" | "hexdump" | "od" | "uuencode" | "uudecode" | "rev" | "tr"
            | "gzip" | "gunzip" | "bzip2" | "bunzip2" | "xz" | "unxz" | "zstd" | "zcat" | "bzcat" | "xzcat"
            | "openssl-enc" | "pigz" | "lz4" => Some(self.codec(&name, args, stdin, flags, piped)),
            _ => None,
        };
        if let Some(done) = known {
            return self.with_work(done, program, args);
        }
        match program {
            Some(program) => self.generic(&name, program, args, stdin, flags, piped),
            None => self.unknown(&name, args, stdin, flags),
        }
    }

    /// An agent started by a script.
    fn agent(&mut self, first: &Arg, args: &[Arg], flags: u32) -> Option<Done> {
        self.rules.agents.program(&first.text)?;
        let texts: Vec<&str> = args.iter().map(|arg| arg.text.as_str()).collect();
        let program = match self.rules.agents.kinship_of(&texts)? {
            Kinship::Runs(_) => "(agent)",
            Kinship::Other(_) => "(agent-program)",
        };
        let rest = args.get(1..).unwrap_or_default();
        self.judge(Verb::Run, program, crate::place::Classes::default(), Taint::NONE, flags, program, None, rest);
        Some(Done::work(None))
    }

    /// The workflow that the knowledge base gives, where the program's own understanding gave none.
    fn with_work(&self, mut done: Done, program: Option<&Program>, args: &[Arg]) -> Done {
        if let Some(program) = program {
            if done.work.is_none() && !done.plumbing {
                let parsed = parse_args(args, |option| program.valued.contains(option));
                let operands: Vec<&str> = parsed.operands.iter().map(|arg| arg.text.as_str()).collect();
                done.work = program.work(|| super::joined(args.get(1..).unwrap_or_default()), &operands);
            }
            done.filter |=
                program.filter && parse_args(args, |o| program.valued.contains(o)).operands.len() <= program.skip;
        }
        done
    }

    /// The deed of running it at all.
    fn run_deeds(
        &mut self,
        first: &Arg,
        name: &str,
        program: Option<&Program>,
        args: &[Arg],
        stdin: &Flow,
        flags: u32,
    ) {
        self.look_alike_program(name, flags);
        let taint = args.iter().skip(1).fold(Taint::NONE, |all, arg| all.and(arg.taint)).and(stdin.taint);
        let rest = args.get(1..).unwrap_or_default();
        // Who is asked for help says how it is used, and does nothing.
        let simple = program.is_none_or(|program| program.wrappers.is_empty() && program.language.is_none());
        let helps = simple
            && !is_shell(name)
            && !passes_on(name)
            && args.len() > 1
            && args.last().is_some_and(|arg| arg.text == "--help")
            && args.iter().all(|arg| arg.text != "--");
        // Rules may speak of it by the name that it was called by, or by the one it is known by.
        let known = program.map(|program| program.name.as_str()).filter(|known| *known != name);
        for called in std::iter::once(name).chain(known) {
            if self.rules.risks.knows(called) && !(helps && called == name) {
                let content = stdin.text.as_deref();
                self.judge(Verb::Run, called, crate::place::Classes::default(), taint, flags, called, content, rest);
            }
        }
        if matches!(name, "sudo" | "su") && stdin.taint.has(Taint::MANY) {
            self.deed(Verb::Shape, "guesses-passwords", Taint::NONE, flags, name, None);
        }
        let path = first.text.as_str();
        if path.contains('/') {
            // A tool of the trade is one by its stem, too: `./mimipenguin.sh`.
            if let Some((stem, _)) = name.rsplit_once('.').filter(|_| known.is_none())
                && self.rules.risks.knows(stem)
                && !self.rules.risks.knows(name)
                && self.program(stem).1.is_none()
                && !is_everyday(stem)
            {
                self.judge(Verb::Run, stem, crate::place::Classes::default(), taint, flags, stem, None, rest);
            }
            let own = self.written(path).map(|flow| flow.taint);
            let classes = self.path_classes(path);
            let mut taint = own.unwrap_or(Taint::NONE);
            if own.is_none() && program.is_none() && !path.starts_with("/usr/") && !self.unpacked.has(Taint::REPUTED) {
                taint = self.unpacked;
            }
            let unusual = program.is_none() || own.is_some();
            if unusual || !path.starts_with("/usr/") {
                let object = self.at(path).into_owned();
                let content = self.written(path).and_then(|flow| flow.text.clone());
                self.judge(
                    Verb::Execute,
                    &object,
                    classes,
                    taint,
                    flags | flag::SCRIPT,
                    name,
                    content.as_deref(),
                    rest,
                );
            }
        }
    }

    /// A program of which only data is known.
    fn generic(
        &mut self,
        name: &str,
        program: &'r Program,
        args: &[Arg],
        stdin: &Flow,
        flags: u32,
        piped: bool,
    ) -> Done {
        let parsed = parse_args(args, |option| {
            program.valued.contains(option) || program.reads.iter().chain(&program.writes).any(|known| known == option)
        });
        let operands: Vec<&str> = parsed.operands.iter().map(|arg| arg.text.as_str()).collect();
        let mut done = Done::work(program.work(|| super::joined(args.get(1..).unwrap_or_default()), &operands));
        done.plumbing = program.plumbing;
        let mut flags = flags;
        if parsed.flag('r') || parsed.flag('R') || parsed.has(&["--recursive"]) {
            flags |= flag::RECURSIVE;
        }
        let mut read_any = false;
        let count = parsed.operands.len();
        for (index, arg) in parsed.operands.iter().enumerate() {
            if index < program.skip {
                continue;
            }
            let is_last = index + 1 == count && count > program.skip + 1;
            let role = if is_last { program.last.or(program.operands) } else { program.operands };
            read_any |= self.operand(role, arg, name, flags, &mut done, stdin);
        }
        for (option, value) in &parsed.options {
            let (name_only, joined) =
                option.split_once('=').map_or((*option, None), |(name, value)| (name, Some(value)));
            let value = joined.or(value.map(|arg| arg.text.as_str()));
            let Some(value) = value else { continue };
            if program.reads.iter().any(|known| known == name_only) {
                let flow = self.read_path(value, flags, name);
                done.out.taint = done.out.taint.and(flow.taint);
            } else if program.writes.iter().any(|known| known == name_only) {
                let mut flow = stdin.clone();
                flow.text = None;
                self.write_path(Verb::Write, value, &flow, flags, name);
            }
        }
        if program.operands.is_none() {
            self.look_at_operands(name, &parsed, flags, stdin);
        }
        if matches!(name, "docker" | "podman" | "nerdctl") && chooses(&parsed) {
            done.out.taint = done.out.taint.and(Taint::CHOSEN);
        }
        // A compiler that runs what it compiles.
        if operands.first() == Some(&"run")
            && matches!(name, "go" | "zig" | "dart" | "crystal" | "swift" | "v" | "nim")
            && let Some(source) = parsed.operands.get(1)
        {
            self.run_source(source, name, flags);
        }
        // A bucket's object on standard output.
        if matches!(name, "aws" | "gsutil" | "gcloud" | "az" | "s3cmd" | "s5cmd" | "mc" | "oci")
            && (operands.last() == Some(&"-") || operands.contains(&"cat"))
        {
            done.out.taint = done.out.taint.and(Taint::NETWORK);
        }
        let diff = operands.first() == Some(&"diff");
        if program.operands.is_none()
            && (diff || !matches!(program.work, Some(Workflow::RepositoryOperation | Workflow::SecurityOperation)))
        {
            done.out.taint = done.out.taint.and(self.named_secrets(name, &parsed, flags));
        }
        let reads_stdin = program.filter && !read_any;
        if reads_stdin {
            done.filter = true;
            done.out = Flow { taint: stdin.taint.and(done.out.taint), text: None, present: true };
            if piped || stdin.present {
                // Behind something else it is no more than a filter.
                if matches!(done.work, Some(Workflow::FileAnalysis)) && !stdin.present {
                    done.work = None;
                }
            } else if stdin.text.is_some() {
                done.work = None;
            }
            if stdin.text.is_some() {
                done.work = None;
            }
            if matches!(name, "cat" | "head" | "tail" | "tee" | "sort" | "less" | "more") {
                done.out.text.clone_from(&stdin.text);
                if stdin.taint.has(Taint::AUTHORED) || stdin.text.is_some() {
                    done.plumbing = true;
                }
            }
        }
        done
    }

    /// Source text that is compiled and run at once, where it is known to come from elsewhere.
    pub(crate) fn run_source(&mut self, source: &Arg, name: &str, flags: u32) {
        let taint = self.written(&source.text).map_or(Taint::NONE, |flow| flow.taint).and(source.taint);
        if taint != Taint::NONE {
            let classes = self.path_classes(&source.text);
            self.judge(Verb::Execute, &source.text, classes, taint, flags | flag::SCRIPT, name, None, &[]);
        }
    }

    fn operand(
        &mut self,
        role: Option<Operand>,
        arg: &Arg,
        name: &str,
        flags: u32,
        done: &mut Done,
        stdin: &Flow,
    ) -> bool {
        let text = arg.text.as_str();
        if text == "-" {
            return false;
        }
        match role {
            Some(Operand::Read) => {
                if looks_remote(text) {
                    return true;
                }
                let flow = self.read_path(text, flags, name);
                done.out.taint = done.out.taint.and(flow.taint).and(arg.taint.without(Taint::SEARCH));
                if done.out.text.is_none() {
                    done.out.text = flow.text;
                }
                if self.rules.places.is_secret(self.path_classes(text)) {
                    done.work = Some(Workflow::SecurityOperation);
                }
                let system =
                    ["/proc/", "/sys/", "/etc/os-release", "/etc/issue", "/etc/lsb-release", "/etc/debian_version"];
                if done.work == Some(Workflow::FileAnalysis) && system.iter().any(|start| text.starts_with(start)) {
                    done.work = Some(Workflow::SystemExploration);
                }
                true
            }
            Some(Operand::Write | Operand::Append) => {
                let verb = if role == Some(Operand::Append) { Verb::Append } else { Verb::Write };
                self.write_path(verb, text, stdin, flags, name);
                false
            }
            Some(Operand::Delete) => {
                self.path_deed(Verb::Delete, text, arg.taint, flags, name, None);
                false
            }
            Some(Operand::Move) => {
                self.path_deed(Verb::Move, text, arg.taint, flags, name, None);
                false
            }
            Some(Operand::List) => {
                self.path_deed(Verb::List, text, arg.taint, flags, name, None);
                false
            }
            Some(Operand::Run) => {
                let classes = self.path_classes(text);
                let taint = self.written(text).map_or(Taint::NONE, |flow| flow.taint).and(arg.taint);
                self.judge(Verb::Execute, text, classes, taint, flags | flag::SCRIPT, name, None, &[]);
                true
            }
            Some(Operand::Url) => {
                if looks_like_url(text) {
                    self.url_deed(Verb::Connect, text, arg.taint, flags, name, None);
                }
                false
            }
            Some(Operand::Nothing) | None => false,
        }
    }

    /// Addresses among the operands of a program whose operands are not files.
    fn look_at_operands(&mut self, name: &str, parsed: &Parsed<'_>, flags: u32, stdin: &Flow) {
        for arg in &parsed.operands {
            let text = arg.text.as_str();
            if text.contains("://") && text.len() < 4096 {
                self.url_deed(Verb::Connect, text, arg.taint.and(stdin.taint), flags, name, None);
            } else if (text.starts_with('/') || text.starts_with('~') || text.starts_with("./")) && text.len() < 1024 {
                self.resource(ResourceKind::Path, text);
            }
        }
    }

    /// Secrets named to a program that is not known to read files: it would hardly be given them otherwise.
    fn named_secrets(&mut self, name: &str, parsed: &Parsed<'_>, flags: u32) -> Taint {
        let mut taint = Taint::NONE;
        for arg in &parsed.operands {
            let path = arg.text.trim_start_matches('@');
            if path.starts_with(['/', '~'])
                && path.len() < 1024
                && self.path_classes(path).any(self.rules.places.guarded())
            {
                let flow = self.read_path(path, flags, name);
                taint = taint.and(flow.taint);
            }
        }
        taint
    }

    /// A program of which nothing is known: a tool, without a workflow.
    fn unknown(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let parsed = parse_args(args, |_| false);
        self.look_at_operands(name, &parsed, flags, stdin);
        let taint = args
            .iter()
            .skip(1)
            .fold(stdin.taint, |all, arg| all.and(arg.taint))
            .without(Taint::SHELL.and(Taint::SOCKET));
        let mut done = Done::work(None).with(taint.without(Taint::DECODED));
        done.out.taint = done.out.taint.and(self.named_secrets(name, &parsed, flags));
        done
    }

    /// A shell: `-c` text, a script, or commands from standard input.
    fn shell(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32, plumbing: &Plumbing) -> Done {
        let mut index = 1;
        let mut code = None;
        let mut script = None;
        let mut wants_code = false;
        let mut from_stdin = false;
        while let Some(arg) = args.get(index) {
            let text = arg.text.as_str();
            if text == "--" || text == "-" {
                index += 1;
                if from_stdin {
                    break;
                }
                if !wants_code {
                    script = args.get(index);
                    break;
                }
                continue;
            }
            if text.starts_with('-') && text.len() > 1 || text.starts_with('+') && text.len() > 1 && !wants_code {
                if matches!(text, "--init-command" | "--rcfile" | "--init-file" | "-O" | "+O" | "-o" | "+o" | "-C") {
                    index += 2;
                    continue;
                }
                if text == "--version" || text == "--help" {
                    return Done::work(Some(Workflow::SystemExploration));
                }
                if !text.starts_with("--") {
                    wants_code |= text.contains('c');
                    from_stdin |= text.contains('s') && !text.contains('c');
                } else if text == "--command" {
                    wants_code = true;
                } else if let Some(inline) = text.strip_prefix("--command=") {
                    code = Some(Arg { text: inline.to_owned(), ..arg.clone() });
                    break;
                }
                index += 1;
                continue;
            }
            if wants_code {
                code = Some(arg.clone());
            } else if !from_stdin {
                script = Some(arg);
            }
            break;
        }
        if let Some(code) = code {
            if code.taint != Taint::NONE {
                self.deed(Verb::Execute, "-c", code.taint, flags, name, Some(&code.text));
            }
            // Positional parameters after the text.
            for (number, arg) in args.iter().skip(index + 1).enumerate() {
                let flow = Flow { taint: arg.taint, text: Some(std::rc::Rc::from(arg.text.as_str())), present: true };
                self.vars.insert(number.to_string(), flow);
            }
            let mut done = self.shell_text(&code.text, stdin, flags);
            // An agent's own wrapping is no work; what is inside it is.
            let asked = crate::summary::unwrap_agent(&code.text);
            if asked.len() < code.text.len() {
                let mut inner = Eval::new(self.rules, None);
                inner.cwd.clone_from(&self.cwd);
                inner.project.clone_from(&self.project);
                inner.depth = self.depth;
                let of_asked = inner.shell_text(&asked, stdin, flags);
                self.hits.append(&mut inner.hits);
                done.work = of_asked.work;
            }
            if code.dynamic && code.text.len() < 8 {
                done.plumbing = false;
            }
            if plumbing.socket {
                self.deed(Verb::Shape, "shell-to-socket", stdin.taint, flags, name, Some(&code.text));
            }
            return done;
        }
        if let Some(script) = script {
            let path = script.text.clone();
            let flow = self.written(&path).cloned().unwrap_or_default();
            let taint = flow.taint.and(script.taint);
            let classes = self.path_classes(&path);
            let text = flow.text.clone();
            self.judge(Verb::Execute, &path, classes, taint, flags | flag::SCRIPT, name, text.as_deref(), &[]);
            self.resource(ResourceKind::Path, &path);
            if let Some(text) = text
                && self.depth + 2 < MAX_DEPTH
            {
                // The script was written a moment ago: what it does is known.
                let inner = self.shell_text(&text, stdin, flags);
                return Done { work: inner.work, ..Done::work(None) };
            }
            return Done::work(None).with(taint);
        }
        if stdin.present {
            if stdin.taint.has(Taint::SOCKET) {
                self.deed(Verb::Shape, "socket-to-shell", stdin.taint, flags, name, None);
            }
            let text = stdin.text.clone();
            self.deed(Verb::Execute, "-", stdin.taint, flags, name, text.as_deref());
            let mut done = Done::work(None).with(Taint::SHELL);
            if let Some(text) = text {
                let inner = self.shell_text(&text, &Flow::default(), flags);
                done.work = heavier(done.work, inner.work);
            }
            return done;
        }
        if args.iter().skip(1).any(|arg| arg.text == "-p") {
            self.deed(Verb::Shape, "privileged-shell", stdin.taint, flags, name, None);
        }
        if let Some(wrapper) = self.through.last().cloned() {
            self.deed(Verb::Shape, "interactive-shell", stdin.taint, flags, &wrapper, None);
        }
        if plumbing.socket {
            self.deed(Verb::Shape, "shell-to-socket", stdin.taint, flags, name, None);
        }
        Done::work(None).with(Taint::SHELL)
    }
}

/// Names that scripts of all kinds have.
pub(crate) fn is_everyday(stem: &str) -> bool {
    matches!(stem, "test" | "at" | "history" | "http" | "serve" | "import" | "mail" | "host" | "exploit" | "transfer")
}

/// Programs that take what stands behind their first operand for somebody else's words.
fn passes_on(name: &str) -> bool {
    matches!(
        name,
        "ssh"
            | "autossh"
            | "socat"
            | "nc"
            | "ncat"
            | "find"
            | "fd"
            | "awk"
            | "gawk"
            | "mawk"
            | "nawk"
            | "watch"
            | "expect"
            | "tmux"
            | "screen"
    )
}

/// Whether the program is only asked for its version or its help.
pub(crate) fn version_asked(args: &[Arg]) -> bool {
    let Some(first) = args.get(1) else { return false };
    if args.iter().any(|arg| arg.text == "--") {
        return false;
    }
    match args.len() {
        2 => matches!(
            first.text.as_str(),
            "--version" | "-V" | "version" | "--help" | "-version" | "--Version" | "help" | "-help"
        ),
        _ => {
            args.last().is_some_and(|arg| arg.text == "--help")
                || (args.len() == 3
                    && (args.get(2).is_some_and(|arg| matches!(arg.text.as_str(), "--version" | "-h"))
                        || matches!(first.text.as_str(), "--version")))
        }
    }
}

fn looks_remote(text: &str) -> bool {
    text.contains("://") && !text.starts_with("file://")
}
