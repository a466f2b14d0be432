use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Events as the three protocols have them.
fn seeds(protocol: Protocol) -> Vec<Vec<u8>> {
    let events = match protocol {
        Protocol::Anthropic => vec![
            json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "id": "t", "name": "why" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Ä proc:1" } }),
            json!({ "type": "content_block_delta", "index": 1, "delta": { "partial_json": "{\"proc\": 1}" } }),
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": "busy" } }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "max_tokens" } }),
            json!({ "type": "message_stop" }),
        ],
        Protocol::Openai => vec![
            json!({ "choices": [{ "delta": { "content": "Ä proc:1" } }], "error": null }),
            json!({ "choices": [{ "delta": { "tool_calls": [{ "id": "c", "function": { "name": "why", "arguments": "{" } }] } }] }),
            json!({ "choices": [{ "delta": { "tool_calls": [{ "index": 18446744073709551615_u64, "function": {} }] } }] }),
            json!({ "choices": [] }),
            json!({ "choices": [{ "delta": {}, "finish_reason": "length" }] }),
            json!({ "error": "busy" }),
        ],
        Protocol::Gemini => vec![
            json!({ "candidates": [{ "content": { "parts": [{ "text": "Ä proc:1" }, { "text": "x", "thought": true }] } }] }),
            json!({ "candidates": [{ "content": { "parts": [{ "functionCall": { "name": "why", "args": { "proc": 1 } } }] } }] }),
            json!({ "promptFeedback": { "blockReason": "SAFETY" } }),
            json!({ "candidates": [{ "finishReason": "STOP" }] }),
            json!([{ "error": { "message": "busy" } }]),
        ],
    };
    events.iter().map(|event| event.to_string().into_bytes()).chain([b"[DONE]".to_vec()]).collect()
}

proptest! {
    #[test]
    fn any_stream_is_an_answer_or_an_error(
        protocol in prop::sample::select(Protocol::ALL.to_vec()),
        order in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..60),
    ) {
        let seeds = seeds(protocol);
        let mut parser = Parser::new(protocol);
        let (mut said, mut broken) = (String::new(), false);
        for (seed, at, byte, how) in order {
            let mut event = seed.get(&seeds).clone();
            let at = at.index(event.len());
            match how {
                0 => event[at] = byte,
                1 => event.truncate(at),
                2 => event.insert(at, byte),
                _ => {}
            }
            match parser.event(&event) {
                Ok(text) => said.push_str(&text),
                Err(error) => {
                    broken = true;
                    prop_assert!(error.to_string().len() < 2000);
                    break;
                }
            }
        }
        if let Some(reply) = parser.finish().filter(|_| !broken) {
            prop_assert_eq!(reply.text, said);
            prop_assert!(reply.calls.len() <= CALLS);
        }
    }
}

#[test]
fn a_thousand_wishes_in_one_event_are_too_many() {
    let calls: Vec<Value> =
        (0..1000).map(|at| json!({ "index": at, "id": "c", "function": { "name": "why" } })).collect();
    let event = json!({ "choices": [{ "delta": { "tool_calls": calls } }] }).to_string();
    let error = Parser::new(Protocol::Openai).event(event.as_bytes()).unwrap_err().to_string();
    assert_eq!(error, "the model asks for more than 32 tools at once");
}

#[test]
fn an_error_is_told_in_one_short_line_whatever_its_form() {
    for body in
        [r#"{"error": {"message": "busy"}}"#, r#"{"error": "busy"}"#, r#"[{"error": {"message": "busy"}}]"#, " busy\n"]
    {
        assert_eq!(error_text(body), "busy", "{body}");
    }
    assert_eq!(error_text(&"x".repeat(10_000)).len(), 400);
}
