//! Attacks: what one account, or a stranger, does to the latency of others.
//!
//! Four neighbours publish 80 events a second, first alone, then during the attack. A row passes if no delivery of
//! theirs is lost, none of their attempts is recorded as failed, and the median ratio of three runs is within the bar:
//! program, generator and receiver share the machine, so single runs differ. Names whose servers never answer are not here, because a
//! program asks the name servers of its machine; `shared/outbound/tests` has them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use statuspulse_kit::{Behaviour, unix_nanos};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::Options;
use crate::api::{Api, Publisher};
use crate::load::{Load, Stream, Until};
use crate::report::{Row, say};
use crate::rig::{Measured, Rig, Scheme};
use crate::rows::{RATIO, compared, finish, rig, seconds};
use crate::threads::{self, Priority};

/// The most that the program may take, whatever waits (rule 13.3), in MB.
const MEMORY_MAX: f64 = 134.2;

/// The most by which an attack may multiply the neighbours' p99.
const RATIO_MAX: f64 = 1.5;
/// Runs of each attack. The median of their ratios decides, because other work on the machine can decide one run.
const RUNS: usize = 3;

/// All attacks, one after the other, each on an empty data folder.
pub(crate) async fn all(options: &Options) -> Result<Vec<Row>> {
    Ok(vec![
        repeated(options, async |options| Box::pin(hanging_webhooks(options)).await).await?,
        repeated(options, async |options| Box::pin(large_backlog(options)).await).await?,
        repeated(options, async |options| Box::pin(readers(options)).await).await?,
        repeated(options, async |options| Box::pin(large_headers(options)).await).await?,
        repeated(options, async |options| Box::pin(flood(options)).await).await?,
        repeated(options, async |options| Box::pin(idle_connections(options)).await).await?,
    ])
}

/// The run with the median ratio, and the faults of all runs. With `--quick` there is one run, and no bar.
async fn repeated(options: &Options, attack: impl AsyncFn(&Options) -> Result<Row>) -> Result<Row> {
    if options.quick {
        return attack(options).await;
    }
    let mut runs = vec![];
    for n in 1..=RUNS {
        let run = attack(options).await?;
        say(&format!("    run {n} of {RUNS}: {:.2} × the p99 without the attack", ratio(&run)));
        runs.push(run);
    }
    runs.sort_by(|one, other| ratio(one).total_cmp(&ratio(other)));
    let ratios: Vec<f64> = runs.iter().map(ratio).collect();
    let mut median = runs.remove(RUNS / 2);
    for other in runs {
        median = median.faults(other.into_faults());
    }
    for (n, ratio) in ratios.iter().enumerate() {
        median = median.figure(&format!("ratio {} of {RUNS}", n + 1), *ratio, "×");
    }
    let too_slow = ratios[RUNS / 2] > RATIO_MAX;
    Ok(median
        .faults(too_slow.then(|| format!("the median ratio is above {RATIO_MAX}")).into_iter().collect()))
}

fn ratio(row: &Row) -> f64 {
    row.value(RATIO).unwrap_or(f64::INFINITY)
}

/// The neighbours: one stream of four customers.
struct Neighbours {
    stream: Stream,
    customers: Vec<usize>,
}

impl Neighbours {
    async fn of(rig: &mut Rig) -> Result<Self> {
        let mut publishers = Vec::new();
        for _ in 0..4 {
            publishers.push(rig.customer(1).await?);
        }
        let customers = publishers.iter().map(|publisher| publisher.customer).collect();
        Ok(Self { stream: Stream { publishers, per_second: 80 }, customers })
    }

    async fn alone(&self, rig: &Rig, options: &Options) -> Result<Measured> {
        let open = |duration| rig.generator.open_loop(vec![self.stream.clone()], duration);
        rig.measure(open(Duration::from_secs(3))).await?;
        rig.measure(open(seconds(options, 15))).await
    }

    /// The neighbours' load while `attack` runs, which ends with it.
    async fn during(
        &self,
        rig: &Rig,
        options: &Options,
        attack: impl Future<Output = Result<()>>,
    ) -> Result<Measured> {
        let mut failed = None;
        let load = async {
            let load = rig.generator.open_loop(vec![self.stream.clone()], seconds(options, 20));
            tokio::select! {
                load = Box::pin(load) => load,
                ended = Box::pin(attack) => {
                    failed = ended.err();
                    Load::default()
                }
            }
        };
        let measured = Box::pin(rig.measure(load)).await?;
        match failed {
            Some(error) => Err(error.context("the attack")),
            None => Ok(measured),
        }
    }

