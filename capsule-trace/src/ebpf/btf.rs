//! The part of the kernel's type information that the programs need.
//!
//! `/sys/kernel/btf/vmlinux` holds some 150,000 types, and to read them all takes several times longer than the kernel
//! takes to verify the programs. [`subset`] makes one pass over the bytes and keeps the
//! structures that the programs name, with their members; what a pointer points to, and embedded structures that
//! nobody asked for, become empty shells, which is all that a relocation of a field's offset looks at.
//!
//! The format is described in the kernel's `Documentation/bpf/btf.rst`.

use std::collections::{HashMap, HashSet};

use memchr::memchr;

/// Every structure that `bpf/core.h` declares; a test compares.
pub(super) const WANTED: &[&str] = &[
    "cred",
    "dentry",
    "fdtable",
    "file",
    "files_struct",
    "fs_struct",
    "linux_binprm",
    "hlist_bl_node",
    "inode",
    "in6_addr",
    "mm_struct",
    "mount",
    "ns_common",
    "path",
    "pid",
    "pid_namespace",
    "pt_regs",
    "qstr",
    "sched_entity",
    "signal_struct",
    "sock",
    "sock_common",
    "sockaddr_un",
    "socket",
    "task_io_accounting",
    "task_struct",
    "tty_driver",
    "tty_struct",
    "unix_address",
    "unix_sock",
    "upid",
    "user_pt_regs",
    "vfsmount",
];

const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
const TYPE: usize = 12;

mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The first three words of a type.
#[derive(Debug, Clone, Copy)]
struct Type {
    name: u32,
    info: u32,
    size_or_type: u32,
}

impl Type {
    fn read(types: &[u8], at: usize) -> Option<Self> {
        Some(Self { name: u32_at(types, at)?, info: u32_at(types, at + 4)?, size_or_type: u32_at(types, at + 8)? })
    }

    const fn kind(self) -> u32 {
        (self.info >> 24) & 0x1f
    }

    /// How many bytes follow the three words; `None` for a kind that this does not know, and so cannot skip.
    fn extra(self) -> Option<usize> {
        let count = to_usize(self.info & 0xffff);
        Some(match self.kind() {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => count * 12,
            kind::ENUM | kind::FUNC_PROTO => count * 8,
            kind::PTR..=kind::TYPE_TAG => 0,
            _ => return None,
        })
    }
}

struct Kernel<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where type n begins; type 0 is `void`.
    offsets: Vec<u32>,
    wanted: HashSet<u32>,
    /// Which type has the name that was asked for.
    named: u32,
}

impl<'a> Kernel<'a> {
    fn read(bytes: &'a [u8], wanted_names: &[&str], typedef: &str) -> Option<Self> {
        if u16_at(bytes, 0)? != MAGIC {
            return None;
        }
        let header = to_usize(u32_at(bytes, 4)?);
        let section = |offset: usize| -> Option<&'a [u8]> {
            let start = header.checked_add(to_usize(u32_at(bytes, offset)?))?;
            bytes.get(start..start.checked_add(to_usize(u32_at(bytes, offset + 4)?))?)
        };
        let (types, strings) = (section(8)?, section(16)?);
        let names: HashSet<&[u8]> = wanted_names.iter().map(|name| name.as_bytes()).collect();
        let offsets = Vec::with_capacity(types.len() / 24);
        let mut kernel = Self { types, strings, offsets, wanted: HashSet::new(), named: 0 };
        kernel.offsets.push(0);
        let mut at = 0;
        while at < types.len() {
            let found = Type::read(types, at)?;
            if matches!(found.kind(), kind::STRUCT | kind::UNION)
                && found.name != 0
                && names.contains(kernel.name(found))
            {
                kernel.wanted.insert(u32::try_from(kernel.offsets.len()).ok()?);
            }
            if found.kind() == kind::TYPEDEF && kernel.name(found) == typedef.as_bytes() {
                kernel.named = u32::try_from(kernel.offsets.len()).ok()?;
            }
            kernel.offsets.push(u32::try_from(at).ok()?);
            at = at.checked_add(TYPE + found.extra()?)?;
        }
        Some(kernel)
    }

    fn name(&self, of: Type) -> &'a [u8] {
        let rest = self.strings.get(to_usize(of.name)..).unwrap_or_default();
        memchr(0, rest).and_then(|end| rest.get(..end)).unwrap_or_default()
    }

    fn at(&self, id: u32) -> Option<(usize, Type)> {
        let offset = to_usize(*self.offsets.get(to_usize(id))?);
        Some((offset, Type::read(self.types, offset)?))
    }

    /// The type behind names and qualifiers.
    fn resolved(&self, mut id: u32) -> Option<u32> {
        for _ in 0..64 {
            if id == 0 {
                return Some(0);
            }
            let (_, found) = self.at(id)?;
            match found.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = found.size_or_type;
                }
                _ => return Some(id),
            }
        }
        None
    }
}

/// The subset while it is made: types are numbered as they are met.
struct Subset<'a> {
    kernel: Kernel<'a>,
    types: Vec<u8>,
    strings: Vec<u8>,
    names: HashMap<u32, u32>,
    numbers: HashMap<u32, u32>,
    queue: Vec<u32>,
}

