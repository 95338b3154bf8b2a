//! A move from one data folder to another: export, dry run, import, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use statuspulse_kit::household::{Household, Size};
use statuspulse_kit::{Receiver, ReceiverOptions};

use crate::support::{Ended, Home, Program};

const SIZE: Size = Size { accounts: 3, webhooks: 6, events: 20 };

async fn run(home: &Home, arguments: &[&str]) -> Ended {
    Ended::of(home.command(arguments)).await
}

async fn served(home: &Home, folder: &str) -> Program {
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--ladder", "2s,4s,6s,8s"]);
    command.args(["--dev-allow-cidr", "127.0.0.0/8", "--data", folder]);
    Program::start(command).await
}

/// A folder with a household, whose server has stopped.
async fn settled(home: &Home, receiver: &Receiver) -> Household {
    let program = served(home, "data").await;
    let operator = program.api(&home.operator_key().await);
    let household = Household::settle(&operator, receiver, SIZE).await;
    program.stop().await;
    household
}

async fn recipient(home: &Home, folder: &str) -> String {
    run(home, &["import", "--recipient", "--data", folder, "--new"]).await.succeeded().trim().to_owned()
}

#[tokio::test]
async fn what_moves_to_another_folder_is_delivered_once_and_in_order() {
    let home = Home::new();
    let receiver = Receiver::start(ReceiverOptions::plain()).unwrap();
    let household = settled(&home, &receiver).await;
    let recipient = recipient(&home, "new").await;
    let said =
        run(&home, &["export", "--data", "data", "--recipient", &recipient, "moved"]).await.succeeded();
    assert!(
        said.starts_with("exported 3 accounts, 6 keys, 7 webhooks, 121 events, 121 deliveries, "),
        "{said}"
    );
    let file = home.path().join("moved");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("whsec_"), "a secret is readable");
    // The old server would deliver everything a second time.
    let said = run(&home, &["serve", "--listen", "127.0.0.1:0", "--data", "data"]).await.refused();
    assert!(said.contains("was exported"), "{said}");

    let said = run(&home, &["import", "--data", "new", "--dry-run", "moved"]).await.succeeded();
    assert!(said.starts_with("nothing is in the way of 3 accounts, "), "{said}");
    assert_eq!(run(&home, &["keys", "list", "--data", "new"]).await.succeeded(), "", "it wrote nothing");
    let said = run(&home, &["import", "--data", "new", "moved"]).await.succeeded();
    assert!(said.starts_with("imported 3 accounts, "), "{said}");

    household.heal(&receiver);
    let program = served(&home, "new").await;
    let household = household.at(&program.origin);
    household.is_whole(&receiver).await;
    household.is_delivered(&receiver).await;
    household.is_retried(&receiver).await;
    program.stop().await;
    let said = run(&home, &["import", "--data", "new", "moved"]).await.refused();
    assert!(said.contains("is there already"), "{said}");
}
