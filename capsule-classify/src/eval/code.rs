//! Code in other languages given on the command line or on standard input: not understood, but looked at for what matters
//! (files, network, other programs), in one pass over its tokens.

mod scan;

use capsule_core::Workflow;

use super::command::{is_everyday, version_asked};
use super::{Done, Eval, MAX_DEPTH, Plumbing, heavier};
use crate::flow::{Arg, Flow, Taint};
use crate::knowledge::Program;
use crate::place::host_of;
use crate::risk::{Verb, flag};
use scan::{Call, Scan};

/// Python's modules and node's scripts that are programs of their own are in the knowledge base under their own names.
impl<'r> Eval<'r> {
    /// python, node, perl, ruby, php and so on.
    #[expect(clippy::too_many_arguments, reason = "the parts of a command and how it is known")]
    pub(crate) fn interpreter(
        &mut self,
        name: &str,
        program: &'r Program,
        args: &[Arg],
        stdin: &Flow,
        flags: u32,
        plumbing: &Plumbing,
        piped: bool,
    ) -> Done {
        let language = program.language.clone().unwrap_or_default();
        // Behind a script or code it is asked for its help, and runs.
        let of_its_own = args.len() == 2 || args.get(1).is_some_and(|arg| arg.text == "-m");
        if of_its_own && version_asked(args)
            || args.len() == 2 && args.get(1).is_some_and(|arg| arg.text == "-v" || arg.text == "-VV")
        {
            return Done::work(Some(Workflow::SystemExploration));
        }
        let mut index = 1;
        while let Some(arg) = args.get(index) {
            let text = arg.text.as_str();
            let bundled = language == "perl" || language == "ruby";
            let is_code = program.code.iter().any(|known| known == text)
                || (bundled
                    && text.starts_with('-')
                    && !text.starts_with("--")
                    && text.len() < 9
                    && text.ends_with(['e', 'E'])
                    && text.len() > 1);
            // `-e'code'` comes as one argument.
            let attached = attached_code(&language, text).map(|code| Arg { text: code.to_owned(), ..arg.clone() });
            if is_code || attached.is_some() {
                let code = attached.clone().or_else(|| args.get(index + 1).cloned()).unwrap_or_default();
                if code.taint.without(Taint::HOST) != Taint::NONE {
                    self.deed(Verb::Execute, "-c", code.taint, flags, name, Some(&code.text));
                }
                let in_place = bundled
                    && args.iter().take(index + 1).any(|arg| {
                        arg.text.starts_with("-i")
                            || (arg.text.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit()).starts_with('p')
                                && arg.text.starts_with('-')
                                && arg.text.contains('i'))
                            || arg.text.starts_with("-n") && arg.text.contains('i')
                    });
                let mut done = self.code(&language, &code.text.clone(), flags);
                if plumbing.socket && scan::is_interactive(&code.text) {
                    self.deed(Verb::Shape, "shell-to-socket", stdin.taint, flags, name, None);
                }
                let mut files = 0;
                for file in args.iter().skip(index + 2 - usize::from(attached.is_some())) {
                    if file.text.starts_with('-') || !bundled {
                        continue;
                    }
                    files += 1;
                    if in_place {
                        let flow = Flow {
                            text: Some(std::rc::Rc::from(code.text.as_str())),
                            present: true,
                            ..Flow::default()
                        };
                        self.write_path(Verb::Append, &file.text, &flow, flags, name);
                    } else {
                        let flow = self.read_path(&file.text, flags, name);
                        done.out.taint = done.out.taint.and(flow.taint);
                        if self.rules.places.is_secret(self.path_classes(&file.text)) {
                            done.work = Some(Workflow::SecurityOperation);
                        }
                    }
                }
                if in_place {
                    done.work = heavier(done.work, Some(Workflow::CodeGeneration));
                } else if files > 0 {
                    done.work = heavier(done.work, Some(Workflow::FileAnalysis));
                }
                done.out.taint = done.out.taint.and(stdin.taint.without(Taint::AUTHORED));
                done.filter = piped && done.work.is_none();
                return done;
            }
            if language == "python"
                && (text == "-m" || text.starts_with("-m") && text.len() > 2 && !text.starts_with("--"))
            {
                let module = if text == "-m" {
                    args.get(index + 1).map(|arg| arg.text.clone())
                } else {
                    text.get(2..).map(str::to_owned)
                };
                let after = if text == "-m" { index + 2 } else { index + 1 };
                let Some(module) = module else { return Done::work(None) };
                return self.module(&module, args.get(after..).unwrap_or_default(), stdin, flags, plumbing, piped);
            }
            if text == "-" {
                break;
            }
            if text.starts_with('-') && text.len() > 1 {
                if matches!(text, "--check" | "-c" | "--syntax-check" | "-l" | "-wc" | "-cw" | "--test")
                    && language != "python"
                {
                    return Done::work(None);
                }
                let bare = text.split_once('=').map_or(text, |(name, _)| name);
                index += 1 + usize::from(program.valued.contains(bare) && bare.len() == text.len());
                continue;
            }
            if program.has_subs() {
                let operands = [text, args.get(index + 1).map_or("", |next| next.text.as_str())];
                let known = program.work(String::new, &operands);
                if known.is_some()
                    || matches!(text, "run" | "test" | "bench" | "task" | "check" | "repl" | "build" | "compile")
                {
                    if text == "run"
                        && let Some(source) = args.iter().skip(index + 1).find(|arg| !arg.text.starts_with('-'))
                    {
                        self.run_source(source, name, flags);
                    }
                    return Done::work(known);
                }
            }
            return self.script_file(name, &language, args, index, stdin, flags, plumbing, piped);
        }
        if stdin.present {
            let text = stdin.text.clone();
            self.deed(Verb::Execute, "-", stdin.taint, flags, name, text.as_deref());
            let mut done = Done::work(None);
            if let Some(text) = text {
                done = self.code(&language, &text, flags);
            }
            if stdin.taint.has(Taint::SOCKET) {
                self.deed(Verb::Shape, "socket-to-shell", stdin.taint, flags, name, None);
            }
            done.out.present = true;
            return done;
        }
        if plumbing.socket {
            self.deed(Verb::Shape, "shell-to-socket", stdin.taint, flags, name, None);
        }
        Done::work(None)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a command and how it is known")]
    fn script_file(
        &mut self,
        name: &str,
        language: &str,
        args: &[Arg],
        index: usize,
        stdin: &Flow,
        flags: u32,
        plumbing: &Plumbing,
        piped: bool,
    ) -> Done {
        let Some(script) = args.get(index) else { return Done::work(None) };
        let path = script.text.clone();
        // An installed program run through its interpreter is that program.
        if let Some(known) = known_script(&path)
            && self.program(&known).1.is_some()
            && self.depth + 1 < MAX_DEPTH
        {
            let mut inner = vec![Arg::plain(&known)];
            inner.extend(args.iter().skip(index + 1).cloned());
            return self.run(&inner, stdin, flags, plumbing, piped);
        }
        let flow = self.written(&path).cloned().unwrap_or_default();
        let classes = self.path_classes(&path);
        let text = flow.text.clone();
        self.judge(
            Verb::Execute,
            &path,
            classes,
            flow.taint.and(script.taint),
            flags | flag::SCRIPT,
            name,
            text.as_deref(),
            args.get(index + 1..).unwrap_or_default(),
        );
        self.resource(capsule_core::ResourceKind::Path, &path);
        let base = path.rsplit('/').next().unwrap_or_default();
        let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
        let base = if self.rules.risks.knows(base) { base } else { stem };
        if self.rules.risks.knows(base) && !is_everyday(base) {
            let rest = args.get(index + 1..).unwrap_or_default();
            self.judge(Verb::Run, base, classes, flow.taint, flags, base, None, rest);
        }
        let base = path.rsplit('/').next().unwrap_or_default();
        if base == "manage.py" || base == "artisan" || base == "console" {
            let inner: Vec<Arg> =
                std::iter::once(Arg::plain(base)).chain(args.iter().skip(index + 1).cloned()).collect();
            return self.run(&inner, stdin, flags, plumbing, piped);
        }
        if base == "setup.py" {
            let work = if args.iter().any(|arg| matches!(arg.text.as_str(), "develop" | "install")) {
                Some(Workflow::NetworkCommunication)
            } else {
                None
            };
            return Done::work(work);
        }
        if let Some(text) = text
            && self.depth + 2 < MAX_DEPTH
        {
            self.depth += 1;
            let inner = self.code(language, &text, flags);
            self.depth -= 1;
            return Done { work: inner.work, ..Done::work(None) };
        }
        Done::work(None)
    }