impl Subset<'_> {
    fn word(&mut self, value: u32) {
        self.types.extend_from_slice(&value.to_ne_bytes());
    }

    fn name(&mut self, offset: u32) -> Option<u32> {
        if offset == 0 {
            return Some(0);
        }
        if let Some(known) = self.names.get(&offset) {
            return Some(*known);
        }
        let text = self.kernel.name(Type { name: offset, info: 0, size_or_type: 0 });
        let new = u32::try_from(self.strings.len()).ok()?;
        self.strings.extend_from_slice(text);
        self.strings.push(0);
        self.names.insert(offset, new);
        Some(new)
    }

    /// The new number of a type, which is written later.
    fn number(&mut self, id: u32) -> Option<u32> {
        let id = self.kernel.resolved(id)?;
        if id == 0 {
            return Some(0);
        }
        if let Some(known) = self.numbers.get(&id) {
            return Some(*known);
        }
        self.queue.push(id);
        let new = u32::try_from(self.queue.len()).ok()?;
        self.numbers.insert(id, new);
        Some(new)
    }

    fn write(&mut self, id: u32) -> Option<()> {
        let (at, found) = self.kernel.at(id)?;
        let name = self.name(found.name)?;
        let kind = found.kind();
        let empty = found.info & !0xffff;
        let whole = found.name == 0 || self.kernel.wanted.contains(&id);
        match kind {
            kind::STRUCT | kind::UNION if whole => {
                self.write_head(name, found.info, found.size_or_type);
                for member in 0..to_usize(found.info & 0xffff) {
                    let at = at + TYPE + member * 12;
                    let (member_name, member_type, offset) = (
                        u32_at(self.kernel.types, at)?,
                        u32_at(self.kernel.types, at + 4)?,
                        u32_at(self.kernel.types, at + 8)?,
                    );
                    let (member_name, member_type) = (self.name(member_name)?, self.number(member_type)?);
                    for word in [member_name, member_type, offset] {
                        self.word(word);
                    }
                }
            }
            kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => {
                self.write_head(name, empty, found.size_or_type);
            }
            kind::PTR => self.write_head(0, found.info, 0),
            kind::INT => {
                self.write_head(name, found.info, found.size_or_type);
                let encoding = u32_at(self.kernel.types, at + TYPE)?;
                self.word(encoding);
            }
            kind::ARRAY => {
                self.write_head(name, found.info, found.size_or_type);
                let (element, index, count) = (
                    u32_at(self.kernel.types, at + TYPE)?,
                    u32_at(self.kernel.types, at + TYPE + 4)?,
                    u32_at(self.kernel.types, at + TYPE + 8)?,
                );
                let (element, index) = (self.number(element)?, self.number(index)?);
                for word in [element, index, count] {
                    self.word(word);
                }
            }
            kind::FWD | kind::FLOAT => self.write_head(name, found.info, found.size_or_type),
            // Functions and data are nobody's member.
            _ => self.write_head(0, kind::PTR << 24, 0),
        }
        Some(())
    }

    fn write_head(&mut self, name: u32, info: u32, size_or_type: u32) {
        for word in [name, info, size_or_type] {
            self.word(word);
        }
    }
}

/// A part of a kernel's type information.
pub(super) struct Part {
    /// The types, in the same format, with numbers of their own.
    pub(super) types: Vec<u8>,
    /// The kernel's number of one type.
    pub(super) named: u32,
}

/// The types called `wanted` out of a kernel's type information, and the number that the kernel gives to `typedef`. `None`
/// where `bytes` is not in a format that this knows, or there is no such type; the whole is then to be used.
pub(super) fn subset(bytes: &[u8], wanted: &[&str], typedef: &str) -> Option<Part> {
    let kernel = Kernel::read(bytes, wanted, typedef)?;
    let named = Some(kernel.named).filter(|id| *id != 0)?;
    let mut roots: Vec<u32> = kernel.wanted.iter().copied().collect();
    roots.sort_unstable();
    let mut subset = Subset {
        kernel,
        types: Vec::new(),
        strings: vec![0],
        names: HashMap::new(),
        numbers: HashMap::new(),
        queue: Vec::new(),
    };
    for root in roots {
        subset.number(root)?;
    }
    let mut next = 0;
    while let Some(id) = subset.queue.get(next).copied() {
        subset.write(id)?;
        next += 1;
    }
    let (types, strings) = (u32::try_from(subset.types.len()).ok()?, u32::try_from(subset.strings.len()).ok()?);
    let mut out = Vec::with_capacity(HEADER + subset.types.len() + subset.strings.len());
    out.extend_from_slice(&MAGIC.to_ne_bytes());
    out.extend_from_slice(&[1, 0]);
    for word in [u32::try_from(HEADER).ok()?, 0, types, types, strings] {
        out.extend_from_slice(&word.to_ne_bytes());
    }
    out.extend_from_slice(&subset.types);
    out.extend_from_slice(&subset.strings);
    Some(Part { types: out, named })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_no_structure_that_is_not_kept() {
        let header = include_str!("../../bpf/core.h");
        let mut declared: Vec<&str> =
            header.lines().filter_map(|line| line.strip_prefix("struct ")?.strip_suffix(" {")).collect();
        declared.sort_unstable();
        declared.dedup();
        let mut wanted = WANTED.to_vec();
        wanted.sort_unstable();
        assert_eq!(wanted, declared);
    }

    #[test]
    fn damaged_type_information_is_refused_and_never_panics() {
        assert!(subset(b"", WANTED, "btf_trace_sys_exit").is_none());
        assert!(subset(b"\x9f\xeb\x01\x00garbage", WANTED, "btf_trace_sys_exit").is_none());
        let Ok(mut bytes) = std::fs::read("/sys/kernel/btf/vmlinux") else {
            println!("SKIPPED: this kernel has no BTF");
            return;
        };
        for cut in [0, 10, 24, 30, 1000, 100_000] {
            assert!(subset(bytes.get(..cut).unwrap(), WANTED, "btf_trace_sys_exit").is_none(), "cut at {cut}");
        }
        for at in (24..4000).step_by(7) {
            bytes[at] ^= 0xff;
        }
        // Whatever it makes of it: no panic, no endless loop.
        drop(subset(&bytes, WANTED, "btf_trace_sys_exit"));
    }
}
