//! `statuspulse doctor`: looks for what is wrong, and says what helps.

mod folder;
mod machine;
mod network;

use std::io::Write;

use anyhow::{Result, bail};
use statuspulse_core::deployment::Deployment;

use crate::arguments::{DoctorOptions, ServeOptions};
use crate::serve;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    /// The server runs, but not as it should.
    Warning,
    /// The server does not start, or does not deliver.
    Problem,
}

/// What was found.
#[derive(Debug)]
struct Findings(Vec<Level>);

impl Findings {
    /// Prints a finding.
    fn add(&mut self, level: Level, subject: &str, words: &str) -> Result<()> {
        let name = match level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        self.0.push(level);
        Ok(writeln!(std::io::stdout(), "{name:<8} {subject:<12} {words}")?)
    }

    fn ok(&mut self, subject: &str, words: &str) -> Result<()> {
        self.add(Level::Ok, subject, words)
    }

    fn warning(&mut self, subject: &str, words: &str) -> Result<()> {
        self.add(Level::Warning, subject, words)
    }

    fn problem(&mut self, subject: &str, words: &str) -> Result<()> {
        self.add(Level::Problem, subject, words)
    }
}

pub(crate) async fn run(options: DoctorOptions) -> Result<()> {
    let DoctorOptions { serve: options, echo_url, urls } = options;
    let mut findings = Findings(vec![]);
    let folder = folder::examine(&mut findings, &options.data)?;
    let served = folder.as_ref().is_some_and(|folder| folder.in_use);
    let deployment = configuration(&mut findings, &options)?;
    machine::examine_descriptors(&mut findings)?;
    machine::examine_clock(&mut findings, folder.and_then(|folder| folder.newest)).await?;
    network::examine_listener(&mut findings, options.listen, served).await?;
    network::examine_name_servers(&mut findings).await?;
    network::examine_egress(&mut findings, &options.egress_ips, echo_url.as_deref()).await?;
    if let Some(deployment) = deployment {
        network::examine_urls(&mut findings, &options, &deployment, &urls).await?;
    }
    let count = |level| findings.0.iter().filter(|found| **found == level).count();
    match count(Level::Problem) {
        0 => Ok(writeln!(std::io::stdout(), "no problems, {} warnings", count(Level::Warning))?),
        problems => bail!("{problems} problems, {} warnings", count(Level::Warning)),
    }
}

/// What the server would be told. `None` if it would not start.
fn configuration(findings: &mut Findings, options: &ServeOptions) -> Result<Option<Deployment>> {
    let deployment = match serve::deployment(options, options.listen) {
        Ok((deployment, _)) => deployment,
        Err(error) => {
            findings.problem("options", &format!("{error:#}"))?;
            return Ok(None);
        }
    };
    let before = findings.0.len();
    if !options.dev_allow_cidr.is_empty() {
        findings.warning("options", "--dev-allow-cidr lets webhooks call addresses that are not public")?;
    }
    if options.dev_extra_ca.is_some() {
        findings.warning("options", "--dev-extra-ca trusts certificates that nobody else does")?;
    }
    let is_open = !options.listen.ip().is_loopback();
    if is_open && options.trusted_proxy.is_empty() {
        let words = "it listens beyond this machine, without TLS: put a proxy in front, and name it by --trusted-proxy";
        findings.warning("options", words)?;
    }
    if options.public_url.is_some() && !deployment.public_url.starts_with("https://") {
        findings.warning("options", "--public-url is http: people cannot sign in with a key")?;
    }
    if deployment.slack.is_none() {
        let words = "no --slack-url: only accounts with a channel of their own are notified";
        findings.warning("options", words)?;
    }
    if findings.0.len() == before {
        findings.ok("options", &format!("links begin with {}", deployment.public_url))?;
    }
    Ok(Some(deployment))
}
