//! Counters in memory, with the names and units of Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};
use statuspulse_core::attempt::{Began, Class};
use statuspulse_core::ports::Metrics;
use statuspulse_embedded::Census;

use crate::process;

/// Upper bounds of the lag histogram, in seconds. The promise is 200 ms (rule 4.1).
const LAG_BOUNDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 10.0, 60.0];

/// Upper bounds of the histogram of attempts, in seconds. An attempt ends after ten.
const ATTEMPT_BOUNDS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

type Named = Family<[(&'static str, String); 1], Gauge>;

/// The counters of this process. The id of a webhook is never a label: there may be many webhooks, and anyone who
/// reaches the page may read it.
#[derive(Debug)]
pub(crate) struct Counters {
    registry: Registry,
    first_lag: Histogram,
    after_wait_lag: Histogram,
    retries: Counter,
    succeeded: Counter,
    failed: Family<[(&'static str, &'static str); 1], Counter>,
    not_made: Counter,
    paused: Counter,
    lost_messages: Counter,
    /// Open connections of clients.
    pub(crate) connections: Gauge,
    /// How many there may be.
    pub(crate) connections_max: Gauge,
    /// Connections and calls that were refused because their address had too many.
    pub(crate) connections_refused: Counter,
    attempt_duration: Histogram,
    notifications: Family<[(&'static str, &'static str); 1], Counter>,
    accepted: Counter<u64, AtomicU64>,
    deliveries: Named,
    webhooks: Named,
    messages_due: Named,
    messages_delayed: Gauge,
    dead_letters: Gauge,
    process: process::Gauges,
}

impl Default for Counters {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("statuspulse");
        let lag = "From acceptance of an event to its first attempt";
        let first_lag = Histogram::new(LAG_BOUNDS);
        registry.register_with_unit("first_attempt_lag", lag, Unit::Seconds, first_lag.clone());
        let after_wait =
            "From the moment a delivery that had to wait or was held is due to its first attempt";
        let after_wait_lag = Histogram::new(LAG_BOUNDS);
        let name = "first_attempt_after_wait_lag";
        registry.register_with_unit(name, after_wait, Unit::Seconds, after_wait_lag.clone());
        let attempt_duration = Histogram::new(ATTEMPT_BOUNDS);
        let duration = "From the start of an attempt to its end";
        registry.register_with_unit("attempt_duration", duration, Unit::Seconds, attempt_duration.clone());
        let counters = Self {
            first_lag,
            after_wait_lag,
            attempt_duration,
            accepted: add(&mut registry, "events_accepted", "Events that were accepted"),
            notifications: add(&mut registry, "notifications", "Messages to engineers on Slack, by outcome"),
            deliveries: add(&mut registry, "deliveries", "Unfinished deliveries, by status"),
            webhooks: add(&mut registry, "webhooks", "Webhooks, by status"),
            messages_due: add(&mut registry, "messages_due", "Messages that are due, by queue"),
            messages_delayed: add(&mut registry, "messages_delayed", "Messages that are due later"),
            process: process::Gauges::default(),
            retries: add(&mut registry, "retries", "Attempts that were not first attempts"),
            succeeded: add(&mut registry, "deliveries_succeeded", "Successful attempts"),
            failed: add(&mut registry, "attempts_failed", "Failed attempts, by class"),
            not_made: add(
                &mut registry,
                "attempts_not_made",
                "Attempts that could not be made for a reason on our side, and were put back; should stay 0",
            ),
            paused: add(&mut registry, "webhooks_paused", "Webhooks that were paused because they failed"),
            lost_messages: add(
                &mut registry,
                "lost_messages",
                "Messages that were lost and sent again by the check every 15 minutes; should stay 0",
            ),
            connections: add(&mut registry, "connections", "Open connections of clients"),
            connections_max: add(&mut registry, "connections_max", "How many connections there may be"),
            connections_refused: add(
                &mut registry,
                "connections_refused",
                "Connections and calls that were refused because their address had too many",
            ),
            dead_letters: add(
                &mut registry,
                "dead_letters",
                "Messages that failed ten times; the next start tries them again",
            ),
            registry,
        };
        // Prometheus notices the first failure of a class only if the class was shown as 0 before.
        for class in Class::ALL.iter().copied() {
            drop(counters.failed.get_or_create(&[("class", class.name())]));
        }
        for outcome in OUTCOMES {
            drop(counters.notifications.get_or_create(&[("outcome", outcome)]));
        }
        counters
    }
}

/// Adds a metric. Its full name begins with `statuspulse_`; that of a counter ends in `_total`.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics for Counters {
    fn attempt_began(&self, began: Began) {
        match began {
            Began::First(lag) => self.first_lag.observe(lag.as_secs_f64()),
            Began::FirstAfterWait(lag) => self.after_wait_lag.observe(lag.as_secs_f64()),
            Began::Retry => _ = self.retries.inc(),
        }
    }

    fn attempt_ended(&self, failure: Option<Class>, took: Duration, _age: Duration) {
        self.attempt_duration.observe(took.as_secs_f64());
        match failure {
            None => self.succeeded.inc(),
            Some(class) => self.failed.get_or_create(&[("class", class.name())]).inc(),
        };
    }

    fn attempt_not_made(&self) {
        self.not_made.inc();
    }

    fn webhook_paused(&self) {
        self.paused.inc();
    }

    fn notification_ended(&self, accepted: bool) {
        self.notifications.get_or_create(&[("outcome", OUTCOMES[usize::from(!accepted)])]).inc();
    }

    fn lost_messages(&self, count: u64) {
        self.lost_messages.inc_by(count);
    }
}

/// What became of a message to Slack.
const OUTCOMES: [&str; 2] = ["accepted", "failed"];

impl Counters {
    /// All metrics in the text format, with what the store has, and the events that it accepted since the start.
    pub(crate) fn text(&self, census: &Census, accepted: u64) -> String {
        self.accepted.inner().store(accepted, Ordering::Relaxed);
        let states = [("waiting", census.waiting), ("retrying", census.scheduled), ("held", census.held)];
        for (status, count) in states {
            set(&self.deliveries, "status", status, count);
        }
        self.webhooks.clear();
        for status in ["active", "paused", "pending"] {
            set(&self.webhooks, "status", status, 0);
        }
        for (status, count) in &census.webhooks {
            set(&self.webhooks, "status", status, *count);
        }
        for (queue, count) in &census.due {
            set(&self.messages_due, "queue", &format!("{queue:?}").to_lowercase(), *count);
        }
        self.messages_delayed.set(gauge(census.delayed));
        self.dead_letters.set(gauge(census.dead_letters));
        let mut out = String::new();
        encode(&mut out, &self.registry).unwrap_or_default();
        self.process.append_to(&mut out);
        out
    }
}

fn set(family: &Named, label: &'static str, value: &str, count: u64) {
    family.get_or_create(&[(label, value.to_owned())]).set(gauge(count));
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
