//! `kasparro-localpg`: the private Postgres of a checkout, and the launch of Kasparro's programs on it.

mod child;
mod demo;
mod environment;
mod launch;
mod target;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use kasparro_localpg::{Cluster, SHARED_CLUSTER_VARIABLE, Scratch, Session, Settings};

use crate::target::Target;

/// A private Postgres in a folder, for a machine without a database, and Kasparro launched on it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Start the server; it runs until it is stopped
    Start(Place),
    /// Stop the server; its data stays
    Stop(Place),
    /// Stop the server and delete it with all of its data
    Remove(Place),
    /// Say whether the server runs; exit code 0 if it does, 1 if not
    Status(Place),
    /// Print the database's URL; exit code 1 if the server does not run
    Url(Place),
    /// Run a command with DATABASE_URL set: to the one that is configured, else to the private server, which is
    /// started for it and stopped after it
    With(With),
    /// Run a command whose tests share one throwaway server, which ends with it
    Scratch {
        /// The command and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Migrate, load once and serve (make run)
    Run(Place),
    /// The same with both APIs played by the simulator, in the database kasparro_demo (make demo)
    Demo(Place),
    /// Migrate and load once, into the demo while one runs (make etl)
    Etl {
        #[command(flatten)]
        place: Place,
        /// Arguments of kasparro-etl run
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

#[derive(Args)]
struct Place {
    /// Folder of the private server
    #[arg(long, default_value = ".local/postgres")]
    directory: PathBuf,
    /// Database in it, made when it is missing
    #[arg(long, default_value = "kasparro")]
    database: String,
}

#[derive(Args)]
struct With {
    #[command(flatten)]
    place: Place,
    /// Leave the server running afterwards
    #[arg(long)]
    keep: bool,
    /// Use the private server even if DATABASE_URL is set
    #[arg(long)]
    private: bool,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Start(place) => start(&place),
        Task::Stop(place) => stop(&place),
        Task::Remove(place) => remove(&place),
        Task::Status(place) => status(&place),
        Task::Url(place) => url(&place),
        Task::With(with) => run_with(&with),
        Task::Scratch { command } => run_with_scratch(&command),
        Task::Run(place) => launch::run(&place.directory, &place.database).map(ExitCode::from),
        Task::Demo(place) => launch::demo(&place.directory, "kasparro_demo").map(ExitCode::from),
        Task::Etl { place, arguments } => {
            launch::etl(&place.directory, &place.database, &arguments).map(ExitCode::from)
        }
    }
}

fn start(place: &Place) -> Result<ExitCode> {
    let settings = place.settings();
    let cluster = kasparro_localpg::start(&settings)?;
    Session::keep(&settings)?;
    cluster.create_database_if_missing(&place.database)?;
    eprintln!("Postgres: the private server under {} runs", place.directory.display());
    println!("{}", cluster.url(&place.database));
    Ok(ExitCode::SUCCESS)
}

fn stop(place: &Place) -> Result<ExitCode> {
    match kasparro_localpg::find(&place.directory)? {
        Some(cluster) => {
            cluster.stop()?;
            eprintln!("Postgres: stopped; the data stays in {}", cluster.data().display());
        }
        None => eprintln!("Postgres: the private server under {} does not run", place.directory.display()),
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(place: &Place) -> Result<ExitCode> {
    Cluster::remove(&place.directory)?;
    eprintln!("Postgres: the private server under {} is removed", place.directory.display());
    Ok(ExitCode::SUCCESS)
}

fn status(place: &Place) -> Result<ExitCode> {
    let runs = kasparro_localpg::find(&place.directory)?.is_some();
    println!("{}", if runs { "running" } else { "stopped" });
    Ok(if runs { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn url(place: &Place) -> Result<ExitCode> {
    let cluster = kasparro_localpg::find(&place.directory)?
        .with_context(|| format!("the private server under {} does not run", place.directory.display()))?;
    println!("{}", cluster.url(&place.database));
    Ok(ExitCode::SUCCESS)
}

fn run_with(with: &With) -> Result<ExitCode> {
    // Before the server starts: a signal that comes while it starts must not leave it running.
    let signals = child::Signals::watch()?;
    let settings = with.place.settings();
    let target = if with.private {
        Target::private(&settings, &with.place.database)?
    } else {
        Target::choose(&settings.directory, &with.place.database)?
    };
    if with.keep {
        Session::keep(&settings)?;
    }
    let mut command = child::command(&with.command);
    target.describe_to(&mut command);
    let outcome = signals.run(&mut command);
    target.leave()?;
    outcome.map(ExitCode::from)
}

fn run_with_scratch(words: &[OsString]) -> Result<ExitCode> {
    let signals = child::Signals::watch()?;
    let scratch = Scratch::start()?;
    let mut command = child::command(words);
    command.env(SHARED_CLUSTER_VARIABLE, scratch.directory());
    signals.run(&mut command).map(ExitCode::from)
}

impl Place {
    fn settings(&self) -> Settings {
        Settings { directory: self.directory.clone(), durable: true }
    }
}
