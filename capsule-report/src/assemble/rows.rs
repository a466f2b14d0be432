//! The tree as it is to be shown: what the agent asked for, with everything else folded into counts.
//!
//! Which processes are shown is decided bottom-up ([`plan`]); rows are then written top-down, with repeats joined and
//! long lists and deep branches cut to a budget. Neither recurses: traced programs decide how deep and wide trees are.

use std::collections::HashMap;

use capsule_core::{ByteString, Life, ProcessNode, Role};

use super::clean::Cleaner;
use super::index::Index;
use super::work::Tally;
use super::{Ends, ending, shown_text, tag};
use crate::model::{Row, RowKind};
use crate::options::Options;
use crate::words;

mod plan;
mod shells;

use plan::Plan;

/// How many rows a folded tree may have before it is folded harder.
const BUDGET: usize = 240;
/// Siblings and levels shown, from generous to strict: the first that keeps the budget is taken.
const LIMITS: [(usize, u32); 6] = [(48, 64), (24, 24), (12, 12), (8, 8), (6, 6), (4, 4)];
/// Equal commands in a row that become one line.
const SAME: usize = 3;
/// Commands of one program in a row that become one line.
const ALIKE: usize = 6;
/// The longest sequence of commands whose repetition is folded (`a | b` in a loop is one of two).
const CYCLE: usize = 4;

/// Lines that will stand beside each other.
enum Entry {
    Node { at: usize, parallel: bool },
    Group { members: Vec<usize>, same: bool, parallel: bool },
    Done(Box<Row>),
}

struct Writer<'a, 'b> {
    index: &'a Index<'b>,
    cleaner: &'a Cleaner,
    plan: &'a Plan,
    ends: Ends<'a>,
    siblings: usize,
    levels: u32,
    all: bool,
}

/// Which processes the folded tree shows by themselves, whatever the reader chose to see now, and what was asked of the
/// shells that these stand for.
pub(super) fn faces(index: &Index<'_>) -> Vec<(bool, Option<ByteString>)> {
    let plan = Plan::new(index, &Options::default());
    let asked = |at| Some(at).filter(|at| plan.shown(*at)).and_then(|at| shells::asked(at, &plan, index));
    (0..index.nodes.len()).map(|at| (plan.shown(at), asked(at))).collect()
}

/// The rows of the tree.
pub(super) fn rows(index: &Index<'_>, cleaner: &Cleaner, options: &Options, ends: Ends<'_>) -> Vec<Row> {
    let plan = Plan::new(index, options);
    let fits = u32::try_from(options.width.saturating_sub(36) / 4).unwrap_or(u32::MAX).max(4);
    let make = |siblings, levels, all| Writer { index, cleaner, plan: &plan, ends, siblings, levels, all };
    if options.all {
        return make(usize::MAX, options.depth.unwrap_or(u32::MAX), true).write(usize::MAX).unwrap_or_default();
    }
    let mut limits = LIMITS.iter().peekable();
    while let Some((siblings, levels)) = limits.next() {
        let levels = options.depth.unwrap_or_else(|| (*levels).min(fits));
        let budget = if limits.peek().is_none() { usize::MAX } else { BUDGET };
        if let Some(rows) = make(*siblings, levels, false).write(budget) {
            return rows;
        }
    }
    Vec::new()
}

