//! `statuspulse serve`: runs the API, the dashboard and the workers until SIGTERM, SIGINT or SIGHUP.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use ring::rand::SystemRandom;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use statuspulse_core::limits;
use statuspulse_core::ports::Random;
use statuspulse_core::target::{EndpointUrl, TargetPolicy};
use statuspulse_core::{Admin, Deployment};
use statuspulse_embedded::{Embedded, Purpose};
use statuspulse_http::CursorKey;
use statuspulse_outbound::{Outbound, OutboundConfig, SystemResolver};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::arguments::ServeOptions;
use crate::descriptors::Descriptors;
use crate::host::{Services, Workers};
use crate::listener::Listener;
use crate::metrics::Counters;
use crate::monitoring;
use crate::prefix::Prefix;
use crate::probes::Probes;
use crate::runtimes::Management;
use crate::system::{SystemClock, SystemRandomness};

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    /// The address it listens on.
    pub(crate) address: SocketAddr,
    workers: Workers,
    admin: Arc<Admin>,
    api: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

pub(crate) async fn run(options: ServeOptions, management: Management) -> Result<()> {
    // Before the ready line is printed, because its reader may send a signal at once.
    let stop = StopSignals::listen()?;
    if !options.dev_allow_cidr.is_empty() {
        tracing::warn!("--dev-allow-cidr is set: use it for development only");
    }
    let server = Server::start(options, management).await?;
    let mut out = std::io::stdout();
    writeln!(out, "ready http://{}", server.address).and_then(|()| out.flush()).context("standard output")?;
    stop.come().await;
    server.stop().await
}

