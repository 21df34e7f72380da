//! The command line: what is asked for, with an environment twin for each setting.

use std::fmt;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::rt::System;
use actix_web::rt::signal::unix::{SignalKind, signal};
use clap::{Args, Parser, Subcommand};
use kasparro_api::{Config, DEFAULT_HOST, DEFAULT_PORT, healthcheck};
use kasparro_core::secret;

/// Exit code for a command line that cannot be read.
pub(crate) const USAGE: u8 = 64;

/// Serves crypto market data over REST.
///
/// The database is named by DATABASE_URL, or by the file that DATABASE_URL_FILE names; a `.env` in this folder or
/// above it is read. RUST_LOG sets what is logged (default: info).
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until a signal comes (the default).
    Serve(Settings),
    /// Ask a running service whether it is ready; exit code 0 or 1. For containers.
    Healthcheck {
        /// What to ask instead of /readyz on this machine.
        #[arg(long)]
        url: Option<String>,
        /// Port of the service on this machine.
        #[arg(long, env = "PORT", default_value_t = DEFAULT_PORT)]
        port: u16,
    },
    /// Show the settings without secrets, and whether the database can be used. Changes nothing.
    Check(Settings),
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Debug, Args)]
struct Settings {
    /// Address to listen on.
    #[arg(long = "bind", env = "HOST", default_value = DEFAULT_HOST)]
    host: String,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, env = "PORT", default_value_t = DEFAULT_PORT)]
    port: u16,
    /// Most connections to the database [default: twice the cores, 4 to 10].
    #[arg(long, env = "DB_POOL_SIZE")]
    pool_size: Option<NonZeroU16>,
    /// Threads that answer requests [default: the cores].
    #[arg(long, env = "API_WORKERS")]
    workers: Option<NonZeroU16>,
    /// Most memory for kept answers, in MiB; 0 keeps none [default: 64].
    #[arg(long, env = "API_CACHE_MIB")]
    cache_mib: Option<u32>,
    /// Seconds without a load after which a source is called degraded [default: 86400].
    #[arg(long = "stale-after", env = "API_STALE_AFTER_SECS")]
    stale_after_secs: Option<NonZeroU32>,
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

/// Does what is asked for.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        None => serve(&arguments.settings),
        Some(Command::Serve(settings)) => serve(&settings),
        Some(Command::Healthcheck { url, port }) => {
            probe(&url.unwrap_or_else(|| format!("http://127.0.0.1:{port}/readyz")))
        }
        Some(Command::Check(settings)) => check(&settings),
        Some(Command::Openapi) => io::stdout()
            .write_all(kasparro_api::openapi_document().as_bytes())
            .map_err(|error| Failure::Io(format!("cannot write: {error}"))),
    }
}

impl Settings {
    fn config(&self) -> Result<Config, Failure> {
        let url = secret::from_env("DATABASE_URL")
            .map_err(|error| Failure::Configuration(error.to_string()))?
            .ok_or_else(|| Failure::Configuration("DATABASE_URL is not set".to_owned()))?;
        let mut config = Config::new(url);
        if let Some(size) = self.pool_size {
            config.pool_size = NonZeroUsize::from(size);
        }
        if let Some(workers) = self.workers {
            config.workers = NonZeroUsize::from(workers);
        }
        if let Some(mebibytes) = self.cache_mib {
            config.cache_bytes = u64::from(mebibytes) << 20;
        }
        if let Some(seconds) = self.stale_after_secs {
            config.stale_after = Duration::from_secs(u64::from(seconds.get()));
        }
        Ok(config)
    }
}

fn serve(settings: &Settings) -> Result<(), Failure> {
    let (host, port) = (settings.host.as_str(), settings.port);
    let listener = TcpListener::bind((host, port)).map_err(|error| cannot_listen(host, port, &error))?;
    let config = settings.config()?;
    let failed = |error: io::Error| Failure::Io(format!("cannot serve: {error}"));
    let port = listener.local_addr().map_err(failed)?.port();
    let shown = if ["0.0.0.0", "::"].contains(&host) { "localhost" } else { host };
    let system = System::new();
    system
        .block_on(async {
            let server = kasparro_api::start(&config, listener)?;
            actix_web::rt::spawn(stop_on_signal(server.handle())?);
            log::info!("serving http://{shown}:{port}/ (documentation: /docs, data: /data)");
            server.await
        })
        .map_err(failed)?;
    // Its end would wait for reads that a silent database never answers; the end of the process does not.
    std::mem::forget(system);
    log::info!("stopped");
    Ok(())
}

fn cannot_listen(host: &str, port: u16, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Failure::Io(format!("port {port} is taken by another program: stop it, or choose another PORT"))
        }
        io::ErrorKind::PermissionDenied => {
            Failure::Io(format!("port {port} may not be used by this user: choose a PORT above 1023"))
        }
        _ => Failure::Configuration(format!("cannot listen on {host}:{port}: {error}")),
    }
}

/// Ends the service on SIGTERM or Ctrl-C: no new connections, requests in flight are answered. A second signal
/// ends it at once.
fn stop_on_signal(handle: ServerHandle) -> io::Result<impl Future<Output = ()> + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        for graceful in [true, false] {
            wait_for_either(&mut terminate, &mut interrupt).await;
            log::info!(
                "{}",
                if graceful { "stopping: requests in flight are answered" } else { "stopping at once" }
            );
            drop(handle.stop(graceful));
        }
    })
}

async fn wait_for_either(
    a: &mut actix_web::rt::signal::unix::Signal,
    b: &mut actix_web::rt::signal::unix::Signal,
) {
    std::future::poll_fn(|context| {
        if a.poll_recv(context).is_ready() || b.poll_recv(context).is_ready() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

fn probe(url: &str) -> Result<(), Failure> {
    match healthcheck::status_of(url) {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(Failure::Unhealthy(format!("{url} answers {status}"))),
        Err(error) => Err(Failure::Unhealthy(format!("{url}: {error}"))),
    }
}

fn check(settings: &Settings) -> Result<(), Failure> {
    let config = settings.config()?;
    println!("listen     {}:{}", settings.host, settings.port);
    println!("pool size  {}", config.pool_size);
    println!("workers    {}", config.workers);
    println!("cache      {} MiB", config.cache_bytes >> 20);
    println!("stale      after {} s", config.stale_after.as_secs());
    println!("database   {:?}", config.database_url);
    System::new().block_on(kasparro_api::check(&config)).map_err(Failure::Temporary)?;
    println!("the database can be used, its tables fit");
    Ok(())
}
