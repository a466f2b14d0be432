//! `capsule import`: makes a session from a recording of another tool, through the same pipeline.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context as _;
use capsule_core::{EnvTable, NoProc, RawRecord, SessionStatus, Timestamp, exit};
use capsule_trace::Launch;

use crate::args::{ImportArgs, ImportFrom};
use crate::error::{Outcome, Problem};
use crate::output;
use crate::recording::{Recording, now, record};

pub(super) fn exec(args: &ImportArgs) -> Outcome {
    let name = args.file.display().to_string();
    let input: Box<dyn Read + Send> = if name == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(open(args).with_context(|| format!("could not open `{name}`"))?)
    };
    let input = BufReader::with_capacity(1 << 20, input);
    let tracer = match args.from {
        ImportFrom::Strace => capsule_trace::import_strace(input, recorded_at(&args.file)),
        ImportFrom::Capsule => capsule_trace::replay(records(input)),
    };
    let recording = Recording {
        tracer,
        because: format!("imported from {name}"),
        launch: Launch::new(["(imported)"]),
        attach: None,
        rules: crate::rules::deferred(&args.more, None)?,
        procs: Box::new(NoProc),
        keep_secrets: args.keep_secrets,
        reads: true,
        compare: false,
        snapshots: None,
        buffer: capsule_trace::DEFAULT_BUFFER_BYTES,
        forward_signals: false,
        imported: Some(name),
        key: None,
        sign: None,
        on_risk: None,
        begun: None,
        alone: None,
    };
    let finished = super::recorder()?.block_on(record(recording))?;
    let metadata = &finished.metadata;
    if let SessionStatus::Failed { stage, reason } = &metadata.status {
        return Err(Problem::new(exit::FAILURE, anyhow::anyhow!("the import is not whole: {stage}: {reason}")));
    }
    if !args.quiet {
        let unread = finished.view.as_ref().map_or(0, |view| view.unread.total);
        let odd = if unread > 0 { format!(", {unread} lines could not be read") } else { String::new() };
        output::say(&format!("{} processes imported{odd}", metadata.processes.unwrap_or(0)));
        output::say(&format!("capsule report {}", metadata.id));
    }
    Ok(exit::OK)
}

/// The file to read: of a session's directory its raw stream.
fn open(args: &ImportArgs) -> io::Result<File> {
    let is_directory = std::fs::metadata(&args.file)?.is_dir();
    match args.from {
        ImportFrom::Capsule if is_directory => File::open(args.file.join("raw.jsonl")),
        ImportFrom::Strace if is_directory => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        _ => File::open(&args.file),
    }
}

/// The records of a `raw.jsonl`, with environments spelled out again. What cannot be read any more ends them: a reader that
/// fails once may fail for ever.
fn records(input: impl BufRead + Send + 'static) -> impl Iterator<Item = io::Result<RawRecord>> + Send + 'static {
    let mut environments = EnvTable::default();
    let mut broken = false;
    let lines = input.split(b'\n').take_while(move |line| !std::mem::replace(&mut broken, line.is_err()));
    lines.filter(|line| line.as_ref().map_or(true, |line| !line.is_empty())).map(move |line| {
        let mut record: RawRecord = serde_json::from_slice(&line?)?;
        capsule_io::resolve_raw(&mut environments, &mut record);
        Ok(record)
    })
}

/// A moment for logs without dates: when the file was written last.
fn recorded_at(file: &Path) -> Timestamp {
    let modified = std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|moment| moment.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or_else(now, |since| Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)))
}
