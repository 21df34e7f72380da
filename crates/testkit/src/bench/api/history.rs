//! A day of one coin among many observations, as the database is asked for it.

use std::fs::{self, File};
use std::process::Command;

use anyhow::{Context, Result};
use kasparro_localpg::Cluster;

use super::Plan;
use super::load::pgbench;
use super::service::Service;
use super::statements;
use crate::bench::Comparison;
use crate::bench::measure::run;
use crate::csv_generator::CsvGenerator;

/// How many times the observations of the other measurements there are.
const TIMES_MORE: u64 = 10;

/// One of the days that the file is about.
const DAY: &str = "from=2025-01-15T00:00:00Z&to=2025-01-16T00:00:00Z";

const INTERVALS: [&str; 4] = ["raw", "5m", "1h", "1d"];

/// Loads the observations and asks for a day of one of the coins.
pub(super) fn measure(plan: &Plan, cluster: &Cluster) -> Result<()> {
    cluster.create_database_if_missing("history")?;
    let database = cluster.url("history");
    let file = plan.folder.join("history.csv");
    CsvGenerator::new(plan.coins, plan.times * TIMES_MORE).write(File::create(&file)?)?;
    for arguments in [&["migrate"][..], &["run", "--sources", "csv"]] {
        let mut etl = Command::new(plan.programs.join("kasparro-etl"));
        run(etl.args(arguments).env("DATABASE_URL", &database).env("CSV_FILE_PATH", &file))?;
    }
    fs::remove_file(&file)?;
    run(Command::new(cluster.bin("psql")).args(["-q", "-d", &database, "-c", "vacuum analyze"]))?;
    let service = Service::start(&plan.programs, &database, 0, 1)?;
    let first: serde_json::Value = serde_json::from_str(&service.get("/assets?limit=1")?)?;
    let asset = first["data"][0]["asset_id"].as_str().context("no asset")?;
    let script = plan.folder.join("history.sql");
    for interval in INTERVALS {
        let path = format!("/assets/{asset}/history?interval={interval}&{DAY}");
        fs::write(&script, statements::of(cluster, &database, || service.get(&path).map(drop))?)?;
        let per_second = pgbench(cluster, &database, &script, 1, plan.seconds)?;
        let what = format!(
            "a day of one coin of {} million observations, {interval}",
            plan.coins * plan.times * TIMES_MORE / 1_000_000
        );
        println!("{}", Comparison::alone(&what, 1e3 / per_second, "ms", "<= 5 ms, all its statements"));
    }
    Ok(())
}
