//! Two runtimes. One accepts events and delivers them. The other serves every other call on at most half of the cores, so
//! that whatever an account reads or changes, it delays no delivery.

use std::io;
use std::num::NonZero;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Serves every call except publishing.
#[derive(Debug, Clone)]
pub(crate) struct Management {
    runtime: Handle,
    /// Bounds reads separately, because long ones also use threads outside of the runtime's workers.
    reads: Arc<Semaphore>,
}

impl Management {
    pub(crate) fn on(runtime: &Handle) -> Self {
        Self { runtime: runtime.clone(), reads: Arc::new(Semaphore::new(half_of_the_cores())) }
    }

    /// Runs a call that changes something. It runs to completion even if the caller has gone away.
    ///
    /// # Errors
    /// Fails if the call panics, or if the runtime stops.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        self.runtime.spawn(call).await
    }

    /// Runs a read as soon as there is room for it.
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
    /// Accepts events and delivers them.
    pub(crate) main: Runtime,
    /// Serves every other call.
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
