//! Finding and searching.

use capsule_core::Workflow;

use super::command::parse_args;
use super::{Done, Eval, Plumbing, heavier};
use crate::flow::{Arg, Flow, Taint};
use crate::place::Classes;
use crate::risk::{Verb, flag};

impl Eval<'_> {
    pub(crate) fn find(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32, plumbing: &Plumbing) -> Done {
        if matches!(name, "fd" | "fdfind") {
            return self.fd(name, args, stdin, flags, plumbing);
        }
        let before = self.hits.len();
        let mut starts: Vec<&Arg> = Vec::new();
        let mut index = 1;
        while let Some(arg) = args.get(index) {
            let text = arg.text.as_str();
            if matches!(text, "-L" | "-H" | "-P") || text.starts_with("-O") && text.len() == 3 {
                index += 1;
                continue;
            }
            if text.starts_with('-') || text.starts_with('(') || text.starts_with('!') || text == "\\(" {
                break;
            }
            starts.push(arg);
            index += 1;
        }
        let mut done = Done::work(Some(Workflow::SystemExploration));
        let mut named = Vec::new();
        let mut deletes = false;
        while let Some(arg) = args.get(index) {
            let text = arg.text.as_str();
            match text {
                "-name" | "-iname" | "-path" | "-ipath" | "-wholename" | "-iwholename" | "-regex" | "-iregex"
                | "-lname" => {
                    if let Some(pattern) = args.get(index + 1) {
                        named.push(pattern.text.clone());
                    }
                    index += 1;
                    done.work = heavier(done.work, Some(Workflow::FileAnalysis));
                }
                "-newer" | "-mtime" | "-mmin" | "-size" | "-user" | "-group" | "-maxdepth" | "-mindepth" | "-type"
                | "-samefile" | "-inum" | "-ctime" | "-atime" | "-newermt" | "-xtype" | "-fstype" | "-links"
                | "-cmin" | "-amin" | "-uid" | "-gid" | "-printf" => {
                    index += 1;
                }
                "-perm" => {
                    if let Some(mode) = args.get(index + 1) {
                        let join = mode.text.clone();
                        let content = format!("perm:{join}");
                        for start in &starts {
                            let canonical = self.at(&start.text).into_owned();
                            let classes = self.path_classes(&start.text);
                            self.judge(
                                Verb::List,
                                &canonical,
                                classes,
                                Taint::SEARCH,
                                flags | flag::SEARCHED,
                                "find",
                                Some(&content),
                                args.get(1..).unwrap_or_default(),
                            );
                        }
                        let setid = join.trim_start_matches(['-', '/', '+']);
                        if setid.contains('s')
                            || (setid.len() >= 4
                                && setid.bytes().next().is_some_and(|b| matches!(b, b'2' | b'4' | b'6')))
                        {
                            done.work = Some(Workflow::SecurityOperation);
                        }
                    }
                    index += 1;
                }
                "-delete" => deletes = true,
                "-fprintf" | "-fprint" | "-fls" => {
                    if let Some(path) = args.get(index + 1) {
                        self.path_deed(Verb::Write, &path.text, Taint::NONE, flags, "find", None);
                    }
                    index += 1;
                }
                "-exec" | "-execdir" | "-ok" | "-okdir" => {
                    let end = args
                        .iter()
                        .enumerate()
                        .skip(index + 1)
                        .find(|(_, arg)| matches!(arg.text.as_str(), ";" | "+" | "\\;"));
                    let end = end.map_or(args.len(), |(end, _)| end);
                    let runs = args.get(index + 1..end);
                    index = end;
                    if let Some(command) = runs {
                        let inner = self.find_exec(command, &starts, &named, stdin, flags, plumbing);
                        let reads = inner.work;
                        done.work = match reads {
                            // Deleting, building, running: what was found does not matter any more.
                            None if !inner.plumbing => None,
                            None => done.work,
                            some => heavier(done.work, some),
                        };
                        done.out.taint = done.out.taint.and(inner.out.taint);
                    }
                }
                _ => {}
            }
            index += 1;
        }
        if starts.is_empty() {
            self.searched(".", &named, flags);
        }
        for start in &starts {
            self.searched(&start.text, &named, flags);
            if deletes {
                let narrow =
                    if named.is_empty() { flag::RECURSIVE | flag::FORCE } else { flag::RECURSIVE | flag::SEARCHED };
                let object = match named.first() {
                    Some(pattern) => format!("{}/{pattern}", start.text.trim_end_matches('/')),
                    None => start.text.clone(),
                };
                self.path_deed(Verb::Delete, &object, Taint::SEARCH, flags | narrow, "find", None);
            }
        }
        if deletes {
            done.work = None;
        }
        let secret = named.iter().any(|pattern| self.names_secret(pattern));
        let credential = self.hits.iter().skip(before).any(|hit| {
            hit.severity >= capsule_core::Severity::Medium
                && self.rules.risks.rules.get(hit.rule).is_some_and(|rule| rule.entry.category == "credential-access")
        });
        if credential {
            done.work = Some(Workflow::SecurityOperation);
        }
        done.out.taint = done.out.taint.and(if secret { Taint::SEARCH.and(Taint::SECRET) } else { Taint::SEARCH });
        done
    }

    /// Where a search begins and what it looks for, as the rules see it.
    fn searched(&mut self, start: &str, named: &[String], flags: u32) {
        if named.is_empty() {
            self.path_deed(Verb::List, start, Taint::SEARCH, flags | flag::SEARCHED, "find", None);
            return;
        }
        let canonical = self.at(start).into_owned();
        for name in named.iter().take(16) {
            let classes = self.rules.places.of_path(&canonical, self.project.as_deref());
            let content = name.clone();
            self.judge(
                Verb::List,
                &canonical,
                classes,
                Taint::SEARCH,
                flags | flag::SEARCHED,
                "find",
                Some(&content),
                &[],
            );
        }
    }

    fn names_secret(&self, pattern: &str) -> bool {
        let bare = pattern.trim_start_matches('*').trim_start_matches('/');
        let somewhere = format!("~/{bare}");
        self.rules.places.of_path(&somewhere, None).any(self.rules.places.secret())
            || self.rules.places.of_path(&format!("/x/.ssh/{bare}"), None).any(self.rules.places.secret())
    }

    fn find_exec(
        &mut self,
        command: &[Arg],
        starts: &[&Arg],
        named: &[String],
        stdin: &Flow,
        flags: u32,
        plumbing: &Plumbing,
    ) -> Done {
        let start = starts.first().map_or(".", |arg| arg.text.as_str()).trim_end_matches('/');
        let found = match named.last() {
            Some(name) if name.contains('/') => format!("{start}/{}", name.trim_start_matches(['*', '/'])),
            Some(name) => format!("{start}/**/{name}"),
            None => start.to_owned(),
        };
        let found: String = found.chars().take(256).collect();
        let mut secret = false;
        for name in named {
            secret |= self.names_secret(name);
        }
        let command: Vec<Arg> = command
            .iter()
            .map(|arg| {
                if arg.text.len() < 1024 && arg.text.contains("{}") {
                    Arg { text: arg.text.replace("{}", &found), taint: Taint::SEARCH, dynamic: true }
                } else {
                    arg.clone()
                }
            })
            .collect();
        let before = self.hits.len();
        let mut done = self.run(&command, stdin, flags | flag::SEARCHED, plumbing, false);
        if secret && self.hits.len() == before {
            let reads = matches!(done.work, Some(Workflow::FileAnalysis | Workflow::SecurityOperation))
                || command
                    .first()
                    .is_some_and(|arg| matches!(arg.text.as_str(), "cp" | "tar" | "zip" | "base64" | "curl"));
            if reads {
                let joined = named.join(" ");
                self.deed(
                    Verb::Read,
                    &format!("searched {joined}"),
                    Taint::SECRET,
                    flags | flag::SEARCHED,
                    "find-secret",
                    None,
                );
                done.work = Some(Workflow::SecurityOperation);
            }
        }
        done
    }

    fn fd(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32, plumbing: &Plumbing) -> Done {
        let exec = args.iter().position(|arg| matches!(arg.text.as_str(), "-x" | "-X" | "--exec" | "--exec-batch"));
        let head = args.get(..exec.unwrap_or(args.len())).unwrap_or_default();
        let parsed = parse_args(head, |o| {
            matches!(
                o,
                "-e" | "--extension"
                    | "-t"
                    | "--type"
                    | "-d"
                    | "--max-depth"
                    | "-E"
                    | "--exclude"
                    | "-S"
                    | "--size"
                    | "--changed-within"
                    | "--changed-before"
                    | "-j"
                    | "-c"
                    | "--color"
                    | "--min-depth"
                    | "--owner"
                    | "-o"
            )
        });
        let filtered =
            !parsed.operands.is_empty() || parsed.has(&["-e", "--extension", "--changed-within", "-S", "--size"]);
        let mut done = Done::work(Some(if filtered { Workflow::FileAnalysis } else { Workflow::SystemExploration }));
        done.out.taint = Taint::SEARCH;
        if let Some(pattern) = parsed.operands.first() {
            let start = parsed.operands.get(1).map_or(".", |arg| arg.text.as_str()).to_owned();
            self.searched(&start, std::slice::from_ref(&pattern.text), flags);
        }
        if let Some(at) = exec {
            let command: Vec<Arg> = args.get(at + 1..).unwrap_or_default().to_vec();
            let inner = self.run(&command, stdin, flags, plumbing, false);
            done.work = heavier(done.work, inner.work);
            let _ = name;
        }
        done
    }

    pub(crate) fn grep(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32, piped: bool) -> Done {
        let parsed = parse_args(args, |o| {
            matches!(
                o,
                "-e" | "-f"
                    | "-m"
                    | "-A"
                    | "-B"
                    | "-C"
                    | "--include"
                    | "--exclude"
                    | "--exclude-dir"
                    | "-g"
                    | "--glob"
                    | "-t"
                    | "--type"
                    | "-T"
                    | "--max-count"
                    | "--context"
            ) || (o == "-r" && name == "rg")
        });
        let explicit = parsed.has(&["-e", "--regexp", "-f", "--file", "--files", "--type-list"])
            || parsed.options.iter().any(|(o, _)| o.starts_with("-e") && o.len() > 2 && !o.starts_with("--"));
        let pattern = parsed
            .value(&["-e", "--regexp"])
            .or_else(|| parsed.operands.first().map(|arg| arg.text.as_str()))
            .unwrap_or_default();
        let files: Vec<&Arg> = parsed.operands.iter().copied().skip(usize::from(!explicit)).collect();
        let recursive = parsed.flag('r')
            || parsed.flag('R')
            || parsed.has(&["--recursive"])
            || matches!(name, "rg" | "ag" | "ack" | "ripgrep");
        let mut flags = flags;
        if recursive {
            flags |= flag::RECURSIVE;
        }
        let mut done = Done::work(Some(Workflow::FileAnalysis));
        let from_pipe = files.is_empty() && (piped || stdin.present);
        if from_pipe {
            done = Done { filter: true, ..Done::work(None) };
            done.out = Flow { taint: stdin.taint.and(Taint::CHOSEN), text: None, present: true };
            if stdin.taint.has(Taint::PROCESSES) && crate::recorder::is_named(pattern) {
                done.out.taint = done.out.taint.and(Taint::RECORDER);
            }
            // Filtering the environment or a history for secrets is a deed of its own.
            if stdin.taint.has(Taint::SENSITIVE.and(Taint::SECRET)) {
                self.judge(
                    Verb::Read,
                    "-",
                    Classes::default(),
                    stdin.taint,
                    flags | flag::PIPED,
                    "grep",
                    Some(pattern),
                    &[],
                );
            }
            if secret_words(pattern) && stdin.taint.has(Taint::SENSITIVE) {
                done.work = Some(Workflow::SecurityOperation);
                done.out.taint = done.out.taint.and(Taint::SENSITIVE);
            }
            return done;
        }
        for file in &files {
            let canonical = self.at(&file.text).into_owned();
            let classes = self.rules.places.of_path(&canonical, self.project.as_deref());
            let taint = self.written(&file.text).map_or(Taint::NONE, |flow| flow.taint);
            let before = self.hits.len();
            let content = pattern.to_owned();
            self.judge(Verb::Read, &canonical, classes, taint, flags | flag::SEARCHED, "grep", Some(&content), &[]);
            self.resource(capsule_core::ResourceKind::Path, &file.text);
            self.taint_by_hits(before, &mut done);
            done.out.taint = done.out.taint.and(taint);
            if canonical.ends_with("/known_hosts") || canonical.ends_with("/.ssh/config") || canonical == "/etc/hosts" {
                done.out.taint = done.out.taint.and(Taint::HOST);
            }
            if self.rules.places.is_secret(classes) {
                done.work = Some(Workflow::SecurityOperation);
            }
            if canonical.starts_with("/proc/") && done.work == Some(Workflow::FileAnalysis) {
                done.work = Some(Workflow::SystemExploration);
            }
        }
        done
    }
}

/// Whether a search pattern looks for secrets.
pub(crate) fn secret_words(pattern: &str) -> bool {
    let lower = pattern.to_ascii_lowercase();
    [
        "passw",
        "secret",
        "token",
        "api_key",
        "apikey",
        "api-key",
        "credential",
        "private key",
        "private_key",
        "aws_",
        "_key",
        "key=",
    ]
    .iter()
    .any(|word| lower.contains(word))
}
