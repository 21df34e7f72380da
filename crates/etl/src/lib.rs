//! `kasparro-etl`: reads every source once and loads what is new, exactly once.
//!
//! A run goes through the modules in this order: [`settings`] are checked, [`run`] takes the leases and starts
//! a worker per source, which extracts and normalises ([`sources`], by the contract in [`source`]) and loads
//! ([`load`]) batch by batch. [`http`] is how the APIs are asked; [`failure`] is how a source can end early and
//! what exit code that means.

mod cli;
mod commands;
mod database;
mod failure;
mod http;
mod load;
mod logging;
mod progress;
mod run;
mod settings;
mod signal;
mod source;
mod sources;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use settings::Settings;

/// Exit code for a wrong command line or setting.
const USAGE: u8 = 64;

/// Parses, dispatches, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    // A file .env that is missing is the normal case; one that is broken is worth a word.
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        eprintln!("kasparro-etl: .env: {error}");
        return USAGE.into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Printing fails only where nobody reads.
            let _ = error.print();
            return if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let progress = progress::Progress::new();
    logging::start(&progress);
    let settings = match Settings::check(&cli.options) {
        Ok(settings) => settings,
        Err(problems) => {
            problems.0.iter().for_each(|problem| log::error!("{problem}"));
            return failure::FailureKind::Config.exit_code().into();
        }
    };
    let code = match cli.command.unwrap_or(Command::Run) {
        Command::Run => run::run(settings, progress),
        Command::Migrate => commands::migrate(&settings),
        Command::Status => commands::status(&settings),
        Command::Rejects(arguments) => commands::rejects(&settings, &arguments),
        Command::Check => commands::check(&settings),
    };
    code.into()
}
