//! The command line. Each flag of `serve` is also an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use statuspulse_core::access::Role;
use statuspulse_core::destination::PAGERDUTY_EVENTS;
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::Cidr;

/// Signed webhooks with retries, on one machine.
#[derive(Debug, Parser)]
#[command(name = "statuspulse", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the API and deliver.
    Serve(Box<ServeOptions>),
    /// Make, list and revoke API keys, also while a server runs.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Show the whole story with real requests on loopback.
    Demo(DemoOptions),
    /// A receiver to point a webhook at while trying things: prints and verifies what comes.
    Receive(ReceiveOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, env = "STATUSPULSE_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The folder everything is kept in.
    #[arg(long, env = "STATUSPULSE_DATA")]
    pub(crate) data: PathBuf,
    /// The waits between the attempts of one payload.
    #[arg(long, env = "STATUSPULSE_LADDER", default_value = "60s,300s,900s,3600s")]
    pub(crate) ladder: Ladder,
    /// Whether what waits on the ladder is delivered at once when a webhook that was failing answers again.
    #[arg(long, env = "STATUSPULSE_BRING_FORWARD", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) bring_forward: bool,
    /// Where PagerDuty takes events: https://events.eu.pagerduty.com/v2/enqueue in its EU region.
    #[arg(long, env = "STATUSPULSE_PAGERDUTY_URL", default_value = PAGERDUTY_EVENTS)]
    pub(crate) pagerduty_url: String,
    /// For development alone: addresses that may be called although they are not public, also by plain http.
    #[arg(long, env = "STATUSPULSE_DEV_ALLOW_CIDR", value_delimiter = ',')]
    pub(crate) dev_allow_cidr: Vec<Cidr>,
    /// For development alone: a file of certificates (PEM) that are trusted beside the public ones.
    #[arg(long, env = "STATUSPULSE_DEV_EXTRA_CA")]
    pub(crate) dev_extra_ca: Option<PathBuf>,
    /// The incoming webhook of the engineers' Slack channel.
    #[arg(long, env = "STATUSPULSE_SLACK_URL", hide_env_values = true)]
    pub(crate) slack_url: Option<String>,
    /// Where the API is reached from outside, for links; by default where it listens.
    #[arg(long, env = "STATUSPULSE_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,
    /// The addresses attempts leave from, as published under /v1/egress-ips.
    #[arg(long, env = "STATUSPULSE_EGRESS_IPS", value_delimiter = ',')]
    pub(crate) egress_ips: Vec<std::net::IpAddr>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key and print it, alone, on standard output. It is shown only now.
    Create {
        /// The folder of the server.
        #[arg(long, env = "STATUSPULSE_DATA")]
        data: PathBuf,
        /// Whose key; the account is made if there is none of this name. Not with the role operator.
        #[arg(long)]
        account: Option<String>,
        /// What it may do.
        #[arg(long)]
        role: RoleArgument,
    },
    /// List keys: id, prefix, role, account, state.
    List {
        /// The folder of the server.
        #[arg(long, env = "STATUSPULSE_DATA")]
        data: PathBuf,
    },
    /// Revoke a key: it is refused from the next call on.
    Revoke {
        /// The folder of the server.
        #[arg(long, env = "STATUSPULSE_DATA")]
        data: PathBuf,
        /// The key's id or its prefix, as listed.
        key: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RoleArgument {
    Admin,
    Publisher,
    Viewer,
    Operator,
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Self {
        match role {
            RoleArgument::Admin => Role::Admin,
            RoleArgument::Publisher => Role::Publisher,
            RoleArgument::Viewer => Role::Viewer,
            RoleArgument::Operator => Role::Operator,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Stay up afterwards, and print a key and commands to try.
    #[arg(long)]
    pub(crate) stay: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiveOptions {
    /// Where to listen on 127.0.0.1; 0 picks a free port.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// The webhook's secret (whsec_...), to verify what comes. Give it again after a rotation to check both.
    #[arg(long, env = "STATUSPULSE_SECRET", hide_env_values = true)]
    pub(crate) secret: Vec<String>,
    /// A path, such as /slack, on which a stand-in for Slack answers: as strict as the real one.
    #[arg(long)]
    pub(crate) slack: Vec<String>,
    /// The same for PagerDuty.
    #[arg(long)]
    pub(crate) pagerduty: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
