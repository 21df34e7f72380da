//! `make bench-api`: the service beside a server that answers a fixed body, beside pgbench with the same statements,
//! and beside psql's COPY, all in the same run.
//!
//! Needs `wrk`, and the server's `pgbench` and `psql`.

mod history;
mod load;
mod pages;
mod service;
mod statements;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use kasparro_localpg::Cluster;

use self::load::{pgbench, wrk, wrk_in_turn};
use self::service::{Fixed, Service};
use super::Comparison;
use super::measure::{median, run};
use super::on_server;
use crate::csv_generator::CsvGenerator;
use crate::simulator::{Simulator, Universe};

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Coins of each source.
    pub coins: u64,
    /// Snapshots of each coin, those of the two APIs included.
    pub times: u64,
    /// Runs of which the median counts.
    pub runs: usize,
    /// Seconds that each load lasts.
    pub seconds: u64,
    /// Folder of the programs under test.
    pub programs: PathBuf,
    /// Where the server and the files go; emptied before and removed afterwards.
    pub folder: PathBuf,
}

/// Clients at once.
const CONNECTIONS: [usize; 3] = [1, 10, 100];

/// Connections of the service to the database, and clients of pgbench.
const POOL: usize = 4;

/// Runs everything and prints a line for each comparison.
///
/// # Errors
/// When a program fails, or is missing.
pub fn run_all(plan: &Plan) -> Result<()> {
    run(Command::new("sh").args(["-c", "command -v wrk"]))
        .context("wrk is missing: install the package `wrk` of the distribution")?;
    on_server(&plan.folder, |cluster| Bench::prepare(plan, cluster)?.all())
}

/// Asks for a day of a coin among ten times as many observations.
///
/// # Errors
/// When a program fails, or is missing.
pub fn run_history(plan: &Plan) -> Result<()> {
    on_server(&plan.folder, |cluster| history::measure(plan, cluster))
}

struct Bench<'p> {
    plan: &'p Plan,
    cluster: &'p Cluster,
    database: String,
    /// Id of a coin of the file.
    coin: String,
}

