//! What all Lambda functions share. [`Host::start`] opens the resources of an execution environment, [`work_batch`]
//! handles messages from SQS, and [`answer_http`] answers calls of the API.

mod assemble;
mod batch;
mod environment;
mod http;
mod limits;
mod log;
mod system;

pub use assemble::Host;
pub use batch::{BatchResponse, work_batch};
pub use environment::{Misconfigured, SqsQueue, alarm_account};
pub use http::answer_http;

/// An event as raw JSON, so that numbers keep their digits.
pub type Payload = lambda_runtime::LambdaEvent<Box<serde_json::value::RawValue>>;
