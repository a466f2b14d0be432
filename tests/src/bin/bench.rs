//! Measures what recording costs: `cargo run --release -p tests --bin bench -- [--runs N] [--only NAME,…] [--json FILE] [--list]`,
//! what size costs: `-- --scale 1000,10000,… [--live N]`, and how late records are: `-- --latency`.
//!
//! Every workload runs bare and under each tracer that is installed, in turn within one round, so that drift of the
//! machine hits all alike. What is printed is the ratio to the bare run of the same round: median, least and greatest
//! over the rounds; then the median again without the start-up, which is what `true` takes longer under that tracer.
//! Capsule runs end to end, with the session written and sealed.
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
#[path = "bench/scripts.rs"]
mod scripts;
#[path = "bench/sys.rs"]
mod sys;

use scripts::{AGENT, BPFTRACE, FILES, GIT, LOOP, MAKE, NODE, PIPES, PYTHON};

/// One way to run a command.
struct Contender {
    name: String,
    /// What stands before the command; `{}` becomes a fresh scratch path, and `{command}` a script that becomes the command,
    /// where it is to be one word.
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

fn contenders(capsule: &str, scratch: &Path) -> Vec<Contender> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut all = vec![Contender { name: "bare".to_owned(), prefix: Vec::new() }];
    // What `run` does unasked, eBPF without the effects that it records unasked, and what more effects cost.
    for options in
        ["ptrace", "ptrace --effects writes", "ptrace --snapshots", "ebpf", "ebpf --effects off", "ebpf --effects all"]
    {
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
    if installed("bpftrace") {
        let script = scratch.join("trace.bt");
        let written = std::fs::write(&script, BPFTRACE).is_ok();
        let prefix = words(&format!("bpftrace -q -o {{}} -c {{command}} {}", script.display()));
        if written && works(&["bpftrace", "-c", "/bin/true", &script.to_string_lossy()]) {
            all.push(Contender { name: "bpftrace".to_owned(), prefix });
        }
    }
    if installed("perf") && works(&["perf", "trace", "-o", "/dev/null", "-e", "execve", "true"]) {
        let prefix = words("perf trace -o {} -e execve,clone,clone3,fork,vfork,exit_group --");
        all.push(Contender { name: "perf trace".to_owned(), prefix });
    }
    all
}

/// How a script is run that becomes the command, for peers that want a command as one word.
fn one_word(scratch: &Path, command: &[String]) -> std::io::Result<String> {
    let quoted: Vec<String> = command.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
    let script = scratch.join("command");
    std::fs::write(&script, format!("exec {}\n", quoted.join(" ")))?;
    // Some take nothing but programs for programs.
    Ok(format!("/bin/sh {}", script.display()))
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
        start_up(),
    ]
}

fn start_up() -> Workload {
    Workload { name: "true", what: "start-up: one process", command: vec!["true".to_owned()] }
}

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
    let mut contenders = contenders(&capsule.to_string_lossy(), scratch);
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
    let start_ups = start_ups(&rounds(settings, scratch, &contenders, &start_up())?, contenders.len());
    for workload in &workloads {
        let rounds = rounds(settings, scratch, &contenders, workload)?;
        println!("{}", row(workload, &start_ups, &rounds));
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
    let script = one_word(scratch, &workload.command).map_err(|error| error.to_string())?;
    let mut rounds = Vec::new();
    for round in 0..=settings.runs {
        let mut times = Vec::new();
        for contender in contenders {
            let home = scratch.join("home");
            let place = scratch.join("trace");
            let words: Vec<String> = contender
                .prefix
                .iter()
                .map(|word| match word.as_str() {
                    "{}" => place.to_string_lossy().into_owned(),
                    "{command}" => script.clone(),
                    _ => word.clone(),
                })
                .chain(workload.command.iter().filter(|_| !contender.prefix.iter().any(|w| w == "{command}")).cloned())
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

/// By how many seconds `true` takes longer under each contender than bare.
fn start_ups(rounds: &[Vec<Duration>], contenders: usize) -> Vec<f64> {
    let longer = |index: usize| {
        let pairs = rounds.iter().filter_map(move |round| Some((round.get(index)?, round.first()?)));
        spread(pairs.map(|(with, bare)| with.as_secs_f64() - bare.as_secs_f64()).collect()).1
    };
    (0..contenders).map(longer).collect()
}

fn row(workload: &Workload, start_ups: &[f64], rounds: &[Vec<Duration>]) -> String {
    let column = |index: usize| rounds.iter().filter_map(move |round| round.get(index)).map(Duration::as_secs_f64);
    let mut line = format!("| {} | {:.3} |", workload.name, spread(column(0).collect()).1);
    for (index, start_up) in start_ups.iter().enumerate().skip(1) {
        let ratios =
            |less: f64| spread(column(index).zip(column(0)).map(|(with, bare)| (with - less) / bare).collect());
        let ((least, median, greatest), (_, without, _)) = (ratios(0.0), ratios(*start_up));
        // Writing to a String cannot fail.
        write!(line, " {median:.2} ({least:.2}–{greatest:.2}); {without:.2} |").unwrap_or(());
    }
    line
}

/// Least, median and greatest.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(0), at(values.len() / 2), at(values.len().saturating_sub(1)))
}
