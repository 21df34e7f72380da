//! `make bench-etl`: loading a million snapshots, beside psql on the same server and in the same run.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use kasparro_localpg::Cluster;

use super::measure::{Measured, median, run};
use super::{Comparison, on_server};
use crate::csv_generator::CsvGenerator;
use crate::simulator::{Simulator, Universe};

/// Between two snapshots.
const HOUR: Duration = Duration::from_secs(3_600);

/// After so many most coins of a universe have moved.
const TICKS_BETWEEN_RUNS: i64 = 5;

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Coins in the file.
    pub coins: u64,
    /// Snapshots of each.
    pub times: u64,
    /// Runs of which the median counts.
    pub runs: usize,
    /// Also loads one file of so many times the rows, once: whether time and memory grow with it.
    pub growth: Option<u64>,
    /// The program under test.
    pub etl: PathBuf,
    /// Where the server and the files go; emptied before and removed afterwards.
    pub folder: PathBuf,
}

/// The columns of the generated file, as a table.
const COLUMNS: &str = "id text, name text, symbol text, price_usd numeric, market_cap_usd numeric, \
     volume_24h_usd numeric, change_24h_percent numeric, last_updated timestamptz";

/// The table that a careful person would load into: a key to merge on, and the indexes that the API's sorts need.
const MERGE_TABLE: &str = "create unique index on merged (id, last_updated); create index on merged (last_updated, id); \
     create index on merged (price_usd desc nulls last, id, last_updated); \
     create index on merged (market_cap_usd desc nulls last, id, last_updated);";

const MERGE: &str = "insert into merged select distinct on (id, last_updated) * from staging order by id, last_updated \
     on conflict (id, last_updated) do update set price_usd = excluded.price_usd, market_cap_usd = excluded.market_cap_usd, \
     volume_24h_usd = excluded.volume_24h_usd, change_24h_percent = excluded.change_24h_percent \
     where (merged.price_usd, merged.market_cap_usd, merged.volume_24h_usd, merged.change_24h_percent) \
        is distinct from (excluded.price_usd, excluded.market_cap_usd, excluded.volume_24h_usd, excluded.change_24h_percent)";

/// Runs everything and prints a line for each comparison.
///
/// # Errors
/// When a program fails, or there is no `psql` beside the server's programs.
pub fn run_all(plan: &Plan) -> Result<()> {
    on_server(&plan.folder, |cluster| Bench { plan, cluster, file: plan.folder.join("snapshots.csv") }.all())
}

struct Bench<'p> {
    plan: &'p Plan,
    cluster: &'p Cluster,
    file: PathBuf,
}

/// The figures of one round.
#[derive(Default)]
struct Rounds {
    first: Vec<f64>,
    bare: Vec<f64>,
    merge: Vec<f64>,
    unchanged: Vec<f64>,
    touched: Vec<f64>,
    appended: Vec<f64>,
    delta: Vec<f64>,
    memory: Vec<f64>,
    apis: Vec<f64>,
    apis_again: Vec<f64>,
    fetched: Vec<f64>,
}

