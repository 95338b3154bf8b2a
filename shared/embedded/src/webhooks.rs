//! Webhooks: few, read by every publish and every attempt, so they are kept in memory once read.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use statuspulse_core::event::EventType;
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_core::ports::{Conflict, PortResult, Unavailable, Webhooks};
use statuspulse_core::secret::Secret;
use statuspulse_core::signature::{Outgoing, RotationStyle, SigningKeys};
use statuspulse_core::target::EndpointUrl;
use statuspulse_core::webhook::{
    Destination, Handshake, Headers, Health, Notice, Pause, PauseReason, Settings, State, Sweep, SweepMode,
    Webhook,
};

use crate::Embedded;
use crate::columns::{Unknown, bad, bytes16, from_millis, millis};
use crate::sealing::Sealer;

type List = Arc<Vec<Arc<Webhook>>>;

/// What was read before. Emptied for an account whenever one of its webhooks is written, before the write's
/// caller hears of it; what was read in the meantime is recognised as old by `generation` and not kept.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    generation: u64,
    by_id: HashMap<WebhookId, Arc<Webhook>>,
    by_account: HashMap<AccountId, List>,
}

/// Webhooks and accounts remembered; past it everything is forgotten and read again.
const REMEMBERED: usize = 10_000;

impl Cache {
    fn with<T>(&self, work: impl FnOnce(&mut Cached) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wrote(&self, webhook: Arc<Webhook>) {
        self.with(|cached| {
            cached.generation += 1;
            cached.by_account.remove(&webhook.account_id);
            cached.by_id.insert(webhook.id, webhook);
        });
    }

    fn remember(&self, generation: u64, keep: impl FnOnce(&mut Cached)) {
        self.with(|cached| {
            if cached.by_id.len() + cached.by_account.len() > REMEMBERED {
                cached.by_id.clear();
                cached.by_account.clear();
            }
            if cached.generation == generation {
                keep(cached);
            }
        });
    }
}

#[async_trait]
impl Webhooks for Embedded {
    async fn webhook(&self, id: WebhookId) -> PortResult<Option<Arc<Webhook>>> {
        let (known, generation) =
            self.webhook_cache.with(|cached| (cached.by_id.get(&id).cloned(), cached.generation));
        if known.is_some() {
            return Ok(known);
        }
        let read = self.readers.read("reading a webhook", |connection| {
            connection
                .prepare_cached("SELECT * FROM webhooks WHERE id = ?1")?
                .query_row([id.to_bytes()], |row| webhook_row(row, &self.sealer))
                .optional()
        })?;
        let read = read.map(Arc::new);
        if let Some(webhook) = &read {
            self.webhook_cache.remember(generation, |cached| {
                cached.by_id.insert(id, webhook.clone());
            });
        }
        Ok(read)
    }

    async fn webhooks(&self, account: AccountId) -> PortResult<List> {
        let (known, generation) =
            self.webhook_cache.with(|cached| (cached.by_account.get(&account).cloned(), cached.generation));
        if let Some(known) = known {
            return Ok(known);
        }
        let read: Vec<Arc<Webhook>> = self.readers.read("listing webhooks", |connection| {
            connection
                .prepare_cached("SELECT * FROM webhooks WHERE account_id = ?1 AND deleted = 0 ORDER BY id")?
                .query_map([account.to_bytes()], |row| webhook_row(row, &self.sealer).map(Arc::new))?
                .collect()
        })?;
        let list = Arc::new(read);
        self.webhook_cache.remember(generation, |cached| {
            cached.by_account.insert(account, list.clone());
        });
        Ok(list)
    }

    async fn create_webhook(&self, webhook: &Webhook) -> PortResult<()> {
        let (record, sealed) = self.columns_of(webhook)?;
        let kept = Arc::new(webhook.clone());
        let cache = self.webhook_cache.clone();
        let (id, account) = (webhook.id.to_bytes(), webhook.account_id.to_bytes());
        let work = move |connection: &Connection| {
            let sql = "INSERT INTO webhooks VALUES (?1, ?2, 0, 0, ?3, ?4)";
            connection.prepare_cached(sql)?.execute((id, account, record, sealed))?;
            Ok(())
        };
        self.writer.write("creating a webhook", work, move |()| cache.wrote(kept)).await
    }

