//! Sessions made by hand for tests: records as the tracker and the classifier would give them, the same every time.

use std::sync::Arc;

use capsule_core::{
    ActionEvent, ActionPhase, Argv, Backend, ByteString, Context, Coverage, Effect, EffectKind, Endpoint,
    EnrichedEvent, EventKind, Evidence, ExecInfo, ExitStatus, FORMAT_VERSION, Fact, HostInfo, Label, OpenFile, Origin,
    Pid, ProcId, ProcessEvent, Resource, ResourceKind, RiskEvent, Role, Seq, SessionId, SessionMetadata, SessionStatus,
    Severity, SpawnKind, Timestamp, TracerInfo, TrackedEvent, UserInfo, Workflow,
};

use crate::{Integrity, SessionView, TreeBuilder, Trust};

/// 2024-01-15T14:30:00Z.
pub(crate) const START: u64 = 1_705_329_000_000_000_000;
const MS: u64 = 1_000_000;

/// Makes a session, record by record. Times are milliseconds from its start.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) events: Vec<TrackedEvent>,
    pub(crate) actions: Vec<ActionEvent>,
    pub(crate) risks: Vec<RiskEvent>,
    pub(crate) metadata: SessionMetadata,
    depths: Vec<u32>,
    started: Vec<u64>,
    parents: Vec<Option<ProcId>>,
    seq: u64,
}

/// What a made process was for.
pub(crate) struct For<'a> {
    pub(crate) label: Label,
    pub(crate) role: Role,
    pub(crate) workflow: Option<Workflow>,
    pub(crate) summary: &'a str,
    pub(crate) resources: Vec<Resource>,
}

pub(crate) fn tool(workflow: Option<Workflow>, summary: &str) -> For<'_> {
    For { label: Label::Tool, role: Role::Asked, workflow, summary, resources: Vec::new() }
}

pub(crate) fn with_role(role: Role, summary: &str) -> For<'_> {
    let label = match role {
        Role::Agent => Label::Agent,
        Role::Wrapper => Label::SystemTool,
        _ => Label::Tool,
    };
    For { label, role, workflow: None, summary, resources: Vec::new() }
}

impl Made {
    pub(crate) fn new(command: &[&str]) -> Self {
        let started = Timestamp(START);
        let metadata = SessionMetadata {
            format: FORMAT_VERSION,
            id: SessionId::new(started, 0x0102_0304),
            capsule: "0.1.0".to_owned(),
            status: SessionStatus::Complete,
            started,
            ended: None,
            command: Argv::from_iter(command),
            cwd: ByteString::from("/home/user/project"),
            host: HostInfo {
                name: "machine".to_owned(),
                os: "linux".to_owned(),
                kernel: "6.1.0".to_owned(),
                arch: "x86_64".to_owned(),
            },
            user: UserInfo { uid: 1000, name: Some("user".to_owned()) },
            tracer: TracerInfo { backend: Backend::Ptrace, because: "built in".to_owned() },
            recorder: Pid(1000),
            coverage: Some(Coverage {
                backend: Backend::Ptrace,
                hooks: vec!["fork".to_owned(), "exec".to_owned(), "exit".to_owned()],
                lost: 0,
                not_seen: vec!["what programs do without starting a process: effects were not asked for".to_owned()],
            }),
            exit_code: Some(0),
            signal: None,
            processes: None,
            worst: None,
            left_running: Vec::new(),
            git_start: None,
            git_end: None,
            imported: None,
            streams: std::collections::BTreeMap::new(),
            tree: None,
            keyed: None,
            work_tree: None,
            snapshots: None,
            changed: None,
            git_diff: None,
            disturbances: Vec::new(),
        };
        Self {
            events: Vec::new(),
            actions: Vec::new(),
            risks: Vec::new(),
            metadata,
            depths: Vec::new(),
            started: Vec::new(),
            parents: Vec::new(),
            seq: 0,
        }
    }

    pub(crate) fn push(&mut self, proc: Option<ProcId>, at: u64, kind: EventKind, context: Option<Context>) -> Seq {
        self.seq += 1;
        let seq = Seq(self.seq);
        let index = proc.map(|proc| proc.0 as usize - 1);
        let timestamp = Timestamp(START + at * MS);
        let pid = Pid(proc.map_or(0, |proc| 1233 + proc.0));
        let event = ProcessEvent { seq, raw: seq, timestamp, pid, ppid: None, kind };
        self.events.push(TrackedEvent {
            enriched: EnrichedEvent { event, context: context.map(Arc::new) },
            proc,
            parent: index.and_then(|index| self.parents[index]),
            depth: index.map_or(0, |index| self.depths[index]),
            lineage: Arc::from([]),
            anomaly: None,
        });
        seq
    }

