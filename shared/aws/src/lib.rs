//! The ports on AWS: records on DynamoDB, messages on SQS and Scheduler, secrets sealed with KMS, domain events on
//! EventBridge, metrics as EMF.

mod clients;
mod connections;
mod dynamodb;
mod emf;
mod error;
mod events;
mod limits;
mod queue;
mod sealing;

pub use clients::{chosen, configuration};
pub use dynamodb::Table;
pub use emf::{Emf, NAMESPACE};
pub use events::{Bus, SOURCE};
pub use queue::{Messages, Queues, Schedules, read_message};
pub use sealing::DataKey;
pub use sealing::rekey::{Rekeyed, Step};
