//! The program behind `make bench`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kasparro_testkit::bench::etl::{Plan, run_all};
use kasparro_testkit::bench::identity;

/// Measures the loader beside psql, as ratios of medians.
#[derive(Parser)]
struct Arguments {
    /// Coins in the generated file.
    #[arg(long, default_value_t = 10_000)]
    coins: u64,
    /// Snapshots of each coin.
    #[arg(long, default_value_t = 100)]
    times: u64,
    /// What to measure: everything, the loader (etl), or which coins are one (identity).
    #[arg(long, default_value = "all", value_parser = ["all", "etl", "identity"])]
    part: String,
    /// Runs of which the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Also load one file of this many times the rows (takes 10 GB of disk at 20).
    #[arg(long, value_name = "TIMES", num_args = 0..=1, default_missing_value = "20")]
    growth: Option<u64>,
    /// Where the server and the files go; removed afterwards.
    #[arg(long, default_value = ".local/bench")]
    folder: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plan = || -> anyhow::Result<Plan> {
        let etl = std::env::current_exe()?.with_file_name("kasparro-etl");
        let folder = std::path::absolute(&arguments.folder)?;
        let Arguments { coins, times, runs, growth, .. } = arguments;
        Ok(Plan { coins, times, runs, growth, etl, folder })
    };
    let measure = |plan: Plan| -> anyhow::Result<()> {
        if arguments.part != "identity" {
            run_all(&plan)?;
        }
        if arguments.part != "etl" {
            identity::run_all(&plan.etl, &plan.folder)?;
        }
        Ok(())
    };
    match plan().and_then(measure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kasparro-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
