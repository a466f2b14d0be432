//! Whether a live process is still the one that an event was about.
//!
//! Between an event and the question the pid may have ended and been given to another, or the process may run
//! another program. Its arguments decide: they are the event's own, or the facts read are not its.

use capsule_core::{Argv, ExecInfo};

/// Whether a process whose arguments are `now` still runs what `exec` started.
pub(crate) fn is_still(exec: &ExecInfo, now: &Argv) -> bool {
    if exec.argv.is_empty() {
        // Linux gives an empty vector one empty argument.
        return now.is_empty() || now.as_block() == b"\0";
    }
    if exec.argv.as_block() == now.as_block() {
        return true;
    }
    let (then, now): (Vec<&[u8]>, Vec<&[u8]>) = (exec.argv.iter().collect(), now.iter().collect());
    if then.len() == now.len() {
        return same(&then, &now);
    }
    // A script, where the trace tells the arguments as given: the kernel puts the interpreter (and one argument of
    // its own, at most) and the script's path in the place of the first.
    let Some(extra) = now.len().checked_sub(then.len()).filter(|extra| (1..=2).contains(extra)) else { return false };
    let (Some(script), Some(rest)) = (now.get(extra), now.get(extra + 1..)) else { return false };
    let named = exec.filename.as_ref().is_some_and(|name| name.as_bytes() == *script);
    named && same(then.get(1..).unwrap_or_default(), rest)
}

fn same(then: &[&[u8]], now: &[&[u8]]) -> bool {
    then.iter().zip(now).all(|(then, now)| then == now || is_redacted(then))
}

/// An argument with a secret was replaced in the event; the process still has it.
fn is_redacted(word: &[u8]) -> bool {
    word.windows(10).any(|window| window == b"[redacted:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use capsule_core::ByteString;

    #[track_caller]
    fn check(filename: &str, then: &[&str], now: &[&str], expect: bool) {
        let exec = ExecInfo {
            filename: Some(ByteString::from(filename)),
            argv: then.iter().collect(),
            exe: None,
            cwd: None,
            from_tid: None,
            snapshot: None,
        };
        assert_eq!(is_still(&exec, &now.iter().collect()), expect, "{then:?} {now:?}");
    }

    #[test]
    fn another_program_is_not_taken_for_the_one_that_was() {
        check("/bin/ls", &["ls", "-l"], &["ls", "-l"], true);
        check("/bin/ls", &["ls", "-l"], &["ls"], false);
        check("/bin/ls", &["ls", "-l"], &[], false);
        check("/bin/ls", &["ls"], &["cat"], false);
        check("/bin/ls", &[], &[""], true);
        check("/x", &["x", "--password=[redacted:password:01234567]"], &["x", "--password=hunter2"], true);
    }

    #[test]
    fn a_script_is_recognised_behind_its_interpreter() {
        check("./run", &["run", "a"], &["/bin/sh", "./run", "a"], true);
        check("./run", &["run", "a"], &["/usr/bin/env", "bash", "./run", "a"], true);
        check("./run", &["run", "a"], &["/bin/sh", "./other", "a"], false);
        check("./run", &["run", "a"], &["/bin/sh", "-e", "-u", "./run", "a"], false);
    }
}
