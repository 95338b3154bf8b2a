//! The data key that seals secrets. KMS generates and wraps it. The table stores it wrapped, and each execution
//! environment unwraps it once.
//!
//! So a copy of the table reveals no secret, access can be revoked and is logged by KMS, and attempts do not wait for
//! KMS.

use std::sync::Arc;

use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use sha2::{Digest, Sha256};
use statuspulse_core::moving::Opener;
use statuspulse_core::ports::{PortResult, Unavailable};
use statuspulse_core::sealing::Sealer;
use tokio::sync::OnceCell;

use crate::dynamodb::item::{Read, binary};
use crate::dynamodb::keys::Key;
use crate::error::{failed, unreadable};

const DOING: &str = "opening the data key";
/// The name of the encryption context, which binds the wrapped key to the table and appears in KMS's log.
const CONTEXT: &str = "statuspulse:table";

/// The data key of a table.
#[derive(Clone)]
pub struct DataKey(Arc<Inner>);

struct Inner {
    kms: aws_sdk_kms::Client,
    key_id: String,
    dynamodb: aws_sdk_dynamodb::Client,
    table: String,
    opened: OnceCell<Opened>,
}

/// What the data key is used for.
struct Opened {
    sealer: Sealer,
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
    ) -> Self {
        let (key_id, table) = (key_id.into(), table.into());
        Self(Arc::new(Inner { kms, key_id, dynamodb, table, opened: OnceCell::new() }))
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

    /// Derives the key for the cursors of lists, which is the same in all environments.
    pub async fn cursor_key(&self) -> PortResult<[u8; 32]> {
        Ok(self.existing().await?.cursor_key)
    }

    /// Opens what was sealed for this deployment by an export of another one.
    pub async fn opener(&self) -> PortResult<&Opener> {
        Ok(&self.existing().await?.opener)
    }

    pub(crate) async fn sealer(&self) -> PortResult<&Sealer> {
        Ok(&self.existing().await?.sealer)
    }

    async fn existing(&self) -> PortResult<&Opened> {
        self.opened().await?.map_err(|Absent| absent())
    }

    async fn opened(&self) -> PortResult<Result<&Opened, Absent>> {
        if let Some(opened) = self.0.opened.get() {
            return Ok(Ok(opened));
        }
        let Some(wrapped) = self.wrapped().await? else { return Ok(Err(Absent)) };
        self.0.opened.get_or_try_init(|| self.unwrap(wrapped)).await.map(Ok)
    }

    async fn wrapped(&self) -> PortResult<Option<Vec<u8>>> {
        let request = self.0.dynamodb.get_item().table_name(&self.0.table).set_key(Some(Key::Sealing.item()));
        let found = request.consistent_read(true).send().await.map_err(failed(DOING))?;
        match found.item {
            None => Ok(None),
            Some(item) => Ok(Some(item.bytes("wrapped").map_err(unreadable(DOING))?.to_vec())),
        }
    }

    async fn unwrap(&self, wrapped: Vec<u8>) -> PortResult<Opened> {
        let request = self.0.kms.decrypt().key_id(&self.0.key_id).ciphertext_blob(Blob::new(wrapped));
        let answer =
            request.encryption_context(CONTEXT, &self.0.table).send().await.map_err(failed(DOING))?;
        let key = answer.plaintext.unwrap_or_else(|| Blob::new([])).into_inner();
        let sealer = Sealer::new(&key).map_err(failed(DOING))?;
        let cursor_key = Sha256::new().chain_update(b"cursors of lists").chain_update(&key).finalize().into();
        Ok(Opened { sealer, cursor_key, opener: Opener::of_key(&key) })
    }

    /// Creates the key. If two environments do so at the same time, the first to write wins.
    async fn make(&self) -> PortResult<()> {
        let doing = "creating the data key";
        let request = self.0.kms.generate_data_key_without_plaintext().key_id(&self.0.key_id);
        let request = request.key_spec(DataKeySpec::Aes256).encryption_context(CONTEXT, &self.0.table);
        let made = request.send().await.map_err(failed(doing))?;
        let wrapped = made.ciphertext_blob.unwrap_or_else(|| Blob::new([])).into_inner();
        let put = self
            .0
            .dynamodb
            .put_item()
            .table_name(&self.0.table)
            .set_item(Some(Key::Sealing.item()))
            .item("wrapped", binary(wrapped))
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
