//! Settings as given on the command line and in the environment, checked whole: every problem is listed at once.

use std::fmt::Display;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
use kasparro_api::{Admission, Config, Cors, Keys, Quota};
use kasparro_api::{DEFAULT_HOST, DEFAULT_METRICS_HOST, DEFAULT_METRICS_PORT, DEFAULT_PORT};
use kasparro_core::db;
use kasparro_core::secret::{self, Secret, SecretError};

use crate::listen::{Address, authority, bare};
use crate::logging::Format;

/// Longest list of keys, in bytes: some ten thousand.
const MAX_KEYS_BYTES: u64 = 1 << 20;

/// Settings as given, unchecked. Empty is the same as not given.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Options {
    /// Address to listen on [default: 0.0.0.0]
    #[arg(long = "bind", global = true, env = "HOST", value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one [default: 8000]
    #[arg(long, global = true, env = "PORT", value_name = "PORT")]
    port: Option<String>,
    /// Address on which /metrics listens [default: 127.0.0.1]
    #[arg(long = "metrics-bind", global = true, env = "METRICS_HOST", value_name = "ADDRESS")]
    metrics_host: Option<String>,
    /// Port of /metrics; 0 takes a free one, off serves none [default: 9464]
    #[arg(long, global = true, env = "METRICS_PORT", value_name = "PORT")]
    metrics_port: Option<String>,
    /// Most connections to the database [default: twice the cores, 4 to 10]
    #[arg(long, global = true, env = "DB_POOL_SIZE", value_name = "N")]
    pool_size: Option<String>,
    /// Threads that answer requests [default: the cores]
    #[arg(long, global = true, env = "API_WORKERS", value_name = "N")]
    workers: Option<String>,
    /// Most memory for kept answers, in MiB; 0 keeps none [default: 64]
    #[arg(long, global = true, env = "API_CACHE_MIB", value_name = "MIB")]
    cache_mib: Option<String>,
    /// Most rows of an export; a larger one is refused [default: 5000000]
    #[arg(long, global = true, env = "API_EXPORT_MAX_ROWS", value_name = "ROWS")]
    export_max_rows: Option<String>,
    /// Most exports that run at once, each with a connection of its own [default: 2]
    #[arg(long, global = true, env = "API_EXPORTS", value_name = "NUMBER")]
    exports: Option<String>,
    /// Seconds without a load after which a source is called degraded [default: 86400]
    #[arg(long = "stale-after", global = true, env = "API_STALE_AFTER_SECS", value_name = "SECONDS")]
    stale_after: Option<String>,
    /// Most open connections of clients [default: 10000]
    #[arg(long, global = true, env = "API_MAX_CONNECTIONS", value_name = "N")]
    max_connections: Option<String>,
    /// Seconds for which a client may leave an answer untaken [default: 30]
    #[arg(long, global = true, env = "API_STALLED_SECS", value_name = "SECONDS")]
    stalled: Option<String>,
    /// Requests a minute that each client has; 0 for no limit [default: 0]
    #[arg(long, global = true, env = "API_RATE_LIMIT_PER_MINUTE", value_name = "N")]
    rate_limit: Option<String>,
    /// Networks of the proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8, separated by commas [default: none]
    #[arg(long, global = true, env = "TRUSTED_PROXIES", value_name = "LIST")]
    trusted_proxies: Option<String>,
    /// Whether clients without a key are let in although there are keys (API_KEYS): on or off [default: off]
    #[arg(long, global = true, env = "API_KEYS_OPTIONAL", value_name = "ON|OFF")]
    keys_optional: Option<String>,
    /// Origins whose pages may read the answers, such as https://example.org, separated by commas, or * for all
    /// [default: none]
    #[arg(long, global = true, env = "CORS_ORIGINS", value_name = "LIST")]
    cors_origins: Option<String>,
    /// Whether those pages may send cookies and the like: on or off [default: off]
    #[arg(long, global = true, env = "CORS_CREDENTIALS", value_name = "ON|OFF")]
    cors_credentials: Option<String>,
    /// Whether /docs is served: on or off [default: on]
    #[arg(long, global = true, env = "API_DOCS", value_name = "ON|OFF")]
    docs: Option<String>,
    /// Seconds of being unready, after SIGTERM, before no connection is accepted any more [default: 3]
    #[arg(long, global = true, env = "API_DRAIN_SECS", value_name = "SECONDS")]
    drain: Option<String>,
    /// Most seconds for requests in flight to end after that [default: 10]
    #[arg(long, global = true, env = "API_SHUTDOWN_SECS", value_name = "SECONDS")]
    shutdown: Option<String>,
    /// Seconds for which browsers are to use HTTPS only (Strict-Transport-Security), where TLS ends in front of the
    /// service [default: not said]
    #[arg(long, global = true, env = "API_HSTS_SECS", value_name = "SECONDS")]
    hsts: Option<String>,
    /// Form of the log lines on standard error: text or json [default: text]
    #[arg(long, global = true, env = "LOG_FORMAT", value_name = "FORM")]
    log_format: Option<String>,
}

