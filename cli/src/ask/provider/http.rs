//! Requests over HTTP, and the stream of their answers.

use std::io::{BufRead as _, BufReader, Read as _};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use super::parse::{self, Parser};
use super::{Endpoint, Listener, Reply, Turn, request};

/// Bytes of one line of a stream, and of a whole answer.
const LINE: u64 = 4 << 20;
const ANSWER: usize = 16 << 20;
/// How often a request is made while the server says that it is busy.
const ATTEMPTS: u32 = 4;
/// The longest that is waited between two.
const PATIENCE: Duration = Duration::from_secs(60);

/// Trusts whom this machine trusts (and `SSL_CERT_FILE`), follows no redirects: a conversation goes where the user said.
fn agent(base: &str, silence: Duration) -> anyhow::Result<ureq::Agent> {
    let mut config = ureq::Agent::config_builder();
    if base.starts_with("https://") {
        let known = rustls_native_certs::load_native_certs();
        if known.certs.is_empty() {
            bail!(
                "this machine has no certificates of authorities (Debian: the package ca-certificates; or SSL_CERT_FILE)"
            );
        }
        let roots: Vec<Certificate<'static>> =
            known.certs.iter().map(|cert| Certificate::from_der(cert.as_ref()).to_owned()).collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        config = config.tls_config(tls.build());
    }
    let config = config
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(silence))
        .timeout_per_read(Some(silence))
        .user_agent(concat!("capsule/", env!("CARGO_PKG_VERSION")));
    Ok(config.build().into())
}

/// The first model that an OpenAI-compatible server names. `None` where it names none within a moment. Sends nothing of a session.
#[must_use]
pub fn first_model(base: &str, key: Option<&str>) -> Option<String> {
    let mut request = agent(base, Duration::from_secs(5)).ok()?.get(format!("{base}/models"));
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = request.config().timeout_global(Some(Duration::from_secs(5))).build();
    let mut text = String::new();
    request.call().ok()?.into_body().into_reader().take(1 << 20).read_to_string(&mut text).ok()?;
    let list: Value = serde_json::from_str(&text).ok()?;
    list.get("data")?.get(0)?.get("id")?.as_str().map(str::to_owned)
}

/// What the thread that speaks to the server has to say.
enum Heard {
    Text(String),
    Note(String),
    End(anyhow::Result<Reply>),
}

/// Nobody waits for the rest of an answer.
const GONE: &str = "nobody waits for the answer";

/// Asks, and hands over text as it comes; the listener also hears why and for how long a busy server is waited for, and may stop.
///
/// # Errors
/// When the server cannot be reached, refuses, or its stream breaks, or the listener stops; what was said until then has been
/// handed over.
pub fn ask(endpoint: &Endpoint, system: &str, turns: &[Turn], listener: &mut dyn Listener) -> anyhow::Result<Reply> {
    let body = request::body(endpoint, system, turns).to_string();
    let endpoint = endpoint.clone();
    let (send, receive) = std::sync::mpsc::sync_channel(64);
    // A thread of its own, because a silent server would not let go: who stops does not wait for it.
    std::thread::Builder::new().name("capsule-chat".to_owned()).spawn(move || {
        let reply = stream(&endpoint, &body, &send);
        // Whoever stopped does not hear it.
        drop(send.send(Heard::End(reply)));
    })?;
    loop {
        match receive.recv_timeout(Duration::from_millis(100)) {
            Ok(Heard::Text(text)) => listener.text(&text)?,
            Ok(Heard::Note(note)) => listener.note(&note),
            Ok(Heard::End(reply)) => return reply,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the thread that speaks to the server ended"),
        }
        if listener.stopped() {
            bail!("stopped");
        }
    }
}

/// One request and its answer.
fn stream(endpoint: &Endpoint, body: &str, heard: &SyncSender<Heard>) -> anyhow::Result<Reply> {
    let response = send(endpoint, body, heard)?;
    let mut lines = BufReader::new(response.into_body().into_reader());
    let mut parser = Parser::new(endpoint.protocol);
    let mut data = Vec::new();
    let mut taken = 0_usize;
    loop {
        let mut line = Vec::new();
        let read = lines.by_ref().take(LINE).read_until(b'\n', &mut line).context("the answer broke off")?;
        taken = taken.saturating_add(read);
        if read as u64 >= LINE {
            bail!("the server sent a line of more than {} MiB", LINE >> 20);
        }
        if taken > ANSWER {
            bail!("the answer is longer than {} MiB", ANSWER >> 20);
        }
        let trimmed = line.trim_ascii();
        if let Some(rest) = trimmed.strip_prefix(b"data:") {
            if !data.is_empty() {
                data.push(b'\n');
            }
            data.extend_from_slice(rest.trim_ascii_start());
        }
        if (trimmed.is_empty() || read == 0) && !data.is_empty() {
            let text = parser.event(&data)?;
            data.clear();
            if !text.is_empty() {
                heard.send(Heard::Text(text)).map_err(|_gone| anyhow!(GONE))?;
            }
        }
        if read == 0 || parser.ended() {
            break;
        }
    }
    parser.finish().ok_or_else(|| anyhow!("the answer broke off: the server closed the connection in the middle of it"))
}

/// Makes the request until the server takes it, or will not.
fn send(
    endpoint: &Endpoint,
    body: &str,
    heard: &SyncSender<Heard>,
) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
    let agent = agent(&endpoint.base, endpoint.timeout)?;
    let mut attempt = 1;
    loop {
        let mut request = agent.post(request::url(endpoint)).header("content-type", "application/json");
        for (name, value) in request::headers(endpoint) {
            request = request.header(name, value);
        }
        let response = request.send(body).with_context(|| format!("no answer from {}", endpoint.base))?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let mut text = Vec::new();
        // Whatever of the message can be read.
        response.into_body().into_reader().take(64 << 10).read_to_end(&mut text).unwrap_or(0);
        let why = parse::error_text(&String::from_utf8_lossy(&text));
        let busy = matches!(status, 408 | 429 | 500 | 502 | 503 | 504 | 529);
        let pause = after.map_or(Duration::from_secs(1 << attempt.min(5)), Duration::from_secs);
        if !busy || attempt >= ATTEMPTS || pause > PATIENCE {
            let told = after.map(|seconds: u64| format!(" (it asks to wait {seconds} s)")).unwrap_or_default();
            let help = match status {
                300..=399 => "; redirects are not followed: --base-url names the right server",
                401 | 403 => "; is the key right?",
                404 => "; is the name of the model right, and the base URL?",
                _ => "",
            };
            bail!("{} answered {status}{told}: {why}{help}", endpoint.base);
        }
        let note = format!("{} answered {status}: {why}; trying again in {} s", endpoint.base, pause.as_secs());
        heard.send(Heard::Note(note)).map_err(|_gone| anyhow!(GONE))?;
        std::thread::sleep(pause);
        attempt += 1;
    }
}