    fn module(
        &mut self,
        module: &str,
        rest: &[Arg],
        stdin: &Flow,
        flags: u32,
        plumbing: &Plumbing,
        piped: bool,
    ) -> Done {
        let top = module.split('.').next().unwrap_or(module);
        let own = match module {
            "http.server" | "SimpleHTTPServer" => {
                let args: Vec<Arg> = rest.to_vec();
                self.judge(
                    Verb::Run,
                    "http.server",
                    crate::place::Classes::default(),
                    Taint::NONE,
                    flags,
                    "http.server",
                    None,
                    &args,
                );
                return Done::work(None);
            }
            "json.tool" | "tokenize" | "ast" | "dis" | "tarfile" | "zipfile" | "gzip" | "base64" => {
                let reads = rest.iter().any(|arg| !arg.text.starts_with('-'));
                for arg in rest.iter().filter(|arg| !arg.text.starts_with('-')) {
                    self.read_path(&arg.text, flags, module);
                }
                let mut done = Done::work((reads && !piped).then_some(Workflow::FileAnalysis));
                done.filter = !reads;
                done.out.taint = stdin.taint;
                return done;
            }
            "venv" | "virtualenv" | "compileall" | "py_compile" | "unittest" | "timeit" | "cProfile" | "pdb"
            | "doctest" | "trace" => {
                return Done::work(None);
            }
            "site" | "sysconfig" | "platform" => return Done::work(Some(Workflow::SystemExploration)),
            "ensurepip" => return Done::work(Some(Workflow::NetworkCommunication)),
            "smtpd" | "aiosmtpd" => return Done::work(None),
            _ => self
                .program(module)
                .1
                .map(|program| program.name.clone())
                .or_else(|| self.program(top).1.map(|program| program.name.clone())),
        };
        let Some(own) = own else { return Done::work(None) };
        let mut inner = vec![Arg::plain(&own)];
        inner.extend(rest.iter().cloned());
        self.run(&inner, stdin, flags, plumbing, piped)
    }

