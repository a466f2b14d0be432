//! A model's server that says what a test wrote down, on a port of this machine, and remembers what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// What the server does with one connection.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Waits.
    Wait(Duration),
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `POST /v1/messages HTTP/1.1` and the headers, in lower case but for the first line's path.
    pub head: String,
    /// The body; null where there was none.
    pub body: Value,
}

/// The server. Each request gets the next answer of the script; further ones are closed at once.
#[derive(Debug)]
pub struct Scripted {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Scripted {
    /// Starts it, in a thread that ends with the script.
    ///
    /// # Panics
    /// When no port can be had.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its server cannot go on")]
    pub fn start(script: Vec<Vec<Step>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for steps in script {
                // Who only looks whether anybody listens asks nothing.
                let (mut stream, request) = loop {
                    let Ok((mut stream, _)) = listener.accept() else { return };
                    if let Some(request) = read(&mut stream) {
                        break (stream, request);
                    }
                };
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                for step in steps {
                    let sent = match step {
                        Step::Send(bytes) => stream.write_all(&bytes).and_then(|()| stream.flush()),
                        Step::Wait(time) => {
                            std::thread::sleep(time);
                            Ok(())
                        }
                    };
                    // A client that has heard enough goes away.
                    if sent.is_err() {
                        break;
                    }
                }
            }
        });
        Self { port, asked }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { head, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

/// An answer that is a stream of events, each in a chunk of its own.
#[must_use]
pub fn stream(events: &[Value]) -> Vec<Step> {
    let mut steps = vec![Step::Send(stream_head())];
    steps.extend(events.iter().map(event));
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}

/// The head of a stream.
#[must_use]
pub fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        .to_vec()
}

/// An event of a stream: JSON strings are sent as they are.
#[must_use]
pub fn event(data: &Value) -> Step {
    let data = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
    let end = data.contains("\"type\":\"message_stop\"");
    let kind = if end { "event: message_stop\n" } else { "" };
    let text = format!("{kind}data: {data}\n\n");
    Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes())
}

/// A refusal.
#[must_use]
pub fn refusal(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    vec![Step::Send(text.into_bytes())]
}
