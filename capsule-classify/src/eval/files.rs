//! Programs that change files, their owners and modes, and that turn data into other data.

use std::rc::Rc;

use base64::Engine as _;
use capsule_core::Workflow;

use super::command::parse_args;
use super::{Done, Eval};
use crate::flow::{Arg, Flow, Taint};
use crate::place::Classes;
use crate::risk::{Verb, flag};

impl Eval<'_> {
    pub(crate) fn sed(&mut self, args: &[Arg], stdin: &Flow, flags: u32, piped: bool) -> Done {
        let parsed = parse_args(args, |o| matches!(o, "-e" | "-f" | "--expression" | "--file" | "-l"));
        let in_place = parsed.options.iter().any(|(option, _)| {
            option.starts_with("-i")
                || option.starts_with("--in-place")
                || matches!(*option, "-ni" | "-Ei" | "-ri" | "-nEi" | "-nri")
        });
        let has_script = parsed.has(&["-e", "--expression", "-f", "--file"]);
        let mut files: Vec<&Arg> = parsed.operands.iter().copied().skip(usize::from(!has_script)).collect();
        if in_place && files.first().is_some_and(|arg| arg.text.is_empty()) {
            files.remove(0);
        }
        let script =
            parsed.value(&["-e", "--expression"]).or_else(|| parsed.operands.first().map(|arg| arg.text.as_str()));
        if in_place {
            let content = script.map(str::to_owned);
            for file in &files {
                let flow = Flow { taint: Taint::NONE, text: content.as_deref().map(Rc::from), present: true };
                self.write_path(Verb::Append, &file.text, &flow, flags, "sed");
            }
            let secret = files.iter().any(|file| self.rules.places.is_secret(self.path_classes(&file.text)));
            return Done::work(Some(if secret { Workflow::SecurityOperation } else { Workflow::CodeGeneration }));
        }
        let mut done = Done::work(Some(Workflow::FileAnalysis));
        for file in &files {
            let flow = self.read_path(&file.text, flags, "sed");
            done.out.taint = done.out.taint.and(flow.taint);
            if self.rules.places.is_secret(self.path_classes(&file.text)) {
                done.work = Some(Workflow::SecurityOperation);
            }
        }
        if files.is_empty() {
            done = Done { filter: true, ..Done::work(None) };
            done.out = Flow { taint: stdin.taint, text: None, present: true };
            if !piped && !stdin.present {
                done.work = None;
            }
        }
        done
    }

    pub(crate) fn awk(&mut self, args: &[Arg], stdin: &Flow, flags: u32, piped: bool) -> Done {
        let parsed =
            parse_args(args, |o| matches!(o, "-f" | "-F" | "-v" | "--file" | "--assign" | "--field-separator" | "-i"));
        let has_script = parsed.has(&["-f", "--file"]);
        let files: Vec<&Arg> = parsed
            .operands
            .iter()
            .copied()
            .skip(usize::from(!has_script))
            .filter(|arg| !arg.text.contains('='))
            .collect();
        let mut done = Done::work(Some(Workflow::FileAnalysis));
        if !has_script && let Some(script) = parsed.operands.first() {
            let code = script.text.clone();
            let inner = self.code("awk", &code, flags);
            if stdin.taint.has(Taint::PROCESSES) && crate::recorder::is_named(&code) {
                done.out.taint = done.out.taint.and(Taint::RECORDER);
            }
            done.work = super::heavier(done.work, inner.work);
            if files.is_empty() && code.trim_start().starts_with("BEGIN") && inner.work.is_none() {
                done.work = None;
            }
        }
        for file in &files {
            let flow = self.read_path(&file.text, flags, "awk");
            done.out.taint = done.out.taint.and(flow.taint);
            if self.rules.places.is_secret(self.path_classes(&file.text)) {
                done.work = Some(Workflow::SecurityOperation);
            }
            if file.text.starts_with("/proc/") && done.work == Some(Workflow::FileAnalysis) {
                done.work = Some(Workflow::SystemExploration);
            }
        }
        if parsed.has(&["-i"]) && parsed.value(&["-i"]) == Some("inplace") {
            done.work = Some(Workflow::CodeGeneration);
        }
        if files.is_empty() {
            done.filter = true;
            done.out.taint = done.out.taint.and(stdin.taint);
            if (piped || stdin.present) && done.work == Some(Workflow::FileAnalysis) {
                done.work = None;
            }
        }
        done
    }

    pub(crate) fn tar(&mut self, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let mut mode = args.get(1).map(|arg| arg.text.as_str()).unwrap_or_default().to_owned();
        let old_style = !mode.starts_with('-');
        let parsed = parse_args(args, |o| {
            matches!(
                o,
                "-C" | "--directory"
                    | "--exclude"
                    | "-X"
                    | "--file"
                    | "-T"
                    | "--files-from"
                    | "-I"
                    | "--transform"
                    | "-g"
                    | "--use-compress-program"
                    | "--strip-components"
            ) || (!o.starts_with("--") && o.len() < 9 && o.ends_with('f'))
        });
        if mode.starts_with("--") || !old_style {
            mode = parsed.options.iter().filter(|(o, _)| !o.starts_with("--")).map(|(o, _)| *o).collect();
            for (long, short) in
                [("--create", 'c'), ("--extract", 'x'), ("--list", 't'), ("--get", 'x'), ("--append", 'r')]
            {
                if parsed.has(&[long]) {
                    mode.push(short);
                }
            }
        }
        let mut operands: Vec<&Arg> = parsed.operands.clone();
        if old_style && !operands.is_empty() {
            operands.remove(0);
        }
        let mut file = parsed
            .options
            .iter()
            .find(|(o, _)| *o == "--file" || (!o.starts_with("--") && o.ends_with('f')))
            .and_then(|(_, value)| value.map(|arg| arg.text.clone()))
            .or_else(|| parsed.value(&["--file"]).map(str::to_owned));
        if old_style && mode.contains('f') && !operands.is_empty() {
            file = Some(operands.remove(0).text.clone());
        }
        let directory = parsed.value(&["-C", "--directory"]).map(str::to_owned);
        if mode.contains('t') && !mode.contains(['c', 'x']) {
            if let Some(file) = &file {
                self.read_path(file, flags, "tar");
            }
            return Done::work(Some(Workflow::FileAnalysis));
        }
        if mode.contains(['c', 'r', 'u']) && !mode.contains('x') {
            let mut taint = Taint::TREE;
            for operand in &operands {
                let path =
                    if operand.text == "." { directory.as_deref().unwrap_or(".") } else { operand.text.as_str() };
                let flow = self.read_path(path, flags | flag::RECURSIVE | flag::ARCHIVE, "tar");
                taint = taint.and(flow.taint).and(operand.taint);
            }
            match file.as_deref() {
                None | Some("-") => return Done::work(None).with(taint),
                Some(file) => {
                    let flow = Flow { taint, text: None, present: true };
                    self.write_path(Verb::Write, file, &flow, flags, "tar");
                }
            }
            return Done::work(None);
        }
        let packed = match file.as_deref() {
            None | Some("-") => stdin.taint,
            Some(file) => self.written(file).map_or(Taint::NONE, |flow| flow.taint),
        };
        if let Some(directory) = &directory {
            self.path_deed(Verb::Write, directory, packed, flags | flag::ARCHIVE, "tar", None);
        }
        self.unpacked = self.unpacked.and(packed.without(Taint::AUTHORED));
        Done::work(None).with(stdin.taint.without(Taint::AUTHORED))
    }

    pub(crate) fn archive(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let parsed = parse_args(args, |o| matches!(o, "-P" | "-x" | "-i" | "-b" | "-d" | "-O"));
        let mut operands = parsed.operands.clone();
        let mode = if matches!(name, "7z" | "7za" | "7zz" | "rar" | "jar" | "ar") && !operands.is_empty() {
            operands.remove(0).text.clone()
        } else {
            "a".to_owned()
        };
        if mode.starts_with(['l', 't']) && !mode.starts_with("tf")
            || mode.starts_with("tf")
            || parsed.has(&["-t", "-l"])
        {
            return Done::work(Some(Workflow::FileAnalysis));
        }
        if mode.starts_with(['x', 'e']) || name == "cpio" {
            if let Some(flow) = operands.first().and_then(|arg| self.written(&arg.text)) {
                self.unpacked = self.unpacked.and(flow.taint);
            }
            return Done::work(None).with(stdin.taint);
        }
        let mut taint = Taint::TREE;
        for operand in operands.iter().skip(1) {
            let flow = self.read_path(&operand.text, flags | flag::RECURSIVE | flag::ARCHIVE, name);
            taint = taint.and(flow.taint);
        }
        if let Some(file) = operands.first()
            && file.text != "-"
        {
            let flow = Flow { taint, text: None, present: true };
            self.write_path(Verb::Write, &file.text, &flow, flags, name);
        }
        Done::work(None).with(taint)
    }

    pub(crate) fn permissions(&mut self, name: &str, args: &[Arg], flags: u32) -> Done {
        let mut flags = flags;
        // `-x` alone is a mode here, not an option.
        let is_mode = |text: &str| {
            name == "chmod" && text.bytes().skip(1).all(|b| matches!(b, b'r' | b'w' | b'x' | b's' | b't' | b'X'))
        };
        let mut operands: Vec<&Arg> = Vec::new();
        let mut setfacl = false;
        let mut reference = false;
        for arg in args.iter().skip(1) {
            let text = arg.text.as_str();
            if text.starts_with('-')
                && text.len() > 1
                && !is_mode(text)
                && !(name == "chattr" && operands.is_empty() && !text.starts_with("--") && text != "-R" && text != "-f")
            {
                if text.contains('R') || text == "--recursive" {
                    flags |= flag::RECURSIVE;
                }
                reference |= text.starts_with("--reference");
                setfacl |= matches!(text, "-m" | "-x" | "-M" | "--modify");
                continue;
            }
            operands.push(arg);
        }
        let _ = setfacl;
        let (value, files) = if reference {
            (String::new(), operands.as_slice())
        } else {
            match operands.split_first() {
                Some((first, rest)) => (first.text.clone(), rest),
                None => return Done::work(Some(Workflow::SecurityOperation)),
            }
        };
        let verb = if matches!(name, "chown" | "chgrp") { Verb::Owner } else { Verb::Mode };
        for file in files {
            self.path_deed(verb, &file.text, file.taint, flags, name, Some(&value));
            if verb == Verb::Mode && name == "chmod" {
                let path = self.at(&file.text).into_owned();
                self.made_executable.insert(path);
            }
        }
        let harmless = name == "chmod"
            && matches!(
                value.as_str(),
                "+x" | "u+x" | "a+x" | "ug+x" | "755" | "0755" | "700" | "0700" | "644" | "0644"
            );
        let mut done = Done::work(Some(Workflow::SecurityOperation));
        // Making one's own script executable is a step on the way to running it.
        if harmless && self.steps > 1 {
            done = Done::plumbing();
        }
        done
    }

    pub(crate) fn remove(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let parsed = parse_args(args, |o| {
            (name == "truncate" && matches!(o, "-s" | "--size" | "-r")) || (name == "shred" && matches!(o, "-n" | "-s"))
        });
        let mut flags = flags;
        if parsed.flag('r') || parsed.flag('R') || parsed.has(&["--recursive"]) {
            flags |= flag::RECURSIVE;
        }
        if parsed.flag('f') || parsed.has(&["--force"]) {
            flags |= flag::FORCE;
        }
        for arg in &parsed.operands {
            let verb = if name == "truncate" { Verb::Write } else { Verb::Delete };
            // `rm -rf "$DIR"/*` with a variable that is empty is not the same as `rm -rf /*`.
            self.path_deed(verb, &arg.text, arg.taint.and(stdin.taint.without(Taint::AUTHORED)), flags, name, None);
        }
        Done::work(None)
    }

    pub(crate) fn dd(&mut self, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let mut flow = stdin.clone();
        let mut out = None;
        let mut read = None;
        for arg in args.iter().skip(1) {
            if let Some(path) = arg.text.strip_prefix("if=") {
                flow = self.read_path(path, flags, "dd");
                read = Some(path.to_owned());
            } else if let Some(path) = arg.text.strip_prefix("of=") {
                out = Some(path.to_owned());
            }
        }
        match out {
            Some(path) => {
                self.write_path(Verb::Write, &path, &flow, flags, "dd");
                Done::work(None)
            }
            None => {
                let mut done = Done::work(read.map(|_| Workflow::FileAnalysis));
                done.out = flow;
                done
            }
        }
    }

    pub(crate) fn tee(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32) -> Done {
        let parsed = parse_args(args, |_| false);
        let append = parsed.flag('a') || parsed.has(&["--append"]);
        let mut done = Done { filter: true, ..Done::work(None) };
        done.out = stdin.clone();
        done.out.present = true;
        for arg in &parsed.operands {
            let verb = if append { Verb::Append } else { Verb::Write };
            let classes = self.write_path(verb, &arg.text, stdin, flags, name);
            let log = arg.text.rsplit('.').next().is_some_and(|extension| matches!(extension, "log" | "out" | "tmp"))
                || arg.text.starts_with("/dev/")
                || arg.text.starts_with("/proc/")
                || arg.text.starts_with("/sys/");
            if self.rules.places.is_secret_to_write(classes) {
                done.work = Some(Workflow::SecurityOperation);
            } else if !log && (!stdin.present || stdin.text.is_some() || self.is_authored(&arg.text, "tee", stdin)) {
                done.work = super::heavier(done.work, Some(Workflow::CodeGeneration));
            }
        }
        done
    }

    /// Programs that encode, decode and compress.
    pub(crate) fn codec(&mut self, name: &str, args: &[Arg], stdin: &Flow, flags: u32, piped: bool) -> Done {
        let parsed = parse_args(args, |o| {
            matches!(o, "-w" | "--wrap" | "-l" | "-s" | "-o" | "-c" | "-n" | "-N" | "-j" | "-A" | "-t")
                && name != "tr"
                && !matches!(name, "gzip" | "bzip2" | "xz" | "zstd" | "zcat" | "pigz" | "lz4" | "gunzip")
        });
        let decode = match name {
            "base64" | "base32" | "basenc" => parsed.flag('d') || parsed.flag('D') || parsed.has(&["--decode"]),
            "xxd" => parsed.flag('r'),
            "uudecode" | "rev" => true,
            "tr" => {
                parsed.operands.len() == 2
                    && parsed.operands.iter().any(|arg| arg.text.contains("A-Z") || arg.text.contains("a-z"))
                    && parsed.operands.iter().any(|arg| arg.text.contains("n-z") || arg.text.contains("N-Z"))
            }
            _ => false,
        };
        let packs = matches!(
            name,
            "gzip"
                | "gunzip"
                | "bzip2"
                | "bunzip2"
                | "xz"
                | "unxz"
                | "zstd"
                | "zcat"
                | "bzcat"
                | "xzcat"
                | "pigz"
                | "lz4"
        );
        let unpacks = matches!(name, "gunzip" | "bunzip2" | "unxz" | "zcat" | "bzcat" | "xzcat")
            || (packs && (parsed.flag('d') || parsed.has(&["--decompress"])));
        let analysis = matches!(name, "hexdump" | "od" | "xxd" | "zcat" | "bzcat" | "xzcat" | "base64" | "base32");
        let mut flow = stdin.clone();
        let mut work = None;
        if name != "tr" {
            for arg in &parsed.operands {
                if arg.text == "-" || (name == "xxd" && arg.text.starts_with('-')) {
                    continue;
                }
                let read = self.read_path(&arg.text, flags, name);
                flow.taint = flow.taint.and(read.taint).and(arg.taint);
                flow.text = read.text;
                if analysis {
                    work = Some(Workflow::FileAnalysis);
                }
                if self.rules.places.is_secret(self.path_classes(&arg.text)) {
                    work = Some(Workflow::SecurityOperation);
                }
            }
        }
        let mut done = Done::work(work);
        done.filter = work.is_none() && (piped || stdin.present);
        done.out = Flow { taint: flow.taint, text: None, present: true };
        if decode {
            done.out.taint = done.out.taint.and(Taint::DECODED).without(Taint::ENCODED);
            done.out.text =
                flow.text.as_deref().and_then(|text| decoded(name, text)).map(|text| Rc::from(text.as_str()));
        } else if packs {
            done.out.taint = if unpacks { done.out.taint.and(Taint::PACKED) } else { done.out.taint };
        } else if name == "tr" || name == "cat" {
            done.out.text.clone_from(&None);
        } else {
            done.out.taint = done.out.taint.and(Taint::ENCODED);
        }
        done
    }

    /// A deed on a path that is not in the arguments.
    pub(crate) fn evidence(&mut self, path: &str, program: &str, flags: u32) -> Classes {
        self.path_deed(Verb::Write, path, Taint::NONE, flags | flag::EVIDENCE, program, None)
    }
}