impl Server {
    /// Opens the data folder, starts the workers and listens. Returns when calls are accepted. `management`
    /// serves every call except publishing.
    pub(crate) async fn start(options: ServeOptions, management: Management) -> Result<Self> {
        let tcp = bind(options.listen).await?;
        let address = tcp.local_addr()?;
        let descriptors = Descriptors::available();
        let clock = Arc::new(SystemClock::start());
        // Before the folder is made and attempts begin: wrong options leave nothing behind.
        let (deployment, prefix) = deployment(&options, address)?;
        let sender = outbound(&options, &deployment.policy, &descriptors, clock.clone())?;
        let apart = match options.metrics_listen {
            None => None,
            Some(address) => Some(bind(address).await.context("--metrics-listen")?),
        };
        let store = Embedded::open(&options.data, Purpose::Serve, clock.clone())?;
        for (queue, slots) in descriptors.slots {
            store.limit_slots(queue, slots);
        }
        let metrics = Arc::new(Counters::default());
        let random = Arc::new(SystemRandomness(SystemRandom::new()));
        let cursor_key = cursor_key(&*random);
        let probes = Probes::new(sender.clone(), descriptors.probes);
        let services = Services::over(&store, sender, probes, clock, random, metrics.clone(), deployment);
        let workers = Workers::start(&services.worker, &store);
        let Services { publisher, admin, .. } = services;
        let router = statuspulse_http::all(admin.clone(), publisher, cursor_key)
            .merge(statuspulse_dashboard::pages(admin.clone()))
            .merge(monitoring::readiness(store.clone()));
        let page = monitoring::metrics(metrics.clone(), store.clone());
        let router = match apart {
            None => router.merge(page),
            Some(tcp) => {
                monitoring::serve_apart(tcp, page.merge(monitoring::readiness(store)));
                router
            }
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let connections = descriptors.connections;
        let listener = Listener {
            tcp,
            connections,
            trusted_proxies: options.trusted_proxy,
            prefix,
            metrics,
            management,
        };
        let api = tokio::spawn(listener.serve(router, async { drop(stopped.await) }));
        Ok(Self { address, workers, admin, api, stop })
    }

    /// Creates a sign-in link that opens the dashboard once, with the role of this key.
    pub(crate) async fn dashboard_link(&self, key: &str) -> Result<String> {
        Ok(self.admin.buy_link(key, None).await?.url)
    }

    /// Stops accepting calls and messages. Returns when the work in progress is finished and on disk.
    pub(crate) async fn stop(self) -> Result<()> {
        drop(self.stop);
        let mut api = self.api;
        let (ended, ()) =
            tokio::join!(tokio::time::timeout(limits::ATTEMPT_TIMEOUT, &mut api), self.workers.stop());
        match ended {
            Ok(ended) => ended.context("the API task")?,
            // No handler takes longer. The remaining connections belong to clients that do not finish their requests.
            Err(_) => api.abort(),
        }
        self.admin.deliveries.durable().await.context("syncing the database to disk")
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}

/// Returns when SIGTERM, SIGINT or SIGHUP arrives.
pub(crate) async fn stop_signal() -> Result<()> {
    StopSignals::listen()?.come().await;
    Ok(())
}

/// The terminal's hang-up stops the server in the same way: there is nothing that it could read again.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl StopSignals {
    fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn come(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

pub(crate) fn deployment(options: &ServeOptions, address: SocketAddr) -> Result<(Deployment, Prefix)> {
    let policy = if options.dev_allow_cidr.is_empty() {
        TargetPolicy::deployed()
    } else {
        TargetPolicy::development(options.dev_allow_cidr.clone())
    };
    let slack = options.slack_url.as_ref().map(|url| EndpointUrl::parse(url, &policy));
    let slack = slack.transpose().context("--slack-url")?;
    let pagerduty = EndpointUrl::parse(&options.pagerduty_url, &policy).context("--pagerduty-url")?;
    let (public_url, prefix) = match &options.public_url {
        Some(url) => checked_public_url(url).context("--public-url")?,
        None => {
            ensure!(
                !address.ip().is_unspecified(),
                "--listen {address} is no address that a link can lead to: give --public-url"
            );
            (format!("http://{address}"), Prefix::default())
        }
    };
    let deployment = Deployment {
        ladder: options.ladder,
        policy,
        slack,
        retry_early: options.retry_early,
        pagerduty,
        public_url,
        egress_ips: options.egress_ips.iter().map(ToString::to_string).collect(),
    };
    Ok((deployment, prefix))
}

/// What links begin with, without a slash at the end, and its path.
fn checked_public_url(text: &str) -> Result<(String, Prefix)> {
    let url = url::Url::parse(text)
        .with_context(|| format!("{text:?} is not a URL such as https://webhooks.example.com"))?;
    ensure!(matches!(url.scheme(), "http" | "https"), "{text:?} must begin with https:// or http://");
    ensure!(url.query().is_none() && url.fragment().is_none(), "{text:?} must have no query and no fragment");
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "{text:?} must have no user and no password"
    );
    let prefix = Prefix::parse(url.path()).with_context(|| format!("{text:?}"))?;
    Ok((text.trim_end_matches('/').to_owned(), prefix))
}

pub(crate) fn outbound(
    options: &ServeOptions,
    policy: &TargetPolicy,
    descriptors: &Descriptors,
    clock: Arc<SystemClock>,
) -> Result<Arc<Outbound>> {
    let extra_roots = match &options.dev_extra_ca {
        None => vec![],
        Some(file) => certificates(file).with_context(|| format!("--dev-extra-ca {}", file.display()))?,
    };
    let config = OutboundConfig {
        policy: policy.clone(),
        extra_roots,
        resolver: Arc::new(SystemResolver::new().context("the system's resolver configuration")?),
        clock,
        lookups: descriptors.lookups,
        idle_connections: descriptors.idle,
    };
    Ok(Arc::new(Outbound::new(config)?))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    ensure!(!found.is_empty(), "the file has no certificate");
    Ok(found)
}

/// A new random key for each process: cursors from before a restart are refused.
fn cursor_key(random: &dyn Random) -> CursorKey {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    CursorKey::new(bytes)
}
