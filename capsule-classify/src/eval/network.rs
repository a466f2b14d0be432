//! Programs that talk to other hosts: what they fetch, what they send, what they tie to a socket.

use capsule_core::Workflow;

use super::command::{is_shell, parse_args};
use super::{Done, Eval};
use crate::flow::{Arg, Flow, Taint};
use crate::knowledge::plain_name;
use crate::place::{Classes, class, host_of};
use crate::risk::{Verb, flag};

/// Options of curl, wget and their kin that take a value.
fn http_valued(name: &str, option: &str) -> bool {
    match name {
        "curl" | "curlie" => {
            matches!(
                option,
                "-o" | "--output"
                    | "-d"
                    | "--data"
                    | "--data-binary"
                    | "--data-raw"
                    | "--data-urlencode"
                    | "--data-ascii"
                    | "--json"
                    | "-F"
                    | "--form"
                    | "--form-string"
                    | "-T"
                    | "--upload-file"
                    | "-X"
                    | "--request"
                    | "-H"
                    | "--header"
                    | "-u"
                    | "--user"
                    | "-A"
                    | "--user-agent"
                    | "-e"
                    | "--referer"
                    | "-b"
                    | "--cookie"
                    | "-c"
                    | "--cookie-jar"
                    | "-x"
                    | "--proxy"
                    | "-m"
                    | "--max-time"
                    | "--connect-timeout"
                    | "--retry"
                    | "--retry-delay"
                    | "-w"
                    | "--write-out"
                    | "--cacert"
                    | "--cert"
                    | "-E"
                    | "--key"
                    | "--resolve"
                    | "--url"
                    | "-K"
                    | "--config"
                    | "--limit-rate"
                    | "--unix-socket"
                    | "-r"
                    | "--range"
                    | "-C"
                    | "--output-dir"
                    | "--interface"
                    | "--dns-servers"
                    | "--socks5"
                    | "--socks5-hostname"
                    | "-U"
                    | "--oauth2-bearer"
                    | "-D"
                    | "--dump-header"
                    | "-z"
                    | "--ciphers"
                    | "-Y"
                    | "-y"
                    | "--aws-sigv4"
                    | "--netrc-file"
                    | "--connect-to"
                    | "--retry-max-time"
                    | "-P"
                    | "-Q"
                    | "--max-filesize"
                    | "--noproxy"
                    | "--proto"
                    | "--stderr"
            ) || (option.len() > 2
                && !option.starts_with("--")
                && option.len() < 8
                && option.ends_with(['o', 'd', 'F', 'T', 'X', 'H', 'u', 'm', 'w', 'x', 'A', 'b']))
        }
        _ => {
            matches!(
                option,
                "-O" | "--output-document"
                    | "-o"
                    | "-a"
                    | "-P"
                    | "--directory-prefix"
                    | "--post-data"
                    | "--post-file"
                    | "--body-file"
                    | "--body-data"
                    | "--method"
                    | "--header"
                    | "-U"
                    | "--user-agent"
                    | "-t"
                    | "--tries"
                    | "-T"
                    | "--timeout"
                    | "-i"
                    | "--input-file"
                    | "-e"
                    | "--execute"
                    | "--user"
                    | "--password"
                    | "-Q"
                    | "--limit-rate"
                    | "--tries2"
                    | "-d"
                    | "--dir"
                    | "-x"
                    | "-s"
                    | "-A"
                    | "-R"
                    | "-D"
                    | "--referer"
                    | "--load-cookies"
                    | "--save-cookies"
                    | "--ca-certificate"
                    | "--certificate"
                    | "--private-key"
                    | "-l"
                    | "--level"
            ) || (matches!(name, "wget" | "wget2")
                && !option.starts_with("--")
                && option.len() < 7
                && option.ends_with('O'))
        }
    }
}

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

    pub(crate) fn http_client(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let parsed = parse_args(args, |option| http_valued(name, option));
        let httpie = matches!(name, "http" | "https" | "xh" | "xhs");
        let mut sent = Taint::NONE;
        let mut sends = false;
        let mut content: Option<String> = None;
        let mut output: Option<String> = None;
        let mut to_stdout = matches!(name, "curl" | "curlie" | "http" | "https" | "xh" | "xhs");
        let mut urls: Vec<&Arg> = Vec::new();
        let mut method = "";
        for (option, value) in &parsed.options {
            let (option, joined) = option
                .split_once('=')
                .filter(|(name, _)| name.starts_with("--"))
                .map_or((*option, None), |(o, v)| (o, Some(v)));
            let text = joined.or(value.map(|arg| arg.text.as_str())).unwrap_or_default();
            let taint = value.map_or(Taint::NONE, |arg| arg.taint);
            let curl = matches!(name, "curl" | "curlie");
            let short = !option.starts_with("--");
            let ends = |letter: char| short && option.ends_with(letter);
            match option {
                "--url" => urls.extend(value.iter()),
                "-d" | "--data" | "--data-binary" | "--data-raw" | "--data-urlencode" | "--data-ascii" | "--json"
                | "-F" | "--form" | "--post-data" | "--body-data" | "-T" | "--upload-file" | "--post-file"
                | "--body-file"
                    if curl || option.starts_with("--") =>
                {
                    sends = true;
                    sent = sent.and(taint);
                    content.get_or_insert_with(|| text.to_owned());
                    let file = match option {
                        "-T" | "--upload-file" | "--post-file" | "--body-file" => Some(text),
                        "-F" | "--form" => text
                            .split_once('=')
                            .and_then(|(_, rest)| rest.strip_prefix(['@', '<']))
                            .map(|rest| rest.split(';').next().unwrap_or(rest)),
                        "--data-urlencode" => text.split_once('@').map(|(_, file)| file),
                        "--data-raw" => None,
                        _ => text.strip_prefix('@'),
                    };
                    match file {
                        Some("-" | "." | "/dev/stdin") => {
                            sent = sent.and(stdin.taint).and(if stdin.taint == Taint::NONE {
                                Taint::NONE
                            } else {
                                Taint::ENCODED
                            })
                        }
                        Some(file) => sent = sent.and(self.sent_file(file, flags, name)),
                        None => {}
                    }
                }
                "-X" | "--request" | "--method" => method = text,
                "-K" | "--config" | "-i" | "--input-file" if !text.is_empty() && value.is_some() => {
                    self.read_path(text, flags, name);
                }
                // A credential in its own place is what headers are for; a stolen one elsewhere is not.
                "-u" | "--user" | "-H" | "--header" | "--oauth2-bearer"
                    if taint.has(Taint::SECRET.and(Taint::ENCODED).and(Taint::HOST)) =>
                {
                    sent = sent.and(taint);
                    sends = true;
                }
                "-u" | "--user" | "-H" | "--header" | "--oauth2-bearer" => {}
                "-b" | "--cookie" | "-A" | "--user-agent" | "-e" | "--referer" if curl => {
                    sent = sent.and(taint.without(Taint::NETWORK))
                }
                "-O" | "--output-document" if !curl => {
                    output = Some(text.to_owned());
                    to_stdout = text == "-";
                }
                "-o" | "--output" if curl => {
                    output = Some(text.to_owned());
                    to_stdout = text == "-";
                }
                "-O" | "--remote-name" | "-OJ" if curl => to_stdout = false,
                "--unix-socket" => {
                    self.path_deed(Verb::Connect, text, taint, flags, name, None);
                }
                _ if curl && short => {
                    if ends('o') && !text.is_empty() {
                        output = Some(text.to_owned());
                        to_stdout = text == "-";
                    } else if option.contains('O') {
                        to_stdout = false;
                    }
                    if ends('d') || ends('F') || ends('T') {
                        sends = true;
                        sent = sent.and(taint);
                        if let Some(file) = text.strip_prefix('@').or_else(|| text.split_once("=@").map(|(_, f)| f)) {
                            sent = sent.and(if file == "-" { stdin.taint } else { self.sent_file(file, flags, name) });
                        } else if ends('T') {
                            sent = sent.and(if text == "-" { stdin.taint } else { self.sent_file(text, flags, name) });
                        }
                    }
                }
                _ if !curl && short && option.contains('O') => {
                    let target =
                        option.split_once('O').map(|(_, rest)| rest).filter(|rest| !rest.is_empty()).unwrap_or(text);
                    output = Some(target.to_owned());
                    to_stdout = target == "-";
                }
                _ => {}
            }
        }
        for (index, operand) in parsed.operands.iter().enumerate() {
            if httpie {
                let text = operand.text.as_str();
                if index == 0 && matches!(text, "GET" | "POST" | "PUT" | "DELETE" | "PATCH" | "HEAD" | "OPTIONS") {
                    method = text;
                    continue;
                }
                if !urls.is_empty() {
                    sends = true;
                    sent = sent.and(operand.taint);
                    if let Some((_, file)) = text.split_once("@").filter(|(field, _)| !field.contains('=')) {
                        let file = file.to_owned();
                        sent = sent.and(self.sent_file(&file, flags, name));
                    }
                    continue;
                }
            }
            urls.push(operand);
        }
        let mut taint = Taint::NONE;
        let mut flags = flags;
        if to_stdout {
            flags |= flag::PIPED;
        }
        for url in urls.iter().take(32) {
            let address = url.text.clone();
            if let Some(path) = address.strip_prefix("file://") {
                let flow = self.read_path(path, flags, name);
                taint = taint.and(flow.taint);
                continue;
            }
            let in_url = url.taint.without(Taint::NETWORK.and(Taint::SEARCH));
            let sends_here = sends || in_url != Taint::NONE;
            let classes = if sends_here {
                self.url_deed(Verb::Upload, &address, sent.and(in_url), flags, name, content.as_deref())
            } else {
                self.url_deed(Verb::Download, &address, in_url, flags, name, Some(method))
            };
            let _ = classes;
            let from = self.network_taint(&address);
            taint = taint.and(from);
            let file = match (&output, to_stdout) {
                (Some(file), false) => Some(file.clone()),
                (None, false) => {
                    address.split(['?', '#']).next().and_then(|path| path.rsplit('/').next()).map(str::to_owned).map(
                        |base| match parsed.value(&["-P", "--directory-prefix", "--output-dir", "-d", "--dir"]) {
                            Some(dir) if name != "curl" || dir.starts_with('/') => {
                                format!("{}/{base}", dir.trim_end_matches('/'))
                            }
                            _ => base,
                        },
                    )
                }
                _ => None,
            };
            if let Some(file) = file.filter(|file| !file.is_empty() && !file.starts_with("/dev/")) {
                self.write_path(Verb::Write, &file, &Flow::of(from), flags, name);
            }
        }
        let mut done =
            Done::work(Some(Workflow::NetworkCommunication)).with(if to_stdout { taint } else { Taint::NONE });
        let secret = self.rules.places.named("metadata").unwrap_or_default();
        if secret != Classes::default()
            && urls.iter().any(|url| {
                host_of(&url.text).is_some_and(|host| self.rules.places.of_host(host).any(secret))
                    && !url.text.contains("instance-id")
            })
        {
            done.work = Some(Workflow::SecurityOperation);
        }
        done
    }

    /// A file that is read in order to be sent.
    fn sent_file(&mut self, path: &str, flags: u32, name: &str) -> Taint {
        let flow = self.read_path(path, flags, name);
        let canonical = crate::place::canonical(path, self.cwd.as_deref()).into_owned();
        let mut taint = flow.taint;
        if [".sql", ".dump", ".sql.gz", ".bak", ".db", ".sqlite", ".rdb"].iter().any(|end| canonical.ends_with(end))
            && taint == Taint::NONE
        {
            taint = Taint::DUMP;
        }
        if [".tar.gz", ".tgz", ".zip", ".tar", ".7z", ".tar.xz"].iter().any(|end| canonical.ends_with(end))
            && taint == Taint::NONE
        {
            taint = Taint::PACKED;
        }
        taint
    }

    pub(crate) fn ssh(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        if name == "sshpass" {
            let parsed = parse_args(args, |o| matches!(o, "-p" | "-f" | "-d" | "-P"));
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
                let whole = crate::place::canonical(&source.text, self.cwd.as_deref());
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

    /// nc, socat, telnet.
    pub(crate) fn socket_tool(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let parsed = parse_args(args, |o| {
            matches!(
                o,
                "-w" | "-p"
                    | "-e"
                    | "-c"
                    | "-s"
                    | "-q"
                    | "-i"
                    | "--exec"
                    | "--sh-exec"
                    | "-X"
                    | "-x"
                    | "-g"
                    | "-G"
                    | "-o"
                    | "--lua-exec"
            ) || (!o.starts_with("--") && o.len() < 8 && o.ends_with(['p', 'e', 'w', 'c']))
        });
        let mut work = Some(Workflow::NetworkCommunication);
        if name == "socat" {
            for operand in &parsed.operands {
                let upper = operand.text.to_ascii_uppercase();
                if upper.starts_with("EXEC:") || upper.starts_with("SYSTEM:") || upper.starts_with("SHELL:") {
                    let command = operand.text.split_once(':').map_or("", |(_, rest)| rest);
                    let command = command.trim_matches(['"', '\'']).split(',').next().unwrap_or_default().to_owned();
                    let program = command.split_whitespace().next().unwrap_or_default();
                    if is_shell(plain_name(program)) {
                        self.deed(Verb::Shape, "shell-to-socket", stdin.taint, flags, name, None);
                    } else {
                        self.shell_text(&command, &Flow::default(), flags);
                    }
                } else if upper.starts_with("TCP")
                    || upper.starts_with("UDP")
                    || upper.starts_with("OPENSSL")
                    || upper.starts_with("SSL")
                {
                    let rest = operand.text.split_once(':').map_or("", |(_, rest)| rest);
                    if !upper.contains("LISTEN") {
                        let host = host_of(rest).unwrap_or_default().to_owned();
                        self.host_deed(Verb::Connect, &host, rest, Taint::NONE, flags, name, None);
                    }
                } else if upper.starts_with("FILE:") || upper.starts_with("OPEN:") {
                    let path = operand
                        .text
                        .split_once(':')
                        .map_or("", |(_, rest)| rest)
                        .split(',')
                        .next()
                        .unwrap_or_default()
                        .to_owned();
                    self.read_path(&path, flags, name);
                }
            }
            return Done::work(work).with(Taint::SOCKET.and(Taint::NETWORK));
        }
        let listens = parsed.flag('l') || parsed.has(&["--listen"]);
        let checks = parsed.flag('z');
        let executes =
            parsed.value(&["-e", "-c", "--exec", "--sh-exec", "--lua-exec"]).map(str::to_owned).or_else(|| {
                parsed
                    .options
                    .iter()
                    .find(|(o, _)| !o.starts_with("--") && o.len() < 8 && o.ends_with(['e', 'c']) && o.len() > 1)
                    .and_then(|(_, value)| value.map(|arg| arg.text.clone()))
            });
        if let Some(command) =
            executes.filter(|command| !command.is_empty() && !command.bytes().all(|b| b.is_ascii_digit()))
        {
            self.deed(Verb::Shape, "shell-to-socket", stdin.taint, flags, name, Some(&command));
            work = Some(Workflow::NetworkCommunication);
        }
        let host = parsed.operands.first().map(|arg| arg.text.clone()).unwrap_or_default();
        let port = parsed.operands.get(1).map(|arg| arg.text.clone()).unwrap_or_default();
        let address = if port.is_empty() { host.clone() } else { format!("{host}:{port}") };
        if stdin.taint.has(Taint::SHELL) {
            self.deed(Verb::Shape, "shell-to-socket", stdin.taint, flags, name, None);
        }
        if !listens && !host.is_empty() {
            if stdin.present && !checks {
                let taint = stdin.taint;
                self.host_deed(Verb::Upload, &host, &address, taint, flags, name, stdin.text.as_deref());
            } else {
                self.host_deed(
                    Verb::Connect,
                    &host,
                    &address,
                    Taint::NONE,
                    flags | if checks { flag::DRY } else { 0 },
                    name,
                    None,
                );
            }
        }
        let taint = if listens || !self.is_loopback(&host) { Taint::SOCKET.and(Taint::NETWORK) } else { Taint::NONE };
        Done::work(work).with(taint)
    }

    fn is_loopback(&self, host: &str) -> bool {
        let classes = self.rules.places.of_host(host);
        self.rules.places.named(class::LOOPBACK).is_some_and(|one| classes.any(one))
    }

    pub(crate) fn openssl(&mut self, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let sub = args.get(1).map(|arg| arg.text.clone()).unwrap_or_default();
        let value = |name: &str| {
            args.iter().position(|arg| arg.text == name).and_then(|at| args.get(at + 1)).map(|arg| arg.text.clone())
        };
        let has = |name: &str| args.iter().any(|arg| arg.text == name);
        match sub.as_str() {
            "version" => Done::work(Some(Workflow::SystemExploration)),
            "dgst" | "sha256" | "md5" | "sha1" | "sha512" => Done::work(Some(Workflow::FileAnalysis)),
            "speed" => Done::work(None),
            "rand" => Done::work(Some(Workflow::SecurityOperation)).with(Taint::RANDOM),
            "s_client" => {
                let address = value("-connect").unwrap_or_default();
                let host = host_of(&address).unwrap_or_default().to_owned();
                if stdin.taint.has(Taint::SHELL) {
                    self.deed(Verb::Shape, "shell-to-socket", stdin.taint, flags, "openssl", None);
                } else if stdin.present && stdin.taint != Taint::NONE {
                    self.host_deed(Verb::Upload, &host, &address, stdin.taint, flags, "openssl", None);
                } else {
                    self.host_deed(Verb::Connect, &host, &address, Taint::NONE, flags, "openssl", None);
                }
                let quiet = has("-quiet") || stdin.taint.has(Taint::SHELL);
                Done::work(Some(Workflow::NetworkCommunication)).with(if quiet {
                    Taint::SOCKET.and(Taint::NETWORK)
                } else {
                    Taint::NETWORK
                })
            }
            "enc" | "base64" | "aes-256-cbc" | "des3" | "aes256" | "rc4" | "pkeyutl" | "rsautl" | "smime" | "cms" => {
                let mut flow = match value("-in") {
                    Some(path) => self.read_path(&path, flags, "openssl"),
                    None => stdin.clone(),
                };
                let decodes = has("-d") || has("-decrypt");
                flow.taint = if decodes { flow.taint.and(Taint::DECODED) } else { flow.taint.and(Taint::ENCODED) };
                flow.text = None;
                if let Some(out) = value("-out") {
                    self.write_path(Verb::Write, &out, &flow, flags, "openssl");
                }
                let mut done = Done::work(Some(Workflow::SecurityOperation));
                done.out = flow;
                done.out.present = true;
                done
            }
            _ => {
                let mut done = Done::work(Some(Workflow::SecurityOperation));
                for name in ["-in", "-inkey", "-key", "-CAkey", "-signkey"] {
                    if let Some(path) = value(name) {
                        let flow = self.read_path(&path, flags, "openssl");
                        done.out.taint = done.out.taint.and(flow.taint.without(Taint::SECRET));
                    }
                }
                done
            }
        }
    }

    /// An address that a program is known to have connected to.
    pub(crate) fn connected(&mut self, address: &str, program: &str) -> Classes {
        let host = host_of(address).unwrap_or_default().to_owned();
        self.host_deed(Verb::Connect, &host, address, Taint::NONE, flag::EVIDENCE, program, None)
    }
}
