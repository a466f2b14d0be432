//! Which processes are shown at all, decided from the leaves up.

use std::collections::HashMap;

use capsule_core::{Life, ProcessNode, Role, Severity};

use crate::assemble::index::{Index, ran};
use crate::options::Options;

/// How many risky processes are shown whatever else is folded.
const MUST: usize = 60;

/// How many of them of one program.
const MUST_EACH: usize = 6;

/// What stands below a shown process.
#[derive(Debug, Default)]
struct List {
    nodes: Vec<usize>,
    helpers: Vec<usize>,
    probes: Vec<usize>,
}

impl List {
    /// Takes over another's content: the larger one's memory is kept, order is restored when rows are written.
    fn join(&mut self, other: Self) {
        for (mine, theirs) in
            [(&mut self.nodes, other.nodes), (&mut self.helpers, other.helpers), (&mut self.probes, other.probes)]
        {
            let mut theirs = theirs;
            if theirs.len() > mine.len() {
                std::mem::swap(mine, &mut theirs);
            }
            mine.append(&mut theirs);
        }
    }
}

/// What stands below a shown process, borrowed.
pub(super) struct Below<'a> {
    pub(super) nodes: &'a [usize],
    pub(super) helpers: &'a [usize],
    pub(super) probes: &'a [usize],
}

impl Below<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.helpers.is_empty() && self.probes.is_empty()
    }
}

/// Which processes are shown, and where.
pub(super) struct Plan {
    pub(super) roots: Vec<usize>,
    lists: Vec<List>,
    folded: Vec<u64>,
    must: Vec<bool>,
    must_below: Vec<bool>,
    shown_below: Vec<u64>,
    shown: Vec<bool>,
}

/// What becomes of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Shown,
    /// What is below it moves up; it is counted.
    Through,
    /// Counted with its subtree as the agent's own.
    Helper,
    Probe,
    /// Counted at its parent.
    Counted,
    /// Does not fit the filter.
    Dropped,
}

impl Plan {
    pub(super) fn new(index: &Index<'_>, options: &Options) -> Self {
        let total = index.nodes.len();
        let (must, filtered) = must_show(index, options);
        let mut plan = Self {
            roots: Vec::new(),
            lists: std::iter::repeat_with(List::default).take(total).collect(),
            folded: vec![0; total],
            must_below: must.clone(),
            must,
            shown_below: vec![0; total],
            shown: vec![false; total],
        };
        let helper = inside_helper(index);
        let only = options.proc.and_then(|proc| index.index_of(proc));
        for at in index.preorder.iter().rev().copied() {
            let Some(node) = index.node(at) else { continue };
            let list = plan.lists.get_mut(at).map(std::mem::take).unwrap_or_default();
            let is_root = index.parent(at).is_none() || only == Some(at);
            let kept = list.nodes.len();
            let inside = helper.get(at).copied().unwrap_or(false);
            let top_helper = inside && !index.parent(at).and_then(|up| helper.get(up).copied()).unwrap_or(false);
            let fate = if options.all {
                if filtered && kept == 0 && !plan.must(at) { Fate::Dropped } else { Fate::Shown }
            } else if plan.must(at) {
                Fate::Shown
            } else if filtered {
                filtered_fate(node, kept)
            } else if is_root {
                Fate::Shown
            } else if inside {
                if top_helper { Fate::Helper } else { Fate::Through }
            } else {
                let lone = list.nodes.first().filter(|_| kept == 1).and_then(|child| index.node(*child));
                fate(node, kept, lone, index.is_operation(at))
            };
            plan.settle(index, at, fate, list);
            if only == Some(at) && plan.lists.get(at).is_some() {
                plan.roots = vec![at];
            }
        }
        if only.is_none() {
            plan.roots = index.roots.iter().copied().filter(|at| !filtered || plan.must_below(*at)).collect();
        }
        plan
    }

    fn settle(&mut self, index: &Index<'_>, at: usize, fate: Fate, mut list: List) {
        let parent = index.parent(at);
        let below = self.shown_below.get(at).copied().unwrap_or(0);
        let mut folded = self.folded.get(at).copied().unwrap_or(0);
        let inner = index.node(at).is_some_and(|node| node.role != Role::Wrapper && ran(node));
        let mut up = List::default();
        let mut rise = below;
        match fate {
            Fate::Shown => {
                up.nodes.push(at);
                rise = rise.saturating_add(1);
                if let Some(slot) = self.shown.get_mut(at) {
                    *slot = true;
                }
                if let Some(slot) = self.lists.get_mut(at) {
                    *slot = list;
                }
                folded = 0;
            }
            Fate::Through => {
                folded = folded.saturating_add(u64::from(inner));
                if let (1, Some(slot)) =
                    (list.nodes.len(), list.nodes.first().and_then(|child| self.folded.get_mut(*child)))
                {
                    *slot = slot.saturating_add(folded);
                    folded = 0;
                }
                up = list;
            }
            Fate::Helper => {
                folded = 0;
                list.helpers.clear();
                list.probes.clear();
                list.helpers.push(at);
                up = list;
            }
            Fate::Probe => {
                folded = 0;
                list.probes.push(at);
                up = list;
            }
            Fate::Counted => folded = folded.saturating_add(u64::from(inner)),
            Fate::Dropped => folded = 0,
        }
        let Some(parent) = parent else {
            return;
        };
        if let Some(slot) = self.lists.get_mut(parent) {
            slot.join(up);
        }
        if let Some(slot) = self.folded.get_mut(parent) {
            *slot = slot.saturating_add(folded);
        }
        if let Some(slot) = self.shown_below.get_mut(parent) {
            *slot = slot.saturating_add(rise);
        }
        if self.must_below(at)
            && let Some(slot) = self.must_below.get_mut(parent)
        {
            *slot = true;
        }
    }

