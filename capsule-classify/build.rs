//! Turns the embedded rules into JSON. People write TOML; JSON says the same and is read several times faster, at every
//! start of a recording.
#![allow(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

use std::error::Error;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=data");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo says no OUT_DIR")?);
    for entry in fs::read_dir("data")? {
        let path = entry?.path();
        let Some(name) = path.file_name().filter(|_| path.extension().is_some_and(|kind| kind == "toml")) else {
            continue;
        };
        let rules: toml::Table =
            toml::from_str(&fs::read_to_string(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        fs::write(out.join(name).with_extension("json"), serde_json::to_vec(&rules)?)?;
    }
    Ok(())
}
