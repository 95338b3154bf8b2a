//! `statuspulse deliveries`.

use anyhow::Result;
use serde_json::json;

use super::arguments::{DeliveriesCommand, DeliveriesOptions, RedeliverOptions};
use super::client::Call;
use super::filter::Filter;
use super::follow;
use super::operations::{REDELIVER, REDELIVER_FAILED, SHOW_DELIVERY};
use super::session::Session;
use crate::serve::stop_signal;

pub(super) async fn run(options: DeliveriesOptions) -> Result<()> {
    let session = Session::new(&options.server)?;
    match options.command {
        DeliveriesCommand::List(options) => {
            let limit = options.limit.limit.get();
            let filter = Filter::of(&options);
            if options.follow {
                tokio::select! {
                    stopped = stop_signal() => stopped,
                    failed = follow::run(&session, &filter, limit) => failed,
                }
            } else {
                session.list(|| filter.call(), Some(limit)).await
            }
        }
        DeliveriesCommand::Show { id } => session.show(Call::to(&SHOW_DELIVERY).of(&id)).await.map(drop),
        DeliveriesCommand::Redeliver(options) => redeliver(&session, &options).await,
    }
}

async fn redeliver(session: &Session, options: &RedeliverOptions) -> Result<()> {
    if let Some(id) = &options.id {
        session.show(Call::to(&REDELIVER).of(id)).await?;
    }
    if let Some(webhook) = &options.webhook {
        let call =
            Call::to(&REDELIVER_FAILED).of(webhook).body(json!({ "since": options.since }).to_string());
        session.show(call).await?;
    }
    Ok(())
}
