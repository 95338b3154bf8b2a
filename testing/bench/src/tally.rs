//! Compares what was sent with what arrived: losses, duplicates, latencies. Pure functions, without a clock.

use std::collections::HashMap;

use statuspulse_kit::{Mark, Signature};

use crate::load::{Answered, Load};

/// The endpoint of a webhook that should receive each event of its customer exactly once.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) path: String,
    pub(crate) customer: usize,
    /// `false` for an endpoint that hangs on purpose. Its deliveries are not counted.
    pub(crate) healthy: bool,
}

#[derive(Debug, Clone, Copy)]
struct Arrival {
    first_at: u64,
    times: u64,
    /// Arrivals after one that was answered 2xx.
    after_success: u64,
    succeeded: bool,
}

/// The requests to healthy endpoints, by path and event number.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    by_path: HashMap<String, HashMap<u64, Arrival>>,
    /// Different pairs of endpoint and event so far.
    pub(crate) distinct: usize,
    good: u64,
    not_good: u64,
}

impl Arrivals {
    pub(crate) fn of(endpoints: &[Endpoint]) -> Self {
        let healthy = endpoints.iter().filter(|endpoint| endpoint.healthy);
        let by_path = healthy.map(|endpoint| (endpoint.path.clone(), HashMap::new())).collect();
        Self { by_path, ..Self::default() }
    }

    pub(crate) fn absorb(&mut self, marks: Vec<(String, Vec<Mark>)>) {
        for (path, marks) in marks {
            let Some(seen) = self.by_path.get_mut(&path) else { continue };
            for mark in marks {
                // An unchecked signature counts as bad: the bench did not set the path's secret.
                match mark.signature {
                    Signature::Good => self.good += 1,
                    Signature::Bad | Signature::Unchecked => self.not_good += 1,
                }
                let arrival = seen.entry(mark.number).or_insert_with(|| {
                    self.distinct += 1;
                    Arrival { first_at: mark.at, times: 0, after_success: 0, succeeded: false }
                });
                arrival.times += 1;
                arrival.after_success += u64::from(arrival.succeeded);
                arrival.succeeded |= (200..300).contains(&mark.answered);
                arrival.first_at = arrival.first_at.min(mark.at);
            }
        }
    }
}

/// Sorted latencies. A percentile is the measured value of rank ceil(q × n), without interpolation.
#[derive(Debug, Default)]
pub(crate) struct Spread(Vec<u64>);

impl Spread {
    pub(crate) fn new(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        Self(nanos)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latency in milliseconds at `per_mille` (0 to 1,000); 0 if there is none.
    pub(crate) fn at(&self, per_mille: usize) -> f64 {
        let rank = (self.0.len() * per_mille).div_ceil(1000).max(1);
        self.0.get(rank - 1).map_or(0.0, |nanos| std::time::Duration::from_nanos(*nanos).as_secs_f64() * 1e3)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    /// The reason of the first refusal.
    pub(crate) refusal: Option<String>,
    /// Deliveries of the accepted events to healthy endpoints.
    pub(crate) expected: usize,
    pub(crate) delivered: usize,
    pub(crate) duplicates: u64,
    /// Accepted events whose 202 reported a number of deliveries that is not the number of webhooks.
    pub(crate) misjudged: usize,
    pub(crate) good_signatures: u64,
    pub(crate) other_signatures: u64,
    pub(crate) event_to_arrival: Spread,
    /// An arrival before we have read the 202 counts as 0 and in `early`.
    pub(crate) accepted_to_arrival: Spread,
    pub(crate) early: usize,
    pub(crate) publish: Spread,
    /// Time from the creation of the first event to the last arrival.
    pub(crate) span_seconds: f64,
}

impl Tally {
    pub(crate) fn lost(&self) -> usize {
        self.expected - self.delivered
    }

    /// The reasons why this run fails; empty if it passes.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |count: u64, what: String| {
            if count > 0 {
                faults.push(what);
            }
        };
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        fault(count(self.lost()), format!("{} of {} deliveries lost", self.lost(), self.expected));
        fault(self.other_signatures, format!("{} signatures not valid", self.other_signatures));
        fault(count(self.misjudged), format!("{} events with a wrong number of deliveries", self.misjudged));
        let refusal = self.refusal.as_deref().unwrap_or_default();
        fault(count(self.refused), format!("{} events not accepted, the first: {refusal}", self.refused));
        fault(u64::from(self.delivered == 0), "nothing was delivered".to_owned());
        faults
    }
}

/// Whether every expected delivery has arrived.
pub(crate) fn complete(load: &Load, endpoints: &[Endpoint], arrivals: &Arrivals) -> bool {
    let tally = tally(load, endpoints, arrivals);
    tally.delivered == tally.expected
}

