//! What moves to another deployment in tests: accounts with webhooks, most of them paused with held deliveries, and one
//! with a retry to come.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::api::{Api, eventually, payload, text};
use crate::{Behaviour, Received, Receiver, verify};

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub accounts: usize,
    /// Of all accounts together.
    pub webhooks: usize,
    /// Events for each webhook. Two follow each other in each incident.
    pub events: usize,
}

/// What a deployment owes.
#[derive(Debug)]
pub struct Household {
    accounts: Vec<Tenant>,
    /// The path of the webhook whose delivery waits for its second attempt, and the event's id.
    retried: (String, String),
}

#[derive(Debug)]
struct Tenant {
    admin: Api,
    publisher: Api,
    webhooks: Vec<Hook>,
}

#[derive(Debug)]
struct Hook {
    id: String,
    secret: String,
    path: String,
    /// The ids of its events by incident, in their order.
    owed: HashMap<String, Vec<String>>,
}

impl Household {
    /// Fills a deployment. The receiver fails one delivery and gets no other.
    pub async fn settle(operator: &Api, receiver: &Receiver, size: Size) -> Self {
        let mut accounts = vec![];
        for number in 0..size.accounts {
            let made =
                operator.post("/v1/accounts", &json!({"name": format!("tenant {number}")})).await.expect(201);
            let admin = operator.with_key(&text(&made, "key"));
            let key =
                admin.post("/v1/keys", &json!({"role": "publisher", "name": "monitor"})).await.expect(201);
            let publisher = admin.with_key(&text(&key, "key"));
            let mut webhooks = vec![];
            for number in (number..size.webhooks).step_by(size.accounts) {
                webhooks.push(Hook::settle(&admin, &publisher, receiver, number, size.events).await);
            }
            accounts.push(Tenant { admin, publisher, webhooks });
        }
        let first = &accounts[0];
        let path = "/retried".to_owned();
        let (webhook, _) = first.admin.webhook(&receiver.url(&path), &["retried"]).await;
        receiver.behaviour(&path, Behaviour::status(503));
        let event =
            first.publisher.publish(&["retried"], &payload("opened", "INC-R", 1), Some("INC-R")).await;
        let event = event.expect("an answer").expect(202);
        eventually("the first attempt failed", async || {
            first.admin.deliveries(&webhook).await[0]["attempts"].as_array().is_some_and(|all| all.len() == 1)
        })
        .await;
        Self { accounts, retried: (path, text(&event, "event_id")) }
    }

    /// The number of held deliveries.
    pub fn held(&self) -> usize {
        self.hooks().flat_map(|hook| hook.owed.values()).map(Vec::len).sum()
    }

    fn hooks(&self) -> impl Iterator<Item = &Hook> {
        self.accounts.iter().flat_map(|tenant| &tenant.webhooks)
    }

    /// The same household at another deployment.
    #[must_use]
    pub fn at(self, origin: &str) -> Self {
        let moved = |tenant: Tenant| Tenant {
            admin: tenant.admin.at(origin),
            publisher: tenant.publisher.at(origin),
            ..tenant
        };
        Self { accounts: self.accounts.into_iter().map(moved).collect(), ..self }
    }

    /// Checks that all keys work and all webhooks are there, paused with all they hold. Nothing else has arrived.
    pub async fn is_whole(&self, receiver: &Receiver) {
        for tenant in &self.accounts {
            for hook in &tenant.webhooks {
                let shown = tenant.admin.shown(&hook.id).await;
                assert_eq!(
                    (&shown["status"], &shown["url"]),
                    (&json!("paused"), &json!(receiver.url(&hook.path)))
                );
                let held: usize = hook.owed.values().map(Vec::len).sum();
                assert_eq!(shown["held_deliveries"], held, "{shown}");
                assert_eq!(receiver.count(&hook.path), 1, "only the handshake");
            }
            let log = tenant.admin.get("/v1/audit-log").await.expect(200);
            assert_eq!(log["data"][0]["action"], "account.imported", "{log}");
        }
        // A publisher that repeats a call after the move.
        let first = &self.accounts[0];
        let again =
            first.publisher.publish(&["retried"], &payload("opened", "INC-R", 1), Some("INC-R")).await;
        assert_eq!(
            again.expect("an answer").expect(202)["event_id"],
            self.retried.1,
            "the key is remembered"
        );
    }

    /// Resumes everything, and checks that each delivery arrives once, in the order of its incident, with its id, and
    /// signed with the secret from before.
    pub async fn is_delivered(&self, receiver: &Receiver) {
        for tenant in &self.accounts {
            for hook in &tenant.webhooks {
                let path = format!("/v1/webhooks/{}/resume", hook.id);
                tenant.admin.post(&path, &json!({})).await.expect(200);
            }
        }
        for tenant in &self.accounts {
            for hook in &tenant.webhooks {
                tenant.admin.all_delivered(&hook.id).await;
                hook.is_delivered(&receiver.received(&hook.path));
            }
        }
    }

    /// Lets the retried delivery succeed.
    pub fn heal(&self, receiver: &Receiver) {
        receiver.behaviour(&self.retried.0, Behaviour::ok());
    }

    /// Checks that the retried delivery went on where it was.
    pub async fn is_retried(&self, receiver: &Receiver) {
        let (path, event) = &self.retried;
        let of_event = || {
            let all = receiver.received(path).into_iter();
            all.filter(|request| request.header("webhook-id") == Some(event)).collect::<Vec<_>>()
        };
        eventually("the second attempt is made", async || of_event().len() >= 2).await;
        let numbers: Vec<_> = of_event()
            .iter()
            .map(|request| request.header("x-statuspulse-attempt").unwrap_or_default().to_owned())
            .collect();
        assert_eq!(numbers, ["1", "2"]);
    }
}

impl Hook {
    async fn settle(admin: &Api, publisher: &Api, receiver: &Receiver, number: usize, events: usize) -> Self {
        let (path, group) = (format!("/hook/{number}"), format!("group {number}"));
        let (id, secret) = admin.webhook(&receiver.url(&path), &[&group]).await;
        admin.post(&format!("/v1/webhooks/{id}/pause"), &json!({})).await.expect(200);
        let mut owed: HashMap<String, Vec<String>> = HashMap::new();
        for n in 0..events {
            let (incident, kind) = (format!("INC-{}", n / 2), if n % 2 == 0 { "opened" } else { "resolved" });
            let event = publisher.published(&[&group], &payload(kind, &incident, n), 1).await;
            owed.entry(incident).or_default().push(text(&event, "event_id"));
        }
        eventually("all are held", async || admin.shown(&id).await["held_deliveries"] == events).await;
        Self { id, secret, path, owed }
    }

    fn is_delivered(&self, received: &[Received]) {
        let mut came: HashMap<String, Vec<String>> = HashMap::new();
        for request in received {
            let header = |name| request.header(name).unwrap_or_default();
            if header("x-statuspulse-event") == "handshake" {
                continue;
            }
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            came.entry(text(&body, "incident_id")).or_default().push(header("webhook-id").to_owned());
            assert!(verify::statuspulse(&self.secret, &request.body, header("x-statuspulse-signature")));
        }
        assert_eq!(came, self.owed, "each once, and in its order, at {}", self.path);
    }
}
