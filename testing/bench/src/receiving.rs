//! The endpoints of all customers: one [`Receiver`] with its own thread and runtime, so that it uses at most one core.

use std::io;
use std::sync::mpsc;

use anyhow::{Context, Result};
use statuspulse_kit::{Receiver, ReceiverOptions};
use tokio::sync::oneshot;

use crate::proc::Thread;
use crate::threads::{self, Priority};

#[derive(Debug)]
pub(crate) struct Receiving {
    pub(crate) receiver: Receiver,
    pub(crate) thread: Thread,
    /// Dropping it stops the thread.
    _stop: oneshot::Sender<()>,
}

impl Receiving {
    pub(crate) fn start(options: ReceiverOptions, priority: Priority) -> Result<Self> {
        let (sender, started) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        threads::start("receiver", priority, async move || {
            let receiver = Receiver::start(options);
            let thread = Thread::current().map_err(io::Error::other);
            sender.send(receiver.and_then(|receiver| Ok((receiver, thread?)))).ok();
            // Returns with an error when the sender is dropped, which is the signal to stop.
            stopped.await.ok();
        })?;
        let (receiver, thread) = started.recv().context("the receiver's thread ended")??;
        Ok(Self { receiver, thread, _stop: stop })
    }
}
