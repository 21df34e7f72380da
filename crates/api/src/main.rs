//! `kasparro-api`: serves the data over REST.

mod cli;
mod listen;
mod log_sink;
mod logging;
mod serve;
mod settings;

use std::process::ExitCode;

use kasparro_core::env_file;

fn main() -> ExitCode {
    let env_file = env_file::load();
    let arguments = match <cli::Arguments as clap::Parser>::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(cli::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let log = arguments.start_log();
    let outcome = cli::run(&arguments, env_file);
    log.empty();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.to_string().lines() {
                eprintln!("kasparro-api: {line}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
