//! All endpoints, the services of destinations included: answer as the test sets, and record every call.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use statuspulse_core::attempt::{Class, Failure, Reply as Taken};
use statuspulse_core::destination::PAGERDUTY_EVENTS;
use statuspulse_core::ports::{Call, Clock, PortResult, Sender, Sent, Unavailable};
use statuspulse_kit::services::{self, Rate};

use super::ports::{Happening, VirtualClock};

/// How an endpoint answers one request.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    result: Result<Taken, Failure>,
    began_after: Duration,
    lasts: Duration,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self {
            result: Ok(Taken { status, retry_after: None, headers: vec![], body: vec![] }),
            began_after: Duration::ZERO,
            lasts: Duration::ZERO,
        }
    }
}

impl Reply {
    pub(crate) fn fails(class: Class, reason: &str) -> Self {
        Self { result: Err(Failure::new(class, reason)), ..Self::from(0) }
    }

    pub(crate) fn retry_after(mut self, value: &str) -> Self {
        if let Ok(taken) = &mut self.result {
            taken.retry_after = Some(value.to_owned());
        }
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        if let Ok(taken) = &mut self.result {
            taken.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        if let Ok(taken) = &mut self.result {
            taken.body = body.into();
        }
        self
    }

    /// The attempt takes this long: the clock advances by it.
    pub(crate) fn lasting(self, lasts: Duration) -> Self {
        Self { lasts, ..self }
    }

    /// The connection is opened this long after the call was made.
    pub(crate) fn beginning_after(self, began_after: Duration) -> Self {
        Self { began_after, ..self }
    }
}

/// One call, as the endpoint received it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: Timestamp,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) timeout: Duration,
    /// The status of the answer; `None` if the call failed without one.
    pub(crate) status: Option<u16>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn event(&self) -> &str {
        self.header("X-StatusPulse-Event")
    }

    pub(crate) fn event_id(&self) -> &str {
        self.header("X-StatusPulse-Event-Id")
    }

