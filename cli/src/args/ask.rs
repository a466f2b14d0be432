//! The commands that answer questions: `explain`, `mcp`.

use clap::Args;

use super::Color;

/// Arguments of `capsule explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Which session
    #[arg(default_value = "latest")]
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
    #[arg(default_value = "latest")]
    pub session: String,
}
