//! Publishes events: at a fixed rate (open loop), or each as soon as the previous is answered (closed loop).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use statuspulse_kit::{Mark, unix_nanos};
use tokio::task::JoinSet;

use crate::api::{Api, Publisher};

/// The result of publishing an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answered {
    /// 202, with the number of deliveries it reported.
    Accepted {
        deliveries: u64,
    },
    No(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) customer: usize,
    /// When the event was created, and when it was answered, by [`unix_nanos`].
    pub(crate) made: u64,
    pub(crate) answered: u64,
    pub(crate) answer: Answered,
}

#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) sent: Vec<Sent>,
    pub(crate) seconds: f64,
    /// How much later than planned each event of an open loop was created. The delay is the bench's, not the program's.
    pub(crate) late_nanos: Vec<u64>,
}

/// Publishers that take turns, with a common rate.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) per_second: u32,
}

/// When a closed loop ends: after the time or the number of events, whichever comes first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    pub(crate) duration: Duration,
    pub(crate) events: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Generator {
    pub(crate) api: Api,
    /// Shared by all loads of a rig, so that a late arrival is never counted for the next load.
    next: Arc<AtomicU64>,
}

impl Generator {
    pub(crate) fn new(api: Api) -> Self {
        Self { api, next: Arc::default() }
    }

    /// Sends each event at its planned time, however many answers are outstanding. A generator that waits for answers
    /// slows down with the program and so hides its latency.
    pub(crate) async fn open_loop(&self, streams: Vec<Stream>, duration: Duration) -> Load {
        let started = unix_nanos();
        let mut running = JoinSet::new();
        for stream in streams {
            running.spawn(self.clone().pace(stream, duration));
        }
        let mut load = Load::default();
        for (sent, late_nanos) in running.join_all().await {
            load.sent.extend(sent);
            load.late_nanos.extend(late_nanos);
        }
        load.seconds = load.seconds_since(started, duration);
        load
    }

    async fn pace(self, stream: Stream, duration: Duration) -> (Vec<Sent>, Vec<u64>) {
        let events = u64::from(stream.per_second) * duration.as_secs();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / stream.per_second);
        let mut publishing = JoinSet::new();
        let mut late_nanos = Vec::new();
        for publisher in (0..events).zip(stream.publishers.iter().cycle()).map(|(_, publisher)| publisher) {
            let planned = ticks.tick().await;
            late_nanos.push(u64::try_from(planned.elapsed().as_nanos()).unwrap_or(u64::MAX));
            let (generator, publisher) = (self.clone(), publisher.clone());
            publishing.spawn(async move { generator.publish(&publisher).await });
        }
        (publishing.join_all().await, late_nanos)
    }

    /// `clients` publish in parallel, each as soon as its previous event is answered.
    pub(crate) fn closed_loop(
        &self,
        publisher: &Publisher,
        clients: usize,
        until: Until,
    ) -> impl Future<Output = Load> + use<> {
        let (generator, publisher) = (self.clone(), publisher.clone());
        async move {
            let started = unix_nanos();
            let deadline = started.saturating_add(nanos(until.duration));
            let begun = Arc::new(AtomicU64::new(0));
            let mut running = JoinSet::new();
            for _ in 0..clients {
                let (generator, publisher, begun) =
                    (generator.clone(), publisher.clone(), Arc::clone(&begun));
                running.spawn(async move {
                    let mut sent = Vec::new();
                    while unix_nanos() < deadline && begun.fetch_add(1, Ordering::Relaxed) < until.events {
                        sent.push(generator.publish(&publisher).await);
                    }
                    sent
                });
            }
            let sent = running.join_all().await.concat();
            let mut load = Load { sent, ..Load::default() };
            load.seconds = load.seconds_since(started, Duration::ZERO);
            load
        }
    }

    async fn publish(&self, publisher: &Publisher) -> Sent {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let made = unix_nanos();
        let answer = match self.api.publish(publisher, envelope(number, made)).await {
            Ok((202, deliveries)) => Answered::Accepted { deliveries },
            Ok((status, _)) => Answered::No(format!("status {status}")),
            Err(error) => Answered::No(format!("{error:#}")),
        };
        Sent { number, customer: publisher.customer, made, answered: unix_nanos(), answer }
    }
}

impl Load {
    /// Seconds from `started` to the last answer, but at least `planned`.
    fn seconds_since(&self, started: u64, planned: Duration) -> f64 {
        let last = self.sent.iter().map(|sent| sent.answered).max().unwrap_or(started);
        let elapsed = Duration::from_nanos(last.saturating_sub(started));
        elapsed.max(planned).as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The product page's sample of an opened incident. Each event has its own incident, so none waits in a lane.
fn envelope(number: u64, made: u64) -> String {
    let mark = Mark::text(number, made);
    format!(
        concat!(
            r#"{{"monitor_groups":["payment-processing"],"payload":{{"event_type":"incident_opened","#,
            r#""incident_id":"INC-{mark}","monitor_name":"checkout-api-prod","status":"investigating","#,
            r#""triggered_at":"2024-03-15T14:22:01Z","details":{{"endpoint":"https://api.yourcompany.com/v2/checkout","#,
            r#""response_code":503,"latency_ms":1240,"region":"us-east-1"}}}}}}"#
        ),
        mark = mark
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_is_json_and_carries_its_mark() {
        let event = envelope(7, 1_700_000_000_123);
        let parsed: serde_json::Value = serde_json::from_str(&event).unwrap();
        assert_eq!(parsed["payload"]["incident_id"], "INC-BEN-7-1700000000123");
        assert_eq!(Mark::find(event.as_bytes()), Some((7, 1_700_000_000_123)));
    }
}
