//! The changes of a webhook, as tables: a state and a fact lead to the next state and its messages.

use super::*;
use crate::attempt::Class;
use crate::fixtures::{active_webhook, at};
use crate::message::{JobMessage, Message};
use crate::webhook::job::PageResult;
use crate::webhook::pages::PageClaim;

/// The webhook after a save, with its messages sent.
fn kept(webhook: Webhook) -> Webhook {
    Webhook { version: webhook.version + 1, outbox: vec![], ..webhook }
}

/// A short form of the messages that a change calls for.
fn calls_for(webhook: &Webhook) -> Vec<String> {
    webhook
        .outbox
        .iter()
        .map(|sent| match &sent.message {
            Message::Job(job) => {
                format!("{} page {}", webhook.job.unwrap().kind.name(), job.page)
            }
            Message::Notify(notify) => {
                let notification = webhook.notification.as_ref().unwrap();
                assert_eq!(notify.notification, notification.id, "it must name the current notification");
                match &notification.kind {
                    NotificationKind::Failing { .. } => "notify failing".to_owned(),
                    NotificationKind::Paused { .. } => "notify paused".to_owned(),
                    NotificationKind::Recovered { drained } => format!("notify recovered {drained}"),
                }
            }
            Message::Event(event) => event.event.name().to_owned(),
            Message::Attempt(_) => panic!("a webhook has no messages for attempts"),
        })
        .collect()
}

fn failed(
    webhook: &Webhook,
    number: u8,
    first_outage: Option<u32>,
    consequence: Consequence,
) -> Option<Webhook> {
    let failure = Failure::new(Class::Http5xx, "It answered 503.");
    let failed = FailedAttempt { number, failure: &failure, consequence, first_outage, is_additional: false };
    webhook.after_failure(failed, at(100))
}

/// The webhook after this many failures of one payload, from the first attempt on.
fn after_failures(count: u8) -> Webhook {
    let mut webhook = active_webhook();
    for number in 1..=count {
        let first = (number > 1).then_some(webhook.health.outage);
        if let Some(next) = failed(&webhook, number, first, Consequence::Retry) {
            webhook = kept(next);
        }
    }
    webhook
}

fn streak(webhook: &Webhook) -> u8 {
    webhook.health.consecutive_failures
}

