//! `kasparro-api`: serves the data over REST.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let env_file = dotenvy::dotenv();
    let arguments = match <cli::Arguments as clap::Parser>::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(cli::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info,actix_server=warn"))
        .init();
    if let Err(error) = env_file
        && !error.not_found()
    {
        log::warn!("the file .env is not read: {error}");
    }
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kasparro-api: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
