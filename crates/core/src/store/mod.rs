//! All SQL of the workspace: one module per table or question.
//!
//! Functions take a connection and return `QueryResult`; they know neither HTTP nor the formats of the
//! sources. A batch is written by [`lease::fence`], [`raw`], [`source::count_batch`], [`batch`], [`observation`],
//! [`coin`], [`reject`], [`run::count_batches`] and [`checkpoint`], in one transaction that the loader opens.

pub mod asset;
pub mod asset_link;
pub mod asset_review;
pub mod asset_ruling;
pub mod batch;
pub mod call;
pub mod checkpoint;
pub mod coin;
pub mod coin_month;
pub mod coin_state;
pub mod contract;
mod copy;
pub mod csv_file;
pub mod drift;
pub mod export;
pub mod history;
pub mod identity;
pub mod kept;
mod key;
pub mod latest;
pub mod layout;
pub mod lease;
pub mod lineage;
pub mod listed;
pub mod market;
pub mod observation;
pub mod overview;
pub mod page;
pub mod partition;
pub mod prune;
pub mod quality;
pub mod raw;
pub mod reject;
pub mod run;
pub mod run_diff;
pub mod run_log;
pub mod selection;
pub mod source;
mod statement;
pub mod stats;
pub mod version;
