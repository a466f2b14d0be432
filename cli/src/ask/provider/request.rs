//! A conversation in the form of each protocol.

use serde_json::{Value, json};

use super::{Endpoint, Protocol, Turn};
use crate::ask::tools::TOOLS;

/// Tokens that an answer may take, where the protocol wants to be told.
const MAX_TOKENS: u32 = 4096;

pub(super) fn url(endpoint: &Endpoint) -> String {
    let base = &endpoint.base;
    match endpoint.protocol {
        Protocol::Anthropic => format!("{}/v1/messages", base.strip_suffix("/v1").unwrap_or(base)),
        Protocol::Openai => format!("{base}/chat/completions"),
        Protocol::Gemini => {
            let model = endpoint.model.strip_prefix("models/").unwrap_or(&endpoint.model);
            format!(
                "{}/v1beta/models/{model}:streamGenerateContent?alt=sse",
                base.strip_suffix("/v1beta").unwrap_or(base)
            )
        }
    }
}

pub(super) fn headers(endpoint: &Endpoint) -> Vec<(&'static str, String)> {
    let key = endpoint.key.clone();
    match endpoint.protocol {
        Protocol::Anthropic => {
            let version = ("anthropic-version", "2023-06-01".to_owned());
            [version].into_iter().chain(key.map(|key| ("x-api-key", key))).collect()
        }
        Protocol::Openai => key.map(|key| ("authorization", format!("Bearer {key}"))).into_iter().collect(),
        Protocol::Gemini => key.map(|key| ("x-goog-api-key", key)).into_iter().collect(),
    }
}

pub(super) fn body(endpoint: &Endpoint, system: &str, turns: &[Turn]) -> Value {
    match endpoint.protocol {
        Protocol::Anthropic => json!({
            "model": endpoint.model, "max_tokens": MAX_TOKENS, "stream": true, "system": system,
            "messages": turns.iter().map(anthropic).collect::<Vec<_>>(),
            "tools": TOOLS.iter().map(|tool| json!({
                "name": tool.name, "description": tool.description, "input_schema": tool.schema(),
            })).collect::<Vec<_>>(),
        }),
        Protocol::Openai => {
            let mut messages = vec![json!({ "role": "system", "content": system })];
            messages.extend(turns.iter().flat_map(openai));
            json!({
                "model": endpoint.model, "stream": true, "messages": messages,
                "tools": TOOLS.iter().map(|tool| json!({
                    "type": "function",
                    "function": { "name": tool.name, "description": tool.description, "parameters": tool.schema() },
                })).collect::<Vec<_>>(),
            })
        }
        Protocol::Gemini => json!({
            "systemInstruction": { "parts": [{ "text": system }] },
            "contents": turns.iter().map(gemini).collect::<Vec<_>>(),
            "tools": [{ "functionDeclarations": TOOLS.iter().map(|tool| json!({
                "name": tool.name, "description": tool.description, "parametersJsonSchema": tool.schema(),
            })).collect::<Vec<_>>() }],
        }),
    }
}

/// Arguments as an object: what was none was answered with an error, and is shown as it came.
fn object(arguments: &Value) -> Value {
    if arguments.is_object() { arguments.clone() } else { json!({ "not_json": arguments }) }
}

fn anthropic(turn: &Turn) -> Value {
    match turn {
        Turn::User { text } => json!({ "role": "user", "content": text }),
        Turn::Assistant { text, calls } => {
            let mut blocks = Vec::new();
            if !text.is_empty() {
                blocks.push(json!({ "type": "text", "text": text }));
            }
            blocks.extend(calls.iter().map(|call| {
                json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": object(&call.arguments) })
            }));
            json!({ "role": "assistant", "content": blocks })
        }
        Turn::Tools { results } => {
            let blocks = results.iter().map(|result| {
                json!({ "type": "tool_result", "tool_use_id": result.id, "content": result.content, "is_error": result.failed })
            });
            json!({ "role": "user", "content": blocks.collect::<Vec<_>>() })
        }
    }
}

fn openai(turn: &Turn) -> Vec<Value> {
    match turn {
        Turn::User { text } => vec![json!({ "role": "user", "content": text })],
        Turn::Assistant { text, calls } if calls.is_empty() => vec![json!({ "role": "assistant", "content": text })],
        Turn::Assistant { text, calls } => {
            let calls = calls.iter().map(|call| {
                let arguments = object(&call.arguments).to_string();
                json!({ "id": call.id, "type": "function", "function": { "name": call.name, "arguments": arguments } })
            });
            vec![json!({ "role": "assistant", "content": text, "tool_calls": calls.collect::<Vec<_>>() })]
        }
        Turn::Tools { results } => results
            .iter()
            .map(|result| json!({ "role": "tool", "tool_call_id": result.id, "content": result.content }))
            .collect(),
    }
}

fn gemini(turn: &Turn) -> Value {
    match turn {
        Turn::User { text } => json!({ "role": "user", "parts": [{ "text": text }] }),
        Turn::Assistant { text, calls } => {
            let mut parts = Vec::new();
            if !text.is_empty() {
                parts.push(json!({ "text": text }));
            }
            parts.extend(calls.iter().map(|call| {
                let mut part = json!({ "functionCall": { "name": call.name, "args": object(&call.arguments) } });
                if let (Value::Object(fields), Some(signature)) = (&mut part, &call.signature) {
                    fields.insert("thoughtSignature".to_owned(), json!(signature));
                }
                part
            }));
            json!({ "role": "model", "parts": parts })
        }
        Turn::Tools { results } => {
            let parts = results.iter().map(|result| {
                let name = if result.failed { "error" } else { "result" };
                json!({ "functionResponse": { "name": result.name, "response": { name: result.content } } })
            });
            json!({ "role": "user", "parts": parts.collect::<Vec<_>>() })
        }
    }
}
