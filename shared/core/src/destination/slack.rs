//! A message in a Slack channel: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.
//!
//! What others wrote is `plain_text`: in `mrkdwn` it could be bold, a link or a mention. The headline is the fallback of
//! the attachment, which phones show in their notification. As the `text` of the message it would be shown twice.

use bytes::Bytes;
use serde_json::{Value, json};

use super::format::{Address, Consequence, Format, Outgoing, Probe, ProbeTarget, RateLimited, Verdict, body};
use super::shown::{Counted, ShownFields, on_one_line, shortened};
use crate::attempt::{Class, Failure, Reply, judge};
use crate::event::EventType;
use crate::limits;
use crate::surrogates::Readable;
use crate::webhook::pause::PauseReason;

/// An incoming webhook of Slack.
#[derive(Debug)]
pub(crate) struct Slack;

impl Format for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn label(&self) -> &'static str {
        "Slack channel: the URL of an incoming webhook"
    }

    fn address(&self) -> Address {
        Address::SecretUrl
    }

    fn handshake_status(&self) -> u16 {
        200
    }

    fn limit(&self) -> Option<RateLimited> {
        Some(RateLimited { interval: limits::SLACK_INTERVAL, burst })
    }

    fn event(&self, event: &Outgoing<'_>) -> Bytes {
        message(event.event_type, event.payload)
    }

    /// A handshake is visible in the channel, so that its owner sees that it works.
    fn probe(&self, probe: Probe, _to: &ProbeTarget<'_>) -> Bytes {
        text(match probe {
            Probe::Handshake => {
                ":wave: StatusPulse is connected to this channel. Its incidents will appear here."
            }
            Probe::Test => ":white_check_mark: Test event from StatusPulse: nothing is wrong.",
        })
    }

    fn verdict(&self, reply: &Reply) -> Verdict {
        verdict(reply)
    }
}

/// The message for a single payload.
fn message(event_type: EventType, payload: &Bytes) -> Bytes {
    let payload = Readable::of(payload);
    let shown = ShownFields::of(&payload);
    let details = shown.details();
    let Headline { sign, monitor, happened } = Headline::of(event_type, &shown);
    let headline = format!("{sign} {monitor} {happened}");
    let mut blocks = vec![plain(&headline)];
    blocks.extend(details.words().map(|words| plain(&words)));
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
    let mut below = vec![plain_text(&shortened(&shown.incident_id, limits::SLACK_NAME_CHARS))];
    below.extend(shown.at().map(|at| verbatim_text(&date(at))));
    blocks.push(json!({"type": "context", "elements": below}));
    coloured(&headline, colour(event_type), &blocks)
}

/// The message for a burst: how many events of each type, and a line each for those whose payloads are given.
fn burst(types: &[EventType], named: &[(EventType, Bytes)]) -> Bytes {
    let Counted { worst, counts } = Counted::of(types);
    let headline = format!("{} {counts}", sign(worst));
    let lines = named.iter().map(|(event_type, payload)| {
        let payload = Readable::of(payload);
        let Headline { sign, monitor, happened } = Headline::of(*event_type, &ShownFields::of(&payload));
        format!("{sign} {monitor} {happened}")
    });
    let mut blocks = vec![plain(&headline)];
    blocks.extend(lines.map(|line| plain(&line)));
    let more = types.len().saturating_sub(named.len());
    if more > 0 {
        blocks.push(json!({"type": "context", "elements": [plain_text(&format!("and {more} more"))]}));
    }
    coloured(&headline, colour(worst), &blocks)
}

fn coloured(headline: &str, colour: &str, blocks: &[Value]) -> Bytes {
    body(&json!({"attachments": [{"fallback": headline, "color": colour, "blocks": blocks}]}))
}

/// What happened to which monitor.
struct Headline {
    sign: &'static str,
    monitor: String,
    happened: String,
}

