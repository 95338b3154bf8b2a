//! The operations of the API that the command line calls, each with what it shows of the answer. A test compares them
//! with `docs/openapi.json`.

use reqwest::Method;

use super::views::{self, View};

/// An operation of the API.
#[derive(Debug)]
pub(super) struct Operation {
    /// The method.
    pub(super) method: Method,
    /// The path, with `{…}` in place of ids.
    pub(super) path: &'static str,
    /// What is shown of the answer, or of each entry of a list. `None` if the answer has no body.
    pub(super) view: Option<&'static View>,
}

const fn get(path: &'static str, view: &'static View) -> Operation {
    Operation { method: Method::GET, path, view: Some(view) }
}

const fn post(path: &'static str, view: &'static View) -> Operation {
    Operation { method: Method::POST, path, view: Some(view) }
}

const fn delete(path: &'static str) -> Operation {
    Operation { method: Method::DELETE, path, view: None }
}

pub(super) static LIST_WEBHOOKS: Operation = get("/v1/webhooks", &views::WEBHOOKS);
pub(super) static SHOW_WEBHOOK: Operation = get("/v1/webhooks/{id}", &views::WEBHOOK);
pub(super) static CREATE_WEBHOOK: Operation = post("/v1/webhooks", &views::CREATED_WEBHOOK);
pub(super) static DELETE_WEBHOOK: Operation = delete("/v1/webhooks/{id}");
pub(super) static TEST_WEBHOOK: Operation = post("/v1/webhooks/{id}/test", &views::TESTED);
pub(super) static VERIFY_WEBHOOK: Operation = post("/v1/webhooks/{id}/verify", &views::WEBHOOK);
pub(super) static PAUSE_WEBHOOK: Operation = post("/v1/webhooks/{id}/pause", &views::WEBHOOK);
pub(super) static RESUME_WEBHOOK: Operation = post("/v1/webhooks/{id}/resume", &views::RESUMED);
pub(super) static WEBHOOK_STATS: Operation = get("/v1/webhooks/{id}/stats", &views::RELEASE);
pub(super) static ROTATE_SECRET: Operation = post("/v1/webhooks/{id}/rotate-secret", &views::ROTATED);
pub(super) static FINISH_ROTATION: Operation =
    post("/v1/webhooks/{id}/rotate-secret/finish", &views::WEBHOOK);
pub(super) static CANCEL_ROTATION: Operation =
    post("/v1/webhooks/{id}/rotate-secret/cancel", &views::WEBHOOK);
pub(super) static REDELIVER_FAILED: Operation = post("/v1/webhooks/{id}/redeliver", &views::REDELIVERED);
pub(super) static LIST_DELIVERIES: Operation = get("/v1/deliveries", &views::DELIVERIES);
pub(super) static SHOW_DELIVERY: Operation = get("/v1/deliveries/{delivery_id}", &views::DELIVERY);
pub(super) static REDELIVER: Operation = post("/v1/deliveries/{delivery_id}/redeliver", &views::DELIVERY);
pub(super) static PUBLISH: Operation = post("/v1/events", &views::PUBLISHED);
pub(super) static LIST_KEYS: Operation = get("/v1/keys", &views::KEYS);
pub(super) static CREATE_KEY: Operation = post("/v1/keys", &views::CREATED_KEY);
pub(super) static REVOKE_KEY: Operation = delete("/v1/keys/{id}");
pub(super) static LIST_KEYS_OF_ACCOUNT: Operation = get("/v1/accounts/{id}/keys", &views::KEYS);
pub(super) static CREATE_KEY_OF_ACCOUNT: Operation = post("/v1/accounts/{id}/keys", &views::CREATED_KEY);
pub(super) static REVOKE_KEY_OF_ACCOUNT: Operation = delete("/v1/accounts/{id}/keys/{key_id}");

#[cfg(test)]
mod tests;
