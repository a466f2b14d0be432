//! The tree, level by level: each page is a stretch of the walk from the root.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answered, Page, QueryError, Questions};
use crate::model::Process;

/// Which part of the tree.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Tree {
    /// Only this process and what it started (its number)
    #[serde(default)]
    pub proc: Option<u32>,
    /// How many levels below the first, by default 3
    #[serde(default)]
    pub depth: Option<u32>,
    /// Wrappers, helpers and inner processes too, which are left out (and counted) otherwise
    #[serde(default)]
    pub all: bool,
    /// Which page
    #[serde(flatten)]
    pub page: Page,
}

/// A line of the answer.
struct Line<'a> {
    process: &'a Process,
    level: u32,
    /// Shown processes below it that are deeper than asked for.
    deeper: usize,
}

impl Questions<'_> {
    /// The tree, parents before their children. Levels count what is shown.
    ///
    /// # Errors
    /// When the session has no such process.
    pub fn tree(&self, tree: &Tree) -> Result<Answered, QueryError> {
        let depth = tree.depth.unwrap_or(3);
        let processes = &self.report.processes;
        let shown = |process: &Process| tree.all || process.shown || Some(process.proc) == tree.proc;
        let roots: Vec<u32> = match tree.proc {
            Some(proc) => vec![self.process(proc)?.proc],
            None => processes.iter().filter(|process| process.parent.is_none()).map(|process| process.proc).collect(),
        };
        let mut children: Vec<Vec<u32>> = vec![Vec::new(); processes.len().saturating_add(1)];
        for process in processes {
            if let Some(list) = process.parent.and_then(|parent| children.get_mut(parent as usize)) {
                list.push(process.proc);
            }
        }
        let mut lines: Vec<Line<'_>> = Vec::new();
        let mut left_out = 0_usize;
        // A stack instead of recursion: traced programs decide how deep their trees are. The line is the nearest shown
        // ancestor's at the last level that was asked for, once that is reached.
        let mut waiting: Vec<(u32, u32, Option<usize>)> = roots.into_iter().rev().map(|proc| (proc, 0, None)).collect();
        while let Some((proc, level, mut cut)) = waiting.pop() {
            let Some(process) = super::process(self.report, proc) else { continue };
            let mut next = level;
            if !shown(process) {
                left_out = left_out.saturating_add(1);
            } else if let Some(line) = cut.and_then(|cut| lines.get_mut(cut)) {
                line.deeper = line.deeper.saturating_add(1);
            } else {
                lines.push(Line { process, level, deeper: 0 });
                next = level.saturating_add(1);
                cut = (next > depth).then(|| lines.len().saturating_sub(1));
            }
            let below = children.get(proc as usize).map(Vec::as_slice).unwrap_or_default();
            waiting.extend(below.iter().rev().map(|child| (*child, next, cut)));
        }
        let about = json!({ "depth": depth, "left_out_wrappers_helpers_inner": left_out });
        Ok(self.page(about, &lines, tree.page, |line| {
            let mut entry = self.brief(line.process);
            if let Value::Object(fields) = &mut entry {
                fields.insert("level".to_owned(), json!(line.level));
                if line.deeper > 0 {
                    fields.insert("deeper_not_shown".to_owned(), json!(line.deeper));
                }
            }
            entry
        }))
    }
}
