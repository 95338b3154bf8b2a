//! The sender: vets, connects or reuses a connection, and exchanges.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use statuspulse_core::attempt::{Failure, Reply};
use statuspulse_core::ids::AccountId;
use statuspulse_core::limits::{CONNECT_TIMEOUT, IDLE_CONNECTIONS, LOOKUPS_AT_ONCE, STALE_WITHIN};
use statuspulse_core::ports::{Call, Clock, PortResult, Sender, Sent};
use statuspulse_core::target::{EndpointUrl, TargetPolicy};

use crate::answered::Answered;
use crate::clock::{self, Instant};
use crate::connect::connect;
use crate::connection::{Connection, NoAnswer};
use crate::exchange::{self, exchange, request};
use crate::explain::NoReply;
use crate::pool::{Peer, Pool};
use crate::resolve::Resolve;
use crate::tls::{self, BadRoot};
use crate::vetting::{Vetted, Vetting};

/// The configuration of an [`Outbound`].
#[derive(Clone)]
pub struct OutboundConfig {
    /// Which addresses may be called.
    pub policy: TargetPolicy,
    /// Certificate authorities trusted in addition to the public ones. For development and tests.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Looks up host names.
    pub resolver: Arc<dyn Resolve>,
    /// The wall clock, by which answers of look-ups and kept connections end.
    pub clock: Arc<dyn Clock>,
    /// Look-ups that run at the same time, shared by account.
    pub lookups: usize,
    /// Idle connections that are kept, in total.
    pub idle_connections: usize,
}

impl OutboundConfig {
    /// The configuration for production: only public addresses, no extra roots.
    pub fn deployed(resolver: Arc<dyn Resolve>, clock: Arc<dyn Clock>) -> Self {
        Self {
            policy: TargetPolicy::deployed(),
            extra_roots: Vec::new(),
            resolver,
            clock,
            lookups: LOOKUPS_AT_ONCE,
            idle_connections: IDLE_CONNECTIONS,
        }
    }
}

impl fmt::Debug for OutboundConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundConfig").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The guarded HTTPS client. See the [crate](crate).
pub struct Outbound {
    vetting: Vetting,
    tls: Arc<ClientConfig>,
    pool: Arc<Pool>,
    answered: Answered,
}

impl Outbound {
    /// Creates a sender. Share it: its connections and TLS sessions make later calls cheaper.
    ///
    /// # Errors
    /// Fails if an extra root is not a valid certificate.
    pub fn new(config: OutboundConfig) -> Result<Self, BadRoot> {
        Ok(Self {
            vetting: Vetting::new(config.policy, config.resolver, config.clock.clone(), config.lookups),
            tls: tls::config(config.extra_roots)?,
            pool: Arc::new(Pool::new(config.clock, config.idle_connections)),
            answered: Answered::default(),
        })
    }

    /// Checks whether the URL's host may be called now. Opens no connection to it.
    ///
    /// # Errors
    /// Fails if it cannot be checked for a reason on our side. The result is the failure that a call would have.
    pub async fn vet(&self, account_id: AccountId, url: &EndpointUrl) -> PortResult<Result<(), Failure>> {
        let _turn = self.vetting.turn(account_id, url).await?;
        let by = Deadlines::new(clock::now(), CONNECT_TIMEOUT);
        or_not_made(self.vetting.vet(url, by.connected).await.map(drop))
    }

    /// Looks up the URL's host and connects to it, with TLS, as a call would. Sends nothing.
    ///
    /// # Errors
    /// Fails if that cannot be tried for a reason on our side. The result is the failure that a call would have.
    pub async fn reach(
        &self,
        account_id: AccountId,
        url: &EndpointUrl,
    ) -> PortResult<Result<Reached, Failure>> {
        let _turn = self.vetting.turn(account_id, url).await?;
        let started = clock::now();
        let by = Deadlines::new(started, CONNECT_TIMEOUT);
        let reach = async {
            let addresses = self.vetting.vet(url, by.connected).await?;
            let looked_up = started.elapsed();
            let in_order = self.answered.in_order(url.origin(), &addresses);
            let connection = connect(url, &in_order, &self.tls, by.connected).await?;
            let connected = started.elapsed().saturating_sub(looked_up);
            Ok(Reached { address: connection.address(), looked_up, connected })
        };
        or_not_made(reach.await)
    }

    /// Makes the call to one of the vetted addresses.
    async fn call(&self, call: &Call, addresses: &Vetted, by: Deadlines) -> Result<Reply, NoReply> {
        // First, so that no connection is opened for a request that cannot be built.
        let mut request = request(call)?;
        let mut connected_by = by.connected;
        if let Some(kept) = self.pool.take(&Peer::of(call), addresses).await {
            let asked = clock::now();
            kept.begin_reuse();
            match self.exchange_on(kept, request, call, addresses, by.answer).await {
                Ok(reply) => return Ok(reply),
                // The receiver had closed the idle connection, or the network had forgotten it. The request is repeated
                // on a new one.
                Err(stale) if stale.silent && (stale.swallowed || asked.elapsed() < STALE_WITHIN) => {}
                Err(no_answer) => return Err(no_answer.failure.into()),
            }
            request = exchange::request(call)?;
            connected_by = by.answer.min(clock::now() + CONNECT_TIMEOUT);
        }
        let in_order = self.answered.in_order(call.url.origin(), addresses);
        let fresh = connect(&call.url, &in_order, &self.tls, connected_by).await?;
        let answer = self.exchange_on(fresh, request, call, addresses, by.answer).await;
        Ok(answer.map_err(|no_answer| no_answer.failure)?)
    }

    /// Makes the exchange, and keeps the connection if it can be reused.
    async fn exchange_on(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
        call: &Call,
        addresses: &Vetted,
        deadline: Instant,
    ) -> Result<Reply, NoAnswer> {
        let answer = exchange(&mut connection, request, call, deadline).await;
        self.answered.record(call.url.origin(), addresses, connection.address(), answer.is_ok());
        let (reply, reusable) = answer?;
        if reusable {
            self.pool.put(Peer::of(call), connection);
        }
        Ok(reply)
    }
}

#[async_trait]
impl Sender for Outbound {
    async fn send(&self, call: Call) -> PortResult<Sent> {
        let started = clock::now();
        let turn = self.vetting.turn(call.account_id, &call.url).await?;
        let by = Deadlines::new(clock::now(), call.timeout);
        let vetted = self.vetting.vet(&call.url, by.connected).await;
        drop(turn);
        let began = clock::now();
        let result = match vetted {
            Ok(addresses) => self.call(&call, &addresses, by).await,
            Err(no_reply) => Err(no_reply),
        };
        let result = or_not_made(result)?;
        Ok(Sent { result, began_after: began.duration_since(started), duration: began.elapsed() })
    }
}

/// Separates what the receiver did from what we could not do.
fn or_not_made<T>(result: Result<T, NoReply>) -> PortResult<Result<T, Failure>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(NoReply::Failed(failure)) => Ok(Err(failure)),
        Err(NoReply::NotMade(unavailable)) => Err(unavailable),
    }
}

/// An endpoint that can be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The address of the connection.
    pub address: IpAddr,
    /// How long the look-up took.
    pub looked_up: Duration,
    /// How long it took to connect, with TLS.
    pub connected: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Deadlines {
    /// For look-up, TCP and TLS.
    connected: Instant,
    /// For the whole call.
    answer: Instant,
}

impl Deadlines {
    fn new(started: Instant, timeout: Duration) -> Self {
        Self { connected: started + timeout.min(CONNECT_TIMEOUT), answer: started + timeout }
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("vetting", &self.vetting)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
