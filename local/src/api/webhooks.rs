//! `statuspulse webhooks`.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::arguments::{CreateOptions, ResumeOptions, RotateOptions, WebhooksCommand, WebhooksOptions};
use super::client::Call;
use super::files;
use super::operations::{
    CANCEL_ROTATION, CREATE_WEBHOOK, DELETE_WEBHOOK, FINISH_ROTATION, LIST_WEBHOOKS, PAUSE_WEBHOOK,
    RESUME_WEBHOOK, ROTATE_SECRET, SHOW_WEBHOOK, TEST_WEBHOOK, VERIFY_WEBHOOK,
};
use super::release;
use super::session::Session;
use super::terminal::remark;

pub(super) async fn run(options: WebhooksOptions) -> Result<()> {
    let session = Session::new(&options.server)?;
    match options.command {
        WebhooksCommand::List(limit) => {
            session.list(|| Call::to(&LIST_WEBHOOKS), Some(limit.limit.get())).await
        }
        WebhooksCommand::Show { id } => session.show(Call::to(&SHOW_WEBHOOK).of(&id)).await.map(drop),
        WebhooksCommand::Create(options) => create(&session, &options).await,
        WebhooksCommand::Test { id, event } => test(&session, &id, event.as_deref()).await,
        WebhooksCommand::Verify { id } => verify(&session, &id).await,
        WebhooksCommand::Pause { id } => session.show(Call::to(&PAUSE_WEBHOOK).of(&id)).await.map(drop),
        WebhooksCommand::Resume(options) => resume(&session, &options).await,
        WebhooksCommand::Rotate(options) => rotate(&session, &options).await,
        WebhooksCommand::Delete { id } => delete(&session, &id).await,
    }
}

async fn create(session: &Session, options: &CreateOptions) -> Result<()> {
    let body = match &options.body {
        Some(file) => files::json(file)?.get().to_owned(),
        None => settings(options).to_string(),
    };
    let call = Call::to(&CREATE_WEBHOOK).body(body).once(options.idempotency_key.as_deref());
    let answer = session.show(call).await?;
    remark("The secret is shown only this once.");
    if !is_active(&answer.value) {
        remark("The handshake failed. Fix the endpoint, then run: statuspulse webhooks verify ID");
    }
    Ok(())
}

/// The body of a registration: the settings that were given.
fn settings(options: &CreateOptions) -> Value {
    let mut settings = Map::from_iter([("events".to_owned(), json!(options.events))]);
    let texts = [
        ("url", &options.endpoint),
        ("destination", &options.destination),
        ("description", &options.description),
    ];
    for (name, text) in texts {
        settings.extend(text.as_ref().map(|text| (name.to_owned(), json!(text))));
    }
    if !options.groups.is_empty() {
        settings.insert("monitor_groups".to_owned(), json!(options.groups));
    }
    Value::Object(settings)
}

async fn test(session: &Session, id: &str, event: Option<&str>) -> Result<()> {
    let body = event.map_or_else(|| json!({}), |event| json!({ "event": event }));
    let answer = session.show(Call::to(&TEST_WEBHOOK).of(id).body(body.to_string())).await?;
    match answer.value["ok"].as_bool() {
        Some(true) => Ok(()),
        _ => bail!("the endpoint did not accept the test"),
    }
}

async fn verify(session: &Session, id: &str) -> Result<()> {
    let answer = session.show(Call::to(&VERIFY_WEBHOOK).of(id)).await?;
    match answer.value["handshake"]["ok"].as_bool() {
        Some(true) => Ok(()),
        _ => bail!("the endpoint did not pass the handshake"),
    }
}

fn is_active(webhook: &Value) -> bool {
    webhook["status"] == "active"
}

async fn resume(session: &Session, options: &ResumeOptions) -> Result<()> {
    let held = if options.discard { "discard" } else { "deliver" };
    let call = Call::to(&RESUME_WEBHOOK).of(&options.id).body(json!({ "held": held }).to_string());
    let answer = session.show(call).await?;
    match answer.value["held"].as_u64() {
        Some(held) if held > 0 && !options.no_wait => {
            release::watch(&session.client, &options.id, held).await
        }
        _ => Ok(()),
    }
}

async fn rotate(session: &Session, options: &RotateOptions) -> Result<()> {
    let operation = match (options.finish, options.cancel) {
        (true, _) => &FINISH_ROTATION,
        (_, true) => &CANCEL_ROTATION,
        _ => &ROTATE_SECRET,
    };
    let call = Call::to(operation).of(&options.id).once(options.idempotency_key.as_deref());
    let answer = session.show(call).await?;
    if answer.value.get("secret").is_some() {
        remark("The secret is shown only this once. Install it at any time while the old one signs, too.");
    }
    Ok(())
}

async fn delete(session: &Session, id: &str) -> Result<()> {
    session.client.send(Call::to(&DELETE_WEBHOOK).of(id)).await?;
    Ok(session.terminal.done(&format!("{id} is deleted"))?)
}
