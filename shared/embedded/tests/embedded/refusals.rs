//! Folders that cannot be opened. A refusal leaves their files unchanged.

use std::fs;
use std::path::{Path, PathBuf};

use statuspulse_core::ports::Deliveries;
use statuspulse_embedded::{Embedded, OpenError, Purpose};

use crate::stage::Stage;

fn refused(folder: &Path) -> OpenError {
    Embedded::open(folder, Purpose::Serve, Stage::new().clock).expect_err("it was opened")
}

fn database(folder: &Path) -> PathBuf {
    folder.join("statuspulse.db")
}

/// A folder whose database has several pages and was closed properly.
async fn closed_folder() -> tempfile::TempDir {
    let stage = Stage::new();
    for n in 0..50 {
        let delivery = stage.accepted(stage.webhook_id(), &format!("INC-{n}")).await;
        stage.sent(&delivery, &bytes::Bytes::new()).await;
    }
    let Stage { store, folder, .. } = stage;
    drop(store);
    folder
}

#[tokio::test]
async fn a_second_server_on_a_folder_is_refused_and_the_first_goes_on() {
    let stage = Stage::new();
    let error = stage.open_beside(Purpose::Serve).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)));
    assert!(error.to_string().contains(&stage.path().display().to_string()), "{error}");
    let delivery = stage.accepted(stage.webhook_id(), "INC-1").await;

    let beside = stage.open_beside(Purpose::Administer).expect("keys can be created while a server runs");
    assert!(beside.delivery(&[delivery.webhook_id], delivery.id).await.unwrap().is_some());
    drop(beside);
    stage.accepted(stage.webhook_id(), "INC-2").await;
    stage.store.durable().await.unwrap();
    let stage = stage.reopened();
    assert!(stage.store.delivery(&[delivery.webhook_id], delivery.id).await.unwrap().is_some());
}

#[test]
fn a_folder_that_cannot_be_made_or_written_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("a file");
    fs::write(&file, "text").unwrap();
    for folder in [file.clone(), file.join("below")] {
        let error = refused(&folder);
        assert!(matches!(error, OpenError::Folder(..)), "{error:?}");
        assert!(error.to_string().contains("a file"), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"text");
    let folder = parent.path().join("occupied");
    fs::create_dir_all(folder.join("secret.key")).unwrap();
    assert!(matches!(refused(&folder), OpenError::Folder(..)));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = "This is somebody's text, and it is long enough to be looked at. ".repeat(100);
    fs::write(database(folder.path()), &text).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Database(..)), "{error:?}");
    assert!(error.to_string().contains("statuspulse.db"), "{error}");
    assert_eq!(fs::read_to_string(database(folder.path())).unwrap(), text);
}

#[tokio::test]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    let whole = closed_folder().await;
    let original = fs::read(database(whole.path())).unwrap();
    assert!(original.len() > 5 * 4096);
    let mut scribbled = original.clone();
    scribbled[4096..].fill(0xa5);
    let mut header = original.clone();
    header[..100].fill(0);
    let cut = original[..original.len() / 2].to_vec();
    for (what, damaged) in [("scribbled over", scribbled), ("without its header", header), ("cut", cut)] {
        fs::write(database(whole.path()), &damaged).unwrap();
        let error = refused(whole.path());
        assert!(matches!(error, OpenError::Database(..)), "{what}: {error:?}");
        assert!(fs::read(database(whole.path())).unwrap() == damaged, "{what}: it was changed");
    }
    // With the original file it opens again: the refusals left nothing harmful in the folder.
    fs::write(database(whole.path()), &original).unwrap();
    let store = Embedded::open(whole.path(), Purpose::Serve, Stage::new().clock).unwrap();
    assert!(store.try_receive(statuspulse_core::message::QueueName::First).unwrap().is_some());
}

#[tokio::test]
async fn a_database_of_another_format_is_refused_and_left_as_it_is() {
    let folder = closed_folder().await;
    for format in [1, 4, 999] {
        let connection = rusqlite::Connection::open(database(folder.path())).unwrap();
        connection.pragma_update(None, "user_version", format).unwrap();
        connection.execute_batch("CREATE TABLE IF NOT EXISTS of_another_time (id)").unwrap();
        connection.close().unwrap();
        let before = fs::read(database(folder.path())).unwrap();
        for purpose in [Purpose::Serve, Purpose::Administer] {
            let error = Embedded::open(folder.path(), purpose, Stage::new().clock).unwrap_err();
            assert!(matches!(error, OpenError::OtherFormat(_, found) if found == format), "{error:?}");
            assert!(error.to_string().contains(&format.to_string()), "{error}");
        }
        assert!(fs::read(database(folder.path())).unwrap() == before);
    }
}
