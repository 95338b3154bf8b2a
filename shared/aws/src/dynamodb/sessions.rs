//! Sessions of the dashboard, one item each. DynamoDB's TTL deletes them after they expire.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;
use statuspulse_core::access::{KeyHash, Session, SessionKind};
use statuspulse_core::audit::AccountEntry;
use statuspulse_core::ports::{PortResult, Sessions};
use statuspulse_core::record::Unreadable;

use super::Table;
use super::item::{Item, Read, binary, expiry, text, time};
use super::keys::Key;
use super::table::{Condition, readable};
use crate::error::failed;

#[async_trait]
impl Sessions for Table {
    async fn create_session(&self, session: &Session, entry: Option<&AccountEntry>) -> PortResult<()> {
        let item = session_item(session.kind, session.key, session.expires_at);
        let mut writes = vec![self.put_write(Key::Session(session.hash), item, Condition::IS_NEW)?];
        if let Some(entry) = entry {
            writes.extend(self.audit_writes(entry)?);
        }
        // If it exists already, an earlier try of this call wrote it.
        self.transact(writes, "storing a session").await.map(drop)
    }

    async fn session(&self, hash: &KeyHash) -> PortResult<Option<Session>> {
        let doing = "reading a session";
        let item = self.get(Key::Session(*hash), doing).await?;
        readable(item.map_or(Ok(None), |item| read_session(*hash, &item)), doing)
    }

    async fn take_session(&self, hash: &KeyHash) -> PortResult<Option<Session>> {
        let doing = "taking a session";
        let delete =
            self.client.delete_item().table_name(&self.name).set_key(Some(Key::Session(*hash).item()));
        let deleted = delete.return_values(ReturnValue::AllOld).send().await.map_err(failed(doing))?;
        readable(deleted.attributes.map_or(Ok(None), |item| read_session(*hash, &item)), doing)
    }
}

fn name_of(kind: SessionKind) -> &'static str {
    match kind {
        SessionKind::Link => "link",
        SessionKind::Browser => "browser",
    }
}

pub(super) fn session_item(kind: SessionKind, key: KeyHash, expires_at: Timestamp) -> Item {
    HashMap::from([
        ("kind".to_owned(), text(name_of(kind))),
        ("key".to_owned(), binary(key.0)),
        ("expires_at".to_owned(), time(expires_at)),
        ("expires".to_owned(), expiry(expires_at)),
    ])
}

pub(super) fn read_session(hash: KeyHash, item: &Item) -> Result<Option<Session>, Unreadable> {
    let kind = match item.text("kind")? {
        "link" => SessionKind::Link,
        "browser" => SessionKind::Browser,
        // A later version created it. In this one, the browser is signed out.
        _ => return Ok(None),
    };
    let key = KeyHash(item.array("key")?);
    Ok(Some(Session { hash, kind, key, expires_at: item.time("expires_at")? }))
}
