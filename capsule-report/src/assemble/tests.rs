use capsule_core::{ByteString, ExitStatus, ProcId, Resource, ResourceKind, Role, Severity};
use proptest::prelude::*;

use crate::support::{self, For, Made, tool, with_role};
use crate::{Integrity, Options, Redact, Report, RowKind, Trust};

fn report(made: Made, at: u64) -> Report {
    Report::assemble(&made.view(at), &Options::default())
}

/// Any tree: each process with a parent before it, a role, and an end.
fn forest(shape: &[(u8, u8, u8)]) -> Made {
    let mut made = Made::new(&["root"]);
    let mut procs = vec![made.run(None, 0, &["root"], with_role(Role::Agent, "root"))];
    for (n, (parent, role, code)) in shape.iter().enumerate() {
        let up = procs[usize::from(*parent) % procs.len()];
        let what = For { role: Role::ALL[usize::from(*role) % Role::ALL.len()], ..tool(None, "x y") };
        let at = n as u64 + 1;
        let proc = match role % 7 {
            6 => made.fork(Some(up), at),
            _ => made.run(Some(up), at, &["x", "y"], what),
        };
        procs.push(proc);
        if code % 5 != 4 {
            made.end(proc, at + 3, ExitStatus::Exited(i32::from(code % 3)));
        }
    }
    made
}

proptest! {
    /// Whatever the tree: rows form a tree, siblings end once, and with everything shown every process has its row.
    #[test]
    fn rows_are_a_tree_and_all_means_all(shape: Vec<(u8, u8, u8)>) {
        let view = forest(&shape).view(1000);
        for all in [false, true] {
            let report = Report::assemble(&view, &Options { all, ..Options::default() });
            let mut open: Vec<bool> = Vec::new();
            for row in &report.rows {
                let level = row.level as usize;
                prop_assert!(level <= open.len());
                open.truncate(level + 1);
                if open.len() == level + 1 {
                    prop_assert!(!open[level], "a row after the last of its siblings");
                    open[level] = row.last;
                } else {
                    open.push(row.last);
                }
            }
            let counted: u64 = report.rows.iter().map(|row| row.count).sum();
            prop_assert!(counted <= report.totals.processes);
            if all {
                prop_assert_eq!(report.rows.len() as u64, report.totals.processes);
                prop_assert!(report.rows.iter().all(|row| row.kind == RowKind::Process));
            }
            let busy: u64 = report.phases.iter().filter(|phase| phase.kind != "quiet").map(|phase| phase.operations).sum();
            prop_assert!(busy <= report.totals.operations);
            prop_assert_eq!(report.workflows.iter().map(|item| item.operations).sum::<u64>(), report.totals.operations);
        }
    }
}

#[test]
fn a_lone_shell_that_did_the_work_itself_is_an_operation() {
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    let alone = made.done(agent, 1, 1, &["bash", "-c", "echo hi > f"], with_role(Role::Wrapper, "echo hi > f"), 0);
    let outer = made.run(Some(agent), 3, &["bash", "-c", "ls"], with_role(Role::Wrapper, "ls"));
    let inner = made.done(outer, 4, 1, &["ls"], tool(None, "ls"), 0);
    made.end(outer, 6, ExitStatus::Exited(0));
    let report = report(made, 10);
    let operations: Vec<u32> = report.workflows.iter().flat_map(|item| item.procs.clone()).collect();
    assert_eq!(operations, [alone.0, inner.0]);
    assert_eq!(report.rows.iter().map(|row| row.proc).collect::<Vec<_>>(), [agent.0, alone.0, inner.0]);
}

#[test]
fn a_wrapper_that_failed_although_its_command_did_well_is_shown() {
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    let shell = made.run(Some(agent), 1, &["timeout", "1", "x"], with_role(Role::Wrapper, "x"));
    let inner = made.done(shell, 2, 1, &["x"], tool(None, "x"), 0);
    made.end(shell, 4, ExitStatus::Exited(124));
    let rows: Vec<u32> = report(made, 10).rows.iter().map(|row| row.proc).collect();
    assert_eq!(rows, [agent.0, shell.0, inner.0]);
}

#[test]
fn a_risky_helper_is_never_folded_away() {
    let mut made = support::rich();
    made.risk(ProcId(5), Severity::Critical, "Odd helper", "why");
    let report = report(made, 50_000);
    assert!(report.rows.iter().any(|row| row.proc == 5 && row.worst == Some(Severity::Critical)));
    assert!(report.headline.risk.starts_with("CRITICAL: Odd helper (process 5)"), "{}", report.headline.risk);
}

