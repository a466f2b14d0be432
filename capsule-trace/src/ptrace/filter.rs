//! The seccomp filter that stops the traced programs at calls of interest, and at no other.
//!
//! Calls that no condition can let through are decided by their number alone; the kernel remembers that for those that are
//! always allowed, and they cost nothing.

use capsule_core::Pid;

use super::calls::{self, Call, When};
use super::{arch, sys};
use crate::recorder;
use crate::tracer::{EffectLevel, TraceOptions};

/// One instruction of a classic BPF program (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

/// What a child must do before its exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The program.
    pub(crate) program: Vec<Instruction>,
    /// Whether it needs `PR_SET_NO_NEW_PRIVS` first.
    pub(crate) no_new_privs: bool,
}

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ANY_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const TRACE: u32 = 0x7ff0_0000;

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// The offsets of an argument's low and high half.
fn argument(index: usize) -> (u32, u32) {
    let start = 16 + 8 * u32::try_from(index).unwrap_or(0);
    if cfg!(target_endian = "little") { (start, start + 4) } else { (start + 4, start) }
}

fn op(code: u16, value: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, value }
}

fn jump(code: u16, value: u32, if_true: u8, if_false: u8) -> Instruction {
    Instruction { code, if_true, if_false, value }
}

/// The program that stops at `calls` and allows everything else; none on processors that this crate does not know.
/// `recorders` are Capsule's own processes: signals to others are everyday, and some runtimes send thousands to themselves.
pub(super) fn program(calls: &[Call], recorders: &[Pid]) -> Option<Vec<Instruction>> {
    let audit = arch::AUDIT?;
    let mut program = vec![op(LOAD, ARCH), jump(JUMP_EQUAL, audit, 1, 0), op(RETURN, ALLOW), op(LOAD, NUMBER)];
    for call in calls {
        let mut decide = Vec::new();
        match call.when {
            When::Always => decide.push(op(RETURN, TRACE)),
            When::AnyOf(index, bits) => {
                decide.push(op(LOAD, argument(index).0));
                decide.push(jump(JUMP_ANY_SET, bits, 0, 1));
                decide.push(op(RETURN, TRACE));
                decide.push(op(RETURN, ALLOW));
            }
            When::Given(index) => {
                let (low, high) = argument(index);
                decide.push(op(LOAD, low));
                decide.push(jump(JUMP_EQUAL, 0, 0, 2));
                decide.push(op(LOAD, high));
                decide.push(jump(JUMP_EQUAL, 0, 1, 0));
                decide.push(op(RETURN, TRACE));
                decide.push(op(RETURN, ALLOW));
            }
            When::Is(index, values) => {
                decide.push(op(LOAD, argument(index).0));
                for value in values {
                    decide.push(jump(JUMP_EQUAL, *value, 0, 1));
                    decide.push(op(RETURN, TRACE));
                }
                decide.push(op(RETURN, ALLOW));
            }
            When::NamesRecorder(index) => {
                decide.push(op(LOAD, argument(index).0));
                for value in recorder::names(recorders) {
                    decide.push(jump(JUMP_EQUAL, value, 0, 1));
                    decide.push(op(RETURN, TRACE));
                }
                decide.push(op(RETURN, ALLOW));
            }
        }
        let past = u8::try_from(decide.len()).ok()?;
        program.push(jump(JUMP_EQUAL, u32::try_from(call.number).ok()?, 0, past));
        program.extend(decide);
    }
    program.push(op(RETURN, ALLOW));
    Some(program)
}

/// What is stopped at, and how.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) calls: Vec<Call>,
    pub(super) filter: Option<Filter>,
    /// Why there is no filter although one was asked for.
    pub(super) why_not: Option<&'static str>,
}

/// What `options` ask for, as far as it can be had here.
///
/// Nothing is filtered unasked: a filter ends the traced programs when the tracer dies (without one its calls would fail),
/// and it cannot be taken off those that are let go.
pub(super) fn plan(options: &TraceOptions) -> Plan {
    let writes = options.effects >= EffectLevel::Writes;
    let reads = options.effects >= EffectLevel::All;
    let execs = options.failed_execs == Some(true);
    if !(writes || execs) {
        return Plan::default();
    }
    let calls = calls::of_interest(writes, reads, execs);
    let refused = |why| Plan { why_not: Some(why), ..Plan::default() };
    let Some(program) = program(&calls, &options.recorders).filter(|_| sys::can_filter()) else {
        return refused("this kernel or processor has no seccomp filter that stops");
    };
    let root = nix::unistd::geteuid().is_root();
    let no_new_privs = !has_sys_admin();
    if no_new_privs && root && !options.no_new_privs {
        return refused("a seccomp filter needs CAP_SYS_ADMIN, or the consent to no_new_privs, with which sudo fails");
    }
    // Without root there is nothing to consent to: under this tracer setuid programs gain nothing anyway.
    Plan { calls, filter: Some(Filter { program, no_new_privs }), why_not: None }
}

