//! Copying, moving, linking, installing.

use super::command::parse_args;
use super::{Done, Eval};
use crate::flow::{Arg, Flow};
use crate::risk::{Verb, flag};

impl Eval<'_> {
    pub(crate) fn copy(&mut self, name: &str, args: &[Arg], flags: u32) -> Done {
        let parsed = parse_args(args, |o| {
            matches!(o, "-t" | "--target-directory" | "-m" | "-o" | "-g" | "-S" | "--mode" | "--owner" | "--group")
        });
        let mut flags = flags;
        if parsed.flag('r')
            || parsed.flag('R')
            || parsed.flag('a')
            || parsed.has(&["--recursive", "--archive"])
            || name == "mv"
        {
            flags |= flag::RECURSIVE;
        }
        let mut operands = parsed.operands.clone();
        let target = match parsed.value(&["-t", "--target-directory"]) {
            Some(target) => target.to_owned(),
            None => match operands.pop() {
                Some(last) if !operands.is_empty() => last.text.clone(),
                _ => return Done::work(None),
            },
        };
        let many = operands.len() > 1;
        let mut work = None;
        let mut flow = Flow { present: true, ..Flow::default() };
        for source in &operands {
            let mut one = Flow { present: true, ..Flow::default() };
            if name == "ln" {
                one = self.read_path(&source.text, flags, name);
            } else if name == "mv" {
                self.path_deed(Verb::Move, &source.text, source.taint, flags, name, Some(&target));
                one = self.written(&source.text).cloned().unwrap_or(one);
            } else {
                one = self.read_path(&source.text, flags, name);
            }
            flow.taint = flow.taint.and(one.taint);
            if self.rules.places.is_secret(self.path_classes(&source.text)) {
                work = Some(capsule_core::Workflow::SecurityOperation);
            }
            let into = target.ends_with('/') || many || target == "." || target == "..";
            let base = source.text.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let to = if into { format!("{}/{base}", target.trim_end_matches('/')) } else { target.clone() };
            // `jq … file > tmp && mv tmp file` edits the file.
            if name == "mv" && self.written(&source.text).is_some() && self.is_authored(&to, "jq", &Flow::default()) {
                work = super::heavier(work, Some(capsule_core::Workflow::CodeGeneration));
            }
            let classes = self.write_path(Verb::Write, &to, &one, flags, name);
            if self.rules.places.is_secret_to_write(classes) {
                work = Some(capsule_core::Workflow::SecurityOperation);
            }
        }
        Done::work(work)
    }
}
