//! Both remote sources on one port, for a demo without a network and for trying things out by hand.
//!
//! Prints two lines a shell can evaluate, `COINPAPRIKA_BASE_URL=…` and `COINGECKO_BASE_URL=…`, as soon as it listens, and
//! serves until SIGINT or SIGTERM.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use flate2::read::MultiGzDecoder;
use kasparro_testkit::simulator::{Fault, Route, Simulator, Universe};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Plays CoinPaprika and CoinGecko with made-up, moving prices.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    bind: String,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The market made up: the same seed gives the same coins and prices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Coins each vendor lists.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    coins: u32,
    /// Seconds after which some prices have moved.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    tick_seconds: u64,
    /// Leave out the coins with odd ids, missing prices and extreme numbers.
    #[arg(long)]
    without_quirks: bool,
    /// What is to go wrong.
    #[arg(long, value_enum, default_value_t = Faults::None)]
    faults: Faults,
    /// Serve a file instead of a route's made-up body, such as coinpaprika-tickers=tickers.json (a name ending in .gz is
    /// unpacked). Given more than once for coingecko-markets, the files are its pages in that order.
    #[arg(long, value_name = "ROUTE=FILE")]
    serve_body: Vec<GivenFile>,
}

/// Sets of faults.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Faults {
    /// Nothing goes wrong.
    None,
    /// Every fifth request fails with 503.
    Flaky,
    /// Every fourth request is refused with 429 and may be repeated after a second.
    RateLimited,
    /// Every third response breaks off in the middle.
    Truncated,
    /// Every response comes two seconds late.
    Slow,
    /// CoinGecko answers nothing but 500.
    CoingeckoDown,
}

#[derive(Clone, Debug)]
struct GivenFile {
    route: Route,
    path: PathBuf,
}

impl FromStr for GivenFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (route, path) = text.split_once('=').ok_or("expected ROUTE=FILE")?;
        Ok(Self { route: route.parse()?, path: path.into() })
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kasparro-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Before the lines are printed: whoever reads them may send a signal at once.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
    let simulator = start(arguments)?;
    announce(&simulator).context("cannot print the base URLs")?;
    signals.forever().next();
    Ok(())
}

fn start(arguments: &Arguments) -> anyhow::Result<Simulator> {
    let universe = Universe::new(arguments.seed).coins(usize::try_from(arguments.coins)?);
    let universe = if arguments.without_quirks { universe.without_quirks() } else { universe };
    let (address, tick_length) =
        ((arguments.bind.as_str(), arguments.port), Duration::from_secs(arguments.tick_seconds));
    let simulator = Simulator::bind_live(address, universe, tick_length)
        .with_context(|| format!("cannot listen on {}:{}", arguments.bind, arguments.port))?;
    serve_files(&simulator, &arguments.serve_body)?;
    place(&simulator, arguments.faults);
    Ok(simulator)
}

fn serve_files(simulator: &Simulator, files: &[GivenFile]) -> anyhow::Result<()> {
    let mut pages = Vec::new();
    for file in files {
        let body = read(&file.path).with_context(|| format!("cannot read {}", file.path.display()))?;
        match file.route {
            Route::CoingeckoMarkets => pages.push(body),
            route => simulator.serve_body(route, body),
        }
    }
    if !pages.is_empty() {
        simulator.serve_pages(Route::CoingeckoMarkets, pages);
    }
    Ok(())
}

fn read(path: &PathBuf) -> std::io::Result<Vec<u8>> {
    let (mut body, mut file) = (Vec::new(), File::open(path)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        MultiGzDecoder::new(file).read_to_end(&mut body)?;
    } else {
        file.read_to_end(&mut body)?;
    }
    Ok(body)
}

fn place(simulator: &Simulator, faults: Faults) {
    match faults {
        Faults::None => {}
        Faults::Flaky => simulator.fault(Route::Any, Fault::status(503)).every(5),
        Faults::RateLimited => simulator.fault(Route::Any, Fault::status(429).retry_after_secs(1)).every(4),
        Faults::Truncated => simulator.fault(Route::Any, Fault::truncate_at(2_000)).every(3),
        Faults::Slow => simulator.fault(Route::Any, Fault::delay(Duration::from_secs(2))).always(),
        Faults::CoingeckoDown => simulator.fault(Route::AnyCoingecko, Fault::status(500)).always(),
    }
}

fn announce(simulator: &Simulator) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "COINPAPRIKA_BASE_URL={}", simulator.coinpaprika_base_url())?;
    writeln!(out, "COINGECKO_BASE_URL={}", simulator.coingecko_base_url())?;
    // A pipe is not flushed by a newline.
    out.flush()
}
