//! The command line. Every flag has a twin in the environment; values are checked in [`crate::settings`].

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, CommandFactory, Parser, Subcommand};
use kasparro_core::RejectCode;

use crate::age::{Age, Since};
use crate::sources;

/// Loads crypto market data from CoinPaprika, CoinGecko and CSV files into Postgres, exactly once.
#[derive(Debug, Parser)]
#[command(name = "kasparro-etl", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

impl Cli {
    /// The variables of flags whose values are not UTF-8. Clap says that there is one, and not which.
    pub(crate) fn unreadable_variables() -> Vec<String> {
        let command = Self::command();
        let of_commands = command.get_subcommands().flat_map(clap::Command::get_arguments);
        let names = command.get_arguments().chain(of_commands).filter_map(clap::Arg::get_env);
        let unreadable =
            names.filter(|name| std::env::var_os(name).is_some_and(|value| value.to_str().is_none()));
        unreadable.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

const EXIT_CODES: &str = "Exit codes: 0 done, nothing new, or another run is at it; 64 usage; 65 data refused; \
66 file missing; 69 a source is unavailable (the rest is loaded); 74 file unreadable, or output lost; 75 database away or full, \
try again; 78 configuration or schema version; 130, 143 ended by a signal.\n\
Secrets are read from the environment only: DATABASE_URL, COINPAPRIKA_API_KEY, COINGECKO_API_KEY, each also as \
<NAME>_FILE. A file .env in the working directory, or else in the nearest folder above it, is read.";

/// What to do; without a subcommand: run.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Read every enabled source once and load what is new (the default).
    Run(RunArgs),
    /// Create or upgrade the tables. Safe to start any number of times at once.
    Migrate(MigrateArgs),
    /// Show, for each source, how its last run ended, how fresh it is, how far it is read and who is at it.
    Status(StatusArgs),
    /// Build observations again from the raw bytes that are kept, with today's code. Says what would change first.
    Reprocess(ReprocessArgs),
    /// List refused records, those seen last first.
    Rejects(RejectsArgs),
    /// Find out which coins of which sources are the same asset; a run does it by itself. Also tells why, lists what is
    /// open, and takes a link back.
    Resolve(ResolveArgs),
    /// Remove months of observations and raw bytes that are older than an age; never the newest state of a coin.
    Prune(PruneArgs),
    /// Check configuration, database and files, and tell the calls that a schedule costs. Changes nothing and calls
    /// no vendor.
    Check(CheckArgs),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct MigrateArgs {
    /// A role of the database that is to read the tables and do nothing else, for the API to connect as
    #[arg(long, env = "DB_READER", value_name = "ROLE")]
    pub(crate) reader: Option<String>,
    /// A role of the database that is to load the tables, for the runs to connect as; it removes nothing of what was loaded and
    /// makes no tables
    #[arg(long, env = "DB_LOADER", value_name = "ROLE")]
    pub(crate) loader: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct RunArgs {
    /// Read and work everything out, say what would be written, and write nothing. The sources are asked, and
    /// count the calls
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report of the run as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep what the APIs answer in a folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// Take the answers of the APIs from a folder that was recorded; nothing is called
    #[arg(long, value_name = "FOLDER")]
    pub(crate) replay: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ResolveArgs {
    /// Tell why a coin is the asset that it is: an id, such as btc-bitcoin, coinpaprika:btc-bitcoin or bitcoin
    #[arg(long, value_name = "ID")]
    pub(crate) explain: Option<String>,
    /// Take the link of a coin back for good; once more: let the evidence decide again
    #[arg(long, value_name = "ID", conflicts_with_all = ["explain", "review"])]
    pub(crate) undo: Option<String>,
    /// List the coins that look like others and were not linked, the best known first
    #[arg(long, conflicts_with = "explain")]
    pub(crate) review: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Most coins of --review to show
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) limit: u16,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct PruneArgs {
    /// The age, such as 400d. Only whole months of observations go
    #[arg(long, value_name = "AGE")]
    pub(crate) older_than: Age,
    /// Say what would go, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    /// How often the ETL is started, such as 5m
    #[arg(long, value_name = "AGE")]
    pub(crate) every: Option<Age>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ReprocessArgs {
    /// Only bytes of this source
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(sources::names()))]
    pub(crate) source: Option<String>,
    /// Only bytes that came since a time (RFC 3339) or within an age (90m, 12h, 7d)
    #[arg(long, value_name = "TIME|AGE")]
    pub(crate) since: Option<Since>,
    /// Only bytes that hold refused records
    #[arg(long)]
    pub(crate) rejects_only: bool,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RejectsArgs {
    /// Only those of this source
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(sources::names()))]
    pub(crate) source: Option<String>,
    /// Only those refused for this reason, such as negative_number
    #[arg(long, value_name = "CODE", value_parser = PossibleValuesParser::new(reject_codes()))]
    pub(crate) code: Option<String>,
    /// Only those seen since a time (RFC 3339) or within an age (90m, 12h, 7d)
    #[arg(long, value_name = "TIME|AGE")]
    pub(crate) since: Option<Since>,
    /// Print a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Most records to show
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) limit: u16,
}

/// A misspelt reason would look as if all were well.
fn reject_codes() -> impl Iterator<Item = &'static str> {
    RejectCode::ALL.iter().map(|code| code.as_str())
}

