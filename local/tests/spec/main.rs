//! Tests for docs/behaviour.md: at least one module for each section and one test for each rule.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers may panic")]

mod cases;
mod deaths;
mod destinations_discord;
mod destinations_pagerduty;
mod destinations_slack;
mod engineers_slack;
mod invariants;
mod preview;
mod random_runs;
mod section_01_registration;
mod section_01_repeated_calls;
mod section_02_triggers;
mod section_03_publishing;
mod section_04_delivery_and_signature;
mod section_05_ladder;
mod section_05_retry_now;
mod section_06_pause;
mod section_06_resume;
mod section_07_order;
mod section_08_secrets_and_rotation;
mod section_09_network_controls;
mod section_10_access;
mod section_10_audit_log;
mod section_11_audit_log;
mod section_11_dashboard;
mod section_11_dashboard_pages;
mod section_11_finding;
mod section_11_keys_and_sign_in;
mod section_11_seeing_what_happened;
mod section_11_several;
mod section_11_stats;
mod section_12_names_on_the_wire;
mod section_13_quotas;
mod section_14_alerts;
mod support;
