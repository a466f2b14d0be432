//! The page in a browser: Debian's headless Chromium, where it is installed. A probe beside the page's own script searches,
//! opens, moves and clicks as a person would, and writes down what it saw.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use capsule_core::{ExitStatus, Role, Severity, Workflow};
use serde_json::Value;

use super::page;
use crate::support::{self, Made, tool, with_role};

/// Runs before the page's script: notes errors and violations of the policy.
const BEFORE: &str = "
window.seen = {errors: [], alerts: 0};
addEventListener('error', e => seen.errors.push(String(e.message)));
addEventListener('unhandledrejection', e => seen.errors.push(String(e.reason)));
document.addEventListener('securitypolicyviolation', e => seen.errors.push('policy: ' + e.violatedDirective));
window.alert = () => { seen.alerts++; };
const log = console.error; console.error = (...all) => { seen.errors.push(all.join(' ')); log(...all); };
";

/// Common to all probes: how to act and what to write.
const TOOLS: &str = "
const $ = id => document.getElementById(id);
const wait = ms => new Promise(done => setTimeout(done, ms));
const rows = () => [...document.querySelectorAll('.row')];
const texts = () => rows().sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top)).map(r => r.querySelector('.text').textContent);
const search = async q => { $('q').value = q; $('q').dispatchEvent(new Event('input')); await wait(200); };
const key = (on, name) => on.dispatchEvent(new KeyboardEvent('keydown', {key: name, bubbles: true, cancelable: true}));
const report = value => { const e = document.createElement('pre'); e.id = 'probe'; e.textContent = JSON.stringify({...seen, ...value}); document.body.append(e); };
";

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name))).find(|file| file.is_file())
}

/// Opens the page with the probe in it, and returns what the probe wrote; `None` without a browser.
fn probe(page: &str, probe: &str) -> Option<Value> {
    let Some(browser) = chromium() else {
        eprintln!("SKIPPED: no chromium here; `apt-get install chromium` to run the tests of the HTML report");
        return None;
    };
    let nonce = "nonce=\"0123456789abcdef\"";
    let page = page.replacen("<style", &format!("<script {nonce}>{BEFORE}</script><style"), 1);
    let script = format!(
        "<script {nonce}>{TOOLS}\n(async () => {{ try {{ {probe} }} catch (e) {{ report({{crashed: String(e.stack)}}); }} }})();</script></body>"
    );
    let page = page.replacen("</body>", &script, 1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.html");
    std::fs::write(&file, page).unwrap();
    let dump = dir.path().join("dom");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args(["--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", dir.path().join("profile").display()))
        .arg(format!("file://{}", file.display()))
        .env("HOME", dir.path())
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&dump).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the browser did not come back");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let dom = String::from_utf8_lossy(&std::fs::read(dump).unwrap()).into_owned();
    let (_, rest) = dom.split_once("<pre id=\"probe\">").expect("the probe wrote nothing");
    let json = rest.split_once("</pre>").unwrap().0;
    let json = json.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
    let seen: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(seen["crashed"], Value::Null, "{seen}");
    assert_eq!(seen["errors"], serde_json::json!([]), "{seen}");
    assert_eq!(seen["alerts"], 0);
    Some(seen)
}

#[test]
fn the_page_can_be_searched_expanded_and_steered_by_keys() {
    let steps = "
        const all = texts();
        await search('pytest');
        const found = texts(), hit = document.querySelectorAll('.row.hit').length;
        await search('');
        $('collapse').click(); const closed = texts();
        $('expand').click(); const open = texts();
        $('all').click(); const everything = texts(); $('all').click();
        $('failed').click(); const failed = document.querySelectorAll('.row.hit').length; $('failed').click();
        const tree = $('tree'); tree.focus();
        key(tree, 'Home'); key(tree, 'ArrowDown'); key(tree, 'ArrowDown');
        const selected = document.querySelector('.row.sel .text').textContent, details = $('detail').textContent;
        key(tree, 'Home'); key(tree, 'ArrowLeft'); const folded = texts().length; key(tree, 'ArrowRight');
        document.querySelector('a.proc[data-proc=\"41\"]').click();
        const linked = document.querySelector('.row.sel .text').textContent;
        const theme = document.documentElement.dataset.theme; key(document.body, 't');
        const other = document.documentElement.dataset.theme;
        key($('lanes'), '+'); key($('lanes'), 'ArrowRight'); key($('lanes'), '0');
        await wait(100);
        const pixels = $('lanes').getContext('2d').getImageData(0, 0, $('lanes').width, $('lanes').height).data;
        const painted = pixels.some(value => value !== 0);
        report({all, found, hit, closed, open, everything: everything.length, failed, selected, details, folded, linked, changed: theme !== other, painted});
    ";
    let Some(seen) = probe(&page(support::rich(), 50_000), steps) else { return };
    let count = |name: &str| seen[name].as_array().unwrap().len();
    assert_eq!(count("all"), 12, "{seen}");
    assert_eq!((count("found"), seen["hit"].as_u64().unwrap()), (5, 4), "{seen}");
    assert_eq!(count("open"), 12);
    assert!(count("closed") < 12 && seen["folded"] == 1, "{seen}");
    assert!(seen["everything"].as_u64().unwrap() > 40, "{seen}");
    assert_eq!(seen["failed"], 2, "{seen}");
    assert_eq!(seen["linked"], "cat /home/user/.ssh/id_rsa");
    assert_eq!(seen["changed"], true);
    assert_eq!(seen["painted"], true);
    assert!(seen["details"].as_str().unwrap().contains("arguments"), "{seen}");
}

