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
    let Headline { sign, monitor, happened } = Headline::of(event_type, &told);
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
    blocks.push(context(&format!("{incident}{when}")));
    body(&json!({"text": headline, "attachments": [{"color": colour(event_type), "blocks": blocks}]}))
}

/// The one message for all that is due: how many of each type, and a line each for those whose payloads are here.
pub(crate) fn burst(types: &[EventType], named: &[(EventType, Bytes)]) -> Bytes {
    let of = |event_type| types.iter().filter(|known| **known == event_type).count();
    // The worst comes first.
    let worst = EventType::ALL.into_iter().find(|event_type| of(*event_type) > 0);
    let worst = worst.unwrap_or(EventType::IncidentOpened);
    let counts: Vec<String> = EventType::ALL
        .into_iter()
        .map(|event_type| (event_type, of(event_type)))
        .filter(|(_, count)| *count > 0)
        .map(|(event_type, count)| {
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} incident{plural} {}", became(event_type))
        })
        .collect();
    let counts = counts.join(", ");
    let headline = format!("{} {counts}", sign(worst));
    let lines = named.iter().map(|(event_type, payload)| {
        let Headline { sign, monitor, happened } = Headline::of(*event_type, &Told::of(payload));
        format!("{sign} *{monitor}* {happened}")
    });
    let mut blocks = vec![section(&format!("*{counts}*"))];
    blocks.extend(lines.map(|line| section(&line)));
    let more = types.len().saturating_sub(named.len());
    if more > 0 {
        blocks.push(context(&format!("and {more} more")));
    }
    body(&json!({"text": headline, "attachments": [{"color": colour(worst), "blocks": blocks}]}))
}

/// What happened to which monitor, for a phone's notification. Escaped.
struct Headline {
    sign: &'static str,
    monitor: String,
    happened: String,
}

impl Headline {
    fn of(event_type: EventType, told: &Told<'_>) -> Self {
        let happened = match event_type {
            EventType::IncidentOpened => "is down".to_owned(),
            EventType::IncidentUpdated => {
                format!("is being worked on: {}", escaped(&shortened(&told.status, limits::SLACK_NAME_CHARS)))
            }
            EventType::IncidentResolved => "is up again".to_owned(),
        };
        let monitor = escaped(&shortened(&told.monitor_name, limits::SLACK_NAME_CHARS));
        Self { sign: sign(event_type), monitor, happened }
    }
}

fn became(event_type: EventType) -> &'static str {
    match event_type {
        EventType::IncidentOpened => "opened",
        EventType::IncidentUpdated => "updated",
        EventType::IncidentResolved => "resolved",
    }
}

fn sign(event_type: EventType) -> &'static str {
    match event_type {
        EventType::IncidentOpened => ":red_circle:",
        EventType::IncidentUpdated => ":large_yellow_circle:",
        EventType::IncidentResolved => ":large_green_circle:",
    }
}

fn colour(event_type: EventType) -> &'static str {
    match event_type {
        EventType::IncidentOpened => "#d92d20",
        EventType::IncidentUpdated => "#dc8b00",
        EventType::IncidentResolved => "#12805c",
    }
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(text, limits::SLACK_TEXT_CHARS)}})
}

fn context(text: &str) -> Value {
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": text}]})
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
