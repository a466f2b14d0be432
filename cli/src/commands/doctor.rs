//! `capsule doctor`: what works on this machine, and what to do about what does not.

use std::io::Write as _;

use capsule_core::{Backend, exit};
use capsule_trace::{Probe, probe};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::error::Outcome;
use crate::output;

/// The backends that record live.
const LIVE: [Backend; 5] = [Backend::Ptrace, Backend::Ebpf, Backend::Strace, Backend::Eslogger, Backend::Dtrace];

#[derive(Serialize)]
struct Findings {
    schema: &'static str,
    capsule: &'static str,
    host: capsule_core::HostInfo,
    store: StoreFinding,
    auto: AutoFinding,
    tracers: Vec<TracerFinding>,
}

#[derive(Serialize)]
struct StoreFinding {
    path: Option<String>,
    usable: bool,
    because: String,
}

#[derive(Serialize)]
struct AutoFinding {
    backend: Option<Backend>,
    because: String,
}

#[derive(Serialize)]
struct TracerFinding {
    backend: Backend,
    usable: bool,
    because: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

pub(super) fn exec(args: &DoctorArgs) -> Outcome {
    let findings = examine();
    let well = findings.auto.backend.is_some() && findings.store.usable;
    if args.json {
        output::json(&findings)?;
    } else {
        print(&findings)?;
    }
    Ok(if well { exit::OK } else { exit::FAILURE })
}

fn examine() -> Findings {
    let auto = match capsule_trace::choose(None) {
        Ok(choice) => AutoFinding { backend: Some(choice.backend), because: choice.because },
        Err(error) => AutoFinding { backend: None, because: error.to_string() },
    };
    let tracers = LIVE.iter().map(|backend| finding(probe(*backend))).collect();
    Findings {
        schema: "capsule.doctor/1",
        capsule: env!("CARGO_PKG_VERSION"),
        host: capsule_enrich::host(),
        store: store(),
        auto,
        tracers,
    }
}

fn finding(probe: Probe) -> TracerFinding {
    TracerFinding { backend: probe.backend, usable: probe.usable, because: probe.because, remedy: probe.remedy }
}

fn store() -> StoreFinding {
    match capsule_io::Store::open() {
        Ok(store) => StoreFinding {
            path: Some(store.home().display().to_string()),
            usable: true,
            because: "sessions can be written".to_owned(),
        },
        Err(error) => StoreFinding { path: None, usable: false, because: crate::error::chain(&error) },
    }
}

fn print(findings: &Findings) -> Result<(), crate::error::Problem> {
    let mut out = output::data();
    let host = &findings.host;
    writeln!(out, "capsule {} on {} {} {}", findings.capsule, host.os, host.kernel, host.arch)?;
    writeln!(out)?;
    let mark = |usable: bool| if usable { "✓" } else { "✗" };
    let path = findings.store.path.as_deref().unwrap_or("no home");
    writeln!(out, "{} sessions   {}: {}", mark(findings.store.usable), path, findings.store.because)?;
    for tracer in &findings.tracers {
        writeln!(out, "{} {:<10} {}", mark(tracer.usable), tracer.backend, tracer.because)?;
        if let Some(remedy) = &tracer.remedy {
            writeln!(out, "             → {remedy}")?;
        }
    }
    writeln!(out)?;
    match findings.auto.backend {
        Some(backend) => writeln!(out, "capsule run uses {backend}: {}", findings.auto.because)?,
        None => writeln!(out, "capsule run cannot record here: {}", findings.auto.because)?,
    }
    out.flush()?;
    Ok(())
}
