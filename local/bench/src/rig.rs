//! A program, its customers and their endpoints, put together for one scenario.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use statuspulse_kit::{Authority, CertificateSpec, Mood, ReceiverOptions, Record, unix_nanos};
use tokio::time::MissedTickBehavior;

use crate::api::{Api, Publisher};
use crate::load::{Generator, Load, nanos};
use crate::proc::{self, Memory, Thread};
use crate::program::{Folder, Program, operator_key};
use crate::receiving::Receiving;
use crate::tally::{Arrivals, Endpoint, Spread, Tally, complete, tally};

/// A first attempt that failed is tried again after a minute: what comes then was late, not lost.
const LAST_ARRIVAL_WITHIN: Duration = Duration::from_secs(75);
/// How long to look on for duplicates once everything is there.
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
    own_thread: Thread,
    pub(crate) generator: Generator,
    admin_keys: Vec<String>,
    endpoints: Vec<Endpoint>,
}

/// One load and what came of it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) tally: Tally,
    pub(crate) seconds: f64,
    /// How late the generator was with its own events.
    pub(crate) late: Spread,
    /// CPU seconds of the program, to the last arrival.
    pub(crate) cpu_seconds: f64,
    pub(crate) memory: Memory,
    /// Shares of a core the bench itself used while loading.
    pub(crate) generator_core: f64,
    pub(crate) receiver_core: f64,
}

impl Rig {
    /// A program on an empty data folder below `out`.
    pub(crate) fn start(program: &Path, out: &Path, name: &str, scheme: Scheme) -> Result<Self> {
        let folder = Folder::fresh(out.join("data").join(name))?;
        let authority = Authority::fresh()?;
        folder.write_ca(authority.ca_pem())?;
        let mut options = ReceiverOptions { record: Record::Marks, ..ReceiverOptions::default() };
        if scheme == Scheme::Https {
            options.certificate = Some(authority.issue(CertificateSpec::Good)?);
        }
        let operator_key = operator_key(program, &folder)?;
        let program = Program::start(program, &folder)?;
        let api = Api::new(&program.origin);
        Self::assemble(Some(Running { program, folder, operator_key }), options, api)
    }

    /// A receiver alone, for the `self` scenario.
    pub(crate) fn without_program() -> Result<Self> {
        let options = ReceiverOptions { record: Record::Marks, ..ReceiverOptions::plain() };
        Self::assemble(None, options, Api::new(""))
    }

    fn assemble(running: Option<Running>, options: ReceiverOptions, api: Api) -> Result<Self> {
        Ok(Self {
            running,
            receiving: Receiving::start(options)?,
            own_thread: Thread::current()?,
            generator: Generator::new(api),
            admin_keys: Vec::new(),
            endpoints: Vec::new(),
        })
    }

    /// A new customer with `webhooks` healthy ones.
    pub(crate) async fn customer(&mut self, webhooks: usize) -> Result<Publisher> {
        let running = self.running.as_ref().context("no program to have customers")?;
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

    /// One more webhook. It passes its handshake in good health; a `mood` comes over its endpoint afterwards.
    pub(crate) async fn webhook(&mut self, customer: usize, mood: Option<Mood>) -> Result<()> {
        let path = format!("/c{customer}/w{}", self.endpoints.len());
        let admin_key = self.admin_keys.get(customer).context("no such customer")?;
        let url = self.receiving.receiver.url(&path);
        let secret = self.generator.api.create_webhook(admin_key, &url).await?;
        self.receiving.receiver.secret(&path, &secret);
        let healthy = mood.is_none();
        if let Some(mood) = mood {
            self.receiving.receiver.mood(&path, mood);
        }
        self.endpoints.push(Endpoint { path, customer, healthy });
        Ok(())
    }

    /// A publisher whose events go straight to an endpoint, which answers as the API would.
    pub(crate) fn short_circuit(&mut self) -> Result<Publisher> {
        let (path, secret) = ("/self", "whsec_of_the_bench_itself");
        let accepted = statuspulse_kit::Answer::status(202).body(r#"{"event_id":"evt_self","deliveries":1}"#);
        self.receiving.receiver.mood(path, accepted);
        self.receiving.receiver.secret(path, secret);
        self.endpoints.push(Endpoint { path: path.to_owned(), customer: 0, healthy: true });
        Publisher::direct(&self.receiving.receiver.url(path), secret, 0)
    }

    /// Runs a load, waits for the last arrival, and counts.
    pub(crate) async fn measure(&self, load: impl Future<Output = Load>) -> Result<Measured> {
        // What came since the last load belongs to nobody.
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
        // Cheap looks first: the full count takes time from a program that is still working.
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

    /// Lets real time pass, as everything here does.
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

    /// Connections and TLS handshakes the program has made to the endpoints.
    pub(crate) fn connections(&self) -> (u64, u64) {
        (self.receiving.receiver.connections(), self.receiving.receiver.tls_handshakes())
    }

    /// Ends the program in an orderly way. Its data and log go too, unless somebody will want to look at them.
    pub(crate) fn stop(self, keep_files: bool) -> Result<()> {
        let Some(running) = self.running else { return Ok(()) };
        let (status, _) = running.program.stop()?;
        if !status.success() {
            bail!("the program ended with {status} on SIGTERM");
        }
        if keep_files { Ok(()) } else { running.folder.remove() }
    }
}