fn has_sys_admin() -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|caps| caps >> CAP_SYS_ADMIN & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::super::calls::of_interest;
    use super::*;

    /// What the program says of a call.
    fn run(program: &[Instruction], arch: u32, number: i64, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend_from_slice(&(number as u32).to_ne_bytes());
        data.extend_from_slice(&arch.to_ne_bytes());
        data.extend_from_slice(&0_u64.to_ne_bytes());
        args.iter().for_each(|arg| data.extend_from_slice(&arg.to_ne_bytes()));
        let (mut at, mut accumulator) = (0, 0_u32);
        loop {
            let Instruction { code, if_true, if_false, value } = program[at];
            at += 1;
            let mut branch = |taken: bool| at += usize::from(if taken { if_true } else { if_false });
            match code {
                LOAD => accumulator = u32::from_ne_bytes(data[value as usize..value as usize + 4].try_into().unwrap()),
                JUMP_EQUAL => branch(accumulator == value),
                JUMP_ANY_SET => branch(accumulator & value != 0),
                RETURN => return value,
                other => panic!("{other:#x}"),
            }
        }
    }

    #[test]
    fn only_what_changes_something_stops() {
        let arch = arch::AUDIT.unwrap();
        let writes = program(&of_interest(true, false, false), &[Pid(100)]).unwrap();
        let all = program(&of_interest(true, true, true), &[]).unwrap();
        let open = |flags: i32| [0, 0, flags as u64, 0, 0, 0];
        assert_eq!(run(&writes, arch, libc::SYS_openat, open(libc::O_RDONLY | libc::O_CLOEXEC)), ALLOW);
        assert_eq!(run(&all, arch, libc::SYS_openat, open(libc::O_RDONLY)), TRACE);
        for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC, libc::O_TMPFILE | libc::O_RDWR] {
            assert_eq!(run(&writes, arch, libc::SYS_openat, open(flags)), TRACE, "{flags:#x}");
        }
        assert_eq!(run(&writes, arch, libc::SYS_sendto, [3, 1, 2, 0, 0, 0]), ALLOW);
        assert_eq!(run(&writes, arch, libc::SYS_sendto, [3, 1, 2, 0, 1 << 40, 0]), TRACE);
        assert_eq!(run(&writes, arch, libc::SYS_sendto, [3, 1, 2, 0, 8, 0]), TRACE);
        assert_eq!(run(&writes, arch, libc::SYS_ptrace, [0; 6]), ALLOW);
        assert_eq!(run(&writes, arch, libc::SYS_ptrace, [0x4206, 0, 0, 0, 0, 0]), TRACE);
        assert_eq!(run(&writes, arch, libc::SYS_read, [0; 6]), ALLOW);
        assert_eq!(run(&writes, arch, libc::SYS_execve, [0; 6]), ALLOW);
        assert_eq!(run(&all, arch, libc::SYS_execve, [0; 6]), TRACE);
        for (number, process, says) in [
            (libc::SYS_kill, 100_i32, TRACE),
            (libc::SYS_kill, -100, TRACE),
            (libc::SYS_kill, -1, TRACE),
            (libc::SYS_tgkill, 100, TRACE),
            (libc::SYS_pidfd_open, 100, TRACE),
            (libc::SYS_kill, 101, ALLOW),
            (libc::SYS_tgkill, 101, ALLOW),
            (libc::SYS_pidfd_open, 101, ALLOW),
        ] {
            assert_eq!(run(&writes, arch, number, [process as u64, 9, 9, 0, 0, 0]), says, "{number} {process}");
        }
        assert_eq!(run(&all, arch, libc::SYS_kill, [u64::MAX, 9, 0, 0, 0, 0]), ALLOW);
        assert_eq!(run(&writes, arch ^ 1, libc::SYS_unlinkat, [0; 6]), ALLOW);
        assert_eq!(run(&writes, arch, libc::SYS_unlinkat, [0; 6]), TRACE);
    }
}