fn decoded(name: &str, text: &str) -> Option<String> {
    let bytes = match name {
        "base64" | "basenc" => {
            let clean: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            base64::engine::general_purpose::STANDARD
                .decode(clean.as_bytes())
                .or_else(|_| {
                    base64::engine::general_purpose::STANDARD_NO_PAD.decode(clean.trim_end_matches('=').as_bytes())
                })
                .ok()?
        }
        "xxd" => {
            let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
            digits
                .chunks_exact(2)
                .filter_map(|pair| {
                    let high = char::from(*pair.first()?).to_digit(16)?;
                    let low = char::from(*pair.get(1)?).to_digit(16)?;
                    u8::try_from(high * 16 + low).ok()
                })
                .collect()
        }
        "rev" => {
            return Some(
                text.lines().map(|line| line.chars().rev().collect::<String>()).collect::<Vec<_>>().join("\n"),
            );
        }
        "tr" => {
            return Some(
                text.chars()
                    .map(|c| match c {
                        'a'..='m' | 'A'..='M' => char::from_u32(c as u32 + 13).unwrap_or(c),
                        'n'..='z' | 'N'..='Z' => char::from_u32(c as u32 - 13).unwrap_or(c),
                        other => other,
                    })
                    .collect(),
            );
        }
        _ => return None,
    };
    String::from_utf8(bytes).ok()
}
