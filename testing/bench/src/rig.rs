//! A program, its customers and their endpoints, for one scenario.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use statuspulse_kit::{Authority, Behaviour, CertificateSpec, ReceiverOptions, Record, unix_nanos};
use tokio::time::MissedTickBehavior;

use crate::api::{Api, Publisher};
use crate::load::{Generator, Load, nanos};
use crate::proc::{self, Memory, Thread};
use crate::program::{Folder, Program, operator_key};
use crate::receiving::Receiving;
use crate::tally::{Arrivals, Endpoint, Spread, Tally, complete, tally};
use crate::threads::Priority;

/// Longer than the first wait of the retry schedule (60 s), so that a delivery that succeeds at its first retry is
/// late and not lost.
const LAST_ARRIVAL_WITHIN: Duration = Duration::from_secs(75);
/// How long to watch for duplicates after everything has arrived.
const DUPLICATES_WITHIN: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

#[derive(Debug)]
struct Running {
    program: Program,
    folder: Folder,
    operator_key: String,
}

#[derive(Debug)]
pub(crate) struct Rig {
    running: Option<Running>,
    receiving: Receiving,
    /// The endpoints that misbehave, on a thread of their own, so that they delay no healthy one.
    misbehaving: Receiving,
    own_thread: Thread,
    pub(crate) generator: Generator,
    admin_keys: Vec<String>,
    endpoints: Vec<Endpoint>,
}

/// The results of one load.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    pub(crate) seconds: f64,
    /// How late the generator created its events.
    pub(crate) late: Spread,
    /// CPU seconds of the program, up to the last arrival.
    pub(crate) cpu_seconds: f64,
    pub(crate) memory: Memory,
    /// The share of a core that the bench used during the load.
    pub(crate) generator_core: f64,
    pub(crate) receiver_core: f64,
}

impl Rig {
    /// Starts the program on an empty data folder below `out`.
    pub(crate) fn start(program: &Path, out: &Path, name: &str, scheme: Scheme) -> Result<Self> {
        let folder = Folder::fresh(out.join("data").join(name))?;
        let authority = Authority::fresh()?;
        folder.write_ca(authority.ca_pem())?;
        let mut options = ReceiverOptions { record: Record::Marks, ..ReceiverOptions::default() };
        if scheme == Scheme::Https {
            options.certificate = Some(authority.issue(CertificateSpec::Good)?);
        }
        let running = Program::start(program, &folder)?;
        let operator_key = operator_key(program, &folder)?;
        let program = running;
        let api = Api::new(&program.origin);
        Self::assemble(Some(Running { program, folder, operator_key }), options, api)
    }

    /// Only a receiver, for the scenario `self`.
    pub(crate) fn without_program() -> Result<Self> {
        let options = ReceiverOptions { record: Record::Marks, ..ReceiverOptions::plain() };
        Self::assemble(None, options, Api::new(""))
    }

    fn assemble(running: Option<Running>, options: ReceiverOptions, api: Api) -> Result<Self> {
        let misbehaving = Receiving::start(
            ReceiverOptions { record: Record::Marks, ..ReceiverOptions::plain() },
            Priority::Lowest,
        )?;
        Ok(Self {
            running,
            receiving: Receiving::start(options, Priority::Usual)?,
            misbehaving,
            own_thread: Thread::current()?,
            generator: Generator::new(api),
            admin_keys: Vec::new(),
            endpoints: Vec::new(),
        })
    }

    /// Creates a customer with this number of healthy webhooks.
    pub(crate) async fn customer(&mut self, webhooks: usize) -> Result<Publisher> {
        let running = self.running.as_ref().context("customers need a running program")?;
        let customer = self.admin_keys.len();
        let name = format!("Bench {customer}");
        let admin_key = self.generator.api.create_account(&running.operator_key, &name).await?;
        let publisher = self.generator.api.publisher(&admin_key, customer)?;
        self.admin_keys.push(admin_key);
        for _ in 0..webhooks {
            self.webhook(customer, None).await?;
        }
        Ok(publisher)
    }

    /// Lets the customer publish as fast as the machine can: more than an account may by default.
    pub(crate) async fn lift_quotas(&self, customer: usize) -> Result<()> {
        let running = self.running.as_ref().context("customers need a running program")?;
        self.generator.api.lift_quotas(&running.operator_key, self.key(customer)?).await
    }

    /// The customer's admin key.
    pub(crate) fn key(&self, customer: usize) -> Result<&str> {
        self.admin_keys.get(customer).map(String::as_str).context("no such customer")
    }

    /// The address of the API, without the scheme.
    pub(crate) fn address(&self) -> Result<&str> {
        let running = self.running.as_ref().context("a running program is needed")?;
        Ok(running.program.origin.trim_start_matches("http://"))
    }

    /// Customers of whose webhooks an attempt was recorded as failed, or that are not active.
    pub(crate) async fn blamed(&self, customers: &[usize]) -> Result<Vec<String>> {
        let mut blamed = vec![];
        for customer in customers {
            let key = self.key(*customer)?;
            let (_, list) = self.generator.api.call("GET", "/v1/webhooks", key, String::new()).await?;
            for webhook in list["data"].as_array().into_iter().flatten() {
                if webhook["failing_since"].is_string() || webhook["status"] != "active" {
                    blamed.push(format!("customer {customer}: {webhook}"));
                }
            }
        }
        Ok(blamed)
    }

    /// Memory and open files of the program now.
    pub(crate) fn footprint(&self) -> Result<(Memory, usize)> {
        let running = self.running.as_ref().context("a running program is needed")?;
        let pid = running.program.pid();
        Ok((proc::memory(pid)?, proc::open_files(pid)?))
    }

