//! Interactive programs on a terminal work as if untraced.

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};
use tests::{Home, capsule_binary, installed, skipped};

const PATIENCE: Option<u64> = Some(20_000);

/// Starts a command on a terminal of its own.
fn terminal(mut command: Command, home: &Home) -> PtySession {
    command.env("CAPSULE_HOME", home.path()).env("PS1", "prompt> ").env("TERM", "xterm").env_remove("CAPSULE_TRACER");
    command.env("HISTFILE", "/dev/null");
    spawn_command(command, PATIENCE).expect("a terminal")
}

/// Types keys on a terminal, without a line's end.
pub(crate) fn press(terminal: &mut PtySession, keys: &str) {
    terminal.send(keys).expect("it reads");
    terminal.flush().expect("it reads");
}

fn capsule(args: &[&str], home: &Home) -> PtySession {
    let mut command = Command::new(capsule_binary());
    command.args(["run", "-q"]).args(args);
    terminal(command, home)
}

#[test]
fn bash_has_job_control() {
    let home = Home::new();
    let mut bash = capsule(&["bash", "--norc", "--noprofile", "-i"], &home);
    bash.exp_string("prompt> ").expect("a prompt");
    bash.send_line("sleep 100").expect("it reads");
    std::thread::sleep(std::time::Duration::from_millis(500));
    bash.send_control('z').expect("it reads");
    bash.exp_string("Stopped").expect("Ctrl-Z stops the job");
    bash.send_line("jobs").expect("it reads");
    bash.exp_regex("\\[1\\].*Stopped.*sleep 100").expect("the job is listed");
    bash.send_line("bg; sleep 0.2; jobs").expect("it reads");
    bash.exp_regex("\\[1\\].*Running.*sleep 100").expect("bg continues it");
    bash.send_line("fg").expect("it reads");
    bash.exp_string("sleep 100").expect("fg names the job");
    std::thread::sleep(std::time::Duration::from_millis(300));
    bash.send_control('c').expect("it reads");
    bash.exp_string("prompt> ").expect("Ctrl-C ends the job and not the shell");
    bash.send_line("echo code=$?").expect("it reads");
    bash.exp_string("code=130").expect("the job died of SIGINT");
    bash.send_line("exit 5").expect("it reads");
    let status = bash.process().wait().expect("it ends");
    assert!(format!("{status:?}").contains("Exited") && format!("{status:?}").contains(", 5"), "{status:?}");
}

#[test]
fn the_outer_shell_can_stop_and_continue_capsule() {
    let home = Home::new();
    let mut command = Command::new("bash");
    command.args(["--norc", "--noprofile", "-i"]);
    let mut bash = terminal(command, &home);
    bash.exp_string("prompt> ").expect("a prompt");
    bash.send_line(&format!("'{}' run -q sleep 100", capsule_binary().display())).expect("it reads");
    std::thread::sleep(std::time::Duration::from_millis(1000));
    bash.send_control('z').expect("it reads");
    bash.exp_string("Stopped").expect("Ctrl-Z gives the terminal back to the outer shell");
    bash.send_line("fg").expect("it reads");
    std::thread::sleep(std::time::Duration::from_millis(500));
    bash.send_control('c').expect("it reads");
    bash.send_line("echo code=$?").expect("it reads");
    bash.exp_string("code=130").expect("Ctrl-C ended the command, with the shell's code for it");
    bash.send_line("exit").expect("it reads");
}

#[test]
fn a_terminal_stays_a_terminal_of_its_size() {
    let home = Home::new();
    let mut sh = capsule(&["sh", "-c", "stty size; test -t 0 && test -t 1 && test -t 2 && echo all-ttys; tty"], &home);
    sh.exp_string("all-ttys").expect("the descriptors are the terminal");
    sh.exp_string("/dev/pts/").expect("the controlling terminal is the user's");
    sh.exp_eof().expect("it ends");
}

#[test]
fn a_list_fits_the_terminal() {
    let home = Home::new();
    home.capsule(["run", "-q", "/bin/true", &"x".repeat(300)]);
    for columns in [80, 100, 200] {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("stty cols {columns} rows 24 -onlcr; \"$0\" list; echo ends")])
            .arg(capsule_binary());
        let mut shown = terminal(command, &home);
        let text = shown.exp_string("ends").expect("it ends");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() == 2 && lines[1].contains(" true xxx"), "{text}");
        assert!(lines.iter().all(|line| line.len() <= columns), "{columns}: {text}");
        assert_eq!(text.contains("HOSTS"), columns >= 120, "{text}");
    }
    assert!(tests::stdout(&home.capsule(["list"])).contains("HOSTS"), "a pipe gets everything");
}

#[test]
fn full_screen_programs_run() {
    for (program, args, shows, quit) in [
        ("less", vec!["/etc/passwd"], "root", "q"),
        ("vim", vec!["-u", "NONE", "-N", "/etc/passwd"], "root", ":q!\r"),
        ("python3", vec!["-q"], ">>>", "exit()\r"),
    ] {
        if !installed(program) {
            skipped("full_screen_programs_run", &format!("{program} is not installed"));
            continue;
        }
        let home = Home::new();
        let mut words = vec![program];
        words.extend(args);
        let mut session = capsule(&words, &home);
        session.exp_string(shows).unwrap_or_else(|error| panic!("{program} shows no {shows}: {error}"));
        press(&mut session, quit);
        session.exp_eof().unwrap_or_else(|error| panic!("{program} does not end: {error}"));
        assert_eq!(home.metadata()["exit_code"], 0, "{program}");
    }
}
