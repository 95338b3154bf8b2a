//! The ports on AWS: DynamoDB keeps, SQS and Scheduler wake, KMS guards the secrets, EventBridge tells others, EMF counts.

mod announcer;
mod clients;
mod dynamodb;
mod emf;
mod error;
mod sealing;
mod wakeups;

pub use announcer::{Bus, SOURCE};
pub use clients::{chosen, configuration};
pub use dynamodb::Table;
pub use emf::{Emf, NAMESPACE};
pub use sealing::DataKey;
pub use wakeups::{Messages, Queues, Schedules};
