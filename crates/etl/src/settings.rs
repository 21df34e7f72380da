//! Settings, checked whole: every problem is listed at once.

mod check;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kasparro_core::db;
use kasparro_core::secret::Secret;

use crate::cli::Options;
use crate::http::{Ledger, Policy, Taping};
use crate::logging::Format;
use crate::sources::csv::CsvMap;
use crate::sources::endpoint::Endpoint;
use check::{Check, given};

/// Everything that a run is told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) database_url: Option<Secret>,
    pub(crate) sources: Vec<String>,
    pub(crate) csv_paths: Vec<PathBuf>,
    pub(crate) csv_as_of: Option<DateTime<Utc>>,
    /// What is declared about CSV files.
    pub(crate) csv_map: Arc<CsvMap>,
    pub(crate) batch_size: usize,
    pub(crate) coinpaprika: Endpoint,
    pub(crate) coingecko: Endpoint,
    pub(crate) coingecko_max_pages: u32,
    pub(crate) coinpaprika_limits: Limits,
    pub(crate) coingecko_limits: Limits,
    /// How often ids and contract addresses are read; `None` for never.
    pub(crate) listings_every: Option<TimeDelta>,
    /// Declarations about assets beside those that come with the program.
    pub(crate) asset_links_path: Option<PathBuf>,
    /// Answers of the APIs are kept in a folder, or come from one.
    pub(crate) taping: Option<Taping>,
    pub(crate) retry_attempts: u32,
    pub(crate) retry_delay: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) request_deadline: Duration,
    pub(crate) source_deadline: Duration,
    pub(crate) max_body: u64,
    /// From 0 to 1.
    pub(crate) max_reject_rate: f64,
    /// An API that lists no coin at all costs a warning, and no failure.
    pub(crate) allow_empty: bool,
    pub(crate) lease: Duration,
    pub(crate) database_wait: Duration,
}

/// Calls to an API; `None` is not given, 0 is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) per_minute: Option<u32>,
    /// Of the calendar, in UTC.
    pub(crate) per_month: Option<u32>,
}

/// Everything that is wrong with the settings, a line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub(crate) struct Problems(pub(crate) Vec<String>);

/// Where paid keys of CoinGecko are used.
pub(crate) const COINGECKO_PRO_HOST: &str = "pro-api.coingecko.com";

