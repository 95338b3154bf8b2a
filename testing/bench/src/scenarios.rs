//! The scenarios. Each starts with an empty data folder and has a time limit.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use statuspulse_kit::Behaviour;

use crate::Options;
use crate::attacks;
use crate::load::{Stream, Until};
use crate::proc;
use crate::program::{Folder, Program};
use crate::report::{Row, say, summary};
use crate::rig::{Rig, Scheme};
use crate::rows::{compared, cost, count, finish, latencies, own_share, rig, seconds, size, throughput};

/// Time limit of a scenario, so that none can hang `make bench`.
const SCENARIO_WITHIN: Duration = Duration::from_secs(30 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The bench alone, without the program: the most it could measure
    #[value(name = "self")]
    Itself,
    /// Time from exec to the ready line, and from SIGTERM to exit, on an empty data folder
    Start,
    /// 50 events/s to one https webhook
    Low,
    /// 32 publishers as fast as they can, to one webhook, over http and over https
    Sat,
    /// 16 publishers as fast as they can, to ten webhooks
    SatFan,
    /// Memory of the program after 20,000 deliveries
    Memory,
    /// Latency of four customers, without and with a fifth whose endpoint hangs
    Isolation,
    /// One event per second to 100 webhooks, without and with a 101st that hangs
    FanOneBad,
    /// Latency of four customers, without and with each of several attacks
    Attacks,
    /// Memory and start with a million waiting deliveries; only if it is named
    Million,
    /// Memory, files and disk in ten minutes of 500 events/s; only if it is named
    Soak,
}

impl Scenario {
    /// The scenarios that run if none is named.
    fn usual() -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|scenario| !matches!(scenario, Scenario::Million | Scenario::Soak)).collect()
    }
}

/// Runs the selected scenarios, or all. Returns `false` if any failed.
pub(crate) async fn run_all(options: &Options) -> Result<bool> {
    fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let wanted = if options.scenario.is_empty() { Scenario::usual() } else { options.scenario.clone() };
    let load = proc::load_average();
    say(&format!("{}, load average {load} before the first scenario", options.program.display()));
    let mut all = Vec::new();
    for scenario in &wanted {
        let name = scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let rows = match tokio::time::timeout(SCENARIO_WITHIN, run(*scenario, options)).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => vec![Row::new(&name).faults(vec![format!("{error:#}")])],
            Err(_) => vec![Row::new(&name).faults(vec!["not finished within half an hour".to_owned()])],
        };
        for row in rows {
            row.publish(&options.out, options.quick)?;
            all.push(row);
        }
    }
    summary(&all);
    Ok(all.iter().all(Row::passed))
}

async fn run(scenario: Scenario, options: &Options) -> Result<Vec<Row>> {
    Ok(match scenario {
        Scenario::Itself => vec![itself(options).await?],
        Scenario::Start => vec![start(options)?],
        Scenario::Low => vec![low(options).await?],
        Scenario::Sat => vec![
            sat(options, "sat-http", Scheme::Http, Shape { clients: 32, webhooks: 1, seconds: 20 }).await?,
            sat(options, "sat-https", Scheme::Https, Shape { clients: 32, webhooks: 1, seconds: 20 }).await?,
        ],
        Scenario::SatFan => {
            vec![
                sat(options, "sat-fan", Scheme::Https, Shape { clients: 16, webhooks: 10, seconds: 15 })
                    .await?,
            ]
        }
        Scenario::Memory => vec![memory(options).await?],
        Scenario::Isolation => vec![isolation(options).await?],
        Scenario::FanOneBad => vec![fan_one_bad(options).await?],
        Scenario::Attacks => Box::pin(attacks::all(options)).await?,
        Scenario::Million => vec![Box::pin(attacks::million(options)).await?],
        Scenario::Soak => vec![Box::pin(attacks::soak(options)).await?],
    })
}

async fn itself(options: &Options) -> Result<Row> {
    let duration = seconds(options, 10);
    say(&format!("self: 32 publishers directly to the receiver for {} s …", duration.as_secs()));
    let mut rig = Rig::without_program()?;
    let publisher = rig.short_circuit()?;
    let until = Until { duration, events: u64::MAX };
    let closed = rig.measure(rig.generator.closed_loop(&publisher, 32, until)).await?;
    let stream = Stream { publishers: vec![publisher], per_second: 1000 };
    let open = rig.measure(rig.generator.open_loop(vec![stream], duration)).await?;
    let row = throughput(Row::new("self"), &closed);
    let row = own_share(row, &closed).faults(closed.tally.faults());
    let middle_and_end = [("p50", 500), ("p99", 990)];
    let row = row.spread("at 1,000/s: event → arrival", &open.tally.event_to_arrival, &middle_and_end);
    let row = row.spread("generator late", &open.late, &middle_and_end);
    Ok(row.faults(open.tally.faults()))
}

