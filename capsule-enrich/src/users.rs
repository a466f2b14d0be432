//! Names of users and groups, looked up once each.

use std::collections::HashMap;

use nix::unistd::{Gid, Group, Uid, User};

/// How many names are remembered of each kind.
const LIMIT: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Names {
    users: HashMap<u32, Option<String>>,
    groups: HashMap<u32, Option<String>>,
}

impl Names {
    pub(crate) fn user(&mut self, uid: u32) -> Option<String> {
        lookup(&mut self.users, uid, |uid| Some(User::from_uid(Uid::from_raw(uid)).ok()??.name))
    }

    pub(crate) fn group(&mut self, gid: u32) -> Option<String> {
        lookup(&mut self.groups, gid, |gid| Some(Group::from_gid(Gid::from_raw(gid)).ok()??.name))
    }
}

fn lookup(known: &mut HashMap<u32, Option<String>>, id: u32, find: impl Fn(u32) -> Option<String>) -> Option<String> {
    if let Some(name) = known.get(&id) {
        return name.clone();
    }
    if known.len() >= LIMIT {
        known.clear();
    }
    known.entry(id).or_insert_with(|| find(id)).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_nobody_in_particular_has_none() {
        let mut names = Names::default();
        assert_eq!(names.user(0).as_deref(), Some("root"));
        assert_eq!(names.group(0).as_deref().map(|name| name.is_empty()), Some(false));
        assert_eq!(names.user(4_000_000_123), None);
    }
}