impl Settings {
    /// Checks what was given; empty is the same as not given. `reads_files` when files are to be there to be read.
    pub(crate) fn check(options: &Options, reads_files: bool) -> Result<Self, Problems> {
        let mut check = Check::default();
        let seconds = |check: &mut Check, name, given, default| {
            Duration::from_secs_f64(check.number(name, given, default, 0.001..=86_400.0))
        };
        let csv_paths = csv_paths(options.csv_file_path.as_deref());
        // In force already; here only to be complained about with the rest.
        check.parsed::<Format>("LOG_FORMAT", options.log_format.as_deref(), "text or json");
        let endpoints = (check.coinpaprika(options), check.coingecko(options));
        let (Some(coinpaprika), Some(coingecko)) = endpoints else { return Err(Problems(check.problems)) };
        check.problems.extend(db::statement_cache().err());
        let rate_limit = check.limit("RATE_LIMIT_CALLS_PER_MINUTE", options.rate_limit.as_deref());
        let settings = Self {
            database_url: check.secret("DATABASE_URL"),
            sources: check.sources(options.sources.as_deref(), !csv_paths.is_empty(), reads_files),
            csv_as_of: check.parsed(
                "CSV_AS_OF",
                options.csv_as_of.as_deref(),
                "a time such as 2026-01-31T00:00:00Z",
            ),
            csv_map: check.csv_map(options.csv_map.as_deref()),
            batch_size: check.number("BATCH_SIZE", options.batch_size.as_deref(), 20_000, 1..=100_000),
            coinpaprika,
            coingecko,
            coingecko_max_pages: check.number(
                "COINGECKO_MAX_PAGES",
                options.coingecko_max_pages.as_deref(),
                200,
                1..=10_000,
            ),
            coinpaprika_limits: Limits {
                per_minute: check
                    .limit("COINPAPRIKA_CALLS_PER_MINUTE", options.coinpaprika_rate_limit.as_deref())
                    .or(rate_limit),
                per_month: check
                    .limit("COINPAPRIKA_MONTHLY_CALLS", options.coinpaprika_monthly_calls.as_deref()),
            },
            coingecko_limits: Limits {
                per_minute: check
                    .limit("COINGECKO_CALLS_PER_MINUTE", options.coingecko_rate_limit.as_deref())
                    .or(rate_limit),
                per_month: check.limit("COINGECKO_MONTHLY_CALLS", options.coingecko_monthly_calls.as_deref()),
            },
            listings_every: check.listings_every(options.listings_every.as_deref()),
            asset_links_path: given(options.asset_links_path.as_deref()).map(PathBuf::from),
            taping: None,
            retry_attempts: check.number("ETL_RETRY_ATTEMPTS", options.retry_attempts.as_deref(), 5, 1..=20),
            retry_delay: seconds(&mut check, "ETL_RETRY_DELAY_SECONDS", options.retry_delay.as_deref(), 0.5),
            call_timeout: seconds(
                &mut check,
                "ETL_CALL_TIMEOUT_SECONDS",
                options.call_timeout.as_deref(),
                120.0,
            ),
            request_deadline: seconds(
                &mut check,
                "ETL_REQUEST_DEADLINE_SECONDS",
                options.request_deadline.as_deref(),
                180.0,
            ),
            source_deadline: seconds(
                &mut check,
                "ETL_SOURCE_DEADLINE_SECONDS",
                options.source_deadline.as_deref(),
                1800.0,
            ),
            max_body: check.number("ETL_MAX_BODY_MIB", options.max_body.as_deref(), 64_u64, 1..=1024) << 20,
            // The contract of each source finds a format that changed. A share cannot tell that from a small batch with
            // one bad row (the line that was appended to a file), so it is for the operator to set.
            max_reject_rate: check.number(
                "ETL_MAX_REJECT_RATE",
                options.max_reject_rate.as_deref(),
                1.0,
                0.0..=1.0,
            ),
            allow_empty: check.empty_list(options.empty_list.as_deref()),
            lease: seconds(&mut check, "ETL_LEASE_SECONDS", options.lease.as_deref(), 60.0),
            database_wait: seconds(
                &mut check,
                "ETL_DATABASE_WAIT_SECONDS",
                options.database_wait.as_deref(),
                60.0,
            ),
            csv_paths,
        };
        if check.problems.is_empty() { Ok(settings) } else { Err(Problems(check.problems)) }
    }

