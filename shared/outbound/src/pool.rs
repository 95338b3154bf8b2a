//! Keeps connections for later requests of the same account to the same origin.
//!
//! Accounts share origins such as Slack's. What comes on a connection that one of them has used is never taken for the
//! answer to another's request.
//!
//! A connection is reused only if its address is among those vetted for the new attempt. So when a name moves to other
//! addresses, its old connections are no longer used.
//!
//! Age is also measured by the wall clock, because the monotonic clock may stop while a Lambda environment is frozen. By
//! the time it wakes, a NAT gateway or load balancer may have dropped the idle connection without telling us, and a
//! request sent on it would never be answered.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jiff::Timestamp;
use statuspulse_core::ids::AccountId;
use statuspulse_core::limits::{IDLE_FOR, IDLE_PER_ORIGIN};
use statuspulse_core::ports::{Call, Clock};

use crate::clock::{self, Instant};
use crate::connection::Connection;

pub(crate) struct Pool {
    idle: Mutex<Idle>,
    wall: Arc<dyn Clock>,
    /// Idle connections at most.
    most: usize,
}

/// The idle connections. They are not polled; [`Pool::take`] checks whether a connection is still alive.
#[derive(Default)]
struct Idle {
    /// Oldest first. No queue is empty.
    peers: HashMap<Peer, VecDeque<Kept>>,
    count: usize,
    /// Whether the task that closes expired connections is running.
    swept: bool,
}

/// Whose connections they are, and to which origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Peer {
    account_id: AccountId,
    origin: Box<str>,
}

impl Peer {
    pub(crate) fn of(call: &Call) -> Self {
        Self { account_id: call.account_id, origin: Box::from(call.url.origin()) }
    }
}

struct Kept {
    since: Instant,
    since_by_the_wall: Timestamp,
    connection: Connection,
}

impl Pool {
    pub(crate) fn new(wall: Arc<dyn Clock>, most: usize) -> Self {
        Self { idle: Mutex::default(), wall, most }
    }

    /// Takes a usable connection to this peer and to one of these addresses. Prefers the most recently used, which is
    /// the most likely to be alive.
    pub(crate) async fn take(&self, peer: &Peer, addresses: &[IpAddr]) -> Option<Connection> {
        loop {
            let Kept { since_by_the_wall, mut connection, .. } = self.lock().take(peer, addresses)?;
            if clock::between(since_by_the_wall, self.wall.now()) < IDLE_FOR && connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection that can be reused.
    pub(crate) fn put(self: &Arc<Self>, peer: Peer, connection: Connection) {
        let kept = Kept { since: clock::now(), since_by_the_wall: self.wall.now(), connection };
        let mut idle = self.lock();
        idle.put(peer, kept, self.most);
        if !idle.swept {
            idle.swept = true;
            drop(idle);
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn take(&mut self, peer: &Peer, addresses: &[IpAddr]) -> Option<Kept> {
        let all = self.peers.get_mut(peer)?;
        let at = all.iter().rposition(|kept| addresses.contains(&kept.connection.address()))?;
        let taken = all.remove(at)?;
        if all.is_empty() {
            self.peers.remove(peer);
        }
        self.count -= 1;
        Some(taken)
    }

    fn put(&mut self, peer: Peer, new: Kept, most: usize) {
        if self.count >= most {
            self.drop_oldest();
        }
        let kept = self.peers.entry(peer).or_default();
        kept.push_back(new);
        self.count += 1;
        if kept.len() > IDLE_PER_ORIGIN {
            kept.pop_front();
            self.count -= 1;
        }
    }

    fn drop_oldest(&mut self) {
        let oldest =
            self.peers.iter().filter_map(|(peer, kept)| Some((kept.front()?.since, peer.clone()))).min();
        let Some((_, peer)) = oldest else { return };
        if let Some(kept) = self.peers.get_mut(&peer) {
            kept.pop_front();
            self.count -= 1;
            if kept.is_empty() {
                self.peers.remove(&peer);
            }
        }
    }

    /// Drops expired connections. Returns when the next one expires.
    fn expire(&mut self) -> Option<Instant> {
        let now = clock::now();
        let mut next = None;
        self.peers.retain(|_, kept| {
            while kept.front().is_some_and(|oldest| oldest.since + IDLE_FOR <= now) {
                kept.pop_front();
                self.count -= 1;
            }
            let first = kept.front().map(|oldest| oldest.since + IDLE_FOR);
            next = [next, first].into_iter().flatten().min();
            first.is_some()
        });
        self.swept = next.is_some();
        next
    }
}

/// Closes connections when they expire. Ends when none is left or the pool is dropped.
async fn sweep(pool: Weak<Pool>) {
    while let Some(pool_now) = pool.upgrade() {
        let Some(next) = pool_now.lock().expire() else { return };
        drop(pool_now);
        tokio::time::sleep_until(next).await;
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.lock().count).finish()
    }
}
