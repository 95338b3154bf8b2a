//! Test cases of what the ports promise. Each store must pass all of them, so that the stores behave alike.
//!
//! A case gets a [`Stage`]: a clock that the case sets, and a store that other cases may use at the same time with
//! other records.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a case is a test, which may panic")]

mod accounts;
mod arrivals;
mod claims;
mod events;
mod figures;
mod lanes;
mod lists;
mod rate_limits;
mod stage;
mod webhooks;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use libtest_mimic::{Arguments, Conclusion, Trial};

pub use stage::{Dice, Place, Stage, Store, Watch};

/// One test case.
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
        case!(claims::one_of_many_concurrent_claims_succeeds),
        case!(claims::saving_ends_the_claim),
        case!(claims::an_attempt_released_until_a_time_is_unclaimed_and_due_then),
        case!(claims::a_worker_that_lost_its_claim_changes_nothing),
        case!(claims::a_repeated_acceptance_does_not_end_a_claim),
        case!(claims::an_attempt_that_is_not_due_cannot_be_claimed),
        case!(claims::an_attempt_that_is_no_longer_scheduled_has_moved),
        case!(claims::a_claim_before_the_due_time_is_exclusive_too),
        case!(rate_limits::a_slot_that_is_taken_says_when_the_next_is_free),
        case!(rate_limits::one_of_many_concurrent_takers_gets_the_slot),
        case!(figures::counts_add_up_for_a_webhook_and_its_account_by_the_hour),
        case!(figures::what_was_flushed_is_there_after_a_restart),
        case!(figures::many_are_flushed_together),
        case!(lanes::an_event_accepted_behind_an_unfinished_one_of_its_incident_waits),
        case!(lanes::an_event_accepted_behind_finished_ones_goes_at_once),
        case!(lanes::a_delivery_saved_as_scheduled_behind_an_unfinished_one_waits_instead),
        case!(lanes::the_head_of_a_lane_is_its_first_unfinished_delivery),
        case!(lanes::a_long_lane_keeps_its_order_to_the_end),
        case!(lanes::a_long_lane_that_is_redelivered_keeps_its_order),
        case!(lanes::an_event_accepted_again_keeps_its_place_in_a_long_lane),
        case!(lanes::deliveries_made_again_keep_the_order_of_their_events),
        case!(lanes::an_end_and_an_acceptance_at_the_same_time_never_miss_each_other),
        case!(events::an_accepted_event_is_kept_byte_for_byte_with_its_deliveries),
        case!(events::an_event_accepted_again_answers_with_the_deliveries_it_had_then_as_they_stand_now),
        case!(events::a_repeated_event_without_deliveries_is_recognised),
        case!(events::another_event_of_a_known_id_is_different_and_changes_nothing),
        case!(events::saving_a_delivery_from_an_old_version_is_a_conflict_and_writes_nothing),
        case!(events::a_delivery_comes_back_with_all_its_attempts),
        case!(lists::every_filter_shows_what_it_names_newest_first),
        case!(lists::pages_join_without_a_gap_or_a_repeat),
        case!(lists::a_page_goes_on_where_it_was_though_newer_ones_came),
        case!(lists::lists_of_several_webhooks_are_merged),
        case!(lists::the_deliveries_of_an_event_are_found),
        case!(lists::the_held_are_counted),
        case!(lists::a_job_sees_its_part_oldest_first_whatever_the_states),
        case!(webhooks::a_webhook_comes_back_as_it_was_kept),
        case!(webhooks::an_unreadable_webhook_costs_the_others_nothing_and_can_be_removed),
        case!(webhooks::an_outbox_is_sent_or_stored_with_its_webhook),
        case!(webhooks::a_hint_that_a_webhook_was_slow_changes_nothing_else),
        case!(webhooks::saving_a_webhook_from_an_old_version_is_a_conflict_and_writes_nothing),
        case!(webhooks::a_deleted_webhook_is_found_by_its_id_but_not_listed),
        case!(webhooks::subscriptions_have_the_state_and_settings_of_each_webhook),
        case!(webhooks::concurrent_changes_are_not_lost_and_replaced_versions_are_not_read),
        case!(accounts::an_account_is_kept_with_its_first_key),
        case!(accounts::accounts_are_listed_in_the_order_of_their_ids),
        case!(accounts::an_account_whose_key_cannot_be_kept_is_not_kept_either),
        case!(accounts::saving_an_account_from_an_old_version_is_a_conflict_and_writes_nothing),
        case!(accounts::a_session_is_kept_until_it_is_taken_and_can_be_taken_once),
        case!(accounts::a_revoked_key_is_still_found_and_says_since_when),
        case!(accounts::a_key_has_a_name_and_the_time_of_its_last_use),
        case!(accounts::a_change_of_an_account_or_a_key_stands_in_its_audit_log),
        case!(accounts::a_repeated_call_finds_what_the_first_one_has_drawn),
        case!(accounts::a_revocation_that_depends_on_other_keys_is_refused_after_a_change),
        case!(webhooks::a_change_of_a_webhook_stands_in_the_audit_log),
        case!(arrivals::an_account_is_arriving_until_it_has_arrived),
        case!(arrivals::keys_webhooks_and_entries_arrive_as_they_are_and_once),
        case!(arrivals::deliveries_arrive_in_their_states_and_once),
        case!(arrivals::a_lane_that_arrived_goes_on_in_its_order),
    ]
}

/// Runs all cases, each on its own stage. Understands the usual arguments of a test binary (`--list`, a filter,
/// `--nocapture`).
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
