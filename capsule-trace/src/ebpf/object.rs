//! An object of kernel programs, made ready for the kernel that runs: its maps made, its fields' offsets put right, its
//! programs verified and attached one by one.
//!
//! `aya-obj` reads the object and relocates it. What `aya`'s own loader does beyond that takes several times longer than all
//! of this: it reads the kernel's whole type information whatever it is given, and tries a dozen features that every kernel
//! has which runs these programs at all.

use std::collections::{BTreeMap, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use aya::maps::{MapData, MapError};
use aya_obj::btf::{BtfError, BtfFeatures, BtfRelocationError};
use aya_obj::relocation::EbpfRelocationError;
use aya_obj::{Object, ParseError};

use super::sys;

/// How much the verifier may say of a program that it refuses.
const LOG: usize = 1 << 20;
/// How much of that is told: its end says why.
const LOG_TOLD: usize = 400;

/// What Linux 5.17 has, the oldest kernel with all that the programs call; enumerations of 64 bits came later.
const FEATURES: BtfFeatures = BtfFeatures::new(true, true, true, true, true, true, true, false);

/// Why programs do not load.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    #[error("the object is damaged")]
    Parse(#[from] ParseError),
    #[error("the object's type information is damaged")]
    Types(#[from] BtfError),
    #[error("the kernel's structures are not those that the programs read")]
    Fields(#[from] BtfRelocationError),
    #[error("the object's references do not resolve")]
    References(#[from] EbpfRelocationError),
    #[error(transparent)]
    Map(#[from] MapError),
    #[error("{what}")]
    Refused { what: String, source: io::Error },
    #[error("{what} `{name}` is not in the object")]
    Missing { what: &'static str, name: &'static str },
}

fn refused(what: impl Into<String>) -> impl FnOnce(io::Error) -> ObjectError {
    let what = what.into();
    |source| ObjectError::Refused { what, source }
}

/// Programs and maps of one object.
#[derive(Debug)]
pub(super) struct Programs {
    object: Object,
    types: OwnedFd,
    maps: BTreeMap<String, MapData>,
    /// Programs that know the types of their tracepoint, with the kernel's number of that.
    typed: BTreeMap<&'static str, u32>,
    loaded: BTreeMap<&'static str, OwnedFd>,
    attached: Vec<OwnedFd>,
}

impl Programs {
    /// Makes the maps, of these sizes, and fits the programs to the kernel whose types are in `kernel`, with `constants`.
    /// `typed` are programs that know the types of their tracepoint (`tp_btf`), with the kernel's number of that type.
    pub(super) fn new(
        object: &[u8],
        kernel: &aya_obj::btf::Btf,
        sizes: &[(&str, u32)],
        constants: &[(&str, &[u8])],
        typed: &[(&'static str, u32)],
    ) -> Result<Self, ObjectError> {
        let mut object = Object::parse(object)?;
        object.patch_map_data(constants.iter().map(|(name, value)| (*name, (*value, true))).collect())?;
        let types = object.fixup_and_sanitize_btf(&FEATURES)?.map(aya_obj::btf::Btf::to_bytes).unwrap_or_default();
        let types = sys::load_types(&types).map_err(refused("the object's type information was refused"))?;
        object.relocate_btf(kernel)?;
        for (name, size) in sizes {
            if let Some(map) = object.maps.get_mut(*name) {
                map.set_max_entries(*size);
            }
        }
        let mut maps = BTreeMap::new();
        for (name, map) in &object.maps {
            let made = MapData::create(map.clone(), name, Some(types.as_fd()))?;
            if !map.data().is_empty() {
                sys::set_constants(made.fd().as_fd(), map.data().to_vec())
                    .map_err(refused("constants were refused"))?;
            }
            maps.insert(name.clone(), made);
        }
        let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
        // The relocation borrows the maps' definitions beside the programs that it changes.
        let definitions = object.maps.clone();
        let found = definitions.iter().filter_map(|(name, map)| {
            let made = maps.get(name)?;
            Some((name.as_str(), made.fd().as_fd().as_raw_fd(), map))
        });
        object.relocate_maps(found, &sections)?;
        object.relocate_calls(&sections)?;
        let typed = typed.iter().copied().collect();
        Ok(Self { object, types, maps, typed, loaded: BTreeMap::new(), attached: Vec::new() })
    }

    /// A map, which is no longer here then.
    pub(super) fn take_map(&mut self, name: &'static str) -> Result<MapData, ObjectError> {
        self.maps.remove(name).ok_or(ObjectError::Missing { what: "the map", name })
    }

    /// Has a program verified, unless it is already.
    pub(super) fn load(&mut self, name: &'static str) -> Result<(), ObjectError> {
        if self.loaded.contains_key(name) {
            return Ok(());
        }
        let missing = || ObjectError::Missing { what: "the program", name };
        let program = self.object.programs.get(name).ok_or_else(missing)?;
        let function = self.object.functions.get(&program.function_key()).ok_or_else(missing)?;
        let typed = self.typed.get(name).copied();
        let load = |log: &mut [u8]| sys::load_program(name, function, &program.license, self.types.as_fd(), typed, log);
        let loaded = match load(&mut []) {
            Ok(loaded) => loaded,
            // Once more, to be told why.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EACCES | libc::E2BIG)) => {
                let mut log = vec![0; LOG];
                load(&mut log).map_err(refused(format!("the program `{name}` was refused{}", said(&log))))?
            }
            Err(error) => return Err(refused(format!("the program `{name}` was refused"))(error)),
        };
        self.loaded.insert(name, loaded);
        Ok(())
    }

    /// Attaches a program to a raw tracepoint until all of this is dropped.
    pub(super) fn attach(&mut self, name: &'static str, tracepoint: &'static str) -> Result<(), ObjectError> {
        self.load(name)?;
        let program = self.loaded.get(name).ok_or(ObjectError::Missing { what: "the program", name })?;
        let refused = refused(format!("the tracepoint `{tracepoint}` was refused"));
        let attached = CString::new(tracepoint)
            .map_err(io::Error::from)
            .and_then(|tracepoint| {
                let named = (!self.typed.contains_key(name)).then_some(tracepoint.as_c_str());
                sys::open_raw_tracepoint(named, program.as_fd())
            })
            .map_err(refused)?;
        self.attached.push(attached);
        Ok(())
    }
}

/// The end of what the verifier said, in one line.
fn said(log: &[u8]) -> String {
    let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
    let log = log.get(end.saturating_sub(LOG_TOLD)..end).unwrap_or_default();
    let lines: Vec<String> = log
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    if lines.is_empty() { String::new() } else { format!(" ({})", lines.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_verifiers_log_is_told() {
        assert_eq!(said(&[0; 8]), "");
        assert_eq!(said(b"1: (95) exit\nR0 !read_ok\n\0\0\0"), " (1: (95) exit; R0 !read_ok)");
        let long = [b"x".repeat(10_000), b"\nlast\n".to_vec()].concat();
        assert!(said(&long).len() < LOG_TOLD + 8 && said(&long).ends_with("; last)"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let kernel = aya_obj::btf::Btf::new();
        assert!(matches!(Programs::new(b"no ELF", &kernel, &[], &[], &[]), Err(ObjectError::Parse(_))));
    }
}
