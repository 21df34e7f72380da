//! `make bench`: our programs beside what people use otherwise, on the same machine in the same run.
//!
//! Machines are shared and noisy, so what counts is the ratio of two medians, never a time.

pub mod api;
pub mod etl;
pub mod identity;
mod measure;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Result;
use kasparro_localpg::{Cluster, Settings};

/// Works on a durable server in a folder that is emptied before and removed afterwards.
fn on_server(folder: &Path, work: impl FnOnce(&Cluster) -> Result<()>) -> Result<()> {
    let server = folder.join("postgres");
    // One that was cut off has left its server running.
    Cluster::remove(&server)?;
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    let cluster = kasparro_localpg::start(&Settings { directory: server.clone(), durable: true })?;
    let result = work(&cluster);
    Cluster::remove(&server)?;
    fs::remove_dir_all(folder)?;
    result
}

/// One line of the result.
struct Comparison {
    what: String,
    reference: &'static str,
    ours: f64,
    theirs: f64,
    unit: &'static str,
    reach: &'static str,
}

impl Comparison {
    /// One of our figures beside one of somebody else's.
    fn of(
        what: impl Into<String>,
        ours: f64,
        reference: &'static str,
        theirs: f64,
        unit: &'static str,
        reach: &'static str,
    ) -> Self {
        Self { what: what.into(), reference, ours, theirs, unit, reach }
    }

    /// A figure that stands for itself.
    fn alone(what: &str, ours: f64, unit: &'static str, reach: &'static str) -> Self {
        Self::of(what, ours, "", f64::NAN, unit, reach)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, reference, ours, theirs, unit, reach } = self;
        if reference.is_empty() {
            return write!(f, "{what:46} {ours:9.3} {unit:3} {:>29} (reach: {reach})", "");
        }
        let ratio = ours / theirs;
        write!(
            f,
            "{what:46} {ours:9.3} {unit:3} / {theirs:9.3} {unit:3} = {ratio:6.2}x (reach: {reach}; {reference})"
        )
    }
}
