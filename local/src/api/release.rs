//! Shows how held deliveries are released after a resume.

use anyhow::{Result, bail};
use serde_json::Value;
use tokio::time::interval;

use super::client::{Call, Client};
use super::operations::{SHOW_WEBHOOK, WEBHOOK_STATS};
use super::terminal::remark;
use super::views::{self, printable};
use crate::limits::RELEASE_POLL;

/// Writes the progress to standard error until nothing is held.
///
/// # Errors
/// Fails if the webhook is paused again, or if a call fails.
pub(super) async fn watch(client: &Client, id: &str, held_before: u64) -> Result<()> {
    let mut ticks = interval(RELEASE_POLL);
    let mut shown = String::new();
    loop {
        ticks.tick().await;
        let webhook = client.send(Call::to(&SHOW_WEBHOOK).of(id)).await?.value;
        let stats = client.send(Call::to(&WEBHOOK_STATS).of(id)).await?.value;
        let text = progress(held_before, &webhook, &stats);
        if text != shown {
            remark(&text);
            shown = text;
        }
        if is_released(&webhook)? {
            return Ok(());
        }
    }
}

/// Whether nothing is held any more.
///
/// # Errors
/// Fails if the webhook is paused again.
fn is_released(webhook: &Value) -> Result<bool> {
    if webhook["status"] == "paused" {
        let why = webhook.pointer("/paused/last_error").and_then(Value::as_str);
        bail!("the webhook is paused again: {}", printable(why.unwrap_or("on request")));
    }
    Ok(held(webhook) == 0)
}

fn held(webhook: &Value) -> u64 {
    webhook["held_deliveries"].as_u64().unwrap_or_default()
}

fn progress(held_before: u64, webhook: &Value, stats: &Value) -> String {
    let mut text = format!("{} of {held_before} are held", held(webhook));
    for column in views::RELEASE.columns {
        if let Some(number) = column.text(stats) {
            text.push_str(&format!(", {number} {}", column.heading));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_what_is_held_and_what_became_of_the_rest() {
        let stats = json!({ "resume": { "delivered": 20, "given_up": 1, "failed_attempts": 2 } });
        let text = progress(25, &json!({ "held_deliveries": 3 }), &stats);
        assert_eq!(text, "3 of 25 are held, 20 delivered, 1 given up");
        assert_eq!(
            progress(1, &json!({ "held_deliveries": 0 }), &json!({ "resume": null })),
            "0 of 1 are held"
        );
    }

    #[test]
    fn it_ends_when_nothing_is_held_or_when_the_webhook_is_paused_again() {
        let webhook = |status: &str, held: u64| {
            let paused = json!({ "last_error": "The endpoint answered 503." });
            is_released(&json!({ "status": status, "held_deliveries": held, "paused": paused }))
        };
        assert!(webhook("active", 0).is_ok_and(|released| released));
        assert!(webhook("active", 1).is_ok_and(|released| !released));
        let paused = webhook("paused", 0).unwrap_err().to_string();
        assert_eq!(paused, "the webhook is paused again: The endpoint answered 503.");
    }
}
