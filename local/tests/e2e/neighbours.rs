//! Isolation: a webhook whose receiver hangs beside a healthy one.

use statuspulse_kit::{Behaviour, Receiver, ReceiverOptions};

use crate::support::{Home, LONG, payload};

/// More than the slots that one webhook can get.
const HANGING: usize = 400;
const GOOD: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_holds_up_no_other_webhook() {
    let home = Home::new();
    let (slow, good) = (
        Receiver::start(ReceiverOptions::plain()).unwrap(),
        Receiver::start(ReceiverOptions::plain()).unwrap(),
    );
    let program = home.serve(&[]).await;
    let api = home.admin(&program).await;
    let (hanging, _) = api.webhook(&slow.url("/hang"), &["slow"]).await;
    let (healthy, _) = api.webhook(&good.url("/good"), &["good"]).await;
    slow.behaviour("/hang", Behaviour::Hang);
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..8 {
        let api = api.clone();
        publishers.spawn(async move {
            for n in 0..HANGING / 8 {
                let payload = payload("opened", &format!("INC-{publisher}-{n}"), n);
                api.published(&["slow"], &payload, 1).await;
            }
        });
    }
    publishers.join_all().await;
    slow.wait_for("/hang", 1 + 100, LONG).await.unwrap();

    for n in 0..GOOD {
        api.published(&["good"], &payload("opened", &format!("INC-{n}"), n), 1).await;
    }
    let good_count = 1 + u64::try_from(GOOD).unwrap();
    good.wait_for("/good", good_count, LONG).await.unwrap();
    api.all_delivered(&healthy).await;
    // The records show that the healthy webhook was served while the attempts of the other one still hung.
    let good = api.deliveries(&healthy).await;
    assert_eq!(good.len(), GOOD);
    assert!(good.iter().all(|delivery| delivery["attempts"].as_array().unwrap().len() == 1));
    let hung = api.deliveries(&hanging).await;
    assert_eq!(hung.len(), HANGING);
    let unended = hung.iter().filter(|delivery| delivery["attempts"].as_array().unwrap().is_empty()).count();
    assert!(
        unended > HANGING / 2,
        "only {unended} of {HANGING} attempts still hang: too few to show isolation"
    );
    program.kill().await;
}