impl Bench<'_> {
    fn all(&self) -> Result<()> {
        let rows = self.plan.coins * self.plan.times;
        println!(
            "{rows} snapshots of {} coins, durable settings, medians of {}",
            self.plan.coins, self.plan.runs
        );
        let mut rounds = Rounds::default();
        for _ in 0..self.plan.runs {
            self.round(&mut rounds)?;
            self.round_of_apis(&mut rounds)?;
        }
        let mut comparisons = rounds.comparisons();
        if let Some(times) = self.plan.growth {
            let one = comparisons.first().map_or(f64::NAN, |first| first.ours);
            comparisons.extend(self.growth(times, one)?);
            comparisons.push(self.launches(times)?);
        }
        for comparison in comparisons {
            println!("{comparison}");
        }
        Ok(())
    }

    /// A file of so many times the rows, of which the plain one takes `one` seconds.
    fn growth(&self, times: u64, one: f64) -> Result<[Comparison; 3]> {
        let rows = self.plan.coins * self.plan.times;
        CsvGenerator::new(self.plan.coins, self.plan.times * times).write(File::create(&self.file)?)?;
        let database = self.fresh_database("growth")?;
        let loaded = self.load(&database)?;
        // By the clock of the database: from one batch to the one that has so many rows more.
        let spans = self.ask(
            &database,
            &format!(
                "select extract(epoch from min(created_at) filter (where rows >= {rows}) - min(started_at)), \
                        extract(epoch from max(created_at) - max(created_at) filter (where rows <= total - {rows})) \
                   from (select b.created_at, r.started_at, sum(b.extracted) over (order by batch_id) as rows, \
                                r.extracted as total \
                           from etl_batches b join etl_run_sources r using (run_id)) b"
            ),
        )?;
        let (first, last) = spans.trim().split_once('|').context("psql answered something else")?;
        let line = |what: &str, reference, ours, theirs, unit, reach| {
            Comparison::of(what, ours, reference, theirs, unit, reach)
        };
        Ok([
            line(
                "rows of the last part of a large file",
                "those of its first",
                last.parse()?,
                first.parse()?,
                "s",
                "<= 1.2x",
            ),
            line(
                "a part of a large file on average",
                "a file of that size",
                loaded.seconds / times as f64,
                one,
                "s",
                "<= 1.2x",
            ),
            line("peak memory of the large load", "", loaded.peak_mib, f64::NAN, "MiB", "<= 64 MiB"),
        ])
    }

    /// A file to which the plain rows are appended so many times, each time before a launch of its own.
    fn launches(&self, times: u64) -> Result<Comparison> {
        let database = self.fresh_database("launches")?;
        let mut start: DateTime<Utc> = "2025-01-01T00:00:00Z".parse()?;
        let mut seconds = Vec::new();
        for number in 0..times {
            let rows = CsvGenerator::new(self.plan.coins, self.plan.times).moments(start, HOUR);
            if number == 0 {
                rows.write(File::create(&self.file)?)?;
            } else {
                self.append(&rows)?;
            }
            File::open(&self.file)?.sync_all()?;
            seconds.push(self.load(&database)?.seconds);
            start += HOUR * u32::try_from(self.plan.times)?;
        }
        let (first, last) = seconds.first().zip(seconds.last()).context("no launch")?;
        let what = "the last of as many launches, each with that many rows appended";
        Ok(Comparison::of(what, *last, "the first of them", *first, "s", "<= 1.2x"))
    }

    fn ask(&self, database: &str, query: &str) -> Result<String> {
        let output = Command::new(self.cluster.bin("psql"))
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--dbname",
                database,
                "--command",
                query,
            ])
            .output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn round(&self, rounds: &mut Rounds) -> Result<()> {
        // Neither the server's housekeeping for what is not needed any more nor the writing of the file is to be paid by
        // what is measured next.
        for name in ["ours", "reference", "apis"] {
            self.psql(&self.cluster.url("postgres"), &[&format!("drop database if exists {name}")])?;
        }
        let file = File::create(&self.file)?;
        CsvGenerator::new(self.plan.coins, self.plan.times).write(&file)?;
        file.sync_all()?;
        let database = self.fresh_database("ours")?;
        let first = self.load(&database)?;
        rounds.first.push(first.seconds);
        rounds.memory.push(first.peak_mib);
        rounds.unchanged.push(self.load(&database)?.seconds);
        File::options().append(true).open(&self.file)?.set_modified(std::time::SystemTime::now())?;
        rounds.touched.push(self.load(&database)?.seconds);

        let reference = self.fresh_database("reference")?;
        let copy = |table: &str, file: &Path| format!("\\copy {table} from '{}' csv header", file.display());
        self.psql(&reference, &[&format!("create table bare ({COLUMNS})")])?;
        rounds.bare.push(self.psql(&reference, &[&copy("bare", &self.file)])?.seconds);
        self.psql(
            &reference,
            &["drop table bare", &format!("create table merged ({COLUMNS})"), MERGE_TABLE],
        )?;
        let staging = format!("create unlogged table staging ({COLUMNS})");
        let merged =
            self.psql(&reference, &[&staging, &copy("staging", &self.file), MERGE, "drop table staging"])?;
        rounds.merge.push(merged.seconds);

        let delta = self.append_one_percent()?;
        rounds.appended.push(self.load(&database)?.seconds);
        let merged =
            self.psql(&reference, &[&staging, &copy("staging", &delta), MERGE, "drop table staging"])?;
        rounds.delta.push(merged.seconds);
        Ok(())
    }

    /// Both APIs' universes of as many coins, and the same bodies fetched and thrown away.
    fn round_of_apis(&self, rounds: &mut Rounds) -> Result<()> {
        let simulator = Simulator::start(Universe::new(1).coins(usize::try_from(self.plan.coins)?));
        let database = self.fresh_database("apis")?;
        let ours = || {
            run(Command::new(&self.plan.etl)
                .args(["run", "--sources", "coinpaprika,coingecko"])
                .env("LISTINGS_EVERY", "off")
                .env("DATABASE_URL", &database)
                .env("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url())
                .env("COINGECKO_BASE_URL", simulator.coingecko_base_url()))
        };
        rounds.apis.push(ours()?.seconds);
        simulator.advance_by(TICKS_BETWEEN_RUNS);
        rounds.apis_again.push(ours()?.seconds);
        let pages = self.plan.coins.div_ceil(250) + 1;
        let tickers = format!("{}/tickers", simulator.coinpaprika_base_url());
        let markets = format!(
            "{}/coins/markets?vs_currency=usd&per_page=250&page=[1-{pages}]",
            simulator.coingecko_base_url()
        );
        let fetch = |url: &str| {
            let mut curl = Command::new("curl");
            curl.args([
                "--silent",
                "--fail",
                "--compressed",
                "--output",
                "/dev/null",
                "--user-agent",
                "bench",
                url,
            ]);
            curl
        };
        // Side by side, as the loader asks them.
        let fetched = std::thread::scope(|scope| -> Result<f64> {
            let other = scope.spawn(|| run(&mut fetch(&tickers)));
            let pages = run(&mut fetch(&markets))?;
            let body = other.join().map_err(|_| anyhow::anyhow!("the fetching thread crashed"))??;
            Ok(pages.seconds.max(body.seconds))
        })?;
        rounds.fetched.push(fetched);
        Ok(())
    }

    fn fresh_database(&self, name: &str) -> Result<String> {
        let admin = self.cluster.url("postgres");
        self.psql(&admin, &[&format!("drop database if exists {name}"), &format!("create database {name}")])?;
        let url = self.cluster.url(name);
        run(Command::new(&self.plan.etl).arg("migrate").env("DATABASE_URL", &url))?;
        // What the last round left to be written is not to be paid by this one.
        self.psql(&admin, &["checkpoint"])?;
        Ok(url)
    }

    fn load(&self, database: &str) -> Result<Measured> {
        run(Command::new(&self.plan.etl)
            .args(["run", "--sources", "csv"])
            .env("DATABASE_URL", database)
            .env("CSV_FILE_PATH", &self.file))
    }

    fn psql(&self, database: &str, commands: &[&str]) -> Result<Measured> {
        let mut psql = Command::new(self.cluster.bin("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", database]);
        for command in commands {
            psql.args(["--command", command]);
        }
        run(&mut psql)
            .context("psql (it comes with the server's programs, except from the package registries)")
    }

    /// Appends later snapshots of some coins; also written to a file of their own, with the header.
    fn append_one_percent(&self) -> Result<PathBuf> {
        let later = CsvGenerator::new(self.plan.coins, self.plan.times.div_ceil(100).max(1));
        self.append(&later.moments("2026-01-01T00:00:00Z".parse()?, HOUR))
    }

    fn append(&self, rows: &CsvGenerator) -> Result<PathBuf> {
        let delta = self.plan.folder.join("delta.csv");
        rows.write(File::create(&delta)?)?;
        let mut out = BufWriter::new(OpenOptions::new().append(true).open(&self.file)?);
        let mut delta_rows = BufReader::new(File::open(&delta)?);
        delta_rows.read_line(&mut String::new())?;
        std::io::copy(&mut delta_rows, &mut out)?;
        out.flush()?;
        Ok(delta)
    }
}

