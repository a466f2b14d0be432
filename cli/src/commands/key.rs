//! `capsule key`: keys for sealing and signing. Nothing is ever overwritten.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use capsule_core::exit;
use capsule_io::{SigningKey, key};

use crate::args::{KeyArgs, KeyCommand};
use crate::error::{Outcome, Problem};
use crate::output;

pub(super) fn exec(args: &KeyArgs) -> Outcome {
    match &args.command {
        KeyCommand::New { sealing, verification } => {
            let (sealer, verifier) = key::generate()?;
            write_new(verification, &verifier.to_text())?;
            sealer.save_new(sealing)?;
            output::say(&format!("pair {}: capsule run --key {} …", verifier.name(), sealing.display()));
            output::say(&format!("keep {} on another machine: capsule verify --key", verification.display()));
        }
        KeyCommand::Sign { private, public } => {
            let signer = SigningKey::generate()?;
            write_new(public, &signer.public().to_pem())?;
            signer.save_new(private)?;
            output::say(&format!("key {}: capsule run --sign {} …", signer.public().id(), private.display()));
            output::say(&format!("give {} to whoever checks: capsule verify --signed-by", public.display()));
        }
    }
    Ok(exit::OK)
}

fn write_new(path: &Path, text: &str) -> Result<(), Problem> {
    let failed = || format!("could not write `{}`", path.display());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(failed)?;
    file.write_all(text.trim_end().as_bytes()).and_then(|()| file.write_all(b"\n")).with_context(failed)?;
    Ok(())
}