    /// What code does, as far as its calls and strings tell.
    pub(crate) fn code(&mut self, language: &str, text: &str, flags: u32) -> Done {
        if self.depth >= MAX_DEPTH {
            return Done::default();
        }
        self.depth += 1;
        let scan = Scan::of(language, text);
        let mut done = Done::work(None);
        let mut network: Option<String> = None;
        let mut secret = Taint::NONE;
        let has = |word: &str| text.contains(word);
        for (index, call) in scan.calls.iter().enumerate() {
            match call {
                Call::Read(path) => {
                    let flow = self.read_path(path, flags, language);
                    secret = secret.and(flow.taint);
                    let work = if self.rules.places.is_secret(self.path_classes(path)) {
                        Workflow::SecurityOperation
                    } else {
                        Workflow::FileAnalysis
                    };
                    done.work = heavier(done.work, Some(work));
                }
                Call::Write(path, content) => {
                    let flow = Flow { taint: secret, text: content.as_deref().map(std::rc::Rc::from), present: true };
                    let classes = self.write_path(Verb::Write, path, &flow, flags, language);
                    let work = if self.rules.places.is_secret_to_write(classes) {
                        Workflow::SecurityOperation
                    } else {
                        Workflow::CodeGeneration
                    };
                    done.work = heavier(done.work, Some(work));
                }
                Call::Delete(path, all) => {
                    let extra = if *all { flag::RECURSIVE | flag::FORCE } else { 0 };
                    self.path_deed(Verb::Delete, path, Taint::NONE, flags | extra, language, None);
                }
                Call::Mode(path, mode) => {
                    self.path_deed(Verb::Mode, path, Taint::NONE, flags, language, Some(mode));
                    done.work = heavier(done.work, Some(Workflow::SecurityOperation));
                }
                Call::Shell(command) => {
                    let inner = self.shell_text(command, &Flow::default(), flags);
                    done.work = heavier(done.work, inner.work);
                    done.out.taint = done.out.taint.and(inner.out.taint);
                    secret = secret.and(inner.out.taint.without(Taint::SHELL));
                }
                Call::Program(argv) => {
                    let args: Vec<Arg> = argv.iter().map(|arg| Arg::plain(arg)).collect();
                    let inner = self.run(&args, &Flow::default(), flags, &Plumbing::default(), false);
                    done.work = heavier(done.work, inner.work);
                    done.out.taint = done.out.taint.and(inner.out.taint.without(Taint::SHELL));
                    secret = secret.and(inner.out.taint.without(Taint::SHELL));
                }
                Call::Fetch(url) => {
                    self.url_deed(Verb::Download, url, Taint::NONE, flags | flag::PIPED, language, None);
                    network = Some(url.clone());
                    done.work = heavier(done.work, Some(Workflow::NetworkCommunication));
                }
                Call::Send(url) => {
                    // What stands among the call's own arguments comes right behind it.
                    let read = scan.calls.iter().skip(index + 1).map_while(|next| match next {
                        Call::Read(path) => Some(path),
                        _ => None,
                    });
                    let sent = read.fold(Taint::NONE, |all, path| {
                        let guarded = self.path_classes(path).any(self.rules.places.guarded());
                        all.and(if guarded { Taint::SECRET } else { Taint::NONE })
                    });
                    let secret = secret.and(sent);
                    let taint = secret.and(if scan.reads_environment { Taint::SENSITIVE } else { Taint::NONE });
                    self.url_deed(Verb::Upload, url, taint, flags, language, None);
                    done.work = heavier(done.work, Some(Workflow::NetworkCommunication));
                }
                Call::Connect(host, port) => {
                    let address = format!("{host}:{port}");
                    if secret != Taint::NONE {
                        self.host_deed(Verb::Upload, host, &address, secret, flags, language, None);
                    } else {
                        self.host_deed(Verb::Connect, host, &address, Taint::NONE, flags, language, None);
                    }
                    done.work = heavier(done.work, Some(Workflow::NetworkCommunication));
                }
                Call::Code(inner) => {
                    let inner = self.code(language, inner, flags);
                    done.work = heavier(done.work, inner.work);
                }
                Call::List(path) => {
                    self.path_deed(Verb::List, path, Taint::NONE, flags, language, None);
                    done.work = heavier(done.work, Some(Workflow::SystemExploration));
                }
            }
        }
        if scan.evaluates {
            if let Some(url) = &network {
                let taint = self.network_taint(url);
                let host = host_of(url).unwrap_or_default().to_owned();
                let _ = host;
                self.deed(
                    Verb::Execute,
                    url,
                    if taint == Taint::NONE { Taint::NONE } else { taint },
                    flags,
                    language,
                    None,
                );
            } else if scan.fetches {
                self.deed(Verb::Execute, "-", Taint::NETWORK, flags, language, None);
            }
            if scan.decodes {
                self.deed(Verb::Execute, "-", Taint::DECODED, flags, language, None);
            }
        }
        if scan.network && scan.work_network {
            done.work = heavier(done.work, Some(Workflow::NetworkCommunication));
        }
        for feature in scan.features(language, text) {
            self.deed(Verb::Code, feature, secret, flags, language, Some(text));
        }
        if scan.explores {
            done.work = heavier(done.work, Some(Workflow::SystemExploration));
        }
        if scan.reads_unnamed && !has("sys.stdin") {
            done.work = heavier(done.work, Some(Workflow::FileAnalysis));
        }
        if scan.writes_unnamed {
            done.work = heavier(done.work, Some(Workflow::CodeGeneration));
        }
        done.out.taint = done.out.taint.and(secret);
        if scan.reads_environment {
            done.out.taint = done.out.taint.and(Taint::SENSITIVE);
        }
        self.depth -= 1;
        done
    }
}

