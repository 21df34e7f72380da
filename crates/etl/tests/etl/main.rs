//! `kasparro-etl` as a program, against a real Postgres and sources that obey.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod crash;
mod csv_layouts;
mod csv_map;
mod drift;
mod faults;
mod files;
mod identity;
mod identity_cases;
mod incremental;
mod leases;
mod loader;
mod parts;
mod politeness;
mod prune;
mod recorded;
mod reports;
mod reprocess;
mod reprocess_order;
mod schedule;
mod support;
mod tape;
mod upstream;
