//! `capsule chat`: a conversation with a model about a session.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use capsule_core::{escape_terminal, exit};
use rustyline::error::ReadlineError;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::ChatArgs;
use crate::ask::chat::{Chat, Checked};
use crate::ask::provider::Listener;
use crate::ask::transcript::Transcript;
use crate::ask::{Sessions, chat, config};
use crate::error::{Outcome, Problem};
use crate::{load, output};

pub(super) fn exec(args: &ChatArgs) -> Outcome {
    let (store, session) = load::find(&args.session)?;
    let id = session.id().to_string();
    let sessions = Sessions::new(&id, super::options()?);
    if args.show_context {
        let report = sessions.report(None)?;
        let endpoint = config::choose(args, config::defaults()?).ok();
        let mut out = output::data();
        out.write_all(
            visible(&chat::shown(&chat::context(&report, sessions.options())?, endpoint.as_ref())).as_bytes(),
        )?;
        out.flush()?;
        return Ok(exit::OK);
    }
    let endpoint = config::choose(args, config::defaults()?)?;
    let transcript = Transcript::open(&store, &id)?;
    let (path, to) = (transcript.path().display().to_string(), format!("{endpoint:?}"));
    let mut chat = Chat::new(sessions, endpoint, transcript)?;
    if args.new {
        chat.begin()?;
    }
    if let Some(question) = &args.ask {
        ask(&mut chat, question, &AtomicBool::new(false))?;
        return Ok(exit::OK);
    }
    if !std::io::stdin().is_terminal() {
        let mut failed = false;
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            if !line.trim().is_empty() && !said(ask(&mut chat, line.trim(), &AtomicBool::new(false)))? {
                failed = true;
            }
        }
        return Ok(if failed { exit::FAILURE } else { exit::OK });
    }
    output::say(&format!("session {id}, {to}"));
    output::say(
        "questions and what tools answer go there, nothing before the first; /context shows it, /new forgets, /quit ends",
    );
    if chat.earlier() > 0 {
        output::say(&format!("going on with {} earlier turns from {path}", chat.earlier()));
    }
    converse(&mut chat, &store.home().join("chats/history"))
}

fn converse(chat: &mut Chat, history: &std::path::Path) -> Outcome {
    // While a line is edited, Ctrl-C is a key; while an answer comes, it ends the answer and not the conversation.
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = super::runtime()?;
    let mut interrupts = {
        // Before the editor looks at the signal's handler, which it puts back after each line.
        let _entered = runtime.enter();
        signal(SignalKind::interrupt())?
    };
    let pressed = Arc::clone(&stop);
    runtime.spawn(async move {
        while interrupts.recv().await.is_some() {
            pressed.store(true, Ordering::Relaxed);
        }
    });
    let mut editor = rustyline::DefaultEditor::new()?;
    // No history yet is no failure.
    drop(editor.load_history(history));
    loop {
        let line = match editor.readline("? ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        let line = line.trim();
        match line {
            "" => continue,
            "/quit" | "/exit" => break,
            "/new" => chat.begin()?,
            "/context" => {
                let mut out = output::data();
                out.write_all(visible(&chat.shown()).as_bytes())?;
                out.flush()?;
            }
            question => {
                // A history that cannot be kept is no reason not to answer.
                drop(editor.add_history_entry(chat.clean(question)));
                drop(editor.save_history(history));
                stop.store(false, Ordering::Relaxed);
                said(ask(chat, question, &stop))?;
            }
        }
    }
    Ok(exit::OK)
}

/// A problem with one question is said, and the next can be asked; a reader that went away ends everything.
fn said(asked: Result<(), Problem>) -> Result<bool, Problem> {
    match asked {
        Ok(()) => Ok(true),
        Err(problem) if problem.is_broken_pipe() => Err(problem),
        Err(problem) => {
            output::problem(&problem);
            Ok(false)
        }
    }
}

/// Text of a model, line by line without what a terminal would obey.
fn visible(text: &str) -> String {
    let spaced = text.replace('\t', "    ");
    let lines: Vec<String> = spaced.split('\n').map(|line| escape_terminal(line.as_bytes())).collect();
    lines.join("\n")
}

struct Printer<'a> {
    fresh: bool,
    stop: &'a AtomicBool,
}

impl Listener for Printer<'_> {
    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        let mut out = output::data();
        out.write_all(visible(text).as_bytes())?;
        out.flush()?;
        self.fresh = text.ends_with('\n');
        Ok(())
    }

    fn note(&mut self, note: &str) {
        // The line that the model began ends; where nobody reads it any more, its next text says so.
        if !self.fresh {
            self.text("\n").unwrap_or(());
        }
        output::say(&note.chars().take(300).collect::<String>());
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

fn ask(chat: &mut Chat, question: &str, stop: &AtomicBool) -> Result<(), Problem> {
    let mut printer = Printer { fresh: true, stop };
    let asked = chat.ask(question, &mut printer);
    if !printer.fresh {
        printer.text("\n")?;
    }
    let Checked { known, unknown } = asked?;
    let mut out = output::data();
    if !known.is_empty() {
        writeln!(out, "[records: {}]", known.join(" "))?;
    }
    if !unknown.is_empty() {
        writeln!(out, "[NOT IN THE SESSION, do not rely on: {}]", visible(&unknown.join(" ")))?;
    }
    if known.is_empty() && unknown.is_empty() {
        writeln!(out, "[no record cited]")?;
    }
    out.flush()?;
    Ok(())
}
