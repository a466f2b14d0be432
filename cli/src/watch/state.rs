//! What the live view shows, and how keys and records change it. Pure: no input, no output, no clock.

use std::collections::{HashSet, VecDeque};

use capsule_core::{ProcId, SessionMetadata, Timestamp};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Model, summary};
use crate::follow::Record;

/// Over how many nanoseconds the rate of records is measured.
const RATE_SPAN: u64 = 3_000_000_000;

/// How much of a command's output is kept for the screen.
const OUTPUT_BYTES: usize = 16 * 1024;

/// What happens to the view.
#[derive(Debug)]
pub enum Input {
    /// A key.
    Key(KeyEvent),
    /// More of the session.
    Records(Vec<Record>),
    /// More of what the command wrote.
    Output(Vec<u8>),
    /// The session is over, and this is its last account.
    Ended(Box<SessionMetadata>),
    /// Time goes by; so many bytes are written and not read.
    Tick {
        /// This moment.
        now: Timestamp,
        /// Bytes.
        behind: u64,
    },
}

/// What a typed text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typing {
    /// Goes to the next process with it.
    Search,
    /// Leaves only processes with it, and their ancestors.
    Filter,
}

/// A line of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub proc: ProcId,
    /// How far it is indented.
    pub depth: usize,
    /// How many are folded below it.
    pub hidden: usize,
}

/// The view.
#[derive(Debug)]
pub struct State {
    /// What is known.
    pub model: Model,
    /// What the session says of itself.
    pub metadata: SessionMetadata,
    /// Whether it is over.
    pub over: bool,
    /// This moment.
    pub now: Timestamp,
    /// Bytes that are written and not read.
    pub behind: u64,
    /// The moment that is shown; none: the latest.
    pub at: Option<Timestamp>,
    /// Whether the newest process is selected as they come.
    pub follow: bool,
    /// The selected process.
    pub selected: Option<ProcId>,
    /// Folded processes.
    pub folded: HashSet<ProcId>,
    /// Only processes with this text.
    pub filter: String,
    /// The text that was searched.
    pub search: String,
    /// What is being typed.
    pub typing: Option<(Typing, String)>,
    /// Whether details are shown.
    pub details: bool,
    /// How far details are scrolled.
    pub scroll: u16,
    /// Whether the keys are explained.
    pub help: bool,
    /// Why the last key did nothing.
    pub notice: Option<String>,
    /// The lines of the tree.
    pub rows: Vec<Row>,
    /// The first line on the screen.
    pub top: usize,
    /// How many lines of the tree fit on the screen; set by whoever draws.
    pub height: usize,
    /// The last that a command inside the view wrote; none where it writes elsewhere.
    pub output: Option<Vec<u8>>,
    /// Whether that is hidden.
    pub output_hidden: bool,
    /// Whether a command inside the view is to be interrupted.
    pub interrupt: bool,
    /// Whether the view is to stop, as a job of the shell.
    pub suspend: bool,
    /// Whether the user has seen enough.
    pub quit: bool,
    arrivals: VecDeque<(Timestamp, usize)>,
    stale: bool,
}

impl State {
    /// A view of a session of which nothing was read yet.
    #[must_use]
    pub fn new(metadata: SessionMetadata) -> Self {
        Self {
            model: Model::default(),
            now: metadata.started,
            metadata,
            over: false,
            behind: 0,
            at: None,
            follow: true,
            selected: None,
            folded: HashSet::new(),
            filter: String::new(),
            search: String::new(),
            typing: None,
            details: false,
            scroll: 0,
            help: false,
            notice: None,
            rows: Vec::new(),
            top: 0,
            height: 10,
            output: None,
            output_hidden: false,
            interrupt: false,
            suspend: false,
            quit: false,
            arrivals: VecDeque::new(),
            stale: true,
        }
    }

    /// The moment that is shown.
    #[must_use]
    pub fn moment(&self) -> Timestamp {
        let last = if self.over { self.metadata.ended.or(self.model.last) } else { Some(self.now) };
        self.at.or(last).unwrap_or(self.metadata.started)
    }

    /// Records a second that arrived lately.
    #[must_use]
    pub fn rate(&self) -> u64 {
        let sum: usize = self.arrivals.iter().map(|(_, count)| count).sum();
        sum as u64 * 1_000_000_000 / RATE_SPAN
    }

    /// Works out the lines of the tree where something changed, and keeps the selected one on the screen.
    pub fn arrange(&mut self) {
        if std::mem::take(&mut self.stale) {
            self.rows = self.lines();
            if self.follow && self.at.is_none() {
                self.selected = self.rows.iter().map(|row| row.proc).max().or(self.selected);
            }
        }
        let position = self.position().unwrap_or(0);
        self.selected = self.rows.get(position).map(|row| row.proc);
        let height = self.height.max(1);
        if position < self.top {
            self.top = position;
        } else if position >= self.top + height {
            self.top = position + 1 - height;
        }
        self.top = self.top.min(self.rows.len().saturating_sub(height));
    }

    fn position(&self) -> Option<usize> {
        self.rows.iter().position(|row| Some(row.proc) == self.selected)
    }

