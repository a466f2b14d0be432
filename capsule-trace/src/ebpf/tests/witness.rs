//! Two backends over one run agree, and say so.

use capsule_core::Backend;
use capsule_core::redact::Redactor;

use super::{installed, usable};
use crate::command::Launch;
use crate::tracer::{Control, Outcome, TraceOptions};

fn run(first: Backend, argv: &[&str]) -> Outcome {
    let (sink, mut receiver) = crate::sink::channel(1 << 24, Redactor::off());
    let (control, _watch) = Control::new();
    let tracer = crate::backend::open(first, TraceOptions::default()).unwrap();
    let tracer = crate::backend::witnessed(tracer).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let reading = async { while receiver.recv().await.is_some() {} };
        let (outcome, ()) = tokio::join!(tracer.run(Launch::new(argv), sink, control), reading);
        outcome.unwrap()
    })
}

const SCRIPT: &str = "for i in 1 2 3 4 5; do /bin/true $i; done; (exit 3); ls / | grep -c . > /dev/null; \
                      sh -c 'kill -9 $$'; env -i /bin/echo 'odd \u{1b}[2J args' > /dev/null; cd /tmp; /bin/true; exit 5";

#[test]
fn ptrace_and_ebpf_agree() {
    if !usable() {
        return;
    }
    let outcome = run(Backend::Ptrace, &["/bin/sh", "-c", SCRIPT]);
    let told = |lines: &[String]| lines.iter().filter(|line| line.starts_with("witness")).cloned().collect::<Vec<_>>();
    assert_eq!(told(&outcome.coverage.not_seen), Vec::<String>::new());
    assert_eq!(told(&outcome.coverage.hooks), ["witness ebpf: agrees about 12 processes"]);
}

#[test]
fn a_storm_under_two_backends_is_one_story() {
    if !usable() || !installed("xargs") {
        return;
    }
    let outcome = run(Backend::Ptrace, &["/bin/sh", "-c", "seq 2000 | xargs -n 1 -P 8 /bin/true"]);
    let witness: Vec<_> = outcome.coverage.not_seen.iter().filter(|line| line.starts_with("witness")).collect();
    assert_eq!(witness, Vec::<&String>::new());
}
