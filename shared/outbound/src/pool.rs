//! Keeps connections for later requests to the same origin.
//!
//! A connection is reused only if its address is among those vetted for the new attempt. So when a name moves to other
//! addresses, its old connections are no longer used.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use statuspulse_core::limits::{IDLE_FOR, IDLE_PER_ORIGIN};

use crate::clock::{self, Instant};
use crate::connection::Connection;

pub(crate) struct Pool {
    idle: Mutex<Idle>,
    /// Idle connections at most.
    most: usize,
}

/// The idle connections. They are not polled; [`Pool::take`] checks whether a connection is still alive.
#[derive(Default)]
struct Idle {
    /// By origin, oldest first. No queue is empty.
    origins: HashMap<Box<str>, VecDeque<(Instant, Connection)>>,
    count: usize,
    /// Whether the task that closes expired connections is running.
    swept: bool,
}

impl Pool {
    pub(crate) fn new(most: usize) -> Self {
        Self { idle: Mutex::default(), most }
    }

    /// Takes a usable connection to this origin and to one of these addresses. Prefers the most recently used, which is
    /// the most likely to be alive.
    pub(crate) async fn take(&self, origin: &str, addresses: &[IpAddr]) -> Option<Connection> {
        loop {
            let mut connection = self.lock().take(origin, addresses)?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection that can be reused.
    pub(crate) fn put(self: &Arc<Self>, origin: &str, connection: Connection) {
        let mut idle = self.lock();
        idle.put(origin, connection, self.most);
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
    fn take(&mut self, origin: &str, addresses: &[IpAddr]) -> Option<Connection> {
        let kept = self.origins.get_mut(origin)?;
        let at = kept.iter().rposition(|(_, connection)| addresses.contains(&connection.address()))?;
        let (_, connection) = kept.remove(at)?;
        if kept.is_empty() {
            self.origins.remove(origin);
        }
        self.count -= 1;
        Some(connection)
    }

    fn put(&mut self, origin: &str, connection: Connection, most: usize) {
        if self.count >= most {
            self.drop_oldest();
        }
        if !self.origins.contains_key(origin) {
            self.origins.insert(Box::from(origin), VecDeque::new());
        }
        let Some(kept) = self.origins.get_mut(origin) else { return };
        kept.push_back((clock::now(), connection));
        self.count += 1;
        if kept.len() > IDLE_PER_ORIGIN {
            kept.pop_front();
            self.count -= 1;
        }
    }

    fn drop_oldest(&mut self) {
        let oldest =
            self.origins.iter().filter_map(|(origin, kept)| Some((kept.front()?.0, origin.clone()))).min();
        let Some((_, origin)) = oldest else { return };
        if let Some(kept) = self.origins.get_mut(&origin) {
            kept.pop_front();
            self.count -= 1;
            if kept.is_empty() {
                self.origins.remove(&origin);
            }
        }
    }

    /// Drops expired connections. Returns when the next one expires.
    fn expire(&mut self) -> Option<Instant> {
        let now = clock::now();
        let mut next = None;
        self.origins.retain(|_, kept| {
            while kept.front().is_some_and(|(since, _)| *since + IDLE_FOR <= now) {
                kept.pop_front();
                self.count -= 1;
            }
            let first = kept.front().map(|(since, _)| *since + IDLE_FOR);
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
