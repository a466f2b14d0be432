//! Sessions watched while they run, and after.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use serde_json::Value;
use tests::{Home, eventually, installed, skipped, stdout};

use crate::terminal::press;

#[test]
fn tail_follows_a_running_session_and_ends_with_it() {
    let home = Home::new();
    let mut run = home.command(["run", "-q", "sh", "-c", "/bin/echo one; read line; /bin/echo two"]);
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("capsule starts");
    eventually("the session", || home.path().join("runs").read_dir().is_ok_and(|mut runs| runs.next().is_some()));
    eventually("its first records", || !home.stream("enriched").is_empty());
    let mut tail = home.command(["tail", "--json"]).stdout(Stdio::piped()).spawn().expect("capsule starts");
    let mut lines = BufReader::new(tail.stdout.take().expect("a pipe"));
    let mut seen = String::new();
    while !seen.contains(r#""/bin/echo","one""#) {
        assert!(lines.read_line(&mut seen).expect("it reads") > 0, "tail ended before the session: {seen}");
    }
    assert!(run.try_wait().expect("it is ours").is_none(), "the session still runs");
    drop(run.stdin.take());
    lines.read_to_string(&mut seen).expect("it reads");
    assert!(tail.wait().expect("it ends").success());
    assert!(run.wait().expect("it ends").success());
    let records: Vec<Value> = seen.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |stream: &str| records.iter().filter(|record| record["stream"] == stream).count();
    assert_eq!(of("events"), home.stream("enriched").len());
    assert_eq!(of("actions"), home.stream("actions").len());
    assert!(seen.contains(r#""/bin/echo","two""#), "{seen}");
}

#[test]
fn tail_ends_when_nobody_reads_a_quiet_session() {
    let home = Home::new();
    let mut run = home.command(["run", "-q", "sh", "-c", "read line"]);
    let mut run = run.stdin(Stdio::piped()).spawn().expect("capsule starts");
    eventually("the session", || home.path().join("runs").read_dir().is_ok_and(|mut runs| runs.next().is_some()));
    eventually("its first records", || !home.stream("enriched").is_empty());
    let mut tail = home.command(["tail"]).stdout(Stdio::piped()).spawn().expect("capsule starts");
    let mut first = String::new();
    let mut lines = BufReader::new(tail.stdout.take().expect("a pipe"));
    lines.read_line(&mut first).expect("it reads");
    drop(lines);
    eventually("the end of tail", || tail.try_wait().expect("it is ours").is_some());
    assert!(run.try_wait().expect("it is ours").is_none(), "tail waited for the session");
    drop(run.stdin.take());
    run.wait().expect("it ends");
}

#[test]
fn tail_of_hostile_arguments_is_inert_and_one_line_each() {
    let home = Home::new();
    home.capsule(["run", "-q", "true", "a\nb", "\u{1b}[2J\u{202e}x"]);
    let text = stdout(&home.capsule(["tail"]));
    assert!(text.contains("true a\\nb \\e[2J\\u{202e}x"), "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let last = stdout(&home.capsule(["tail", "-n", "2", "--no-follow"]));
    assert_eq!(last.lines().count(), 2);
    assert!(text.ends_with(&last), "{last}");
}

#[test]
fn watch_shows_a_session_on_a_terminal_and_leaves_it_as_it_was() {
    let home = Home::new();
    home.capsule(["run", "-q", "sh", "-c", "/bin/echo \"$1\"; /bin/true marker; exit 3", "sh", "\u{1b}]0;owned\u{7}"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "stty cols 80 rows 24; before=$(stty -g); \"$0\" watch; echo code=$?; [ \"$before\" = \"$(stty -g)\" ] && echo same"]);
    command.arg(tests::capsule_binary()).env("CAPSULE_HOME", home.path()).env("TERM", "xterm");
    let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).expect("a terminal");
    terminal.exp_string("marker").expect("the tree is shown");
    press(&mut terminal, "/echo\rd");
    let shown = terminal.exp_string("details").expect("details are shown");
    assert!(!shown.contains("\u{1b}]0;owned"), "{shown:?}");
    press(&mut terminal, "q");
    terminal.exp_string("code=0").expect("it ends well");
    terminal.exp_string("same").expect("the terminal is as it was");
}

#[test]
fn ctrl_z_stops_watch_and_fg_brings_it_back() {
    let home = Home::new();
    home.capsule(["run", "-q", "/bin/true", "marker"]);
    let mut command = std::process::Command::new("bash");
    command.args(["--norc", "--noprofile", "-i"]).env("PS1", "prompt> ").env("TERM", "xterm").env("HISTFILE", "");
    command.env("CAPSULE_HOME", home.path()).env("CAPSULE_CONFIG", "");
    let mut bash = rexpect::session::spawn_command(command, Some(60_000)).expect("a terminal");
    bash.exp_string("prompt> ").expect("a prompt");
    bash.send_line(&format!("stty cols 80 rows 24; '{}' watch", tests::capsule_binary().display())).expect("it reads");
    bash.exp_string("marker").expect("the tree is shown");
    press(&mut bash, "\u{1a}");
    bash.exp_string("\u{1b}[?1049l").expect("the terminal is given back");
    bash.exp_string("Stopped").expect("the shell sees a stopped job");
    bash.send_line("stty -a; fg").expect("it reads, and the terminal echoes");
    bash.exp_regex("[^-]icanon").expect("the terminal is as it was");
    bash.exp_string("marker").expect("the tree is shown again");
    press(&mut bash, "q");
    bash.exp_string("\u{1b}[?1049l").expect("the terminal is given back");
    bash.send_line("echo code=$?; exit").expect("it reads");
    bash.exp_string("code=0").expect("it ended well");
    bash.exp_eof().expect("it ends");
}

#[test]
fn a_signal_ends_watch_and_gives_the_terminal_back() {
    for (signal, code) in [("TERM", "code=143"), ("HUP", "code=129")] {
        let home = Home::new();
        home.capsule(["run", "-q", "/bin/true", "marker"]);
        let pid = home.path().join("pid");
        let script = format!("sh -c 'echo $$ >\"$1\"; exec \"$0\" watch' \"$0\" '{}'", pid.display());
        let mut terminal = terminal(&home, &script);
        terminal.exp_string("marker").expect("the tree is shown");
        let kill = format!("kill -{signal} {}", std::fs::read_to_string(&pid).expect("it was written"));
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().expect("sh starts").success());
        let after = terminal.exp_string(code).expect("it says which signal");
        assert!(after.contains("\u{1b}[?1049l"), "{after:?}");
        terminal.exp_string("same").expect("the terminal is as it was");
    }
}

/// A terminal of 80 columns and 24 rows with a shell in it that says whether its settings were left as they were.
fn terminal(home: &Home, script: &str) -> rexpect::session::PtySession {
    let script = format!(
        "trap : INT; stty cols 80 rows 24; before=$(stty -g); {script}; echo code=$?; [ \"$before\" = \"$(stty -g)\" ] && echo same"
    );
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).arg(tests::capsule_binary()).env("TERM", "xterm");
    command.env("CAPSULE_HOME", home.path()).env("CAPSULE_CONFIG", home.path().join("config.toml"));
    rexpect::session::spawn_command(command, Some(60_000)).expect("a terminal")
}

