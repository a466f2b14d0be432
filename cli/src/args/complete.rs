//! What a shell completes: the program itself is asked, so that sessions, settings and shims are among the answers.
//!
//! The shell's function (`capsule completions SHELL` prints it) runs the program with [`VARIABLE`] set and the words so far.

use std::ffi::OsString;

use capsule_core::escape_terminal;
use capsule_io::Store;
use clap::CommandFactory as _;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::Args;

/// The variable that asks for completions, and names the shell.
pub const VARIABLE: &str = "CAPSULE_COMPLETE";
/// How many sessions are offered, the latest.
const SESSIONS: usize = 50;
/// How much of a session's command is shown.
const COMMAND: usize = 60;

/// Answers a shell that asks for completions; says whether one did.
///
/// # Errors
/// When the answer cannot be given.
pub fn asked(arguments: &[OsString]) -> Result<bool, clap::Error> {
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    let here = std::env::current_dir().ok();
    CompleteEnv::with_factory(Args::command).var(VARIABLE).try_complete(arguments.to_vec(), here.as_deref())
}

/// The function that a shell needs, as a script.
///
/// # Errors
/// When it cannot be written.
pub fn script(shell: &str, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(shell) else {
        return Err(std::io::Error::other(format!("there are no completions for {shell}")));
    };
    completer.write_registration(VARIABLE, "capsule", "capsule", "capsule", out)?;
    if shell == "bash" {
        let taking = |values: usize| options_of_run(values).join("|");
        let script = BASH.replace("@ONE@", &taking(1)).replace("@TWO@", &taking(2));
        out.write_all(script.as_bytes())?;
    }
    Ok(())
}

/// The options of `run` that take so many values.
fn options_of_run(values: usize) -> Vec<String> {
    let mut line = Args::command();
    line.build();
    let Some(run) = line.find_subcommand("run") else { return Vec::new() };
    let takes = |option: &&clap::Arg| option.get_num_args().is_some_and(|range| range.min_values() == values);
    let names = |option: &clap::Arg| {
        let long = option.get_long().map(|long| format!("--{long}"));
        long.into_iter().chain(option.get_short().map(|short| format!("-{short}")))
    };
    run.get_opts().filter(takes).flat_map(names).collect()
}

/// bash takes a session id apart at its colons, and replaces only what comes after the last one. The command of `capsule run`
/// is completed as if it stood alone: by what bash-completion knows of it, else as a program, and its arguments as files.
const BASH: &str = r#"
_capsule_command() {
    [[ ${COMP_WORDS[1]} == run ]] || return 1
    command=2
    while ((command < COMP_CWORD)); do
        case ${COMP_WORDS[command]} in
            --) command=$((command + 1)); return ;;
            @ONE@) command=$((command + 2)); [[ ${COMP_WORDS[command - 1]} == = ]] && command=$((command + 1)) ;;
            @TWO@) command=$((command + 3)) ;;
            -*) command=$((command + 1)) ;;
            *) return ;;
        esac
    done
    ((command == COMP_CWORD)) && [[ ${COMP_WORDS[command]} != [-=]* ]]
}
_capsule() {
    local command
    if _capsule_command; then
        compopt +o nospace
        if declare -F _comp_command_offset >/dev/null; then
            _comp_command_offset "$command"
        elif declare -F _command_offset >/dev/null; then
            _command_offset "$command"
        elif ((command == COMP_CWORD)) && [[ $2 != */* ]]; then
            COMPREPLY=($(compgen -c -- "$2"))
        else
            compopt -o default
            COMPREPLY=()
        fi
        return
    fi
    local words=() word prefix
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if ((${#words[@]} > 1)) && [[ $word == : || ${words[${#words[@]}-1]} == *: ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
    done
    local COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
    word=${words[COMP_CWORD]}
    _clap_complete_capsule "$1" "$word" "$3"
    prefix=${word%"${word##*:}"}
    COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
}
complete -o nospace -o bashdefault -F _capsule capsule
"#;

/// The latest sessions, with their commands.
pub(super) fn sessions() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let mut found = vec![CompletionCandidate::new("latest")];
        let Ok(store) = Store::open() else { return found };
        for id in store.ids().unwrap_or_default().into_iter().rev().take(SESSIONS) {
            let metadata = store.session(&id).and_then(|session| session.metadata());
            let command = metadata.map(|metadata| {
                let words: Vec<String> = metadata.command.iter().map(escape_terminal).collect();
                words.join(" ").chars().take(COMMAND).collect::<String>()
            });
            found.push(CompletionCandidate::new(id.to_string()).help(command.ok().map(Into::into)));
        }
        found
    })
}

/// The settings there are.
pub(super) fn settings() -> ArgValueCandidates {
    ArgValueCandidates::new(|| crate::config::KEYS.iter().map(|key| CompletionCandidate::new(key.name)).collect())
}

/// The names in the directory of shims.
pub(super) fn shims() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let Ok(store) = Store::open() else { return Vec::new() };
        let entries = std::fs::read_dir(store.home().join("bin")).into_iter().flatten().flatten();
        entries.map(|entry| CompletionCandidate::new(entry.file_name())).collect()
    })
}
