//! The engine over AWS, put together once an environment: clients, connections, keys. What is opened here does not
//! have to be opened by the first event, on a fraction of a processor.

use std::sync::Arc;

use async_trait::async_trait;
use lambda_runtime::Error;
use ring::rand::SystemRandom;
use statuspulse_aws::{Bus, DataKey, Emf, Messages, Table};
use statuspulse_core::Engine;
use statuspulse_core::destination::PAGERDUTY_EVENTS;
use statuspulse_core::ports::{Announcement, Announcer, Clock, PortResult, Unavailable};
use statuspulse_core::target::{EndpointUrl, TargetPolicy};
use statuspulse_core::usecase::Deployment;
use statuspulse_outbound::{Outbound, OutboundConfig, SystemResolver};

use crate::environment;
use crate::log;
use crate::system::{SystemClock, SystemRandomness};

/// What an environment has.
#[derive(Debug, Clone)]
pub struct Host {
    /// The use cases.
    pub engine: Arc<Engine>,
    /// The key that secrets are sealed with.
    pub data_key: DataKey,
    pub(crate) messages: Arc<Messages>,
    pub(crate) emf: Arc<Emf>,
}

impl Host {
    /// Reads the environment, makes the clients and opens the data key.
    ///
    /// # Errors
    /// If the environment is not what the template sets, or AWS does not answer.
    pub async fn start() -> Result<Self, Error> {
        log::start();
        let aws = statuspulse_aws::configuration()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock {
            offset: environment::optional("STATUSPULSE_DEV_CLOCK_FILE").map(Into::into),
        });
        let random = Arc::new(SystemRandomness(SystemRandom::new()));
        let dynamodb = aws_sdk_dynamodb::Client::new(&aws);
        let table = environment::required("STATUSPULSE_TABLE")?;
        let kms_key = environment::required("STATUSPULSE_KMS_KEY_ID")?;
        let data_key = DataKey::new(aws_sdk_kms::Client::new(&aws), kms_key, dynamodb.clone(), &table);
        data_key.open_if_made().await?;
        let store = Arc::new(Table::new(dynamodb, table, data_key.clone(), random.clone(), clock.clone()));
        let ladder = environment::ladder()?;
        let messages = Arc::new(Messages::new(
            aws_sdk_sqs::Client::new(&aws),
            aws_sdk_scheduler::Client::new(&aws),
            environment::queues(),
            environment::schedules(),
            ladder,
            clock.clone(),
        ));
        let policy = environment::policy()?;
        let bus = environment::optional("STATUSPULSE_EVENT_BUS");
        let bus = bus.map(|name| Bus::new(aws_sdk_eventbridge::Client::new(&aws), name));
        let deployment = Deployment {
            ladder,
            slack: slack(&policy, &aws_sdk_secretsmanager::Client::new(&aws)).await?,
            pagerduty: EndpointUrl::parse(
                environment::optional("STATUSPULSE_PAGERDUTY_URL").as_deref().unwrap_or(PAGERDUTY_EVENTS),
                &policy,
            )?,
            policy: policy.clone(),
            bring_forward: environment::optional("STATUSPULSE_BRING_FORWARD").is_none_or(|on| on == "true"),
            public_url: environment::optional("STATUSPULSE_PUBLIC_URL").unwrap_or_default(),
            egress_ips: egress_ips(),
        };
        let outbound = OutboundConfig {
            policy,
            extra_roots: environment::extra_roots()?,
            resolver: Arc::new(SystemResolver::new()),
        };
        let emf = Arc::new(Emf::default());
        let engine = Arc::new(Engine {
            accounts: store.clone(),
            webhooks: store.clone(),
            sessions: store.clone(),
            deliveries: store.clone(),
            turns: store,
            wakeups: messages.clone(),
            sender: Arc::new(Outbound::new(outbound)?),
            clock,
            random,
            metrics: emf.clone(),
            // Every function asks for announcements; the one that has the bus makes them.
            announcer: Some(
                bus.map_or_else(|| Arc::new(MadeElsewhere) as Arc<dyn Announcer>, |bus| Arc::new(bus)),
            ),
            deployment,
        });
        Ok(Self { engine, data_key, messages, emf })
    }
}

impl Host {
    /// Wakes what no message will wake. Answers with how much that was.
    ///
    /// # Errors
    /// If AWS does not answer; the next look is as good.
    pub async fn look_after(&self) -> Result<u64, Error> {
        let found = self.engine.look_after_all().await;
        self.emf.flush(self.engine.clock.now());
        Ok(found?)
    }

    /// Opens what the first event needs to send its messages, in a function whose every event sends some.
    pub async fn connect_to_queues(&self) {
        self.messages.connect().await;
    }
}

/// In a function without the bus: it sends the message that asks for an announcement, and never gets one.
#[derive(Debug)]
struct MadeElsewhere;

#[async_trait]
impl Announcer for MadeElsewhere {
    async fn announce(&self, _: &Announcement) -> PortResult<()> {
        Err(Unavailable { doing: "announcing", source: "this function has no bus".into() })
    }
}

/// The function that tells engineers reads the deployment's own channel from its secret; the others need none.
async fn slack(
    policy: &TargetPolicy,
    secrets: &aws_sdk_secretsmanager::Client,
) -> Result<Option<EndpointUrl>, Error> {
    let Some(secret) = environment::optional("STATUSPULSE_SLACK_SECRET_ARN") else { return Ok(None) };
    let answer = secrets.get_secret_value().secret_id(secret).send().await?;
    let url = answer.secret_string.unwrap_or_default();
    // Says what is wrong with the URL, not what it is.
    Ok(Some(EndpointUrl::parse(url.trim(), policy)?))
}

fn egress_ips() -> Vec<String> {
    let list = environment::optional("STATUSPULSE_EGRESS_IPS").unwrap_or_default();
    list.split(',').map(str::trim).filter(|ip| !ip.is_empty()).map(str::to_owned).collect()
}
