//! How long it takes from a kernel event to its record on disk, in a session that is followed while it grows.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Starts a process every 30 ms, so that nothing is waited with but what the recorder itself waits for.
const SCRIPT: &str = "i=0; while [ $i -lt 100 ]; do /bin/true; sleep 0.03; i=$((i+1)); done";

/// Follows `enriched.jsonl` of a run under `tracer`; the delay of each record, in seconds, in their order.
///
/// # Errors
/// When the run fails, or its stream cannot be read.
pub(super) fn measure(capsule: &Path, scratch: &Path, tracer: &str) -> Result<Vec<f64>, String> {
    let home = scratch.join("latency");
    let mut command = Command::new(capsule);
    command.args(["run", "-q", "--tracer", tracer, "--effects", "off", "--", "sh", "-c", SCRIPT]);
    command.env("CAPSULE_HOME", &home).stdin(Stdio::null());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut input = None;
    let (mut line, mut delays) = (Vec::new(), Vec::new());
    loop {
        let over = child.try_wait().map_err(|error| error.to_string())?;
        if input.is_none() {
            input = stream(&home).map(BufReader::new);
        }
        if let Some(input) = &mut input {
            while input.read_until(b'\n', &mut line).map_err(|error| error.to_string())? > 0 {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
                // Half a line stays, until the rest is there.
                if line.last() != Some(&b'\n') {
                    break;
                }
                let record: serde_json::Value = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
                let at =
                    record.get("timestamp").and_then(serde_json::Value::as_u64).ok_or("a record without a time")?;
                delays.push(now.saturating_sub(Duration::from_nanos(at)).as_secs_f64());
                line.clear();
            }
        }
        match over {
            Some(status) if !status.success() => return Err(format!("the run under {tracer} ended with {status}")),
            Some(_) => break,
            None => std::thread::sleep(Duration::from_micros(500)),
        }
    }
    std::fs::remove_dir_all(&home).map_err(|error| error.to_string())?;
    Ok(delays)
}

fn stream(home: &Path) -> Option<File> {
    let session = std::fs::read_dir(home.join("runs")).ok()?.next()?.ok()?;
    File::open(session.path().join("enriched.jsonl")).ok()
}
