//! Accepts events from `POST /v1/events` and from the EventBridge bus, and alarms from the default bus, and creates their
//! deliveries.

use bytes::Bytes;
use lambda_runtime::{Diagnostic, Error, service_fn};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use statuspulse_core::Publisher;
use statuspulse_core::access::{Caller, Role};
use statuspulse_core::ids::AccountId;
use statuspulse_core::sources::cloudwatch;
use statuspulse_function_host::{Host, Payload, SqsQueue, alarm_account, answer_http};

/// An event from the bus. A call of API Gateway has no `detail-type`. The detail stays raw JSON.
#[derive(Deserialize)]
struct BusEvent<'a> {
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
    id: Option<String>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

pub(crate) async fn run() -> Result<(), Error> {
    let host = Host::start(&[SqsQueue::First, SqsQueue::Slow, SqsQueue::Retry1m]).await?;
    host.connect_to_queues().await;
    let publisher = host.publisher();
    let alarm_account = alarm_account()?;
    let router = statuspulse_http::publishing(publisher.clone());
    lambda_runtime::run(service_fn(async |event: Payload| {
        let bus_event: BusEvent<'_> = serde_json::from_str(event.payload.get()).map_err(Error::from)?;
        match (bus_event.detail_type, bus_event.id, bus_event.detail) {
            (Some(name), Some(id), Some(_)) if name == cloudwatch::DETAIL_TYPE => {
                publish_alarm(&publisher, &id, event.payload.get(), alarm_account).await
            }
            (Some(_), Some(id), Some(detail)) => publish(&publisher, &id, detail).await,
            _ => answer_http(&host, router.clone(), event).await.map_err(Diagnostic::from),
        }
    }))
    .await
}

/// The rules accept only events of our own AWS account, so the caller counts as an operator, who may publish for any
/// customer.
const OWNER: Caller = Caller { key_id: None, role: Role::Operator, account_id: None, address: None };

/// Publishes an event from the bus. The event's id is the idempotency key, because EventBridge delivers at
/// least once. A refused event is an error, so that it goes to the dead-letter queue after its retries and is not
/// dropped silently.
async fn publish(publisher: &Publisher, id: &str, detail: &RawValue) -> Result<Value, Diagnostic> {
    let envelope = Bytes::copy_from_slice(detail.get().as_bytes());
    let key = format!("eventbridge:{id}");
    match publisher.publish(OWNER, &envelope, Some(&key)).await {
        Ok(published) => {
            Ok(json!({"event_id": published.event_id.to_string(), "deliveries": published.deliveries}))
        }
        Err(error) => Err(refused(id, &error)),
    }
}

/// Publishes the event of an alarm's state change, if it has one, for the account that the deployment names.
async fn publish_alarm(
    publisher: &Publisher,
    id: &str,
    change: &str,
    account: Option<AccountId>,
) -> Result<Value, Diagnostic> {
    let published = async {
        let alert = cloudwatch::alert(change.as_bytes())?;
        publisher.publish_alerts(OWNER, alert.as_slice(), account).await
    };
    match published.await {
        Ok(published) => Ok(json!({"events": published.len()})),
        Err(error) => Err(refused(id, &error)),
    }
}

fn refused(id: &str, error: &statuspulse_core::Error) -> Diagnostic {
    // `Debug` includes the invalid fields, if there are any.
    tracing::error!(event.id = id, ?error, "an event from the bus was refused");
    Diagnostic { error_type: "EventRefused".to_owned(), error_message: error.to_string() }
}