/// Settings as given, unchecked.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Options {
    /// Form of the log lines on standard error: text or json [default: text]
    #[arg(long, global = true, env = "LOG_FORMAT", value_name = "FORM")]
    pub(crate) log_format: Option<String>,
    /// Sources to read, separated by commas: coinpaprika, coingecko, csv. Default: both APIs, and csv when there is a CSV_FILE_PATH
    #[arg(long, global = true, env = "KASPARRO_SOURCES", value_name = "LIST")]
    pub(crate) sources: Option<String>,
    /// A CSV file (also packed with gzip), several separated by commas, or a folder
    #[arg(long = "csv", global = true, env = "CSV_FILE_PATH", value_name = "PATH")]
    pub(crate) csv_file_path: Option<String>,
    /// Time of rows that carry none (RFC 3339); default: when the file was first read
    #[arg(long, global = true, env = "CSV_AS_OF", value_name = "TIME")]
    pub(crate) csv_as_of: Option<String>,
    /// A TOML file that declares what CSV files do not say themselves: columns, delimiter, decimal comma, form of times, encoding
    #[arg(long, global = true, env = "CSV_MAP", value_name = "FILE")]
    pub(crate) csv_map: Option<String>,
    /// Records of a CSV file in one transaction [default: 20000]
    #[arg(long, global = true, env = "BATCH_SIZE", value_name = "N")]
    pub(crate) batch_size: Option<String>,
    /// Calls per minute to each API; 0 for no limit [default: coinpaprika 600, coingecko 30 with a key and 10 without, none on this machine]
    #[arg(long, global = true, env = "RATE_LIMIT_CALLS_PER_MINUTE", value_name = "N")]
    pub(crate) rate_limit: Option<String>,
    /// The same for CoinPaprika alone
    #[arg(long, global = true, env = "COINPAPRIKA_CALLS_PER_MINUTE", value_name = "N")]
    pub(crate) coinpaprika_rate_limit: Option<String>,
    /// The same for CoinGecko alone
    #[arg(long, global = true, env = "COINGECKO_CALLS_PER_MINUTE", value_name = "N")]
    pub(crate) coingecko_rate_limit: Option<String>,
    /// Calls to CoinPaprika in a calendar month (UTC); 0 for no limit [default: 20000 without a key, none with one or on this machine]
    #[arg(long, global = true, env = "COINPAPRIKA_MONTHLY_CALLS", value_name = "N")]
    pub(crate) coinpaprika_monthly_calls: Option<String>,
    /// Calls to CoinGecko in a calendar month (UTC); 0 for no limit [default: 10000, none at the pro host or on this machine]
    #[arg(long, global = true, env = "COINGECKO_MONTHLY_CALLS", value_name = "N")]
    pub(crate) coingecko_monthly_calls: Option<String>,
    /// Attempts for one request, the first included [default: 5]
    #[arg(long, global = true, env = "ETL_RETRY_ATTEMPTS", value_name = "N")]
    pub(crate) retry_attempts: Option<String>,
    /// Base of the pause between attempts; doubles, with jitter, up to 30 s [default: 0.5]
    #[arg(long, global = true, env = "ETL_RETRY_DELAY_SECONDS", value_name = "SECONDS")]
    pub(crate) retry_delay: Option<String>,
    /// Longest time of one call to an API [default: 120]
    #[arg(long, global = true, env = "ETL_CALL_TIMEOUT_SECONDS", value_name = "SECONDS")]
    pub(crate) call_timeout: Option<String>,
    /// Longest time of one request with all its attempts and waits [default: 180]
    #[arg(long, global = true, env = "ETL_REQUEST_DEADLINE_SECONDS", value_name = "SECONDS")]
    pub(crate) request_deadline: Option<String>,
    /// Longest time of one source [default: 1800]
    #[arg(long, global = true, env = "ETL_SOURCE_DEADLINE_SECONDS", value_name = "SECONDS")]
    pub(crate) source_deadline: Option<String>,
    /// Largest body of an API, decoded, in MiB [default: 64]
    #[arg(long, global = true, env = "ETL_MAX_BODY_MIB", value_name = "MIB")]
    pub(crate) max_body: Option<String>,
    /// Largest share of a batch that may be refused, from 0 to 1; above it nothing of the batch is published [default: 1]
    #[arg(long, global = true, env = "ETL_MAX_REJECT_RATE", value_name = "SHARE")]
    pub(crate) max_reject_rate: Option<String>,
    /// What an API that lists no coin at all is taken for: fail (exit code 65) or warn; nothing stored changes [default: fail]
    #[arg(long, global = true, env = "ETL_EMPTY_LIST", value_name = "WORD")]
    pub(crate) empty_list: Option<String>,
    /// How long a run that stands still keeps its sources to itself [default: 60]
    #[arg(long, global = true, env = "ETL_LEASE_SECONDS", value_name = "SECONDS")]
    pub(crate) lease: Option<String>,
    /// How long to wait for a database that is away [default: 60]
    #[arg(long, global = true, env = "ETL_DATABASE_WAIT_SECONDS", value_name = "SECONDS")]
    pub(crate) database_wait: Option<String>,
    /// Address of the CoinPaprika API [default: the vendor's]
    #[arg(long, global = true, env = "COINPAPRIKA_BASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) coinpaprika_base_url: Option<String>,
    /// Address of the CoinGecko API [default: the vendor's]
    #[arg(long, global = true, env = "COINGECKO_BASE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) coingecko_base_url: Option<String>,
    /// How often to read the ids and contract addresses that the APIs list, such as 24h; or off [default: 24h]
    #[arg(long = "listings", global = true, env = "LISTINGS_EVERY", value_name = "AGE")]
    pub(crate) listings_every: Option<String>,
    /// A CSV file that declares which ids are one asset and which are not, beside the one that is built in
    #[arg(long = "asset-links", global = true, env = "ASSET_LINKS_PATH", value_name = "FILE")]
    pub(crate) asset_links_path: Option<String>,
    /// Most pages of the CoinGecko listing in one run [default: 200]
    #[arg(long, global = true, env = "COINGECKO_MAX_PAGES", value_name = "N")]
    pub(crate) coingecko_max_pages: Option<String>,
}
