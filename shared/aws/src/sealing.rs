//! The data key that seals secrets. KMS generates and wraps it. The table stores it wrapped, and each execution
//! environment unwraps it once.
//!
//! So a copy of the table reveals no secret, access can be revoked and is logged by KMS, and attempts do not wait for
//! KMS.
//!
//! The item of the key has these attributes:
//!
//! | attribute | |
//! |---|---|
//! | `wrapped` | the key that seals |
//! | `derived` | whether it seals with derived keys; the first release could not read them |
//! | `next`, `old` | while the key is [replaced](rekey): the key that will seal, or the one that has sealed before |
//! | `since`, `after` | since when there is one of them, and where the replacement goes on |
//! | `cursors` | the sealed key for cursors, if it is that of an earlier data key |

pub(crate) mod rekey;

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use statuspulse_core::moving::Opener;
use statuspulse_core::ports::{Clock, PortResult, Unavailable};
use statuspulse_core::sealing::{SealedFormat, Sealer, SealingKey};

use crate::dynamodb::item::{Item, Read, binary};
use crate::dynamodb::keys::Key;
use crate::error::{failed, unreadable};
use crate::limits;

const DOING: &str = "opening the data key";
/// The name of the encryption context, which binds the wrapped key to the table and appears in KMS's log.
const CONTEXT: &str = "statuspulse:table";
/// The owner of the sealed key for cursors.
const CURSORS: [u8; 16] = *b"cursors of lists";

/// The data key of a table.
#[derive(Clone)]
pub struct DataKey(Arc<Inner>);

struct Inner {
    kms: aws_sdk_kms::Client,
    key_id: String,
    dynamodb: aws_sdk_dynamodb::Client,
    table: String,
    clock: Arc<dyn Clock>,
    kept: Mutex<Option<Kept>>,
    /// Held while the item is read, so that concurrent calls read it once.
    reading: tokio::sync::Mutex<()>,
}

/// What an execution environment keeps, and when it was compared with the item.
#[derive(Clone)]
struct Kept {
    opened: Arc<Opened>,
    read_at: Timestamp,
}

/// What the data key is used for.
struct Opened {
    /// The item that it was read from.
    item: Item,
    sealer: Arc<Sealer>,
    cursor_key: [u8; 32],
    opener: Opener,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey")
    }
}

