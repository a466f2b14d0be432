//! `capsule man`: manual pages, from the same definitions as the command line itself.

use std::io::Write as _;

use anyhow::Context as _;
use capsule_core::exit;
use clap::CommandFactory as _;

use crate::args::{Args, ManArgs};
use crate::error::Outcome;
use crate::output;

pub(super) fn exec(args: &ManArgs) -> Outcome {
    let command = Args::command();
    match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("could not make `{}`", dir.display()))?;
            clap_mangen::generate_to(command, dir)
                .with_context(|| format!("could not write to `{}`", dir.display()))?;
        }
        None => {
            let mut out = output::data();
            clap_mangen::Man::new(command).render(&mut out)?;
            out.flush()?;
        }
    }
    Ok(exit::OK)
}
