//! A task of a run, and what it waits for.

use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;

pub(crate) type TaskId = usize;
type Future<'a> = Pin<Box<dyn std::future::Future<Output = ()> + Send + 'a>>;

/// What a task waits for.
#[derive(Clone, Copy)]
pub(crate) enum Wake {
    Turn,
    At(Timestamp),
    Message,
    End(TaskId),
}

/// The identity of a task.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) name: Arc<str>,
    /// Whether it may die between any two polls while there are faults.
    pub(crate) mortal: bool,
}

pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) who: Who,
    pub(crate) future: Future<'static>,
}
