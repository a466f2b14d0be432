//! Measures what recording costs: `cargo run --release -p tests --bin bench -- [--runs N] [--only NAME,…] [--json FILE] [--list]`,
//! what size costs: `-- --scale 1000,10000,… [--live N]`, and how late records are: `-- --latency`.
//!
//! Every workload runs bare and under each tracer that is installed, in turn within one round, so that drift of the
//! machine hits all alike. What is printed is the ratio to the bare run of the same round: median, least and greatest
//! over the rounds. Capsule runs end to end, with the session written and sealed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints its result")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

#[path = "bench/latency.rs"]
mod latency;
#[path = "bench/made.rs"]
mod made;
#[path = "bench/scale.rs"]
mod scale;
#[path = "bench/sys.rs"]
mod sys;

/// One way to run a command.
struct Contender {
    name: String,
    /// What stands before the command; `{}` becomes a fresh scratch path.
    prefix: Vec<String>,
}

/// Something to run.
struct Workload {
    name: &'static str,
    what: &'static str,
    command: Vec<String>,
}

struct Settings {
    runs: usize,
    only: Vec<String>,
    tracers: Vec<String>,
    json: Option<PathBuf>,
    /// Sessions of how many processes to make and read, instead of running workloads.
    scale: Vec<u32>,
    /// How many processes live at once in one more of these sessions.
    live: u32,
    /// Measures how late records are, instead of running workloads.
    latency: bool,
}

fn main() -> ExitCode {
    let settings = match settings() {
        Ok(Some(settings)) => settings,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            return ExitCode::from(2);
        }
    };
    let scratch = match tempfile::tempdir() {
        Ok(dir) => dir,
        Err(error) => {
            eprintln!("bench: no scratch directory: {error}");
            return ExitCode::FAILURE;
        }
    };
    match what(&settings, scratch.path()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn what(settings: &Settings, scratch: &Path) -> Result<(), String> {
    let result = if settings.latency {
        latencies(scratch)?
    } else if settings.scale.is_empty() {
        measure(settings, scratch)?
    } else {
        scale::measure(&sibling("capsule")?, scratch, &settings.scale, settings.live)?
    };
    settings.json.as_ref().map_or(Ok(()), |path| {
        std::fs::write(path, result.to_string()).map_err(|error| format!("{}: {error}", path.display()))
    })
}

/// From the kernel's event to the record on disk, under each tracer that works.
fn latencies(scratch: &Path) -> Result<serde_json::Value, String> {
    let capsule = sibling("capsule")?;
    let mut all = serde_json::Map::new();
    for tracer in ["ptrace", "ebpf"] {
        if !works(&[&capsule.to_string_lossy(), "run", "-q", "--tracer", tracer, "true"]) {
            continue;
        }
        let delays = latency::measure(&capsule, scratch, tracer)?;
        let (least, median, greatest) = spread(delays.clone());
        println!(
            "{tracer}: {} records, readable after {:.1} ms (median; {:.1} to {:.1})",
            delays.len(),
            median * 1e3,
            least * 1e3,
            greatest * 1e3
        );
        all.insert(tracer.to_owned(), serde_json::json!(delays));
    }
    Ok(serde_json::Value::Object(all))
}

fn settings() -> Result<Option<Settings>, String> {
    let (only, tracers, scale) = (Vec::new(), Vec::new(), Vec::new());
    let mut settings = Settings { runs: 5, only, tracers, json: None, scale, live: 0, latency: false };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            "--runs" => settings.runs = value()?.parse().map_err(|error| format!("--runs: {error}"))?,
            "--only" => settings.only = value()?.split(',').map(str::to_owned).collect(),
            "--tracers" => settings.tracers = value()?.split(',').map(str::to_owned).collect(),
            "--json" => settings.json = Some(value()?.into()),
            "--scale" => {
                let sizes = value()?.split(',').map(str::parse).collect::<Result<_, _>>();
                settings.scale = sizes.map_err(|error| format!("--scale: {error}"))?;
            }
            "--live" => settings.live = value()?.parse().map_err(|error| format!("--live: {error}"))?,
            "--latency" => settings.latency = true,
            "--list" => {
                for workload in workloads(Path::new("SCRATCH"), Path::new("tracee"), "tiny") {
                    println!("{:14} {}", workload.name, workload.what);
                }
                return Ok(None);
            }
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(Some(settings))
}

/// A program beside this one.
fn sibling(name: &str) -> Result<PathBuf, String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = me.with_file_name(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("{} is not built; run: cargo build --release -p cli -p tests", path.display()))
    }
}

