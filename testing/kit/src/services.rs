//! Mocks of PagerDuty's Events API v2 and of the incoming webhooks of Slack and Discord. They check and answer as the
//! public documentation says, and are stricter with messages that would be displayed wrongly, such as an unescaped `&`.
//!
//! Sources: <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>,
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
//! <https://docs.slack.dev/reference/block-kit/blocks/>, <https://docs.slack.dev/messaging/formatting-message-text>,
//! <https://discord.com/developers/docs/resources/webhook#execute-webhook> and
//! <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>.

use serde_json::{Value, json};

use crate::answer::Answer;

const PAGERDUTY_EVENT_BYTES: usize = 512 * 1024;
const SEVERITIES: [&str; 4] = ["critical", "error", "warning", "info"];

/// A leaky-bucket rate limiter.
#[derive(Debug, Default)]
pub struct Rate {
    /// The level of the bucket, in requests.
    used: f64,
    /// When `used` was right, in nanoseconds since 1970.
    at: u64,
}

impl Rate {
    /// Takes one request if the bucket has room. `a_second` is the rate at which it drains, `at_once` its size.
    fn takes_one(&mut self, at: u64, a_second: f64, at_once: f64) -> bool {
        let elapsed = at.saturating_sub(self.at) as f64 / 1e9;
        self.used = (self.used - elapsed * a_second).max(0.0);
        self.at = at;
        let takes = self.used + 1.0 <= at_once;
        if takes {
            self.used += 1.0;
        }
        takes
    }
}

/// Returns PagerDuty's answer to an event. `at` is in nanoseconds since 1970. The limit is 120 events per minute.
pub fn pagerduty(body: &[u8], rate: &mut Rate, at: u64) -> Answer {
    if !rate.takes_one(at, 2.0, 120.0) {
        return Answer::status(429);
    }
    if body.len() > PAGERDUTY_EVENT_BYTES {
        return Answer::status(413);
    }
    let Ok(event) = serde_json::from_slice::<Value>(body) else {
        return refused(&["the body is not JSON".to_owned()]);
    };
    let mut errors = vec![];
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if text("/routing_key").len() != 32 {
        errors.push("Length of 'routing_key' is incorrect (should be 32 characters)".to_owned());
    }
    let action = text("/event_action");
    if !["trigger", "acknowledge", "resolve"].contains(&action) {
        errors.push("'event_action' is invalid".to_owned());
    }
    let dedup_key = text("/dedup_key");
    if dedup_key.chars().count() > 255 {
        errors.push("'dedup_key' is too long".to_owned());
    }
    if dedup_key.is_empty() && action != "trigger" {
        errors.push("'dedup_key' is missing or blank".to_owned());
    }
    if action == "trigger" {
        for name in ["summary", "source", "severity"] {
            if text(&format!("/payload/{name}")).is_empty() {
                errors.push(format!("'payload.{name}' is missing or blank"));
            }
        }
        if text("/payload/summary").chars().count() > 1024 {
            errors.push("'payload.summary' is too long".to_owned());
        }
        if !SEVERITIES.contains(&text("/payload/severity")) {
            errors.push("'payload.severity' is invalid".to_owned());
        }
    }
    if !errors.is_empty() {
        return refused(&errors);
    }
    let taken = json!({"status": "success", "message": "Event processed", "dedup_key": dedup_key});
    Answer::status(202).header("content-type", "application/json").body(taken.to_string())
}

fn refused(errors: &[String]) -> Answer {
    let refusal = json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors});
    Answer::status(400).header("content-type", "application/json").body(refusal.to_string())
}

/// Returns Slack's answer to a message. `at` is in nanoseconds since 1970. The limit is one message per second, with
/// bursts of three.
pub fn slack(body: &[u8], rate: &mut Rate, at: u64) -> Answer {
    if !rate.takes_one(at, 1.0, 3.0) {
        return Answer::status(429).header("retry-after", "1").body("rate_limited");
    }
    match check_message(body) {
        Ok(()) => Answer::status(200),
        Err(error) => Answer::status(400).body(error),
    }
}

fn check_message(body: &[u8]) -> Result<(), &'static str> {
    let message: Value = serde_json::from_slice(body).map_err(|_| "invalid_payload")?;
    let text = message["text"].as_str().unwrap_or_default();
    let attachments = message["attachments"].as_array().map_or(&[][..], Vec::as_slice);
    let blocks = message["blocks"].as_array().map_or(&[][..], Vec::as_slice);
    if text.is_empty() && attachments.is_empty() && blocks.is_empty() {
        return Err("no_text");
    }
    check_text(text, 40_000)?;
    if attachments.len() > 100 {
        return Err("too_many_attachments");
    }
    check_blocks(blocks)?;
    for attachment in attachments {
        check_blocks(attachment["blocks"].as_array().map_or(&[][..], Vec::as_slice))?;
    }
    Ok(())
}

fn check_blocks(blocks: &[Value]) -> Result<(), &'static str> {
    if blocks.len() > 50 {
        return Err("invalid_blocks");
    }
    for block in blocks {
        let texts = |name: &str| block[name].as_array().map_or(&[][..], Vec::as_slice);
        match block["type"].as_str() {
            Some("section") => {
                let fields = texts("fields");
                if fields.len() > 10 || block["text"].is_null() && fields.is_empty() {
                    return Err("invalid_blocks");
                }
                if !block["text"].is_null() {
                    check_object(&block["text"], 3000)?;
                }
                fields.iter().try_for_each(|field| check_object(field, 2000))?;
            }
            Some("context") => {
                let elements = texts("elements");
                if elements.is_empty() || elements.len() > 10 {
                    return Err("invalid_blocks");
                }
                elements.iter().try_for_each(|element| check_object(element, 3000))?;
            }
            _ => return Err("invalid_blocks"),
        }
    }
    Ok(())
}