impl Writer<'_, '_> {
    /// All rows; `None` where they are more than `budget`.
    fn write(&self, budget: usize) -> Option<Vec<Row>> {
        let mut rows = Vec::new();
        let mut stack = vec![(self.entries(&self.plan.roots, &[], &[]).into_iter(), 0_u32)];
        while let Some((entries, level)) = stack.last_mut() {
            let Some(entry) = entries.next() else {
                stack.pop();
                continue;
            };
            let (level, last) = (*level, entries.len() == 0);
            if rows.len() >= budget {
                return None;
            }
            match entry {
                Entry::Done(row) => rows.push(Row { level, last, ..*row }),
                Entry::Group { members, same, parallel } => {
                    rows.push(Row { level, last, parallel, ..self.group_row(&members, same) });
                }
                Entry::Node { at, parallel } => {
                    let Some(node) = self.index.node(at) else { continue };
                    let mut row = self.node_row(node, at);
                    if let Some(asked) = shells::asked(at, self.plan, self.index).filter(|_| !self.all) {
                        row.text = self.cleaner.bytes(&asked);
                    }
                    let below = self.plan.below(at);
                    let earlier = shells::became(node, below.nodes, self.index).filter(|_| !self.all);
                    let mut then = None;
                    if let Some(code) = earlier {
                        let note = "the same process, at last".to_owned();
                        // The whole time and the findings are on the line of what was asked.
                        let since = node.execs.last().map_or(node.started.0, |exec| exec.at.0);
                        let duration = row.duration.map(|_| self.index.end(at).saturating_sub(since));
                        let end = Row { note, folded: 0, duration, worst: None, ..row.clone() };
                        then = Some(Entry::Done(Box::new(end)));
                        let text = self.cleaner.bytes(&code);
                        rows.push(Row { level, last, parallel, tag: "SYSTEM".to_owned(), text, ..row });
                    } else {
                        rows.push(Row { level, last, parallel, ..row });
                    }
                    if below.is_empty() {
                        continue;
                    }
                    let deeper = level.saturating_add(1);
                    let mut entries = if deeper >= self.levels {
                        vec![Entry::Done(Box::new(self.deeper_row(at, below.nodes)))]
                    } else {
                        self.entries(below.nodes, below.helpers, below.probes)
                    };
                    if deeper < self.levels {
                        entries.extend(then);
                    }
                    stack.push((entries.into_iter(), deeper));
                }
            }
        }
        Some(rows)
    }

    fn entries(&self, nodes: &[usize], helpers: &[usize], probes: &[usize]) -> Vec<Entry> {
        let mut order = nodes.to_vec();
        order.sort_unstable();
        let mut busy_until = 0;
        let mut singles = Vec::with_capacity(order.len());
        for at in order {
            let start = self.index.node(at).map_or(0, |node| node.started.0);
            singles.push((at, start < busy_until));
            busy_until = busy_until.max(self.index.end(at));
        }
        let mut entries = if self.all {
            singles.into_iter().map(|(at, parallel)| Entry::Node { at, parallel }).collect()
        } else {
            let mut entries = self.runs(&singles);
            if entries.len() > self.siblings {
                entries = self.by_program(entries);
            }
            self.cut(entries)
        };
        entries.extend(self.folded_row(helpers, "started by the agent for itself"));
        entries.extend(self.folded_row(probes, "searches along PATH that found nothing"));
        entries
    }

    /// Whether it may be joined with others like it.
    fn joins(&self, at: usize) -> bool {
        let stays =
            self.index.node(at).is_some_and(|node| matches!(node.life, Life::LeftRunning { .. } | Life::Running));
        self.plan.below(at).is_empty() && !self.plan.must(at) && !stays
    }