impl DataKey {
    /// The data key of this table, wrapped with this KMS key.
    pub fn new(
        kms: aws_sdk_kms::Client,
        key_id: impl Into<String>,
        dynamodb: aws_sdk_dynamodb::Client,
        table: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (key_id, table) = (key_id.into(), table.into());
        let (kept, reading) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Inner { kms, key_id, dynamodb, table, clock, kept, reading }))
    }

    /// Unwraps the key. Creates it first if the table has none.
    pub async fn open_or_make(&self) -> PortResult<()> {
        if let Err(Absent) = self.opened().await? {
            self.make().await?;
            self.opened().await?.map_err(|Absent| absent())?;
        }
        Ok(())
    }

    /// Unwraps the key if the table has one, so that later calls do not wait for KMS.
    pub async fn open_if_made(&self) -> PortResult<()> {
        self.opened().await.map(drop)
    }

    /// The key for the cursors of lists, which is the same in all environments, and stays the same if the data key is
    /// replaced.
    pub async fn cursor_key(&self) -> PortResult<[u8; 32]> {
        Ok(self.existing().await?.cursor_key)
    }

    /// Opens what was sealed for this deployment by an export of another one.
    pub async fn opener(&self) -> PortResult<Opener> {
        Ok(self.existing().await?.opener.clone())
    }

    pub(crate) async fn sealer(&self) -> PortResult<Arc<Sealer>> {
        Ok(self.existing().await?.sealer.clone())
    }

    async fn existing(&self) -> PortResult<Arc<Opened>> {
        self.opened().await?.map_err(|Absent| absent())
    }

    /// The opened key. It is compared with the item if that was some minutes ago, also by the wall clock: an environment may
    /// have been frozen since.
    async fn opened(&self) -> PortResult<Result<Arc<Opened>, Absent>> {
        if let Some(kept) = self.fresh() {
            return Ok(Ok(kept));
        }
        let _reading = self.0.reading.lock().await;
        if let Some(kept) = self.fresh() {
            return Ok(Ok(kept));
        }
        let read_at = self.wall();
        let Some(item) = self.item().await? else { return Ok(Err(Absent)) };
        let known = self.kept().map(|kept| kept.opened).filter(|opened| opened.item == item);
        let opened = match known {
            Some(opened) => opened,
            None => Arc::new(self.open(item).await?),
        };
        *self.0.kept.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Kept { opened: opened.clone(), read_at });
        Ok(Ok(opened))
    }

    fn kept(&self) -> Option<Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is kept, if it was compared with the item a short time ago.
    fn fresh(&self) -> Option<Arc<Opened>> {
        let kept = self.kept()?;
        let age = self.wall().duration_since(kept.read_at).unsigned_abs();
        (age < limits::DATA_KEY_KEPT_FOR).then_some(kept.opened)
    }

    fn wall(&self) -> Timestamp {
        self.0.clock.moment().wall
    }

    async fn item(&self) -> PortResult<Option<Item>> {
        let request = self.0.dynamodb.get_item().table_name(&self.0.table).set_key(Some(Key::Sealing.item()));
        let found = request.consistent_read(true).send().await.map_err(failed(DOING))?;
        Ok(found.item)
    }

    async fn open(&self, item: Item) -> PortResult<Opened> {
        let key = self.unwrap(item.bytes("wrapped").map_err(unreadable(DOING))?).await?;
        let is_derived = item.get("derived") == Some(&AttributeValue::Bool(true));
        let format = if is_derived { SealedFormat::DerivedKeys } else { SealedFormat::OneKey };
        let opener = Opener::of_key(key.bytes());
        let own = Sha256::new().chain_update(b"cursors of lists").chain_update(key.bytes()).finalize();
        let mut sealer = Sealer::new(key, format);
        for other in ["next", "old"] {
            if let Some(wrapped) = item.maybe_bytes(other) {
                sealer = sealer.also_opening(self.unwrap(wrapped).await?);
            }
        }
        let cursor_key = match item.maybe_bytes("cursors") {
            None => own.into(),
            Some(sealed) => {
                let text = sealer.unseal(CURSORS, sealed).map_err(failed(DOING))?;
                STANDARD.decode(text).ok().and_then(|key| key.try_into().ok()).ok_or_else(|| Unavailable {
                    doing: DOING,
                    source: "the key for cursors has another length".into(),
                })?
            }
        };
        Ok(Opened { item, sealer: Arc::new(sealer), cursor_key, opener })
    }

    async fn unwrap(&self, wrapped: &[u8]) -> PortResult<SealingKey> {
        let request = self.0.kms.decrypt().key_id(&self.0.key_id).ciphertext_blob(Blob::new(wrapped));
        let answer =
            request.encryption_context(CONTEXT, &self.0.table).send().await.map_err(failed(DOING))?;
        let key = answer.plaintext.unwrap_or_else(|| Blob::new([])).into_inner();
        SealingKey::new(&key).map_err(failed(DOING))
    }

    /// A new key, wrapped.
    async fn generated(&self, doing: &'static str) -> PortResult<Vec<u8>> {
        let request = self.0.kms.generate_data_key_without_plaintext().key_id(&self.0.key_id);
        let request = request.key_spec(DataKeySpec::Aes256).encryption_context(CONTEXT, &self.0.table);
        let made = request.send().await.map_err(failed(doing))?;
        Ok(made.ciphertext_blob.unwrap_or_else(|| Blob::new([])).into_inner())
    }

    /// Creates the key. If two environments do so at the same time, the first to write wins.
    async fn make(&self) -> PortResult<()> {
        let doing = "creating the data key";
        let put = self
            .0
            .dynamodb
            .put_item()
            .table_name(&self.0.table)
            .set_item(Some(Key::Sealing.item()))
            .item("wrapped", binary(self.generated(doing).await?))
            .item("derived", AttributeValue::Bool(true))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::None);
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(failed(doing)(error)),
        }
    }
}

/// The table has no data key yet.
struct Absent;

fn absent() -> Unavailable {
    Unavailable { doing: DOING, source: "the table has no data key".into() }
}
