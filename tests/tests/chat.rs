//! A conversation with a model, which a scripted server plays: three protocols, and everything that servers do wrong.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tests::scripted::{Scripted, Step, event, refusal, stream, stream_head};

use crate::terminal::press;
use tests::{Home, skipped, stderr, stdout};

/// A secret that the recorded command had among its arguments, and a line that a terminal would obey.
const SECRET: &str = "sk-ant-api03-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4";

fn recorded() -> Home {
    let home = Home::new();
    let script = "/bin/ls / >/dev/null; /bin/echo \"$1\" >/dev/null; exit 3";
    let output = home.capsule(["run", "--tracer", "ptrace", "sh", "-c", script, "sh", SECRET]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    home
}

/// A protocol, and how its server says things.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speaks {
    Anthropic,
    Openai,
    Gemini,
}

const ALL: [Speaks; 3] = [Speaks::Anthropic, Speaks::Openai, Speaks::Gemini];

impl Speaks {
    fn key(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::Openai => "OPENAI_API_KEY",
            Self::Gemini => "GEMINI_API_KEY",
        }
    }

    fn base(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_BASE_URL",
            Self::Openai => "OPENAI_BASE_URL",
            Self::Gemini => "GOOGLE_GEMINI_BASE_URL",
        }
    }

    /// A piece of the answer's text.
    fn piece(self, text: &str) -> Value {
        match self {
            Self::Anthropic => {
                json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": text } })
            }
            Self::Openai => json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }),
            Self::Gemini => json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] } }] }),
        }
    }

    /// The end of the answer.
    fn end(self, why: &str) -> Vec<Value> {
        match self {
            Self::Anthropic => vec![
                json!({ "type": "message_delta", "delta": { "stop_reason": why } }),
                json!({ "type": "message_stop" }),
            ],
            Self::Openai => {
                vec![json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": why }] }), json!("[DONE]")]
            }
            Self::Gemini => vec![json!({ "candidates": [{ "content": { "parts": [] }, "finishReason": why }] })],
        }
    }

    fn stop(self) -> &'static str {
        match self {
            Self::Anthropic => "end_turn",
            Self::Openai => "stop",
            Self::Gemini => "STOP",
        }
    }

    /// A whole answer in pieces.
    fn says(self, pieces: &[&str]) -> Vec<Step> {
        let mut events: Vec<Value> = pieces.iter().map(|piece| self.piece(piece)).collect();
        events.extend(self.end(self.stop()));
        stream(&events)
    }

    /// A wish for a tool, its arguments in two pieces where the protocol has pieces.
    fn calls(self, tool: &str, arguments: &str) -> Vec<Step> {
        let (first, second) = arguments.split_at(arguments.len() / 2);
        let mut events = match self {
            Self::Anthropic => {
                let delta = |part: &str| {
                    json!({ "type": "content_block_delta", "index": 1,
                            "delta": { "type": "input_json_delta", "partial_json": part } })
                };
                vec![
                    json!({ "type": "message_start", "message": { "role": "assistant" } }),
                    json!({ "type": "ping" }),
                    json!({ "type": "content_block_start", "index": 1,
                            "content_block": { "type": "tool_use", "id": "toolu_1", "name": tool, "input": {} } }),
                    delta(first),
                    delta(second),
                    json!({ "type": "content_block_stop", "index": 1 }),
                ]
            }
            Self::Openai => {
                let delta = |call: Value| json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] });
                vec![
                    delta(json!({ "index": 0, "id": "call_1", "type": "function",
                                  "function": { "name": tool, "arguments": first } })),
                    delta(json!({ "index": 0, "function": { "arguments": second } })),
                ]
            }
            Self::Gemini => {
                let arguments: Value = serde_json::from_str(arguments).unwrap_or(json!({}));
                vec![json!({ "candidates": [{ "content": { "parts": [
                    { "text": "hidden thinking", "thought": true },
                    { "functionCall": { "name": tool, "args": arguments }, "thoughtSignature": "c2ln" },
                ] } }] })]
            }
        };
        events.extend(self.end(match self {
            Self::Anthropic => "tool_use",
            Self::Openai => "tool_calls",
            Self::Gemini => "STOP",
        }));
        stream(&events)
    }
}