impl Rounds {
    fn comparisons(self) -> Vec<Comparison> {
        let (first, fetched) = (median(self.first), median(self.fetched));
        let compare = |what: &str, ours, reference, theirs, reach| {
            Comparison::of(what, ours, reference, theirs, "s", reach)
        };
        let alone = Comparison::alone;
        vec![
            compare(
                "first load",
                first,
                "psql \\copy into a bare heap",
                median(self.bare),
                "<= 3.0x, aim 2.0x",
            ),
            compare(
                "first load",
                first,
                "psql staging + ON CONFLICT, same indexes",
                median(self.merge),
                "<= 1.0x",
            ),
            alone("run on the unchanged file", median(self.unchanged), "s", "<= 0.1 s"),
            compare("file touched, content the same", median(self.touched), "first load", first, "<= 0.3x"),
            compare(
                "1 % appended",
                median(self.appended),
                "psql merge of the delta alone",
                median(self.delta),
                "<= 1.5x",
            ),
            compare(
                "both APIs' universes",
                median(self.apis),
                "the same bodies fetched by curl",
                fetched,
                "<= 2.0x",
            ),
            compare(
                "the same when most coins have moved",
                median(self.apis_again),
                "the same bodies fetched by curl",
                fetched,
                "none asked",
            ),
            alone("peak memory of the first load", median(self.memory), "MiB", "<= 64 MiB"),
        ]
    }
}
