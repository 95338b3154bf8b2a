//! A message in a Slack channel: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>. What stands
//! before the fields is what a phone shows in its notification.

use bytes::Bytes;
use serde_json::{Value, json};

use super::told::{Told, shortened};
use super::{Consequence, Probe, Verdict, body};
use crate::attempt::{Class, Failure, Reply, judge};
use crate::event::EventType;
use crate::limits;
use crate::webhook::PauseReason;

/// The message for a payload.
pub(super) fn message(event_type: EventType, payload: &Bytes) -> Bytes {
    let told = Told::of(payload);
    let details = told.details();
    let (colour, sign, happened) = match event_type {
        EventType::IncidentOpened => ("#d92d20", ":red_circle:", "is down".to_owned()),
        EventType::IncidentUpdated => {
            ("#dc8b00", ":large_yellow_circle:", format!("is being worked on: {}", told.status))
        }
        EventType::IncidentResolved => ("#12805c", ":large_green_circle:", "is up again".to_owned()),
    };
    let monitor = escaped(&shortened(&told.monitor_name, limits::SLACK_NAME_CHARS));
    let headline = format!("{sign} {monitor} {happened}");
    let mut blocks = vec![section(&format!("{sign} *{monitor}* {happened}"))];
    if let Some(words) = details.words() {
        blocks.push(section(&escaped(&words)));
    }
    let fields: Vec<Value> = [
        details.response_code().map(|code| field("Response code", code)),
        details.latency_ms().map(|latency| field("Latency", &format!("{latency} ms"))),
        details.region().map(|region| field("Region", &region)),
        details.downtime().map(|downtime| field("Downtime", &downtime)),
        details.endpoint().map(|endpoint| field("Endpoint", &endpoint)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !fields.is_empty() {
        blocks.push(json!({"type": "section", "fields": fields}));
    }
    let incident = escaped(&shortened(&told.incident_id, limits::SLACK_NAME_CHARS));
    let when = told.at().map(|at| format!(" · {}", date(at))).unwrap_or_default();
    blocks.push(json!({
        "type": "context",
        "elements": [{"type": "mrkdwn", "text": format!("{incident}{when}")}],
    }));
    body(&json!({"text": headline, "attachments": [{"color": colour, "blocks": blocks}]}))
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(text, limits::SLACK_TEXT_CHARS)}})
}

fn field(name: &str, value: &str) -> Value {
    let text = cut(&escaped(value), limits::SLACK_FIELD_CHARS - name.len() - 3);
    json!({"type": "mrkdwn", "text": format!("*{name}*\n{text}")})
}

/// The start of an escaped text. An entity is left whole.
fn cut(escaped: &str, characters: usize) -> String {
    let short = shortened(escaped, characters);
    match short.strip_suffix('…').map(|start| (start, start.rfind('&'))) {
        Some((start, Some(at))) if !start[at..].contains(';') => format!("{}…", &start[..at]),
        _ => short,
    }
}

/// In the reader's own time zone, as Slack does it.
fn date(at: &str) -> String {
    let text = escaped(at);
    match at.parse::<jiff::Timestamp>() {
        Ok(time) => format!("<!date^{}^{{date_short_pretty}} {{time_secs}}|{text}>", time.as_second()),
        Err(_) => text,
    }
}

/// Slack's three control characters; nothing else needs escaping.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A handshake is seen in the channel: who put it there knows that it works.
pub(super) fn probe(probe: Probe) -> Bytes {
    let text = match probe {
        Probe::Handshake => {
            ":wave: StatusPulse is connected to this channel. Its incidents will appear here."
        }
        Probe::Test => ":white_check_mark: Test event from StatusPulse: nothing is wrong.",
    };
    self::text(text)
}

/// A message of nothing but text, escaped where it has to be.
pub(crate) fn text(text: &str) -> Bytes {
    body(&json!({ "text": text }))
}

/// What Slack's errors mean, in words that say what to fix.
const ERRORS: [(&str, &str); 10] = [
    ("invalid_payload", "Slack does not understand our message."),
    ("no_text", "Slack does not understand our message."),
    ("user_not_found", "the user it was to go to does not exist."),
    ("action_prohibited", "the workspace's administrators forbid it."),
    ("posting_to_general_channel_denied", "only administrators may write in this channel."),
    ("invalid_token", "this incoming webhook does not exist any more. Make another one in Slack."),
    ("no_service", "this incoming webhook was removed or turned off. Make another one in Slack."),
    ("no_team", "the workspace does not exist any more."),
    ("channel_not_found", "the channel does not exist any more."),
    ("channel_is_archived", "the channel is archived. Make it active again in Slack, or choose another one."),
];

pub(super) fn verdict(reply: &Reply) -> Verdict {
    let said = String::from_utf8_lossy(&reply.body);
    let said = said.trim();
    match reply.status {
        200 if said == "ok" => Verdict::Taken,
        400 | 403 | 404 | 410 => {
            let known = ERRORS.iter().find(|(code, _)| *code == said);
            let reason = match known {
                Some((code, words)) => format!("Slack answered {} {code}: {words}", reply.status),
                None => {
                    format!("Slack answered {}: it does not take messages here. Check the URL.", reply.status)
                }
            };
            Verdict::Failed(Failure::new(Class::Http4xx, reason), Consequence::Pause(PauseReason::Permanent))
        }
        status => {
            let failure = judge(status).unwrap_or_else(|| {
                Failure::new(
                    Class::BadResponse,
                    format!(
                        "The answer was {status} without Slack's ok. Something else answers in its place."
                    ),
                )
            });
            Verdict::Failed(failure, Consequence::Climb)
        }
    }
}
