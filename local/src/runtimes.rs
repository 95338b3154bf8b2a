//! Two runtimes. One delivers and takes in events. The other makes the answers to all other calls, with half of the cores
//! at most, so that what an account reads or changes, however much it is, delays no delivery.

use std::io;
use std::num::NonZero;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Makes the answers to all calls but publishing.
#[derive(Debug, Clone)]
pub(crate) struct Management {
    runtime: Handle,
    /// Long reads use threads of their own, in addition to the runtime's.
    reads: Arc<Semaphore>,
}

impl Management {
    pub(crate) fn on(runtime: &Handle) -> Self {
        Self { runtime: runtime.clone(), reads: Arc::new(Semaphore::new(half_of_the_cores())) }
    }

    /// Makes the answer to a change, to its end, even if nobody waits for it.
    ///
    /// # Errors
    /// Fails if the call panics, or if the runtime stops.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.runtime.spawn(call).await
    }

    /// Makes the answer to a read, when it is its turn.
    ///
    /// # Errors
    /// As [`change`](Self::change).
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let reads = Arc::clone(&self.reads);
        self.change(async move {
            // The semaphore is never closed.
            let _turn = reads.acquire().await.ok();
            call.await
        })
        .await
    }
}

/// The runtimes of the program.
pub(crate) struct Runtimes {
    /// Delivers and takes in events.
    pub(crate) main: Runtime,
    /// Answers all other calls.
    pub(crate) management: Runtime,
}

impl Runtimes {
    pub(crate) fn start() -> io::Result<Self> {
        let main = Builder::new_multi_thread().enable_all().build()?;
        let management = Builder::new_multi_thread()
            .worker_threads(half_of_the_cores())
            .enable_all()
            .thread_name("management")
            .build()?;
        Ok(Self { main, management })
    }
}

fn half_of_the_cores() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    (cores / 2).max(1)
}
