//! What the ports promise, as cases. Every set of adapters is run through all of them, so that they cannot drift apart:
//! what a case says of one store is true of the other.
//!
//! A case gets a [`Stage`]: a store in which others may be at work on things of their own, and a clock that the case sets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a case is a test: what it cannot do fails it")]

mod accounts;
mod claims;
mod events;
mod lanes;
mod lists;
mod rate_limits;
mod stage;
mod webhooks;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use libtest_mimic::{Arguments, Conclusion, Trial};

pub use stage::{Dice, Place, Stage, Store, Watch};

/// One promise.
struct Case {
    name: &'static str,
    run: fn(Stage) -> LocalBoxFuture<'static, ()>,
}

macro_rules! case {
    ($module:ident::$name:ident) => {
        Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |stage| $module::$name(stage).boxed_local(),
        }
    };
}

fn cases() -> Vec<Case> {
    vec![
        case!(claims::a_claim_is_exclusive_until_it_expires),
        case!(claims::of_many_who_claim_at_once_one_gets_it),
        case!(claims::saving_ends_the_claim),
        case!(claims::an_attempt_that_is_put_off_is_nobodys_and_due_then),
        case!(claims::a_worker_that_lost_its_claim_changes_nothing),
        case!(claims::a_repeated_acceptance_takes_nobodys_claim),
        case!(claims::a_step_that_is_not_due_is_for_later_and_nobody_has_it),
        case!(claims::a_step_that_is_past_has_moved),
        case!(claims::who_comes_before_the_time_takes_nobodys_claim),
        case!(rate_limits::a_slot_that_is_taken_says_when_the_next_is_free),
        case!(rate_limits::of_many_who_want_a_slot_at_once_one_gets_it),
        case!(lanes::an_event_accepted_behind_an_unfinished_one_of_its_incident_waits),
        case!(lanes::an_event_accepted_behind_finished_ones_goes_at_once),
        case!(lanes::one_that_asks_to_be_scheduled_behind_an_earlier_one_waits_instead),
        case!(lanes::the_head_of_a_lane_is_its_first_unfinished_delivery),
        case!(lanes::a_long_lane_keeps_its_order_to_the_end),
        case!(lanes::deliveries_made_again_keep_the_order_of_their_events),
        case!(lanes::an_end_and_an_acceptance_at_the_same_time_never_miss_each_other),
        case!(events::an_accepted_event_is_kept_byte_for_byte_with_its_deliveries),
        case!(events::an_event_accepted_again_answers_with_the_deliveries_it_had_then_as_they_stand_now),
        case!(events::an_event_that_nobody_wanted_is_recognised_when_it_comes_again),
        case!(events::another_event_of_a_known_id_is_different_and_changes_nothing),
        case!(events::saving_a_delivery_from_an_old_version_is_a_conflict_and_writes_nothing),
        case!(events::a_delivery_comes_back_with_all_its_attempts),
        case!(lists::every_filter_shows_what_it_names_newest_first),
        case!(lists::pages_join_without_a_gap_or_a_repeat),
        case!(lists::a_page_goes_on_where_it_was_though_newer_ones_came),
        case!(lists::the_held_are_counted),
        case!(lists::a_job_sees_its_part_oldest_first_whatever_the_states),
        case!(webhooks::a_webhook_comes_back_as_it_was_kept),
        case!(webhooks::what_a_webhook_owes_is_sent_with_it_or_kept_with_it),
        case!(webhooks::saving_a_webhook_from_an_old_version_is_a_conflict_and_writes_nothing),
        case!(webhooks::a_deleted_webhook_is_found_by_its_id_but_not_listed),
        case!(webhooks::of_many_who_change_a_webhook_at_once_none_is_lost_and_none_reads_an_old_one),
        case!(accounts::an_account_is_kept_with_its_first_key),
        case!(accounts::accounts_are_listed_in_the_order_of_their_ids),
        case!(accounts::an_account_whose_key_cannot_be_kept_is_not_kept_either),
        case!(accounts::saving_an_account_from_an_old_version_is_a_conflict_and_writes_nothing),
        case!(accounts::a_session_is_kept_until_somebody_takes_it_and_one_gets_it),
        case!(accounts::a_revoked_key_is_still_found_and_says_since_when),
    ]
}

/// Runs all cases, each on a stage of its own, as the command line asks (`--list`, a filter, `--nocapture`).
pub fn run(stage: impl Fn() -> BoxFuture<'static, Stage> + Clone + Send + 'static) -> Conclusion {
    let trials = cases().into_iter().map(|case| {
        let stage = stage.clone();
        Trial::test(case.name, move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build()?;
            runtime.block_on(async move { (case.run)(stage().await).await });
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect())
}
