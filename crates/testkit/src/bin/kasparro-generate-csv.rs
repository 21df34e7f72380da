//! Writes a CSV file of made-up snapshots, as large as asked: `--coins 1000 --times 1000` is a million rows.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Parser;
use kasparro_testkit::csv_generator::CsvGenerator;

/// Writes a CSV file of made-up snapshots; the same settings give the same bytes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Coins in each snapshot.
    #[arg(long, default_value_t = 1_000)]
    coins: u64,
    /// Snapshots.
    #[arg(long, default_value_t = 1_000)]
    times: u64,
    /// What names and numbers follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Time of the first snapshot.
    #[arg(long, default_value = "2025-01-01T00:00:00Z")]
    start: DateTime<Utc>,
    /// Seconds between two snapshots.
    #[arg(long, default_value_t = 3_600)]
    interval_seconds: u64,
    /// File to write, replaced if there; standard output when left out.
    #[arg(long)]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kasparro-generate-csv: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let out: Box<dyn Write> = match &arguments.output {
        Some(path) => {
            Box::new(File::create(path).with_context(|| format!("cannot create {}", path.display()))?)
        }
        None => Box::new(io::stdout().lock()),
    };
    let generator = CsvGenerator::new(arguments.coins, arguments.times)
        .seed(arguments.seed)
        .moments(arguments.start, Duration::from_secs(arguments.interval_seconds));
    let written = generator.write(out).context("cannot write")?;
    eprintln!("{} rows, {} bytes", written.rows, written.bytes);
    Ok(())
}