    fn lines(&self) -> Vec<Row> {
        let moment = self.moment();
        let nodes = self.model.nodes();
        let kept = self.kept(moment);
        let children = self.model.tree.tree().children();
        let mut rows = Vec::new();
        // No recursion: chains of processes are deeper than stacks.
        let mut waiting: Vec<(ProcId, usize)> =
            nodes.iter().filter(|node| node.parent.is_none()).map(|node| (node.proc, 0)).rev().collect();
        // Below a folded process lines are counted only: (its row, its depth).
        let mut inside: Option<(usize, usize)> = None;
        while let Some((proc, depth)) = waiting.pop() {
            let Some(index) = (proc.0 as usize).checked_sub(1) else { continue };
            if !kept.get(index).copied().unwrap_or(false) {
                continue;
            }
            if inside.is_some_and(|(_, folded)| depth <= folded) {
                inside = None;
            }
            match inside.and_then(|(row, _)| rows.get_mut(row)) {
                Some(Row { hidden, .. }) => *hidden += 1,
                None => {
                    if self.folded.contains(&proc) {
                        inside = Some((rows.len(), depth));
                    }
                    rows.push(Row { proc, depth, hidden: 0 });
                }
            }
            waiting.extend(children.get(index).into_iter().flatten().rev().map(|child| (*child, depth + 1)));
        }
        rows
    }

    /// Which processes are shown at a moment: those that had begun, and match, with their ancestors.
    fn kept(&self, moment: Timestamp) -> Vec<bool> {
        let nodes = self.model.nodes();
        if self.filter.is_empty() {
            return nodes.iter().map(|node| node.started <= moment).collect();
        }
        let mut kept = vec![false; nodes.len()];
        for node in nodes.iter().filter(|node| node.started <= moment && self.matches(node.proc, &self.filter)) {
            let mut next = Some(node.proc);
            while let Some(index) = next.and_then(|proc| (proc.0 as usize).checked_sub(1)) {
                match kept.get_mut(index) {
                    Some(slot) if !*slot => *slot = true,
                    _ => break,
                }
                next = nodes.get(index).and_then(|node| node.parent);
            }
        }
        kept
    }

    fn matches(&self, proc: ProcId, text: &str) -> bool {
        let Some(node) = self.model.node(proc) else { return false };
        summary(node, self.moment()).to_lowercase().contains(&text.to_lowercase())
    }

    fn select(&mut self, position: usize) {
        if let Some(row) = self.rows.get(position.min(self.rows.len().saturating_sub(1))) {
            self.selected = Some(row.proc);
            self.follow = false;
            self.scroll = 0;
        }
    }

    /// Selects a process; what hides it is unfolded, or no longer filtered.
    fn go_to(&mut self, proc: ProcId) {
        let index = (proc.0 as usize).saturating_sub(1);
        if !self.kept(self.moment()).get(index).copied().unwrap_or(false) {
            self.filter.clear();
        }
        let mut next = self.model.node(proc).and_then(|node| node.parent);
        for _ in 0..self.model.nodes().len() {
            let Some(parent) = next else { break };
            self.folded.remove(&parent);
            next = self.model.node(parent).and_then(|node| node.parent);
        }
        self.selected = Some(proc);
        (self.follow, self.scroll, self.stale) = (false, 0, true);
    }

    fn search(&mut self, forward: bool) {
        let (count, from) = (self.rows.len(), self.position().unwrap_or(0));
        for step in 1..=count {
            let position = if forward { (from + step) % count } else { (from + count - step) % count };
            if self.rows.get(position).is_some_and(|row| self.matches(row.proc, &self.search)) {
                self.select(position);
                return;
            }
        }
        self.notice = Some(format!("no process shown has `{}`", self.search));
    }

    /// Goes to the next process with a finding.
    fn jump(&mut self, forward: bool) {
        let until = self.moment();
        let found = self.model.risks.iter().filter(|risk| risk.timestamp <= until);
        let mut procs: Vec<ProcId> = found.map(|risk| risk.proc).collect();
        procs.sort_unstable();
        procs.dedup();
        let here = self.selected.unwrap_or(ProcId(0));
        let next = if forward {
            procs.iter().find(|proc| **proc > here).or(procs.first())
        } else {
            procs.iter().rev().find(|proc| **proc < here).or(procs.last())
        };
        match next.copied() {
            Some(proc) => self.go_to(proc),
            None => self.notice = Some("nothing risky was found so far".to_owned()),
        }
    }

    /// Goes to the moment before or after the one that is shown at which a process began or ended.
    fn step(&mut self, forward: bool) {
        let (here, moments) = (self.moment(), &self.model.moments);
        let next = if forward {
            moments.iter().filter(|at| **at > here).min()
        } else {
            moments.iter().filter(|at| **at < here).max()
        };
        match next {
            Some(at) => self.at = Some(*at),
            None if forward => self.at = None,
            None => self.at = Some(self.metadata.started),
        }
        self.stale = true;
    }

