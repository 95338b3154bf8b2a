//! Finds the caller that an API key belongs to, and remembers that the key was used.

use jiff::Timestamp;

use crate::access::{Caller, KeyHash};
use crate::error::Result;
use crate::ports::Accounts;

/// The caller with the key that has this hash. Unknown, revoked and expired keys give the same error. A use that cannot
/// be remembered is not the caller's trouble.
pub(crate) async fn caller(accounts: &dyn Accounts, hash: &KeyHash, now: Timestamp) -> Result<Caller> {
    let found = accounts.key_by_hash(hash).await?;
    let caller = Caller::with_key(found.as_ref(), now)?;
    if let Some(key) = found.filter(|key| key.is_newly_used(now))
        && let Err(error) = accounts.remember_use(&key, now).await
    {
        tracing::warn!(key.id = %key.id, %error, "it is not remembered that a key was used");
    }
    Ok(caller)
}
