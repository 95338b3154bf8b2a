//! Opens clients, connections and keys once per execution environment, during the init phase. Otherwise the first
//! event would have to, with only a fraction of a processor. Each function gets its service from here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use jiff::Timestamp;
use lambda_runtime::Error;
use ring::rand::SystemRandom;
use statuspulse_aws::{Bus, DataKey, Emf, Messages, Table};
use statuspulse_core::check::Reconciled;
use statuspulse_core::destination::PAGERDUTY_EVENTS;
use statuspulse_core::limiter::Limiter;
use statuspulse_core::limits;
use statuspulse_core::moving::import::Importer;
use statuspulse_core::outbox::Outbox;
use statuspulse_core::ports::{Clock, EventPublisher, Figures, Random, Sender};
use statuspulse_core::target::{EndpointUrl, TargetPolicy};
use statuspulse_core::{Admin, Deployment, Publisher, Worker};
use statuspulse_outbound::{Outbound, OutboundConfig, SystemResolver};

use crate::batch::time_left;
use crate::environment::{self, SqsQueue};
use crate::log;
use crate::system::{SystemClock, SystemRandomness};

/// The resources of an execution environment.
#[derive(Clone)]
pub struct Host {
    /// The key that seals secrets.
    pub data_key: DataKey,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness.
    pub random: Arc<dyn Random>,
    /// The store.
    pub store: Arc<Table>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) messages: Arc<Messages>,
    pub(crate) emf: Arc<Emf>,
    figures_stored: Arc<Mutex<Timestamp>>,
    aws: aws_types::SdkConfig,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

