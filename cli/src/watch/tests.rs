use std::sync::Arc;

use capsule_core::{
    Argv, ByteString, Effect, EffectKind, EnrichedEvent, EventKind, Evidence, ExecInfo, ExitStatus, Pid, ProcId,
    ProcessEvent, RiskEvent, Seq, SessionId, Severity, SpawnKind, Stage as _, Timestamp,
};
use capsule_track::Tracker;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::draw::draw;
use super::state::{Input, State, update};
use crate::follow::Record;

const SECOND: u64 = 1_000_000_000;

/// Tells a story second by second.
struct Story {
    tracker: Tracker,
    seq: u64,
    records: Vec<Record>,
}

impl Story {
    fn new() -> Self {
        Self { tracker: Tracker::new(), seq: 0, records: Vec::new() }
    }

    fn event(&mut self, second: u64, pid: u32, parent: Option<u32>, kind: EventKind) {
        self.seq += 1;
        let (seq, timestamp) = (Seq(self.seq), Timestamp(second * SECOND));
        let event = ProcessEvent { seq, raw: seq, timestamp, pid: Pid(pid), ppid: parent.map(Pid), kind };
        let mut tracked = Vec::new();
        self.tracker.feed(&EnrichedEvent { event, context: None }, &mut tracked);
        self.records.extend(tracked.into_iter().map(|event| Record::Event(Box::new(event))));
    }

    fn run(&mut self, second: u64, pid: u32, parent: Option<u32>, argv: &[&[u8]]) {
        let how = if parent.is_some() { SpawnKind::Fork } else { SpawnKind::Root };
        self.event(second, pid, parent, EventKind::Spawn(how));
        let argv: Argv = argv.iter().copied().collect();
        let cwd = Some(ByteString::from("/work"));
        let exec = ExecInfo { filename: None, argv, exe: None, cwd, from_tid: None, snapshot: None };
        self.event(second, pid, None, EventKind::Exec(Arc::new(exec)));
    }

    fn exit(&mut self, second: u64, pid: u32, code: i32) {
        self.event(second, pid, None, EventKind::Exit { status: ExitStatus::Exited(code), rusage: None });
    }

    fn effect(&mut self, second: u64, pid: u32, kind: EffectKind, path: &str) {
        let effect = Effect {
            kind,
            call: "openat".to_owned(),
            path: Some(ByteString::from(path)),
            to: None,
            endpoint: None,
            detail: None,
            errno: None,
            before: None,
        };
        self.event(second, pid, None, EventKind::Effect(Arc::new(effect)));
    }

    fn risk(&mut self, second: u64, proc: u32, pid: u32) {
        self.records.push(Record::Risk(Box::new(RiskEvent {
            seq: Seq(1),
            timestamp: Timestamp(second * SECOND),
            proc: ProcId(proc),
            pid: Pid(pid),
            severity: Severity::High,
            category: "credential-access".to_owned(),
            rule: "credential.private-key".to_owned(),
            title: "reads a private key".to_owned(),
            why: "whoever has the key is the user".to_owned(),
            attack: Vec::new(),
            evidence: Evidence::default(),
            innocent: None,
            adjusted: None,
            corrects: None,
        })));
    }
}

/// An agent's minute: a build that goes on, a key that is read, a name made to fool a terminal.
fn story() -> State {
    let mut story = Story::new();
    story.run(10, 100, None, &[b"agent", b"--task", b"ship it"]);
    story.run(12, 101, Some(100), &[b"make", b"-j2"]);
    story.run(13, 102, Some(101), &[b"cc", b"-c", b"main.c"]);
    story.effect(14, 102, EffectKind::FileWrite, "/proj/main.o");
    story.exit(15, 102, 0);
    story.run(20, 103, Some(100), &[b"cat", b"/home/me/.ssh/id_ed25519"]);
    story.risk(20, 4, 103);
    story.exit(21, 103, 1);
    story.run(30, 104, Some(100), &[b"ls", b"\x1b[2J\x1b]0;owned\x07\xe2\x80\xae\xff"]);
    let id = SessionId::parse("2024-01-15T14:30:00Z-abc123").unwrap();
    let mut metadata = crate::recording::tests_metadata(id);
    metadata.started = Timestamp(10 * SECOND);
    metadata.command = [&b"agent"[..], b"--task", b"ship it"].into_iter().collect();
    let mut state = State::new(metadata);
    update(&mut state, Input::Tick { now: Timestamp(40 * SECOND), behind: 0 });
    update(&mut state, Input::Records(story.records));
    state
}

