//! The ports on AWS: DynamoDB keeps, SQS and Scheduler wake, KMS guards the secrets, EventBridge tells others, EMF counts.

mod clients;
mod dynamodb;
mod emf;
mod error;
mod events;
mod queue;
mod sealing;

pub use clients::{chosen, configuration};
pub use dynamodb::Table;
pub use emf::{Emf, NAMESPACE};
pub use events::{Bus, SOURCE};
pub use queue::{Messages, Queues, Schedules};
pub use sealing::DataKey;
