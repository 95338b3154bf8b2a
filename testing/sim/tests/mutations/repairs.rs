//! Defects that remove a repair. No repair is kept without one.

use crate::Mutation;

pub(crate) const REPAIRS: [Mutation; 39] = [
    Mutation {
        name: "repair: a delivery that a discard promoted is not sent again",
        file: "worker/job.rs",
        from: "State::Scheduled { number: 1, .. } if delivery.round == 1 => {",
        to: "State::Scheduled { number: 1, .. } if delivery.round == 0 => {",
    },
    Mutation {
        name: "repair: the check does not send a webhook's outbox",
        file: "reconcile.rs",
        from: r#"        self.send_unsent(webhook).await?;
        let lost = ["#,
        to: "        let lost = [",
    },
    Mutation {
        name: "repair: the other deliveries of a burst are not checked again",
        file: "worker/attempt.rs",
        from: "self.recheck(rechecks).await;",
        to: "drop::<Vec<ScheduledMessage>>(rechecks);",
    },
    Mutation {
        name: "repair: a message is done after a conflict",
        file: "reconcile.rs",
        from: "return Ok(Handled::Again(later(self.clock.now(), limits::DRAIN_INTERVAL)));",
        to: "return Ok(Handled::Done);",
    },
    Mutation {
        name: "repair: a delivery that is held too late for a drain stays held",
        file: "reconcile.rs",
        from: "if delivery.state == State::Held {",
        to: "if false {",
    },
    Mutation {
        name: "repair: a delivery that is held too late for a cancel stays held",
        file: "webhook/changes.rs",
        from: "State::Deleted => Some(JobKind::Cancel),",
        to: "State::Deleted => None,",
    },
    Mutation {
        name: "repair: a job starts again for a delivery that is finished since",
        file: "reconcile.rs",
        from: "if self.deliveries.query(id, DeliveryQuery::Held, 1).await?.is_empty() {",
        to: "if false {",
    },
    Mutation {
        name: "repair: a delivery that is put on the ladder too late for a hold stays there",
        file: "reconcile.rs",
        from: "while !delivery.is_finished()",
        to: "while !delivery.is_finished() && !matches!(delivery.state, State::Scheduled { .. })",
    },
    Mutation {
        name: "repair: a message that finds its record further on is dropped",
        file: "worker/attempt.rs",
        from: "self.outbox.reconcile_delivery(delivery).await.map(Handled::until)",
        to: "drop(delivery); Ok(Handled::Done)",
    },
    Mutation {
        name: "repair: such a message does not send its webhook's outbox",
        file: "worker/attempt.rs",
        from: r#"        if let Some(webhook) = self.webhooks.webhook(delivery.webhook_id).await? {
            self.outbox.send_unsent(&webhook).await?;
        }
"#,
        to: "",
    },
    Mutation {
        name: "repair: a webhook's outbox is not sent after an attempt",
        file: "worker/attempt.rs",
        from: "Some(webhook) => self.outbox.send_unsent(&webhook).await,",
        to: "Some(_) => Ok(()),",
    },
    Mutation {
        name: "repair: the message of a scheduled delivery is not sent again",
        file: "reconcile.rs",
        from: "State::Scheduled { .. } => self.send_attempt(&delivery).await?,",
        to: "State::Scheduled { .. } => {}",
    },
    Mutation {
        name: "repair: the successor of a finished delivery is not promoted again",
        file: "reconcile.rs",
        from: r#"                self.send(delivery.failed_event().into_iter().collect()).await?;
                self.wake_successor(&delivery).await?;"#,
        to: "                self.send(delivery.failed_event().into_iter().collect()).await?;",
    },
    Mutation {
        name: "repair: the message of a promoted delivery is not sent again",
        file: "outbox.rs",
        from: "Some(head) if head.due_attempt().is_some() => head,",
        to: "",
    },
    Mutation {
        name: "repair: a conflict at a promotion is ignored",
        file: "outbox.rs",
        from: "Err(Conflict) => continue,",
        to: "Err(Conflict) => return Ok(()),",
    },
    Mutation {
        name: "repair: a lane whose head has no message is not checked again",
        file: "reconcile.rs",
        from: "return Ok(Some(overdue));",
        to: "return Ok(None);",
    },
    Mutation {
        name: "repair: a lane whose head is waiting is not repaired",
        file: "reconcile.rs",
        from: r#"Some((_, head)) if head.state == State::Waiting => {
                self.wake_successor(waiting).await.map(|()| None)
            }"#,
        to: "",
    },
    Mutation {
        name: "repair: the message of an overdue head is not sent again",
        file: "reconcile.rs",
        from: r#"                self.send_attempt(&head).await.map(|()| None)
            }"#,
        to: r#"                drop(head);
                Ok(None)
            }"#,
    },
    Mutation {
        name: "repair: the end of a job does not check for held deliveries",
        file: "worker/job.rs",
        from: "self.outbox.reconcile_webhook(&latest.webhook).await?;",
        to: "self.outbox.send_unsent(&latest.webhook).await?;",
    },
    Mutation {
        name: "repair: the message of an old page does not reconcile",
        file: "worker/job.rs",
        from: r#"        self.outbox.reconcile_webhook(webhook).await?;
"#,
        to: "",
    },
    Mutation {
        name: "repair: a drain ends without a check of what it released",
        file: "worker/job.rs",
        from: "(self.resend_overdue(webhook, now).await? || contested).then_some(patience)",
        to: "{ let _ = (patience, contested); None }",
    },
    Mutation {
        name: "repair: the messages of released deliveries are not sent again",
        file: "worker/job.rs",
        from: "messages.extend(self.outbox.attempt_message(delivery).await?);",
        to: "let _ = &mut messages;",
    },
    Mutation {
        name: "repair: a drain ends without a check of lanes",
        file: "worker/job.rs",
        from: "                self.outbox.reconcile_and_recheck(&delivery).await?;",
        to: "",
    },
    Mutation {
        name: "repair: a repeated call does not send the outbox of the first one",
        file: "admin/mod.rs",
        from: r#"                self.outbox.send_unsent(&webhook).await?;
                return Ok(webhook);"#,
        to: "                return Ok(webhook);",
    },
    Mutation {
        name: "repair: a repeated delete does not send the outbox of the first one",
        file: "admin/pause.rs",
        from: "Ok(Some(webhook)) if webhook.account_id == account => self.outbox.send_unsent(&webhook).await,",
        to: "",
    },
    Mutation {
        name: "repair: a repeated redelivery does not reconcile",
        file: "admin/redeliver.rs",
        from: "if delivery.is_released() || matches!(delivery.state, State::Waiting | State::Held) {",
        to: "if false {",
    },
    Mutation {
        name: "repair: sent messages stay in an outbox after a conflict",
        file: "outbox.rs",
        from: r#"            latest = self.webhooks.webhook(webhook.id).await?;
"#,
        to: r#"            latest = None;
"#,
    },
    Mutation {
        name: "repair: the check misses a job whose message is lost",
        file: "reconcile.rs",
        from: "let lost = [webhook.page_due_before(long_ago), ",
        to: "let lost = [None, ",
    },
    Mutation {
        name: "repair: the check misses a notification whose message is lost",
        file: "reconcile.rs",
        from: "webhook.notification_due_before(long_ago, now)];",
        to: "None];",
    },
    Mutation {
        name: "repair: the check misses an attempt whose message is lost",
        file: "reconcile.rs",
        from: "State::Scheduled { at, .. } if at < long_ago => {",
        to: "State::Scheduled { at, .. } if at < long_ago && false => {",
    },
    Mutation {
        name: "repair: the message of a replaced job is not handled again",
        file: "worker/job.rs",
        from: "let was_replaced = webhook.generation != message.generation;",
        to: "let was_replaced = webhook.generation != message.generation && false;",
    },
    Mutation {
        name: "repair: the message of a successor on a later rung is not sent again",
        file: "outbox.rs",
        from: "Some(head) if head.due_attempt().is_some() => head,",
        to: "Some(head) if head.due_attempt().is_some_and(|(key, _)| key.number == 1) => head,",
    },
    Mutation {
        name: "repair: the check misses held deliveries of an active webhook",
        file: "reconcile.rs",
        from: r#"            self.start_job_for_held(webhook.id).await?;
            found += 1;"#,
        to: "",
    },
    Mutation {
        name: "repair: the check misses the overdue head of a lane",
        file: "reconcile.rs",
        from: "if is_overdue {",
        to: "if false {",
    },
    Mutation {
        name: "repair: the check misses the waiting deliveries of a paused webhook",
        file: "reconcile.rs",
        from: "State::Waiting if !webhook.is_active() => {",
        to: "State::Waiting if !webhook.is_active() && false => {",
    },
    Mutation {
        name: "repair: the check misses a lane that nothing promotes",
        file: "reconcile.rs",
        from: "if is_stuck {",
        to: "if false {",
    },
    Mutation {
        name: "repair: a redelivery that waits or is held is not reconciled",
        file: "admin/redeliver.rs",
        from: "if saved.due_attempt().is_none() {",
        to: "if false {",
    },
    Mutation {
        name: "repair: a repeated redelivery leaves a held delivery on an active webhook",
        file: "admin/redeliver.rs",
        from: "matches!(delivery.state, State::Waiting | State::Held)",
        to: "matches!(delivery.state, State::Waiting)",
    },
    Mutation {
        name: "repair: a cancel ends before the calls have ended that read the webhook",
        file: "worker/job.rs",
        from: "JobKind::Cancel => Some(since(now, later(webhook.updated_at, limits::WORKER_ENDS))),",
        to: "JobKind::Cancel => None,",
    },
];