    /// A new process that has not executed anything.
    pub(crate) fn fork(&mut self, parent: Option<ProcId>, at: u64) -> ProcId {
        let proc = ProcId(self.depths.len() as u32 + 1);
        self.depths.push(parent.map_or(0, |parent| self.depths[parent.0 as usize - 1] + 1));
        self.started.push(at);
        self.parents.push(parent);
        let how = if parent.is_none() { SpawnKind::Root } else { SpawnKind::Fork };
        self.push(Some(proc), at, EventKind::Spawn(how), None);
        proc
    }

    pub(crate) fn exec(&mut self, proc: ProcId, at: u64, argv: &[&[u8]], pipes: [Option<u64>; 2]) -> Seq {
        let argv = Argv::from_iter(argv);
        let name = argv.get(0).unwrap_or_default();
        let mut exe = b"/usr/bin/".to_vec();
        exe.extend_from_slice(name.rsplit(|byte| *byte == b'/').next().unwrap_or_default());
        let exec = ExecInfo {
            filename: None,
            argv,
            exe: Some(ByteString::from(exe)),
            cwd: Some(ByteString::from("/home/user/project")),
            from_tid: None,
            snapshot: None,
        };
        let fds = [0_u32, 1].into_iter().zip(pipes).filter_map(|(fd, pipe)| {
            pipe.map(|inode| OpenFile { fd, target: ByteString::from(format!("pipe:[{inode}]")) })
        });
        let absent = || Fact::Absent(std::borrow::Cow::Borrowed("made"));
        let context = Context {
            exe: Fact::Absent(std::borrow::Cow::Borrowed("made")),
            cwd: Fact::Absent(std::borrow::Cow::Borrowed("made")),
            ids: Fact::Absent(std::borrow::Cow::Borrowed("made")),
            tty: Fact::Absent(std::borrow::Cow::Borrowed("made")),
            sid: absent(),
            pgid: absent(),
            cgroup: Fact::Absent(std::borrow::Cow::Borrowed("made")),
            env: Fact::Absent(std::borrow::Cow::Borrowed("made")),
            fds: Fact::Known(fds.collect(), Origin::Stopped),
            user: None,
            group: None,
            container: None,
            ns_pid: None,
        };
        self.push(Some(proc), at, EventKind::Exec(Arc::new(exec)), Some(context))
    }

    /// A process that runs `argv` and says what it was for.
    pub(crate) fn run(&mut self, parent: Option<ProcId>, at: u64, argv: &[&str], what: For<'_>) -> ProcId {
        let proc = self.fork(parent, at);
        let bytes: Vec<&[u8]> = argv.iter().map(|arg| arg.as_bytes()).collect();
        let event = self.exec(proc, at, &bytes, [None, None]);
        self.act(proc, at, event, argv.first().copied().unwrap_or_default(), what);
        proc
    }

    pub(crate) fn act(&mut self, proc: ProcId, at: u64, event: Seq, name: &str, what: For<'_>) {
        self.actions.push(ActionEvent {
            seq: Seq(self.actions.len() as u64 + 1),
            timestamp: Timestamp(START + at * MS),
            proc,
            pid: Pid(1233 + proc.0),
            event,
            phase: ActionPhase::Provisional,
            label: what.label,
            workflow: what.workflow,
            role: what.role,
            tool: ByteString::from(name.rsplit('/').next().unwrap_or_default()),
            summary: ByteString::from(what.summary),
            resources: what.resources,
            duration: None,
            success: None,
            rule: "made.by.hand".to_owned(),
        });
    }

    pub(crate) fn end(&mut self, proc: ProcId, at: u64, status: ExitStatus) {
        let event = self.push(Some(proc), at, EventKind::Exit { status, rusage: None }, None);
        let known = self.actions.iter().rev().find(|action| action.proc == proc).cloned();
        if let Some(mut action) = known {
            action.seq = Seq(self.actions.len() as u64 + 1);
            action.timestamp = Timestamp(START + at * MS);
            action.event = event;
            action.phase = ActionPhase::Final;
            action.duration = Some((at - self.started[proc.0 as usize - 1]) * MS);
            action.success = Some(status.success());
            self.actions.push(action);
        }
    }

    /// A process that runs from `at` for `ms` and exits with `code`.
    pub(crate) fn done(&mut self, parent: ProcId, at: u64, ms: u64, argv: &[&str], what: For<'_>, code: i32) -> ProcId {
        let proc = self.run(Some(parent), at, argv, what);
        self.end(proc, at + ms, ExitStatus::Exited(code));
        proc
    }