    pub(crate) fn attempt(&self) -> u8 {
        self.header("X-StatusPulse-Attempt").parse().unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// The software of a receiver: answers by what is in the request.
type Software = Arc<dyn Fn(&Seen) -> u16 + Send + Sync>;

#[derive(Default)]
struct Endpoint {
    software: Option<Software>,
    standing: Option<Reply>,
    next: VecDeque<Reply>,
    handshakes: Option<Reply>,
    by_event: HashMap<String, Reply>,
    happening: Option<Happening>,
    /// How many of the next calls cannot be made.
    out_of_reach: usize,
    rate: Rate,
}

impl Endpoint {
    fn reply(&mut self, seen: &Seen) -> Reply {
        if let Some(software) = &self.software {
            return Reply::from(software(seen));
        }
        let reply = if seen.event() == "handshake" {
            self.handshakes.clone()
        } else if let Some(reply) = self.by_event.get(seen.event_id()) {
            Some(reply.clone())
        } else {
            self.next.pop_front().or_else(|| self.standing.clone())
        };
        reply.unwrap_or_else(|| usual_reply(seen, &mut self.rate))
    }
}

/// The default answer. PagerDuty, Slack and Discord check the request; other endpoints answer 200.
fn usual_reply(seen: &Seen, rate: &mut Rate) -> Reply {
    let at = u64::try_from(seen.at.as_nanosecond()).unwrap();
    let answer = if seen.url == PAGERDUTY_EVENTS {
        services::pagerduty(&seen.body, rate, at)
    } else if seen.url.starts_with("https://hooks.slack.com/") {
        services::slack(&seen.body, rate, at)
    } else if seen.url.starts_with("https://discord.com/") {
        services::discord(&seen.body, rate, at)
    } else {
        return Reply::from(200);
    };
    let reply = Reply::from(answer.status).body(answer.body);
    let wait = answer.headers.iter().find(|(name, _)| *name == "retry-after");
    match wait {
        Some((_, seconds)) => reply.retry_after(seconds),
        None => reply,
    }
}

/// All endpoints, by URL.
pub(crate) struct Receivers {
    clock: Arc<VirtualClock>,
    endpoints: Mutex<HashMap<String, Endpoint>>,
    seen: Mutex<Vec<Seen>>,
}

impl Receivers {
    pub(crate) fn new(clock: Arc<VirtualClock>) -> Self {
        Self { clock, endpoints: Mutex::default(), seen: Mutex::default() }
    }

    fn change(&self, url: &str, change: impl FnOnce(&mut Endpoint)) {
        change(self.endpoints.lock().unwrap().entry(url.to_owned()).or_default());
    }

    /// Sets the answer to all requests that no other answer is set for.
    pub(crate) fn answers(&self, url: &str, reply: impl Into<Reply>) {
        self.change(url, |endpoint| endpoint.standing = Some(reply.into()));
    }

    /// Runs this software at the endpoint, which answers all requests.
    pub(crate) fn runs(&self, url: &str, software: impl Fn(&Seen) -> u16 + Send + Sync + 'static) {
        self.change(url, |endpoint| endpoint.software = Some(Arc::new(software)));
    }

    /// Stops that software.
    pub(crate) fn runs_nothing(&self, url: &str) {
        self.change(url, |endpoint| endpoint.software = None);
    }

    /// Sets the answers to the next requests, in order.
    pub(crate) fn answers_next(&self, url: &str, replies: impl IntoIterator<Item = impl Into<Reply>>) {
        self.change(url, |endpoint| endpoint.next.extend(replies.into_iter().map(Into::into)));
    }

    /// Sets the answer to handshakes, which the other settings do not affect.
    pub(crate) fn answers_handshakes(&self, url: &str, reply: impl Into<Reply>) {
        self.change(url, |endpoint| endpoint.handshakes = Some(reply.into()));
    }

    /// Sets the answer to all attempts of one event.
    pub(crate) fn answers_event(&self, url: &str, event_id: &str, reply: impl Into<Reply>) {
        self.change(url, |endpoint| drop(endpoint.by_event.insert(event_id.to_owned(), reply.into())));
    }

    /// The next calls cannot be made, for a reason on our side.
    pub(crate) fn cannot_be_called(&self, url: &str, times: usize) {
        self.change(url, |endpoint| endpoint.out_of_reach = times);
    }

    /// Runs `happening` during the next call, before it is answered.
    pub(crate) fn meanwhile(&self, url: &str, happening: impl Future<Output = ()> + Send + 'static) {
        self.change(url, |endpoint| endpoint.happening = Some(Box::pin(happening)));
    }

    /// All calls so far.
    pub(crate) fn all(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The calls to this URL, handshakes and tests included.
    pub(crate) fn calls(&self, url: &str) -> Vec<Seen> {
        self.all().into_iter().filter(|seen| seen.url == url).collect()
    }

    /// The calls to this URL that are neither handshakes nor tests.
    pub(crate) fn attempts(&self, url: &str) -> Vec<Seen> {
        let is_attempt = |seen: &Seen| !matches!(seen.event(), "handshake" | "test");
        self.calls(url).into_iter().filter(is_attempt).collect()
    }
}

#[async_trait]
impl Sender for Receivers {
    async fn send(&self, call: Call) -> PortResult<Sent> {
        if let Some(endpoint) = self.endpoints.lock().unwrap().get_mut(call.url.as_str())
            && endpoint.out_of_reach > 0
        {
            endpoint.out_of_reach -= 1;
            return Err(Unavailable { doing: "calling an endpoint", source: "too many open files".into() });
        }
        let headers: HeaderMap = call
            .headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::try_from(value).unwrap()))
            .collect();
        assert_eq!(headers.len(), call.headers.len(), "no header appears more than once");
        let mut seen = Seen {
            at: self.clock.now(),
            url: call.url.as_str().to_owned(),
            headers,
            body: call.body,
            timeout: call.timeout,
            status: None,
        };
        let (reply, happening) = {
            let mut endpoints = self.endpoints.lock().unwrap();
            let endpoint = endpoints.entry(seen.url.clone()).or_default();
            (endpoint.reply(&seen), endpoint.happening.take())
        };
        seen.status = reply.result.as_ref().ok().map(|taken| taken.status);
        self.seen.lock().unwrap().push(seen);
        // Lets other tasks run, as a network call would.
        tokio::task::yield_now().await;
        if let Some(happening) = happening {
            happening.await;
        }
        self.clock.pass(reply.began_after + reply.lasts);
        Ok(Sent { result: reply.result, began_after: reply.began_after, duration: reply.lasts })
    }
}
