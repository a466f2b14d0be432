//! What `why` says, to people and to models alike: the words for a deed, which deed weighs most, and the line that led to it.

use capsule_core::EffectKind;

/// What was done, in words; `linked` where a second path is part of it.
pub(crate) const fn verb(kind: EffectKind, linked: bool) -> &'static str {
    match kind {
        EffectKind::FileWrite => "wrote",
        EffectKind::FileCreate if linked => "linked",
        EffectKind::FileCreate => "created",
        EffectKind::FileDelete => "deleted",
        EffectKind::FileRename => "renamed",
        EffectKind::FileMode => "changed the attributes of",
        EffectKind::FileRead => "read",
        EffectKind::NetConnect => "connected to",
        EffectKind::NetListen => "listened at",
        EffectKind::Privilege => "changed its privileges by",
        EffectKind::Ptrace => "took hold of",
        EffectKind::Mount => "mounted",
        EffectKind::Handoff => "handed work to",
    }
}

/// What is said first of a thing: who changed it (0), who read it (1), who only named it (2).
pub(crate) const fn rank(did: Option<EffectKind>) -> u8 {
    match did {
        None => 2,
        Some(EffectKind::FileRead) => 1,
        Some(_) => 0,
    }
}

/// From the first process down to `of`, itself included. A parent with a number that is not below its child's is none, so this
/// ends whatever the records say.
pub(crate) fn lineage<'a, T>(
    of: &'a T,
    number: impl Fn(&T) -> u32,
    parent: impl Fn(&'a T) -> Option<&'a T>,
) -> Vec<&'a T> {
    let mut line = vec![of];
    let mut at = of;
    while let Some(next) = parent(at).filter(|next| number(next) < number(at)) {
        line.push(next);
        at = next;
    }
    line.reverse();
    line
}