#[test]
fn trust_is_said_before_anything_else() {
    for (trust, kind) in [
        (Trust::Tampered, "tampered"),
        (Trust::Unsealed, "unsealed"),
        (Trust::Torn, "torn"),
        (Trust::Running, "running"),
    ] {
        let mut view = support::sample().view(5000);
        view.integrity = Some(Integrity { trust, detail: "record 7".to_owned(), passed_over: Vec::new() });
        let report = Report::assemble(&view, &Options::default());
        assert_eq!((report.notices[0].kind.as_str(), report.notices[0].incomplete), (kind, true));
        assert!(report.headline.recording.starts_with("INCOMPLETE"));
    }
}

#[test]
fn a_killed_recording_does_not_claim_that_processes_still_run() {
    let mut view = support::rich().view(50_000);
    view.metadata.status = capsule_core::SessionStatus::Incomplete;
    (view.metadata.ended, view.metadata.exit_code) = (None, None);
    view.tree.nodes[0].life = capsule_core::Life::Running;
    view.integrity = Some(Integrity { trust: Trust::Unsealed, detail: "killed".to_owned(), passed_over: Vec::new() });
    let killed = Report::assemble(&view, &Options::default());
    assert_eq!(killed.processes[0].ending.text, "end not seen");
    assert_eq!(killed.headline.ending, "how it ended was not recorded; 1 process left running");
    view.integrity = Some(Integrity { trust: Trust::Running, detail: String::new(), passed_over: Vec::new() });
    let running = Report::assemble(&view, &Options::default());
    assert_eq!(running.processes[0].ending.text, "still running");
}

