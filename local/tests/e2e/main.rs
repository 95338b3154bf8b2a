//! Tests of the real program: real processes, sockets on loopback, TLS, signals and `kill -9`.
//!
//! The rules are tested in `spec`, with a virtual clock. These tests show that the parts are connected, and that
//! nothing that was answered is lost when the process is killed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test helpers may panic")]

mod alertmanager;
mod backups;
mod clients;
mod command_line;
mod crash;
mod demo;
mod destinations;
mod doctor;
mod few_files;
mod folders;
mod frameworks;
mod hang_ups;
mod keys;
mod metrics;
mod moving;
mod neighbours;
mod prefix;
mod refusing;
mod rekey;
mod serving;
mod story;
mod support;
mod unread_answers;
mod verifying;
