//! `statuspulse doctor`: looks for what is wrong, and says what helps.

mod findings;
mod folder;
mod machine;
mod network;

use std::io::Write;

use anyhow::{Result, bail};
use statuspulse_core::deployment::Deployment;

use crate::arguments::{DoctorOptions, ServeOptions};
use crate::serve;

use findings::Findings;

pub(crate) async fn run(options: DoctorOptions) -> Result<()> {
    let DoctorOptions { serve: options, echo_url, urls } = options;
    let mut findings = Findings::default();
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
    let (problems, warnings) = findings.problems_and_warnings();
    if problems > 0 {
        bail!("{problems} problems, {warnings} warnings");
    }
    Ok(writeln!(std::io::stdout(), "no problems, {warnings} warnings")?)
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
    let mut warnings = vec![];
    if !options.dev_allow_cidr.is_empty() {
        warnings.push("--dev-allow-cidr lets webhooks call addresses that are not public");
    }
    if options.dev_extra_ca.is_some() {
        warnings.push("--dev-extra-ca trusts an additional certificate authority");
    }
    if !options.listen.ip().is_loopback() && options.trusted_proxy.is_empty() {
        warnings.push(
            "it listens beyond this machine, without TLS: put a proxy in front, and name it by --trusted-proxy",
        );
    }
    if options.public_url.is_some() && !deployment.public_url.starts_with("https://") {
        warnings.push("--public-url is http: people cannot sign in with a key");
    }
    if deployment.slack.is_none() {
        warnings.push("no --slack-url: only accounts with a channel of their own are notified");
    }
    for words in &warnings {
        findings.warning("options", words)?;
    }
    if warnings.is_empty() {
        findings.ok("options", &format!("links begin with {}", deployment.public_url))?;
    }
    Ok(Some(deployment))
}