#[test]
fn names_and_home_are_left_out_everywhere_when_asked() {
    let mut made = support::rich();
    made.metadata.user.name = Some("alice".to_owned());
    made.metadata.host.name = "wonderland".to_owned();
    let agent = ProcId(1);
    let text = "scp alice@wonderland:x /home/user/y";
    made.done(agent, 47_500, 1, &["scp", "alice@wonderland:x", "/home/user/y"], tool(None, text), 0);
    made.risk(agent, Severity::Low, "Odd", "alice did it on wonderland in /home/user/z");
    let redact = Redact { home: Some("/home/user".to_owned()), user: true, host: true, ..Redact::default() };
    let options = Options { redact, ..Options::default() };
    let report = Report::assemble(&made.view(50_000), &options);
    type Render = fn(&Report, &Options, &mut dyn std::io::Write) -> std::io::Result<()>;
    let renders: [Render; 5] =
        [crate::human, crate::ai, crate::markdown, crate::html, |report, _, out| crate::json(report, out)];
    for render in renders {
        let mut out = Vec::new();
        render(&report, &options, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for secret in ["alice", "wonderland", "/home/user"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

#[test]
fn secrets_of_a_session_that_kept_them_do_not_reach_an_output() {
    let secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
    let mut made = support::sample();
    let url = format!("https://user:{secret}@github.com/o/r");
    made.done(ProcId(1), 4500, 5, &["git", "clone", &url], tool(None, &format!("git clone {url}")), 0);
    made.done(
        ProcId(1),
        4600,
        5,
        &["tool", "--password", "hunter2hunter2"],
        tool(None, "tool --password hunter2hunter2"),
        0,
    );
    let report = report(made, 5000);
    let mut out = Vec::new();
    crate::json(&report, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains(secret) && !text.contains("hunter2") && text.contains("[redacted:"), "{text}");
}

#[test]
fn time_without_operations_is_counted_once() {
    let report = report(support::sample(), 5000);
    // Operations: 500–620, 2701–2721, 4000–4350.
    assert_eq!(report.totals.idle / 1_000_000, 5000 - 120 - 20 - 350);
    assert_eq!(report.totals.parallel, 1);
}

#[test]
fn many_short_phases_become_few_without_losing_an_operation() {
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    for n in 0..500 {
        let workflow = capsule_core::Workflow::ALL[n as usize % 3];
        made.done(agent, 10 + n * 10, 5, &["x"], tool(Some(workflow), "x"), 0);
    }
    let report = report(made, 6000);
    assert!(report.phases.len() <= 25, "{}", report.phases.len());
    assert_eq!(report.phases.iter().map(|phase| phase.operations).sum::<u64>(), 500);
}

#[test]
fn files_written_by_one_and_run_by_another_are_joined() {
    let mut made = support::sample();
    let agent = ProcId(1);
    let writer = made.run(Some(agent), 4500, &["tee", "x.sh"], tool(None, "tee x.sh"));
    made.effect(writer, 4501, capsule_core::EffectKind::FileCreate, "/home/user/project/x.sh", None);
    made.end(writer, 4502, ExitStatus::Exited(0));
    let runner = made.done(agent, 4600, 5, &["bash", "./x.sh"], tool(None, "bash ./x.sh"), 0);
    let report = report(made, 5000);
    let link = &report.interactions[0];
    assert_eq!((link.kind.as_str(), link.from, link.to), ("written_then_run", writer.0, runner.0));
}

#[test]
fn a_writer_whose_reader_had_ended_did_not_fail_and_one_without_a_reader_did() {
    let pipeline = |pipe: bool, reader_ends: u64| {
        let mut made = Made::new(&["agent"]);
        let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
        let ends = |writer: bool| [(!writer && pipe).then_some(77), (writer && pipe).then_some(77)];
        let writer = made.fork(Some(agent), 1);
        let event = made.exec(writer, 1, &[b"yes"], ends(true));
        made.act(writer, 1, event, "yes", tool(None, "yes"));
        let reader = made.fork(Some(agent), 1);
        let event = made.exec(reader, 2, &[b"head"], ends(false));
        made.act(reader, 2, event, "head", tool(None, "head"));
        made.end(reader, reader_ends, ExitStatus::Exited(0));
        made.end(writer, 6, ExitStatus::Signaled { signal: 13, core_dumped: false });
        made.end(agent, 20, ExitStatus::Exited(0));
        let report = report(made, 20);
        let row = report.rows.iter().find(|row| row.proc == writer.0).unwrap();
        (report.totals.failed, row.success, row.ending.clone())
    };
    let excused = (0, None, "pipe closed".to_owned());
    assert_eq!(pipeline(true, 5), excused);
    assert_eq!(pipeline(false, 5), excused);
    assert_eq!(pipeline(true, 9), (1, Some(false), "SIGPIPE".to_owned()));
}

#[test]
fn a_host_that_a_command_names_and_connects_to_is_one() {
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    for (at, url) in [(1, "http://localhost:8000/x"), (3, "http://127.0.0.1:9999/")] {
        let resource = Resource { kind: ResourceKind::Url, value: ByteString::from(url) };
        let fetch = For { resources: vec![resource], ..tool(None, "curl") };
        let curl = made.run(Some(agent), at, &["curl", url], fetch);
        made.connect(curl, at + 1, "127.0.0.1", 8000);
        made.end(curl, at + 1, ExitStatus::Exited(0));
    }
    // What it connected to beside that is among its resources, and not in its words.
    let resource = Resource { kind: ResourceKind::Host, value: ByteString::from("10.0.0.3:53") };
    let curl = made.run(
        Some(agent),
        5,
        &["curl", "http://x.invalid/"],
        For { resources: vec![resource], ..tool(None, "curl") },
    );
    made.connect(curl, 6, "10.0.0.3", 53);
    let report = report(made, 10);
    let hosts: Vec<_> = report.hosts.iter().map(|host| (host.how.as_str(), host.ports.clone(), host.named)).collect();
    assert!(hosts.contains(&("connect", vec![53], false)), "{hosts:?}");
    assert!(hosts.contains(&("connect", vec![8000], true)) && hosts.contains(&("argument", vec![9999], true)));
    assert_eq!(hosts.len(), 3);
}

#[test]
fn a_program_of_the_project_keeps_its_path_and_one_of_the_system_loses_it() {
    let what = |program: &str| report(Made::new(&[program, "x"]), 1).headline.what.to_lossy().into_owned();
    assert_eq!(what("./a"), "./a x");
    assert_eq!(what("/home/u/run"), "/home/u/run x");
    assert_eq!(what("/usr/local/bin/claude"), "claude x");
}

#[test]
fn a_pipeline_in_a_loop_is_a_line_for_each_of_its_commands() {
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    for n in 0..5 {
        made.done(agent, 1 + n * 10, 3, &["git", "status"], tool(None, "git status"), 0);
        made.done(agent, 2 + n * 10, 3, &["cat"], tool(None, "cat"), 0);
    }
    made.done(agent, 100, 1, &["ls"], tool(None, "ls"), 0);
    let rows = report(made, 200).rows;
    let lines: Vec<(String, u64)> = rows.iter().map(|row| (row.text.to_lossy().into_owned(), row.count)).collect();
    let expected = [("agent", 1), ("git status", 5), ("cat", 5), ("ls", 1)];
    assert_eq!(lines, expected.map(|(text, count)| (text.to_owned(), count)));
}

#[test]
fn what_runs_below_an_agents_subshell_is_work_with_a_phase_and_no_idle_time() {
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    let shell = made.run(Some(agent), 1, &["bash", "-c", "( make )"], with_role(Role::Wrapper, "( make )"));
    let fork = made.fork(Some(shell), 2);
    made.done(fork, 10, 80, &["make"], tool(None, "make"), 0);
    let report = report(made, 100);
    assert_eq!(report.totals.idle, 20_000_000);
    assert!(report.phases.iter().any(|phase| phase.kind == "build"), "{:?}", report.phases);
}

#[test]
fn the_headline_names_what_the_worst_finding_is_about() {
    let with = |why: &str| {
        let mut made = Made::new(&["agent"]);
        let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
        made.risk(agent, Severity::High, "Keys read", why);
        report(made, 10).headline.risk
    };
    assert_eq!(with("A key was read. (/h/.ssh/id_rsa)"), "HIGH: Keys read: /h/.ssh/id_rsa (process 1)");
    assert_eq!(with("The agent asks nobody. ((agent))"), "HIGH: Keys read (process 1)");
    assert_eq!(with("A key was read."), "HIGH: Keys read (process 1)");
    let mut made = Made::new(&["agent"]);
    made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    assert_eq!(report(made, 10).headline.risk, "none found in 1 process");
}

#[test]
fn a_zoomed_report_is_about_one_process_and_what_it_started() {
    let whole = support::rich().view(50_000);
    let test = whole.tree.nodes.iter().find(|node| node.tool.as_bytes() == b"pytest").unwrap();
    let (proc, started, node) = (test.proc, test.started.0, test.clone());
    let mut view = whole.clone();
    view.zoom(proc);
    let options = Options { proc: Some(proc), ..Options::default() };
    let report = Report::assemble(&view, &options);
    assert_eq!((report.totals.processes, report.totals.operations, report.totals.failed), (5, 1, 1));
    assert_eq!(report.headline.what, node.summary);
    assert!(report.headline.kind.starts_with(&format!("process {proc} of the session")), "{}", report.headline.kind);
    assert_eq!((report.headline.success, report.headline.ending.as_str()), (Some(false), "exit 1"));
    assert_eq!(report.headline.risk, "none found in 5 processes");
    assert!(report.effects.iter().all(|effect| effect.proc == proc.0) && !report.effects.is_empty());
    assert!(report.phases.iter().all(|phase| phase.started >= started), "{:?}", report.phases);
    assert_eq!(report.zoom.as_ref().map(|zoom| (zoom.proc, zoom.execs.len())), Some((proc.0, 1)));
    let mut out = Vec::new();
    crate::human(&report, &options, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains(&format!("Process  {proc} (PID")) && text.contains("pytest -q"), "{text}");
    assert!(!text.contains("id_rsa"), "{text}");
    // What was asked of the shell around it stays outside.
    let head = whole.tree.nodes.iter().find(|node| node.tool.as_bytes() == b"sed").unwrap().proc;
    let zoomed = Report::assemble(&whole, &Options { proc: Some(head), ..Options::default() });
    assert_eq!(zoomed.rows[0].text.to_lossy(), "sed -i s/a/b/ src/main.py");
    assert_eq!(report.risk.reasons, ["no rule found anything risky in 5 processes"]);
    let mut hostile = whole;
    hostile.tree.nodes[0].parent = Some(ProcId(2));
    hostile.tree.nodes[1].parent = Some(ProcId(1));
    hostile.zoom(ProcId(1));
    drop(Report::assemble(&hostile, &Options { proc: Some(ProcId(1)), ..Options::default() }));
}

#[test]
fn a_shell_that_only_runs_one_program_gives_it_the_words_that_were_asked() {
    let line = "cd src && pwd && head -3 a.py";
    let mut made = Made::new(&["agent"]);
    let agent = made.run(None, 0, &["agent"], with_role(Role::Agent, "agent"));
    let shell = made.run(Some(agent), 10, &["bash", "-c", "source x && eval 'cd …'"], with_role(Role::Wrapper, line));
    made.done(shell, 11, 5, &["head", "-3", "a.py"], tool(None, "head -3 a.py"), 0);
    made.end(shell, 20, ExitStatus::Exited(0));
    // A launcher that is no shell adds nothing.
    let timeout = made.run(Some(agent), 30, &["timeout", "9", "ls"], with_role(Role::Wrapper, "timeout 9 ls"));
    made.done(timeout, 31, 5, &["ls"], tool(None, "ls"), 0);
    made.end(timeout, 40, ExitStatus::Exited(0));
    // A shell that becomes its last program is one process.
    let became = made.fork(Some(agent), 50);
    made.exec(became, 51, &[b"bash", b"-c", b"cd src; exec wc -l a.py"], [None, None]);
    let event = made.exec(became, 52, &[b"wc", b"-l", b"a.py"], [None, None]);
    made.act(became, 52, event, "wc", tool(None, "wc -l a.py"));
    made.end(became, 60, ExitStatus::Exited(0));
    let report = report(made, 100);
    let texts: Vec<String> = report.rows.iter().map(|row| row.text.to_lossy().into_owned()).collect();
    assert_eq!(texts, ["agent", line, "ls", "cd src; exec wc -l a.py"]);
    assert_eq!(report.processes[2].asked.as_ref().map(|asked| asked.to_lossy().into_owned()).as_deref(), Some(line));
    assert_eq!(report.processes[1].asked, None);
}
