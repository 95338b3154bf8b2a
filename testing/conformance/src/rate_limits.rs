//! Rate limits: what happens at most once per interval, whichever worker does it.

use std::time::Duration;

use statuspulse_core::ports::RateLimit;

use crate::Stage;

const GAP: Duration = Duration::from_secs(5);

pub(crate) async fn a_slot_that_is_taken_says_when_the_next_is_free(stage: Stage) {
    let (limit, other) =
        (RateLimit::Notifications(stage.account_id()), RateLimit::Notifications(stage.account_id()));
    let free = stage.now().checked_add(GAP).unwrap();
    assert_eq!(stage.store.take(limit, stage.now(), free).await.unwrap(), Ok(()));
    let later = free.checked_add(GAP).unwrap();
    assert_eq!(stage.store.take(limit, stage.now(), later).await.unwrap(), Err(free));
    assert_eq!(
        stage.store.take(other, stage.now(), free).await.unwrap(),
        Ok(()),
        "another account's limit is free"
    );

    stage.pass(GAP - Duration::from_millis(1));
    assert_eq!(stage.store.take(limit, stage.now(), later).await.unwrap(), Err(free));
    stage.pass(Duration::from_millis(1));
    assert_eq!(stage.store.take(limit, stage.now(), later).await.unwrap(), Ok(()));
    assert_eq!(stage.store.take(limit, stage.now(), later).await.unwrap(), Err(later));
}

pub(crate) async fn one_of_many_concurrent_takers_gets_the_slot(stage: Stage) {
    for round in 0..50 {
        let (limit, now) = (RateLimit::Notifications(stage.account_id()), stage.now());
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = stage.store.clone();
                tokio::spawn(async move { store.take(limit, now, now.checked_add(GAP).unwrap()).await })
            })
            .collect();
        let mut taken = 0;
        for task in tasks {
            taken += usize::from(task.await.unwrap().unwrap().is_ok());
        }
        assert_eq!(taken, 1, "round {round}");
    }
}
