//! The command line. Every setting has a twin in the environment; values are checked in [`crate::settings`].

use std::fmt;
use std::io::{self, Write as _};

use actix_web::rt::System;
use clap::{Parser, Subcommand};
use kasparro_api::healthcheck;
use kasparro_core::env_file::EnvFileError;

use crate::log_sink::LogSink;
use crate::logging;
use crate::serve::serve;
use crate::settings::{Options, Settings};

/// Exit code for a command line that cannot be read.
pub(crate) const USAGE: u8 = 64;

/// Serves crypto market data over REST.
#[derive(Debug, Parser)]
#[command(version, after_help = NOTES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

const NOTES: &str = "Secrets are read from the environment only: DATABASE_URL, a libpq address, or DATABASE_URL_FILE, \
the file that holds it. A file .env in this folder or above it is read. RUST_LOG sets what is logged (default: info).\n\
Exit codes: 0 done, or ended by a signal after the requests in flight; 1 a probe that says no; 64 usage; 74 a port is \
taken, or nothing can be written; 75 the database cannot be used (check); 78 a setting is wrong.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until a signal comes (the default).
    Serve,
    /// Ask a running service whether it is ready; exit code 0 or 1. For containers.
    Healthcheck {
        /// What to ask instead of /readyz on this machine.
        #[arg(long)]
        url: Option<String>,
    },
    /// Show the settings without secrets, and whether the database can be used. Changes nothing.
    Check,
    /// Print the OpenAPI document.
    Openapi,
}

/// Why the program ends early, by the exit codes of sysexits.h.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A probe that says no.
    Unhealthy(String),
    /// Input or output.
    Io(String),
    /// The database, for now.
    Temporary(String),
    /// A setting.
    Configuration(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unhealthy(_) => 1,
            Self::Io(_) => 74,
            Self::Temporary(_) => 75,
            Self::Configuration(_) => 78,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unhealthy(text) | Self::Io(text) | Self::Temporary(text) | Self::Configuration(text) => {
                f.write_str(text)
            }
        }
    }
}

/// Does what is asked for. What came of a file `.env` is for those who need settings.
pub(crate) fn run(arguments: &Arguments, env_file: Result<(), EnvFileError>) -> Result<(), Failure> {
    if !matches!(arguments.command, Some(Command::Openapi)) {
        env_file.map_err(|error| Failure::Configuration(error.to_string()))?;
    }
    let options = &arguments.options;
    match &arguments.command {
        None | Some(Command::Serve) => serve(&checked(options)?),
        Some(Command::Healthcheck { url: Some(url) }) => probe(url),
        Some(Command::Healthcheck { url: None }) => {
            probe(&format!("http://{}/readyz", options.probe_address()))
        }
        Some(Command::Check) => check(&checked(options)?),
        Some(Command::Openapi) => say(&kasparro_api::openapi_document()),
    }
}

impl Arguments {
    /// Starts the log in the form that is asked for.
    pub(crate) fn start_log(&self) -> LogSink {
        logging::start(self.options.log_format())
    }
}

fn checked(options: &Options) -> Result<Settings, Failure> {
    Settings::check(options).map_err(|problems| Failure::Configuration(problems.to_string()))
}

fn probe(url: &str) -> Result<(), Failure> {
    match healthcheck::status_of(url) {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(Failure::Unhealthy(format!("{url} answers {status}"))),
        Err(error) => Err(Failure::Unhealthy(format!("{url}: {error}"))),
    }
}

fn check(settings: &Settings) -> Result<(), Failure> {
    say(&settings.lines().iter().map(|(name, value)| format!("{name:<18} {value}\n")).collect::<String>())?;
    System::new().block_on(kasparro_api::check(&settings.config)).map_err(Failure::Temporary)?;
    say("the database can be used, its tables fit\n")
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout();
    let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    said.map_err(|error| Failure::Io(format!("cannot write: {error}")))
}
