//! Clients of the web: what they fetch, where to, and what they send.

use capsule_core::Workflow;

use crate::eval::command::parse_args;
use crate::eval::{Done, Eval};
use crate::flow::{Arg, Flow, Taint};
use crate::place::{Classes, host_of};
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
                    let whole = matches!(option, "-T" | "--upload-file" | "--post-file" | "--body-file") && text != "-";
                    content.get_or_insert_with(|| if whole { format!("@{text}") } else { text.to_owned() });
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
    pub(super) fn sent_file(&mut self, path: &str, flags: u32, name: &str) -> Taint {
        let flow = self.read_path(path, flags, name);
        let canonical = self.at(path).into_owned();
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
}
