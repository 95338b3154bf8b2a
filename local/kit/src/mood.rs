//! What the receiver does with a request: an answer, or one of the ways real endpoints misbehave.

use std::time::Duration;

use bytes::Bytes;

use crate::services;

/// A complete, well-formed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer {
    /// `status` with an empty body (200: `ok`).
    pub fn status(status: u16) -> Self {
        let body = if status == 200 { Bytes::from_static(b"ok") } else { Bytes::new() };
        Self { status, headers: Vec::new(), body }
    }

    /// One more header, such as `retry-after` or `location`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// What a [`Mood::Sequence`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// Requests on the path, whatever they carry.
    Path,
    /// Requests with the same `x-statuspulse-event-id`: the attempts of one event.
    Event,
}

/// The two shapes of a head that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderFlood {
    /// One header of 1 MB.
    OneLarge,
    /// 10,000 short ones.
    Many,
}

/// How a path behaves. Whatever speaks of "until the sender leaves" costs a connection and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mood {
    Answer(Answer),
    /// Waits, then does the other.
    Delay(Duration, Box<Mood>),
    /// The n-th request gets the n-th step; the last step stays. A step is not itself a sequence.
    Sequence {
        per: Per,
        steps: Vec<Mood>,
    },
    /// Checks and answers as PagerDuty does: [`pagerduty`](crate::services::pagerduty).
    PagerDuty,
    /// Checks and answers as Slack does: [`slack`](crate::services::slack).
    Slack,
    /// Takes the request and stays silent until the sender leaves.
    Hang,
    /// Takes the request and closes the connection.
    Close,
    /// Takes the request and resets the connection (RST).
    Reset,
    /// Promises 1,000 bytes, sends 5, and closes.
    CloseMidBody {
        status: u16,
    },
    /// A body without an end, as fast as the sender reads it.
    EndlessBody {
        status: u16,
    },
    /// A body of 100,000 bytes, one at a time.
    DripBody {
        status: u16,
        every: Duration,
    },
    /// A whole small answer, one byte at a time from the status line on.
    DripHeader {
        status: u16,
        every: Duration,
    },
    /// Promises `length` bytes, sends 2, and waits until the sender leaves.
    HugeContentLength {
        status: u16,
        length: u64,
    },
    /// Something that is not HTTP.
    Garbage,
    HeaderFlood(HeaderFlood),
    /// `103 Early Hints` again and again, and never a final answer.
    InformationalFlood,
    /// `101 Switching Protocols`, which nobody asked for.
    SwitchingProtocols,
    /// A body said to be, and being, gzip: `ok` for those who decompress.
    Gzip {
        status: u16,
    },
}

impl Mood {
    pub fn ok() -> Self {
        Self::status(200)
    }

    pub fn status(status: u16) -> Self {
        Answer::status(status).into()
    }

    pub fn delayed(by: Duration, then: impl Into<Self>) -> Self {
        Self::Delay(by, Box::new(then.into()))
    }

    /// The first `n` requests on the path get one mood, all others another.
    pub fn first(n: usize, mood: impl Into<Self>, then: impl Into<Self>) -> Self {
        Self::repeated(Per::Path, n, mood.into(), then.into())
    }

    /// The first `n` attempts of every event get one mood, the attempts after them another.
    pub fn first_of_each_event(n: usize, mood: impl Into<Self>, then: impl Into<Self>) -> Self {
        Self::repeated(Per::Event, n, mood.into(), then.into())
    }

    fn repeated(per: Per, n: usize, mood: Self, then: Self) -> Self {
        let mut steps = vec![mood; n];
        steps.push(then);
        Self::Sequence { per, steps }
    }

    /// The step that request number `seen` (from 0) gets.
    pub(crate) fn step(&self, seen: usize) -> Self {
        match self {
            Self::Sequence { steps, .. } => {
                steps.get(seen).or_else(|| steps.last()).cloned().unwrap_or_else(Self::ok)
            }
            other => other.clone(),
        }
    }

    /// What it comes to for this body at this time.
    pub(crate) fn towards(self, body: &[u8], rate: &mut services::Rate, at: u64) -> Self {
        match self {
            Self::PagerDuty => services::pagerduty(body, rate, at).into(),
            Self::Slack => services::slack(body, rate, at).into(),
            Self::Delay(by, then) => Self::Delay(by, Box::new(then.towards(body, rate, at))),
            other => other,
        }
    }

    /// The final status this mood sets out to send; 0 where there is none.
    pub(crate) fn status_sent(&self) -> u16 {
        match self {
            Self::Answer(answer) => answer.status,
            Self::Delay(_, then) => then.status_sent(),
            Self::CloseMidBody { status }
            | Self::EndlessBody { status }
            | Self::DripBody { status, .. }
            | Self::DripHeader { status, .. }
            | Self::HugeContentLength { status, .. }
            | Self::Gzip { status } => *status,
            Self::HeaderFlood(_) => 200,
            Self::SwitchingProtocols => 101,
            Self::Sequence { .. }
            | Self::PagerDuty
            | Self::Slack
            | Self::Hang
            | Self::Close
            | Self::Reset
            | Self::Garbage
            | Self::InformationalFlood => 0,
        }
    }
}

impl From<Answer> for Mood {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}
