//! The command line. Each flag of `serve` is also an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use statuspulse_core::access::Role;
use statuspulse_core::destination::PAGERDUTY_EVENTS;
use statuspulse_core::moving::Recipient;
use statuspulse_core::retry::Ladder;
use statuspulse_core::target::Cidr;

use crate::api::arguments::{ApiCommand, ServerOptions};

/// Signed webhooks with retries, on one machine.
#[derive(Debug, Parser)]
#[command(name = "statuspulse", version, about)]
pub(crate) struct Arguments {
    /// How lines of the log look on standard error. STATUSPULSE_LOG selects what is logged (warn, info, debug).
    #[arg(long, env = "STATUSPULSE_LOG_FORMAT", default_value = "text", global = true)]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// A JSON object a line, for collectors of logs.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: the API, the dashboard and the workers that deliver events.
    Serve(Box<ServeOptions>),
    /// Create, list and revoke API keys: in a server's data folder, or over its API.
    Keys(KeysOptions),
    /// Look for what is wrong: with the folder, the options, the machine, the network and endpoints. Takes the options and
    /// variables of `serve`, and changes nothing.
    Doctor(Box<DoctorOptions>),
    /// Copy a data folder to a file. Also works while the server runs.
    Backup(BackupOptions),
    /// Make a data folder from a backup.
    Restore(RestoreOptions),
    /// Replace the encryption key of a data folder, and seal all secrets anew. Also works while the server runs; if it is
    /// interrupted, run it again.
    Rekey(RekeyOptions),
    /// Write what a data folder owes its customers to a file, for another deployment. No server may use the folder.
    Export(ExportOptions),
    /// Take the file of an export into another data folder, or into a deployment on AWS.
    Import(ImportOptions),
    #[command(flatten)]
    Api(ApiCommand),
    /// Print what a shell needs to complete commands and flags, for example: statuspulse completions bash.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages to a folder.
    Man {
        /// The folder. It is made if it is missing.
        folder: PathBuf,
    },
    /// Run a demonstration: a server and a receiver on loopback, with real requests.
    Demo(DemoOptions),
    /// Run a receiver for development: it prints each request and verifies the signature.
    Receive(ReceiveOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    /// The address and port to listen on. Port 0 picks a free port.
    #[arg(long, env = "STATUSPULSE_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// The folder that holds all data, the database and the encryption key: for example /var/lib/statuspulse.
    #[arg(long, env = "STATUSPULSE_DATA")]
    pub(crate) data: PathBuf,
    /// The waits between the five attempts, separated by commas.
    #[arg(long, env = "STATUSPULSE_LADDER", default_value = "60s,300s,900s,3600s")]
    pub(crate) ladder: Ladder,
    /// Whether waiting retries are made early when an outage ends.
    #[arg(long, env = "STATUSPULSE_RETRY_EARLY", default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) retry_early: bool,
    /// The URL of PagerDuty's Events API. Use https://events.eu.pagerduty.com/v2/enqueue for the EU region.
    #[arg(long, env = "STATUSPULSE_PAGERDUTY_URL", default_value = PAGERDUTY_EVENTS)]
    pub(crate) pagerduty_url: String,
    /// For development only: address ranges, separated by commas, that may be called although they are not public. For
    /// example 127.0.0.0/8.
    #[arg(long, env = "STATUSPULSE_DEV_ALLOW_CIDR", value_delimiter = ',')]
    pub(crate) dev_allow_cidr: Vec<Cidr>,
    /// For development only: a PEM file with additional certificate authorities to trust, for example ca.pem.
    #[arg(long, env = "STATUSPULSE_DEV_EXTRA_CA")]
    pub(crate) dev_extra_ca: Option<PathBuf>,
    /// The incoming webhook of the engineers' Slack channel, for accounts without one. For example
    /// https://hooks.slack.com/services/T0/B0/abc. It is a secret: prefer the variable, as a command line can be seen.
    #[arg(long, env = "STATUSPULSE_SLACK_URL", hide_env_values = true)]
    pub(crate) slack_url: Option<String>,
    /// The URL at which browsers reach the API, used in links, for example https://webhooks.example.com. It may have a
    /// path, if a proxy serves other programs under the same host name. By default the address it listens on.
    #[arg(long, env = "STATUSPULSE_PUBLIC_URL")]
    pub(crate) public_url: Option<String>,
    /// The addresses of reverse proxies in front of the server, separated by commas. Their X-Forwarded-For is believed,
    /// so that limits apply to each client and not to the proxy. For example 10.0.0.7/32.
    #[arg(long, env = "STATUSPULSE_TRUSTED_PROXY", value_delimiter = ',')]
    pub(crate) trusted_proxy: Vec<Cidr>,
    /// An address and port of its own for GET /metrics, such as 127.0.0.1:9464. By default it is served beside the API.
    #[arg(long, env = "STATUSPULSE_METRICS_LISTEN")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// The addresses that requests come from, as listed by GET /v1/egress-ips. Separated by commas, for example
    /// 203.0.113.7,203.0.113.8.
    #[arg(long, env = "STATUSPULSE_EGRESS_IPS", value_delimiter = ',')]
    pub(crate) egress_ips: Vec<std::net::IpAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorOptions {
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
    /// A page that answers with the address it is called from, as text, to compare with --egress-ips. For example
    /// https://checkip.amazonaws.com. Without it, no outside service is called.
    #[arg(long)]
    pub(crate) echo_url: Option<String>,
    /// Endpoints, such as https://hooks.example.com/in, to look up and connect to. Nothing is sent to them.
    pub(crate) urls: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct KeysOptions {
    /// The server's data folder, for example /var/lib/statuspulse. It needs no key, and also works while the server
    /// runs. Without it, the command calls the API.
    #[arg(long, env = "STATUSPULSE_DATA", value_name = "FOLDER", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// The account. With --data: of a new key, by name or id, for example acme; a new name makes a new account. Over the
    /// API: the id of any account, with an operator's key. By default the account of the key.
    #[arg(long, global = true)]
    pub(crate) account: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Create a key and print it on standard output, and nothing else. The key is shown only once.
    Create {
        /// What the key may do.
        #[arg(long)]
        role: RoleArgument,
        /// What the key is for, as lists show it, for example "deploy job".
        #[arg(long)]
        name: Option<String>,
        /// Make the data folder, if no server has used it yet.
        #[arg(long)]
        new: bool,
    },
    /// List keys: id, prefix, role, state, last use, account, name. With --data, those of all accounts.
    List,
    /// Revoke a key. It is refused from the next call on.
    Revoke {
        /// The key's id, as shown by `statuspulse keys list`. With --data, also its prefix.
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
pub(crate) struct BackupOptions {
    /// The server's data folder.
    #[arg(long, env = "STATUSPULSE_DATA")]
    pub(crate) data: PathBuf,
    /// Leave the encryption key out. Then keep secret.key of the data folder in another place.
    #[arg(long)]
    pub(crate) without_key: bool,
    /// The new file, such as /backup/statuspulse-2024-03-15. It can be read by its owner only.
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RekeyOptions {
    /// The server's data folder.
    #[arg(long, env = "STATUSPULSE_DATA")]
    pub(crate) data: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreOptions {
    /// The data folder to make. It must have no database yet.
    #[arg(long, env = "STATUSPULSE_DATA")]
    pub(crate) data: PathBuf,
    /// The file secret.key, if the backup was made without it.
    #[arg(long)]
    pub(crate) key: Option<PathBuf>,
    /// The backup.
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExportOptions {
    /// The data folder, for example /var/lib/statuspulse. Afterwards no server starts on it.
    #[arg(long, env = "STATUSPULSE_DATA")]
    pub(crate) data: PathBuf,
    /// The deployment that secrets are sealed for, as printed by `statuspulse import --recipient`.
    #[arg(long)]
    pub(crate) recipient: Recipient,
    /// The new file, such as moved.jsonl. It can be read by its owner only.
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ImportOptions {
    /// The data folder to import into, for example /var/lib/statuspulse. No server may use it.
    #[arg(long, env = "STATUSPULSE_DATA", required_unless_present = "lambda")]
    pub(crate) data: Option<PathBuf>,
    /// Make the data folder, if no server has used it yet.
    #[arg(long)]
    pub(crate) new: bool,
    /// The registration function of the deployment on AWS to import into, by name or ARN, instead of a folder. It is
    /// called with the AWS command line, `aws`.
    #[arg(long, value_name = "FUNCTION")]
    pub(crate) lambda: Option<String>,
    /// Print the recipient to export for, and import nothing.
    #[arg(long, conflicts_with_all = ["file", "dry_run"])]
    pub(crate) recipient: bool,
    /// Check the file and the deployment, and write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The file of an export.
    #[arg(required_unless_present = "recipient")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoOptions {
    /// Keep the server running afterwards, and print a key and commands to try.
    #[arg(long)]
    pub(crate) stay: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiveOptions {
    /// The port to listen on, on 127.0.0.1. 0 picks a free port.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// The webhook's secret (whsec_...). Repeat it to accept several secrets, such as both during a rotation.
    #[arg(long, env = "STATUSPULSE_SECRET", hide_env_values = true)]
    pub(crate) secret: Vec<String>,
    /// A path, such as /slack, that checks and answers requests as strictly as Slack does. Can be repeated.
    #[arg(long)]
    pub(crate) slack: Vec<String>,
    /// A path that checks and answers requests as strictly as Discord does. Can be repeated.
    #[arg(long)]
    pub(crate) discord: Vec<String>,
    /// A path that checks and answers requests as strictly as PagerDuty does. Can be repeated.
    #[arg(long)]
    pub(crate) pagerduty: Vec<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// What can be typed is shown: by an example, a default or the list of possible values.
    #[test]
    fn every_option_of_serve_has_a_variable_and_an_example() {
        let command = Arguments::command();
        let serve = command.find_subcommand("serve").unwrap();
        let options: Vec<_> = serve.get_arguments().filter(|one| one.get_long().is_some()).collect();
        assert!(options.len() >= 12, "{}", options.len());
        for option in options {
            let (name, help) = (option.get_id(), option.get_help().unwrap().to_string());
            assert!(option.get_env().is_some(), "--{name} has no variable");
            let is_shown = !option.get_default_values().is_empty()
                || ["such as", "or example", "Use http"].iter().any(|words| help.contains(words));
            assert!(is_shown, "--{name} has no example: {help}");
        }
    }
}
