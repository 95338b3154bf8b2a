//! The services in one process: connects the ports to the SQLite store, and runs the workers on its queues.

use std::sync::Arc;
use std::time::Duration;

use statuspulse_core::limiter::Limiter;
use statuspulse_core::limits;
use statuspulse_core::message::QueueName;
use statuspulse_core::outbox::Outbox;
use statuspulse_core::ports::{Clock, Figures, Metrics, Random, Sender};
use statuspulse_core::worker::Handled;
use statuspulse_core::{Admin, Deployment, Publisher, Worker};
use statuspulse_embedded::{Embedded, Received};
use statuspulse_shares::BytesInProgress;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::system::clock_was_set;

/// The services, all over the same store.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) admin: Arc<Admin>,
}

impl Services {
    pub(crate) fn over(
        store: &Arc<Embedded>,
        sender: Arc<dyn Sender>,
        probes: Arc<dyn Sender>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        metrics: Arc<dyn Metrics>,
        deployment: Deployment,
    ) -> Self {
        let limiter = Arc::new(Limiter::new(store.clone()));
        let outbox = Outbox::new(store.clone(), store.clone(), store.clone(), store.clone(), clock.clone());
        Self {
            publisher: Arc::new(Publisher {
                accounts: store.clone(),
                webhooks: store.clone(),
                deliveries: store.clone(),
                outbox: outbox.clone(),
                limiter: limiter.clone(),
                in_progress: Arc::new(BytesInProgress::new(limits::EVENT_BYTES_AT_ONCE)),
                clock: clock.clone(),
                random: random.clone(),
            }),
            worker: Arc::new(Worker {
                accounts: store.clone(),
                webhooks: store.clone(),
                deliveries: store.clone(),
                outbox: outbox.clone(),
                rate_limits: store.clone(),
                figures: store.clone(),
                sender,
                events: None,
                clock: clock.clone(),
                random: random.clone(),
                metrics,
                deployment: deployment.clone(),
            }),
            admin: Arc::new(Admin {
                accounts: store.clone(),
                sessions: store.clone(),
                webhooks: store.clone(),
                deliveries: store.clone(),
                outbox,
                figures: store.clone(),
                limiter,
                sender: probes,
                clock,
                random,
                events: None,
                deployment,
            }),
        }
    }
}

/// The background tasks: they handle messages, make due messages ready, reconcile and prune.
#[derive(Debug)]
pub(crate) struct Workers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Workers {
    /// Starts a worker for each queue, and the tasks that wake due messages, reconcile and prune.
    pub(crate) fn start(worker: &Arc<Worker>, store: &Arc<Embedded>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for queue in statuspulse_embedded::queues() {
            tasks.spawn(work(worker.clone(), store.clone(), queue, stopped.clone()));
        }
        tasks.spawn(until_stopped(stopped.clone(), wake(worker.clone(), store.clone())));
        tasks.spawn(until_stopped(stopped.clone(), reconcile(worker.clone())));
        tasks.spawn(until_stopped(stopped.clone(), prune(worker.clone(), store.clone())));
        tasks.spawn(until_stopped(stopped.clone(), watch_the_clock(worker.clock.clone())));
        tasks.spawn(store_figures(store.clone(), stopped));
        Self { tasks, stop }
    }

    /// Stops receiving messages. Returns when the messages in progress are handled.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn until_stopped(mut stopped: watch::Receiver<bool>, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// Handles each message in its own task: if a handler panics, only its message fails, and it is redelivered.
async fn work(
    worker: Arc<Worker>,
    store: Arc<Embedded>,
    queue: QueueName,
    mut stopped: watch::Receiver<bool>,
) {
    let mut in_work = JoinSet::new();
    loop {
        let received = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            received = store.receive(queue) => received,
        };
        match received {
            Ok(received) => {
                in_work.spawn(handle(worker.clone(), received));
            }
            Err(error) => {
                tracing::error!(%error, "messages cannot be received; trying again");
                pause(Duration::from_secs(1)).await;
            }
        }
        while in_work.try_join_next().is_some() {}
    }
    while in_work.join_next().await.is_some() {}
}

async fn handle(worker: Arc<Worker>, received: Received) {
    match worker.handle(received.message.clone()).await {
        Ok(Handled::Done) => received.done(),
        Ok(Handled::Again(at)) => received.again(at),
        // `received` is dropped unhandled, so the queue redelivers the message.
        Err(error) => {
            tracing::error!(webhook.id = %received.message.webhook_id(), %error, "message failed; it is retried")
        }
    }
}

/// Makes delayed messages ready when they are due, and checks every second whether a store that fails can write again.
async fn wake(worker: Arc<Worker>, store: Arc<Embedded>) {
    loop {
        if let Err(error) = store.make_due_ready().await {
            tracing::error!(%error, "due messages cannot be made ready; trying again");
            pause(Duration::from_secs(1)).await;
        }
        let wait = store
            .next_due()
            .map(|due| Duration::try_from(due.duration_since(worker.clock.now())).unwrap_or_default());
        tokio::select! {
            // At most a minute: the clock may be changed in the meantime, or the machine suspended.
            () = pause(wait.unwrap_or(Duration::MAX).min(Duration::from_secs(60))) => {}
            () = store.next_due_came_closer() => {}
            () = store.write_failed() => {}
        }
    }
}

/// Reconciles all records at start-up, and every 15 minutes.
async fn reconcile(worker: Arc<Worker>) {
    loop {
        if let Err(error) = worker.reconcile_all().await {
            tracing::error!(%error, "records cannot be reconciled; trying again later");
        }
        pause(limits::RECONCILE_EVERY).await;
    }
}

/// Deletes records older than the retention, at start-up and every [`statuspulse_embedded::PRUNE_EVERY`].
async fn prune(worker: Arc<Worker>, store: Arc<Embedded>) {
    loop {
        match store.prune(worker.clock.now()).await {
            Ok(0) => {}
            Ok(pruned) => tracing::info!(pruned, "records older than the retention were deleted"),
            Err(error) => tracing::error!(%error, "old records cannot be deleted; trying again later"),
        }
        pause(statuspulse_embedded::PRUNE_EVERY).await;
    }
}

/// Warns when the machine's clock is changed: from then on, recorded times differ from what the clock shows.
async fn watch_the_clock(clock: Arc<dyn Clock>) {
    let mut ahead = 0;
    loop {
        if let Some(by) = clock_was_set(&*clock, ahead) {
            ahead += by;
            let (seconds, ahead) = (by / 1000, ahead / 1000);
            tracing::warn!(
                seconds,
                ahead,
                "the machine's clock was changed; until the next start, waits and recorded times ignore the change"
            );
        }
        pause(crate::limits::CLOCK_CHECKED_EVERY).await;
    }
}

/// Stores what was counted, every second and once more at the end.
async fn store_figures(store: Arc<Embedded>, mut stopped: watch::Receiver<bool>) {
    loop {
        let stops = tokio::select! {
            () = pause(limits::FIGURES_FLUSHED_EVERY) => false,
            _ = stopped.wait_for(|stopped| *stopped) => true,
        };
        if let Err(error) = store.flush().await {
            tracing::warn!(%error, "figures cannot be stored; trying again");
        }
        if stops {
            return;
        }
    }
}

async fn pause(wait: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this is where a process waits for its next wake-up")]
    tokio::time::sleep(wait).await;
}
