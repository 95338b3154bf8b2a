//! `statuspulse receive`: prints each request, and whether its signature is valid.

use std::io::Write;

use anyhow::{Context, Result};
use statuspulse_kit::{Behaviour, Received, Receiver, ReceiverOptions, verify};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::arguments::ReceiveOptions;
use crate::serve::stop_signal;

pub(crate) async fn run(options: ReceiveOptions) -> Result<()> {
    let receiver = Receiver::start(ReceiverOptions { port: options.port, ..ReceiverOptions::plain() })
        .with_context(|| format!("listening on port {}", options.port))?;
    for path in &options.slack {
        receiver.behaviour(path, Behaviour::Slack);
    }
    for path in &options.discord {
        receiver.behaviour(path, Behaviour::Discord);
    }
    for path in &options.pagerduty {
        receiver.behaviour(path, Behaviour::PagerDuty);
    }
    // Before the ready line is printed, because its reader may send a request at once.
    let arrivals = receiver.arrivals();
    let mut out = std::io::stdout();
    writeln!(out, "ready {}", receiver.url("/"))?;
    writeln!(
        out,
        "Register this URL, with any path, on a server that runs with --dev-allow-cidr 127.0.0.0/8."
    )?;
    print_until_stopped(arrivals, &options.secret).await
}

/// Prints requests until SIGTERM or SIGINT.
pub(crate) async fn print_until_stopped(
    mut arrivals: UnboundedReceiver<Received>,
    secrets: &[String],
) -> Result<()> {
    let mut out = std::io::stdout();
    let stop = stop_signal();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            result = &mut stop => return result,
            received = arrivals.recv() => match received {
                Some(received) => writeln!(out, "{}", describe(&received, secrets))?,
                None => return Ok(()),
            },
        }
    }
}

fn describe(received: &Received, secrets: &[String]) -> String {
    let header = |name| received.header(name).unwrap_or("-");
    let body = String::from_utf8_lossy(&received.body);
    format!(
        "\n{} attempt {} of {} ({})\n  path       {}\n  signature  {}\n  body       {}",
        header("x-statuspulse-event"),
        header("x-statuspulse-attempt"),
        header("x-statuspulse-delivery-id"),
        header("x-statuspulse-event-id"),
        received.path,
        verdict(received, secrets),
        body.replace('\n', "\n             "),
    )
}

fn verdict(received: &Received, secrets: &[String]) -> &'static str {
    let Some(signature) = received.header("x-statuspulse-signature") else { return "MISSING" };
    if secrets.is_empty() {
        return "not checked: pass --secret whsec_...";
    }
    let good = secrets.iter().any(|secret| verify::statuspulse(secret, &received.body, signature));
    if good { "good" } else { "BAD: does not match this body and the given secrets" }
}
