//! Defects that change a rule or break a guarantee of the ports.

use crate::Mutation;

pub(crate) const RULES: [Mutation; 49] = [
    Mutation {
        name: "rotation: a refused signature is not repeated",
        file: "rotation.rs",
        from: "Self::Old => &[Self::New],",
        to: "Self::Old => &[],",
    },
    Mutation {
        name: "rotation: what got through is forgotten",
        file: "worker/attempt.rs",
        from: "let is_news = next.remember(self.used, self.digests, self.at);",
        to: "let is_news = false;",
    },
    Mutation {
        name: "rotation: how the rehearsal was refused is forgotten",
        file: "rotation.rs",
        from: "self.refusal.is_some() && (self.status_code == Some(status) || !is_known && status >= 500)",
        to: "self.refusal.is_some() && is_known && status >= 1000",
    },
    Mutation {
        name: "rotation: a signature that there is no time to repeat is a refusal",
        file: "call.rs",
        from: "if took < self.timeout {",
        to: "if took > self.timeout * 100 {",
    },
    Mutation {
        name: "a burst that is refused for one message is given up as a whole",
        file: "worker/attempt.rs",
        from: "let verdict = if is_shared { verdict.of_shared_message() } else { verdict };",
        to: "let _ = is_shared;",
    },
    Mutation {
        name: "what was refused together is sent together again",
        file: "delivery.rs",
        from: "failures.any(|failure| failure.class == Class::RefusedTogether)",
        to: "failures.any(|failure| failure.class == Class::RefusedTogether) && false",
    },
    Mutation {
        name: "an additional attempt counts towards the pause",
        file: "webhook/changes.rs",
        from: "let counts = nothing_got_through && !failed.is_additional;",
        to: "let counts = nothing_got_through;",
    },
    Mutation {
        name: "an attempt that cannot be made on our side is dropped",
        file: "worker/attempt.rs",
        from: r#"            self.deliveries.release_until(&Delivery { delayed: true, ..delivery }, at).await?;
        }
        Ok(Handled::Again(at))"#,
        to: r#"            self.deliveries.release_until(&Delivery { delayed: true, ..delivery }, at).await?;
        }
        Ok(Handled::Done)"#,
    },
    Mutation {
        name: "Retry-After is ignored",
        file: "worker/attempt.rs",
        from: "retry_after.and_then(|header| retry::retry_after(&header, now));",
        to: "retry_after.and_then(|header| retry::retry_after(&header, now)).filter(|_| false);",
    },
    Mutation {
        name: "Retry-After has no limit",
        file: "retry.rs",
        from: "Some(asked.min(limits::RETRY_AFTER_MAX))",
        to: "Some(asked)",
    },
    Mutation {
        name: "a redirect counts as a success",
        file: "attempt.rs",
        from: "200..=299 => None,",
        to: "200..=399 => None,",
    },
    Mutation {
        name: "the outcome of an attempt is not recorded",
        file: "worker/attempt.rs",
        from: r"let next = delivery.delivered(attempt);
        let handled = self.outbox.record(&next).await?;",
        to: r"let next = delivery.delivered(attempt);
        let handled = Handled::Done;",
    },
    Mutation {
        name: "an attempt is made although its webhook is paused",
        file: "worker/attempt.rs",
        from: "Some(webhook) if webhook.is_active() => match payload {",
        to: "Some(webhook) if !webhook.is_deleted() => match payload {",
    },
    Mutation {
        name: "a resume starts no drain",
        file: "webhook/changes.rs",
        from: "self.begin_job(kind, if kind == JobKind::Release { held } else { 0 }, now);",
        to: "let _ = (kind, held);",
    },
    Mutation {
        name: "the idempotency key is ignored",
        file: "publisher.rs",
        from: "_ => Ok(id_in(account, key, period)),",
        to: "_ => Ok(EventId::new(now, &*self.random)),",
    },
    Mutation {
        name: "no warning is sent for a failing webhook",
        file: "webhook/changes.rs",
        from: "next.notify(NotificationKind::Failing { last_error }, now);",
        to: "drop(last_error);",
    },
    Mutation {
        name: "the end of a drain sends no notification",
        file: "webhook/changes.rs",
        from: "if notification.answered && !self.health.is_failing() {",
        to: "if false {",
    },
    Mutation {
        name: "a channel's burst is sent without a check whether its webhook is paused",
        file: "worker/burst.rs",
        from: "self.webhooks.webhook(id).await?.filter(|webhook| webhook.is_active());",
        to: "self.webhooks.webhook(id).await?;",
    },
    Mutation {
        name: "only the first delivery of a channel's burst is recorded",
        file: "worker/attempt.rs",
        from: "for other in due {",
        to: "for other in due.take(0) {",
    },
    Mutation {
        name: "a delivery that waits for a channel's slot is forgotten",
        file: "worker/burst.rs",
        from: "Ok(Handled::Again(if is_first { free } else { later(free, limits::SLOT_RECHECK) }))",
        to: "drop(is_first); Ok(Handled::Done)",
    },
    Mutation {
        name: "a rung is too short",
        file: "retry.rs",
        from: "Self([60, 300, 900, 3600]",
        to: "Self([60, 300, 600, 3600]",
    },
    Mutation {
        name: "a webhook is paused at the third failed retry",
        file: "retry.rs",
        from: "pub const FAILURES_TO_PAUSE: u8 = 4;",
        to: "pub const FAILURES_TO_PAUSE: u8 = 3;",
    },
    Mutation {
        name: "a webhook is never paused",
        file: "retry.rs",
        from: "pub const FAILURES_TO_PAUSE: u8 = 4;",
        to: "pub const FAILURES_TO_PAUSE: u8 = 5;",
    },
    Mutation {
        name: "a success does not end an outage",
        file: "webhook/changes.rs",
        from: "next.health = self.health.recovered();",
        to: "next.health = Health { outage: self.health.outage, ..Health::default() };",
    },
    Mutation {
        name: "a ladder that began before a resume is given up as poison",
        file: "delivery.rs",
        from: "failed_in.first < webhook.resumed_in => State::Held,",
        to: "failed_in.first < webhook.resumed_in && false => State::Held,",
    },
    Mutation {
        name: "an early attempt that fails skips the ladder's own attempt",
        file: "delivery.rs",
        from: "self.ladder_at().filter(|ladder_at| *ladder_at > later(now, limits::CLAIM))",
        to: "self.ladder_at().filter(|ladder_at| *ladder_at > later(now, limits::CLAIM * 9999))",
    },
    Mutation {
        name: "a rung gets two early attempts",
        file: "delivery.rs",
        from: "Some(State::Scheduled { number, at, timing: Timing::AfterEarly })",
        to: "Some(State::Scheduled { number, at, timing: Timing::OnTime })",
    },
    Mutation {
        name: "a delivery that failed after the outage is retried early",
        file: "delivery.rs",
        from: "failed.last <= outage);",
        to: "failed.last <= outage + 9);",
    },
    Mutation {
        name: "an attempt begins although its claim is about to expire",
        file: "worker/attempt.rs",
        from: "later(self.clock.now(), limits::ATTEMPT_TIMEOUT + limits::CLOCK_SKEW) > claimed_until",
        to: "later(self.clock.now(), limits::CLOCK_SKEW * 0) > later(claimed_until, limits::CLAIM * 9)",
    },
    Mutation {
        name: "Debug shows a secret",
        file: "secret.rs",
        from: r#"f.write_str("Secret")"#,
        to: "f.write_str(self.reveal())",
    },
    Mutation {
        name: "a page is handled without its lease",
        file: "webhook/pages.rs",
        from: "match job.leased_until.filter(|until| now < *until) {",
        to: "match job.leased_until.filter(|until| now < *until && false) {",
    },
    Mutation {
        name: "a job stops after its first page",
        file: "webhook/pages.rs",
        from: r#"                next.outbox.push(self.page_message(&job));
"#,
        to: "",
    },
    Mutation {
        name: "a cancel changes deliveries that a worker has claimed",
        file: "worker/job.rs",
        from: r#"JobKind::Release | JobKind::Discard => Some(delivery),
                JobKind::Hold | JobKind::Cancel | JobKind::Recover => {"#,
        to: r#"JobKind::Release | JobKind::Discard | JobKind::Cancel => Some(delivery),
                JobKind::Hold | JobKind::Recover => {"#,
    },
    Mutation {
        name: "a hold changes deliveries that a worker has claimed",
        file: "worker/job.rs",
        from: r#"JobKind::Release | JobKind::Discard => Some(delivery),
                JobKind::Hold | JobKind::Cancel | JobKind::Recover => {"#,
        to: r#"JobKind::Release | JobKind::Discard | JobKind::Hold => Some(delivery),
                JobKind::Cancel | JobKind::Recover => {"#,
    },
    Mutation {
        name: "a worker that lost its lease ends the message of the worker that has it",
        file: "worker/job.rs",
        from: "return Ok(Handled::Again(later(now, limits::DRAIN_INTERVAL)));",
        to: "let _ = now; return Ok(Handled::Done);",
    },
    Mutation {
        name: "a page whose deliveries are all claimed ends a hold",
        file: "worker/job.rs",
        from: "JobKind::Hold | JobKind::Cancel if contested => Some(limits::ATTEMPT_TIMEOUT),",
        to: "JobKind::Hold | JobKind::Cancel if contested => None,",
    },
    Mutation {
        name: "several workers can claim a notification",
        file: "notification.rs",
        from: "NotificationState::Sending { until, .. } => until <= now,",
        to: "NotificationState::Sending { .. } => true,",
    },
    Mutation {
        name: "a notification of a batch is sent again by its own message",
        file: "worker/notify.rs",
        from: "for claimed in &batch {",
        to: "for claimed in batch.iter().take(1) {",
    },
    Mutation {
        name: "a notification that Slack refused is not tried again",
        file: "worker/notify.rs",
        from: "Some(NotificationState::Sending { until, .. }) => Handled::Again(until),",
        to: "",
    },
    Mutation {
        name: "the next delivery of a lane is not promoted",
        file: "outbox.rs",
        from: "for saved in page.iter().filter(|saved| saved.has_successor) {",
        to: "for saved in page.iter().filter(|saved| saved.has_successor && false) {",
    },
    Mutation {
        name: "port: several workers get the same claim",
        file: "../../../testing/sim/src/store.rs",
        from: "Some(until) if until > now => Claim::Later(until),",
        to: "",
    },
    Mutation {
        name: "port: reads of a webhook are eventually consistent",
        file: "../../../testing/sim/src/ports.rs",
        from: "let webhook = inner.store.webhooks.get(&id).cloned();",
        to: r#"let webhook = inner.store.webhooks.get(&id).cloned();
             let stale = inner.store.stale(id).cloned();
             let webhook = stale.filter(|_| inner.faults && inner.dice.once_in(20)).or(webhook);"#,
    },
    Mutation {
        name: "port: a delivery is replaced without a check of its version",
        file: "../../../testing/sim/src/store.rs",
        from: r#"        if kept.delivery.version != delivery.version || kept.has_passed(delivery) {
            return Err(Conflict);"#,
        to: r#"        if kept.has_passed(delivery) {
            return Err(Conflict);"#,
    },
    Mutation {
        name: "port: a worker saves although its claim has passed to another",
        file: "../../../testing/sim/src/store.rs",
        from: r#"        if kept.delivery.version != delivery.version || kept.has_passed(delivery) {
            return Err(Conflict);"#,
        to: r#"        if kept.delivery.version != delivery.version {
            return Err(Conflict);"#,
    },
    Mutation {
        name: "port: an event is sent although an earlier one of its incident is unfinished",
        file: "../../../testing/sim/src/store.rs",
        from: "Some(_) => State::Waiting,",
        to: "Some(_) => delivery.state,",
    },
    Mutation {
        name: "port: a transactional store drops the messages of an acceptance",
        file: "../../../testing/sim/src/store.rs",
        from: "let messages = if self.sends && is_new {",
        to: "let messages = if self.sends && is_new && false {",
    },
    Mutation {
        name: "port: a transactional store drops a webhook's outbox",
        file: "../../../testing/sim/src/store.rs",
        from: "let messages = if self.sends { std::mem::take(&mut next.outbox) } else { vec![] };",
        to: "let messages = vec![]; if self.sends { next.outbox = vec![]; }",
    },
    Mutation {
        name: "worker: a message is deleted before it is handled",
        file: "../../../testing/sim/src/actors.rs",
        from: "let handled = worker.handle(received.message.clone()).await;",
        to: r#"world.with(|inner| inner.queue.done(received.number));
             let handled = worker.handle(received.message.clone()).await;"#,
    },
    Mutation {
        name: "rule: a pause leaves no entry in the audit log",
        file: "webhook/changes.rs",
        from: "self.audit.add_change(Change::Paused, by, now, why.into_iter().collect());",
        to: "let _ = (by, why);",
    },
];