fn start(options: &Options) -> Result<Row> {
    let runs = if options.quick { 2 } else { 7 };
    say(&format!("start: {runs} times, each on an empty data folder …"));
    let (mut ready, mut stopped, mut cpu, mut rss) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut faults = Vec::new();
    for _ in 0..runs {
        let folder = Folder::fresh(options.out.join("data").join("start"))?;
        let program = Program::start(&options.program, &folder)?;
        cpu.push(proc::exact_cpu_seconds(program.pid())? * 1e3);
        rss.push(proc::memory(program.pid())?.rss);
        ready.push(program.ready_after.as_secs_f64() * 1e3);
        let (status, after) = program.stop()?;
        stopped.push(after.as_secs_f64() * 1e3);
        if !status.success() {
            faults.push(format!("exited with {status} after SIGTERM"));
        }
        folder.remove()?;
    }
    let middle = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let row = Row::new("start").figure("exec → ready", middle(ready), "ms");
    let row = row.figure("CPU until ready", middle(cpu), "ms").figure("RSS", middle(rss), "MB");
    Ok(row.figure("SIGTERM → exit", middle(stopped), "ms").faults(faults))
}

async fn low(options: &Options) -> Result<Row> {
    let duration = seconds(options, 20);
    say(&format!("low: 50 events/s to one https webhook for {} s …", duration.as_secs()));
    let mut rig = rig(options, "low", Scheme::Https)?;
    let stream = Stream { publishers: vec![rig.customer(1).await?], per_second: 50 };
    let warm_up = rig.measure(rig.generator.open_loop(vec![stream.clone()], Duration::from_secs(3))).await?;
    let measured = rig.measure(rig.generator.open_loop(vec![stream], duration)).await?;
    let row = latencies(Row::new("low"), "", &measured);
    let row = own_share(cost(row, &measured), &measured).faults(warm_up.tally.faults());
    finish(row, rig, &measured)
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    clients: usize,
    webhooks: usize,
    seconds: u64,
}

async fn sat(options: &Options, name: &str, scheme: Scheme, shape: Shape) -> Result<Row> {
    let Shape { clients, webhooks, .. } = shape;
    let duration = seconds(options, shape.seconds);
    say(&format!("{name}: {clients} publishers, 1 → {webhooks}, closed loop for {} s …", duration.as_secs()));
    let mut rig = rig(options, name, scheme)?;
    let publisher = rig.customer(webhooks).await?;
    rig.lift_quotas(publisher.customer).await?;
    let loop_for =
        |duration| rig.generator.closed_loop(&publisher, clients, Until { duration, events: u64::MAX });
    let warm_up = rig.measure(loop_for(Duration::from_secs(2))).await?;
    let measured = rig.measure(loop_for(duration)).await?;
    let row = latencies(throughput(Row::new(name), &measured), "", &measured);
    let (connections, handshakes) = rig.connections();
    let row = own_share(cost(row, &measured), &measured)
        .figure("connections", count(connections), "")
        .figure("TLS handshakes", count(handshakes), "")
        .faults(warm_up.tally.faults());
    finish(row, rig, &measured)
}

async fn memory(options: &Options) -> Result<Row> {
    let events = if options.quick { 2_000 } else { 20_000 };
    say(&format!("memory: {events} deliveries over https …"));
    let mut rig = rig(options, "memory", Scheme::Https)?;
    let publisher = rig.customer(1).await?;
    let until = Until { duration: Duration::from_secs(180), events };
    let measured = rig.measure(rig.generator.closed_loop(&publisher, 16, until)).await?;
    let row = Row::new("memory").figure("deliveries", size(measured.tally.delivered), "");
    finish(cost(row, &measured), rig, &measured)
}

async fn isolation(options: &Options) -> Result<Row> {
    let (without_for, with_for) = (seconds(options, 30), seconds(options, 60));
    let (a, b) = (without_for.as_secs(), with_for.as_secs());
    say(&format!("isolation: 4 customers, 80 events/s, {a} s; then {b} s with a fifth, 20/s, that hangs …"));
    let mut rig = rig(options, "isolation", Scheme::Https)?;
    let mut publishers = Vec::new();
    for _ in 0..4 {
        publishers.push(rig.customer(1).await?);
    }
    let healthy = Stream { publishers, per_second: 80 };
    let bad = rig.customer(0).await?;
    rig.webhook(bad.customer, Some(Behaviour::Hang)).await?;
    let bad = Stream { publishers: vec![bad], per_second: 20 };

    let warm_up = rig.measure(rig.generator.open_loop(vec![healthy.clone()], Duration::from_secs(3))).await?;
    let without = rig.measure(rig.generator.open_loop(vec![healthy.clone()], without_for)).await?;
    let with = rig.measure(rig.generator.open_loop(vec![healthy, bad], with_for)).await?;
    let row = compared(Row::new("isolation"), &without, &with).faults(warm_up.tally.faults());
    finish(row, rig, &with)
}

async fn fan_one_bad(options: &Options) -> Result<Row> {
    let duration = seconds(options, 20);
    let s = duration.as_secs();
    say(&format!("fan-one-bad: 1 event/s to 100 webhooks for {s} s; then {s} s with a 101st that hangs …"));
    let mut rig = rig(options, "fan-one-bad", Scheme::Https)?;
    let publisher = rig.customer(100).await?;
    let customer = publisher.customer;
    let stream = Stream { publishers: vec![publisher], per_second: 1 };
    let warm_up = rig.measure(rig.generator.open_loop(vec![stream.clone()], Duration::from_secs(3))).await?;
    let without = rig.measure(rig.generator.open_loop(vec![stream.clone()], duration)).await?;
    rig.webhook(customer, Some(Behaviour::Hang)).await?;
    let with = rig.measure(rig.generator.open_loop(vec![stream], duration)).await?;
    let row = compared(Row::new("fan-one-bad"), &without, &with).faults(warm_up.tally.faults());
    finish(row, rig, &with)
}