impl Host {
    /// Reads the environment variables, creates the clients and unwraps the data key, if there is one. `sends_to` are
    /// the queues that the function sends to.
    ///
    /// # Errors
    /// Fails if a variable is missing or invalid, or if a call to AWS fails.
    pub async fn start(sends_to: &[SqsQueue]) -> Result<Self, Error> {
        log::start();
        // A release build has no variable that could move its clock.
        let clock_file =
            if cfg!(debug_assertions) { environment::optional("STATUSPULSE_DEV_CLOCK_FILE") } else { None };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock { offset: clock_file.map(Into::into) });
        let aws = statuspulse_aws::configuration(clock.clone())?;
        let random = Arc::new(SystemRandomness(SystemRandom::new()));
        let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
        let table = environment::required("STATUSPULSE_TABLE")?;
        let kms_key = environment::required("STATUSPULSE_KMS_KEY_ID")?;
        let messages = Arc::new(Messages::new(
            aws_sdk_sqs::Client::new(&aws),
            aws_sdk_scheduler::Client::new(&aws),
            environment::queues(sends_to)?,
            environment::schedules(sends_to)?,
            environment::ladder()?,
            clock.clone(),
        ));
        let data_key =
            DataKey::new(aws_sdk_kms::Client::new(&aws), kms_key, dynamodb.clone(), &table, clock.clone());
        data_key.open_if_made().await?;
        let store = Arc::new(Table::new(dynamodb, table, data_key.clone(), random.clone(), clock.clone()));
        let limiter = Arc::new(Limiter::new(store.clone()));
        let emf = Arc::new(Emf::new(environment::required("STATUSPULSE_STACK")?));
        Ok(Self {
            data_key,
            clock,
            random,
            store,
            limiter,
            messages,
            emf,
            figures_stored: Arc::default(),
            aws,
        })
    }

    /// The service that accepts events.
    pub fn publisher(&self) -> Arc<Publisher> {
        Arc::new(Publisher {
            accounts: self.store.clone(),
            webhooks: self.store.clone(),
            deliveries: self.store.clone(),
            outbox: self.outbox(),
            limiter: self.limiter.clone(),
            in_progress: Arc::new(()),
            clock: self.clock.clone(),
            random: self.random.clone(),
        })
    }

    /// The service that handles messages.
    ///
    /// # Errors
    /// Fails if an environment variable is missing or invalid.
    pub fn worker(&self) -> Result<Worker, Error> {
        let (policy, sender) = outbound(self.clock.clone())?;
        Ok(Worker {
            accounts: self.store.clone(),
            webhooks: self.store.clone(),
            deliveries: self.store.clone(),
            outbox: self.outbox(),
            rate_limits: self.store.clone(),
            figures: self.store.clone(),
            sender,
            events: None,
            clock: self.clock.clone(),
            random: self.random.clone(),
            metrics: self.emf.clone(),
            deployment: deployment(policy)?,
        })
    }

    /// The service that handles messages, with the event bus and the deployment's Slack channel, if it has one.
    ///
    /// # Errors
    /// Fails if an environment variable is missing or invalid, or if a call to AWS fails.
    pub async fn notifying_worker(&self) -> Result<Worker, Error> {
        let bus = self.bus()?;
        let mut worker = self.worker()?;
        worker.deployment.slack = self.slack(&worker.deployment.policy).await?;
        Ok(Worker { events: Some(bus), ..worker })
    }

    /// The event bus.
    fn bus(&self) -> Result<Arc<dyn EventPublisher>, Error> {
        let name = environment::required("STATUSPULSE_EVENT_BUS")?;
        Ok(Arc::new(Bus::new(aws_sdk_eventbridge::Client::new(&self.aws), name)))
    }

    /// The service behind the API and the dashboard.
    ///
    /// # Errors
    /// Fails if an environment variable is missing or invalid.
    pub fn admin(&self) -> Result<Arc<Admin>, Error> {
        let (policy, sender) = outbound(self.clock.clone())?;
        Ok(Arc::new(Admin {
            accounts: self.store.clone(),
            sessions: self.store.clone(),
            webhooks: self.store.clone(),
            deliveries: self.store.clone(),
            figures: self.store.clone(),
            outbox: self.outbox(),
            limiter: self.limiter.clone(),
            sender,
            clock: self.clock.clone(),
            random: self.random.clone(),
            events: Some(self.bus()?),
            deployment: deployment(policy)?,
        }))
    }

    /// Checks webhooks for lost messages and sends them again, from where the last run has stopped. Returns how many
    /// repairs it made. Stops in time before the deadline.
    ///
    /// # Errors
    /// Fails if a call to AWS fails. The next run repeats the check.
    pub async fn reconcile(&self, worker: &Worker, deadline: SystemTime) -> Result<u64, Error> {
        let left = time_left(deadline).saturating_sub(crate::limits::CHECK_MARGIN);
        let until = self.clock.now().checked_add(left).unwrap_or(Timestamp::MAX);
        let after = self.store.stopped_at().await?;
        let reconciled = worker.reconcile_until(after, until).await;
        self.emf.flush(self.clock.now());
        let Reconciled { repairs, stopped } = reconciled?;
        if stopped != after {
            self.store.stop_at(stopped).await?;
        }
        Ok(repairs)
    }

    /// Stores the figures that this environment has counted, but not twice in a second: under load one write serves many
    /// invocations. What is left then is stored after a later invocation.
    pub(crate) async fn store_figures(&self) {
        let now = self.clock.now();
        {
            let mut stored = self.figures_stored.lock().unwrap_or_else(PoisonError::into_inner);
            if now.duration_since(*stored).unsigned_abs() < limits::FIGURES_FLUSHED_EVERY {
                return;
            }
            *stored = now;
        }
        if let Err(error) = self.store.flush().await {
            tracing::warn!(%error, "figures are not stored yet");
        }
    }

    /// Connects to SQS, for a function that sends messages for every event.
    pub async fn connect_to_queues(&self) {
        self.messages.connect().await;
    }

    /// The service that takes what is exported from another deployment.
    ///
    /// # Errors
    /// Fails if the data key cannot be opened.
    pub async fn importer(&self) -> Result<Importer, Error> {
        Ok(Importer {
            arrivals: self.store.clone(),
            accounts: self.store.clone(),
            outbox: self.outbox(),
            opener: self.data_key.opener().await?,
            clock: self.clock.clone(),
        })
    }

    fn outbox(&self) -> Outbox {
        Outbox::new(
            self.store.clone(),
            self.messages.clone(),
            self.store.clone(),
            self.store.clone(),
            self.clock.clone(),
        )
    }

    async fn slack(&self, policy: &TargetPolicy) -> Result<Option<EndpointUrl>, Error> {
        let Some(secret) = environment::optional("STATUSPULSE_SLACK_SECRET_ARN") else { return Ok(None) };
        let secrets = aws_sdk_secretsmanager::Client::new(&self.aws);
        let answer = secrets.get_secret_value().secret_id(secret).send().await?;
        let url = answer.secret_string.unwrap_or_default();
        // The error says what is wrong with the URL, but does not contain it.
        Ok(Some(EndpointUrl::parse(url.trim(), policy)?))
    }
}

/// The target policy, and the guarded HTTPS client that enforces it.
fn outbound(clock: Arc<dyn Clock>) -> Result<(TargetPolicy, Arc<dyn Sender>), Error> {
    let policy = environment::policy()?;
    let config = OutboundConfig {
        policy: policy.clone(),
        extra_roots: environment::extra_roots()?,
        resolver: Arc::new(SystemResolver::new()?),
        clock,
        lookups: limits::LOOKUPS_AT_ONCE,
        idle_connections: limits::IDLE_CONNECTIONS,
    };
    Ok((policy, Arc::new(Outbound::new(config)?)))
}

fn deployment(policy: TargetPolicy) -> Result<Deployment, Error> {
    Ok(Deployment {
        ladder: environment::ladder()?,
        slack: None,
        pagerduty: environment::endpoint("STATUSPULSE_PAGERDUTY_URL", PAGERDUTY_EVENTS, &policy)?,
        policy,
        retry_early: environment::retry_early()?,
        public_url: environment::required("STATUSPULSE_PUBLIC_URL")?,
        egress_ips: environment::egress_ips()?,
    })
}
