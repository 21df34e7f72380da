//! The program behind `make bench`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kasparro_testkit::bench::etl::{Plan, run_all};
use kasparro_testkit::bench::{api, identity};

/// Measures the loader beside psql, as ratios of medians.
#[derive(Parser)]
struct Arguments {
    /// Coins in the generated file.
    #[arg(long, default_value_t = 10_000)]
    coins: u64,
    /// Snapshots of each coin.
    #[arg(long, default_value_t = 100)]
    times: u64,
    /// What to measure: everything, the loader (etl), which coins are one (identity), the service (api), or a day of a coin
    /// among ten times as many observations (history).
    #[arg(long, default_value = "all", value_parser = ["all", "etl", "identity", "api", "history"])]
    part: String,
    /// Seconds that each load of the service lasts.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Serves a body of so many bytes instead: what the service is measured beside.
    #[arg(long, hide = true)]
    fixed_body: Option<usize>,
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
        let &Arguments { coins, times, runs, growth, .. } = &arguments;
        Ok(Plan { coins, times, runs, growth, etl, folder })
    };
    let measure = |plan: Plan| -> anyhow::Result<()> {
        let wanted = |part| arguments.part == "all" || arguments.part == part;
        if wanted("etl") {
            run_all(&plan)?;
        }
        if wanted("identity") {
            identity::run_all(&plan.etl, &plan.folder)?;
        }
        let Plan { coins, times, runs, etl, folder, .. } = plan;
        let programs = etl.parent().map(PathBuf::from).unwrap_or_default();
        let service = api::Plan { coins, times, runs, seconds: arguments.seconds, programs, folder };
        if wanted("api") {
            api::run_all(&service)?;
        }
        if wanted("history") {
            api::run_history(&service)?;
        }
        Ok(())
    };
    let done = match arguments.fixed_body {
        Some(bytes) => api::serve_fixed_body(bytes),
        None => plan().and_then(measure),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kasparro-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
