//! The page without a browser; [`browser`] opens it in one.

use capsule_core::{ProcId, Role, Severity};
use serde_json::Value;

use crate::support::{self, Made, tool, with_role};
use crate::{Options, Report};

mod browser;

fn page(made: Made, at: u64) -> String {
    let options = Options { fence: "0123456789abcdef".to_owned(), ..Options::default() };
    let mut out = Vec::new();
    super::html(&Report::assemble(&made.view(at), &options), &options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn data(page: &str) -> Value {
    let (_, rest) = page.split_once("id=\"data\" nonce=\"0123456789abcdef\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn hostile_text_never_becomes_markup() {
    let attack = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>\"'&\u{202e}\u{1b}[2J";
    let mut made = Made::new(&["agent", attack]);
    made.metadata.cwd = attack.into();
    made.metadata.host.name = attack.to_owned();
    let agent = made.run(None, 0, &[attack, attack], with_role(Role::Agent, attack));
    let proc = made.done(agent, 10, 5, &[attack, attack], tool(None, attack), 1);
    made.effect(proc, 11, capsule_core::EffectKind::FileRename, attack, Some(attack));
    made.connect(proc, 12, attack, 80);
    made.risk(proc, Severity::High, "Odd", attack);
    made.gap(13, 1, attack);
    let page = page(made, 100);
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("<img") && !page.contains("<!--") && !page.contains('\u{202e}') && !page.contains('\u{1b}'));
    let data = data(&page);
    assert!(data["procs"][1][5].as_str().unwrap().starts_with("</script><script>alert(1)"));
}

#[test]
fn the_page_needs_nothing_but_itself() {
    let page = page(support::rich(), 50_000);
    for outside in ["src=", "http://", "https://", "@import", "url(", "<link", "fetch(", "XMLHttp"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn the_script_gets_every_process_and_no_cycle() {
    let mut made = support::rich();
    // A cycle, as only a forged session could have one.
    let (a, b) = (made.fork(Some(ProcId(1)), 40_000), made.fork(Some(ProcId(1)), 40_000));
    for event in &mut made.events {
        match event.proc {
            Some(proc) if proc == a => event.parent = Some(b),
            Some(proc) if proc == b => event.parent = Some(a),
            _ => {}
        }
    }
    let data = data(&page(made, 50_000));
    let procs = data["procs"].as_array().unwrap();
    assert_eq!(procs.len(), 46);
    for start in 0..procs.len() {
        let parent = |at: usize| procs[at][0].as_u64().unwrap() as usize;
        let steps = std::iter::successors(Some(start), |at| parent(*at).checked_sub(1)).take(100).count();
        assert!(steps < 100, "process {} is its own ancestor", start + 1);
    }
}

#[test]
fn ten_thousand_levels_make_a_page() {
    let data = data(&page(support::deep(10_000, Role::Asked), 100_000));
    assert_eq!(data["procs"].as_array().unwrap().len(), 10_001);
}
