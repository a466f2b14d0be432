//! Reads JSON lines on standard input and prints a verdict for each: what `capsule classify` does, for scoring from here.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example that is a command line program")]

use std::io::BufRead as _;

fn main() {
    let rules = capsule_classify::Rules::builtin();
    for problem in rules.check() {
        eprintln!("{problem}");
    }
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        match capsule_classify::jsonl::answer(&rules, &line) {
            Ok(Some(answer)) => println!("{answer}"),
            Ok(None) => {}
            Err(error) => eprintln!("{error}"),
        }
    }
}