/// Settings that can be used.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) public: Address,
    /// `None` where no metrics are wanted.
    pub(crate) metrics: Option<Address>,
    /// In force already; here to be shown.
    pub(crate) log_format: Format,
    /// Taken by each connection; here to be shown.
    statement_cache: bool,
}

/// Everything that is wrong with the settings, a line each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problems(Vec<String>);

impl Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Options {
    /// The form of the log, which starts before the settings are checked.
    pub(crate) fn log_format(&self) -> Format {
        given(self.log_format.as_deref()).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Where a probe on this machine finds the service, as far as that can be read.
    pub(crate) fn probe_address(&self) -> String {
        let host = given(self.host.as_deref()).unwrap_or(DEFAULT_HOST);
        let port = given(self.port.as_deref()).and_then(|port| port.parse().ok()).unwrap_or(DEFAULT_PORT);
        match bare(host) {
            "0.0.0.0" | "::" => format!("127.0.0.1:{port}"),
            host => authority(host, port),
        }
    }
}

impl Settings {
    /// Checks what was given.
    pub(crate) fn check(options: &Options) -> Result<Self, Problems> {
        let mut check = Check::default();
        let database_url = check.secret(secret::from_env("DATABASE_URL"));
        if database_url.is_none() && check.problems.is_empty() {
            check.refuse("DATABASE_URL is not set, nor is DATABASE_URL_FILE");
        }
        if let Some(Err(error)) = database_url.as_ref().map(|url| db::check_address(url.expose())) {
            check.refuse(error.to_string());
        }
        let statement_cache = db::statement_cache().unwrap_or_else(|problem| {
            check.refuse(problem);
            true
        });
        let mut config = Config::new(database_url.unwrap_or_else(|| Secret::new("")));
        check.configure(options, &mut config);
        config.admission = check.admission(options);
        config.cors = check.cors(options);
        let log_format =
            check.parsed("LOG_FORMAT", options.log_format.as_deref(), "text or json").unwrap_or_default();
        let public = Address {
            host: bare(given(options.host.as_deref()).unwrap_or(DEFAULT_HOST)).to_owned(),
            port: check.number("PORT", options.port.as_deref(), DEFAULT_PORT, 0..=u16::MAX),
            is_given: true,
        };
        let metrics = check.metrics(options);
        if let Some(metrics) =
            metrics.as_ref().filter(|metrics| metrics.port == public.port && public.port != 0)
        {
            check.refuse(format!("METRICS_PORT: {} is the PORT of the service itself", metrics.port));
        }
        if check.problems.is_empty() {
            Ok(Self { config, public, metrics, log_format, statement_cache })
        } else {
            Err(Problems(check.problems))
        }
    }
}

impl Settings {
    /// Everything by name, without secrets.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let config = &self.config;
        let seconds = |duration: Duration| format!("{} s", duration.as_secs());
        let on = |value| if value { "on" } else { "off" }.to_owned();
        let metrics = self.metrics.as_ref();
        let admission = &config.admission;
        let keys = match (admission.keys.len(), admission.keys_optional) {
            (0, _) => "none".to_owned(),
            (count, true) => format!("{count}, optional"),
            (count, false) => format!("{count}, required"),
        };
        vec![
            ("listen", self.public.to_string()),
            ("metrics", metrics.map_or_else(|| "off".to_owned(), Address::to_string)),
            ("database", format!("{:?}", config.database_url)),
            ("pool size", config.pool_size.to_string()),
            ("statement cache", on(self.statement_cache)),
            ("workers", config.workers.to_string()),
            ("max connections", config.max_connections.to_string()),
            ("cache", format!("{} MiB", config.cache_bytes >> 20)),
            ("exports", format!("{} at once, of {} rows", config.exports, config.export_max_rows)),
            ("stale after", seconds(config.stale_after)),
            (
                "rate limit",
                admission.quota.map_or_else(|| "off".to_owned(), |q| format!("{} a minute", q.get())),
            ),
            ("keys", keys),
            ("trusted proxies", listed(&admission.trusted_proxies)),
            ("cors", config.cors.as_ref().map_or_else(|| "off".to_owned(), Cors::to_string)),
            ("docs", on(config.docs)),
            ("stalled", seconds(config.stalled)),
            ("drain", seconds(config.drain)),
            ("shutdown", seconds(config.shutdown)),
            ("hsts", config.hsts_secs.map_or_else(|| "off".to_owned(), |secs| format!("{secs} s"))),
            ("log format", format!("{:?}", self.log_format).to_lowercase()),
        ]
    }
}

