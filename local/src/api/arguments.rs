//! The command line of the calls of the API.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The heading of the options that all commands have, below their own ones.
const SERVER: &str = "The server and its answers";

/// Which server to call, with which key, and how to show its answers.
#[derive(Debug, Args)]
pub(crate) struct ServerOptions {
    /// The URL of the server, for example https://webhooks.example.com.
    #[arg(long, env = "STATUSPULSE_URL", value_name = "URL", global = true, help_heading = SERVER)]
    pub(crate) url: Option<String>,
    /// A file that contains the API key, for example /run/secrets/statuspulse. Without it, the key is the value of
    /// STATUSPULSE_KEY. It cannot be an argument, because other users of the machine can read command lines.
    #[arg(long, value_name = "FILE", global = true, help_heading = SERVER)]
    pub(crate) key_file: Option<PathBuf>,
    /// Print the API's JSON instead of a table.
    #[arg(long, global = true, help_heading = SERVER)]
    pub(crate) json: bool,
}

/// How much of a list to read.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LimitOptions {
    /// How many entries to show, for example 500.
    #[arg(long, default_value = "20", value_name = "NUMBER")]
    pub(crate) limit: NonZero<usize>,
}

/// The commands that call the API.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiCommand {
    /// List, create, test, pause, resume and delete webhooks, over the API.
    Webhooks(WebhooksOptions),
    /// List, follow and redeliver deliveries, over the API.
    Deliveries(DeliveriesOptions),
    /// Publish events, over the API.
    Events(EventsOptions),
}

#[derive(Debug, Args)]
pub(crate) struct WebhooksOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(subcommand)]
    pub(crate) command: WebhooksCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// List the webhooks of the account.
    List(LimitOptions),
    /// Show a webhook.
    Show {
        /// The webhook's id, for example whe_01JD8V1Q8MZ4T4K0D8N6S2W3Y3.
        id: String,
    },
    /// Register a webhook and show its secret, which is shown only once.
    Create(CreateOptions),
    /// Send a test event now. Exits with 1 if the endpoint does not accept it.
    Test {
        /// The webhook's id.
        id: String,
        /// The event type of the sample to send, for example incident_opened.
        #[arg(long, value_name = "TYPE")]
        event: Option<String>,
    },
    /// Try the handshake again. Exits with 1 if the endpoint does not pass it.
    Verify {
        /// The webhook's id.
        id: String,
    },
    /// Pause a webhook: its deliveries are held.
    Pause {
        /// The webhook's id.
        id: String,
    },
    /// Resume a webhook, and wait until its held deliveries are released. Exits with 1 if it is paused again.
    Resume(ResumeOptions),
    /// Rotate the secret and show the new one. For 24 hours requests are signed with both.
    Rotate(RotateOptions),
    /// Delete a webhook.
    Delete {
        /// The webhook's id.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateOptions {
    /// The URL of the endpoint, for example https://hooks.yourcompany.com/statuspulse.
    #[arg(required_unless_present = "body")]
    pub(crate) endpoint: Option<String>,
    /// An event type to receive, for example incident_opened. Repeat it for several.
    #[arg(long = "event", value_name = "TYPE", required_unless_present = "body")]
    pub(crate) events: Vec<String>,
    /// A monitor group to receive events of, for example payment-processing. Repeat it for several; omit it for all.
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// The format: json, slack or discord.
    #[arg(long)]
    pub(crate) destination: Option<String>,
    /// A name for people, for example "Checkout on-call".
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// A JSON file with all settings, as the API takes them; - is standard input. It can have what must not be on a
    /// command line: a secret, headers, a routing key.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "events", "groups", "destination", "description"])]
    pub(crate) body: Option<PathBuf>,
    /// Registers nothing twice if the command is repeated with the same value, for example deploy-42.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeOptions {
    /// The webhook's id.
    pub(crate) id: String,
    /// Discard held deliveries instead of sending them.
    #[arg(long)]
    pub(crate) discard: bool,
    /// Do not wait until the held deliveries are released.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RotateOptions {
    /// The webhook's id.
    pub(crate) id: String,
    /// End the rotation that is in progress: the old secret stops signing now.
    #[arg(long, conflicts_with = "cancel")]
    pub(crate) finish: bool,
    /// Undo the rotation that is in progress: the new secret stops signing now.
    #[arg(long)]
    pub(crate) cancel: bool,
    /// Rotates only once if the command is repeated with the same value, for example march.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["finish", "cancel"])]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DeliveriesOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(subcommand)]
    pub(crate) command: DeliveriesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// List deliveries, newest first.
    List(ListDeliveriesOptions),
    /// Show a delivery with its attempts.
    Show {
        /// The delivery's id, for example dlv_01JD8V1Q8MZ4T4K0D8N6S2W3Y1.
        id: String,
    },
    /// Redeliver one delivery, or all failed ones of a webhook since a time.
    Redeliver(RedeliverOptions),
}

#[derive(Debug, Args)]
pub(crate) struct ListDeliveriesOptions {
    /// Only deliveries to the webhook with this id.
    #[arg(long, value_name = "ID")]
    pub(crate) webhook: Option<String>,
    /// Only deliveries of the event with this id.
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<String>,
    /// Only deliveries of this incident, for example INC-8842-ALPHA.
    #[arg(long, value_name = "ID")]
    pub(crate) incident: Option<String>,
    /// Only deliveries with this status: waiting, retrying, delivered, held, failed, discarded or cancelled.
    #[arg(long)]
    pub(crate) status: Option<String>,
    #[command(flatten)]
    pub(crate) limit: LimitOptions,
    /// Then print new deliveries and changes of unfinished ones, newest last, until Ctrl-C. With --json, one document a
    /// line.
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RedeliverOptions {
    /// The delivery's id.
    #[arg(required_unless_present = "webhook")]
    pub(crate) id: Option<String>,
    /// The id of a webhook whose failed deliveries are all redelivered.
    #[arg(long, value_name = "ID", requires = "since", conflicts_with = "id")]
    pub(crate) webhook: Option<String>,
    /// Only those of events accepted at this time or later, for example 2026-11-24T00:00:00Z.
    #[arg(long, value_name = "TIME", requires = "webhook")]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EventsOptions {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(subcommand)]
    pub(crate) command: EventsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EventsCommand {
    /// Publish an event.
    Publish(PublishOptions),
}

#[derive(Debug, Args)]
pub(crate) struct PublishOptions {
    /// The file with the payload, as JSON. Webhooks receive it unchanged. - is standard input.
    pub(crate) file: PathBuf,
    /// A monitor group of the event, for example payment-processing. Repeat it for several.
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// Publishes nothing twice if the command is repeated with the same value, for example INC-8842-opened.
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// The id of the event's account. Only an operator key needs it.
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,
}