#[test]
fn equal_commands_in_a_row_are_one_line_until_it_is_opened() {
    let mut made = support::sample();
    for n in 0..30 {
        made.done(capsule_core::ProcId(1), 4500 + n, 1, &["true"], tool(None, "true"), 0);
    }
    let steps = "
        const lines = () => texts().filter(text => text === 'true').length;
        const folded = lines(), times = document.querySelector('.times').textContent;
        const tree = $('tree'); tree.focus(); key(tree, 'End'); key(tree, 'Enter');
        const open = lines();
        $('collapse').click(); $('expand').click(); const again = lines();
        await search('true'); const found = lines();
        report({folded, times, open, again, found});
    ";
    let Some(seen) = probe(&page(made, 6000), steps) else { return };
    assert_eq!((seen["folded"].as_u64(), seen["times"].as_str()), (Some(1), Some("×30")), "{seen}");
    assert_eq!((seen["open"].as_u64(), seen["again"].as_u64(), seen["found"].as_u64()), (Some(30), Some(1), Some(30)));
}

#[test]
fn twenty_thousand_processes_are_never_all_in_the_page() {
    let steps = "
        const first = rows().length;
        $('expand').click(); const open = rows().length, height = $('spacer').style.height;
        $('tree').scrollTop = 300000;
        // The browser tells of scrolling with a frame, and a loaded machine draws none for a while.
        window.requestAnimationFrame = next => setTimeout(next, 0);
        $('tree').dispatchEvent(new Event('scroll'));
        for (let n = 0; n < 50 && !(texts()[20] || '').includes('file12'); n++) await wait(20);
        const deep = texts();
        await search('file19999'); const found = texts();
        report({first, open, height, deep: deep.length, middle: deep[20], found});
    ";
    let Some(seen) = probe(&page(support::wide(20_000), 30_000), steps) else { return };
    for name in ["first", "open", "deep"] {
        assert!((1..120).contains(&seen[name].as_u64().unwrap()), "{seen}");
    }
    assert_eq!(seen["height"], "480048px");
    assert!(seen["middle"].as_str().unwrap().contains("file12"), "{seen}");
    assert_eq!(seen["found"], serde_json::json!(["agent", "bash build.sh", "true file19999"]));
}

#[test]
fn hostile_text_is_inert() {
    let attacks = [
        "</script><script>alert(1)</script>",
        "<img src=x onerror=alert(2)>",
        "\"><svg onload=alert(3)>",
        "javascript:alert(4)",
        "{{constructor.constructor('alert(5)')()}}",
        "<!--<script>alert(6)</script>",
        "<style>*{display:none}</style>",
        "__proto__",
    ];
    let mut made = Made::new(&attacks);
    let agent = made.run(None, 0, &attacks, with_role(Role::Agent, attacks[0]));
    for (n, attack) in attacks.iter().enumerate() {
        let at = 10 * n as u64;
        let proc = made.run(Some(agent), at, &[attack, attack], tool(Some(Workflow::FileAnalysis), attack));
        made.effect(proc, at + 1, capsule_core::EffectKind::FileWrite, attack, None);
        made.connect(proc, at + 2, attack, 80);
        made.risk(proc, Severity::High, attack, attack);
        made.end(proc, at + 5, ExitStatus::Exited(1));
    }
    let steps = "
        $('all').click(); $('expand').click();
        const tree = $('tree'); key(tree, 'Home');
        for (let n = 0; n < 8; n++) { key(tree, 'ArrowDown'); await wait(20); }
        const shown = texts();
        await search('<img');
        report({shown, foreign: document.querySelectorAll('img,svg,iframe,object,embed').length, scripts: document.scripts.length, hidden: getComputedStyle(document.body).display});
    ";
    let Some(seen) = probe(&page(made, 1000), steps) else { return };
    assert_eq!((seen["foreign"].as_u64(), seen["scripts"].as_u64()), (Some(0), Some(4)), "{seen}");
    assert_eq!(seen["hidden"], "block");
    assert_eq!(seen["shown"].as_array().unwrap().len(), 9, "{seen}");
}