fn listed(networks: &[IpNet]) -> String {
    match networks {
        [] => "none".to_owned(),
        networks => networks.iter().map(IpNet::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A value that is neither unset nor empty.
fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

#[derive(Default)]
struct Check {
    problems: Vec<String>,
}

impl Check {
    fn refuse(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    fn refuse_all(&mut self, name: &str, problems: Vec<String>) {
        self.problems.extend(problems.into_iter().map(|problem| format!("{name}: {problem}")));
    }

    fn configure(&mut self, options: &Options, config: &mut Config) {
        self.count("DB_POOL_SIZE", options.pool_size.as_deref(), &mut config.pool_size, 1_000);
        self.count("API_WORKERS", options.workers.as_deref(), &mut config.workers, 1_000);
        let connections = options.max_connections.as_deref();
        self.count("API_MAX_CONNECTIONS", connections, &mut config.max_connections, 1_000_000);
        let mebibytes = config.cache_bytes >> 20;
        config.cache_bytes =
            self.number("API_CACHE_MIB", options.cache_mib.as_deref(), mebibytes, 0..=1 << 20) << 20;
        let rows = options.export_max_rows.as_deref();
        config.export_max_rows =
            self.number("API_EXPORT_MAX_ROWS", rows, config.export_max_rows, 0..=u64::from(u32::MAX));
        self.count("API_EXPORTS", options.exports.as_deref(), &mut config.exports, 100);
        let mut seconds = |name, value: Option<&str>, target: &mut Duration, range: RangeInclusive<u64>| {
            *target = Duration::from_secs(self.number(name, value, target.as_secs(), range));
        };
        let stale_after = options.stale_after.as_deref();
        seconds("API_STALE_AFTER_SECS", stale_after, &mut config.stale_after, 1..=u64::from(u32::MAX));
        seconds("API_STALLED_SECS", options.stalled.as_deref(), &mut config.stalled, 1..=3_600);
        seconds("API_DRAIN_SECS", options.drain.as_deref(), &mut config.drain, 0..=600);
        seconds("API_SHUTDOWN_SECS", options.shutdown.as_deref(), &mut config.shutdown, 1..=600);
        config.docs = self.switch("API_DOCS", options.docs.as_deref(), config.docs);
        let hsts = options.hsts.as_deref();
        config.hsts_secs = given(hsts).map(|_| self.number("API_HSTS_SECS", hsts, 0, 0..=u32::MAX));
    }

    fn admission(&mut self, options: &Options) -> Admission {
        let keys = match self.secret(secret::from_env_up_to("API_KEYS", MAX_KEYS_BYTES)) {
            Some(text) => Keys::parse(text.expose()).unwrap_or_else(|problems| {
                self.refuse_all("API_KEYS", problems);
                Keys::default()
            }),
            None => Keys::default(),
        };
        let limit = options.rate_limit.as_deref();
        let per_minute = self.number("API_RATE_LIMIT_PER_MINUTE", limit, 0, 0..=1_000_000_000);
        Admission {
            keys: Arc::new(keys),
            keys_optional: self.switch("API_KEYS_OPTIONAL", options.keys_optional.as_deref(), false),
            quota: NonZeroU32::new(per_minute).map(Quota::per_minute),
            trusted_proxies: self.networks("TRUSTED_PROXIES", options.trusted_proxies.as_deref()),
        }
    }

    fn cors(&mut self, options: &Options) -> Option<Cors> {
        let credentials = self.switch("CORS_CREDENTIALS", options.cors_credentials.as_deref(), false);
        let Some(list) = given(options.cors_origins.as_deref()) else {
            if credentials {
                self.refuse("CORS_CREDENTIALS: there are no CORS_ORIGINS that could send any");
            }
            return None;
        };
        Cors::parse(list, credentials).map_err(|problems| self.refuse_all("CORS_ORIGINS", problems)).ok()
    }

    fn networks(&mut self, name: &str, value: Option<&str>) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for item in given(value).unwrap_or_default().split(',').map(str::trim).filter(|item| !item.is_empty())
        {
            let alone = || item.parse::<IpAddr>().map(IpNet::from);
            match item.parse().or_else(|_| alone()) {
                Ok(network) => networks.push(network),
                Err(_) => self.refuse(format!("{name}: {item:?} is not a network such as 10.0.0.0/8")),
            }
        }
        networks
    }

    fn metrics(&mut self, options: &Options) -> Option<Address> {
        let port = options.metrics_port.as_deref();
        if given(port) == Some("off") {
            return None;
        }
        Some(Address {
            host: bare(given(options.metrics_host.as_deref()).unwrap_or(DEFAULT_METRICS_HOST)).to_owned(),
            port: self.number("METRICS_PORT", port, DEFAULT_METRICS_PORT, 0..=u16::MAX),
            is_given: given(port).is_some(),
        })
    }

    fn number<T>(&mut self, name: &str, value: Option<&str>, default: T, range: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = given(value) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = (range.start(), range.end());
                self.refuse(format!("{name}: {text:?} is not a whole number from {low} to {high}"));
                default
            }
        }
    }

    fn count(&mut self, name: &str, value: Option<&str>, target: &mut NonZeroUsize, most: usize) {
        let number = self.number(name, value, target.get(), 1..=most);
        *target = NonZeroUsize::new(number).unwrap_or(*target);
    }

    fn switch(&mut self, name: &str, value: Option<&str>, default: bool) -> bool {
        match given(value) {
            None => default,
            Some("on" | "true" | "1") => true,
            Some("off" | "false" | "0") => false,
            Some(text) => {
                self.refuse(format!("{name}: {text:?} is neither on nor off"));
                default
            }
        }
    }

    fn parsed<T: FromStr>(&mut self, name: &str, value: Option<&str>, wanted: &str) -> Option<T> {
        let text = given(value)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.refuse(format!("{name}: {text:?} is not {wanted}"));
        }
        parsed
    }

    fn secret(&mut self, read: Result<Option<Secret>, SecretError>) -> Option<Secret> {
        read.unwrap_or_else(|error| {
            self.refuse(error.to_string());
            None
        })
    }
}
