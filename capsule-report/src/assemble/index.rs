//! The tree, made safe to walk: parents that exist, no cycles, children in order, and no recursion, because traced
//! programs decide how deep their trees are.

use capsule_core::{Label, Life, ProcId, ProcessNode, Role, Severity};

use crate::view::SessionView;

/// No parent.
const NONE: usize = usize::MAX;

/// Precomputed facts of every process, by index (process number less one).
pub(super) struct Index<'a> {
    pub(super) nodes: &'a [ProcessNode],
    parents: Vec<usize>,
    child_start: Vec<usize>,
    child_list: Vec<usize>,
    /// Processes without a parent.
    pub(super) roots: Vec<usize>,
    /// Every process, parents before children, siblings in order.
    pub(super) preorder: Vec<usize>,
    /// Distance from its root.
    pub(super) depths: Vec<u32>,
    /// Processes at and below each.
    pub(super) sizes: Vec<u64>,
    /// The worst finding at and below each.
    pub(super) worst: Vec<Option<Severity>>,
    /// When each ended, or was last known to live.
    ends: Vec<u64>,
    /// What was asked: see [`Index::is_operation`].
    operations: Vec<bool>,
    /// Operations that no other operation started.
    top: Vec<bool>,
    /// The process that everything is about, where it is about one: nothing above it is known.
    pub(super) zoom: Option<usize>,
    /// The process that runs the agent.
    pub(super) agent: Option<usize>,
}

impl<'a> Index<'a> {
    /// The tree of a session that was last heard of at `last`; only what is at and below `zoom`, where that is given.
    pub(super) fn new(view: &'a SessionView, last: u64, zoom: Option<ProcId>) -> Self {
        let nodes = view.tree.nodes.as_slice();
        let parents = parents(nodes);
        let (child_start, child_list) = children(&parents);
        let roots: Vec<usize> = (0..nodes.len()).filter(|index| parents.get(*index) == Some(&NONE)).collect();
        let mut made = Self {
            nodes,
            parents,
            child_start,
            child_list,
            roots,
            preorder: Vec::with_capacity(nodes.len()),
            depths: vec![0; nodes.len()],
            sizes: vec![1; nodes.len()],
            worst: nodes.iter().map(|node| node.worst).collect(),
            ends: nodes.iter().map(|node| end_of(node, last)).collect(),
            operations: vec![false; nodes.len()],
            top: vec![false; nodes.len()],
            zoom: None,
            agent: None,
        };
        made.walk();
        made.sum();
        if let Some(at) = zoom.and_then(|proc| made.index_of(proc)) {
            made.narrow(at);
        }
        made.find_operations();
        made.agent = made.preorder.iter().copied().find(|index| made.node(*index).is_some_and(is_agent));
        made
    }

    pub(super) fn node(&self, index: usize) -> Option<&'a ProcessNode> {
        self.nodes.get(index)
    }

    pub(super) fn parent(&self, index: usize) -> Option<usize> {
        self.parents.get(index).copied().filter(|parent| *parent != NONE)
    }

    pub(super) fn children(&self, index: usize) -> &[usize] {
        let range = self.child_start.get(index).copied().zip(self.child_start.get(index.saturating_add(1)).copied());
        range.and_then(|(from, to)| self.child_list.get(from..to)).unwrap_or_default()
    }

    pub(super) fn index_of(&self, proc: ProcId) -> Option<usize> {
        let index = usize::try_from(proc.0).ok()?.checked_sub(1)?;
        (index < self.nodes.len()).then_some(index)
    }

    /// When it ended, or was last known to live.
    pub(super) fn end(&self, index: usize) -> u64 {
        self.ends.get(index).copied().unwrap_or(0)
    }

    /// Whether the process did something that was asked for: it is no wrapper, no helper and no inner process; or it is
    /// a wrapper that did the work itself (a shell's builtins and redirections).
    pub(super) fn is_operation(&self, index: usize) -> bool {
        self.operations.get(index).copied().unwrap_or(false)
    }

    /// Whether it is an operation that no other operation started.
    pub(super) fn is_top(&self, index: usize) -> bool {
        self.top.get(index).copied().unwrap_or(false)
    }

    /// Indices of operations, in order of appearance.
    pub(super) fn operations(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|index| self.is_operation(*index))
    }

    fn walk(&mut self) {
        let mut stack: Vec<usize> = self.roots.iter().rev().copied().collect();
        while let Some(index) = stack.pop() {
            self.preorder.push(index);
            let depth = self.depths.get(index).copied().unwrap_or(0).saturating_add(1);
            let from = stack.len();
            for position in 0..self.children(index).len() {
                if let Some(child) = self.children(index).get(position).copied() {
                    if let Some(slot) = self.depths.get_mut(child) {
                        *slot = depth;
                    }
                    stack.push(child);
                }
            }
            if let Some(pushed) = stack.get_mut(from..) {
                pushed.reverse();
            }
        }
    }

    fn sum(&mut self) {
        for index in self.preorder.iter().rev().copied() {
            let Some(parent) = self.parents.get(index).copied().filter(|parent| *parent != NONE) else { continue };
            let (size, worst) = (self.sizes.get(index).copied().unwrap_or(0), self.worst.get(index).copied().flatten());
            if let Some(sum) = self.sizes.get_mut(parent) {
                *sum = sum.saturating_add(size);
            }
            if let Some(known) = self.worst.get_mut(parent) {
                *known = (*known).max(worst);
            }
        }
    }

    /// Leaves everything out that is not at or below `at`: in preorder, what is below a process follows it.
    fn narrow(&mut self, at: usize) {
        let from = self.preorder.iter().position(|other| *other == at).unwrap_or(0);
        let size = self.sizes.get(at).copied().and_then(|size| usize::try_from(size).ok()).unwrap_or(1);
        self.preorder.truncate(from.saturating_add(size));
        self.preorder.drain(..from);
        self.roots = vec![at];
        self.zoom = Some(at);
    }

    fn find_operations(&mut self) {
        // Upwards: whether something asked is at or below.
        let mut asked_below: Vec<bool> = self.nodes.iter().map(|node| asked(node) || is_agent(node)).collect();
        for index in self.preorder.iter().rev().copied() {
            if asked_below.get(index) == Some(&true)
                && let Some(slot) = self.parent(index).and_then(|parent| asked_below.get_mut(parent))
            {
                *slot = true;
            }
        }
        // Downwards: whether the work of a program that was asked for, or of a helper, is all around.
        let mut busy = vec![false; self.nodes.len()];
        for position in 0..self.preorder.len() {
            let Some(index) = self.preorder.get(position).copied() else { continue };
            let Some(node) = self.node(index) else { continue };
            let above = self.parent(index).and_then(|parent| busy.get(parent).copied()).unwrap_or(false);
            let lone_wrapper =
                node.role == Role::Wrapper && asked_below.get(index) == Some(&false) && !above && ran(node);
            let operation = asked(node) || lone_wrapper;
            if let Some(slot) = self.operations.get_mut(index) {
                *slot = operation;
            }
            if let Some(slot) = self.top.get_mut(index) {
                *slot = operation && !above;
            }
            if let Some(slot) = busy.get_mut(index) {
                // A fork that executed nothing (an agent's subshell) is no work of its own.
                let starts_work = matches!(node.role, Role::Helper | Role::Inner) && ran(node) || operation;
                *slot = !is_agent(node) && (above || starts_work);
            }
        }
    }
}