#[test]
fn a_command_inside_the_view_has_no_input_and_its_output_comes_at_the_end() {
    let home = Home::new();
    let text = "\"$0\" run -q --live sh -c 'echo $((40+2))-out; read x || echo no-input >&2; /bin/true marker; exit 3'";
    let mut terminal = terminal(&home, text);
    terminal.exp_string("42-out").expect("the output is shown");
    press(&mut terminal, "q");
    terminal.exp_string("\u{1b}[?1049l").expect("the view is left");
    let printed = terminal.exp_string("code=3").expect("the exit code is the command's");
    assert!(printed.contains("42-out\r\nno-input\r\n"), "{printed:?}");
    terminal.exp_string("same").expect("the terminal is as it was");
    assert_eq!(home.metadata()["exit_code"], 3);
}

#[test]
fn ctrl_c_in_the_view_interrupts_the_command_inside() {
    let home = Home::new();
    let text = "\"$0\" run -q --live sh -c 'trap \"echo \\$((40+3))-caught; exit 4\" INT; echo $((40+2))-ready; while :; do sleep 0.1; done'";
    let mut terminal = terminal(&home, text);
    terminal.exp_string("42-ready").expect("the output is shown");
    press(&mut terminal, "\u{3}");
    terminal.exp_string("43-caught").expect("the command gets it");
    press(&mut terminal, "q");
    terminal.exp_string("code=4").expect("the exit code is the command's");
    terminal.exp_string("same").expect("the terminal is as it was");
}

/// Runs the words that follow on a terminal, and closes that once the file `up` in the home is there.
const CLOSED: &str = "
import os, pty, sys, time
child, terminal = pty.fork()
if child == 0: os.execvp(sys.argv[1], sys.argv[1:])
while not os.path.exists(os.environ['CAPSULE_HOME'] + '/up'): time.sleep(0.01)
os.close(terminal)
os.waitpid(child, 0)
";

#[test]
fn a_terminal_that_goes_away_ends_the_view_and_not_the_recording() {
    if !installed("python3") {
        return skipped("a_terminal_that_goes_away_ends_the_view_and_not_the_recording", "python3 is not installed");
    }
    let home = Home::new();
    let script = "trap '' HUP; echo $$ >\"$CAPSULE_HOME/command\"; exec sleep 1000";
    let mut outside = std::process::Command::new("python3");
    outside.args(["-c", CLOSED]).arg(tests::capsule_binary()).args(["run", "-q", "--live", "sh", "-c", script]);
    outside.env("CAPSULE_HOME", home.path()).env("CAPSULE_CONFIG", "").env("TERM", "xterm");
    let mut outside = outside.env_remove("CAPSULE_TRACER").spawn().expect("python3 starts");
    let command = || std::fs::read_to_string(home.path().join("command")).unwrap_or_default().trim().to_owned();
    eventually("the command", || !command().is_empty());
    let recorder = home.metadata()["recorder"].as_u64().expect("a pid");
    let has_view = || {
        let tasks = std::fs::read_dir(format!("/proc/{recorder}/task")).expect("it lives").flatten();
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok()).any(|name| name == "view\n")
    };
    assert!(has_view());
    std::fs::write(home.path().join("up"), "").expect("it can be written");
    eventually("the view's end", || !has_view());
    assert_eq!(home.metadata()["status"]["state"], "incomplete", "it is recorded on");
    let killed = std::process::Command::new("kill").args(["-9", &command()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    outside.wait().expect("it ends");
    assert!(home.capsule(["verify"]).status.success());
}

#[test]
fn a_view_around_a_command_needs_a_terminal() {
    let home = Home::new();
    let output = home.capsule(["run", "--live", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(tests::stderr(&output).contains("--live needs a terminal"));
    assert!(!home.path().join("runs").exists());
}

#[test]
fn watch_without_a_terminal_says_so() {
    let output = Home::new().capsule(["watch"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(tests::stderr(&output).contains("capsule tail"));
}
