//! `capsule verify`: whether anybody touched a session, and where.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use capsule_core::{escape_terminal, exit};
use capsule_io::{LedgerFact, Overall, PublicKey, Verdict, VerificationKey, VerifyOptions, verify};

use crate::args::VerifyArgs;
use crate::error::{Outcome, Problem};
use crate::{load, output};

pub(super) fn exec(args: &VerifyArgs) -> Outcome {
    let (store, session) = load::find(&args.session).map_err(|problem| problem.code(exit::FAILURE))?;
    let key = args.key.as_deref().map(read).transpose()?;
    let key = key.as_deref().map(VerificationKey::parse).transpose()?;
    let signer = args.signed_by.as_deref().map(read).transpose()?;
    let signer = signer.as_deref().map(PublicKey::from_pem).transpose()?;
    let mut options = VerifyOptions::in_store(&store);
    (options.key, options.signer) = (key.as_ref(), signer.as_ref());
    let verdict = verify(&session, &options)?;
    if args.json {
        output::json(&verdict)?;
    } else {
        print(&verdict)?;
    }
    Ok(verdict.exit_code())
}

fn read(path: &Path) -> Result<String, Problem> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read `{}`", path.display()))?;
    Ok(text.trim().to_owned())
}

fn print(verdict: &Verdict) -> Result<(), Problem> {
    let mut out = output::data();
    let word = match verdict.overall {
        Overall::Whole => "whole: every record is as it was sealed",
        Overall::Running => "still running: everything until now fits, nothing is sealed yet",
        Overall::Unsealed => "unsealed: everything that is there fits, but nobody sealed it",
        Overall::Torn => "torn by a crash: the last record is not whole, nobody sealed it",
        Overall::Tampered => "TAMPERED WITH",
    };
    writeln!(out, "{}: {word}", verdict.session)?;
    for problem in &verdict.problems {
        writeln!(out, "  {}", escape_terminal(problem.to_string().as_bytes()))?;
    }
    for stream in &verdict.streams {
        let mark = if stream.fits { "✓" } else { "✗" };
        writeln!(out, "  {mark} {:<8} {:>9} records {:>12} bytes", stream.stream, stream.records, stream.bytes)?;
    }
    if let Some(seal) = &verdict.seal {
        writeln!(out, "  seal     {seal}")?;
    }
    let ledger = match verdict.ledger {
        LedgerFact::Known => "knows this seal",
        LedgerFact::NothingToCompare => "has nothing to compare: there is no seal",
        LedgerFact::NotChecked => "was not asked: the session is not in a store",
        LedgerFact::Unknown => "does not know this seal",
        LedgerFact::OtherSeal => "knows ANOTHER seal of this session",
        LedgerFact::NotTrusted => "was itself altered",
    };
    writeln!(out, "  ledger   {ledger}")?;
    out.flush()?;
    Ok(())
}
