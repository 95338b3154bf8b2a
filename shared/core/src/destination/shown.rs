//! What messages show of a payload, and of a burst of them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::EventType;
use crate::surrogates::Readable;

/// The fields of a payload that messages show. The payload was checked when it was accepted. Missing fields, and
/// optional fields of another kind than expected, are left out.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ShownFields<'a> {
    #[serde(borrow)]
    pub(super) incident_id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) monitor_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) status: Cow<'a, str>,
    #[serde(borrow)]
    triggered_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    updated_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    resolved_at: Option<Cow<'a, str>>,
    /// As published, digit for digit.
    #[serde(borrow)]
    pub(super) details: Option<&'a RawValue>,
}

impl<'a> ShownFields<'a> {
    pub(super) fn of(payload: &'a Readable<'_>) -> Self {
        serde_json::from_slice(payload).unwrap_or_default()
    }

    /// When it happened.
    pub(super) fn at(&self) -> Option<&str> {
        let times = [&self.resolved_at, &self.updated_at, &self.triggered_at];
        times.into_iter().flatten().next().map(|time| &**time)
    }

    pub(super) fn details(&self) -> Details<'a> {
        self.details.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }
}

/// The known fields of `details`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Details<'a> {
    #[serde(borrow)]
    endpoint: Option<&'a RawValue>,
    #[serde(borrow)]
    response_code: Option<&'a RawValue>,
    #[serde(borrow)]
    final_response_code: Option<&'a RawValue>,
    #[serde(borrow)]
    latency_ms: Option<&'a RawValue>,
    #[serde(borrow)]
    region: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    engineer_notes: Option<&'a RawValue>,
    #[serde(borrow)]
    downtime_duration_seconds: Option<&'a RawValue>,
}

impl Details<'_> {
    pub(super) fn endpoint(&self) -> Option<String> {
        as_text(self.endpoint)
    }

    /// The number as published.
    pub(super) fn response_code(&self) -> Option<&str> {
        as_number(self.response_code.or(self.final_response_code))
    }

    /// The number as published.
    pub(super) fn latency_ms(&self) -> Option<&str> {
        as_number(self.latency_ms)
    }

    pub(super) fn region(&self) -> Option<String> {
        as_text(self.region)
    }

    /// The message or the engineer's notes.
    pub(super) fn words(&self) -> Option<String> {
        as_text(self.message.or(self.engineer_notes))
    }

    /// The downtime for people, such as "43 min 43 s".
    pub(super) fn downtime(&self) -> Option<String> {
        let digits = as_number(self.downtime_duration_seconds)?;
        let Ok(seconds) = digits.parse::<u64>() else { return Some(format!("{digits} s")) };
        let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        Some(match (hours, minutes) {
            (0, 0) => format!("{rest} s"),
            (0, _) => format!("{minutes} min {rest} s"),
            _ => format!("{hours} h {minutes} min"),
        })
    }
}

fn as_text(raw: Option<&RawValue>) -> Option<String> {
    let text: String = serde_json::from_str(raw?.get()).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

fn as_number(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get)
        .filter(|text| text.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
}

/// The events of a burst.
pub(super) struct Counted {
    /// The most severe type.
    pub(super) worst: EventType,
    /// How many there are of each type, such as "39 incidents opened, 1 incident resolved".
    pub(super) counts: String,
}

impl Counted {
    pub(super) fn of(types: &[EventType]) -> Self {
        // The most severe type comes first.
        let of_each = EventType::ALL
            .iter()
            .copied()
            .map(|event_type| (event_type, types.iter().filter(|known| **known == event_type).count()));
        let came: Vec<_> = of_each.into_iter().filter(|(_, count)| *count > 0).collect();
        let words = |(event_type, count): &(EventType, usize)| {
            let plural = if *count == 1 { "" } else { "s" };
            format!("{count} incident{plural} {}", became(*event_type))
        };
        Self {
            worst: came.first().map_or(EventType::IncidentOpened, |(event_type, _)| *event_type),
            counts: came.iter().map(words).collect::<Vec<_>>().join(", "),
        }
    }
}

fn became(event_type: EventType) -> &'static str {
    match event_type {
        EventType::IncidentOpened => "opened",
        EventType::IncidentUpdated => "updated",
        EventType::IncidentResolved => "resolved",
    }
}

/// A text without line breaks and other control characters, so that it stays where it is put.
pub(crate) fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text, or its start with `…` if it is too long. Its length is in UTF-16 units, as Slack may count it.
pub(crate) fn shortened(text: &str, units: usize) -> String {
    if text.encode_utf16().count() <= units {
        return text.to_owned();
    }
    let mut left = units.saturating_sub(1);
    let fits = |c: &char| left.checked_sub(c.len_utf16()).map(|rest| left = rest).is_some();
    let start: String = text.chars().take_while(fits).collect();
    format!("{start}…")
}
