//! A stream of events, in the form of each protocol, as one answer.

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{Call, Protocol, Reply};

#[cfg(test)]
mod tests;

/// Tools that one answer may ask for.
const CALLS: usize = 32;

/// Puts an answer together.
pub(super) struct Parser {
    protocol: Protocol,
    text: String,
    calls: Vec<Half>,
    /// The model said that its answer is whole.
    whole: bool,
    /// The stream said that nothing follows.
    ended: bool,
    cut: Option<String>,
}

/// A call, while its arguments come.
#[derive(Default)]
struct Half {
    index: u64,
    id: String,
    name: String,
    arguments: String,
    signature: Option<String>,
}

/// What an error's body says, in one short line.
pub(super) fn error_text(body: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let message = parsed.as_ref().and_then(|body| {
        let error = body.get("error").or_else(|| body.get(0)?.get("error"))?;
        error.get("message").and_then(Value::as_str).or_else(|| error.as_str())
    });
    message.unwrap_or(body).trim().chars().take(400).collect()
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

impl Parser {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, text: String::new(), calls: Vec::new(), whole: false, ended: false, cut: None }
    }

    /// Whether the stream said that nothing follows.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// Takes an event and returns the text that came with it.
    pub(super) fn event(&mut self, data: &[u8]) -> anyhow::Result<String> {
        if data == b"[DONE]" {
            (self.whole, self.ended) = (true, true);
            return Ok(String::new());
        }
        let event: Value = serde_json::from_slice(data).context("the server sent what is no JSON")?;
        if event.get("error").is_some_and(|error| !error.is_null()) {
            bail!("the model's server gave up: {}", error_text(&event.to_string()));
        }
        let before = self.text.len();
        match self.protocol {
            Protocol::Anthropic => self.anthropic(&event),
            Protocol::Openai => self.openai(&event),
            Protocol::Gemini => self.gemini(&event),
        }
        if self.calls.len() > CALLS {
            bail!("the model asks for more than {CALLS} tools at once");
        }
        Ok(self.text.get(before..).unwrap_or_default().to_owned())
    }

    fn half(&mut self, index: u64) -> &mut Half {
        let at = self.calls.iter().position(|half| half.index == index).unwrap_or_else(|| {
            // One more than are allowed says that it is too many; the rest need not be kept.
            if self.calls.len() <= CALLS {
                self.calls.push(Half { index, ..Half::default() });
            }
            self.calls.len().saturating_sub(1)
        });
        &mut self.calls[at]
    }

    fn anthropic(&mut self, event: &Value) {
        let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        match text(event, "/type") {
            "content_block_start" if text(event, "/content_block/type") == "tool_use" => {
                let half = self.half(index);
                text(event, "/content_block/id").clone_into(&mut half.id);
                text(event, "/content_block/name").clone_into(&mut half.name);
            }
            "content_block_delta" => {
                self.text.push_str(text(event, "/delta/text"));
                let part = text(event, "/delta/partial_json");
                if !part.is_empty() {
                    self.half(index).arguments.push_str(part);
                }
            }
            "message_delta" => {
                self.whole = true;
                let why = text(event, "/delta/stop_reason");
                self.cut = matches!(why, "max_tokens" | "refusal").then(|| why.to_owned());
            }
            "message_stop" => (self.whole, self.ended) = (true, true),
            _ => {}
        }
    }

    fn openai(&mut self, event: &Value) {
        let Some(choice) = event.pointer("/choices/0") else { return };
        self.text.push_str(text(choice, "/delta/content"));
        for call in choice.pointer("/delta/tool_calls").and_then(Value::as_array).into_iter().flatten() {
            let next = self.calls.len() as u64;
            let id = text(call, "/id");
            // Some servers leave the index out: a new id is a new call.
            let index = call.get("index").and_then(Value::as_u64);
            let index = index.unwrap_or(if id.is_empty() { next.saturating_sub(1) } else { next });
            let half = self.half(index);
            half.id.push_str(id);
            half.name.push_str(text(call, "/function/name"));
            half.arguments.push_str(text(call, "/function/arguments"));
        }
        let why = text(choice, "/finish_reason");
        if !why.is_empty() {
            self.whole = true;
            self.cut = matches!(why, "length" | "content_filter").then(|| why.to_owned());
        }
    }

    fn gemini(&mut self, event: &Value) {
        for part in event.pointer("/candidates/0/content/parts").and_then(Value::as_array).into_iter().flatten() {
            if part.get("thought").and_then(Value::as_bool) != Some(true) {
                self.text.push_str(text(part, "/text"));
            }
            if let Some(call) = part.get("functionCall") {
                let index = self.calls.len() as u64;
                let half = self.half(index);
                half.id = format!("call-{index}");
                text(call, "/name").clone_into(&mut half.name);
                half.arguments = call.get("args").map(ToString::to_string).unwrap_or_default();
                half.signature = part.get("thoughtSignature").and_then(Value::as_str).map(str::to_owned);
            }
        }
        let refused = text(event, "/promptFeedback/blockReason");
        let why = text(event, "/candidates/0/finishReason");
        if !why.is_empty() || !refused.is_empty() {
            self.whole = true;
            let why = if why.is_empty() { refused } else { why };
            self.cut = (why != "STOP").then(|| why.to_owned());
        }
    }

    /// The answer; `None` where the stream ended before the model said that it was whole.
    pub(super) fn finish(self) -> Option<Reply> {
        let calls = self.calls.into_iter().enumerate().map(|(at, half)| {
            let arguments = match half.arguments.trim() {
                "" => Value::Object(serde_json::Map::new()),
                text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
            };
            let id = if half.id.is_empty() { format!("call-{at}") } else { half.id };
            Call { id, name: half.name, arguments, signature: half.signature }
        });
        let reply = Reply { text: self.text, calls: calls.collect(), cut: self.cut };
        self.whole.then_some(reply)
    }
}