    pub(crate) fn effect(&mut self, proc: ProcId, at: u64, kind: EffectKind, path: &str, to: Option<&str>) -> Seq {
        let effect = Effect {
            kind,
            call: "openat".to_owned(),
            path: Some(ByteString::from(path)),
            to: to.map(ByteString::from),
            endpoint: None,
            detail: None,
            errno: None,
            before: None,
        };
        self.push(Some(proc), at, EventKind::Effect(Arc::new(effect)), None)
    }

    pub(crate) fn connect(&mut self, proc: ProcId, at: u64, host: &str, port: u16) -> Seq {
        let effect = Effect {
            kind: EffectKind::NetConnect,
            call: "connect".to_owned(),
            path: None,
            to: None,
            endpoint: Some(Endpoint { protocol: "tcp".to_owned(), host: ByteString::from(host), port: Some(port) }),
            detail: None,
            errno: None,
            before: None,
        };
        self.push(Some(proc), at, EventKind::Effect(Arc::new(effect)), None)
    }

    pub(crate) fn risk(&mut self, proc: ProcId, severity: Severity, title: &str, why: &str) -> Seq {
        let seq = Seq(self.risks.len() as u64 + 1);
        let event = self.events.iter().find(|event| event.proc == Some(proc)).map(|event| event.event().seq);
        self.risks.push(RiskEvent {
            seq,
            timestamp: Timestamp(START),
            proc,
            pid: Pid(1233 + proc.0),
            severity,
            category: "credential-access".to_owned(),
            rule: format!("made.{}", title.to_lowercase().replace(' ', "-")),
            title: title.to_owned(),
            why: why.to_owned(),
            attack: vec!["T1552.004".to_owned()],
            evidence: Evidence { procs: vec![proc], events: event.into_iter().collect() },
            innocent: Some("setting up a deployment".to_owned()),
            adjusted: None,
            corrects: None,
        });
        seq
    }

    pub(crate) fn gap(&mut self, at: u64, count: u64, reason: &str) {
        self.push(None, at, EventKind::Gap { count, since: None, reason: reason.to_owned() }, None);
    }

    /// Ends the session at `at` and folds it, streams one after the other as a reader would.
    pub(crate) fn view(mut self, at: u64) -> SessionView {
        self.metadata.ended = Some(Timestamp(START + at * MS));
        let mut builder = TreeBuilder::new();
        self.actions.iter().for_each(|action| builder.action(action.clone()));
        self.risks.iter().for_each(|risk| builder.risk(risk));
        self.events.iter().for_each(|event| builder.tracked(event));
        let mut view = builder.finish(self.metadata);
        view.integrity = Some(Integrity {
            trust: Trust::Sealed,
            detail: "every record is whole and sealed".to_owned(),
            passed_over: Vec::new(),
        });
        view
    }
}

/// The session of the sample: an agent with a few commands.
pub(crate) fn sample() -> Made {
    let mut made = Made::new(&["/usr/local/bin/claude", "-p", "fix the bug"]);
    let agent = made.run(
        None,
        0,
        &["python3", "/usr/local/bin/claude"],
        with_role(Role::Agent, "python3 /usr/local/bin/claude"),
    );
    made.done(
        agent,
        500,
        120,
        &["find", "/home/user/project", "-name", "*.py"],
        tool(Some(Workflow::FileAnalysis), "find /home/user/project -name \"*.py\""),
        0,
    );
    let wrapper = made.run(Some(agent), 2700, &["sh", "-c", "git status"], with_role(Role::Wrapper, "git status"));
    made.done(wrapper, 2701, 20, &["git", "status"], tool(Some(Workflow::RepositoryOperation), "git status"), 0);
    made.end(wrapper, 2722, ExitStatus::Exited(0));
    let url = Resource { kind: ResourceKind::Url, value: ByteString::from("https://api.github.com") };
    let fetch =
        For { resources: vec![url], ..tool(Some(Workflow::NetworkCommunication), "curl -s https://api.github.com") };
    made.done(agent, 4000, 350, &["curl", "-s", "https://api.github.com"], fetch, 0);
    made.end(agent, 5000, ExitStatus::Exited(0));
    made
}