/// Whether the node runs an agent's loop.
pub(super) fn is_agent(node: &ProcessNode) -> bool {
    node.label == Label::Agent
}

/// Whether it ever executed a program, or tried to.
pub(super) fn ran(node: &ProcessNode) -> bool {
    !node.execs.is_empty() || node.failed_execs > 0
}

fn asked(node: &ProcessNode) -> bool {
    node.role == Role::Asked && !is_agent(node) && ran(node)
}

fn end_of(node: &ProcessNode, last: u64) -> u64 {
    let end = match node.life {
        Life::Exited { at, .. } | Life::LeftRunning { at, .. } => at.0,
        Life::Running => last,
        Life::Lost => node.execs.last().map_or(node.started.0, |exec| exec.at.0),
    };
    end.max(node.started.0)
}

/// Each process's parent; those that do not exist or would close a cycle are dropped.
fn parents(nodes: &[ProcessNode]) -> Vec<usize> {
    let mut parents: Vec<usize> = nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let parent = node.parent.and_then(|parent| usize::try_from(parent.0).ok()?.checked_sub(1));
            parent.filter(|parent| *parent < nodes.len() && *parent != index).unwrap_or(NONE)
        })
        .collect();
    // Each process gets the number of the walk that first met it; meeting one's own walk again is a cycle.
    let mut met = vec![0_usize; nodes.len()];
    for start in 0..nodes.len() {
        let walk = start.saturating_add(1);
        let (mut index, mut before) = (start, NONE);
        while index != NONE {
            match met.get(index).copied() {
                Some(0) => {}
                Some(other) if other == walk => {
                    if let Some(slot) = parents.get_mut(before) {
                        *slot = NONE;
                    }
                    break;
                }
                _ => break,
            }
            if let Some(slot) = met.get_mut(index) {
                *slot = walk;
            }
            before = index;
            index = parents.get(index).copied().unwrap_or(NONE);
        }
    }
    parents
}

/// Children of all, one after the other, and where each process's begin.
fn children(parents: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut start = vec![0_usize; parents.len().saturating_add(1)];
    for parent in parents.iter().filter(|parent| **parent != NONE) {
        if let Some(slot) = start.get_mut(parent.saturating_add(1)) {
            *slot = slot.saturating_add(1);
        }
    }
    let mut sum = 0_usize;
    for slot in &mut start {
        sum = sum.saturating_add(*slot);
        *slot = sum;
    }
    let mut next = start.clone();
    let mut list = vec![0_usize; sum];
    for (index, parent) in parents.iter().enumerate().filter(|(_, parent)| **parent != NONE) {
        if let Some(position) = next.get_mut(*parent) {
            if let Some(slot) = list.get_mut(*position) {
                *slot = index;
            }
            *position = position.saturating_add(1);
        }
    }
    (start, list)
}