fn check_object(object: &Value, characters: usize) -> Result<(), &'static str> {
    let text = object["text"].as_str().unwrap_or_default();
    if !(object["type"] == "mrkdwn" || object["type"] == "plain_text") || text.is_empty() {
        return Err("invalid_blocks");
    }
    if object["type"] == "plain_text" {
        return if text.encode_utf16().count() > characters { Err("invalid_payload") } else { Ok(()) };
    }
    check_text(text, characters)
}

/// Checks the length and the escapes: `&` must begin one of three entities, and `<` a link or a date.
fn check_text(text: &str, characters: usize) -> Result<(), &'static str> {
    if text.chars().count() > characters {
        return Err("invalid_payload");
    }
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>']) {
        rest = &rest[at..];
        let known = ["&amp;", "&lt;", "&gt;"].into_iter().find(|entity| rest.starts_with(entity));
        let special = ["<https://", "<http://", "<!date^"].into_iter().any(|start| rest.starts_with(start));
        rest = match (known, rest.find('>')) {
            (Some(entity), _) => &rest[entity.len()..],
            (None, Some(end)) if special => &rest[end + 1..],
            _ => return Err("invalid_payload"),
        };
    }
    Ok(())
}

/// Returns Discord's answer to a message. `at` is in nanoseconds since 1970. The limits are five messages in two
/// seconds and 30 in a minute; the mock takes five at once and then one every two seconds, which keeps to both.
pub fn discord(body: &[u8], rate: &mut Rate, at: u64) -> Answer {
    if !rate.takes_one(at, 0.5, 5.0) {
        let limited = json!({"message": "You are being rate limited.", "retry_after": 2.0, "global": false});
        return Answer::status(429)
            .header("retry-after", "2")
            .header("content-type", "application/json")
            .body(limited.to_string());
    }
    match check_embeds(body) {
        Ok(()) => Answer::status(204),
        Err((code, message)) => {
            let refusal = json!({"code": code, "message": message});
            Answer::status(400).header("content-type", "application/json").body(refusal.to_string())
        }
    }
}

type DiscordError = (u32, String);

fn check_embeds(body: &[u8]) -> Result<(), DiscordError> {
    let message: Value =
        serde_json::from_slice(body).map_err(|_| (50109, "The request body is not JSON".to_owned()))?;
    let content = message["content"].as_str().unwrap_or_default();
    let embeds = message["embeds"].as_array().map_or(&[][..], Vec::as_slice);
    if content.is_empty() && embeds.is_empty() {
        return Err((50006, "Cannot send an empty message".to_owned()));
    }
    check_length("content", content, 2000)?;
    if message["allowed_mentions"]["parse"] != json!([]) {
        return Err(invalid("allowed_mentions would let a text mention people"));
    }
    if embeds.len() > 10 {
        return Err(invalid("embeds: more than 10"));
    }
    embeds.iter().try_for_each(check_embed)
}

fn check_embed(embed: &Value) -> Result<(), DiscordError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (title, description) = (text(&embed["title"]), text(&embed["description"]));
    let footer = text(&embed["footer"]["text"]);
    let fields = embed["fields"].as_array().map_or(&[][..], Vec::as_slice);
    check_length("title", &title, 256)?;
    check_length("description", &description, 4096)?;
    check_length("footer", &footer, 2048)?;
    check_markdown("title", &title)?;
    check_markdown("description", &description)?;
    if title.is_empty() && description.is_empty() {
        return Err(invalid("an embed without title and description"));
    }
    if embed["color"].as_u64().is_none_or(|colour| colour > 0x00ff_ffff) {
        return Err(invalid("color"));
    }
    if fields.len() > 25 {
        return Err(invalid("fields: more than 25"));
    }
    let mut characters =
        [&title, &description, &footer].map(|text| text.chars().count()).iter().sum::<usize>();
    for field in fields {
        let (name, value) = (text(&field["name"]), text(&field["value"]));
        if name.is_empty() || value.is_empty() {
            return Err(invalid("a field without name or value"));
        }
        check_length("name of a field", &name, 256)?;
        check_length("value of a field", &value, 1024)?;
        check_markdown("value of a field", &value)?;
        characters += name.chars().count() + value.chars().count();
    }
    if characters > 6000 { Err(invalid("the embed is longer than 6000 characters")) } else { Ok(()) }
}

fn check_length(name: &str, text: &str, characters: usize) -> Result<(), DiscordError> {
    let fits = text.chars().count() <= characters;
    if fits { Ok(()) } else { Err(invalid(&format!("{name}: must be {characters} or fewer in length"))) }
}

/// Checks that a backslash is before every character that begins something in Discord's markdown.
fn check_markdown(name: &str, text: &str) -> Result<(), DiscordError> {
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        // A colon begins an emoji or follows the scheme of a link, but not before a space.
        let is_plain = character == ':' && rest.as_str().starts_with(' ');
        if character == '\\' {
            rest.next();
        } else if !is_plain && "*_~`|<>[]#:@".contains(character) {
            return Err(invalid(&format!("{name}: {character} is not escaped")));
        }
    }
    Ok(())
}

fn invalid(what: &str) -> DiscordError {
    (50035, format!("Invalid Form Body: {what}"))
}
