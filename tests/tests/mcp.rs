//! A model's client: raw JSON-RPC over stdio, and the official Python SDK where it is installed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tests::{Home, capsule_binary, eventually, skipped, stderr, stdout};

/// A session with known facts: what it ran, wrote and named.
fn recorded() -> Home {
    let home = Home::new();
    let script = "/bin/ls / >/dev/null; /bin/false; /bin/cat /etc/hostname | /usr/bin/wc -l; exit 3";
    let output = home.capsule(["run", "--tracer", "ptrace", "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    home
}

struct Client {
    server: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    next: u64,
}

impl Client {
    fn start(home: &Home) -> Self {
        let mut server = home
            .command(["mcp"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let (input, output) = (server.stdin.take(), server.stdout.take().expect("a pipe"));
        let mut client = Self { server, input, output: BufReader::new(output), next: 0 };
        let hello = json!({
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "test", "version": "1" },
        });
        let me = client.ask("initialize", hello);
        assert_eq!(me["result"]["serverInfo"]["name"], "capsule", "{me}");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("open");
        input.write_all(format!("{message}\n").as_bytes()).expect("the server reads");
        input.flush().expect("the server reads");
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        self.send(&json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params }));
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).expect("the server answers") > 0, "the server is gone");
            // Nothing but the protocol may be on stdout.
            let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if message["id"] == self.next {
                return message;
            }
        }
    }

    fn tool(&mut self, name: &str, arguments: Value) -> (bool, String) {
        let answer = self.ask("tools/call", json!({ "name": name, "arguments": arguments }));
        let result = &answer["result"];
        let text = result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{name}: {answer}")).to_owned();
        (result["isError"].as_bool().unwrap_or(false), text)
    }

    fn data(&mut self, name: &str, arguments: Value) -> Value {
        let (failed, text) = self.tool(name, arguments);
        assert!(!failed, "{name}: {text}");
        serde_json::from_str(&text).expect("answers are JSON")
    }

    fn end(mut self) {
        drop(self.input.take());
        let status = self.server.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "the end of input is a good end");
    }
}

#[test]
fn every_tool_answers_and_an_error_is_the_models_to_read() {
    let home = recorded();
    let mut client = Client::start(&home);
    let tools = client.ask("tools/list", json!({}));
    let tools = tools["result"]["tools"].as_array().expect("tools").clone();
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names.len(), 11, "{names:?}");
    for tool in &tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
    }
    let sessions = client.data("list_sessions", json!({}));
    let id = sessions["sessions"][0]["session"].as_str().expect("an id").to_owned();
    assert_eq!(sessions["sessions"][0]["exit_code"], 3);
    assert_eq!(client.data("session_summary", json!({ "session": id }))["session"]["id"], id.as_str());
    assert_eq!(client.data("process_tree", json!({ "all": true, "depth": 9 }))["total"], 5);
    let ls = client.data("find_processes", json!({ "program": "ls", "offset": null }));
    assert_eq!(ls["total"], 1);
    let proc = ls["items"][0]["ref"].as_str().and_then(|name| name.strip_prefix("proc:")).expect("a ref").to_owned();
    let one = client.data("get_process", json!({ "proc": proc.parse::<u32>().expect("a number") }));
    assert_eq!(one["about"]["ancestors_root_first"][0]["ref"], "proc:1");
    let why = client.data("why", json!({ "path": "/etc/hostname" }));
    assert_eq!(why["items"][0]["because_root_first"][0]["ref"], "proc:1", "{why}");
    assert_eq!(client.data("find_processes", json!({ "failed": true, "text": "FALSE" }))["total"], 2);
    for (tool, arguments) in [("risks", json!({})), ("files", json!({})), ("hosts", json!({ "local": true }))] {
        assert!(client.data(tool, arguments)["total"].is_u64(), "{tool}");
    }
    assert_eq!(client.data("verify_session", json!({}))["overall"], "whole");
    let diff = client.data("diff_sessions", json!({ "before": "latest" }));
    assert_eq!((&diff["commands"]["added_total"], &diff["programs"]["removed_total"]), (&json!(0), &json!(0)));

    let (failed, text) = client.tool("get_process", json!({ "proc": 99_999 }));
    assert!(failed && text.contains("processes are 1 to 5"), "{text}");
    let (failed, text) = client.tool("risks", json!({ "session": "2001" }));
    assert!(failed && text.contains("capsule list"), "{text}");
    let (failed, text) = client.tool("find_processes", json!({ "offset": "x" }));
    assert!(failed && text.contains("do not fit"), "{text}");
    assert!(client.ask("tools/call", json!({ "name": "rm", "arguments": {} }))["error"]["code"].is_i64());
    client.end();
}