pub(crate) fn tally(load: &Load, endpoints: &[Endpoint], arrivals: &Arrivals) -> Tally {
    let mut tally =
        Tally { good_signatures: arrivals.good, other_signatures: arrivals.not_good, ..Tally::default() };
    let (mut event_to_arrival, mut accepted_to_arrival, mut publish) = (Vec::new(), Vec::new(), Vec::new());
    let mut of_customer: HashMap<usize, Vec<&Endpoint>> = HashMap::new();
    for endpoint in endpoints {
        of_customer.entry(endpoint.customer).or_default().push(endpoint);
    }
    let mut last_arrival = 0;
    for sent in &load.sent {
        let deliveries = match &sent.answer {
            Answered::Accepted { deliveries } => *deliveries,
            Answered::No(reason) => {
                tally.refused += 1;
                tally.refusal.get_or_insert_with(|| reason.clone());
                continue;
            }
        };
        let webhooks = of_customer.get(&sent.customer).map(Vec::as_slice).unwrap_or_default();
        tally.accepted += 1;
        tally.misjudged += usize::from(usize::try_from(deliveries) != Ok(webhooks.len()));
        publish.push(sent.answered.saturating_sub(sent.made));
        for endpoint in webhooks.iter().filter(|endpoint| endpoint.healthy) {
            tally.expected += 1;
            let arrival = arrivals.by_path.get(&endpoint.path).and_then(|seen| seen.get(&sent.number));
            let Some(arrival) = arrival else { continue };
            tally.delivered += 1;
            tally.duplicates += arrival.after_success;
            event_to_arrival.push(arrival.first_at.saturating_sub(sent.made));
            tally.early += usize::from(arrival.first_at < sent.answered);
            accepted_to_arrival.push(arrival.first_at.saturating_sub(sent.answered));
            last_arrival = last_arrival.max(arrival.first_at);
        }
    }
    let first_made = load.sent.iter().map(|sent| sent.made).min().unwrap_or_default();
    tally.span_seconds =
        std::time::Duration::from_nanos(last_arrival.saturating_sub(first_made)).as_secs_f64().max(1e-3);
    tally.event_to_arrival = Spread::new(event_to_arrival);
    tally.accepted_to_arrival = Spread::new(accepted_to_arrival);
    tally.publish = Spread::new(publish);
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Sent;

    fn endpoint(path: &str, healthy: bool) -> Endpoint {
        Endpoint { path: path.to_owned(), customer: 0, healthy }
    }

    fn sent(number: u64, answer: Answered) -> Sent {
        Sent { number, customer: 0, made: 1_000_000, answered: 3_000_000, answer }
    }

    fn mark(number: u64, at: u64, signature: Signature) -> Mark {
        Mark { number, sent: 1_000_000, at, answered: 200, signature }
    }

    #[test]
    fn a_missing_delivery_is_lost_and_a_second_one_is_a_duplicate() {
        let endpoints = [endpoint("/a", true), endpoint("/b", true), endpoint("/hangs", false)];
        let accepted = Answered::Accepted { deliveries: 3 };
        let sent = vec![
            sent(1, accepted.clone()),
            sent(2, accepted),
            sent(3, Answered::No("status 503".to_owned())),
        ];
        let load = Load { sent, ..Load::default() };
        let mut arrivals = Arrivals::of(&endpoints);
        let good = Signature::Good;
        let on_a = vec![mark(1, 2_000_000, good), mark(1, 9_000_000, good), mark(2, 5_000_000, good)];
        arrivals.absorb(vec![("/a".to_owned(), on_a), ("/b".to_owned(), vec![mark(1, 4_000_000, good)])]);
        arrivals.absorb(vec![("/hangs".to_owned(), vec![mark(1, 4_000_000, Signature::Bad)])]);

        let tally = tally(&load, &endpoints, &arrivals);
        assert_eq!((tally.accepted, tally.refused, tally.expected, tally.delivered), (2, 1, 4, 3));
        assert_eq!((tally.lost(), tally.duplicates, tally.good_signatures), (1, 1, 4));
        assert!(!complete(&load, &endpoints, &arrivals));
        assert_eq!(tally.event_to_arrival.at(1000), 4.0);
        assert_eq!((tally.accepted_to_arrival.at(1), tally.early), (0.0, 1));
        assert_eq!(
            tally.faults(),
            ["1 of 4 deliveries lost", "1 events not accepted, the first: status 503"]
        );
    }

    #[test]
    fn a_bad_signature_or_a_wrong_promise_is_a_fault() {
        let endpoints = [endpoint("/a", true)];
        let load = Load { sent: vec![sent(1, Answered::Accepted { deliveries: 2 })], ..Load::default() };
        let mut arrivals = Arrivals::of(&endpoints);
        arrivals.absorb(vec![("/a".to_owned(), vec![mark(1, 2_000_000, Signature::Unchecked)])]);
        let faults = tally(&load, &endpoints, &arrivals).faults();
        assert_eq!(faults, ["1 signatures not valid", "1 events with a wrong number of deliveries"]);
    }

    #[test]
    fn percentiles_are_measured_values() {
        let spread = Spread::new((1..=200).rev().map(|n| n * 1_000_000).collect());
        assert_eq!((spread.at(500), spread.at(990), spread.at(1000)), (100.0, 198.0, 200.0));
        assert_eq!((Spread::new(vec![7_000_000]).at(500), Spread::default().at(500)), (7.0, 0.0));
    }
}
