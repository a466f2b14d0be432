//! The commands that answer questions: `explain`, `chat`, `mcp`.

use clap::Args;

use super::Color;
use super::complete::sessions;
use crate::ask::provider::Protocol;

/// Arguments of `capsule explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Which session
    #[arg(default_value = "latest", add = sessions())]
    pub session: String,
    /// Only these: what, did, outcome, files, hosts, risks, left, trust, next
    #[arg(long, value_name = "TOPIC", value_delimiter = ',')]
    pub topic: Vec<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Use colour
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

/// Arguments of `capsule chat`.
#[derive(Debug, Args)]
#[command(after_help = "\
Who answers: --provider and --base-url; then [chat] of ~/.config/capsule/config.toml (provider, model, base_url, key_env); then \
whichever of ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY is set (ANTHROPIC_BASE_URL, OPENAI_BASE_URL, GOOGLE_GEMINI_BASE_URL \
name other servers); then a server on this machine: OLLAMA_HOST, Ollama (port 11434), llama.cpp (8080), vLLM (8000).
Nothing is sent before the first question. In a conversation: /context shows what is sent, /new forgets what was said, /quit ends.
The conversation is kept in $CAPSULE_HOME/chats, beside the session and never inside it.")]
pub struct ChatArgs {
    /// Which session
    #[arg(default_value = "latest", add = sessions())]
    pub session: String,
    /// Ask this one question, print the answer, and end
    #[arg(long, value_name = "QUESTION", conflicts_with = "show_context")]
    pub ask: Option<String>,
    /// Show what would be sent with a question, and send nothing
    #[arg(long)]
    pub show_context: bool,
    /// Whose protocol the model's server speaks
    #[arg(long, value_enum)]
    pub provider: Option<Protocol>,
    /// Which model
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Where the server is, such as http://127.0.0.1:11434/v1
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// The environment variable that holds the key
    #[arg(long, value_name = "VARIABLE")]
    pub key_env: Option<String>,
    /// Do not go on with the earlier conversation about the session
    #[arg(long)]
    pub new: bool,
    /// The longest that the server may be silent, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

/// Arguments of `capsule mcp`.
#[derive(Debug, Args)]
#[command(after_help = "\
Add it to a client:
  claude mcp add capsule -- capsule mcp
  codex mcp add capsule -- capsule mcp
  gemini mcp add capsule capsule mcp
  Cursor, ~/.cursor/mcp.json: {\"mcpServers\": {\"capsule\": {\"command\": \"capsule\", \"args\": [\"mcp\"]}}}")]
pub struct McpArgs {
    /// The session that questions without a session are about
    #[arg(default_value = "latest", add = sessions())]
    pub session: String,
}
