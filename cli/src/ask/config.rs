//! Which model answers: by flag, by the user's file, by whichever key is in the environment, or a server on this machine.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use capsule_core::exit;
use clap::{CommandFactory as _, ValueEnum as _};

use super::provider::{self, Endpoint, Protocol};
use crate::args::{Args, ChatArgs};
use crate::config::{Config, Key};
use crate::error::Problem;

/// What the user's file says: the settings of `[chat]`. They are no defaults of options: a server that it names is the one of
/// the provider that it names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Whose protocol.
    pub provider: Option<Protocol>,
    /// Which model.
    pub model: Option<String>,
    /// Where.
    pub base_url: Option<String>,
    /// The environment variable that holds the key: keys are not in files.
    pub key_env: Option<String>,
}

/// Servers that people run on their own machine, by their usual ports: Ollama, llama.cpp, vLLM.
const LOCAL: [u16; 3] = [11434, 8080, 8000];

/// What to do where nothing can answer.
const CHOICES: &str = "set ANTHROPIC_API_KEY, OPENAI_API_KEY or GEMINI_API_KEY; or start a local server (Ollama, llama.cpp, \
    vLLM) and name it: --provider openai --base-url http://127.0.0.1:11434/v1 --model NAME; or, without a key here: \
    `capsule mcp` lets your AI client ask, `capsule export --ai-ready` hands the session to any model, and \
    `capsule explain` answers the standard questions without one";

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Works out who answers.
///
/// # Errors
/// When nobody can, or the file's or the flags' choice cannot be.
pub fn choose(args: &ChatArgs, file: Defaults) -> Result<Endpoint, Problem> {
    let key_env = args.key_env.clone().or(file.key_env);
    let model = args.model.clone().or(file.model);
    let named = args.provider.or(file.provider);
    // A server named in the file is the one of the provider named there.
    let base =
        args.base_url.clone().or(file.base_url.filter(|_| args.provider.is_none() || args.provider == file.provider));
    let timeout = Duration::from_secs(args.timeout);
    let in_environment = |usable: fn(Protocol) -> bool| Protocol::ALL.into_iter().find(|protocol| usable(*protocol));
    let protocol = match (named, &base) {
        (Some(protocol), _) => protocol,
        // A server without a provider's name speaks what nearly all of them do.
        (None, Some(_)) => Protocol::Openai,
        (None, None) => {
            let known = in_environment(|protocol| protocol.key().is_some());
            match known.or_else(|| in_environment(|protocol| set(protocol.base_env()).is_some())) {
                Some(protocol) => protocol,
                None => return local(model, timeout),
            }
        }
    };
    let own = base.is_some() || set(protocol.base_env()).is_some();
    let chosen = base.is_some();
    let base = base.or_else(|| set(protocol.base_env())).unwrap_or_else(|| protocol.base().to_owned());
    let base = base.trim_end_matches('/').to_owned();
    let plain = base.starts_with("http://");
    if !plain && !base.starts_with("https://") {
        return Err(Problem::usage(format!("`{}` is no http:// or https:// URL", base.escape_debug())));
    }
    let key = match &key_env {
        Some(name) => Some(set(name).ok_or_else(|| {
            Problem::usage(format!("the environment has no `{}`, which should hold the key", name.escape_debug()))
        })?),
        // A provider's key is not for whoever listens on a port of this machine, unless the user says so (--key-env).
        None => protocol.key().filter(|_| !(plain && chosen)),
    };
    if key.is_none() && !own {
        let problem = Problem::new(exit::FAILURE, anyhow::anyhow!("there is no key for {}", protocol.name()));
        return Err(problem.hint(CHOICES));
    }
    if plain && key.is_some() && !is_loopback(&base) {
        return Err(Problem::usage("a key is not sent over http:// to another machine").hint("use https://"));
    }
    let first =
        || if own && protocol == Protocol::Openai { provider::first_model(&base, key.as_deref()) } else { None };
    let model = model.or_else(first).unwrap_or_else(|| protocol.model().to_owned());
    Ok(Endpoint { protocol, base, model, key, timeout })
}

/// Whether an `http://` URL names this machine, and nothing but it.
fn is_loopback(base: &str) -> bool {
    let rest = base.strip_prefix("http://").unwrap_or(base);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = match host.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// A server on this machine, where one listens and names a model.
fn local(model: Option<String>, timeout: Duration) -> Result<Endpoint, Problem> {
    let ollama =
        set("OLLAMA_HOST").and_then(|host| host.trim_start_matches("http://").trim_end_matches('/').parse().ok());
    let usual = LOCAL.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    // Others' machines are not asked unasked.
    for address in ollama.into_iter().filter(|address: &SocketAddr| address.ip().is_loopback()).chain(usual) {
        if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
            continue;
        }
        let base = format!("http://{address}/v1");
        if let Some(first) = provider::first_model(&base, None) {
            let model = model.unwrap_or(first);
            return Ok(Endpoint { protocol: Protocol::Openai, base, model, key: None, timeout });
        }
    }
    let none = anyhow::anyhow!("there is no model to ask: no key in the environment, no server on this machine");
    Err(Problem::new(exit::FAILURE, none).hint(CHOICES))
}

/// What the user's file says about chats; nothing where there is no file.
///
/// # Errors
/// When the file cannot be read, or says what cannot be.
pub fn defaults() -> Result<Defaults, Problem> {
    let config = Config::load(&Args::command())?;
    let said = |name: &str| Some(config.get(Key::named(name).ok()?)?.value.clone());
    Ok(Defaults {
        provider: said("chat.provider").and_then(|name| Protocol::from_str(&name, false).ok()),
        model: said("chat.model"),
        base_url: said("chat.base_url"),
        key_env: said("chat.key_env"),
    })
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn a_name_that_begins_like_this_machine_is_another() {
        for here in ["http://127.0.0.1:11434/v1", "http://localhost/v1", "http://[::1]:8080"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in
            ["http://127.0.0.1.example.com/v1", "http://localhost:80@example.com/", "http://example.com/127.0.0.1"]
        {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
