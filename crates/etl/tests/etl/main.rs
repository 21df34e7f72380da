//! `kasparro-etl` as a program, against a real Postgres and sources that obey.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod crash;
mod files;
mod incremental;
mod leases;
mod recorded;
mod support;
mod upstream;
