//! Programs that talk to other hosts: what they fetch, what they send, what they tie to a socket.

mod http;
mod socket;

use capsule_core::Workflow;

use super::command::parse_args;
use super::{Done, Eval};
use crate::flow::{Arg, Flow, Taint};
use crate::place::{Classes, class, host_of};
use crate::risk::{Verb, flag};

impl Eval<'_> {
    /// What comes from `host` is tainted by where it is from.
    pub(crate) fn network_taint(&self, url: &str) -> Taint {
        let Some(host) = host_of(url) else { return Taint::NETWORK };
        let classes = self.rules.places.of_host(host);
        let is = |name: &str| self.rules.places.named(name).is_some_and(|one| classes.any(one));
        if is(class::LOOPBACK) {
            return Taint::NONE;
        }
        let mut taint = Taint::NETWORK;
        if is(class::BARE_IP) || is("paste") || is("drop") || is("tunnel") {
            taint = taint.and(Taint::DUBIOUS);
        }
        if is("download-site") && !url.contains("/raw/") {
            taint = taint.and(Taint::REPUTED);
        }
        let known_path = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path_classes = self.rules.places.of_path(known_path, Some("/"));
        if is("installer") || self.rules.places.named("installer").is_some_and(|one| path_classes.any(one)) {
            taint = taint.and(Taint::KNOWN);
        }
        taint
    }

    pub(crate) fn ssh(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        if name == "sshpass" {
            let parsed = parse_args(args, |o| matches!(o, "-p" | "-f" | "-d" | "-P"));
            let password = args.iter().skip(1).take_while(|arg| !arg.text.starts_with("ssh"));
            if password.fold(Taint::NONE, |all, arg| all.and(arg.taint)).has(Taint::MANY) {
                self.deed(Verb::Shape, "guesses-passwords", Taint::NONE, flags, name, None);
            }
            let rest = parsed.at.first().and_then(|at| args.get(*at..)).unwrap_or_default().to_vec();
            return if rest.is_empty() {
                Done::work(Some(Workflow::NetworkCommunication))
            } else {
                self.run(&rest, stdin, flags, &super::Plumbing::default(), false)
            };
        }
        let mut index = 1;
        let mut host = None;
        while let Some(arg) = args.get(index) {
            let text = arg.text.as_str();
            if text.starts_with('-') && text.len() > 1 {
                let option =
                    text.strip_prefix("-o").map(|rest| if rest.is_empty() { args.get(index + 1) } else { Some(arg) });
                if let Some(command) = option.flatten().and_then(|arg| local_command(&arg.text)) {
                    // It runs here, not there.
                    self.shell_text(&command, &Flow::default(), flags);
                }
                let takes = matches!(
                    text,
                    "-b" | "-c"
                        | "-D"
                        | "-E"
                        | "-e"
                        | "-F"
                        | "-I"
                        | "-i"
                        | "-J"
                        | "-L"
                        | "-l"
                        | "-m"
                        | "-O"
                        | "-o"
                        | "-p"
                        | "-Q"
                        | "-R"
                        | "-S"
                        | "-W"
                        | "-w"
                        | "-B"
                        | "-M"
                ) || (text.len() < 8
                    && !text.starts_with("--")
                    && text.ends_with(['D', 'i', 'L', 'l', 'o', 'p', 'R', 'W']));
                index += 1 + usize::from(takes && text != "-M");
                continue;
            }
            host = Some(arg.text.clone());
            break;
        }
        let Some(host) = host else { return Done::work(Some(Workflow::NetworkCommunication)) };
        let host_taint = args.get(index).map_or(Taint::NONE, |arg| arg.taint);
        let plain = host_of(&host).unwrap_or_default().to_owned();
        self.host_deed(Verb::Connect, &plain, &host, stdin.taint.and(host_taint), flags, name, None);
        if stdin.present && stdin.taint != Taint::NONE {
            self.host_deed(Verb::Upload, &plain, &host, stdin.taint, flags, name, None);
        }
        let rest = args.get(index + 1..).unwrap_or_default();
        let mut work = Some(Workflow::NetworkCommunication);
        if !rest.is_empty() {
            let text = rest.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
            let cwd = self.cwd.take();
            let project = self.project.take();
            let inner = self.shell_text(&text, stdin, (flags & !flag::ELEVATED) | flag::REMOTE);
            self.cwd = cwd;
            self.project = project;
            if inner.work == Some(Workflow::SecurityOperation) {
                work = inner.work;
            }
        }
        Done::work(work).with(Taint::NETWORK)
    }

    /// scp, rsync, sftp, rclone.
    pub(crate) fn transfer(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let parsed = parse_args(args, |o| {
            matches!(
                o,
                "-e" | "--rsh"
                    | "-i"
                    | "-P"
                    | "-o"
                    | "-F"
                    | "-l"
                    | "-J"
                    | "-c"
                    | "-S"
                    | "--exclude"
                    | "--include"
                    | "--exclude-from"
                    | "--files-from"
                    | "-b"
                    | "-f"
                    | "--filter"
                    | "--bwlimit"
                    | "--port"
                    | "--password-file"
                    | "-T"
                    | "--config"
                    | "-D"
            ) && !(name == "rsync" && matches!(o, "-P" | "-l" | "-c" | "-S" | "-o" | "-i" | "-b"))
        });
        let mut operands = parsed.operands.clone();
        if name == "rclone" && !operands.is_empty() {
            operands.remove(0);
        }
        let is_remote = |text: &str| {
            text.contains("://")
                || text
                    .split_once(':')
                    .is_some_and(|(head, _)| !head.is_empty() && !head.contains('/') && !head.starts_with('.'))
        };
        let Some((target, sources)) = operands.split_last() else {
            return Done::work(Some(Workflow::NetworkCommunication));
        };
        let outward = is_remote(&target.text);
        let inward = sources.iter().any(|source| is_remote(&source.text));
        if name == "sftp" {
            let text = stdin.text.clone().unwrap_or_default();
            for line in text.lines().take(256) {
                let mut words = line.split_whitespace();
                if matches!(words.next(), Some("put" | "mput" | "reput"))
                    && let Some(file) = words.next()
                {
                    let taint = self.sent_file(file, flags, name);
                    let host = host_of(&target.text).unwrap_or_default().to_owned();
                    self.host_deed(Verb::Upload, &host, &target.text, taint, flags, name, None);
                }
            }
            let host = host_of(&target.text).unwrap_or_default().to_owned();
            self.host_deed(Verb::Connect, &host, &target.text, stdin.taint, flags, name, None);
            return Done::work(Some(Workflow::NetworkCommunication));
        }
        let mut taint = Taint::NONE;
        for source in sources {
            if is_remote(&source.text) {
                let host = host_of(&source.text).unwrap_or_default().to_owned();
                self.host_deed(Verb::Connect, &host, &source.text, Taint::NONE, flags, name, None);
                // What is read elsewhere is as secret there.
                if let Some((_, path)) = source.text.split_once(':') {
                    let path = path.to_owned();
                    self.path_deed(Verb::Read, &path, Taint::NONE, flags | flag::REMOTE, name, None);
                }
            } else {
                let flow = self.read_path(&source.text, flags | flag::RECURSIVE, name);
                taint = taint.and(flow.taint);
                let whole = self.at(&source.text);
                if Some(whole.as_ref()) == self.project.as_deref()
                    || matches!(source.text.as_str(), "." | "./" | ".git" | ".git/")
                {
                    taint = taint.and(Taint::TREE);
                }
                if outward && taint == Taint::NONE {
                    taint = taint.and(self.sent_file(&source.text, flags | flag::RECURSIVE, name));
                }
            }
        }
        if outward {
            let host = host_of(&target.text).unwrap_or_default().to_owned();
            let remote = if name == "rclone" { host.clone() } else { target.text.clone() };
            self.host_deed(Verb::Upload, &host, &remote, taint, flags, name, None);
            if let Some((_, path)) = target.text.split_once(':') {
                let path = path.to_owned();
                self.path_deed(Verb::Write, &path, taint, flags | flag::REMOTE, name, None);
            }
        } else {
            let from = if inward { Taint::NETWORK } else { taint };
            self.write_path(Verb::Write, &target.text, &Flow::of(from), flags, name);
        }
        let secret = taint.has(Taint::SECRET);
        if outward || inward || name == "rclone" {
            return Done::work(Some(if secret { Workflow::SecurityOperation } else { Workflow::NetworkCommunication }));
        }
        Done::work(None)
    }

    /// An address that a program is known to have connected to.
    pub(crate) fn connected(&mut self, address: &str, program: &str) -> Classes {
        let host = host_of(address).unwrap_or_default().to_owned();
        self.host_deed(Verb::Connect, &host, address, Taint::NONE, flag::EVIDENCE, program, None)
    }
}

/// The command that an option of ssh runs on this side: `ProxyCommand=…`, `LocalCommand …`.
fn local_command(option: &str) -> Option<String> {
    let option = option.strip_prefix("-o").unwrap_or(option);
    let (name, command) = option.split_once(['=', ' '])?;
    let runs =
        ["proxycommand", "localcommand", "knownhostscommand"].contains(&name.trim().to_ascii_lowercase().as_str());
    runs.then(|| command.trim_matches(['"', '\'', ' ']).replace("%h", "host").replace("%p", "22"))
}
