//! A message in a Discord channel: <https://discord.com/developers/docs/resources/webhook#execute-webhook>. An event is
//! an embed; its limits are at <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::format::{Address, Consequence, Format, Outgoing, Probe, ProbeTarget, RateLimited, Verdict, body};
use super::shown::{Counted, ShownFields, shortened};
use crate::attempt::{Class, Failure, Reply, judge, response_text};
use crate::event::EventType;
use crate::limits;
use crate::surrogates::Readable;
use crate::webhook::pause::PauseReason;

/// An incoming webhook of Discord.
#[derive(Debug)]
pub(super) struct Discord;

impl Format for Discord {
    fn name(&self) -> &'static str {
        "discord"
    }

    fn label(&self) -> &'static str {
        "Discord channel: the URL of a webhook"
    }

    fn address(&self) -> Address {
        Address::SecretUrl
    }

    fn handshake_status(&self) -> u16 {
        204
    }

    fn limit(&self) -> Option<RateLimited> {
        Some(RateLimited { interval: limits::DISCORD_INTERVAL, burst })
    }

    fn event(&self, event: &Outgoing<'_>) -> Bytes {
        message(Embed::of(event.event_type, &ShownFields::of(&Readable::of(event.payload))))
    }

    /// A handshake is visible in the channel, so that its owner sees that it works.
    fn probe(&self, probe: Probe, _to: &ProbeTarget<'_>) -> Bytes {
        let content = match probe {
            Probe::Handshake => {
                "👋 StatusPulse is connected to this channel. Its incidents will appear here."
            }
            Probe::Test => "✅ Test event from StatusPulse: nothing is wrong.",
        };
        body(&Message { content: Some(content), embeds: vec![], allowed_mentions: NO_MENTIONS })
    }

    fn verdict(&self, reply: &Reply) -> Verdict {
        verdict(reply)
    }
}

#[derive(Serialize)]
struct Message {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    embeds: Vec<Embed>,
    allowed_mentions: AllowedMentions,
}

#[derive(Serialize)]
struct AllowedMentions {
    parse: [&'static str; 0],
}

/// No text in a message mentions people.
const NO_MENTIONS: AllowedMentions = AllowedMentions { parse: [] };

#[derive(Serialize, Default)]
struct Embed {
    title: String,
    color: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Footer>,
    /// Discord shows it in the reader's time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
}

#[derive(Serialize)]
struct Field {
    name: &'static str,
    value: String,
    inline: bool,
}

#[derive(Serialize)]
struct Footer {
    /// Not escaped, because Discord shows it as it is.
    text: String,
}

impl Embed {
    fn of(event_type: EventType, shown: &ShownFields<'_>) -> Self {
        let details = shown.details();
        let fields: Vec<Field> = [
            details.response_code().map(|code| Field::new("Response code", code)),
            details.latency_ms().map(|latency| Field::new("Latency", &format!("{latency} ms"))),
            details.region().map(|region| Field::new("Region", &region)),
            details.downtime().map(|downtime| Field::new("Downtime", &downtime)),
            details.endpoint().map(|endpoint| Field { inline: false, ..Field::new("Endpoint", &endpoint) }),
        ]
        .into_iter()
        .flatten()
        .collect();
        let at = shown.at().and_then(|at| at.parse::<jiff::Timestamp>().ok());
        let embed = Self {
            title: shortened(&headline(event_type, shown), limits::DISCORD_TITLE_CHARS),
            color: colour(event_type),
            description: None,
            fields,
            footer: Some(Footer { text: shortened(&shown.incident_id, limits::DISCORD_NAME_CHARS) }),
            // More digits than milliseconds are not documented.
            timestamp: at.map(|at| format!("{at:.3}")),
        };
        // The limit of the whole embed leaves the description what the rest does not need.
        let room = limits::DISCORD_EMBED_CHARS.saturating_sub(embed.characters());
        let room = room.min(limits::DISCORD_DESCRIPTION_CHARS);
        let description = details.words().map(|words| shortened(&escaped(&words), room));
        Self { description, ..embed }
    }