impl<'p> Bench<'p> {
    /// Loads the observations by the real ETL.
    fn prepare(plan: &'p Plan, cluster: &'p Cluster) -> Result<Self> {
        cluster.create_database_if_missing("api")?;
        let database = cluster.url("api");
        let etl = |arguments: &[&str]| {
            let mut etl = Command::new(plan.programs.join("kasparro-etl"));
            etl.args(arguments).env("DATABASE_URL", &database);
            etl
        };
        run(&mut etl(&["migrate"]))?;
        let file = plan.folder.join("snapshots.csv");
        CsvGenerator::new(plan.coins, plan.times.saturating_sub(2).max(1)).write(File::create(&file)?)?;
        let simulator = Simulator::start(Universe::new(1).coins(usize::try_from(plan.coins)?));
        run(etl(&["run"])
            .env("CSV_FILE_PATH", &file)
            .env("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url())
            .env("COINGECKO_BASE_URL", simulator.coingecko_base_url()))?;
        fs::remove_file(&file)?;
        let mut bench = Self { plan, cluster, database, coin: String::new() };
        bench.psql("vacuum analyze")?;
        bench.psql("checkpoint")?;
        let page = bench.service(0)?.get("/data?source=csv&limit=1")?;
        let page: serde_json::Value = serde_json::from_str(&page)?;
        bench.coin = page["data"][0]["crypto_id"].as_str().context("the file was not loaded")?.to_owned();
        println!(
            "{} observations of {} coins of each of 3 sources, medians of {}, {} s each, pool of {POOL}",
            plan.coins * plan.times,
            plan.coins,
            plan.runs,
            plan.seconds
        );
        Ok(bench)
    }

    fn all(&self) -> Result<()> {
        self.start()?;
        self.hot()?;
        self.uncached()?;
        let service = self.service(0)?;
        pages::every_page(self.plan, &service, &self.coin)?;
        pages::deep(self.plan, &service)?;
        drop(service);
        self.exports()
    }

    /// The paths that are asked again and again.
    fn hot_paths(&self) -> [String; 5] {
        let coin = format!("/data/{}", self.coin);
        ["/data?limit=10", &coin, "/stats", "/stats/summary", "/health"].map(str::to_owned)
    }

    fn service(&self, cache_mib: u32) -> Result<Service> {
        Service::start(&self.plan.programs, &self.database, cache_mib, POOL)
    }

    fn psql(&self, sql: &str) -> Result<f64> {
        let mut psql = Command::new(self.cluster.bin("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", &self.database]);
        Ok(run(psql.args(["--command", sql])).context("psql, one of the server's programs")?.seconds)
    }

    fn start(&self) -> Result<()> {
        let mut started = Vec::new();
        let mut idle = Vec::new();
        for _ in 0..self.plan.runs {
            let service = self.service(64)?;
            started.push(service.seconds_to_first_answer() * 1e3);
            idle.push(service.resident_mib()?);
        }
        println!("{}", Comparison::alone("start to first answer", median(started), "ms", "<= 300 ms"));
        println!("{}", Comparison::alone("idle memory", median(idle), "MiB", "<= 25 MiB"));
        Ok(())
    }

    /// The same server answering a fixed body of the same size.
    fn hot(&self) -> Result<()> {
        let service = self.service(64)?;
        for path in &self.hot_paths() {
            let bytes = service.get(path)?.len();
            let fixed = Fixed::start(bytes)?;
            for connections in CONNECTIONS {
                let (mut ours, mut theirs, mut slowest) = (Vec::new(), Vec::new(), Vec::new());
                for _ in 0..self.plan.runs {
                    theirs.push(wrk(&fixed.url("/"), connections, self.plan.seconds)?.per_second);
                    let load = wrk(&service.url(path), connections, self.plan.seconds)?;
                    ours.push(load.per_second);
                    slowest.push(load.p99_ms);
                }
                let what = format!("hot {path}, {connections} connections");
                println!(
                    "{}; p99 {:.2} ms (reach: <= 10 ms)",
                    Comparison::of(what, median(ours), "fixed body", median(theirs), "/s", ">= 0.9x"),
                    median(slowest)
                );
            }
        }
        Ok(())
    }

    /// Without the response cache, beside pgbench with the statements that the service sends.
    fn uncached(&self) -> Result<()> {
        let service = self.service(0)?;
        for path in &self.hot_paths()[..4] {
            let script = statements::of(self.cluster, &self.database, || service.get(path).map(drop))?;
            let file = self.plan.folder.join("script.sql");
            fs::write(&file, &script)?;
            for connections in [10, 100] {
                let (mut ours, mut theirs, mut slowest) = (Vec::new(), Vec::new(), Vec::new());
                for _ in 0..self.plan.runs {
                    theirs.push(pgbench(self.cluster, &self.database, &file, POOL, self.plan.seconds)?);
                    let load = wrk(&service.url(path), connections, self.plan.seconds)?;
                    ours.push(load.per_second);
                    slowest.push(load.p99_ms);
                }
                let what = format!("cache off {path}, {connections} connections");
                let reference = "pgbench, same statements, as many clients as the pool";
                println!(
                    "{}; p99 {:.2} ms",
                    Comparison::of(what, median(ours), reference, median(theirs), "/s", ">= 0.7x"),
                    median(slowest)
                );
            }
        }
        self.each_coin(&service)
    }

    /// A coin after the other, so that no two requests wait for the same: what one read costs.
    fn each_coin(&self, service: &Service) -> Result<()> {
        let page: serde_json::Value =
            serde_json::from_str(&service.get("/data?source=csv&latest=true&limit=100")?)?;
        let rows = page["data"].as_array().context("no page")?;
        let paths: Vec<String> =
            rows.iter().filter_map(|row| Some(format!("/data/{}", row["crypto_id"].as_str()?))).collect();
        let script = statements::of(self.cluster, &self.database, || service.get(&paths[0]).map(drop))?;
        let [sql, lua] = ["script.sql", "paths.lua"].map(|name| self.plan.folder.join(name));
        fs::write(&sql, &script)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.plan.runs {
            theirs.push(pgbench(self.cluster, &self.database, &sql, POOL, self.plan.seconds)?);
            ours.push(wrk_in_turn(&service.url(""), &paths, &lua, 100, self.plan.seconds)?.per_second);
        }
        let reference = "pgbench, one of them, as many clients as the pool";
        let what = "cache off, 100 coins in turn, 100 connections";
        println!("{}", Comparison::of(what, median(ours), reference, median(theirs), "/s", ">= 0.7x"));
        Ok(())
    }

    fn exports(&self) -> Result<()> {
        for format in ["csv", "ndjson"] {
            let (mut ours, mut theirs, mut memory) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..self.plan.runs {
                theirs.push(self.psql(&format!("\\copy ({EXPORTED}) to '/dev/null' (format csv, header)"))?);
                let service = self.service(64)?;
                let idle = service.resident_mib()?;
                let url = service.url(&format!("/data/export?format={format}"));
                let fetched = run(Command::new("curl").args(["-sf", "--output", "/dev/null", &url]))?;
                ours.push(fetched.seconds);
                memory.push(service.peak_mib()? - idle);
            }
            let what = format!("export as {format}");
            let reference = "psql \\copy (same rows and order) to csv";
            println!("{}", Comparison::of(what, median(ours), reference, median(theirs), "s", "<= 1.5x"));
            let what = format!("memory above idle during that, {format}");
            println!("{}", Comparison::alone(&what, median(memory), "MiB", "<= 64 MiB"));
        }
        Ok(())
    }
}

/// The rows and the order of an export.
const EXPORTED: &str = "select p.coin_id || '-' || (extract(epoch from p.observed_at) * 1000000)::bigint, c.crypto_id, \
     l.crypto_name, l.symbol, p.price_usd, p.market_cap_usd, p.volume_24h_usd, p.change_24h_percent, p.rank, \
     p.circulating_supply, p.total_supply, p.max_supply, s.name, p.observed_at, b.created_at \
     from observations p join coins c on c.coin_id = p.coin_id join data_sources s on s.source_id = p.source_id \
     join coin_labels l on l.label_id = p.label_id join etl_batches b on b.batch_id = p.batch_id \
     order by p.source_id, date_trunc('month', p.observed_at), p.coin_id, p.observed_at";

/// Answers a fixed body on a port of its own, which it prints, until the process ends.
///
/// # Errors
/// When it cannot listen.
pub fn serve_fixed_body(bytes: usize) -> Result<()> {
    if bytes == 0 {
        bail!("a body needs bytes");
    }
    service::serve_fixed_body(bytes)
}