fn installed(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn works(command: &[&str]) -> bool {
    let (Some(program), rest) = (command.first(), command.get(1..).unwrap_or_default()) else { return false };
    Command::new(program)
        .args(rest)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn contenders(capsule: &str) -> Vec<Contender> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut all = vec![Contender { name: "bare".to_owned(), prefix: Vec::new() }];
    // What `run` does unasked, and eBPF without the effects that it records unasked.
    for options in ["ptrace", "ebpf", "ebpf --effects off"] {
        let prefix = words(&format!("{capsule} run -q --tracer {options} --"));
        if works(&prefix.iter().map(String::as_str).chain(["true"]).collect::<Vec<_>>()) {
            all.push(Contender { name: format!("capsule {options}"), prefix });
        }
    }
    let filter = "-e trace=execve,execveat,fork,vfork,clone,clone3,exit,exit_group";
    if installed("strace") {
        all.push(Contender { name: "strace -f".to_owned(), prefix: words(&format!("strace -f {filter} -o {{}}")) });
        if works(&["strace", "-f", "--seccomp-bpf", "-e", "trace=execve", "-o", "/dev/null", "true"]) {
            let prefix = words(&format!("strace -f --seccomp-bpf {filter} -o {{}}"));
            all.push(Contender { name: "strace seccomp".to_owned(), prefix });
        }
    }
    if installed("tracexec") {
        let prefix = words("tracexec log --output {} --");
        all.push(Contender { name: "tracexec".to_owned(), prefix });
    }
    if installed("perf") && works(&["perf", "trace", "-o", "/dev/null", "-e", "execve", "true"]) {
        let prefix = words("perf trace -o {} -e execve,clone,clone3,fork,vfork,exit_group --");
        all.push(Contender { name: "perf trace".to_owned(), prefix });
    }
    all
}

/// The smallest program: a static one that does nothing but exit.
fn tiny(scratch: &Path) -> String {
    let (source, program) = (scratch.join("tiny.c"), scratch.join("tiny"));
    let text = "void _start(void) {\n\
        #if defined(__x86_64__)\n  __asm__ volatile(\"mov $60,%eax; xor %edi,%edi; syscall\");\n\
        #elif defined(__aarch64__)\n  __asm__ volatile(\"mov x8,#93; mov x0,#0; svc #0\");\n#endif\n}\n";
    let made = std::fs::write(&source, text).is_ok()
        && works(&["gcc", "-static", "-nostdlib", "-o", &program.to_string_lossy(), &source.to_string_lossy()]);
    if made { program.to_string_lossy().into_owned() } else { "/bin/true".to_owned() }
}

fn workloads(scratch: &Path, tracee: &Path, tiny: &str) -> Vec<Workload> {
    let tracee = tracee.to_string_lossy().into_owned();
    let tool = |args: &[&str]| std::iter::once(tracee.clone()).chain(args.iter().map(|a| (*a).to_owned())).collect();
    let script = |name: &str| vec!["sh".to_owned(), scratch.join(name).to_string_lossy().into_owned()];
    vec![
        Workload {
            name: "storm",
            what: "10,000 vfork+exec of a static program, one after another",
            command: tool(&["vforks", "10000", "1", tiny]),
        },
        Workload { name: "storm-2", what: "the same, two at a time", command: tool(&["vforks", "10000", "2", tiny]) },
        Workload { name: "storm-8", what: "the same, eight at a time", command: tool(&["vforks", "10000", "8", tiny]) },
        Workload {
            name: "agent",
            what: "git, grep, a compiler, python and shell loops, as an agent would",
            command: script("agent.sh"),
        },
        Workload { name: "bash-loop", what: "a shell loop of external commands", command: script("loop.sh") },
        Workload { name: "make", what: "make -j2 of 40 small C files", command: script("make.sh") },
        Workload { name: "git", what: "100 commits and queries", command: script("git.sh") },
        Workload { name: "threads", what: "20,000 threads, 50 at a time", command: tool(&["threads", "20000"]) },
        Workload { name: "cpu", what: "computes, without system calls", command: tool(&["cpu", "6000"]) },
        Workload { name: "getppid", what: "10,000,000 getppid", command: tool(&["getppid", "10000000"]) },
        Workload { name: "files", what: "find, grep, tar and a git checkout over a tree", command: script("files.sh") },
        Workload { name: "python", what: "20 starts of python3", command: script("python.sh") },
        Workload { name: "node", what: "10 starts of node", command: script("node.sh") },
        Workload { name: "pipes", what: "300 pipelines of four programs", command: script("pipes.sh") },
        Workload { name: "true", what: "start-up: one process", command: vec!["true".to_owned()] },
    ]
}

const AGENT: &str = r#"set -e
cd "$(mktemp -d)"
git init -q . && git config user.email a@b && git config user.name a
for i in 1 2 3 4 5 6 7 8; do
  printf 'int f%s(int x) { return x + %s; }\n' $i $i > f$i.c
  printf '#!/usr/bin/env python3\nprint(%s)\n' $i > s$i.py
done
for round in 1 2 3; do
  echo $round > round.txt
  ls -la > /dev/null; find . -name '*.c' | sort | head -5 > /dev/null
  grep -rn "return" --include='*.c' . | wc -l > /dev/null
  for i in 1 2 3 4 5 6 7 8; do gcc -O1 -c f$i.c -o f$i.o; done
  for i in 1 2 3; do python3 s$i.py > /dev/null; done
  for f in *.c; do sed -n 1,5p "$f" | tr a-z A-Z | cut -c1-20 > /dev/null; done
  git add -A; git commit -qm "round $round"; git status --short > /dev/null; git log --oneline | head -3 > /dev/null
  git diff HEAD --stat > /dev/null
done
"#;

const LOOP: &str = r#"i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done"#;

const MAKE: &str = r#"set -e
cd "$(mktemp -d)"
i=0; while [ $i -lt 40 ]; do printf '#include <stdio.h>\nint f%s(void) { return printf("%%d", %s); }\n' $i $i > f$i.c; i=$((i+1)); done
printf 'OBJS := $(patsubst %%.c,%%.o,$(wildcard *.c))\nall: $(OBJS)\n\tar rcs lib.a $(OBJS)\n%%.o: %%.c\n\tgcc -O1 -c $< -o $@\n' > Makefile
make -s -j2
"#;

const GIT: &str = r#"set -e
cd "$(mktemp -d)"
git init -q . && git config user.email a@b && git config user.name a
i=0; while [ $i -lt 50 ]; do echo $i > f; git add f; git commit -qm "c$i"; git status --short > /dev/null; git log --oneline -1 > /dev/null; i=$((i+1)); done
"#;

const FILES: &str = r#"find /usr/include /usr/lib/python3 /usr/share/doc -type f 2>/dev/null | wc -l > /dev/null
grep -r "define" /usr/include > /dev/null 2>&1 || true
cd "$(mktemp -d)"
mkdir tree && i=0
while [ $i -lt 500 ]; do echo "text $i" > tree/f$i; i=$((i+1)); done
tar cf all.tar tree && mkdir out && tar xf all.tar -C out
git init -q . && git config user.email a@b && git config user.name a
git add tree && git commit -qm all && rm -r tree && git checkout -q -- tree
"#;

const PYTHON: &str = r#"i=0; while [ $i -lt 20 ]; do python3 -c 'import json'; i=$((i+1)); done"#;

const NODE: &str = r#"i=0; while [ $i -lt 10 ]; do node -e 0; i=$((i+1)); done"#;

const PIPES: &str =
    r#"i=0; while [ $i -lt 300 ]; do echo "b a $i" | tr ' ' '\n' | sort | wc -l > /dev/null; i=$((i+1)); done"#;

fn measure(settings: &Settings, scratch: &Path) -> Result<serde_json::Value, String> {
    let (capsule, tracee) = (sibling("capsule")?, sibling("tracee")?);
    let tiny = tiny(scratch);
    for (name, text) in [
        ("agent.sh", AGENT),
        ("loop.sh", LOOP),
        ("make.sh", MAKE),
        ("git.sh", GIT),
        ("files.sh", FILES),
        ("python.sh", PYTHON),
        ("node.sh", NODE),
        ("pipes.sh", PIPES),
    ] {
        std::fs::write(scratch.join(name), text).map_err(|error| format!("{name}: {error}"))?;
    }
    let mut contenders = contenders(&capsule.to_string_lossy());
    contenders.retain(|c| c.name == "bare" || settings.tracers.is_empty() || settings.tracers.contains(&c.name));
    let mut workloads = workloads(scratch, &tracee, &tiny);
    workloads.retain(|w| {
        !matches!(w.name, "python" | "node") || installed(if w.name == "node" { "node" } else { "python3" })
    });
    workloads.retain(|w| settings.only.is_empty() || settings.only.iter().any(|name| name == w.name));
    let names: Vec<&str> = contenders.iter().map(|c| c.name.as_str()).collect();
    println!("| workload | bare, s | {} |", names.get(1..).unwrap_or_default().join(" | "));
    println!("| --- | --- |{}", " --- |".repeat(names.len().saturating_sub(1)));
    let mut results = serde_json::Map::new();
    for workload in &workloads {
        let rounds = rounds(settings, scratch, &contenders, workload)?;
        println!("{}", row(workload, &contenders, &rounds));
        let seconds: BTreeMap<&str, Vec<f64>> = contenders
            .iter()
            .enumerate()
            .map(|(index, c)| {
                (
                    c.name.as_str(),
                    rounds.iter().filter_map(|round| round.get(index).map(Duration::as_secs_f64)).collect(),
                )
            })
            .collect();
        results.insert(workload.name.to_owned(), serde_json::json!(seconds));
    }
    Ok(serde_json::Value::Object(results))
}

fn rounds(
    settings: &Settings,
    scratch: &Path,
    contenders: &[Contender],
    workload: &Workload,
) -> Result<Vec<Vec<Duration>>, String> {
    let mut rounds = Vec::new();
    for round in 0..=settings.runs {
        let mut times = Vec::new();
        for contender in contenders {
            let home = scratch.join("home");
            let place = scratch.join("trace");
            let words: Vec<String> = contender
                .prefix
                .iter()
                .map(|word| if word == "{}" { place.to_string_lossy().into_owned() } else { word.clone() })
                .chain(workload.command.iter().cloned())
                .collect();
            let (program, rest) = words.split_first().ok_or("an empty command")?;
            let begin = Instant::now();
            let status = Command::new(program)
                .args(rest)
                .env("CAPSULE_HOME", &home)
                .env("TMPDIR", scratch)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .map_err(|error| format!("{program}: {error}"))?;
            let time = begin.elapsed();
            if !status.success() {
                return Err(format!("{} under {} ended with {status}", workload.name, contender.name));
            }
            times.push(time);
            for old in [home, place] {
                // What a run left behind; it may not have left anything.
                drop(std::fs::remove_dir_all(&old));
                drop(std::fs::remove_file(&old));
            }
        }
        // The first round warms caches and is not counted.
        if round > 0 {
            rounds.push(times);
        }
    }
    Ok(rounds)
}

fn row(workload: &Workload, contenders: &[Contender], rounds: &[Vec<Duration>]) -> String {
    let column = |index: usize| rounds.iter().filter_map(move |round| round.get(index)).map(Duration::as_secs_f64);
    let mut line = format!("| {} | {:.3} |", workload.name, spread(column(0).collect()).1);
    for index in 1..contenders.len() {
        let ratios = column(index).zip(column(0)).map(|(with, bare)| with / bare).collect();
        let (least, median, greatest) = spread(ratios);
        // Writing to a String cannot fail.
        write!(line, " {median:.2} ({least:.2}–{greatest:.2}) |").unwrap_or(());
    }
    line
}

/// Least, median and greatest.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}
