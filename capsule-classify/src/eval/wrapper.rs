//! Programs that start another: what is left when they are taken away.

use capsule_core::Workflow;

use super::command::{parse_args, version_asked};
use super::{Done, Eval, Plumbing, heavier};
use crate::flow::{Arg, Flow, Taint};
use crate::knowledge::{Program, work_named};
use crate::risk::{Verb, flag};
use crate::rules::schema::WrapperEntry;

impl<'r> Eval<'r> {
    /// The command inside, worked out; `None` where there is nothing to look through.
    #[expect(clippy::too_many_arguments, reason = "the parts of a command and how it is known")]
    pub(crate) fn wrapper(
        &mut self,
        name: &str,
        program: &'r Program,
        args: &[Arg],
        stdin: &Flow,
        flags: u32,
        plumbing: &Plumbing,
        piped: bool,
    ) -> Option<Done> {
        for entry in &program.wrappers {
            if let Some(done) = self.unwrap_one(name, program, entry, args, stdin, flags, plumbing, piped) {
                return Some(done);
            }
        }
        None
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a command and how it is known")]
    fn unwrap_one(
        &mut self,
        name: &str,
        program: &'r Program,
        entry: &WrapperEntry,
        args: &[Arg],
        stdin: &Flow,
        flags: u32,
        plumbing: &Plumbing,
        piped: bool,
    ) -> Option<Done> {
        let mut flags = flags;
        if entry.elevated {
            flags |= flag::ELEVATED;
        }
        if entry.remote {
            flags |= flag::REMOTE;
        }
        if entry.container {
            flags |= flag::CONTAINER;
        }
        let valued = |option: &str| program.valued.contains(option) || entry.valued.iter().any(|known| known == option);
        let mut index = 1;
        // The sub-command, past options.
        if let Some(sub) = &entry.sub {
            for word in sub.split(':') {
                loop {
                    let arg = args.get(index)?;
                    if arg.text == word {
                        index += 1;
                        break;
                    }
                    if !arg.text.starts_with('-') || arg.text == "--" {
                        return None;
                    }
                    index += 1 + usize::from(valued(&arg.text));
                }
            }
        }
        let mut skip = entry.skip;
        let mut shell_text = None;
        let mut dashed = false;
        while let Some(arg) = args.get(index) {
            let text = arg.text.as_str();
            if text == "--" {
                index += 1;
                dashed = true;
                if entry.dashes || skip == 0 {
                    break;
                }
                continue;
            }
            if entry.dashes {
                index += 1;
                continue;
            }
            if text.starts_with('-') && text.len() > 1 && !(dashed && skip == 0) {
                if entry.shell.iter().any(|known| known == text) {
                    shell_text = args.get(index + 1);
                    break;
                }
                if let Some((option, _)) = text.split_once('=')
                    && entry.shell.iter().any(|known| known == option)
                {
                    shell_text = args.get(index);
                    break;
                }
                // Bundles that end in the option, like `su -lc`.
                if !text.starts_with("--")
                    && entry.shell.iter().any(|known| {
                        known.len() == 2 && text.ends_with(known.trim_start_matches('-')) && text.len() < 6
                    })
                {
                    shell_text = args.get(index + 1);
                    break;
                }
                index += 1 + usize::from(valued(text) && !text.contains('='));
                continue;
            }
            if entry.assigns && is_assignment(text) {
                if let Some((variable, value)) = text.split_once('=') {
                    self.assignment(variable, value, arg.taint, flags);
                }
                index += 1;
                continue;
            }
            if skip > 0 {
                skip -= 1;
                index += 1;
                continue;
            }
            break;
        }
        let keeps = entry.keeps.as_deref().and_then(|work| work_named(work).ok()).flatten();
        if let Some(text) = shell_text {
            let code = text.text.strip_prefix("--command=").unwrap_or(&text.text).to_owned();
            if text.taint != Taint::NONE {
                self.deed(Verb::Execute, "-c", text.taint, flags, name, Some(&code));
            }
            let mut done = self.inside(flags, |eval| eval.shell_text(&code, stdin, flags));
            done.work = heavier(done.work, keeps);
            done.plumbing = false;
            return Some(done);
        }
        let rest = args.get(index..).unwrap_or_default();
        if rest.is_empty() {
            if entry.sub.is_some() && entry.alone.is_none() && entry.keeps.is_none() {
                return None;
            }
            let parsed = parse_args(args, valued);
            let operands: Vec<&str> = parsed.operands.iter().map(|arg| arg.text.as_str()).collect();
            let work = match &entry.alone {
                Some(alone) => work_named(alone).ok().flatten(),
                None if version_asked(args) => Some(Workflow::SystemExploration),
                None => program.work(|| super::joined(args.get(1..).unwrap_or_default()), &operands),
            };
            let mut done = Done::work(heavier(work, keeps));
            if name == "command"
                && let Some(found) = args.last().filter(|_| args.len() == 3)
            {
                // `command -v NAME` says where NAME is.
                done.out = Flow::literal(&found.text);
            }
            if matches!(name, "env" | "printenv") {
                done = done.with(Taint::SENSITIVE);
            }
            return Some(done);
        }
        if entry.each {
            let mut done = Done::work(keeps);
            for arg in rest.iter().take(64) {
                let inner = self.inside(flags, |eval| eval.shell_text(&arg.text, stdin, flags));
                done.work = heavier(done.work, inner.work);
            }
            return Some(done);
        }
        if entry.joined {
            let text = rest.iter().map(|arg| arg.text.as_str()).collect::<Vec<_>>().join(" ");
            let mut done = self.inside(flags, |eval| eval.shell_text(&text, stdin, flags));
            done.work = heavier(done.work, keeps);
            done.plumbing = false;
            return Some(done);
        }
        let mut rest = rest.to_vec();
        if matches!(name, "xargs" | "parallel") {
            // What comes in becomes arguments, in the place of the mark where there is one.
            let at = args.iter().position(|arg| arg.text == "-I" || arg.text == "-J");
            let mark = match at.and_then(|at| args.get(at + 1)) {
                Some(mark) => Some(mark.text.clone()),
                None => args.iter().find_map(|arg| arg.text.strip_prefix("-I").map(str::to_owned)),
            };
            if let (Some(mark), Some(text)) = (mark.filter(|mark| !mark.is_empty()), &stdin.text) {
                let first = text.split_whitespace().next().unwrap_or_default().to_owned();
                for arg in &mut rest {
                    if arg.text.len() < 1024 && first.len() < 256 && arg.text.contains(&mark) {
                        arg.text = arg.text.replace(&mark, &first);
                        arg.taint = arg.taint.and(stdin.taint);
                    }
                }
            }
            let mut fed = Arg { text: String::new(), taint: stdin.taint, dynamic: true };
            match &stdin.text {
                Some(text) => {
                    for word in text.split_whitespace().take(64) {
                        rest.push(Arg { text: word.to_owned(), taint: stdin.taint, dynamic: false });
                    }
                }
                None => {
                    "$()".clone_into(&mut fed.text);
                    rest.push(fed);
                }
            }
        }
        let inner_stdin = if matches!(name, "xargs" | "parallel") { Flow::default() } else { stdin.clone() };
        let mut done = self.inside(flags, |eval| eval.run(&rest, &inner_stdin, flags, plumbing, piped));
        done.work = heavier(done.work, keeps);
        if entry.hides {
            done.work = None;
        }
        if !matches!(name, "xargs" | "parallel" | "time" | "command" | "builtin" | "exec") {
            done.filter = false;
        }
        if matches!(name, "xargs" | "parallel") {
            done.filter = !matches!(
                done.work,
                Some(Workflow::CodeGeneration | Workflow::SecurityOperation | Workflow::NetworkCommunication)
            );
        }
        Some(done)
    }

    /// Runs `f` as if elsewhere: on another host or in a container, local paths of the project mean nothing.
    fn inside(&mut self, flags: u32, f: impl FnOnce(&mut Self) -> Done) -> Done {
        if flags & flag::REMOTE == 0 {
            return f(self);
        }
        let cwd = self.cwd.take();
        let done = f(self);
        self.cwd = cwd;
        done
    }
}

/// `NAME=VALUE`.
pub(crate) fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| {
        name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}