    async fn row(&self, name: &str, rig: Rig, without: &Measured, with: &Measured) -> Result<Row> {
        let blamed = rig.blamed(&self.customers).await?;
        let row = compared(Row::new(name), without, with).faults(blamed);
        finish(row, rig, with)
    }
}

/// An event of about this many bytes, with its own incident.
fn large(bytes: usize) -> String {
    let (n, text) = (unix_nanos(), "x".repeat(bytes));
    format!(
        concat!(
            r#"{{"payload":{{"event_type":"incident_opened","incident_id":"BIG-{}","monitor_name":"m","#,
            r#""status":"investigating","triggered_at":"2024-03-15T14:22:01Z","details":{{"text":"{}"}}}}}}"#
        ),
        n, text
    )
}

async fn forever() -> Result<()> {
    std::future::pending().await
}

/// 500 webhooks of one account that hang, and ten events.
async fn hanging_webhooks(options: &Options) -> Result<Row> {
    let webhooks = if options.quick { 100 } else { 500 };
    say(&format!("attack-hanging: one account with {webhooks} webhooks that hang, and ten events …"));
    let mut rig = rig(options, "attack-hanging", Scheme::Https)?;
    let neighbours = Neighbours::of(&mut rig).await?;
    let bad = rig.customer(0).await?;
    for _ in 0..webhooks {
        rig.webhook(bad.customer, Some(Behaviour::Hang)).await?;
    }
    let without = neighbours.alone(&rig, options).await?;
    let api = rig.generator.api.clone();
    let attack = async {
        for n in 0..10 {
            api.publish(&bad, large(100 + n)).await?;
        }
        forever().await
    };
    let with = neighbours.during(&rig, options, attack).await?;
    neighbours.row("attack-hanging", rig, &without, &with).await
}

/// 60 webhooks that hang, and 70 events of 120 KiB: 4,200 deliveries with 500 MB of bodies.
async fn large_backlog(options: &Options) -> Result<Row> {
    say("attack-backlog: 60 webhooks that hang, and 70 events of 120 KiB …");
    let mut rig = rig(options, "attack-backlog", Scheme::Https)?;
    let neighbours = Neighbours::of(&mut rig).await?;
    let bad = rig.customer(0).await?;
    for _ in 0..60 {
        rig.webhook(bad.customer, Some(Behaviour::Hang)).await?;
    }
    let without = neighbours.alone(&rig, options).await?;
    let api = rig.generator.api.clone();
    let attack = async {
        for _ in 0..70 {
            api.publish(&bad, large(120 * 1024)).await?;
        }
        forever().await
    };
    let with = neighbours.during(&rig, options, attack).await?;
    let peak = with.memory.rss_peak;
    let row = neighbours.row("attack-backlog", rig, &without, &with).await?;
    Ok(row.faults(too_much(peak)))
}

fn too_much(megabytes: f64) -> Vec<String> {
    if megabytes > MEMORY_MAX {
        vec![format!("{megabytes:.0} MB, more than {MEMORY_MAX:.0}")]
    } else {
        vec![]
    }
}

/// Sixteen readers of an account's long history, each as fast as it can, with filters that match nothing.
async fn readers(options: &Options) -> Result<Row> {
    let history = if options.quick { 4_000 } else { 40_000 };
    say(&format!("attack-readers: 16 readers of a history of {history} deliveries …"));
    let mut rig = rig(options, "attack-readers", Scheme::Https)?;
    let neighbours = Neighbours::of(&mut rig).await?;
    let bad = rig.customer(1).await?;
    let until = Until { duration: Duration::from_secs(60), events: history };
    rig.measure(rig.generator.closed_loop(&bad, 16, until)).await?;
    let key = rig.key(bad.customer)?.to_owned();
    let (_, list) = rig.generator.api.call("GET", "/v1/webhooks", &key, String::new()).await?;
    let webhook = list["data"][0]["id"].as_str().context("no webhook")?.to_owned();
    let without = neighbours.alone(&rig, options).await?;
    let filters = ["incident_id=NONE", "event_type=incident_resolved", "status=failed", "limit=250"];
    let paths: Vec<_> =
        filters.iter().map(|filter| format!("/v1/webhooks/{webhook}/deliveries?{filter}")).collect();
    let attack = everyone(&rig, 16, &key, move |n| ("GET", paths[n % paths.len()].clone(), String::new()));
    let with = neighbours.during(&rig, options, attack).await?;
    neighbours.row("attack-readers", rig, &without, &with).await
}

