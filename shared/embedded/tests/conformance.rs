//! Runs the conformance suite on the SQLite store.

#![expect(clippy::unwrap_used, reason = "a test's own helpers may fail it")]

use std::process::ExitCode;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use statuspulse_conformance::{Dice, Place, Stage, Store, Watch};
use statuspulse_core::ids::{AccountId, WebhookId};
use statuspulse_embedded::{Embedded, Purpose};
use tempfile::TempDir;

struct Folder {
    folder: TempDir,
    clock: Arc<Watch>,
}

#[async_trait]
impl Place for Folder {
    async fn open(&self) -> Arc<dyn Store> {
        Embedded::open(self.folder.path(), Purpose::Serve, self.clock.clone()).unwrap()
    }

    /// A copy of the files as they would be if the process died now.
    async fn beside(&self) -> Arc<dyn Place> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["statuspulse.db", "statuspulse.db-wal", "secret.key"] {
            std::fs::copy(self.folder.path().join(name), folder.path().join(name)).unwrap();
        }
        Arc::new(Folder { folder, clock: self.clock.clone() })
    }

    async fn damage(&self, _: AccountId, id: WebhookId) {
        let connection = rusqlite::Connection::open(self.folder.path().join("statuspulse.db")).unwrap();
        let sql = "UPDATE webhooks SET record = '{}' WHERE id = ?1";
        assert_eq!(connection.execute(sql, [id.to_bytes()]).unwrap(), 1);
    }
}

fn main() -> ExitCode {
    let stage = || {
        async {
            let clock = Arc::new(Watch::at("2026-11-24T12:00:00Z".parse().unwrap()));
            let place = Arc::new(Folder { folder: tempfile::tempdir().unwrap(), clock: clock.clone() });
            Stage::on(place, clock, Arc::new(Dice::seeded(42))).await
        }
        .boxed()
    };
    statuspulse_conformance::run(stage).exit_code()
}
