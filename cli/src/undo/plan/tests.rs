//! Plans that are easily wrong.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::*;

#[test]
fn renames_in_a_circle_lose_nothing() {
    let path = |name: &str| PathBuf::from(format!("/d/{name}"));
    let renames = vec![(path("b"), path("a")), (path("c"), path("b")), (path("a"), path("c")), (path("x"), path("y"))];
    let (leaving, renames) = aside(renames, &[]);
    assert_eq!(leaving.len(), 3);
    let mut files: BTreeMap<PathBuf, &str> = ["a", "b", "c", "x"].map(|name| (path(name), name)).into();
    for (from, to) in leaving.into_iter().chain(renames) {
        assert!(!files.contains_key(&to), "nothing is in the way at {to:?}");
        let file = files.remove(&from).unwrap();
        files.insert(to, file);
    }
    let expect = [("a", "b"), ("b", "c"), ("c", "a"), ("y", "x")].map(|(at, was)| (path(at), was));
    assert_eq!(files, expect.into());
}