    pub(super) fn below(&self, at: usize) -> Below<'_> {
        match self.lists.get(at) {
            Some(list) => Below { nodes: &list.nodes, helpers: &list.helpers, probes: &list.probes },
            None => Below { nodes: &[], helpers: &[], probes: &[] },
        }
    }

    /// Processes counted at this one instead of being shown.
    pub(super) fn folded(&self, at: usize) -> u64 {
        self.folded.get(at).copied().unwrap_or(0)
    }

    /// Whether it is shown whatever else is folded.
    pub(super) fn must(&self, at: usize) -> bool {
        self.must.get(at).copied().unwrap_or(false)
    }

    /// Whether it, or something below it, is.
    pub(super) fn must_below(&self, at: usize) -> bool {
        self.must_below.get(at).copied().unwrap_or(false)
    }

    /// Whether it has a line of its own, as far as the budget allows.
    pub(super) fn shown(&self, at: usize) -> bool {
        self.shown.get(at).copied().unwrap_or(false)
    }

    /// How many shown processes are below it.
    pub(super) fn shown_below(&self, at: usize) -> u64 {
        self.shown_below.get(at).copied().unwrap_or(0)
    }
}

/// The processes that fit the filter, or without one the riskiest; and whether there is a filter.
fn must_show(index: &Index<'_>, options: &Options) -> (Vec<bool>, bool) {
    let mut must = vec![false; index.nodes.len()];
    if let Some(filter) = &options.filter {
        for (slot, node) in must.iter_mut().zip(index.nodes) {
            *slot = filter.fits(node);
        }
        return (must, true);
    }
    let mut risky: Vec<usize> = (0..index.nodes.len())
        .filter(|at| index.node(*at).is_some_and(|node| node.worst >= Some(Severity::Medium)))
        .collect();
    risky.sort_by_key(|at| (std::cmp::Reverse(index.node(*at).and_then(|node| node.worst)), *at));
    // A few of each program: one rule that fires on every call of a tool must not undo all folding.
    let mut each: HashMap<&[u8], usize> = HashMap::new();
    risky.retain(|at| {
        let count = index.node(*at).map(|node| each.entry(node.tool.as_bytes()).or_default());
        count.is_some_and(|count| {
            *count += 1;
            *count <= MUST_EACH
        })
    });
    for at in risky.into_iter().take(MUST) {
        if let Some(slot) = must.get_mut(at) {
            *slot = true;
        }
    }
    (must, false)
}

fn inside_helper(index: &Index<'_>) -> Vec<bool> {
    let mut inside = vec![false; index.nodes.len()];
    for at in index.preorder.iter().copied() {
        let above = index.parent(at).and_then(|parent| inside.get(parent).copied()).unwrap_or(false);
        if let (Some(slot), Some(node)) = (inside.get_mut(at), index.node(at)) {
            *slot = above || node.role == Role::Helper;
        }
    }
    inside
}

fn is_plumbing(node: &ProcessNode) -> bool {
    matches!(node.role, Role::Wrapper | Role::Helper | Role::Inner) || !ran(node)
}

fn filtered_fate(node: &ProcessNode, kept: usize) -> Fate {
    match (kept, is_plumbing(node)) {
        (0, _) => Fate::Dropped,
        (_, true) => Fate::Through,
        (_, false) => Fate::Shown,
    }
}

/// What becomes of a process with `kept` shown ones below it, `lone` being the only one.
fn fate(node: &ProcessNode, kept: usize, lone: Option<&ProcessNode>, operation: bool) -> Fate {
    let stays = matches!(node.life, Life::LeftRunning { .. });
    let signaled = matches!(node.life, Life::Exited { signal: Some(_), .. });
    if !ran(node) && node.role != Role::Agent {
        return match kept {
            0 if stays || signaled => Fate::Shown,
            0 => Fate::Counted,
            _ => Fate::Through,
        };
    }
    match node.role {
        Role::Agent | Role::Asked => {
            if node.execs.is_empty() && kept == 0 && !stays {
                Fate::Probe
            } else {
                Fate::Shown
            }
        }
        Role::Helper => Fate::Helper,
        Role::Inner if kept > 0 => Fate::Through,
        Role::Inner => Fate::Counted,
        Role::Wrapper => {
            let fails_alone = node.success == Some(false) && lone.is_some_and(|child| child.success != Some(false));
            match kept {
                0 if operation || stays => Fate::Shown,
                0 => Fate::Counted,
                1 if !fails_alone => Fate::Through,
                _ => Fate::Shown,
            }
        }
    }
}