fn screen(state: &mut State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state)).unwrap();
    terminal.backend().to_string()
}

fn keys(state: &mut State, text: &str) {
    for c in text.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            c => KeyCode::Char(c),
        };
        update(state, Input::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    state.arrange();
}

#[test]
fn a_running_session_at_80_by_24() {
    insta::assert_snapshot!(screen(&mut story(), 80, 24));
}

#[test]
fn an_earlier_moment_shows_what_was_then() {
    let mut state = story();
    state.arrange();
    // Back over the beginnings and ends of 30, 21, 20, 15: to second 13.
    keys(&mut state, ",,,,,");
    insta::assert_snapshot!(screen(&mut state, 80, 12));
    keys(&mut state, " ");
    assert_eq!((state.at, state.rows.len()), (None, 5));
}

#[test]
fn a_finding_is_found_and_explained() {
    let mut state = story();
    state.arrange();
    keys(&mut state, "rd");
    insta::assert_snapshot!(screen(&mut state, 80, 24));
}

#[test]
fn hostile_arguments_do_not_reach_the_screen() {
    let mut state = story();
    state.arrange();
    keys(&mut state, "d");
    let shown = screen(&mut state, 120, 40);
    assert!(shown.contains(r"\e[2J\e]0;owned\x07\u{202e}\xff"), "{shown}");
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}

#[test]
fn the_newest_process_is_followed_until_another_is_selected() {
    let mut state = story();
    state.arrange();
    assert_eq!(state.selected, Some(ProcId(5)));
    keys(&mut state, "g");
    let mut more = Story::new();
    more.run(10, 100, None, &[b"agent"]);
    update(&mut state, Input::Records(more.records));
    state.arrange();
    assert_eq!((state.selected, state.follow), (Some(ProcId(1)), false));
}

#[test]
fn folding_hides_and_counts_and_a_finding_below_unfolds() {
    let mut state = story();
    state.arrange();
    keys(&mut state, "gz");
    assert_eq!(state.rows.iter().map(|row| row.hidden).collect::<Vec<_>>(), [4]);
    keys(&mut state, "r");
    assert_eq!((state.selected, state.rows.len()), (Some(ProcId(4)), 5));
}

#[test]
fn a_filter_keeps_ancestors_and_a_search_goes_round() {
    let mut state = story();
    state.arrange();
    keys(&mut state, "&MAIN.C\n");
    assert_eq!(state.rows.iter().map(|row| row.proc.0).collect::<Vec<_>>(), [1, 2, 3]);
    update(&mut state, Input::Key(KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE)));
    state.arrange();
    keys(&mut state, "/make\n");
    assert_eq!(state.selected, Some(ProcId(2)));
    keys(&mut state, "n");
    assert_eq!(state.selected, Some(ProcId(2)), "there is one only");
}

#[test]
fn a_key_that_does_nothing_says_why() {
    let mut state = story();
    keys(&mut state, "/nowhere\n");
    assert!(screen(&mut state, 80, 24).contains("no process shown has `nowhere`"));
    keys(&mut state, "&elsewhere\n");
    let shown = screen(&mut state, 80, 24);
    assert!(shown.contains("only `elsewhere`: no process has it, Esc shows all"), "{shown}");
    assert!(!shown.contains("nowhere"), "{shown}");
    keys(&mut state, "0r");
    assert!(screen(&mut state, 80, 24).contains("nothing risky was found so far"));
}

#[test]
fn a_finding_that_a_filter_hides_is_shown() {
    let mut state = story();
    keys(&mut state, "&make\nr");
    assert_eq!((state.selected, state.rows.len(), state.filter.as_str()), (Some(ProcId(4)), 5, ""));
    keys(&mut state, "&cat\nr");
    assert_eq!((state.selected, state.rows.len()), (Some(ProcId(4)), 2), "a filter that shows it stays");
}

