//! Runs a command whose tests reach the shared server through PgBouncer in transaction mode:
//! `kasparro-localpg scratch -- kasparro-pooled cargo test`.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use kasparro_testkit::database::server;
use kasparro_testkit::pooler::{POOLER_VARIABLE, Pooler};

/// Runs a command whose tests reach the shared server through PgBouncer in transaction mode.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Connections to the server that programs share, for each database.
const CONNECTIONS: u32 = 20;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("kasparro-pooled: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let pooler = Pooler::start(server(), CONNECTIONS)?
        .context("pgbouncer is not installed (Debian's package of that name has it)")?;
    let (program, rest) = arguments.command.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(rest).env(POOLER_VARIABLE, pooler.port().to_string());
    // Read by a service that runs within a test; programs are told by their variables.
    command.env("DB_STATEMENT_CACHE", "off");
    let status = command.status().with_context(|| format!("{program} does not start"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