#[test]
fn reports_are_resources_and_questions_are_prompts() {
    let home = recorded();
    let mut client = Client::start(&home);
    let resources = client.ask("resources/list", json!({}));
    let resources = resources["result"]["resources"].as_array().expect("resources").clone();
    assert_eq!(resources.len(), 3);
    for resource in resources {
        let read = client.ask("resources/read", json!({ "uri": resource["uri"] }));
        let contents = &read["result"]["contents"][0];
        assert_eq!(contents["mimeType"], resource["mimeType"], "{read}");
        assert!(contents["text"].as_str().is_some_and(|text| text.len() > 100), "{read}");
    }
    for uri in ["capsule://sessions/latest/raw", "capsule://sessions/../../etc/passwd/ai", "file:///etc/passwd"] {
        assert!(client.ask("resources/read", json!({ "uri": uri }))["error"]["code"].is_i64(), "{uri}");
    }
    let prompts = client.ask("prompts/list", json!({}));
    let prompts = prompts["result"]["prompts"].as_array().expect("prompts").clone();
    assert_eq!(prompts.len(), 3);
    for prompt in prompts {
        let got = client.ask("prompts/get", json!({ "name": prompt["name"], "arguments": { "session": "@{-1}" } }));
        assert!(got["result"]["messages"][0]["content"]["text"].as_str().is_some_and(|text| text.contains("@{-1}")));
    }
    client.end();
}

#[test]
fn a_client_that_says_nothing_is_no_failure_and_garbage_no_panic() {
    let home = Home::new();
    let output = home.command(["mcp"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let mut server = home.command(["mcp"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut server =
        server.as_mut().map(|server| server.stdin.take()).ok().flatten().zip(server.ok()).expect("it runs");
    // It may be gone before it has read everything.
    server.0.write_all(b"not json\n\xff\xfe\n{\"jsonrpc\":\"2.0\"}\n").unwrap_or(());
    drop(server.0);
    let output = server.1.wait_with_output().expect("it ends");
    assert!(output.status.code().is_some_and(|code| code <= 1), "{output:?}");
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn a_session_that_grows_is_read_again() {
    let home = Home::new();
    let script = "/bin/ls / >/dev/null; read line; /bin/cat /etc/hostname >/dev/null; read line";
    let mut run = home.command(["run", "-q", "--tracer", "ptrace", "sh", "-c", script]);
    let mut run = run.stdin(Stdio::piped()).spawn().expect("capsule starts");
    let mut input = run.stdin.take().expect("a pipe");
    eventually("the session", || home.path().join("runs").read_dir().is_ok_and(|mut runs| runs.next().is_some()));
    let mut client = Client::start(&home);
    let total = |client: &mut Client, program: &str| {
        // The first records may not be there yet, which is an error that the model reads.
        let (failed, text) = client.tool("find_processes", json!({ "program": program }));
        (!failed).then(|| serde_json::from_str::<Value>(&text).expect("JSON")["total"].clone())
    };
    eventually("ls", || total(&mut client, "ls") == Some(json!(1)));
    assert_eq!(total(&mut client, "cat"), Some(json!(0)), "it has not been started");
    assert_eq!(client.data("list_sessions", json!({}))["sessions"][0]["state"], "running");
    input.write_all(b"go on\n").expect("it reads");
    eventually("cat", || total(&mut client, "cat") == Some(json!(1)));
    assert!(run.try_wait().expect("it is ours").is_none(), "the session still runs");
    assert_eq!(client.data("verify_session", json!({}))["overall"], "running");
    drop(input);
    run.wait().expect("it ends");
    assert_eq!(client.data("verify_session", json!({}))["overall"], "whole");
    client.end();
}

/// Lists and calls with the client that most people have; prints what it got.
const SDK: &str = r#"
import asyncio, json, os, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def main():
    server = StdioServerParameters(command=sys.argv[1], args=["mcp"], env={"CAPSULE_HOME": os.environ["CAPSULE_HOME"]})
    async with stdio_client(server) as (read, write):
        async with ClientSession(read, write) as session:
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            answer = await session.call_tool("find_processes", {"program": "ls"})
            uri = (await session.list_resources()).resources[0].uri
            resource = await session.read_resource(uri)
            prompt = await session.get_prompt("is_anything_risky", {})
            print(json.dumps({"tools": len(tools), "ls": json.loads(answer.content[0].text)["total"],
                              "resource": len(resource.contents), "prompt": len(prompt.messages)}))

asyncio.run(main())
"#;

#[test]
fn the_official_python_client_understands_the_server() {
    let test = "the_official_python_client_understands_the_server";
    let python = std::env::var("CAPSULE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let importable = Command::new(&python)
        .args(["-c", "import mcp.client.stdio"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success());
    if !importable {
        return skipped(
            test,
            "python3 cannot import `mcp` (pip install mcp; CAPSULE_TEST_PYTHON names another python)",
        );
    }
    let home = recorded();
    let output = Command::new(&python)
        .args(["-c", SDK])
        .arg(capsule_binary())
        .env("CAPSULE_HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let got: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(got, json!({ "tools": 11, "ls": 1, "resource": 1, "prompt": 1 }));
}

#[test]
fn the_standard_questions_need_no_model() {
    let home = recorded();
    let output = home.capsule(["explain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for question in ["What was this?", "Did it go well?", "Is anything risky?", "Where to look next?"] {
        assert!(text.contains(question), "{text}");
    }
    assert!(text.contains("exit 3") && text.contains("`false`") || text.contains("/bin/false"), "{text}");
    let json: Value =
        serde_json::from_str(&stdout(&home.capsule(["explain", "--json", "--topic", "risks,left"]))).expect("JSON");
    assert_eq!(json["questions"].as_array().map(Vec::len), Some(2));
    assert_eq!(home.capsule(["explain", "--topic", "weather"]).status.code(), Some(2));
}