    /// Joins equal commands, and commands of one program, that follow each other.
    fn runs(&self, singles: &[(usize, bool)]) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(singles.len());
        let mut rest = singles;
        while let Some((first, parallel)) = rest.first().copied() {
            let length = |same: bool| {
                if !self.joins(first) {
                    return 1;
                }
                rest.iter().take_while(|(at, _)| self.joins(*at) && self.like(first, *at, same)).count()
            };
            let (same, alike) = (length(true), length(false));
            let taken = if same >= SAME && (same >= alike || alike < ALIKE) {
                same
            } else if alike >= ALIKE {
                alike
            } else {
                1
            };
            if taken == 1
                && let Some((length, times)) = self.cycle(rest)
            {
                let (run, tail) = rest.split_at((length * times).min(rest.len()));
                for place in 0..length {
                    let each = || run.iter().skip(place).step_by(length);
                    let members = each().map(|(at, _)| *at).collect();
                    entries.push(Entry::Group { members, same: true, parallel: each().any(|(_, parallel)| *parallel) });
                }
                rest = tail;
                continue;
            }
            let (run, tail) = rest.split_at(taken.clamp(1, rest.len()));
            if run.len() == 1 {
                entries.push(Entry::Node { at: first, parallel });
            } else {
                let members: Vec<usize> = run.iter().map(|(at, _)| *at).collect();
                let parallel = run.iter().any(|(_, parallel)| *parallel);
                entries.push(Entry::Group { members, same: taken == same && same >= SAME, parallel });
            }
            rest = tail;
        }
        entries
    }

    /// The shortest sequence at the beginning that comes at least [`SAME`] times in a row, and how often it does.
    fn cycle(&self, rest: &[(usize, bool)]) -> Option<(usize, usize)> {
        (2..=CYCLE).find_map(|length| {
            let first = rest.get(..length)?;
            let repeats = |again: &&[(usize, bool)]| {
                again.iter().zip(first).all(|((at, _), (first, _))| self.joins(*at) && self.like(*first, *at, true))
            };
            let times = rest.chunks_exact(length).take_while(repeats).count();
            (times >= SAME).then_some((length, times))
        })
    }

    fn like(&self, a: usize, b: usize, same: bool) -> bool {
        let (Some(a), Some(b)) = (self.index.node(a), self.index.node(b)) else { return false };
        let kind = a.label == b.label && a.workflow == b.workflow && a.tool == b.tool;
        kind && (!same || a.summary == b.summary)
    }

    /// Joins all commands of one program among too many siblings, wherever they stand, with what is below them.
    fn by_program(&self, entries: Vec<Entry>) -> Vec<Entry> {
        let mut groups: HashMap<(String, &ByteString), usize> = HashMap::new();
        let mut out: Vec<Entry> = Vec::new();
        for entry in entries {
            let (members, parallel) = match entry {
                Entry::Node { at, parallel } => (vec![at], parallel),
                Entry::Group { members, parallel, .. } => (members, parallel),
                done @ Entry::Done(_) => {
                    out.push(done);
                    continue;
                }
            };
            let first = members.first().copied();
            let Some(node) = first.and_then(|at| self.index.node(at)) else { continue };
            if members.iter().any(|at| self.plan.must_below(*at)) {
                out.extend(members.into_iter().map(|at| Entry::Node { at, parallel }));
                continue;
            }
            match groups.get(&(tag(node), &node.tool)).and_then(|at| out.get_mut(*at)) {
                Some(Entry::Group { members: known, parallel: overlaps, same }) => {
                    known.extend(members);
                    *overlaps |= parallel;
                    *same = false;
                }
                _ => {
                    groups.insert((tag(node), &node.tool), out.len());
                    out.push(Entry::Group { members, same: true, parallel });
                }
            }
        }
        for entry in &mut out {
            if let Entry::Group { members, parallel, .. } = entry
                && let (1, Some(at)) = (members.len(), members.first().copied())
            {
                *entry = Entry::Node { at, parallel: *parallel };
            }
        }
        out
    }

    /// Keeps the first and last of too many lines, and those that must be seen.
    fn cut(&self, entries: Vec<Entry>) -> Vec<Entry> {
        let total = entries.len();
        if total <= self.siblings {
            return entries;
        }
        let head = self.siblings * 2 / 3;
        let tail = total.saturating_sub(self.siblings.saturating_sub(head));
        let mut out = Vec::new();
        let mut cut = Vec::new();
        for (position, entry) in entries.into_iter().enumerate() {
            if position < head || position >= tail {
                if position >= tail && !cut.is_empty() {
                    out.push(Entry::Done(Box::new(self.cut_row(&std::mem::take(&mut cut)))));
                }
                out.push(entry);
                continue;
            }
            match entry {
                Entry::Node { at, .. } if !self.plan.must_below(at) => cut.push(at),
                Entry::Group { members, .. } => cut.extend(members),
                other => out.push(other),
            }
        }
        if !cut.is_empty() {
            out.push(Entry::Done(Box::new(self.cut_row(&cut))));
        }
        out
    }

    fn node_row(&self, node: &ProcessNode, at: usize) -> Row {
        let end = ending(node, self.ends);
        let shows_end =
            node.success == Some(false) || !matches!(node.life, Life::Exited { .. }) || end.signal.is_some();
        Row {
            level: 0,
            last: false,
            kind: RowKind::Process,
            proc: node.proc.0,
            pid: node.pid.0,
            count: 1,
            tag: tag(node),
            text: self.cleaner.bytes(&shown_text(node)),
            note: match node.role {
                _ if !super::index::ran(node) => "never executed a program".to_owned(),
                Role::Helper | Role::Inner if self.all => node.role.name().to_owned(),
                _ => String::new(),
            },
            success: node.success,
            failed: u64::from(node.success == Some(false)),
            ending: if shows_end { end.text } else { String::new() },
            duration: node.duration(),
            parallel: false,
            left_running: matches!(node.life, Life::LeftRunning { .. }),
            worst: node.worst,
            folded: if self.all { 0 } else { self.plan.folded(at) },
        }
    }

    fn group_row(&self, members: &[usize], same: bool) -> Row {
        let nodes = || members.iter().filter_map(|at| self.index.node(*at));
        let Some((first, at)) = nodes().next().zip(members.first()) else { return self.cut_row(members) };
        let failed = nodes().filter(|node| node.success == Some(false)).count() as u64;
        let known = nodes().all(|node| node.success.is_some());
        let failure = nodes().find(|node| node.success == Some(false));
        let below: u64 = members.iter().map(|at| self.plan.shown_below(*at)).sum();
        let mut note =
            if same { String::new() } else { format!("and {} alike", words::number(members.len() as u64 - 1)) };
        if below > 0 {
            note.push_str(&format!(", {} below them", words::number(below)));
        }
        Row {
            kind: RowKind::Repeat,
            count: members.len() as u64,
            note,
            success: known.then_some(failed == 0),
            failed,
            ending: match failure {
                Some(node) => format!(
                    "{} failed, first process {}: {}",
                    words::number(failed),
                    node.proc,
                    ending(node, self.ends).text
                ),
                None => String::new(),
            },
            duration: nodes().map(|node| node.duration().unwrap_or(0)).reduce(u64::saturating_add),
            worst: nodes().filter_map(|node| node.worst).max(),
            folded: members.iter().map(|at| self.plan.folded(*at)).sum(),
            left_running: false,
            ..self.node_row(first, *at)
        }
    }

    /// A line that only counts.
    fn counting_row(&self, members: &[usize], count: u64, note: String) -> Row {
        let nodes = || members.iter().filter_map(|at| self.index.node(*at));
        let mut tools = Tally::default();
        for node in nodes() {
            tools.add(&self.cleaner.bytes(&node.tool), 1);
        }
        let mut text = Vec::new();
        for tool in tools.most(5) {
            if !text.is_empty() {
                text.extend_from_slice(b", ");
            }
            text.extend_from_slice(tool.tool.as_bytes());
            if tool.count > 1 {
                text.extend_from_slice(format!(" ×{}", words::number(tool.count)).as_bytes());
            }
        }
        Row {
            level: 0,
            last: false,
            kind: RowKind::Folded,
            proc: nodes().next().map_or(0, |node| node.proc.0),
            pid: nodes().next().map_or(0, |node| node.pid.0),
            count,
            tag: String::new(),
            text: ByteString::from(text),
            note,
            success: None,
            failed: nodes().filter(|node| node.success == Some(false)).count() as u64,
            ending: String::new(),
            duration: None,
            parallel: false,
            left_running: nodes().any(|node| matches!(node.life, Life::LeftRunning { .. })),
            worst: members.iter().filter_map(|at| self.index.worst.get(*at).copied().flatten()).max(),
            folded: 0,
        }
    }

    fn folded_row(&self, members: &[usize], what: &str) -> Option<Entry> {
        if members.is_empty() {
            return None;
        }
        let mut order = members.to_vec();
        order.sort_unstable();
        let count: u64 = order.iter().map(|at| self.index.sizes.get(*at).copied().unwrap_or(1)).sum();
        let note = format!("{} {what}", words::count(count, "process", "processes"));
        Some(Entry::Done(Box::new(self.counting_row(&order, count, note))))
    }

    fn cut_row(&self, members: &[usize]) -> Row {
        let count: u64 = members.iter().map(|at| self.plan.shown_below(*at).saturating_add(1)).sum();
        self.counting_row(members, count, format!("{} more", words::number(count)))
    }

    fn deeper_row(&self, at: usize, nodes: &[usize]) -> Row {
        let count = self.plan.shown_below(at);
        let mut order = nodes.to_vec();
        order.sort_unstable();
        let note = format!("{} deeper", words::count(count, "process", "processes"));
        self.counting_row(&order, count, note)
    }
}