    async fn save_webhook(&self, webhook: &Webhook) -> PortResult<Result<(), Conflict>> {
        let (record, sealed) = self.columns_of(webhook)?;
        let kept = Arc::new(Webhook { version: webhook.version + 1, ..webhook.clone() });
        let cache = self.webhook_cache.clone();
        let version = i64::try_from(webhook.version).unwrap_or(i64::MAX);
        let (id, deleted) = (webhook.id.to_bytes(), webhook.is_deleted());
        let work = move |connection: &Connection| {
            let sql = "UPDATE webhooks SET deleted = ?3, version = version + 1, record = ?4, sealed = ?5
                       WHERE id = ?1 AND version = ?2";
            let changed = connection.prepare_cached(sql)?.execute((id, version, deleted, record, sealed))?;
            Ok(if changed == 1 { Ok(()) } else { Err(Conflict) })
        };
        let after = move |result: &Result<(), Conflict>| {
            if result.is_ok() {
                cache.wrote(kept);
            }
        };
        self.writer.write("changing a webhook", work, after).await
    }
}

impl Embedded {
    fn columns_of(&self, webhook: &Webhook) -> PortResult<(String, Vec<u8>)> {
        let unavailable = |source| Unavailable { doing: "writing a webhook", source };
        let record =
            serde_json::to_string(&Record::of(webhook)).map_err(|error| unavailable(error.into()))?;
        let secrets =
            serde_json::to_string(&Secrets::of(webhook)).map_err(|error| unavailable(error.into()))?;
        let sealed =
            self.sealer.seal(webhook.id.to_bytes(), &secrets).map_err(|error| unavailable(error.into()))?;
        Ok((record, sealed))
    }
}

/// All of a webhook that is no secret.
#[derive(Serialize, Deserialize)]
struct Record {
    url: String,
    destination: String,
    events: Vec<String>,
    monitor_groups: Vec<String>,
    description: Option<String>,
    state: String,
    pause: Option<PauseRecord>,
    failing_since: Option<i64>,
    consecutive_failures: u8,
    handshake: HandshakeRecord,
    resumed_at: Option<i64>,
    sweep: Option<SweepRecord>,
    epoch: u64,
    created_at: i64,
    updated_at: i64,
}

#[derive(Serialize, Deserialize)]
struct PauseRecord {
    reason: String,
    since: i64,
    last_error: Option<String>,
    failing_since: Option<i64>,
    notice: NoticeRecord,
}

#[derive(Serialize, Deserialize)]
enum NoticeRecord {
    None,
    Due,
    Sending { tries: u32, until: i64 },
    Done,
}

#[derive(Serialize, Deserialize)]
struct HandshakeRecord {
    ok: bool,
    status_code: Option<u16>,
    reason: Option<String>,
    at: i64,
}

#[derive(Serialize, Deserialize)]
struct SweepRecord {
    mode: String,
    step: u32,
    due: i64,
    ramp: u32,
    setbacks: u32,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Secrets {
    current: String,
    outgoing: Option<OutgoingRecord>,
    headers: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct OutgoingRecord {
    secret: String,
    until: i64,
    split: bool,
}

impl Record {
    fn of(webhook: &Webhook) -> Self {
        let settings = &webhook.settings;
        let (state, pause) = match &webhook.state {
            State::Pending => ("pending", None),
            State::Active => ("active", None),
            State::Paused(pause) => ("paused", Some(PauseRecord::of(pause))),
            State::Deleted => ("deleted", None),
        };
        Self {
            url: settings.url.as_str().to_owned(),
            destination: settings.destination.name().to_owned(),
            events: settings.events.iter().map(|event| event.name().to_owned()).collect(),
            monitor_groups: settings.monitor_groups.clone(),
            description: settings.description.clone(),
            state: state.to_owned(),
            pause,
            failing_since: webhook.health.failing_since.map(millis),
            consecutive_failures: webhook.health.consecutive_failures,
            handshake: HandshakeRecord {
                ok: webhook.handshake.ok,
                status_code: webhook.handshake.status_code,
                reason: webhook.handshake.reason.clone(),
                at: millis(webhook.handshake.at),
            },
            resumed_at: webhook.resumed_at.map(millis),
            sweep: webhook.sweep.map(|sweep| SweepRecord {
                mode: sweep.mode.name().to_owned(),
                step: sweep.step,
                due: millis(sweep.due),
                ramp: sweep.ramp,
                setbacks: sweep.setbacks,
            }),
            epoch: webhook.epoch,
            created_at: millis(webhook.created_at),
            updated_at: millis(webhook.updated_at),
        }
    }

    fn settings(&self, headers: BTreeMap<String, String>) -> rusqlite::Result<Settings> {
        let event =
            |name: &String| EventType::from_name(name).ok_or_else(|| bad(Unknown("event", name.clone())));
        Ok(Settings {
            url: EndpointUrl::restore(&self.url).map_err(bad)?,
            destination: Destination::Json,
            events: self.events.iter().map(event).collect::<rusqlite::Result<_>>()?,
            monitor_groups: self.monitor_groups.clone(),
            description: self.description.clone(),
            headers: Headers(headers),
        })
    }

    fn state(&self) -> rusqlite::Result<State> {
        match (self.state.as_str(), &self.pause) {
            ("pending", None) => Ok(State::Pending),
            ("active", None) => Ok(State::Active),
            ("deleted", None) => Ok(State::Deleted),
            ("paused", Some(pause)) => Ok(State::Paused(pause.restore()?)),
            _ => Err(bad(Unknown("state", self.state.clone()))),
        }
    }

    fn sweep(&self) -> rusqlite::Result<Option<Sweep>> {
        let Some(sweep) = &self.sweep else { return Ok(None) };
        let mode =
            SweepMode::from_name(&sweep.mode).ok_or_else(|| bad(Unknown("sweep", sweep.mode.clone())))?;
        let due = from_millis(sweep.due)?;
        Ok(Some(Sweep { mode, step: sweep.step, due, ramp: sweep.ramp, setbacks: sweep.setbacks }))
    }
}

impl PauseRecord {
    fn of(pause: &Pause) -> Self {
        Self {
            reason: pause.reason.name().to_owned(),
            since: millis(pause.since),
            last_error: pause.last_error.clone(),
            failing_since: pause.failing_since.map(millis),
            notice: match pause.notice {
                Notice::None => NoticeRecord::None,
                Notice::Due => NoticeRecord::Due,
                Notice::Sending { tries, until } => NoticeRecord::Sending { tries, until: millis(until) },
                Notice::Done => NoticeRecord::Done,
            },
        }
    }

    fn restore(&self) -> rusqlite::Result<Pause> {
        Ok(Pause {
            reason: PauseReason::from_name(&self.reason)
                .ok_or_else(|| bad(Unknown("reason", self.reason.clone())))?,
            since: from_millis(self.since)?,
            last_error: self.last_error.clone(),
            failing_since: optional_time(self.failing_since)?,
            notice: match self.notice {
                NoticeRecord::None => Notice::None,
                NoticeRecord::Due => Notice::Due,
                NoticeRecord::Sending { tries, until } => {
                    Notice::Sending { tries, until: from_millis(until)? }
                }
                NoticeRecord::Done => Notice::Done,
            },
        })
    }
}

impl Secrets {
    fn of(webhook: &Webhook) -> Self {
        // A window that is over is forgotten with the next write; which one that is, is for `restore` to see.
        let outgoing = webhook.keys.outgoing(Timestamp::MIN).map(|outgoing| OutgoingRecord {
            secret: outgoing.secret.reveal().to_owned(),
            until: millis(outgoing.until),
            split: outgoing.style == RotationStyle::Split,
        });
        Self {
            current: webhook.keys.current().reveal().to_owned(),
            outgoing,
            headers: webhook.settings.headers.0.clone(),
        }
    }

    fn keys(&self) -> rusqlite::Result<SigningKeys> {
        let secret = |text: &str| Secret::parse(text).map_err(bad);
        let outgoing = match &self.outgoing {
            None => None,
            Some(outgoing) => Some(Outgoing {
                secret: secret(&outgoing.secret)?,
                until: from_millis(outgoing.until)?,
                style: if outgoing.split { RotationStyle::Split } else { RotationStyle::Joined },
            }),
        };
        Ok(SigningKeys::restore(secret(&self.current)?, outgoing))
    }
}

/// What is sealed for one webhook, if there is any: to see whether the key fits.
pub(crate) fn any_sealed(connection: &Connection) -> rusqlite::Result<Option<([u8; 16], Vec<u8>)>> {
    connection
        .query_row("SELECT id, sealed FROM webhooks LIMIT 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

fn optional_time(millis: Option<i64>) -> rusqlite::Result<Option<Timestamp>> {
    millis.map(from_millis).transpose()
}

fn webhook_row(row: &Row<'_>, sealer: &Sealer) -> rusqlite::Result<Webhook> {
    let id = bytes16(row, "id")?;
    let record: Record = serde_json::from_str(row.get_ref("record")?.as_str()?).map_err(bad)?;
    let secrets = sealer.unseal(id, row.get_ref("sealed")?.as_blob()?).map_err(bad)?;
    let secrets: Secrets = serde_json::from_str(&secrets).map_err(bad)?;
    Ok(Webhook {
        id: WebhookId::from_bytes(id),
        account_id: AccountId::from_bytes(bytes16(row, "account_id")?),
        keys: secrets.keys()?,
        settings: record.settings(secrets.headers)?,
        state: record.state()?,
        health: Health {
            failing_since: optional_time(record.failing_since)?,
            consecutive_failures: record.consecutive_failures,
        },
        handshake: Handshake {
            ok: record.handshake.ok,
            status_code: record.handshake.status_code,
            reason: record.handshake.reason.clone(),
            at: from_millis(record.handshake.at)?,
        },
        resumed_at: optional_time(record.resumed_at)?,
        sweep: record.sweep()?,
        epoch: record.epoch,
        created_at: from_millis(record.created_at)?,
        updated_at: from_millis(record.updated_at)?,
        version: row.get::<_, i64>("version")?.unsigned_abs(),
    })
}
