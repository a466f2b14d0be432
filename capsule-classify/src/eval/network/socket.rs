//! Programs that tie others to a socket: nc, socat, telnet, openssl.

use capsule_core::Workflow;

use crate::eval::command::{is_shell, parse_args};
use crate::eval::{Done, Eval};
use crate::flow::{Arg, Flow, Taint};
use crate::knowledge::plain_name;
use crate::place::{class, host_of};
use crate::risk::{Verb, flag};

impl Eval<'_> {
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
}