/// A session with something of everything.
pub(crate) fn rich() -> Made {
    let mut made = Made::new(&["claude", "-p", "fix the bug"]);
    let agent = made.run(None, 0, &["claude", "-p", "fix the bug"], with_role(Role::Agent, "claude -p 'fix the bug'"));
    for n in 0..20 {
        made.done(
            agent,
            100 + n * 10,
            5,
            &["git", "-c", "x=y", "rev-parse"],
            with_role(Role::Helper, "git rev-parse"),
            0,
        );
    }
    let shell = |made: &mut Made, at: u64, summary: &str| {
        let argv = ["/bin/bash", "-c", "source snap && eval 'x'"];
        made.run(Some(agent), at, &argv, with_role(Role::Wrapper, summary))
    };
    // A pipeline.
    let pipe = shell(&mut made, 3000, "grep -rn TODO . | head -5");
    let grep = made.fork(Some(pipe), 3001);
    let event = made.exec(grep, 3002, &[b"grep", b"-rn", b"TODO", b"."], [None, Some(77)]);
    made.act(grep, 3002, event, "grep", tool(Some(Workflow::FileAnalysis), "grep -rn TODO ."));
    let head = made.fork(Some(pipe), 3001);
    let event = made.exec(head, 3003, &[b"head", b"-5"], [Some(77), None]);
    made.act(head, 3003, event, "head", tool(Some(Workflow::FileAnalysis), "head -5"));
    made.end(head, 3050, ExitStatus::Exited(0));
    made.end(grep, 3051, ExitStatus::Signaled { signal: 13, core_dumped: false });
    made.end(pipe, 3052, ExitStatus::Exited(0));
    // Tests that fail, an edit, tests that pass; twice.
    for (round, code) in [(0, 1), (1, 0)] {
        let at = 8000 + round * 20_000;
        let edit = shell(&mut made, at, "sed -i s/a/b/ src/main.py");
        let sed = made.done(
            edit,
            at + 1,
            15,
            &["sed", "-i", "s/a/b/", "src/main.py"],
            tool(Some(Workflow::CodeGeneration), "sed -i s/a/b/ src/main.py"),
            0,
        );
        made.effect(sed, at + 5, EffectKind::FileWrite, "/home/user/project/src/main.py", None);
        made.end(edit, at + 20, ExitStatus::Exited(0));
        let test = shell(&mut made, at + 6000, "pytest -q");
        let pytest = made.run(Some(test), at + 6001, &["pytest", "-q"], tool(None, "pytest -q"));
        for n in 0..4 {
            made.done(
                pytest,
                at + 6100 + n * 10,
                50,
                &["python3", "-c", "worker"],
                with_role(Role::Inner, "worker"),
                0,
            );
        }
        made.effect(pytest, at + 6200, EffectKind::FileRead, "/home/user/project/src/main.py", None);
        made.end(pytest, at + 8500, ExitStatus::Exited(code));
        made.end(test, at + 8510, ExitStatus::Exited(code));
    }
    let read = made.done(
        agent,
        40_000,
        5,
        &["cat", "/home/user/.ssh/id_rsa"],
        tool(Some(Workflow::SecurityOperation), "cat /home/user/.ssh/id_rsa"),
        0,
    );
    made.risk(
        read,
        Severity::High,
        "Private key read",
        "A private key was read: whoever has it can log in as its owner.",
    );
    let push = made.done(
        agent,
        44_000,
        900,
        &["git", "push", "origin", "main"],
        tool(Some(Workflow::RepositoryOperation), "git push origin main"),
        0,
    );
    made.connect(push, 44_100, "140.82.121.4", 22);
    let server = made.run(Some(agent), 45_000, &["node", "server.js"], tool(None, "node server.js"));
    let killed = made.run(Some(agent), 46_000, &["sleep", "100"], tool(None, "sleep 100"));
    made.end(killed, 47_000, ExitStatus::Signaled { signal: 9, core_dumped: false });
    made.push(Some(server), 50_000, EventKind::LeftRunning, None);
    made.end(agent, 50_000, ExitStatus::Exited(0));
    made
}

/// An agent whose shell runs `n` small commands of a few kinds.
pub(crate) fn wide(n: u32) -> Made {
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    let shell = made.run(Some(agent), 1, &["bash", "build.sh"], tool(None, "bash build.sh"));
    for i in 0..n {
        let name = ["grep", "sed", "cc", "true"][i as usize % 4];
        let arg = format!("file{i}");
        let summary = format!("{name} {arg}");
        let code = i32::from(i % 1000 == 999);
        made.done(shell, 2 + u64::from(i), 1, &[name, &arg], tool(Some(Workflow::FileAnalysis), &summary), code);
    }
    made.end(shell, 3 + u64::from(n), ExitStatus::Exited(0));
    made.end(agent, 4 + u64::from(n), ExitStatus::Exited(0));
    made
}

/// A chain of `n` processes.
pub(crate) fn deep(n: u32, role: Role) -> Made {
    let mut made = Made::new(&["agent"]);
    let mut parent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    for i in 0..n {
        parent = made.run(Some(parent), 1 + u64::from(i), &["bash", "recurse.sh"], with_role(role, "bash recurse.sh"));
    }
    for proc in (1..=n + 1).rev() {
        made.end(ProcId(proc), 10 + 2 * u64::from(n) - u64::from(proc), ExitStatus::Exited(0));
    }
    made
}
