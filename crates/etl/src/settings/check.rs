//! Takes settings as they were given, and notes what is wrong with each.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use chrono::TimeDelta;
use kasparro_core::secret::{self, Secret};
use url::Url;

use super::COINGECKO_PRO_HOST;
use crate::age::Age;
use crate::cli::Options;
use crate::http::without_user;
use crate::sources;
use crate::sources::csv::CsvMap;
use crate::sources::endpoint::Endpoint;

const COINPAPRIKA_URL: &str = "https://api.coinpaprika.com/v1";
const COINPAPRIKA_PRO_URL: &str = "https://api-pro.coinpaprika.com/v1";
const COINGECKO_URL: &str = "https://api.coingecko.com/api/v3";

/// A value that is neither unset nor empty.
pub(super) fn given(value: Option<&str>) -> Option<&str> {
    value.map(str::trim).filter(|value| !value.is_empty())
}

/// Scheme, host, port and path.
fn without_extras(url: &Url) -> Url {
    let mut bare = without_user(url);
    bare.set_query(None);
    bare
}

#[derive(Default)]
pub(super) struct Check {
    pub(super) problems: Vec<String>,
}

impl Check {
    pub(super) fn number<T>(
        &mut self,
        name: &str,
        value: Option<&str>,
        default: T,
        range: std::ops::RangeInclusive<T>,
    ) -> T
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = given(value) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = (range.start(), range.end());
                self.problems.push(format!("{name}: {text:?} is not a number from {low} to {high}"));
                default
            }
        }
    }

    pub(super) fn limit(&mut self, name: &str, value: Option<&str>) -> Option<u32> {
        given(value).map(|text| self.number(name, Some(text), 0, 0..=1_000_000_000))
    }

    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, value: Option<&str>, wanted: &str) -> Option<T> {
        let text = given(value)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problems.push(format!("{name}: {text:?} is not {wanted}"));
        }
        parsed
    }

    pub(super) fn empty_list(&mut self, value: Option<&str>) -> bool {
        match given(value) {
            None | Some("fail") => false,
            Some("warn") => true,
            Some(other) => {
                self.problems.push(format!("ETL_EMPTY_LIST: {other:?} is neither fail nor warn"));
                false
            }
        }
    }

    pub(super) fn csv_map(&mut self, file: Option<&str>) -> Arc<CsvMap> {
        let Some(file) = given(file) else { return Arc::default() };
        let mut complain = |problem: &str| {
            self.problems.push(format!("CSV_MAP: {file}: {problem}"));
            Arc::default()
        };
        match std::fs::read_to_string(file) {
            Err(error) => complain(&format!("it cannot be read: {error}")),
            Ok(text) => match text.parse::<CsvMap>() {
                Ok(map) => Arc::new(map),
                Err(problems) => complain(&problems.join("; ")),
            },
        }
    }

    pub(super) fn listings_every(&mut self, value: Option<&str>) -> Option<TimeDelta> {
        let text = given(value).unwrap_or("24h");
        if text == "off" {
            return None;
        }
        self.parsed::<Age>("LISTINGS_EVERY", Some(text), "an age such as 24h, or off").map(|age| age.0)
    }

    pub(super) fn secret(&mut self, name: &str) -> Option<Secret> {
        let secret = secret::from_env(name).unwrap_or_else(|error| {
            self.problems.push(error.to_string());
            None
        });
        secret.filter(|secret| given(Some(secret.expose())).is_some())
    }

    /// A key, which is sent as a header.
    pub(super) fn key(&mut self, name: &str) -> Option<Secret> {
        let key = self.secret(name)?;
        if !key.expose().bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            self.problems.push(format!(
                "{name}: a line end or another character in it that no key has; give the key alone, on one line"
            ));
        }
        Some(key)
    }

    pub(super) fn sources(&mut self, value: Option<&str>, has_csv: bool, reads_files: bool) -> Vec<String> {
        let all = sources::names();
        let Some(list) = given(value) else {
            return all.into_iter().filter(|name| *name != "csv" || has_csv).map(str::to_owned).collect();
        };
        let mut names: Vec<String> = Vec::new();
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if !all.contains(&name) {
                self.problems.push(format!("KASPARRO_SOURCES: {name:?} is none of {}", all.join(", ")));
            } else if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        if reads_files && !has_csv && names.iter().any(|name| name == "csv") {
            self.problems.push("CSV_FILE_PATH: the source csv needs a file or a folder".to_owned());
        }
        if list.split(',').all(|name| name.trim().is_empty()) {
            self.problems
                .push(format!("KASPARRO_SOURCES: {list:?} names no source; there are {}", all.join(", ")));
        }
        names
    }

    /// The address of a source; its `key` has a variable of its own. What is refused is not repeated: people have put
    /// keys into addresses.
    pub(super) fn base_url(
        &mut self,
        name: &str,
        value: Option<&str>,
        key: &str,
        default: &str,
    ) -> Option<Url> {
        let is_usable = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let is_bare = |url: &Url| *url == without_extras(url);
        match given(value).map(|text| Url::parse(text).ok().filter(is_usable)) {
            Some(Some(url)) if is_bare(&url) => return Some(url),
            Some(Some(_)) => self.problems.push(format!(
                "{name}: an address with a user, a password, a ? or a # in it; give host and path alone, and the key as {key}"
            )),
            Some(None) => {
                self.problems.push(format!("{name}: not an address that begins with https:// (or http://)"))
            }
            None => {}
        }
        Url::parse(default).ok()
    }

    pub(super) fn coinpaprika(&mut self, options: &Options) -> Option<Endpoint> {
        const KEY: &str = "COINPAPRIKA_API_KEY";
        let key = self.key(KEY);
        let default = if key.is_some() { COINPAPRIKA_PRO_URL } else { COINPAPRIKA_URL };
        let base = options.coinpaprika_base_url.as_deref();
        let base = self.base_url("COINPAPRIKA_BASE_URL", base, KEY, default);
        Endpoint::new(base, "/v1", key.map(|key| ("Authorization", key)))
    }

    pub(super) fn coingecko(&mut self, options: &Options) -> Option<Endpoint> {
        const KEY: &str = "COINGECKO_API_KEY";
        let key = self.key(KEY);
        let base = options.coingecko_base_url.as_deref();
        let base = self.base_url("COINGECKO_BASE_URL", base, KEY, COINGECKO_URL);
        let pro = base.as_ref().is_some_and(|url| url.host_str() == Some(COINGECKO_PRO_HOST));
        let header = if pro { "x-cg-pro-api-key" } else { "x-cg-demo-api-key" };
        Endpoint::new(base, "/api/v3", key.map(|key| (header, key)))
    }
}