    /// Moves the moment by a tenth of the session.
    fn leap(&mut self, forward: bool) {
        let start = self.metadata.started;
        let end = self.model.last.unwrap_or(start);
        let tenth = (end.since(start) / 10).max(1);
        let here = self.moment().0;
        let there = if forward { here.saturating_add(tenth) } else { here.saturating_sub(tenth) };
        self.at = (there < end.0).then_some(Timestamp(there.max(start.0)));
        self.stale = true;
    }
}

/// Changes the view.
pub fn update(state: &mut State, input: Input) {
    match input {
        Input::Records(records) => {
            if records.is_empty() {
                return;
            }
            state.arrivals.push_back((state.now, records.len()));
            records.iter().for_each(|record| state.model.take(record));
            state.stale |= state.at.is_none();
        }
        Input::Output(more) => {
            let Some(output) = &mut state.output else { return };
            output.extend(more);
            let over = output.len().saturating_sub(OUTPUT_BYTES);
            output.drain(..over);
        }
        Input::Ended(metadata) => {
            state.model.tree.close(metadata.ended);
            state.metadata = *metadata;
            (state.over, state.stale) = (true, true);
        }
        Input::Tick { now, behind } => {
            (state.now, state.behind) = (now, behind);
            while state.arrivals.front().is_some_and(|(at, _)| now.since(*at) > RATE_SPAN) {
                state.arrivals.pop_front();
            }
        }
        Input::Key(key) if key.kind != KeyEventKind::Release => {
            // Keys act on what is there, drawn or not.
            state.arrange();
            press(state, key);
        }
        Input::Key(_) => {}
    }
}

fn press(state: &mut State, key: KeyEvent) {
    state.notice = None;
    if key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('c' | 'd')) {
        // The command is stopped first, as it would be without the view.
        state.interrupt = state.output.is_some() && !state.over && key.code == KeyCode::Char('c');
        state.quit = !state.interrupt;
        return;
    }
    if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        // A command inside would stop as well, and nobody could see it.
        state.suspend = key.code == KeyCode::Char('z') && state.output.is_none();
        return;
    }
    if let Some((what, mut text)) = state.typing.take() {
        match key.code {
            KeyCode::Esc => return,
            KeyCode::Enter if what == Typing::Search => {
                state.search = text;
                state.search(true);
                return;
            }
            KeyCode::Enter => {
                (state.filter, state.stale) = (text, true);
                return;
            }
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(c) => text.push(c),
            _ => {}
        }
        state.typing = Some((what, text));
        return;
    }
    if std::mem::take(&mut state.help) {
        return;
    }
    let (position, page) = (state.position().unwrap_or(0), state.height.max(2) - 1);
    match key.code {
        KeyCode::Char('q') => state.quit = true,
        KeyCode::Char('?' | 'h') => state.help = true,
        KeyCode::Char('j') | KeyCode::Down => state.select(position + 1),
        KeyCode::Char('k') | KeyCode::Up => state.select(position.saturating_sub(1)),
        KeyCode::PageDown => state.select(position + page),
        KeyCode::PageUp => state.select(position.saturating_sub(page)),
        KeyCode::Char('g') | KeyCode::Home => state.select(0),
        KeyCode::Char('G') | KeyCode::End => state.select(usize::MAX),
        KeyCode::Char('f') => {
            (state.follow, state.stale) = (!state.follow, true);
            if state.follow {
                state.at = None;
            }
        }
        KeyCode::Char(' ') => {
            state.at = if state.at.is_some() { None } else { Some(state.moment()) };
            state.stale = true;
        }
        KeyCode::Char(',') => state.step(false),
        KeyCode::Char('.') => state.step(true),
        KeyCode::Char('<') => state.leap(false),
        KeyCode::Char('>') => state.leap(true),
        KeyCode::Char('0') => (state.at, state.stale) = (Some(state.metadata.started), true),
        KeyCode::Char('/') => state.typing = Some((Typing::Search, String::new())),
        KeyCode::Char('&') => state.typing = Some((Typing::Filter, state.filter.clone())),
        KeyCode::Char('n') => state.search(true),
        KeyCode::Char('N') => state.search(false),
        KeyCode::Char('r') => state.jump(true),
        KeyCode::Char('R') => state.jump(false),
        KeyCode::Char('d') | KeyCode::Tab | KeyCode::Enter => {
            (state.details, state.scroll) = (!state.details, 0);
        }
        KeyCode::Char('o') => state.output_hidden = !state.output_hidden,
        KeyCode::Char('J') => state.scroll = state.scroll.saturating_add(1),
        KeyCode::Char('K') => state.scroll = state.scroll.saturating_sub(1),
        KeyCode::Left | KeyCode::Right | KeyCode::Char('z') => {
            let Some(proc) = state.selected else { return };
            if key.code == KeyCode::Right || (key.code == KeyCode::Char('z') && state.folded.contains(&proc)) {
                state.folded.remove(&proc);
            } else {
                state.folded.insert(proc);
            }
            (state.follow, state.stale) = (false, true);
        }
        KeyCode::Esc => {
            state.filter.clear();
            state.search.clear();
            state.stale = true;
        }
        _ => {}
    }
}
