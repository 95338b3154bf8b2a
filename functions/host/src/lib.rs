//! What all Lambda functions share: [`Host::start`] opens what a function needs once an environment, [`work_batch`] works on
//! messages from SQS, [`answer_http`] on calls of the API. A function itself is a doorway.

mod assemble;
mod batch;
mod environment;
mod http;
mod log;
mod system;

pub use assemble::Host;
pub use batch::{BatchResponse, work_batch};
pub use environment::{Misconfigured, SqsQueue};
pub use http::answer_http;

/// A payload as it came: its numbers keep their digits.
pub type Payload = lambda_runtime::LambdaEvent<Box<serde_json::value::RawValue>>;