impl Headline {
    fn of(event_type: EventType, shown: &ShownFields<'_>) -> Self {
        let happened = match event_type {
            EventType::IncidentOpened => "is down".to_owned(),
            EventType::IncidentUpdated => {
                format!(
                    "is being worked on: {}",
                    shortened(&on_one_line(&shown.status), limits::SLACK_NAME_CHARS)
                )
            }
            EventType::IncidentResolved => "is up again".to_owned(),
        };
        let monitor = shortened(&on_one_line(&shown.monitor_name), limits::SLACK_NAME_CHARS);
        Self { sign: sign(event_type), monitor, happened }
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

fn field(name: &str, value: &str) -> Value {
    let text = shortened(value, limits::SLACK_FIELD_CHARS - name.len() - 1);
    plain_text(&format!("{name}\n{text}"))
}

/// Formats a time so that Slack shows it in the reader's time zone.
fn date(at: &str) -> String {
    let text = escaped(at);
    match at.parse::<jiff::Timestamp>() {
        Ok(time) => format!("<!date^{}^{{date_short_pretty}} {{time_secs}}|{text}>", time.as_second()),
        Err(_) => text,
    }
}

/// Escapes Slack's three control characters.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A message with this text, which must already be escaped.
pub(crate) fn text(text: &str) -> Bytes {
    body(&json!({ "text": text }))
}

/// A notification to engineers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    /// An emoji, as Slack names it.
    pub(crate) sign: &'static str,
    pub(crate) headline: String,
    pub(crate) lines: Vec<Line>,
    /// The page that it leads to, and what to do there.
    pub(crate) link: (String, &'static str),
}

/// A line of a [`Notice`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Words that others may have written. They are shown as they are: nothing in them becomes a link or a mention.
    Words(String),
    /// What happened at this time, which is shown in the reader's time zone.
    Time(&'static str, jiff::Timestamp),
}

/// The message for a notification. Slack shows the blocks in the channel, and the text in a phone's notification.
pub(crate) fn notice(notice: &Notice) -> Bytes {
    let Notice { sign, headline, lines, link: (page, action) } = notice;
    let headline = on_one_line(headline);
    let mut text = format!("{sign} {}", escaped(&headline));
    let mut blocks = vec![plain(&format!("{sign} {headline}"))];
    for line in lines {
        let (words, block) = match line {
            Line::Words(words) => {
                let words = on_one_line(words);
                (escaped(&words), plain(&words))
            }
            Line::Time(name, at) => {
                let line = format!("{name}: {}", date(&at.to_string()));
                (line.clone(), verbatim(&line))
            }
        };
        text.push('\n');
        text.push_str(&words);
        blocks.push(block);
    }
    let link = format!("<{page}|{action}>");
    text.push('\n');
    text.push_str(&link);
    blocks.push(verbatim(&link));
    body(&json!({"text": text, "blocks": blocks}))
}

fn plain(text: &str) -> Value {
    json!({"type": "section", "text": plain_text(&shortened(text, limits::SLACK_TEXT_CHARS))})
}

fn verbatim(text: &str) -> Value {
    json!({"type": "section", "text": verbatim_text(text)})
}

fn plain_text(text: &str) -> Value {
    json!({"type": "plain_text", "text": text, "emoji": true})
}

/// Text of ours, in which Slack makes no links or mentions of its own.
fn verbatim_text(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

/// What Slack's error codes mean, and what to fix.
const ERRORS: [(&str, &str); 8] = [
    ("user_not_found", "the recipient does not exist."),
    ("action_prohibited", "the workspace's administrators forbid it."),
    ("posting_to_general_channel_denied", "only administrators can post in this channel."),
    ("invalid_token", "this incoming webhook no longer exists. Create a new one in Slack."),
    ("no_service", "this incoming webhook was removed or turned off. Create a new one in Slack."),
    ("no_team", "the workspace no longer exists."),
    ("channel_not_found", "the channel no longer exists."),
    ("channel_is_archived", "the channel is archived. Unarchive it in Slack, or choose another channel."),
];

fn verdict(reply: &Reply) -> Verdict {
    let said = String::from_utf8_lossy(&reply.body);
    let said = said.trim();
    match reply.status {
        200 if said == "ok" => Verdict::Accepted,
        400 if ERRORS.iter().all(|(code, _)| *code != said) => {
            let code: String = said.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let reason = format!("Slack does not accept this message: 400 {code}");
            Verdict::Failed(Failure::new(Class::Http4xx, reason.trim_end()), Consequence::GiveUp)
        }
        400 | 403 | 404 | 410 => {
            let known = ERRORS.iter().find(|(code, _)| *code == said);
            let reason = match known {
                Some((code, words)) => format!("Slack answered {} {code}: {words}", reply.status),
                None => {
                    format!("Slack answered {}: it accepts no messages here. Check the URL.", reply.status)
                }
            };
            Verdict::Failed(Failure::new(Class::Http4xx, reason), Consequence::Pause(PauseReason::Permanent))
        }
        status => {
            let failure = judge(status).unwrap_or_else(|| {
                Failure::new(
                    Class::BadResponse,
                    format!(
                        "The answer was {status} without Slack's ok. Another server answers in its place."
                    ),
                )
            });
            Verdict::Failed(failure, Consequence::Retry)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A description may have line breaks, and a receiver's words anything. Neither adds a line of its own to a message.
    #[test]
    fn words_of_others_stay_on_their_line() {
        let said = "503\n\u{85}*All webhooks are resumed*\u{9b}31m\u{7}<!channel>";
        let news = Notice {
            sign: ":warning:",
            headline: format!("{said} fails"),
            lines: vec![Line::Words(said.to_owned())],
            link: ("https://here/dashboard".to_owned(), "See"),
        };
        let message: Value = serde_json::from_slice(&notice(&news)).unwrap();
        let mut texts = vec![message["text"].as_str().unwrap().replace('\n', " ")];
        for block in message["blocks"].as_array().unwrap() {
            texts.push(block["text"]["text"].as_str().unwrap().to_owned());
        }
        assert!(texts.iter().all(|text| !text.chars().any(char::is_control)), "{texts:#?}");
        assert_eq!(message["text"].as_str().unwrap().lines().count(), 3, "{message:#}");
    }
}
