//! What size costs: made traces of growing size through the whole pipeline into a sealed session, on one core where
//! `taskset` is installed, and then through the commands that read it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::made::{self, Ending};
use crate::sys::{self, Usage};
use crate::works;

/// What one session cost.
struct Cost {
    processes: u32,
    ending: Ending,
    import: Spent,
    verify: Spent,
    report: Spent,
    export: Spent,
    export_bytes: usize,
    /// Each file of the session with its size.
    files: Vec<(String, u64)>,
}

/// What one command took.
#[derive(Clone, Copy)]
struct Spent {
    wall: Duration,
    usage: Usage,
}

/// Measures sessions of `sizes` processes, and one of `live` processes that live at the same time; prints a table.
///
/// # Errors
/// When a trace cannot be written, or a command fails.
pub(super) fn measure(capsule: &Path, scratch: &Path, sizes: &[u32], live: u32) -> Result<serde_json::Value, String> {
    // What one process costs is what starting, compiling rules and sealing cost.
    let start = one(capsule, scratch, 1, Ending::AtOnce)?;
    println!(
        "Start-up (a session of one process): {:.0} ms, {:.0} ms of CPU, {:.1} MiB",
        start.import.wall.as_secs_f64() * 1e3,
        start.import.usage.cpu.as_secs_f64() * 1e3,
        start.import.mib()
    );
    println!(
        "\n| processes | events a second, one core | CPU, µs a process | peak, MiB | bytes a process | verify, s | report, s \
         | export, s | export, KiB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let mut all = Vec::new();
    for &size in sizes {
        all.push(one(capsule, scratch, size, Ending::AtOnce)?);
        all.last().into_iter().for_each(|cost| cost.print(&start));
    }
    if live > 0 {
        let cost = one(capsule, scratch, live, Ending::Last)?;
        cost.print(&start);
        let each = cost.beyond(&start) / f64::from(live);
        println!("\nMemory for each of {live} processes that live at once: {each:.0} bytes");
        all.push(cost);
    }
    if let Some(largest) = all.iter().filter(|cost| cost.ending == Ending::AtOnce).max_by_key(|cost| cost.processes) {
        let each = largest.beyond(&start) / f64::from(largest.processes);
        println!("Memory for each of {} ended processes: {each:.0} bytes", largest.processes);
    }
    Ok(serde_json::json!({
        "start": start.json(),
        "sessions": all.iter().map(Cost::json).collect::<Vec<_>>(),
    }))
}

fn one(capsule: &Path, scratch: &Path, processes: u32, ending: Ending) -> Result<Cost, String> {
    let (trace, home) = (scratch.join("made.jsonl"), scratch.join("scale"));
    made::write(&trace, processes, ending).map_err(|error| format!("{}: {error}", trace.display()))?;
    let run = |args: &[&str], output: Stdio| spend(capsule, &home, args, output);
    let import = run(&["import", "-q", "--from", "capsule", &trace.to_string_lossy()], Stdio::null())?;
    let files = files(&home)?;
    let verify = run(&["verify"], Stdio::null())?;
    let report = run(&["report"], Stdio::null())?;
    let exported = scratch.join("export");
    let export = run(&["export", "--ai-ready", "-o", &exported.to_string_lossy()], Stdio::null())?;
    let export_bytes = std::fs::read(&exported).map_err(|error| error.to_string())?.len();
    std::fs::remove_dir_all(&home).map_err(|error| error.to_string())?;
    Ok(Cost { processes, ending, import, verify, report, export, export_bytes, files })
}

fn spend(capsule: &Path, home: &Path, args: &[&str], output: Stdio) -> Result<Spent, String> {
    // Readers may use every core, as they do.
    let pin = args.first() == Some(&"import") && works(&["taskset", "-c", "0", "true"]);
    let mut command = if pin {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(capsule);
        command
    } else {
        Command::new(capsule)
    };
    command.args(args).env("CAPSULE_HOME", home).stdin(Stdio::null()).stdout(output);
    let begin = Instant::now();
    let child = command.spawn().map_err(|error| format!("capsule {}: {error}", args.join(" ")))?;
    let usage = sys::wait(&child).map_err(|error| error.to_string())?;
    let wall = begin.elapsed();
    if usage.success { Ok(Spent { wall, usage }) } else { Err(format!("capsule {} failed", args.join(" "))) }
}

/// The files of the only session in `home`.
fn files(home: &Path) -> Result<Vec<(String, u64)>, String> {
    let list = |path: PathBuf| {
        let entries = std::fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        entries.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
    };
    let session = list(home.join("runs"))?.pop().ok_or("no session was made")?;
    list(session.path())?
        .into_iter()
        .map(|file| {
            let size = file.metadata().map_err(|error| error.to_string())?.len();
            Ok((file.file_name().to_string_lossy().into_owned(), size))
        })
        .collect()
}

impl Spent {
    fn mib(&self) -> f64 {
        self.usage.peak_kib as f64 / 1024.0
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "wall_s": self.wall.as_secs_f64(),
            "cpu_s": self.usage.cpu.as_secs_f64(),
            "peak_kib": self.usage.peak_kib,
        })
    }
}

impl Cost {
    fn print(&self, start: &Self) {
        let count = f64::from(self.processes);
        let wall = self.import.wall.saturating_sub(start.import.wall).as_secs_f64();
        let cpu = self.import.usage.cpu.saturating_sub(start.import.usage.cpu).as_secs_f64();
        let size: u64 = self.files.iter().map(|(_, size)| size).sum();
        println!(
            "| {}{} | {:.0} | {:.1} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.0} |",
            self.processes,
            if self.ending == Ending::Last { ", all live at once" } else { "" },
            count * f64::from(made::EVENTS) / wall,
            cpu / count * 1e6,
            self.import.mib(),
            size as f64 / count,
            self.verify.wall.as_secs_f64(),
            self.report.wall.as_secs_f64(),
            self.export.wall.as_secs_f64(),
            self.export_bytes as f64 / 1024.0
        );
    }

    /// Bytes of memory beyond those of a session of one process.
    fn beyond(&self, start: &Self) -> f64 {
        self.import.usage.peak_kib.saturating_sub(start.import.usage.peak_kib) as f64 * 1024.0
    }

    fn json(&self) -> serde_json::Value {
        let files: serde_json::Map<_, _> =
            self.files.iter().map(|(name, size)| (name.clone(), (*size).into())).collect();
        serde_json::json!({
            "processes": self.processes,
            "all_live": self.ending == Ending::Last,
            "import": self.import.json(),
            "verify": self.verify.json(),
            "report": self.report.json(),
            "export": self.export.json(),
            "export_bytes": self.export_bytes,
            "files": files,
        })
    }
}
