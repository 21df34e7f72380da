//! The service against a real Postgres, over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

mod assets;
mod cached;
mod checklist;
mod compressed;
mod conditional;
mod contract;
mod database_down;
mod documentation;
mod drain;
mod examples;
mod exports;
mod express;
mod failures;
mod faults;
mod filters;
mod history;
mod limits;
mod lineage;
mod metrics;
mod pages;
mod plans;
mod program;
mod properties;
mod quality;
mod recorded;
mod runs;
mod security;
mod shapes;
mod slow;
