//! `capsule classify`: judges commands given as JSON lines, one answer a line, as they come.

use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};

use anyhow::Context as _;
use capsule_classify::jsonl;
use capsule_core::exit;

use crate::args::ClassifyArgs;
use crate::error::Outcome;
use crate::output;

pub(super) fn exec(args: &ClassifyArgs) -> Outcome {
    let rules = crate::rules::load(&args.more)?;
    let input: Box<dyn BufRead> = match &args.file {
        Some(path) if path.as_os_str() != "-" => {
            let file = File::open(path).with_context(|| format!("could not open `{}`", path.display()))?;
            Box::new(BufReader::with_capacity(1 << 16, file))
        }
        _ => Box::new(std::io::stdin().lock()),
    };
    let mut out = output::data();
    let mut unreadable = 0_u64;
    for (index, line) in input.split(b'\n').enumerate() {
        let line = line.context("could not read the commands")?;
        match jsonl::answer(&rules, &String::from_utf8_lossy(&line)) {
            Ok(Some(answer)) => writeln!(out, "{answer}")?,
            Ok(None) => {}
            Err(error) => {
                unreadable += 1;
                output::say(&format!("line {}: {error}", index + 1));
            }
        }
    }
    out.flush()?;
    Ok(if unreadable == 0 { exit::OK } else { exit::FAILURE })
}
