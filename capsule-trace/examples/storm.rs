//! Runs a command under a tracer and counts what it hands over: the tracer's own cost, without a pipeline behind it.
//!
//! `cargo run --release -p capsule-trace --example storm -- [ptrace|strace|ebpf] COMMAND…`; with `EFFECTS=writes|all` or
//! `FAILED_EXECS=1` in the environment these are captured too.
#![expect(clippy::print_stderr, reason = "an example's output")]

use std::time::Instant;

use capsule_core::redact::Redactor;
use capsule_core::{Backend, RawBody};
use capsule_trace::{Control, DEFAULT_BUFFER_BYTES, EffectLevel, Inherited, Launch, TraceOptions, channel, open};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Inherited::remember();
    let mut args = std::env::args_os().skip(1);
    let name = args.next().ok_or("which tracer?")?;
    let backend = Backend::ALL.iter().find(|(_, known)| name == *known).map(|(backend, _)| *backend);
    let effects = match std::env::var("EFFECTS").as_deref() {
        Ok("writes") => EffectLevel::Writes,
        Ok("all") => EffectLevel::All,
        _ => EffectLevel::Off,
    };
    let failed_execs = std::env::var_os("FAILED_EXECS").map(|_| true);
    let options = TraceOptions { effects, failed_execs, ..TraceOptions::default() };
    let tracer = open(backend.ok_or("no such tracer")?, options)?;
    let (sink, mut receiver) = channel(DEFAULT_BUFFER_BYTES, Redactor::new([1; 32]));
    let (control, _watch) = Control::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let begun = Instant::now();
    let (outcome, counts) = runtime.block_on(async {
        // The terminal's signals are for the command.
        let _deaf = [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP].map(|raw| signal(SignalKind::from_raw(raw)));
        let reading = async {
            let mut counts = [0_u64; 4];
            while let Some(batch) = receiver.recv().await {
                for record in batch {
                    let kind = match record.body {
                        RawBody::Spawn { .. } => 0,
                        RawBody::Exec { .. } => 1,
                        RawBody::Exit { .. } => 2,
                        _ => 3,
                    };
                    counts[kind] += 1;
                }
            }
            counts
        };
        tokio::join!(tracer.run(Launch::new(args), sink, control), reading)
    });
    let [spawns, execs, exits, others] = counts;
    let outcome = outcome?;
    let took = begun.elapsed();
    eprintln!("{took:?}: {spawns} spawns, {execs} execs, {exits} exits, {others} others; {:?}", outcome.root);
    Ok(())
}