    /// How a source is asked over HTTP. The vendor's limits do not bind a mirror on this machine.
    pub(crate) fn policy(&self, endpoint: &Endpoint, asked: Limits, vendor: Limits) -> Policy {
        let vendor = if endpoint.is_local() { Limits::default() } else { vendor };
        let limit = |asked: Option<u32>, vendor: Option<u32>| asked.or(vendor).filter(|limit| *limit > 0);
        let quota = limit(asked.per_month, vendor.per_month);
        Policy {
            attempts: self.retry_attempts,
            base_delay: self.retry_delay,
            calls_per_minute: limit(asked.per_minute, vendor.per_minute),
            turns: endpoint.turns(),
            // Calls to a mirror are nobody's business unless somebody limits them.
            ledger: (quota.is_some() || !endpoint.is_local())
                .then(|| Ledger { host: endpoint.host(), quota }),
            call_timeout: self.call_timeout,
            request_deadline: self.request_deadline,
            source_deadline: self.source_deadline,
            max_body: self.max_body,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self::check(&Options::default(), true).unwrap()
    }
}

/// What exists as a whole is one path, whatever characters are in it; else commas separate.
fn csv_paths(value: Option<&str>) -> Vec<PathBuf> {
    let Some(value) = given(value) else { return Vec::new() };
    if Path::new(value).exists() {
        return vec![value.into()];
    }
    value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_both_apis() {
        let settings = Settings::for_tests();
        assert_eq!(settings.sources, ["coinpaprika", "coingecko"]);
        let with_csv = Options { csv_file_path: Some("prices.csv".into()), ..Options::default() };
        assert_eq!(Settings::check(&with_csv, true).unwrap().sources, ["coinpaprika", "coingecko", "csv"]);
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let options = Options {
            sources: Some("coinpaprika,coinbase,csv".into()),
            batch_size: Some("0".into()),
            retry_attempts: Some("many".into()),
            lease: Some("-1".into()),
            coingecko_base_url: Some("ftp://secret@x".into()),
            csv_as_of: Some("yesterday".into()),
            ..Options::default()
        };
        let text = Settings::check(&options, true).unwrap_err().to_string();
        for name in [
            "coinbase",
            "CSV_FILE_PATH",
            "BATCH_SIZE",
            "ETL_RETRY_ATTEMPTS",
            "ETL_LEASE_SECONDS",
            "COINGECKO_BASE_URL",
            "CSV_AS_OF",
        ] {
            assert!(text.contains(name), "{name} in {text}");
        }
        assert!(!text.contains("secret"));
    }

    #[test]
    fn a_base_url_with_more_than_host_and_path_is_refused_and_the_variable_of_the_key_is_named() {
        for extra in
            ["http://h/v1?api_key=canary", "http://canary@h/v1", "http://u:canary@h", "http://h/v1#canary"]
        {
            let options = Options {
                coingecko_base_url: Some(extra.into()),
                coinpaprika_base_url: Some(extra.into()),
                ..Options::default()
            };
            let text = Settings::check(&options, true).unwrap_err().to_string();
            for name in
                ["COINGECKO_BASE_URL", "COINGECKO_API_KEY", "COINPAPRIKA_BASE_URL", "COINPAPRIKA_API_KEY"]
            {
                assert!(text.contains(name), "{name} in {text}");
            }
            assert!(!text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn empty_is_not_given() {
        let options =
            Options { batch_size: Some(" ".into()), sources: Some(String::new()), ..Options::default() };
        assert_eq!(Settings::check(&options, true).unwrap().batch_size, 20_000);
    }

    #[test]
    fn the_vendors_limit_does_not_bind_a_mirror_on_this_machine() {
        let options =
            Options { coingecko_base_url: Some("http://127.0.0.1:9/api/v3".into()), ..Options::default() };
        let settings = Settings::check(&options, true).unwrap();
        let vendor = Limits { per_minute: Some(10), per_month: Some(100) };
        let policy = |settings: &Settings, endpoint: &Endpoint, asked| {
            let policy = settings.policy(endpoint, asked, vendor);
            (policy.calls_per_minute, policy.ledger.map(|ledger| ledger.quota))
        };
        assert_eq!(policy(&settings, &settings.coingecko, settings.coingecko_limits), (None, None));
        assert_eq!(
            policy(&settings, &settings.coinpaprika, settings.coinpaprika_limits),
            (Some(10), Some(Some(100)))
        );
        let asked = Limits { per_minute: Some(5), per_month: Some(7) };
        assert_eq!(policy(&settings, &settings.coingecko, asked), (Some(5), Some(Some(7))));
        let unlimited = Limits { per_minute: Some(0), per_month: Some(0) };
        assert_eq!(policy(&settings, &settings.coinpaprika, unlimited), (None, Some(None)));
    }

    #[test]
    fn every_client_of_an_api_counts_the_same_calls() {
        let settings = Settings::for_tests();
        let turns = |settings: &Settings, name| (crate::sources::find(name).unwrap().policy)(settings).turns;
        assert!(Arc::ptr_eq(&turns(&settings, "coingecko"), &turns(&settings.clone(), "coingecko")));
        assert!(!Arc::ptr_eq(&turns(&settings, "coingecko"), &turns(&settings, "coinpaprika")));
    }

    #[test]
    fn the_limit_of_one_source_is_stronger_than_that_of_all() {
        let options = Options {
            rate_limit: Some("7".into()),
            coingecko_rate_limit: Some("3".into()),
            ..Options::default()
        };
        let settings = Settings::check(&options, true).unwrap();
        assert_eq!(settings.coinpaprika_limits.per_minute, Some(7));
        assert_eq!(settings.coingecko_limits.per_minute, Some(3));
    }
}
