//! Shares handshakes and tests between accounts: those of one account, however many hang, leave room for another's.
//!
//! They are sent on the main runtime, because their connections are kept for deliveries.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use statuspulse_core::ports::{Call, PortResult, Sender, Sent, Unavailable};
use statuspulse_shares::Shares;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::limits::PROBE_TURN_WITHIN;

/// The sender of handshakes and tests.
pub(crate) struct Probes {
    sender: Arc<dyn Sender>,
    runtime: Handle,
    shares: Arc<Shares>,
}

impl Probes {
    /// At most `at_once` are sent at the same time, on the current runtime.
    pub(crate) fn new(sender: Arc<dyn Sender>, at_once: usize) -> Arc<Self> {
        Arc::new(Self { sender, runtime: Handle::current(), shares: Shares::new(at_once) })
    }
}

#[async_trait]
impl Sender for Probes {
    async fn send(&self, call: Call) -> PortResult<Sent> {
        let turn = timeout(PROBE_TURN_WITHIN, self.shares.take(call.account_id)).await;
        let share = turn.map_err(|_| unavailable("its account has too many at the same time"))?;
        let sender = Arc::clone(&self.sender);
        let sent = self.runtime.spawn(async move {
            let _share = share;
            sender.send(call).await
        });
        sent.await.map_err(unavailable)?
    }
}

fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Unavailable {
    Unavailable { doing: "sending a handshake or test", source: source.into() }
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probes").field("shares", &self.shares).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use statuspulse_core::ids::AccountId;
    use statuspulse_core::limits::HANDSHAKE_TIMEOUT;
    use statuspulse_core::target::EndpointUrl;
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;

    /// Takes calls, and never answers.
    struct Hangs(Semaphore);

    #[async_trait]
    impl Sender for Hangs {
        async fn send(&self, _: Call) -> PortResult<Sent> {
            self.0.add_permits(1);
            std::future::pending().await
        }
    }

    fn call(account: u8) -> Call {
        Call {
            account_id: AccountId::from_bytes([account; 16]),
            url: EndpointUrl::restore("https://hooks.example.com/in").unwrap(),
            headers: vec![],
            body: Bytes::new(),
            timeout: HANDSHAKE_TIMEOUT,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn probes_that_hang_leave_room_for_those_of_another_account() {
        let hangs = Arc::new(Hangs(Semaphore::new(0)));
        let probes = Probes::new(hangs.clone(), 8);
        let mut all = JoinSet::new();
        for _ in 0..20 {
            let probes = probes.clone();
            all.spawn(async move { probes.send(call(1)).await });
        }
        // Four are sent, and the others are told to come again.
        for _ in 0..16 {
            let told = all.join_next().await.unwrap().unwrap().unwrap_err();
            assert_eq!(told.doing, "sending a handshake or test");
        }
        assert_eq!(hangs.0.available_permits(), 4);
        let another = probes.clone();
        all.spawn(async move { another.send(call(2)).await });
        hangs.0.acquire_many(5).await.unwrap().forget();
    }
}