/// 100 webhooks with 60 KB of headers each, changed and listed as fast as eight callers can.
async fn large_headers(options: &Options) -> Result<Row> {
    say("attack-headers: 100 webhooks with 60 KB of headers, changed and listed by 8 callers …");
    let mut rig = rig(options, "attack-headers", Scheme::Https)?;
    let neighbours = Neighbours::of(&mut rig).await?;
    let bad = rig.customer(100).await?;
    let key = rig.key(bad.customer)?.to_owned();
    let api = rig.generator.api.clone();
    let headers: Vec<String> =
        (0..15).map(|n| format!("\"X-Large-{n}\":\"{}\"", "x".repeat(4_000))).collect();
    let patch = format!("{{\"headers\":{{{}}}}}", headers.join(","));
    let (_, list) = api.call("GET", "/v1/webhooks?limit=100", &key, String::new()).await?;
    let mut paths = vec![];
    for webhook in list["data"].as_array().into_iter().flatten() {
        let path = format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap_or_default());
        api.call("PATCH", &path, &key, patch.clone()).await?;
        paths.push(path);
    }
    let without = neighbours.alone(&rig, options).await?;
    let attack = everyone(&rig, 8, &key, move |n| match n % 2 {
        0 => ("PATCH", paths[n % paths.len()].clone(), patch.clone()),
        _ => ("GET", "/v1/webhooks?limit=100".to_owned(), String::new()),
    });
    let with = neighbours.during(&rig, options, attack).await?;
    neighbours.row("attack-headers", rig, &without, &with).await
}

/// A publisher's key that sends events of 120 KiB as fast as eight callers can.
async fn flood(options: &Options) -> Result<Row> {
    say("attack-flood: events of 120 KiB from 8 publishers, each as fast as it can …");
    let mut rig = rig(options, "attack-flood", Scheme::Https)?;
    let neighbours = Neighbours::of(&mut rig).await?;
    let bad = rig.customer(0).await?;
    let key = rig.key(bad.customer)?.to_owned();
    let without = neighbours.alone(&rig, options).await?;
    let attack = everyone(&rig, 8, &key, |n| ("POST", "/v1/events".to_owned(), large(120 * 1024 + n % 7)));
    let with = neighbours.during(&rig, options, attack).await?;
    let disk = rig.disk()?;
    let row = neighbours.row("attack-flood", rig, &without, &with).await?;
    Ok(row.figure("disk", megabytes(disk), "MB"))
}

/// 2,000 connections of a stranger, each with half a request.
async fn idle_connections(options: &Options) -> Result<Row> {
    let count = if options.quick { 300 } else { 2_000 };
    say(&format!("attack-connections: {count} connections of one address with half a request each …"));
    let mut rig = rig(options, "attack-connections", Scheme::Https)?;
    let neighbours = Neighbours::of(&mut rig).await?;
    let without = neighbours.alone(&rig, options).await?;
    let server: SocketAddr = rig.address()?.parse()?;
    let attack = async {
        let mut open = vec![];
        for _ in 0..count {
            open.extend(half_a_request(server).await);
        }
        forever().await
    };
    let with = neighbours.during(&rig, options, attack).await?;
    neighbours.row("attack-connections", rig, &without, &with).await
}

/// `None` if the program refuses the connection.
async fn half_a_request(server: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().ok()?;
    // Another address than the neighbours'.
    socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).ok()?;
    let mut stream = socket.connect(server).await.ok()?;
    stream.write_all(b"POST /v1/events HTTP/1.1\r\nHost: x\r\n").await.ok()?;
    Some(stream)
}