    /// Bytes of the program's files.
    pub(crate) fn disk(&self) -> Result<u64> {
        let running = self.running.as_ref().context("a running program is needed")?;
        running.folder.bytes()
    }

    /// Stops the program and starts it again on the same folder. Returns how long the start took.
    pub(crate) fn restart(&mut self, program: &Path) -> Result<Duration> {
        let Running { program: old, folder, operator_key } =
            self.running.take().context("a running program is needed")?;
        old.stop()?;
        let program = Program::start(program, &folder)?;
        let took = program.ready_after;
        self.generator.api = Api::new(&program.origin);
        self.running = Some(Running { program, folder, operator_key });
        Ok(took)
    }

    /// Creates a webhook. Its endpoint is healthy during the handshake, and gets the `behaviour` afterwards.
    pub(crate) async fn webhook(&mut self, customer: usize, behaviour: Option<Behaviour>) -> Result<()> {
        let path = format!("/c{customer}/w{}", self.endpoints.len());
        let admin_key = self.admin_keys.get(customer).context("no such customer")?;
        let healthy = behaviour.is_none();
        let receiver = if healthy { &self.receiving.receiver } else { &self.misbehaving.receiver };
        let url = receiver.url(&path);
        let secret = self.generator.api.create_webhook(admin_key, &url).await?;
        receiver.secret(&path, &secret);
        if let Some(behaviour) = behaviour {
            receiver.behaviour(&path, behaviour);
        }
        self.endpoints.push(Endpoint { path, customer, healthy });
        Ok(())
    }

    /// A publisher whose events go directly to an endpoint, which answers like the API.
    pub(crate) fn short_circuit(&mut self) -> Result<Publisher> {
        let (path, secret) = ("/self", "whsec_of_the_bench_itself");
        let accepted = statuspulse_kit::Answer::status(202).body(r#"{"event_id":"evt_self","deliveries":1}"#);
        self.receiving.receiver.behaviour(path, accepted);
        self.receiving.receiver.secret(path, secret);
        self.endpoints.push(Endpoint { path: path.to_owned(), customer: 0, healthy: true });
        Publisher::direct(&self.receiving.receiver.url(path), secret, 0)
    }

    /// Runs a load, waits for its last arrival, and tallies.
    pub(crate) async fn measure(&self, load: impl Future<Output = Load>) -> Result<Measured> {
        // Discard what arrived after the previous load.
        self.receiving.receiver.take_marks();
        let started = unix_nanos();
        let cpu_before = self.program_cpu_seconds()?;
        let (generator_before, receiver_before) = self.own_cpu_seconds()?;
        let load = load.await;
        let loading = Duration::from_nanos(unix_nanos().saturating_sub(started)).as_secs_f64();
        let (generator_after, receiver_after) = self.own_cpu_seconds()?;
        let mut arrivals = Arrivals::of(&self.endpoints);
        self.drain(&load, &mut arrivals).await;
        let cpu_seconds = self.program_cpu_seconds()? - cpu_before;
        let memory = match &self.running {
            Some(running) => proc::memory(running.program.pid())?,
            None => Memory::default(),
        };
        self.pass(DUPLICATES_WITHIN).await;
        arrivals.absorb(self.receiving.receiver.take_marks());
        Ok(Measured {
            tally: tally(&load, &self.endpoints, &arrivals),
            seconds: load.seconds,
            late: Spread::new(load.late_nanos),
            cpu_seconds,
            memory,
            generator_core: (generator_after - generator_before) / loading,
            receiver_core: (receiver_after - receiver_before) / loading,
        })
    }

    async fn drain(&self, load: &Load, arrivals: &mut Arrivals) {
        let deadline = unix_nanos().saturating_add(nanos(LAST_ARRIVAL_WITHIN));
        // The cheap check comes first: a full tally takes CPU time from the program, which is still working.
        let expected = tally(load, &self.endpoints, arrivals).expected;
        loop {
            arrivals.absorb(self.receiving.receiver.take_marks());
            let all = arrivals.distinct >= expected && complete(load, &self.endpoints, arrivals);
            if all || unix_nanos() > deadline {
                return;
            }
            self.pass(Duration::from_millis(50)).await;
        }
    }

    /// Waits in real time.
    pub(crate) async fn pass(&self, duration: Duration) {
        let mut ticks = tokio::time::interval(duration);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        ticks.tick().await;
    }

    fn program_cpu_seconds(&self) -> Result<f64> {
        self.running.as_ref().map_or(Ok(0.0), |running| proc::cpu_seconds(running.program.pid()))
    }

    fn own_cpu_seconds(&self) -> Result<(f64, f64)> {
        Ok((self.own_thread.cpu_seconds()?, self.receiving.thread.cpu_seconds()?))
    }

    /// The number of connections and of TLS handshakes that the program has made to the endpoints.
    pub(crate) fn connections(&self) -> (u64, u64) {
        (self.receiving.receiver.connections(), self.receiving.receiver.tls_handshakes())
    }

    /// Stops the program, which must exit with status 0. Deletes its data and log, unless `keep_files`.
    pub(crate) fn stop(self, keep_files: bool) -> Result<()> {
        let Some(running) = self.running else { return Ok(()) };
        let (status, _) = running.program.stop()?;
        if !status.success() {
            bail!("the program exited with {status} after SIGTERM");
        }
        if keep_files { Ok(()) } else { running.folder.remove() }
    }
}