/// The code in an option that has it attached.
fn attached_code<'a>(language: &str, text: &'a str) -> Option<&'a str> {
    let rest = text.strip_prefix('-').filter(|rest| !rest.starts_with('-'))?;
    match language {
        "perl" | "ruby" => {
            let code = rest.trim_start_matches(['l', 'n', 'p', 'a', 'w', '0']).strip_prefix(['e', 'E'])?;
            (code.len() > 1).then_some(code)
        }
        "python" => rest.strip_prefix('c').filter(|code| code.len() > 1),
        "node" | "php" | "lua" => {
            rest.strip_prefix(['e', 'r']).filter(|code| code.len() > 12 && code.contains(['(', ' ']))
        }
        _ => None,
    }
}

/// The program that a script's path stands for: `…/node_modules/.bin/jest`, `…/npm/bin/npm-cli.js`, `/usr/bin/yarn`.
fn known_script(path: &str) -> Option<String> {
    let base = path.rsplit('/').next()?;
    let stem = base
        .strip_suffix(".js")
        .or_else(|| base.strip_suffix(".mjs"))
        .or_else(|| base.strip_suffix(".cjs"))
        .or_else(|| base.strip_suffix(".phar"))
        .or_else(|| base.strip_suffix(".py"))
        .unwrap_or(base);
    if path.contains("node_modules/") || path.contains("/bin/") || path.contains("vendor/bin/") {
        if let Some((_, rest)) = path.rsplit_once("node_modules/") {
            let mut parts = rest.split('/');
            let first = parts.next().unwrap_or_default();
            if first != ".bin" && path.contains("node_modules/") {
                let package = if first.starts_with('@') { parts.next().unwrap_or_default() } else { first };
                if matches!(stem, "cli" | "index" | "bin" | "main" | "cli.prod") {
                    return Some(package.trim_end_matches("-cli").to_owned());
                }
            }
        }
        return Some(stem.trim_end_matches("-cli").to_owned());
    }
    None
}
