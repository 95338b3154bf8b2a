//! The steps of the demo.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use statuspulse_kit::{Behaviour, Received, Receiver, unix_nanos, verify};

use super::client::Api;

/// The retry schedule of the demo. The default is 1m, 5m, 15m, 60m.
pub(super) const LADDER: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(2)];
/// Path of the PagerDuty mock.
pub(super) const PAGERDUTY: &str = "/v2/enqueue";
/// Path of the mock of a customer's Slack channel, the destination of a webhook.
const CHANNEL: &str = "/slack/T000/B000/a-channel";
/// Path of the mock of the engineers' Slack channel, which receives notifications.
pub(super) const SLACK: &str = "/slack/T000/B000/not-a-real-token";
/// Path of the customer's endpoint.
const HOOK: &str = "/statuspulse";
const EVENTS: [&str; 3] = ["incident_opened", "incident_updated", "incident_resolved"];
/// Time limit of a step; generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// Width of the text beside the times, in columns.
const WIDTH: usize = 106;
/// How late a retry may begin. It may never begin early.
const TOLERANCE: Duration = Duration::from_secs(1);

/// What the steps of the story use.
pub(super) struct Stage {
    pub(super) receiver: Receiver,
    pub(super) api: Api,
}

struct Story<'a> {
    stage: &'a Stage,
    api: Api,
    began: u64,
    webhook: String,
    secret: String,
    /// Requests to [`HOOK`] that were checked so far.
    seen: u64,
}

/// Runs all steps. Returns the account's admin key.
pub(super) async fn run(stage: &Stage) -> Result<String> {
    let account =
        stage.api.post("/v1/accounts", json!({"name": "Demo"}).to_string(), StatusCode::CREATED).await?;
    let key = text(&account, "/key")?;
    let mut story = Story {
        stage,
        api: stage.api.with_key(&key),
        began: unix_nanos(),
        webhook: String::new(),
        secret: String::new(),
        seen: 0,
    };
    story.say(&format!(
        "A receiver listens on {} with a certificate from its own authority. \
         Retries wait {} instead of 1m, 5m, 15m, 60m.",
        stage.receiver.url(HOOK),
        LADDER.map(|wait| format!("{}s", wait.as_secs())).join(", ")
    ));
    stage.receiver.behaviour(SLACK, Behaviour::Slack);
    stage.receiver.behaviour(CHANNEL, Behaviour::Slack);
    stage.receiver.behaviour(PAGERDUTY, Behaviour::PagerDuty);
    story.handshake().await?;
    story.filter().await?;
    story.signed_delivery().await?;
    story.outage().await?;
    story.held().await?;
    story.resume().await?;
    story.rotation().await?;
    story.pager_and_channel().await?;
    story.say("Done: all checks passed.");
    Ok(key)
}

