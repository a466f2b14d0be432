//! `capsule prune`: says which sessions would go, then removes them when asked to. The ledger keeps a tombstone of each.

use std::io::Write as _;
use std::time::Duration;

use capsule_core::{Timestamp, exit};
use capsule_io::{PrunePlan, Retention, Store};
use serde_json::json;

use crate::args::PruneArgs;
use crate::ask::transcript;
use crate::error::{Outcome, Problem, chain};
use crate::output;
use crate::recording::now;
use crate::undo::log::Undo;

pub(super) fn exec(args: &PruneArgs) -> Outcome {
    let retention = Retention {
        keep: 0,
        before: args.keep.map(ago),
        count: args.max_sessions,
        bytes: args.max_size.map(|mib| mib << 20),
    };
    if retention == Retention::default() {
        return Err(
            Problem::usage("nothing says what may go").hint("give --keep AGE, --max-sessions N or --max-size MIB")
        );
    }
    let store = Store::open()?;
    let plan = store.plan_prune(&retention)?;
    let act = args.yes && !args.dry_run;
    if args.json {
        output::json(
            &json!({ "schema": "capsule.prune/1", "removed": act, "sessions": plan.remove, "kept": plan.kept }),
        )?;
    } else {
        print(&plan)?;
    }
    if !act {
        if !plan.remove.is_empty() {
            output::say("nothing was removed: add --yes to remove them");
        }
        return Ok(exit::OK);
    }
    let (mut failed, mut left) = (0, false);
    for pruned in store.prune(&plan, now())? {
        if let Some(error) = &pruned.failed {
            failed += 1;
            output::say(&format!("{} is still there: {}", pruned.session, chain(error)));
            continue;
        }
        // What was taken back of it, and what was said about it, goes with it.
        for undo in Undo::of(store.home(), &pruned.session).unwrap_or_default() {
            let path = undo.path().to_owned();
            if let Err(error) = undo.remove() {
                left = true;
                output::say(&format!("`{}` is still there: {error}", path.display()));
            }
        }
        let chat = transcript::path(&store, &pruned.session.to_string());
        match std::fs::remove_file(&chat) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                left = true;
                output::say(&format!("`{}` is still there: {error}", chat.display()));
            }
            _ => {}
        }
    }
    output::say(&format!("{} sessions removed", plan.remove.len() - failed));
    Ok(if failed == 0 && !left { exit::OK } else { exit::FAILURE })
}

fn print(plan: &PrunePlan) -> Result<(), Problem> {
    let mut out = output::data();
    for candidate in &plan.remove {
        let reason = serde_json::to_value(candidate.reason)?;
        writeln!(
            out,
            "{:<28} {:>9} KiB  {}",
            candidate.session,
            candidate.bytes >> 10,
            reason.as_str().unwrap_or_default()
        )?;
    }
    writeln!(out, "{} to remove ({} KiB), {} to keep", plan.remove.len(), plan.freed() >> 10, plan.kept)?;
    out.flush()?;
    Ok(())
}

/// The moment that lies this long before now.
fn ago(age: Duration) -> Timestamp {
    Timestamp(now().0.saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)))
}