/// `callers` make one call after the other, on a thread of the lowest priority. Whether the calls are answered or refused
/// is their affair.
async fn everyone(
    rig: &Rig,
    callers: usize,
    key: &str,
    call: impl Fn(usize) -> (&'static str, String, String) + Clone + Send + 'static,
) -> Result<()> {
    let (api, key) = (Api::new(&format!("http://{}", rig.address()?)), key.to_owned());
    let (_stop, stopped) = oneshot::channel::<()>();
    threads::start("attackers", Priority::Lowest, async move || {
        let mut all = JoinSet::new();
        for caller in 0..callers {
            let (api, key, call) = (api.clone(), key.clone(), call.clone());
            all.spawn(async move {
                for n in (caller..).step_by(callers) {
                    let (method, path, body) = call(n);
                    drop(api.call(method, &path, &key, body).await);
                }
            });
        }
        // Returns with an error when the sender is dropped, at the end of the attack.
        stopped.await.ok();
    })?;
    forever().await
}

/// A million deliveries that wait for an endpoint that hangs.
pub(crate) async fn million(options: &Options) -> Result<Row> {
    let events: u32 = if options.quick { 100 } else { 2_000 };
    say(&format!("million: {} deliveries wait for 500 webhooks that hang, then a restart …", events * 500));
    let mut rig = rig(options, "million", Scheme::Https)?;
    let publisher = rig.customer(0).await?;
    for _ in 0..500 {
        rig.webhook(publisher.customer, Some(Behaviour::Hang)).await?;
    }
    for _ in 0..events {
        rig.generator.api.publish(&publisher, large(300)).await?;
    }
    let (memory, files) = rig.footprint()?;
    let disk = rig.disk()?;
    let start = rig.restart(&options.program)?;
    rig.pass(Duration::from_secs(20)).await;
    let (after, _) = rig.footprint()?;
    let row = Row::new("million")
        .figure("waiting", f64::from(events) * 500.0, "")
        .figure("RSS peak", memory.rss_peak, "MB")
        .figure("RSS peak after a restart", after.rss_peak, "MB")
        .figure("restart → ready", start.as_secs_f64() * 1e3, "ms")
        .figure("open files", f64::from(u32::try_from(files)?), "")
        .figure("disk", megabytes(disk), "MB")
        .faults([too_much(memory.rss_peak), too_much(after.rss_peak)].concat());
    let stopped = rig.stop(!row.passed()).err().map(|error| format!("{error:#}"));
    Ok(row.faults(stopped.into_iter().collect()))
}

/// Ten minutes of 500 events a second from 20 accounts, of which one endpoint in twenty answers 503.
pub(crate) async fn soak(options: &Options) -> Result<Row> {
    let minutes = if options.quick { 1 } else { 10 };
    say(&format!("soak: 20 accounts, 500 events/s, one endpoint of 20 fails, {minutes} minutes …"));
    let mut rig = rig(options, "soak", Scheme::Https)?;
    let mut publishers: Vec<Publisher> = vec![];
    for n in 0..20 {
        let publisher = rig.customer(usize::from(n > 0)).await?;
        if n == 0 {
            rig.webhook(publisher.customer, Some(Behaviour::status(503))).await?;
        }
        publishers.push(publisher);
    }
    let stream = Stream { publishers, per_second: 500 };
    let mut row = Row::new("soak");
    let mut last = None;
    for minute in 1..=minutes {
        let load = rig.generator.open_loop(vec![stream.clone()], Duration::from_secs(60));
        let measured = rig.measure(load).await?;
        let (memory, files) = rig.footprint()?;
        if [1, minutes / 2, minutes].contains(&minute) {
            row = row
                .figure(&format!("RSS after {minute} min"), memory.rss, "MB")
                .figure(&format!("open files after {minute} min"), f64::from(u32::try_from(files)?), "")
                .figure(&format!("disk after {minute} min"), megabytes(rig.disk()?), "MB");
        }
        row = row.faults(measured.tally.faults());
        last = Some(measured);
    }
    let last = last.context("no minute")?;
    let row = row.spread(
        "last minute: event → arrival",
        &last.tally.event_to_arrival,
        &[("p50", 500), ("p99", 990)],
    );
    finish(row, rig, &last)
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1_000_000).unwrap_or(u32::MAX))
}
