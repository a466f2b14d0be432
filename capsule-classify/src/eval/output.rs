//! Redirections: where a command's input comes from and where its output goes, and whether writing there is authoring.

use capsule_core::Workflow;

use super::{Done, Eval, Plumbing, heavier};
use crate::flow::{Flow, Taint};
use crate::risk::Verb;
use crate::risk::flag;
use crate::shell::{RedirectKind, Word};

/// One output redirection.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(super) path: String,
    append: bool,
    pub(super) fd: Option<u32>,
    socket: Option<String>,
}

impl Eval<'_> {
    #[expect(clippy::too_many_arguments, reason = "the parts of a redirection and what it changes")]
    pub(super) fn redirect(
        &mut self,
        kind: RedirectKind,
        fd: Option<u32>,
        target: &Word,
        input: &mut Flow,
        plumbing: &mut Plumbing,
        outputs: &mut Vec<Output>,
        flags: u32,
    ) {
        let parts = self.expand(target);
        let taint = parts.iter().fold(Taint::NONE, |all, part| all.and(part.taint));
        let dynamic = parts.iter().any(|part| part.dynamic);
        let text = match parts.as_slice() {
            [one] => one.text.clone(),
            many => many.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(" "),
        };
        match kind {
            RedirectKind::HereDocument | RedirectKind::HereString => {
                *input = Flow::literal(&text);
                input.taint = taint;
                if kind == RedirectKind::HereDocument {
                    input.taint = input.taint.and(Taint::AUTHORED);
                }
                if dynamic && taint != Taint::NONE {
                    input.text = None;
                }
            }
            RedirectKind::Duplicate => {
                let number = text.trim_end_matches('-').parse::<u32>().ok();
                if number.is_some_and(|number| self.socket_fds.contains(&number)) {
                    plumbing.socket = true;
                    input.taint = input.taint.and(Taint::SOCKET);
                    input.present = true;
                }
            }
            RedirectKind::Input
            | RedirectKind::Output
            | RedirectKind::Append
            | RedirectKind::Both
            | RedirectKind::ReadWrite => {
                if let Some(address) = text.strip_prefix("/dev/tcp/").or_else(|| text.strip_prefix("/dev/udp/")) {
                    let host = address.split('/').next().unwrap_or_default().to_owned();
                    plumbing.socket = true;
                    if let Some(fd) = fd {
                        self.socket_fds.insert(fd);
                    }
                    let output = !matches!(kind, RedirectKind::Input);
                    self.host_deed(Verb::Connect, &host, &text, Taint::NONE, flags, "/dev/tcp", None);
                    if output {
                        outputs.push(Output { path: text, append: false, fd, socket: Some(host) });
                    } else {
                        *input = Flow::of(Taint::SOCKET.and(Taint::NETWORK));
                    }
                    return;
                }
                match kind {
                    RedirectKind::Input => {
                        plumbing.from_file = true;
                        *input = if taint != Taint::NONE {
                            Flow::of(taint)
                        } else {
                            self.read_path(&text, flags | flag::BY_SHELL, "<")
                        };
                    }
                    _ => outputs.push(Output {
                        path: text,
                        append: kind == RedirectKind::Append,
                        fd: if kind == RedirectKind::Both { None } else { fd },
                        socket: None,
                    }),
                }
            }
        }
    }

    /// After a command: what its redirections wrote, and where.
    pub(super) fn finish_outputs(&mut self, outputs: &[Output], program: &str, done: &mut Done, flags: u32) {
        let mut taken = false;
        for output in outputs {
            let own = output.fd.is_none_or(|fd| fd == 1);
            if let Some(host) = &output.socket {
                if own && done.out.taint.has(Taint::SHELL) {
                    self.deed(Verb::Shape, "shell-to-socket", done.out.taint, flags, program, None);
                }
                let taint = done.out.taint;
                self.host_deed(Verb::Upload, host, &output.path, taint, flags, program, None);
                done.work = heavier(done.work, Some(Workflow::NetworkCommunication));
                done.plumbing = false;
                taken = true;
                continue;
            }
            if matches!(output.path.as_str(), "/dev/null" | "/dev/stderr" | "/dev/stdout" | "/dev/tty" | "&1" | "&2") {
                taken |= own && output.path == "/dev/null";
                continue;
            }
            if !own {
                // Errors only: a log.
                continue;
            }
            taken = true;
            let flow = done.out.clone();
            let verb = if output.append { Verb::Append } else { Verb::Write };
            self.write_path(verb, &output.path, &flow, flags | flag::BY_SHELL, program);
            if self.is_authored(&output.path, program, &flow) {
                done.work = heavier(done.work, Some(Workflow::CodeGeneration));
                done.plumbing = false;
            }
            if self.rules.places.is_secret_to_write(self.path_classes(&output.path)) {
                done.work = Some(Workflow::SecurityOperation);
                done.plumbing = false;
            }
        }
        if taken {
            done.out = Flow::default();
        }
    }

    /// Whether writing this is authoring: text put together here, in a file that people or programs read.
    pub(super) fn is_authored(&self, path: &str, program: &str, flow: &Flow) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        if path.starts_with("/dev/") || path.starts_with("/proc/") || path.starts_with("/sys/") || name.is_empty() {
            return false;
        }
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        if matches!(
            extension,
            "log" | "out" | "err" | "tmp" | "pid" | "lock" | "gz" | "tgz" | "zip" | "tar" | "xz" | "bin" | "dump"
        ) {
            return false;
        }
        if flow.taint.has(Taint::AUTHORED) || flow.text.as_deref().is_some_and(|text| text.len() > 1) {
            return true;
        }
        let authors = matches!(
            program,
            "echo"
                | "printf"
                | "cat"
                | "sed"
                | "awk"
                | "gawk"
                | "mawk"
                | "perl"
                | "envsubst"
                | "jq"
                | "yq"
                | "tee"
                | "jinja2"
                | "m4"
                | "cpp"
                | "gomplate"
                | "mustache"
                | "j2"
                | "helm"
                | "kustomize"
                | "tr"
                | "paste"
        );
        authors
            && matches!(
                extension,
                "py" | "js"
                    | "ts"
                    | "tsx"
                    | "jsx"
                    | "mjs"
                    | "cjs"
                    | "rs"
                    | "go"
                    | "c"
                    | "h"
                    | "cc"
                    | "cpp"
                    | "hpp"
                    | "java"
                    | "kt"
                    | "rb"
                    | "php"
                    | "sh"
                    | "bash"
                    | "zsh"
                    | "pl"
                    | "lua"
                    | "sql"
                    | "json"
                    | "yaml"
                    | "yml"
                    | "toml"
                    | "ini"
                    | "cfg"
                    | "conf"
                    | "md"
                    | "txt"
                    | "rst"
                    | "html"
                    | "css"
                    | "scss"
                    | "xml"
                    | "svg"
                    | "env"
                    | "tf"
                    | "hcl"
                    | "proto"
                    | "graphql"
                    | "vue"
                    | "svelte"
                    | "swift"
                    | "scala"
                    | "cs"
                    | "ex"
                    | "exs"
                    | "erl"
                    | "hs"
                    | "ml"
                    | "r"
                    | "jl"
                    | "tex"
                    | "adoc"
                    | "csv"
                    | "patch"
                    | "diff"
                    | "lock2"
                    | "gitignore"
                    | "dockerignore"
                    | "service"
                    | "properties"
                    | "gradle"
                    | "cmake"
                    | "mk"
                    | ""
                    | "editorconfig"
                    | "npmrc"
                    | "service2"
                    | "j2"
                    | "tpl"
                    | "rules"
                    | "desktop"
                    | "cnf"
                    | "plist"
                    | "ipynb"
            )
    }
}
