//! `kasparro-etl`: reads every source once and loads what is new, exactly once.
//!
//! A run goes through the modules in this order: `settings` are checked, `run` takes the leases and starts
//! a worker per source, which extracts and normalises (`sources`, by the contract in `source`) and loads
//! (`load`) batch by batch. `http` is how the APIs are asked; `failure` is how a source can end early and
//! what exit code that means.

mod age;
mod check;
mod cli;
mod commands;
mod database;
mod failure;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http;
mod identity;
mod load;
mod logging;
mod progress;
mod prune;
mod run;
mod settings;
mod signal;
mod source;
mod sources;
mod status;

use std::process::ExitCode;

use clap::Parser;
use kasparro_core::env_file;

use cli::{Cli, Command, RunArgs};
use settings::Settings;

/// Parses, dispatches, and turns the outcome into an exit code.
pub fn main() -> ExitCode {
    if let Err(error) = env_file::load() {
        eprintln!("kasparro-etl: {error}");
        return failure::FailureKind::Config.exit_code().into();
    }
    let unreadable = Cli::unreadable_variables();
    if !unreadable.is_empty() {
        unreadable.iter().for_each(|name| eprintln!("kasparro-etl: {name}: its value is not UTF-8"));
        return failure::FailureKind::Config.exit_code().into();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Printing fails only where nobody reads.
            let _ = error.print();
            let usage = failure::FailureKind::Usage.exit_code();
            return if error.use_stderr() { usage.into() } else { ExitCode::SUCCESS };
        }
    };
    let progress = progress::Progress::new();
    // Before the settings are checked, so that what is wrong with them comes in the right form.
    let format =
        cli.options.log_format.as_deref().and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    logging::start(&progress, format);
    let command = cli.command.unwrap_or_else(|| Command::Run(RunArgs::default()));
    let reads_files = matches!(command, Command::Run(_) | Command::Check(_));
    let settings = match Settings::check(&cli.options, reads_files) {
        Ok(settings) => settings,
        Err(problems) => {
            problems.0.iter().for_each(|problem| log::error!("{problem}"));
            return failure::FailureKind::Config.exit_code().into();
        }
    };
    // Whoever collects lines of JSON wants the report as one of them.
    let all_json = format == logging::Format::Json;
    let code = match command {
        Command::Run(mut arguments) => {
            arguments.json |= all_json;
            run::run(settings, &arguments, progress)
        }
        Command::Migrate(arguments) => commands::migrate(&settings, &arguments),
        Command::Status(arguments) => status::status(&settings, arguments.json),
        Command::Reprocess(mut arguments) => {
            arguments.json |= all_json;
            run::reprocess(settings, &arguments, progress)
        }
        Command::Rejects(arguments) => commands::rejects(&settings, &arguments),
        Command::Resolve(arguments) => identity::resolve(&settings, &arguments),
        Command::Prune(arguments) => prune::prune(&settings, &arguments),
        Command::Check(arguments) => check::check(&settings, arguments.every),
    };
    code.into()
}