#[test]
fn details_are_whole_and_scroll_to_their_end_only() {
    let mut story = Story::new();
    let long = format!("begin {} end", "word-".repeat(100));
    story.run(10, 100, None, &[b"agent", long.as_bytes(), "宽".repeat(60).as_bytes(), b"last"]);
    let mut state =
        State::new(crate::recording::tests_metadata(SessionId::parse("2024-01-15T14:30:00Z-abc123").unwrap()));
    update(&mut state, Input::Tick { now: Timestamp(40 * SECOND), behind: 0 });
    update(&mut state, Input::Records(story.records));
    keys(&mut state, "d");
    for width in [80, 30, 9, 3] {
        let lines = super::details::details(&state, width);
        assert!(lines.iter().all(|line| line.width() <= usize::from(width)), "{width}: {lines:?}");
        let text: String = lines.iter().map(|line| line.to_string().trim_start().to_owned()).collect();
        assert!(text.replace(' ', "").contains(&format!("begin{}end", "word-".repeat(100))), "{width}: {text}");
    }
    keys(&mut state, &"J".repeat(500));
    let shown = screen(&mut state, 80, 24);
    let last: Vec<&str> = shown.lines().rev().take(3).collect();
    assert!(last[1].contains("cwd     /work"), "{shown}");
    keys(&mut state, "K");
    assert!(!screen(&mut state, 80, 24).contains("cwd     /work"), "one line back is one line back");
    let mut huge = Story::new();
    huge.run(10, 100, None, &[&[b'x'; 2_000_000]]);
    update(&mut state, Input::Records(huge.records));
    let text: String = super::details::details(&state, 80).iter().map(ToString::to_string).collect();
    assert!(text.len() < 100_000 && text.contains("more characters"), "{}", text.len());
}

#[test]
fn ctrl_with_a_key_is_not_the_key() {
    let mut state = story();
    let ctrl = |c| Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL));
    for c in ['q', 'g', 'f', 'r'] {
        update(&mut state, ctrl(c));
    }
    assert!(!state.quit && state.follow && !state.suspend);
    update(&mut state, ctrl('z'));
    assert!(state.suspend && state.folded.is_empty());
    state.suspend = false;
    state.output = Some(Vec::new());
    update(&mut state, ctrl('z'));
    assert!(!state.suspend, "a command inside would stop too");
}

#[test]
fn the_keys_are_explained_in_eighty_columns() {
    let mut state = story();
    keys(&mut state, "?");
    let shown = screen(&mut state, 80, 24);
    for line in super::draw::HELP {
        assert!(shown.contains(&format!("│{line}")) && line.chars().count() <= 76, "{line}: {shown}");
    }
}

#[test]
fn a_screen_of_any_size_holds() {
    for (width, height) in [(1, 1), (2, 3), (20, 5), (300, 100)] {
        let mut state = story();
        state.details = true;
        state.help = true;
        screen(&mut state, width, height);
    }
}

#[test]
fn a_chain_deeper_than_a_stack_is_drawn() {
    let mut story = Story::new();
    for pid in 0..20_000 {
        story.run(10, 100 + pid, (pid > 0).then(|| 99 + pid), &[b"sh"]);
    }
    let mut state =
        State::new(crate::recording::tests_metadata(SessionId::parse("2024-01-15T14:30:00Z-abc123").unwrap()));
    update(&mut state, Input::Tick { now: Timestamp(40 * SECOND), behind: 0 });
    update(&mut state, Input::Records(story.records));
    assert!(screen(&mut state, 80, 24).contains("20000 processes"));
    assert_eq!(state.rows.len(), 20_000);
}

#[test]
fn what_a_command_inside_writes_is_shown_inert_and_can_be_hidden() {
    let mut story = Story::new();
    story.run(0, 10, None, &[b"make"]);
    story.event(1, 11, Some(10), EventKind::Spawn(SpawnKind::Fork));
    let mut state =
        State::new(crate::recording::tests_metadata(SessionId::parse("2024-01-15T14:30:00Z-abc123").unwrap()));
    state.output = Some(Vec::new());
    update(&mut state, Input::Records(story.records));
    update(&mut state, Input::Tick { now: Timestamp(2 * SECOND), behind: 0 });
    update(&mut state, Input::Output(b"1%\r50%\rhalf\n\x1b]0;owned\x07\nlast".to_vec()));
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let mut shown = |state: &mut State| {
        terminal.draw(|frame| draw(frame, state)).unwrap();
        terminal.backend().to_string()
    };
    let text = shown(&mut state);
    for part in ["output", "half", "\\e]0;owned", "last", "(no program of its own)"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("50%") && !text.contains('\u{1b}'), "{text}");
    update(&mut state, Input::Output(vec![b'x'; 100_000]));
    assert_eq!(state.output.as_ref().map(Vec::len), Some(16 * 1024), "memory is bounded");
    update(&mut state, Input::Key(KeyEvent::new(KeyCode::Char('o'), KeyModifiers::NONE)));
    assert!(!shown(&mut state).contains("output"));
    let interrupt = Input::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
    update(&mut state, interrupt);
    assert!(state.interrupt && !state.quit, "Ctrl-C is the command's while it runs");
}
