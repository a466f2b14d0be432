//! Models behind HTTP: one conversation, three protocols, answers as they stream.
//!
//! What a server sends is hostile until shown otherwise: lines and answers are bounded, nothing is followed elsewhere (no redirects),
//! a stream that ends before it says so is an error, and the text is escaped by whoever prints it.

mod http;
mod parse;
mod request;

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use http::{ask, first_model};

/// How a provider is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Anthropic's Messages API
    Anthropic,
    /// OpenAI's chat completions, which Ollama, llama.cpp, vLLM and most others speak too
    Openai,
    /// Google's Gemini API
    Gemini,
}

impl Protocol {
    /// All, in the order in which keys are looked for.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::Openai, Self::Gemini];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Gemini => "gemini",
        }
    }

    /// The key in the environment.
    #[must_use]
    pub fn key(self) -> Option<String> {
        let names: &[&str] = match self {
            Self::Anthropic => &["ANTHROPIC_API_KEY"],
            Self::Openai => &["OPENAI_API_KEY"],
            Self::Gemini => &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
        };
        names.iter().find_map(|name| std::env::var(name).ok().filter(|key| !key.is_empty()))
    }

    /// The environment variable for another server.
    #[must_use]
    pub const fn base_env(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_BASE_URL",
            Self::Openai => "OPENAI_BASE_URL",
            Self::Gemini => "GOOGLE_GEMINI_BASE_URL",
        }
    }

    /// The provider's own server.
    #[must_use]
    pub const fn base(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::Openai => "https://api.openai.com/v1",
            Self::Gemini => "https://generativelanguage.googleapis.com",
        }
    }

    /// The model when nobody names one.
    #[must_use]
    pub const fn model(self) -> &'static str {
        match self {
            Self::Anthropic => "claude-sonnet-4-5",
            Self::Openai => "gpt-5",
            Self::Gemini => "gemini-2.5-flash",
        }
    }
}

/// Who answers.
#[derive(Clone)]
pub struct Endpoint {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Where, without a slash at the end.
    pub base: String,
    /// Which model.
    pub model: String,
    /// The key; local servers need none.
    pub key: Option<String>,
    /// The longest that the server may be silent.
    pub timeout: Duration,
}

/// Without the key.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} at {}", self.protocol.name(), self.model, self.base)
    }
}

/// A part of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Turn {
    /// A question.
    User {
        /// Its text.
        text: String,
    },
    /// What the model said, and which tools it wants used.
    Assistant {
        /// Its text.
        text: String,
        /// Tools to use.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        calls: Vec<Call>,
    },
    /// What the tools answered.
    Tools {
        /// One for each call.
        results: Vec<Answered>,
    },
}

/// A wish for a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The model's name for it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments; text where they were not JSON.
    pub arguments: Value,
    /// What the provider wants to see again with it (Gemini's thought signature).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The call's id.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The answer.
    pub content: String,
    /// Whether it failed.
    pub failed: bool,
}

/// A whole answer of a model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// Tools to use.
    pub calls: Vec<Call>,
    /// Why it stopped, where that is not the end of what it had to say.
    pub cut: Option<String>,
}

/// Who hears what happens.
pub trait Listener {
    /// Text of the model, as it comes. Hostile.
    ///
    /// # Errors
    /// When nobody can hear it any more.
    fn text(&mut self, text: &str) -> anyhow::Result<()>;
    /// What goes on besides: a tool that is used, a server that is waited for.
    fn note(&mut self, note: &str);
    /// Whether nobody wants to hear the rest.
    fn stopped(&self) -> bool;
}
