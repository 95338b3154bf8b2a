//! Two runtimes. One delivers, takes in events and makes changes. The other makes the answers to reads, with half of the
//! cores at most, so that what is read, however long it takes, delays no delivery.

use std::io;
use std::num::NonZero;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Makes the answers to reads, with half of the cores at most.
#[derive(Debug, Clone)]
pub(crate) struct Reads {
    runtime: Handle,
    at_once: Arc<Semaphore>,
}

impl Reads {
    pub(crate) fn on(runtime: &Handle) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { runtime: runtime.clone(), at_once: Arc::new(Semaphore::new((cores / 2).max(1))) }
    }

    /// Makes an answer when it is its turn. It is made to its end, even if nobody waits for it.
    ///
    /// # Errors
    /// Fails if the call panics, or if the runtime stops.
    pub(crate) async fn answer<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let at_once = Arc::clone(&self.at_once);
        let turn = async move {
            // The semaphore is never closed.
            let _turn = at_once.acquire().await.ok();
            call.await
        };
        self.runtime.spawn(turn).await
    }
}

/// The runtimes of the program.
pub(crate) struct Runtimes {
    /// Runs everything but reads.
    pub(crate) main: Runtime,
    /// Makes the answers to `GET` and `HEAD`.
    pub(crate) reads: Runtime,
}

impl Runtimes {
    pub(crate) fn start() -> io::Result<Self> {
        let main = Builder::new_multi_thread().enable_all().build()?;
        let reads = Builder::new_multi_thread().enable_all().thread_name("reads").build()?;
        Ok(Self { main, reads })
    }
}
