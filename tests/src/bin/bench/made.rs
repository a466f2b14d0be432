//! A raw trace of any number of processes, as the ptrace tracer hands them over: shells that each run nine commands.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// When the processes of a made trace end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// At once: few live at the same time, and pids come again.
    AtOnce,
    /// When all have begun: all of them live at the same time.
    Last,
}

/// How many process events a process of a made trace has: its start, its program, its end.
pub(super) const EVENTS: u32 = 3;

/// What the shells run; `N` becomes a number.
const COMMANDS: [(&str, &str); 9] = [
    ("/usr/bin/git", r#"["git","status","--porcelain"]"#),
    ("/usr/bin/grep", r#"["grep","-rn","fn main","src/module_N"]"#),
    ("/usr/bin/gcc", r#"["gcc","-O1","-c","file_N.c","-o","build/file_N.o"]"#),
    ("/usr/bin/sed", r#"["sed","-n","1,N p","README.md"]"#),
    ("/usr/bin/python3.12", r#"["python3","-m","pytest","-q","tests/test_N.py"]"#),
    ("/usr/bin/ls", r#"["ls","-la"]"#),
    ("/usr/bin/cat", r#"["cat","Cargo.toml"]"#),
    ("/usr/bin/find", r#"["find",".","-name","*.rs"]"#),
    ("/usr/bin/true", r#"["/usr/bin/true","N"]"#),
];
/// Processes of one shell, itself included.
const GROUP: u32 = 10;
/// Pids come again after so many, where the processes end at once.
const PID_MAX: u32 = 32_000;

struct Made {
    out: BufWriter<File>,
    seq: u64,
    at: u64,
}

/// Writes a trace of `processes` processes to `path`.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(path: &Path, processes: u32, ending: Ending) -> io::Result<()> {
    let mut made =
        Made { out: BufWriter::with_capacity(1 << 20, File::create(path)?), seq: 0, at: 1_800_000_000 << 30 };
    let pid = |index: u32| match ending {
        Ending::AtOnce => 2 + index % PID_MAX,
        Ending::Last => 2 + index,
    };
    made.record(r#""kind":"spawn","pid":1,"how":"root""#)?;
    made.exec(1, "/usr/bin/agent", r#"["agent","--print"]"#, true)?;
    let mut open = None;
    for index in 0..processes.saturating_sub(1) {
        let (me, first) = (pid(index), index - index % GROUP);
        if index == first {
            made.spawn(me, 1)?;
            made.exec(me, "/usr/bin/bash", &format!(r#"["bash","-c","git status; make step-{index}"]"#), false)?;
        } else {
            let (program, argv) = COMMANDS[((index - first - 1) as usize) % COMMANDS.len()];
            made.spawn(me, pid(first))?;
            made.exec(me, program, &argv.replace('N', &index.to_string()), false)?;
        }
        if ending == Ending::AtOnce {
            if index == first {
                // The last group's shell is done.
                open.replace(me).map_or(Ok(()), |done| made.exit(done))?;
            } else {
                made.exit(me)?;
            }
        }
    }
    match ending {
        Ending::AtOnce => open.map_or(Ok(()), |done| made.exit(done))?,
        Ending::Last => (0..processes.saturating_sub(1)).rev().try_for_each(|index| made.exit(pid(index)))?,
    }
    made.exit(1)?;
    made.out.flush()
}

impl Made {
    fn record(&mut self, fields: &str) -> io::Result<()> {
        self.seq += 1;
        self.at += 150_000;
        writeln!(self.out, r#"{{"seq":{},"timestamp":{},{fields}}}"#, self.seq, self.at)
    }

    fn spawn(&mut self, pid: u32, parent: u32) -> io::Result<()> {
        self.record(&format!(r#""kind":"spawn","pid":{pid},"ppid":{parent},"how":"vfork""#))
    }

    fn exec(&mut self, pid: u32, program: &str, argv: &str, whole: bool) -> io::Result<()> {
        let names = if whole { r#","names":["HOME","PATH","API_TOKEN"],"values":{"HOME":"/home/user"}"# } else { "" };
        self.record(&format!(
            r#""kind":"exec","pid":{pid},"filename":"{program}","argv":{argv},"snapshot":{{"origin":"stopped","exe":"{program}","cwd":"/home/user/project","ids":{{"uid":1000,"euid":1000,"gid":1000,"egid":1000}},"sid":1,"pgid":1,"env":{{"id":1{names}}},"fds":[{{"fd":0,"target":"/dev/null"}},{{"fd":1,"target":"pipe:[4711]"}},{{"fd":2,"target":"/dev/pts/3"}}]}}"#
        ))
    }

    fn exit(&mut self, pid: u32) -> io::Result<()> {
        self.record(&format!(
            r#""kind":"exit","pid":{pid},"exit_code":0,"rusage":{{"user_us":829,"system_us":310,"max_rss_kib":2112,"major_faults":0,"blocks_in":0,"blocks_out":0}}"#
        ))
    }
}