#[test]
fn the_streak_climbs_a_rung_at_a_time_and_the_fourth_failed_retry_pauses() {
    // Attempt, streak, messages.
    let table: [(u8, u8, &[&str]); 5] = [
        (1, 0, &[]),
        (2, 1, &[]),
        (3, 2, &["notify failing"]),
        (4, 3, &[]),
        // The notification waits for the end of the hold job.
        (5, 4, &["hold page 0", "webhook.paused"]),
    ];
    let mut webhook = active_webhook();
    for (number, expected, effects) in table {
        let first = (number > 1).then_some(0);
        let next = failed(&webhook, number, first, Consequence::Retry).unwrap();
        assert_eq!(
            (streak(&next), calls_for(&next).as_slice()),
            (expected, strings(effects).as_slice()),
            "attempt {number}"
        );
        assert_eq!(matches!(next.state, State::Paused(_)), number == 5);
        webhook = kept(next);
    }
    assert!(
        failed(&webhook, 5, Some(0), Consequence::Retry).is_none(),
        "later failures must not pause again"
    );
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_hundred_payloads_that_fail_in_one_outage_are_one_outage() {
    let webhook = after_failures(3);
    for number in 1..=3 {
        for first in [None, Some(0)] {
            assert!(failed(&webhook, number, first, Consequence::Retry).is_none(), "attempt {number}");
        }
    }
}

#[test]
fn an_additional_attempt_climbs_nothing_but_may_say_that_the_endpoint_is_gone() {
    let failure = Failure::new(Class::Http5xx, "It answered 503.");
    let additional = |consequence| {
        let webhook = after_failures(4);
        let failed = FailedAttempt {
            number: 5,
            failure: &failure,
            consequence,
            first_outage: Some(0),
            is_additional: true,
        };
        webhook.after_failure(failed, at(100))
    };
    assert!(additional(Consequence::Retry).is_none());
    assert!(!additional(Consequence::Pause(PauseReason::Gone)).unwrap().is_active());
}

#[test]
fn a_retry_that_is_asked_for_includes_the_outage_that_lasts() {
    for (webhook, outage) in [(active_webhook(), 0), (after_failures(3), 0)] {
        let mut next = webhook.clone();
        next.retry(Actor::OWNER, at(5));
        assert_eq!(calls_for(&next), ["recover page 0"]);
        let job = next.job.unwrap();
        assert_eq!((job.outage, job.due, next.generation), (outage, at(5), webhook.generation + 1));
    }
    let mut answered = kept(after_failures(3).after_success(false, at(50)).unwrap());
    answered.retry(Actor::OWNER, at(60));
    assert_eq!(answered.job.unwrap().outage, 1);
}

#[test]
fn a_ladder_in_which_something_got_through_climbs_nothing() {
    let webhook = kept(after_failures(4).after_success(false, at(50)).unwrap());
    assert_eq!((webhook.health.outage, streak(&webhook)), (1, 0));
    let poison = failed(&webhook, 5, Some(0), Consequence::Retry).unwrap();
    assert_eq!((streak(&poison), calls_for(&poison)), (0, vec![]));
    assert!(poison.is_active());
    // The next outage is counted separately.
    let next = failed(&kept(poison), 2, Some(1), Consequence::Retry).unwrap();
    assert_eq!(streak(&next), 1);
}

#[test]
fn one_answer_may_pause_at_once_and_another_counts_for_nothing() {
    for reason in [PauseReason::Gone, PauseReason::Permanent] {
        let next = failed(&active_webhook(), 1, None, Consequence::Pause(reason)).unwrap();
        assert!(matches!(&next.state, State::Paused(pause) if pause.reason == reason));
        assert_eq!(calls_for(&next), ["hold page 0", "webhook.paused"]);
    }
    assert!(failed(&active_webhook(), 5, Some(0), Consequence::GiveUp).is_none());
    let paused = kept(failed(&active_webhook(), 1, None, Consequence::Pause(PauseReason::Gone)).unwrap());
    assert!(failed(&paused, 5, Some(0), Consequence::Retry).is_none());
    assert!(paused.after_success(true, at(200)).is_none(), "only a resume may make it active");
}

#[test]
fn a_success_changes_nothing_on_an_ordinary_day() {
    assert!(active_webhook().after_success(true, at(1)).is_none());
    let first_failure = after_failures(1);
    let well = first_failure.after_success(true, at(2)).unwrap();
    assert_eq!(
        (well.health.outage, calls_for(&well)),
        (1, vec![]),
        "no retry failed, so there is nothing to retry early"
    );
}

#[test]
fn the_end_of_an_outage_begins_a_recovery_once() {
    let failing = after_failures(2);
    assert!(kept(failing.after_success(false, at(5)).unwrap()).job.is_none());
    let recovering = failing.after_success(true, at(5)).unwrap();
    assert_eq!(calls_for(&recovering), ["recover page 0"]);
    assert_eq!(recovering.job.unwrap().outage, 0, "the outage that ended");
    let recovering = kept(recovering);
    let again = failed(&recovering, 2, Some(1), Consequence::Retry).unwrap();
    let twice = kept(again).after_success(true, at(6)).unwrap();
    assert_eq!(calls_for(&twice), Vec::<String>::new(), "one job at a time");
}

fn page_message(webhook: &Webhook, page: u32) -> JobMessage {
    let Webhook { id: webhook_id, account_id, generation, .. } = *webhook;
    JobMessage { account_id, webhook_id, generation, page }
}

/// The webhook after the only page of its job, on which nothing was to be done.
fn job_ended(webhook: &Webhook, drained: u64) -> Webhook {
    let job = webhook.job.unwrap();
    let message = page_message(webhook, job.page);
    let PageClaim::Leased(leased) = webhook.claim_page(message, job.due) else { panic!("it is free") };
    let leased = kept(*leased);
    let result = PageResult { drained, ..PageResult::default() };
    leased.after_page(leased.generation, leased.job.unwrap(), result, job.due).unwrap()
}

#[test]
fn a_notification_of_a_pause_is_sent_when_all_is_held() {
    let held = job_ended(&after_failures(5), 0);
    assert_eq!(calls_for(&held), ["notify paused"]);
    assert!(held.job.is_none());
    // A resume before that drops the notification.
    let by = Actor::OWNER;
    let mut early = after_failures(5);
    early.resume(JobKind::Release, 7, by, at(400));
    assert_eq!(early.notification, None);
    assert_eq!(calls_for(&early), ["release page 0", "webhook.resumed"]);
    assert_eq!(early.job.unwrap().drained, 7);
}

#[test]
fn a_notification_of_a_pause_that_is_being_sent_at_a_resume_is_not_tried_again() {
    let held = kept(job_ended(&after_failures(5), 0));
    let id = held.notification.as_ref().unwrap().id;
    let mut claimed = kept(held.with_notification_claimed(id, at(500)).unwrap());
    let being_sent = claimed.notification.clone().unwrap();
    claimed.resume(JobKind::Release, 0, Actor::OWNER, at(501));
    assert_eq!(claimed.notification.as_ref().unwrap().state, NotificationState::Sent);
    assert!(claimed.after_notification(&being_sent, SendOutcome::Refused(Duration::ZERO), at(502)).is_none());
}

#[test]
fn a_notification_without_a_channel_is_dropped_unless_there_is_a_newer_one() {
    let failing = after_failures(3);
    let id = failing.notification.as_ref().unwrap().id;
    assert_eq!(failing.without_notification(id).unwrap().notification, None);
    assert!(failing.without_notification(id + 1).is_none());
    assert!(active_webhook().without_notification(id).is_none());
}

#[test]
fn a_handshake_makes_a_pending_webhook_active_once() {
    let mut webhook = Webhook { state: State::Pending, ..active_webhook() };
    assert!(webhook.verified(at(1)));
    assert!(webhook.is_active());
    assert!(!webhook.verified(at(2)));
}

#[test]
fn what_an_active_webhook_holds_is_released_by_one_job() {
    let webhook = active_webhook();
    let released = webhook.with_job_for_held(at(1)).unwrap();
    assert_eq!(calls_for(&released), ["release page 0"]);
    assert_eq!(released.generation, webhook.generation + 1, "no message of an earlier job is for this one");
    assert!(kept(released).with_job_for_held(at(2)).is_none());
    let mut paused = active_webhook();
    paused.pause(PauseReason::Manual, None, Actor::OWNER, at(1));
    assert!(job_ended(&paused, 0).with_job_for_held(at(2)).is_none(), "a resume will release them");
}

#[test]
fn what_a_deleted_webhook_holds_is_cancelled_by_one_job() {
    let mut webhook = active_webhook();
    webhook.delete(Actor::OWNER, at(1));
    assert!(webhook.with_job_for_held(at(2)).is_none(), "the job of the delete finds it");
    let cancelled = job_ended(&kept(webhook), 0).with_job_for_held(at(3)).unwrap();
    assert_eq!(calls_for(&cancelled), ["cancel page 0"]);
}

fn notified(webhook: &Webhook) -> Webhook {
    let id = webhook.notification.as_ref().unwrap().id;
    let claimed = kept(webhook.with_notification_claimed(id, at(500)).unwrap());
    let notification = claimed.notification.clone().unwrap();
    assert!(claimed.with_notification_claimed(id, at(501)).is_none(), "only one worker may claim it");
    kept(claimed.after_notification(&notification, SendOutcome::Accepted, at(502)).unwrap())
}

#[test]
fn a_recovery_is_reported_once_if_the_failure_was_reported() {
    // The trouble was never reported, so its end is not reported either.
    let untold = after_failures(3).after_success(false, at(600)).unwrap();
    assert_eq!((untold.notification.clone(), calls_for(&untold)), (None, vec![]));
    // Without a recovery job it is reported at once.
    let at_once = notified(&after_failures(3)).after_success(false, at(600)).unwrap();
    assert_eq!(calls_for(&at_once), ["notify recovered 0"]);
    let at_once = kept(at_once);
    assert!(at_once.after_success(false, at(601)).is_none());
    // A single failure after that is not reported, and its end is not either.
    let well = notified(&at_once);
    let hiccup = kept(failed(&well, 1, None, Consequence::Retry).unwrap());
    assert_eq!(calls_for(&hiccup.after_success(false, at(602)).unwrap()), Vec::<String>::new());
    // With a recovery job it is reported at the job's end.
    let recovering = notified(&after_failures(3)).after_success(true, at(600)).unwrap();
    assert_eq!(calls_for(&recovering), ["recover page 0"]);
    let recovering = kept(recovering);
    assert!(recovering.after_success(true, at(601)).is_none(), "the report waits for the job");
    assert_eq!(calls_for(&job_ended(&recovering, 4)), ["notify recovered 4"]);
    // A pause by hand during the job does not drop the report.
    let mut paused = recovering.clone();
    paused.pause(PauseReason::Manual, None, Actor::OWNER, at(602));
    assert_eq!(calls_for(&paused), ["notify recovered 0", "hold page 0", "webhook.paused"]);
    // An answer may be recorded only after its owner has paused the webhook.
    let mut paused = notified(&after_failures(3));
    paused.pause(PauseReason::Manual, None, Actor::OWNER, at(602));
    let answered = kept(paused).after_success(true, at(603)).unwrap();
    assert_eq!(calls_for(&answered), ["notify recovered 0"]);
    assert!(!answered.is_active() && !answered.health.is_failing());
    // If it failed again before the job's end, it has to answer again.
    let relapsed = kept(failed(&recovering, 1, None, Consequence::Retry).unwrap());
    assert_eq!(calls_for(&job_ended(&relapsed, 4)), Vec::<String>::new());
}

#[test]
fn a_notification_that_is_refused_is_tried_again_later_and_given_up_in_the_end() {
    let mut webhook = job_ended(&after_failures(5), 0);
    let id = webhook.notification.as_ref().unwrap().id;
    let mut now = at(1000);
    for tries in 1..=limits::NOTIFICATION_TRIES {
        webhook = kept(webhook.with_notification_claimed(id, now).unwrap());
        let claimed = webhook.notification.clone().unwrap();
        assert_eq!(claimed.tries(), tries);
        webhook = kept(
            webhook.after_notification(&claimed, SendOutcome::Refused(Duration::from_secs(90)), now).unwrap(),
        );
        match webhook.notification.as_ref().unwrap().state {
            NotificationState::Sending { until, .. } => {
                assert!(
                    until >= now.checked_add(Duration::from_secs(90)).unwrap(),
                    "Slack's own wait is kept"
                );
                now = until;
            }
            NotificationState::Sent => assert_eq!(tries, limits::NOTIFICATION_TRIES),
            NotificationState::Pending => panic!("it was tried"),
        }
    }
    assert_eq!(webhook.notification.unwrap().state, NotificationState::Sent);
}

#[test]
fn a_page_of_a_job_is_one_workers_until_its_lease_ends() {
    let mut webhook = active_webhook();
    webhook.pause(PauseReason::Manual, None, Actor::OWNER, at(0));
    let webhook = kept(webhook);
    assert_eq!(
        webhook.generation,
        active_webhook().generation + 1,
        "no message of an earlier job is for this one"
    );
    let message = page_message(&webhook, 0);
    let early = at(0).checked_sub(Duration::from_secs(1)).unwrap();
    assert_eq!(webhook.claim_page(message, early), PageClaim::Later(at(0)));
    let PageClaim::Leased(leased) = webhook.claim_page(message, at(0)) else { panic!("it is free") };
    let leased = kept(*leased);
    let until = at(0).checked_add(limits::CLAIM).unwrap();
    assert_eq!(leased.claim_page(message, at(1)), PageClaim::Later(until), "a second worker must wait");
    let PageClaim::Leased(other) = leased.claim_page(message, until) else {
        panic!("its worker has crashed")
    };
    let other = kept(*other);
    let result = PageResult { changed: 3, full: true, ..PageResult::default() };
    // The first worker continues, but the page now belongs to another.
    assert_eq!(other.after_page(other.generation, leased.job.unwrap(), result, until), None);
    let next = other.after_page(other.generation, other.job.unwrap(), result, until).unwrap();
    assert_eq!(calls_for(&next), ["hold page 1"]);
    for wrong in [JobMessage { page: 1, ..message }, JobMessage { generation: 9, ..message }] {
        assert_eq!(webhook.claim_page(wrong, at(5)), PageClaim::Over);
    }
}

#[test]
fn a_delete_cancels_and_tells_nobody() {
    let mut webhook = notified(&after_failures(3));
    webhook.delete(Actor::OWNER, at(700));
    assert_eq!(calls_for(&webhook), ["cancel page 0"]);
    assert_eq!(webhook.notification, None);
}

#[test]
fn what_was_sent_is_struck_off_and_what_came_meanwhile_stays() {
    let mut webhook = active_webhook();
    webhook.pause(PauseReason::Manual, None, Actor::OWNER, at(0));
    let sent = webhook.outbox.clone();
    webhook.resume(JobKind::Release, 0, Actor::OWNER, at(1));
    assert_eq!(webhook.without_sent(&sent).outbox, webhook.outbox[2..]);
}

/// The job after one page.
fn after_page(job: BulkJob, failing: bool, result: PageResult) -> Option<BulkJob> {
    let mut webhook = active_webhook();
    if failing {
        webhook.health.failing_since = Some(at(0));
    }
    let webhook = Webhook { job: Some(job), ..webhook };
    webhook.after_page(webhook.generation, job, result, at(0)).unwrap().job
}

#[test]
fn a_job_goes_on_as_long_as_there_is_something_to_do() {
    let changed = PageResult { changed: 1, ..PageResult::default() };
    let full = PageResult { full: true, ..PageResult::default() };
    let again = PageResult { again_after: Some(Duration::from_secs(60)), ..PageResult::default() };
    let nothing = PageResult::default();
    // Kind, ramp, setbacks, whether the webhook is failing, page result; then seconds to the next page, ramp, setbacks.
    let table = [
        (JobKind::Hold, 0, 0, false, changed, Some((0, 0, 0))),
        (JobKind::Hold, 0, 0, false, full, Some((1, 0, 0))),
        (JobKind::Hold, 0, 0, false, again, Some((60, 0, 0))),
        (JobKind::Hold, 0, 0, false, nothing, None),
        (JobKind::Cancel, 0, 0, false, changed, Some((0, 0, 0))),
        (JobKind::Discard, 0, 0, true, changed, Some((0, 0, 0))),
        // A release doubles its page every second.
        (JobKind::Release, 0, 0, false, changed, Some((1, 1, 0))),
        (JobKind::Release, 3, 0, false, changed, Some((1, 4, 0))),
        (JobKind::Release, 16, 0, false, changed, Some((1, 16, 0))),
        // While the webhook is failing it releases one delivery at a time, and doubles its wait.
        (JobKind::Release, 3, 0, true, changed, Some((5, 0, 1))),
        (JobKind::Release, 0, 1, true, changed, Some((10, 0, 2))),
        (JobKind::Release, 0, 6, true, changed, Some((300, 0, 7))),
        (JobKind::Release, 0, 7, true, changed, Some((300, 0, 8))),
        (JobKind::Release, 0, 7, false, changed, Some((1, 1, 0))),
        (JobKind::Release, 3, 0, false, again, Some((60, 0, 0))),
        (JobKind::Release, 3, 0, false, nothing, None),
        // A recovery ends if the webhook keeps failing, and leaves the rest to the ladder.
        (JobKind::Recover, 0, 2, true, changed, Some((20, 0, 3))),
        (JobKind::Recover, 0, 3, true, changed, None),
        (JobKind::Recover, 0, 0, false, full, None),
        (JobKind::Recover, 0, 0, false, changed, Some((1, 1, 0))),
    ];
    for (kind, ramp, setbacks, failing, result, expected) in table {
        let job = BulkJob { ramp, setbacks, leased_until: Some(at(9)), ..BulkJob::new(kind, 0, 0, at(0)) };
        let next = after_page(job, failing, result);
        let seconds = |job: BulkJob| job.due.duration_since(at(0)).as_secs();
        let found = next.map(|job| (seconds(job), job.ramp, job.setbacks));
        assert_eq!(found, expected, "{job:?} {failing} {result:?}");
        assert!(next.is_none_or(|next| next.page == 1 && next.leased_until.is_none()), "{next:?}");
    }
    let job = BulkJob::new(JobKind::Recover, 0, 3, at(0));
    assert_eq!(after_page(job, false, PageResult { drained: 4, ..changed }).unwrap().drained, 7);
}

#[test]
fn a_release_doubles_its_page_each_time_up_to_a_limit() {
    let mut webhook = active_webhook();
    for (ramp, size) in [(0, 10), (1, 20), (3, 80), (4, 100), (16, 100), (70, 100)] {
        let job = BulkJob { ramp, ..BulkJob::new(JobKind::Release, 0, 0, at(0)) };
        assert_eq!(job.release_size(webhook.health.is_failing()), size, "{ramp}");
    }
    webhook.health.failing_since = Some(at(0));
    assert_eq!(
        BulkJob { ramp: 4, ..BulkJob::new(JobKind::Release, 0, 0, at(0)) }
            .release_size(webhook.health.is_failing()),
        1
    );
}

#[test]
fn a_webhook_that_is_resumed_says_whether_it_delivers_or_drops() {
    for (kind, change) in [(JobKind::Release, Change::Resumed), (JobKind::Discard, Change::ResumedDiscarding)]
    {
        let mut webhook = active_webhook();
        webhook.pause(PauseReason::Manual, None, Actor::OWNER, at(0));
        webhook.resume(kind, 5, Actor::OWNER, at(1));
        assert_eq!(webhook.audit.entries().last().unwrap().change, change);
        assert_eq!(webhook.job.unwrap().drained, if kind == JobKind::Release { 5 } else { 0 });
    }
}

#[test]
fn a_webhook_is_marked_slow_once_in_five_minutes() {
    let (quick, slow) = (limits::SLOW_FROM - Duration::from_millis(1), limits::SLOW_FROM);
    // How long its mark lasts from second 1000 on, how long the attempt took, and until when it counts as slow then.
    let table = [
        (None, quick, None),
        (None, slow, Some(at(1600))),
        (None, limits::ATTEMPT_TIMEOUT, Some(at(1600))),
        (Some(-1), slow, Some(at(1600))),
        (Some(300), slow, Some(at(1600))),
        (Some(301), slow, None),
        (Some(600), slow, None),
    ];
    for (left, took, until) in table {
        let webhook = Webhook { slow_until: left.map(|left| at(1000 + left)), ..active_webhook() };
        assert_eq!(webhook.newly_slow(took, at(1000)), until, "{left:?}, {took:?}");
        assert_eq!(webhook.is_slow(at(1000)), left.is_some_and(|left| left > 0), "{left:?}");
    }
}
