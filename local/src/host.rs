//! The engine in one process: the ports are plugged in, and workers take messages from the queues.

use std::sync::Arc;
use std::time::Duration;

use statuspulse_core::Engine;
use statuspulse_core::limits;
use statuspulse_core::message::Queue;
use statuspulse_core::ports::{Clock, Metrics, Random, Sender};
use statuspulse_core::usecase::{Deployment, Handled};
use statuspulse_embedded::{Embedded, Received};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How often old records are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// The engine over one store.
pub(crate) fn engine(
    store: &Arc<Embedded>,
    sender: Arc<dyn Sender>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    metrics: Arc<dyn Metrics>,
    deployment: Deployment,
) -> Arc<Engine> {
    Arc::new(Engine {
        accounts: store.clone(),
        webhooks: store.clone(),
        sessions: store.clone(),
        deliveries: store.clone(),
        turns: store.clone(),
        wakeups: store.clone(),
        sender,
        clock,
        random,
        metrics,
        announcer: None,
        deployment,
    })
}

/// The tasks that work on messages until they are stopped.
#[derive(Debug)]
pub(crate) struct Workers {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Workers {
    /// Starts a worker for each queue, one for what becomes due, one for what nothing wakes, one for what is old.
    pub(crate) fn start(engine: &Arc<Engine>, store: &Arc<Embedded>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for queue in statuspulse_embedded::queues() {
            tasks.spawn(work(engine.clone(), store.clone(), queue, stopped.clone()));
        }
        tasks.spawn(until_stopped(stopped.clone(), wake(engine.clone(), store.clone())));
        tasks.spawn(until_stopped(stopped.clone(), look_after(engine.clone())));
        tasks.spawn(until_stopped(stopped, prune(engine.clone(), store.clone())));
        Self { tasks, stop }
    }

    /// Takes no more messages, and returns when those in work are done.
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

/// Hands each message to a task of its own: one that panics takes nobody with it, and its message comes again.
async fn work(engine: Arc<Engine>, store: Arc<Embedded>, queue: Queue, mut stopped: watch::Receiver<bool>) {
    let mut in_work = JoinSet::new();
    loop {
        let received = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            received = store.receive(queue) => received,
        };
        match received {
            Ok(received) => {
                in_work.spawn(handle(engine.clone(), received));
            }
            Err(error) => {
                tracing::error!(%error, "no messages can be read; trying again");
                pause(Duration::from_secs(1)).await;
            }
        }
        while in_work.try_join_next().is_some() {}
    }
    while in_work.join_next().await.is_some() {}
}

async fn handle(engine: Arc<Engine>, received: Received) {
    match engine.handle(received.message.clone()).await {
        Ok(Handled::Done) => received.done(),
        Ok(Handled::Again(at)) => received.again(at),
        // Dropped unsettled, the message comes again.
        Err(error) => {
            tracing::error!(webhook.id = %received.message.webhook_id(), %error, "message failed; it comes again")
        }
    }
}

/// Makes messages ready when their time comes.
async fn wake(engine: Arc<Engine>, store: Arc<Embedded>) {
    loop {
        if let Err(error) = store.make_due_ready().await {
            tracing::error!(%error, "due messages cannot be made ready; trying again");
            pause(Duration::from_secs(1)).await;
        }
        let wait = store
            .next_due()
            .map(|due| Duration::try_from(due.duration_since(engine.clock.now())).unwrap_or_default());
        tokio::select! {
            // Not much longer than a minute at once: the machine's clock may be set, or the machine asleep.
            () = pause(wait.unwrap_or(Duration::MAX).min(Duration::from_secs(60))) => {}
            () = store.next_due_came_closer() => {}
        }
    }
}

async fn look_after(engine: Arc<Engine>) {
    loop {
        pause(limits::LOOK_AFTER_EVERY).await;
        if let Err(error) = engine.look_after_all().await {
            tracing::error!(%error, "the look for what nothing wakes failed; it is taken again later");
        }
    }
}

async fn prune(engine: Arc<Engine>, store: Arc<Embedded>) {
    loop {
        match store.prune(engine.clock.now()).await {
            Ok(0) => {}
            Ok(pruned) => tracing::info!(pruned, "records older than the retention are gone"),
            Err(error) => tracing::error!(%error, "old records cannot be deleted; trying again later"),
        }
        pause(PRUNE_EVERY).await;
    }
}

async fn pause(wait: Duration) {
    #[expect(clippy::disallowed_methods, reason = "this is where a process waits for its next wake-up")]
    tokio::time::sleep(wait).await;
}