impl Story<'_> {
    fn say(&self, line: &str) {
        let elapsed = Duration::from_nanos(unix_nanos() - self.began);
        let mut margin = format!("{:>8.3} s  ", elapsed.as_secs_f64());
        for part in wrapped(line) {
            println!("{margin}{part}");
            margin = " ".repeat(margin.len());
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/webhooks/{}{rest}", self.webhook)
    }

    /// Waits for the next `count` requests to the endpoint.
    async fn arrivals(&mut self, count: u64) -> Result<Vec<Received>> {
        let all = self
            .stage
            .receiver
            .wait_for(HOOK, self.seen + count, PATIENCE)
            .await
            .map_err(anyhow::Error::msg)?;
        let first = usize::try_from(self.seen)?;
        self.seen += count;
        Ok(all[first..first + usize::try_from(count)?].to_vec())
    }

    async fn handshake(&mut self) -> Result<()> {
        let receiver = &self.stage.receiver;
        receiver.behaviour(HOOK, Behaviour::status(404));
        let body =
            json!({"url": receiver.url(HOOK), "events": EVENTS, "monitor_groups": ["payment-processing"]});
        let webhook = self.api.post("/v1/webhooks", body.to_string(), StatusCode::CREATED).await?;
        self.webhook = text(&webhook, "/id")?;
        self.secret = text(&webhook, "/secret")?;
        ensure!(
            webhook["status"] == "pending",
            "a webhook must stay pending after a failed handshake: {webhook}"
        );
        self.say(&format!(
            "Registered a webhook. Its handshake failed, so it is pending. {}",
            text(&webhook, "/handshake/reason")?
        ));
        receiver.behaviour(HOOK, Behaviour::ok());
        let webhook = self.api.post(&self.path("/verify"), "", StatusCode::OK).await?;
        ensure!(webhook["status"] == "active", "a webhook must be active after its handshake: {webhook}");
        let shaken = self.arrivals(2).await?;
        ensure!(self.is_signed(&shaken[1]), "the handshake must be signed");
        self.say("The endpoint was fixed and answers 200 to the next handshake: the webhook is active.");
        Ok(())
    }

    async fn filter(&mut self) -> Result<()> {
        let accepted = self.publish("incident_opened", "INC-OTHER", "api-gateway").await?;
        ensure!(accepted["deliveries"] == 0, "an event of another group must not match: {accepted}");
        let explained =
            self.api.get(&self.path("/explain?event=incident_opened&monitor_groups=api-gateway")).await?;
        ensure!(explained["rule"] == "monitor_groups", "explain must name the rule: {explained}");
        self.say(&format!(
            "An event of the group api-gateway is not delivered to it. Why? {}",
            text(&explained, "/reason")?
        ));
        Ok(())
    }

    async fn signed_delivery(&mut self) -> Result<()> {
        let sent = unix_nanos();
        self.publish("incident_opened", "INC-8842-ALPHA", "payment-processing").await?;
        let received = self.arrivals(1).await?.remove(0);
        ensure!(self.is_signed(&received), "both signatures must be valid");
        ensure!(
            received.body == payload("incident_opened", "INC-8842-ALPHA"),
            "the body must be the published bytes, unchanged"
        );
        self.say(&format!(
            "Delivered {:.1} ms after it was published, byte for byte. \
             X-StatusPulse-Signature and webhook-signature are valid.",
            millis(received.at.saturating_sub(sent))
        ));
        Ok(())
    }

    async fn outage(&mut self) -> Result<()> {
        self.stage.receiver.behaviour(HOOK, Behaviour::status(503));
        self.publish("incident_opened", "INC-9001", "payment-processing").await?;
        self.publish("incident_resolved", "INC-9001", "payment-processing").await?;
        self.say(
            "The endpoint now answers 503. INC-9001 is opened and resolved; \
             the second event waits for the first.",
        );
        let mut before: Option<u64> = None;
        for (index, number) in (1..=5).enumerate() {
            let attempt = self.arrivals(1).await?.remove(0);
            ensure!(
                attempt.header("x-statuspulse-attempt") == Some(&number.to_string()),
                "attempt {number} expected"
            );
            ensure!(
                attempt.header("x-statuspulse-event") == Some("incident_opened"),
                "the first event of an incident must be delivered first"
            );
            let gap = before.map(|before| Duration::from_nanos(attempt.at - before));
            if let Some(gap) = gap {
                let wait = LADDER[index - 1];
                ensure!(
                    gap >= wait && gap <= wait + TOLERANCE,
                    "attempt {number} came after {gap:?} instead of {wait:?}"
                );
            }
            let after = gap.map(|gap| format!(", {:.2} s after the previous one", gap.as_secs_f64()));
            self.say(&format!("  attempt {number} failed{}", after.unwrap_or_default()));
            before = Some(attempt.at);
        }
        let webhook = self.until(|webhook| webhook["status"] == "paused").await?;
        ensure!(
            webhook["paused"]["reason"] == "failures" && webhook["consecutive_failures"] == 4,
            "wrong reason or count of failures: {webhook}"
        );
        self.say(&format!("Four retries failed, so it is paused. {}", text(&webhook, "/paused/last_error")?));
        Ok(())
    }

    async fn held(&mut self) -> Result<()> {
        self.expect_notification("is failing", "Slack got a warning after the second failed retry").await?;
        self.expect_notification("was paused", "Slack got a notification of the pause").await?;
        for number in 0..20 {
            self.publish("incident_opened", &format!("INC-{}", 9100 + number), "payment-processing").await?;
        }
        let webhook = self.until(|webhook| webhook["held_deliveries"] == 22).await?;
        ensure!(
            self.stage.receiver.count(HOOK) == self.seen,
            "nothing must be sent while the webhook is paused"
        );
        self.say(&format!(
            "20 more events were published. None was attempted: {} deliveries are held.",
            webhook["held_deliveries"]
        ));
        Ok(())
    }

    async fn resume(&mut self) -> Result<()> {
        self.stage.receiver.behaviour(HOOK, Behaviour::ok());
        let began = unix_nanos();
        let resumed = self.api.post(&self.path("/resume"), "", StatusCode::OK).await?;
        ensure!(
            resumed["status"] == "active" && resumed["held"] == 22,
            "wrong status or count of held deliveries: {resumed}"
        );
        let drained = self.arrivals(22).await?;
        let first = Duration::from_nanos(drained[0].at.saturating_sub(began));
        ensure!(first <= Duration::from_secs(1), "the first request came after {first:?}");
        let of_incident: Vec<_> = drained
            .iter()
            .filter(|received| String::from_utf8_lossy(&received.body).contains("INC-9001"))
            .filter_map(|received| received.header("x-statuspulse-event"))
            .collect();
        ensure!(
            of_incident == ["incident_opened", "incident_resolved"],
            "wrong order of an incident's events: {of_incident:?}"
        );
        ensure!(drained.iter().all(|received| self.is_signed(received)), "each request must be signed");
        let last = Duration::from_nanos(drained[21].at.saturating_sub(began));
        self.say(&format!(
            "Resumed. The first of 22 held deliveries arrived after {:.0} ms, the last after {:.1} s; \
             INC-9001 arrived in order.",
            first.as_secs_f64() * 1e3,
            last.as_secs_f64()
        ));
        self.until(|webhook| webhook["held_deliveries"] == 0).await?;
        self.expect_notification(
            "is answering again, 22 deliveries drained",
            "Slack got a notification of the recovery",
        )
        .await
    }

    /// Prints the engineers' notification that contains `what`, and checks that it was sent exactly once.
    async fn expect_notification(&self, what: &str, say: &str) -> Result<()> {
        let slack = &self.stage.receiver;
        let notification = slack.wait_for_text(SLACK, what, PATIENCE).await.map_err(anyhow::Error::msg)?;
        let times = slack.count_text(SLACK, what);
        ensure!(times == 1, "{times} notifications that the webhook {what}, not 1");
        let notification: Value = serde_json::from_slice(&notification.body)?;
        self.say(&format!("{say}:"));
        for line in text(&notification, "/text")?.lines() {
            println!("            | {}", as_slack_shows(line));
        }
        Ok(())
    }

    /// One incident is sent to PagerDuty and to a Slack channel. Both must accept it.
    async fn pager_and_channel(&mut self) -> Result<()> {
        let channel = self.stage.receiver.url(CHANNEL);
        let forms = [
            json!({"destination": "pagerduty", "routing_key": "R0UT1NGKEY0FTHEDEM0ABCDEFGHIJKLM"}),
            json!({"destination": "slack", "url": channel}),
        ];
        for mut webhook in forms {
            (webhook["events"], webhook["monitor_groups"]) = (json!(EVENTS), json!(["on-call"]));
            let made = self.api.post("/v1/webhooks", webhook.to_string(), StatusCode::CREATED).await?;
            ensure!(made["status"] == "active", "the handshake must succeed: {made}");
        }
        self.publish("incident_opened", "INC-PAGED", "on-call").await?;
        for (path, taken) in [(PAGERDUTY, 202), (CHANNEL, 200)] {
            let came = self.stage.receiver.wait_for(path, 2, PATIENCE).await.map_err(anyhow::Error::msg)?;
            ensure!(came.iter().all(|call| call.answered == taken), "{path} must accept each request");
        }
        self.say(
            "An incident of the group on-call was sent to PagerDuty and to a Slack channel. \
             Both accepted it.",
        );
        Ok(())
    }

    async fn rotation(&mut self) -> Result<()> {
        let rotated = self.api.post(&self.path("/rotate-secret"), "", StatusCode::OK).await?;
        let new = text(&rotated, "/secret")?;
        let rehearsal = self.arrivals(1).await?.remove(0);
        ensure!(rehearsal.header("x-statuspulse-event") == Some("handshake"), "a handshake comes first");
        self.publish("incident_updated", "INC-8842-ALPHA", "payment-processing").await?;
        let received = self.arrivals(1).await?.remove(0);
        let header = received.header("x-statuspulse-signature").unwrap_or_default();
        ensure!(header.split(',').count() == 2, "two digests expected: {header}");
        for secret in [&new, &self.secret] {
            ensure!(
                verify::statuspulse(secret, &received.body, header),
                "the signature of each secret must be valid"
            );
        }
        self.say(&format!(
            "The secret was rotated. {} Both secrets sign until {}.",
            text(&rotated, "/reason")?,
            text(&rotated, "/window_ends_at")?
        ));
        self.api.post(&self.path("/rotate-secret/finish"), "", StatusCode::OK).await?;
        self.secret = new;
        self.publish("incident_resolved", "INC-8842-ALPHA", "payment-processing").await?;
        let received = self.arrivals(1).await?.remove(0);
        let header = received.header("x-statuspulse-signature").unwrap_or_default();
        ensure!(header.len() == 64 && self.is_signed(&received), "only the new secret must sign: {header}");
        self.say("The rotation was finished by hand. Only the new secret signs.");
        Ok(())
    }

    fn is_signed(&self, received: &Received) -> bool {
        let header = |name| received.header(name).unwrap_or_default();
        verify::statuspulse(&self.secret, &received.body, header("x-statuspulse-signature"))
            && verify::standard_webhooks(
                &self.secret,
                header("webhook-id"),
                header("webhook-timestamp"),
                &received.body,
                header("webhook-signature"),
            )
    }

    async fn publish(&self, event: &str, incident: &str, group: &str) -> Result<Value> {
        let body = format!(r#"{{"monitor_groups":["{group}"],"payload":{}}}"#, payload(event, incident));
        self.api.post("/v1/events", body, StatusCode::ACCEPTED).await
    }

    /// Polls the webhook until it is as expected.
    async fn until(&self, expected: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = unix_nanos() + u64::try_from(PATIENCE.as_nanos())?;
        loop {
            let webhook = self.api.get(&self.path("")).await?;
            if expected(&webhook) {
                return Ok(webhook);
            }
            ensure!(
                unix_nanos() < deadline,
                "the webhook is not as expected within the time limit: {webhook}"
            );
            #[expect(clippy::disallowed_methods, reason = "the demo polls the API; no rule waits here")]
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The sample payloads of the product page, for the given incident.
fn payload(event: &str, incident: &str) -> String {
    match event {
        "incident_opened" => format!(
            r#"{{"event_type":"incident_opened","incident_id":"{incident}","monitor_name":"checkout-api-prod","status":"investigating","triggered_at":"2024-03-15T14:22:01Z","details":{{"endpoint":"https://api.yourcompany.com/v2/checkout","response_code":503,"latency_ms":1240,"region":"us-east-1"}}}}"#
        ),
        "incident_updated" => format!(
            r#"{{"event_type":"incident_updated","incident_id":"{incident}","monitor_name":"checkout-api-prod","status":"identified","updated_at":"2024-03-15T14:31:40Z","details":{{"previous_status":"investigating","message":"A cache node is down","response_code":503,"latency_ms":1240.50,"region":"us-east-1"}}}}"#
        ),
        _ => format!(
            r#"{{"event_type":"incident_resolved","incident_id":"{incident}","monitor_name":"checkout-api-prod","status":"resolved","resolved_at":"2024-03-15T15:05:44Z","details":{{"downtime_duration_seconds":2623,"final_response_code":200,"auto_resolved":true,"engineer_notes":"Cache flush restored connectivity"}}}}"#
        ),
    }
}

/// Commands to copy, printed with `--stay`.
pub(super) fn to_try(base: &str, key: &str, dashboard: &str, hook: &str) -> String {
    let auth = format!(r#"-H "Authorization: Bearer {key}""#);
    let event = payload("incident_opened", "INC-1");
    format!(
        "\nThe server keeps running at {base}. Its retries still wait seconds. \
         Ctrl-C stops it and deletes its folder.\n\
         A receiver at {hook} prints below what it receives. Try:\n\n  \
         # open the dashboard in a browser; the link works once, within five minutes\n  \
         {dashboard}\n\n  \
         # register an endpoint; the answer has its handshake's result and its secret, shown only once\n  \
         curl -s {base}/v1/webhooks {auth} -d '{{\"url\":\"{hook}\",\"events\":[\"incident_opened\"]}}'\n\n  \
         # publish an event\n  \
         curl -s {base}/v1/events {auth} -d '{{\"monitor_groups\":[\"payment-processing\"],\"payload\":{event}}}'\n\n  \
         # list the webhooks, and the deliveries of one\n  \
         curl -s {base}/v1/webhooks {auth}\n  \
         curl -s {base}/v1/webhooks/<id>/deliveries {auth}\n\n  \
         # create another link to the dashboard\n  \
         curl -s -X POST {base}/v1/dashboard-sessions {auth}\n"
    )
}

/// Breaks a line between words, so that it fits a terminal of 120 columns.
fn wrapped(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for word in line.split_inclusive(' ') {
        match parts.last_mut() {
            Some(part) if part.is_empty() || part.len() + word.len() <= WIDTH => part.push_str(word),
            _ => parts.push(format!("  {word}")),
        }
    }
    parts
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("no string at {pointer} in {value}"))
}

fn millis(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() * 1e3
}

/// A line of a message for Slack, with its times and links as they are read: `<!date^…|time>` and `<url|label>`.
fn as_slack_shows(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, (target, (label, after)))) = rest.split_once('<').and_then(|(before, from)| {
        let (target, from) = from.split_once('|')?;
        Some((before, (target, from.split_once('>')?)))
    }) {
        shown.push_str(before);
        shown.push_str(label);
        if !target.starts_with("!date") {
            shown.push_str(&format!(": {target}"));
        }
        rest = after;
    }
    shown + rest
}