/// `capsule chat` without the tester's own keys, servers and files.
fn chat(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(["chat"]);
    command.args(args);
    for speaks in ALL {
        command.env_remove(speaks.key()).env_remove(speaks.base());
    }
    command.env_remove("GOOGLE_API_KEY").env_remove("OLLAMA_HOST").env("XDG_CONFIG_HOME", home.path().join("config"));
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

/// Asks one question of a server that speaks so.
fn ask(home: &Home, server: &Scripted, speaks: Speaks, more: &[&str]) -> Output {
    let mut args = vec!["--ask", "what did it do?", "--timeout", "2", "--model", "m-1"];
    args.extend(more);
    let mut command = chat(home, &args);
    command.env(speaks.key(), "test-key").env(speaks.base(), server.base());
    command.output().expect("it runs")
}

#[test]
fn each_protocol_streams_uses_tools_and_cites() {
    let home = recorded();
    for speaks in ALL {
        let server = Scripted::start(vec![
            speaks.calls("find_processes", r#"{"program": "ls"}"#),
            speaks.says(&["It ran ", "ls (proc:2), ", "and failed (proc:1)."]),
        ]);
        let output = ask(&home, &server, speaks, &["--new"]);
        let (out, err) = (stdout(&output), stderr(&output));
        assert!(output.status.success(), "{speaks:?}: {err}");
        assert_eq!(out, "It ran ls (proc:2), and failed (proc:1).\n[records: proc:2 proc:1]\n", "{speaks:?}");
        assert!(err.contains("find_processes"), "{speaks:?}: {err}");
        assert!(!out.contains("hidden"), "{speaks:?}");

        let asked = server.asked();
        assert_eq!(asked.len(), 2, "{speaks:?}");
        let (head, first, second) = (asked[0].head.to_ascii_lowercase(), &asked[0].body, asked[1].body.to_string());
        let path = match speaks {
            Speaks::Anthropic => "post /v1/messages ",
            Speaks::Openai => "post /chat/completions ",
            Speaks::Gemini => "post /v1beta/models/m-1:streamgeneratecontent?alt=sse ",
        };
        assert!(head.starts_with(path) && head.contains("test-key"), "{speaks:?}: {head}");
        assert!(!first.to_string().contains("test-key"), "{speaks:?}");
        assert!(first.to_string().contains("what did it do?"), "{speaks:?}");
        let tools = match speaks {
            Speaks::Gemini => &first["tools"][0]["functionDeclarations"],
            _ => &first["tools"],
        };
        assert_eq!(tools.as_array().map(Vec::len), Some(11), "{speaks:?}");
        // The answer of the tool went back, with the call that it answers.
        assert!(second.contains("proc:2") && second.contains("/bin/ls"), "{speaks:?}: {second}");
        let back = match speaks {
            Speaks::Anthropic => ("toolu_1", 2),
            Speaks::Openai => ("call_1", 2),
            Speaks::Gemini => ("c2ln", 1),
        };
        assert_eq!(second.matches(back.0).count(), back.1, "{speaks:?}: {second}");
        // Redaction holds for everything that is sent.
        assert!(!format!("{first}{second}").contains(SECRET), "{speaks:?}: a secret was sent");
    }
}

#[test]
fn records_that_do_not_exist_are_flagged_and_escapes_are_shown() {
    let home = recorded();
    for speaks in ALL {
        let server = Scripted::start(vec![speaks.says(&[
            "\u{1b}]0;owned\u{7}\u{1b}[2J",
            "see proc:99999, event:1, risk:7 and 20000101T000000Z-abcdef#proc:1",
            "\u{202e}\r\nbye \u{9b}31m",
        ])]);
        let output = ask(&home, &server, speaks, &["--new"]);
        let out = stdout(&output);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{out:?}");
        assert!(!out.contains('\u{202e}') && out.contains("\\e]0;owned"), "{out:?}");
        assert!(out.contains("[records: event:1]"), "{out:?}");
        assert!(
            out.contains("[NOT IN THE SESSION, do not rely on: proc:99999 risk:7 20000101T000000Z-abcdef#proc:1]"),
            "{out:?}"
        );
    }
}

#[test]
fn a_model_that_asks_for_nonsense_is_told_so() {
    let home = recorded();
    for speaks in ALL {
        let server = Scripted::start(vec![
            speaks.calls("\u{1b}[31mrm_rf", "{}"),
            speaks.calls("get_process", r#"{"proc": 99999, "session": "latest"}"#),
            speaks.calls("risks", r#"{"max_tokens": "many"}"#),
            speaks.says(&["I give up."]),
        ]);
        let output = ask(&home, &server, speaks, &["--new"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!stderr(&output).contains('\u{1b}'), "{:?}", stderr(&output));
        assert_eq!(stdout(&output), "I give up.\n[no record cited]\n");
        let asked = server.asked();
        let last = |at: usize| asked[at].body.to_string();
        assert!(last(1).contains("there is no tool"), "{}", last(1));
        assert!(last(2).contains("there is no process 99999"), "{}", last(2));
        assert!(last(3).contains("do not fit"), "{}", last(3));
    }
    // Arguments that are no JSON: only two protocols can send such.
    for speaks in [Speaks::Anthropic, Speaks::Openai] {
        let server = Scripted::start(vec![speaks.calls("risks", "{\"a\": "), speaks.says(&["Well."])]);
        let output = ask(&home, &server, speaks, &["--new"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(server.asked()[1].body.to_string().contains("arguments of a tool are an object"), "{speaks:?}");
    }
}

#[test]
fn a_model_that_never_ends_is_ended() {
    let home = recorded();
    for speaks in ALL {
        let server = Scripted::start((0..20).map(|_| speaks.calls("risks", "{}")).collect());
        let output = ask(&home, &server, speaks, &["--new"]);
        assert_eq!(output.status.code(), Some(1), "{speaks:?}");
        assert!(stderr(&output).contains("did not come to an answer"), "{}", stderr(&output));
        assert_eq!(server.asked().len(), 12, "{speaks:?}");
    }
    // Events without end, and a line without end.
    let endless = |mut steps: Vec<Step>, part: Step, times: usize| {
        steps.extend((0..times).map(|_| part.clone()));
        steps
    };
    let chunk = |text: String| Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes());
    let head = || vec![Step::Send(stream_head())];
    let many = event(&Speaks::Openai.piece(&"x".repeat(1 << 20)));
    for (steps, said) in [
        (endless(head(), many, 40), "longer than"),
        (endless(head(), chunk("x".repeat(1 << 20)), 40), "a line of more than"),
    ] {
        let server = Scripted::start(vec![steps]);
        let output = ask(&home, &server, Speaks::Openai, &["--new"]);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn refusals_are_said_and_a_busy_server_is_asked_again() {
    let home = recorded();
    for speaks in ALL {
        let said = |status: &str, text: &str| refusal(status, "", &json!({ "error": { "message": text } }).to_string());
        for (status, text, help) in [
            ("401 Unauthorized", "invalid \u{1b}[31mkey", "is the key right?"),
            ("400 Bad Request", "max_tokens: too large", "400"),
            ("404 Not Found", "no such model", "name of the model"),
        ] {
            let server = Scripted::start(vec![said(status, text)]);
            let output = ask(&home, &server, speaks, &["--new"]);
            let err = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{speaks:?}: {err}");
            assert!(err.contains(help) && err.contains(&text.replace('\u{1b}', "\\e")), "{speaks:?}: {err}");
            assert!(!err.contains('\u{1b}') && !err.contains("test-key"), "{err}");
            assert_eq!(server.asked().len(), 1);
        }
        // Redirects would carry the session elsewhere.
        let elsewhere = Scripted::start(vec![speaks.says(&["stolen"])]);
        let headers = format!("location: {}/v1/messages\r\n", elsewhere.base());
        let server = Scripted::start(vec![refusal("307 Temporary Redirect", &headers, "")]);
        let output = ask(&home, &server, speaks, &["--new"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("redirects are not followed"), "{}", stderr(&output));
        assert!(elsewhere.asked().is_empty());

        let busy = |headers: &str| refusal("429 Too Many Requests", headers, r#"{"error": {"message": "slow down"}}"#);
        let server =
            Scripted::start(vec![busy("retry-after: 0\r\n"), busy("retry-after: 1\r\n"), speaks.says(&["Done."])]);
        let output = ask(&home, &server, speaks, &["--new"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("slow down; trying again in 1 s"), "{}", stderr(&output));
        assert_eq!(server.asked().len(), 3);
        // Nobody waits for an hour, and nobody asks for ever.
        for script in [vec![busy("retry-after: 3600\r\n")], vec![busy("retry-after: 0\r\n"); 9]] {
            let times = script.len().min(4);
            let server = Scripted::start(script);
            let output = ask(&home, &server, speaks, &["--new"]);
            assert_eq!(output.status.code(), Some(1));
            assert!(stderr(&output).contains("answered 429"), "{}", stderr(&output));
            assert_eq!(server.asked().len(), times);
        }
    }
}

#[test]
fn slow_and_broken_streams_are_no_answers() {
    let home = recorded();
    for speaks in ALL {
        let head = || Step::Send(stream_head());
        let part = || event(&speaks.piece("It began"));
        let wait = |ms| Step::Wait(Duration::from_millis(ms));
        let broken = [
            ("closed", vec![head(), part()], "broke off"),
            ("closed in a chunk", vec![head(), part(), Step::Send(b"40\r\ndata: {\"cho".to_vec())], "broke off"),
            ("ended early", vec![head(), part(), Step::Send(b"0\r\n\r\n".to_vec())], "broke off"),
            ("stalled", vec![head(), part(), wait(6000)], "broke off"),
            ("not JSON", vec![head(), part(), event(&json!("{nonsense"))], "no JSON"),
            ("no bytes at all", vec![], "no answer from"),
            ("no HTTP", vec![Step::Send(b"\xff\xfe\x00 what?\r\n\r\n".to_vec())], "no answer from"),
            (
                "an error in the stream",
                vec![head(), part(), event(&json!({ "type": "error", "error": { "message": "overloaded" } }))],
                "gave up: overloaded",
            ),
        ];
        for (what, steps, said) in broken {
            let began = steps.len() > 1;
            let server = Scripted::start(vec![steps]);
            let output = ask(&home, &server, speaks, &["--new"]);
            let err = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{speaks:?}, {what}: {err}");
            assert!(err.contains(said) && !err.contains("panicked"), "{speaks:?}, {what}: {err}");
            assert!(!stdout(&output).contains("record"), "{speaks:?}, {what}: nothing was answered");
            assert_eq!(stdout(&output).contains("It began"), began, "{speaks:?}, {what}");
        }
        // Slow, in pieces that are not events, is an answer.
        let mut bytes = Vec::new();
        for step in speaks.says(&["Ä", "b"]) {
            if let Step::Send(more) = step {
                bytes.extend(more);
            }
        }
        let mut steps = Vec::new();
        for part in bytes.chunks(bytes.len() / 12) {
            steps.extend([Step::Send(part.to_vec()), wait(120)]);
        }
        let server = Scripted::start(vec![steps]);
        let output = ask(&home, &server, speaks, &["--new"]);
        assert!(stdout(&output).starts_with("Äb\n"), "{speaks:?}: {}", stderr(&output));
        // What was cut is said.
        let mut events = vec![speaks.piece("It is")];
        events.extend(speaks.end(["max_tokens", "length", "MAX_TOKENS"][speaks as usize]));
        let server = Scripted::start(vec![stream(&events)]);
        let output = ask(&home, &server, speaks, &["--new"]);
        assert!(stderr(&output).contains("stopped early"), "{speaks:?}: {}", stderr(&output));
    }
}

#[test]
fn the_conversation_goes_on_beside_the_session_and_never_inside() {
    let home = recorded();
    let speaks = Speaks::Anthropic;
    let server = Scripted::start(vec![
        speaks.calls("risks", "{}"),
        speaks.says(&["The first answer (proc:1)."]),
        speaks.says(&["The second."]),
        speaks.says(&["The third."]),
    ]);
    let files = |home: &Home| {
        let mut names: Vec<_> =
            std::fs::read_dir(home.session()).expect("a session").flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = files(&home);
    let ask = |question: &str, more: &[&str]| {
        let mut args = vec!["--ask", question];
        args.extend(more);
        let mut command = chat(&home, &args);
        command.env("ANTHROPIC_API_KEY", "k").env("ANTHROPIC_BASE_URL", server.base());
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    ask(&format!("is {SECRET} in it?"), &[]);
    ask("and then?", &[]);
    ask("anew?", &["--new"]);
    let asked = server.asked();
    let second = asked[2].body["messages"].as_array().expect("messages").clone();
    // Question, answer, question: what tools said is not sent again.
    assert_eq!(second.len(), 3, "{second:?}");
    assert_eq!(second[1]["content"][0]["text"], "The first answer (proc:1).");
    assert_eq!(asked[3].body["messages"].as_array().map(Vec::len), Some(1), "--new forgets");
    assert!(!asked.iter().any(|asked| asked.body.to_string().contains(SECRET)), "a secret in a question was sent");

    assert_eq!(files(&home), before);
    assert_eq!(home.capsule(["verify"]).status.code(), Some(0));
    let id = home.metadata()["id"].as_str().expect("an id").to_owned();
    let path = home.path().join("chats").join(format!("{id}.jsonl"));
    let text = std::fs::read_to_string(&path).expect("a transcript");
    assert!(text.contains("The second.") && text.contains("and then?") && !text.contains(SECRET), "{text}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    // A torn line and a link do no harm.
    std::fs::write(&path, format!("{text}{{\"role\":\"us")).expect("written");
    let shown = chat(&home, &["--show-context"]).output().expect("it runs");
    assert!(shown.status.success(), "{}", stderr(&shown));
    std::fs::remove_file(&path).expect("removed");
    let aim = home.path().join("aim");
    std::fs::write(&aim, "").expect("written");
    std::os::unix::fs::symlink(&aim, &path).expect("linked");
    let mut command = chat(&home, &["--ask", "x"]);
    command.env("ANTHROPIC_API_KEY", "k").env("ANTHROPIC_BASE_URL", server.base());
    assert_eq!(command.output().expect("it runs").status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&aim).expect("it is there"), "", "a link is not followed");
    // What was said goes with the session.
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, text).expect("written");
    let other = home.capsule(["run", "--tracer", "ptrace", "true"]);
    assert!(other.status.success(), "{}", stderr(&other));
    let pruned = home.capsule(["prune", "--max-sessions", "1", "--yes"]);
    assert!(pruned.status.success(), "{}", stderr(&pruned));
    assert!(!path.exists());
}

#[test]
fn nothing_is_sent_to_show_the_context() {
    let home = recorded();
    let server = Scripted::start(vec![Speaks::Openai.says(&["x"])]);
    let mut command = chat(&home, &["--show-context", "--model", "m"]);
    command.env("OPENAI_API_KEY", "very-secret-key").env("OPENAI_BASE_URL", server.base());
    let output = command.output().expect("it runs");
    let out = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(out.contains(&server.base()) && out.contains("openai m at"), "{out}");
    assert!(out.contains("find_processes") && out.contains("proc:1") && out.contains("untrusted_text"), "{out}");
    assert!(!out.contains("very-secret-key") && !out.contains(SECRET), "{out}");
    assert!(server.asked().is_empty());
    // What is shown is what is sent.
    let mut command = chat(&home, &["--ask", "q?", "--model", "m"]);
    command.env("OPENAI_API_KEY", "k").env("OPENAI_BASE_URL", server.base());
    assert!(command.output().expect("it runs").status.success());
    let sent = server.asked()[0].body["messages"][0]["content"].as_str().expect("a system message").to_owned();
    let instructions = sent.split("\n\n").next().expect("a part").to_owned();
    assert!(out.contains(&instructions), "{out}");
}

#[test]
fn who_answers_is_chosen_by_flag_file_key_and_what_listens_here() {
    let home = recorded();
    let models = || {
        let body = r#"{"data": [{"id": "local-model"}]}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        vec![Step::Send(format!("{head}{body}").into_bytes())]
    };
    let context = |args: &[&str], environment: &[(&str, &str)]| {
        let mut all = vec!["--show-context"];
        all.extend(args);
        let mut command = chat(&home, &all);
        command.envs(environment.iter().copied());
        stdout(&command.output().expect("it runs")).lines().next().unwrap_or_default().to_owned()
    };
    assert!(context(&[], &[("GEMINI_API_KEY", "k"), ("OPENAI_API_KEY", "k")]).contains("openai "));
    assert!(context(&[], &[("GOOGLE_API_KEY", "k")]).contains("gemini "));
    assert!(
        context(&["--provider", "gemini"], &[("GEMINI_API_KEY", "k"), ("OPENAI_API_KEY", "k")]).contains("gemini ")
    );
    assert!(
        context(&["--model", "m-7"], &[("ANTHROPIC_API_KEY", "k")])
            .contains("anthropic m-7 at https://api.anthropic.com")
    );
    let file = home.path().join("config.toml");
    std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
    std::fs::write(&file, "[chat]\nprovider = \"gemini\"\nmodel = \"m-8\"\n").expect("written");
    assert!(context(&[], &[("GEMINI_API_KEY", "k"), ("OPENAI_API_KEY", "k")]).contains("gemini m-8 at"));
    std::fs::write(&file, "[chat]\nprovder = \"gemini\"\n").expect("written");
    let wrong = chat(&home, &["--ask", "x"]).output().expect("it runs");
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("provder"), "{}", stderr(&wrong));
    std::fs::remove_file(&file).expect("removed");

    // A server on this machine is found without a word about the session, and a key is not for it.
    let server = Scripted::start(vec![models(), Speaks::Openai.says(&["Local (proc:1)."])]);
    let mut command = chat(&home, &["--ask", "what?"]);
    command.env("OLLAMA_HOST", server.base().trim_start_matches("http://"));
    let output = command.output().expect("it runs");
    assert!(stdout(&output).starts_with("Local (proc:1)."), "{}", stderr(&output));
    let asked = server.asked();
    assert!(asked[0].head.starts_with("GET /v1/models") && asked[0].body.is_null(), "{}", asked[0].head);
    assert_eq!(asked[1].body["model"], "local-model");
    let server =
        Scripted::start(vec![models(), Speaks::Openai.says(&["Hm."]), models(), Speaks::Openai.says(&["Hm."])]);
    let base = format!("{}/v1", server.base());
    for (more, sent) in [(vec![], false), (vec!["--key-env", "OPENAI_API_KEY"], true)] {
        let mut args = vec!["--ask", "what?", "--base-url", &base];
        args.extend(more);
        let output = chat(&home, &args).env("OPENAI_API_KEY", "not-for-you").output().expect("it runs");
        assert!(output.status.success(), "{}", stderr(&output));
        let heads: String = server.asked().iter().map(|asked| asked.head.as_str()).collect();
        assert_eq!(heads.contains("not-for-you"), sent);
    }
    for (args, said) in [
        (["--base-url", "http://192.0.2.1/v1", "--key-env", "OPENAI_API_KEY"], "not sent over http://"),
        (["--base-url", "file:///etc/passwd", "--model", "m"], "no http:// or https://"),
        (["--base-url", "https://192.0.2.1/v1", "--key-env", "CAPSULE_TEST_NO_SUCH"], "CAPSULE_TEST_NO_SUCH"),
    ] {
        let mut command = chat(&home, &args);
        let output = command.args(["--ask", "x"]).env("OPENAI_API_KEY", "k").output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn without_a_model_the_choices_are_named() {
    let test = "without_a_model_the_choices_are_named";
    let home = recorded();
    if [11434, 8080, 8000].iter().any(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
        return skipped(test, "something listens where local models do (ports 11434, 8080, 8000)");
    }
    let output = chat(&home, &["--ask", "what?"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let err = stderr(&output);
    for choice in
        ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "--base-url", "export --ai-ready", "mcp", "explain"]
    {
        assert!(err.contains(choice), "{choice}: {err}");
    }
    let output = chat(&home, &["--show-context"]).output().expect("it runs");
    assert!(output.status.success() && stdout(&output).contains("no model chosen"), "{}", stderr(&output));
}

#[test]
fn piped_questions_are_answered_line_by_line_and_a_terminal_edits_them() {
    let home = recorded();
    let speaks = Speaks::Anthropic;
    let refused = || refusal("400 Bad Request", "", "{\"error\": {\"message\": \"not that\"}}");
    let server = Scripted::start(vec![speaks.says(&["One."]), refused(), speaks.says(&["Three."])]);
    let mut command = chat(&home, &[]);
    command.env("ANTHROPIC_API_KEY", "k").env("ANTHROPIC_BASE_URL", server.base());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut input = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut input, b"one?\n\ntwo?\nthree?").expect("written");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(stdout(&output), "One.\n[no record cited]\nThree.\n[no record cited]\n", "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(1), "one question was not answered");
    // The failed question is not part of the next.
    let last = server.asked()[2].body["messages"].to_string();
    assert!(last.contains("one?") && !last.contains("two?"), "{last}");

    // A server that begins and then is silent for longer than anybody waits.
    let silent =
        vec![Step::Send(stream_head()), event(&speaks.piece("It goes on and")), Step::Wait(Duration::from_secs(3))];
    let server = Scripted::start(vec![speaks.says(&["Edited \u{1b}[2J."]), silent, speaks.says(&["Again."])]);
    let mut command = chat(&home, &["--new"]);
    command.env("ANTHROPIC_API_KEY", "k").env("ANTHROPIC_BASE_URL", server.base()).env("TERM", "xterm");
    command.stdin(Stdio::inherit());
    let mut terminal = rexpect::session::spawn_command(command, Some(20_000)).expect("a terminal");
    terminal.exp_string("nothing before the first").expect("a greeting");
    terminal.exp_string("? ").expect("a prompt");
    // Backspace (DEL) takes back, Enter sends.
    press(&mut terminal, "whax\u{7f}t?\r");
    terminal.exp_string("Edited \\e[2J.").expect("an answer without its escapes");
    terminal.exp_string("no record cited").expect("the records");
    // Ctrl-C stops an answer, and nothing else.
    press(&mut terminal, "never?\r");
    terminal.exp_string("It goes on and").expect("a beginning");
    press(&mut terminal, "\u{3}");
    terminal.exp_string("error: stopped").expect("it stops");
    terminal.exp_string("? ").expect("a prompt");
    // The arrow up, twice, brings the question back.
    press(&mut terminal, "\u{1b}[A\u{1b}[A\r");
    terminal.exp_string("Again.").expect("an answer");
    press(&mut terminal, "/context\r");
    terminal.exp_string("To: anthropic").expect("the context");
    press(&mut terminal, "/quit\r");
    terminal.exp_eof().expect("the end");
    let asked = server.asked();
    let last = |at: usize| asked[at].body["messages"].as_array().and_then(|all| all.last().cloned()).expect("messages");
    assert_eq!((&last(0)["content"], &last(2)["content"]), (&json!("what?"), &json!("what?")));
    assert!(!asked[2].body["messages"].to_string().contains("never?"), "a stopped question is no part of the next");
    let history = std::fs::read_to_string(home.path().join("chats/history")).expect("a history");
    assert!(history.contains("what?"), "{history}");
}

#[test]
fn a_server_that_nobody_vouches_for_hears_nothing() {
    let test = "a_server_that_nobody_vouches_for_hears_nothing";
    if !tests::installed("openssl") {
        return skipped(test, "needs openssl");
    }
    let home = recorded();
    let (key, certificate) = (home.path().join("key.pem"), home.path().join("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", stderr(&made));
    let other = std::path::Path::new("/etc/ssl/certs/ca-certificates.crt");
    let mut roots = vec![(certificate.clone(), true)];
    if other.exists() {
        roots.push((other.to_owned(), false));
    }
    for (roots, trusted) in roots {
        // A port that was free a moment ago: openssl takes none of its own choice.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port").port();
        let mut server = Command::new("openssl")
            .args(["s_server", "-quiet", "-naccept", "1", "-accept", &format!("127.0.0.1:{port}")])
            .arg("-key")
            .arg(&key)
            .arg("-cert")
            .arg(&certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let mut answer = Vec::new();
        for step in Speaks::Openai.says(&["Under a seal."]) {
            if let Step::Send(bytes) = step {
                answer.extend(bytes);
            }
        }
        // What is written before anybody connects is the first thing that who connects gets.
        let mut input = server.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut input, &answer).expect("written");
        let base = format!("https://localhost:{port}/v1");
        let mut output = None;
        for _ in 0..50 {
            let mut command =
                chat(&home, &["--new", "--ask", "what?", "--base-url", &base, "--model", "m", "--timeout", "5"]);
            command.env("OPENAI_API_KEY", "test-key").env("SSL_CERT_FILE", &roots).env_remove("SSL_CERT_DIR");
            let got = command.output().expect("it runs");
            if !stderr(&got).contains("refused") {
                output = Some(got);
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let output = output.expect("the server listens");
        server.kill().expect("it was there");
        drop(input);
        let heard = String::from_utf8_lossy(&server.wait_with_output().expect("it ends").stdout).into_owned();
        if trusted {
            assert_eq!(stdout(&output), "Under a seal.\n[no record cited]\n", "{}", stderr(&output));
            assert!(heard.contains("Bearer test-key") && heard.contains("what?"), "{heard}");
        } else {
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
            assert!(stderr(&output).contains("certificate"), "{}", stderr(&output));
            assert!(!heard.contains("test-key"), "{heard}");
        }
    }
}
