//! `statuspulse events`.

use anyhow::Result;
use serde_json::json;

use super::arguments::{EventsCommand, EventsOptions, PublishOptions};
use super::client::Call;
use super::files;
use super::operations::PUBLISH;
use super::session::Session;

pub(super) async fn run(options: EventsOptions) -> Result<()> {
    let EventsCommand::Publish(published) = options.command;
    let session = Session::new(&options.server)?;
    let call = Call::to(&PUBLISH).body(envelope(&published)?).once(published.idempotency_key.as_deref());
    session.show(call).await.map(drop)
}

/// The body of the call. The payload is in it byte for byte, because that is what webhooks receive.
fn envelope(options: &PublishOptions) -> Result<String> {
    let payload = files::json(&options.file)?;
    let account =
        options.account.as_ref().map(|id| format!("\"account_id\":{},", json!(id))).unwrap_or_default();
    Ok(format!("{{{account}\"monitor_groups\":{},\"payload\":{}}}", json!(options.groups), payload.get()))
}