    /// What Discord counts towards the limit of an embed.
    fn characters(&self) -> usize {
        let fields = self.fields.iter().flat_map(|field| [field.name, &field.value]);
        let footer = self.footer.iter().map(|footer| footer.text.as_str());
        let others = [self.title.as_str()].into_iter().chain(self.description.as_deref());
        fields.chain(footer).chain(others).map(|text| text.chars().count()).sum()
    }
}

impl Field {
    fn new(name: &'static str, value: &str) -> Self {
        Self { name, value: shortened(&escaped(value), limits::DISCORD_FIELD_CHARS), inline: true }
    }
}

/// The message for a burst: how many events of each type, and a line each for those whose payloads are given.
fn burst(types: &[EventType], named: &[(EventType, Bytes)]) -> Bytes {
    let Counted { worst, counts } = Counted::of(types);
    let lines = named
        .iter()
        .map(|(event_type, payload)| headline(*event_type, &ShownFields::of(&Readable::of(payload))));
    let lines: Vec<String> = lines.collect();
    let more = types.len().saturating_sub(named.len());
    message(Embed {
        title: format!("{} {counts}", sign(worst)),
        color: colour(worst),
        description: Some(shortened(&lines.join("\n"), limits::DISCORD_DESCRIPTION_CHARS)),
        footer: (more > 0).then(|| Footer { text: format!("and {more} more") }),
        ..Embed::default()
    })
}

fn message(embed: Embed) -> Bytes {
    body(&Message { content: None, embeds: vec![embed], allowed_mentions: NO_MENTIONS })
}

/// What happened to which monitor.
fn headline(event_type: EventType, shown: &ShownFields<'_>) -> String {
    let name = |text: &str| escaped(&shortened(text, limits::DISCORD_NAME_CHARS));
    let happened = match event_type {
        EventType::IncidentOpened => "is down".to_owned(),
        EventType::IncidentUpdated => format!("is being worked on: {}", name(&shown.status)),
        EventType::IncidentResolved => "is up again".to_owned(),
    };
    format!("{} {} {happened}", sign(event_type), name(&shown.monitor_name))
}

fn sign(event_type: EventType) -> &'static str {
    match event_type {
        EventType::IncidentOpened => "🔴",
        EventType::IncidentUpdated => "🟡",
        EventType::IncidentResolved => "🟢",
    }
}

fn colour(event_type: EventType) -> u32 {
    match event_type {
        EventType::IncidentOpened => 0x00d9_2d20,
        EventType::IncidentUpdated => 0x00dc_8b00,
        EventType::IncidentResolved => 0x0012_805c,
    }
}

/// The characters that begin or end something in Discord's markdown: emphasis, code, quotes, headings, links, spoilers,
/// mentions and emoji.
const MARKDOWN: [char; 13] = ['\\', '*', '_', '~', '`', '|', '<', '>', '[', ']', '#', ':', '@'];

/// Escapes Discord's markdown. If the text is cut after a backslash, the ellipsis is what is escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if MARKDOWN.contains(&character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Discord's answer: a message, or an error.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Said {
    id: Option<String>,
    code: u32,
    message: String,
}

/// What Discord's error codes mean, and what to fix.
const ERRORS: [(u32, &str); 3] = [
    (10003, "the channel no longer exists. Create a webhook in another channel."),
    (10015, "this webhook was deleted. Create a new one in the settings of the channel."),
    (50027, "the token in the URL is wrong. Copy the webhook's URL again in Discord."),
];

fn verdict(reply: &Reply) -> Verdict {
    let said: Said = serde_json::from_slice(&reply.body).unwrap_or_default();
    match reply.status {
        204 => Verdict::Accepted,
        // The answer to a URL with `?wait=true`.
        200 if said.id.is_some() => Verdict::Accepted,
        400 => {
            let words = response_text(said.message.trim_end_matches('.').as_bytes());
            let words = words.unwrap_or_else(|| "it gave no reason".to_owned());
            let failure =
                Failure::new(Class::Http4xx, format!("Discord did not accept the message: {words}."));
            Verdict::Failed(failure, Consequence::GiveUp)
        }
        status @ (401 | 404) => {
            let known = ERRORS.iter().find(|(code, _)| *code == said.code);
            let words = known.map_or("it accepts no messages here. Check the URL.", |(_, words)| words);
            let failure = Failure::new(Class::Http4xx, format!("Discord answered {status}: {words}"));
            Verdict::Failed(failure, Consequence::Pause(PauseReason::Permanent))
        }
        status => {
            let failure = judge(status).unwrap_or_else(|| {
                Failure::new(
                    Class::BadResponse,
                    format!(
                        "The answer was {status}; Discord answers 204. Another server answers in its place."
                    ),
                )
            });
            Verdict::Failed(failure, Consequence::Retry)
        }
    }
}
