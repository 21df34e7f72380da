//! The sources. A new one is a file here and a line in [`REGISTRY`].

pub(crate) mod coingecko;
mod coingecko_list;
pub(crate) mod coinpaprika;
mod coinpaprika_contracts;
pub(crate) mod contract;
pub(crate) mod csv;
pub(crate) mod endpoint;
mod fields;
mod json;
pub(crate) mod rename;

pub(crate) use fields::is_storable;
use kasparro_core::raw::elements as items;

use crate::failure::SourceError;
use crate::http::Policy;
use crate::identity::listing::Listing;
use crate::settings::{COINGECKO_PRO_HOST, Limits, Settings};
use crate::source::Source;

/// A source that can be asked for.
pub(crate) struct Registration {
    /// Key in the database; never changes.
    pub(crate) name: &'static str,
    /// Makes it ready; no I/O beyond looking at files.
    pub(crate) open: fn(&Settings) -> Result<Box<dyn Source>, SourceError>,
    /// How it is asked over HTTP.
    pub(crate) policy: fn(&Settings) -> Policy,
    /// How many calls a run makes, given the number of records of an earlier one; `None` for a source without calls.
    pub(crate) calls_per_run: fn(&Settings, Option<u64>) -> Option<u64>,
    /// Whether a read of it has every coin that it prices: one that is not in it is missing.
    pub(crate) is_census: bool,
}

/// Every source there is.
pub(crate) const REGISTRY: &[Registration] = &[
    Registration {
        name: coinpaprika::NAME,
        open: |settings| Ok(Box::new(coinpaprika::Coinpaprika { endpoint: settings.coinpaprika.clone() })),
        // Documented: ten calls a second; 20,000 a month without a key, and several numbers for each plan with one.
        policy: |settings| {
            let per_month = settings.coinpaprika.header().is_none().then_some(20_000);
            let vendor = Limits { per_minute: Some(600), per_month };
            settings.policy(&settings.coinpaprika, settings.coinpaprika_limits, vendor)
        },
        calls_per_run: |_, _| Some(1),
        is_census: true,
    },
    Registration {
        name: coingecko::NAME,
        open: |settings| {
            let endpoint = settings.coingecko.clone();
            Ok(Box::new(coingecko::Coingecko::new(endpoint, settings.coingecko_max_pages)))
        },
        // 30 to 100 a minute and 10,000 a month with a free key; without one the limits are unstated and lower. At the
        // pro host they depend on the plan.
        policy: |settings| {
            let per_minute = Some(if settings.coingecko.header().is_some() { 30 } else { 10 });
            let per_month = (settings.coingecko.host() != COINGECKO_PRO_HOST).then_some(10_000);
            let vendor = Limits { per_minute, per_month };
            settings.policy(&settings.coingecko, settings.coingecko_limits, vendor)
        },
        calls_per_run: |settings, records| Some(coingecko::calls(records, settings.coingecko_max_pages)),
        is_census: true,
    },
    Registration {
        name: csv::NAME,
        open: |settings| {
            csv::open(&settings.csv_paths, settings.batch_size, settings.csv_as_of, &settings.csv_map)
        },
        // Files are read without a call.
        policy: |settings| Policy {
            ledger: None,
            ..settings.policy(&settings.coinpaprika, Limits::default(), Limits::default())
        },
        calls_per_run: |_, _| None,
        is_census: false,
    },
];

/// Every listing there is.
pub(crate) const LISTINGS: &[Listing] = &[coingecko_list::LISTING, coinpaprika_contracts::LISTING];

/// Names of all sources, in the order of the registry.
pub(crate) fn names() -> Vec<&'static str> {
    REGISTRY.iter().map(|registration| registration.name).collect()
}

/// The source of this name.
pub(crate) fn find(name: &str) -> Option<&'static Registration> {
    REGISTRY.iter().find(|registration| registration.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Provenance, RawBatch};

    #[test]
    fn names_are_unique_and_fit_for_a_key() {
        let mut names = names();
        assert!(
            names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
            "{names:?}"
        );
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    /// A record with one number at a path of members, and an id.
    fn record_with(path: &str, value: serde_json::Value) -> Vec<u8> {
        let nested = |value, member: &str| serde_json::json!({ member: value });
        let mut record = path.rsplit('.').fold(value, nested);
        record.as_object_mut().unwrap().entry("id").or_insert("a".into());
        serde_json::to_vec(&serde_json::json!([record])).unwrap()
    }

    #[test]
    fn fields_come_from_where_the_layout_says_and_zeros_mean_what_it_says() {
        let settings = Settings { csv_paths: vec!["prices.csv".into()], ..Settings::for_tests() };
        let mut checked = 0;
        for registration in REGISTRY {
            let source = (registration.open)(&settings).unwrap();
            for origin in source.layout().into_iter().flat_map(|layout| layout.fields) {
                let read = |value: serde_json::Value| {
                    let batch = RawBatch {
                        bytes: record_with(&origin.origin, value),
                        fetched_at: "2026-01-01T00:00:00Z".parse().unwrap(),
                        provenance: Provenance::Http { url: String::new(), status: 200, content_type: None },
                        cursor: serde_json::Value::Null,
                        reached: None,
                        reread: None,
                    };
                    source.normalise(&batch).unwrap().records.pop().unwrap()
                };
                let text = |record: &kasparro_core::MarketRecord| match origin.field.as_str() {
                    "crypto_id" => Some(record.crypto_id.to_string()),
                    "crypto_name" => record.crypto_name.as_ref().map(ToString::to_string),
                    "symbol" => record.symbol.as_ref().map(ToString::to_string),
                    "observed_at" => record.observed_at.map(|time| time.to_rfc3339()),
                    "rank" => record.values.rank.map(|rank| rank.to_string()),
                    figure => {
                        let at = kasparro_core::Values::NUMBERS.iter().position(|name| *name == figure);
                        record.values.numbers()[at.unwrap()].map(ToString::to_string)
                    }
                };
                let (sent, zero) = match origin.field.as_str() {
                    "crypto_id" | "crypto_name" | "symbol" => (serde_json::json!("x"), None),
                    "observed_at" => (serde_json::json!("2025-01-01T00:00:00+00:00"), None),
                    _ => (serde_json::json!(7), Some(serde_json::json!(0))),
                };
                let shown = sent.as_str().map_or_else(|| sent.to_string(), str::to_owned);
                assert_eq!(text(&read(sent)), Some(shown), "{} {}", registration.name, origin.field);
                if let Some(zero) = zero {
                    let unknown = text(&read(zero)).is_none();
                    assert_eq!(unknown, origin.zero_is_unknown, "{} {}", registration.name, origin.field);
                }
                checked += 1;
            }
        }
        assert!(checked >= 24);
    }

    #[test]
    fn every_source_opens_with_default_settings() {
        let settings = Settings { csv_paths: vec!["prices.csv".into()], ..Settings::for_tests() };
        for registration in REGISTRY {
            assert!((registration.open)(&settings).is_ok(), "{}", registration.name);
        }
    }
}
