//! The sources. A new one is a file here and a line in [`REGISTRY`].

pub(crate) mod coingecko;
pub(crate) mod coinpaprika;
pub(crate) mod csv;
pub(crate) mod endpoint;
mod fields;
mod items;
mod json;

use crate::failure::SourceError;
use crate::http::Policy;
use crate::settings::Settings;
use crate::source::Source;

/// A source that can be asked for.
pub(crate) struct Registration {
    /// Key in the database; never changes.
    pub(crate) name: &'static str,
    /// Makes it ready; no I/O beyond looking at files.
    pub(crate) open: fn(&Settings) -> Result<Box<dyn Source>, SourceError>,
    /// How it is asked over HTTP; `None` for a source that is not.
    pub(crate) policy: fn(&Settings) -> Policy,
}

/// Every source there is.
pub(crate) const REGISTRY: &[Registration] = &[
    Registration {
        name: coinpaprika::NAME,
        open: |settings| Ok(Box::new(coinpaprika::Coinpaprika { endpoint: settings.coinpaprika.clone() })),
        // Documented: ten calls a second.
        policy: |settings| settings.policy(&settings.coinpaprika, 600),
    },
    Registration {
        name: coingecko::NAME,
        open: |settings| {
            Ok(Box::new(coingecko::Coingecko {
                endpoint: settings.coingecko.clone(),
                max_pages: settings.coingecko_max_pages,
            }))
        },
        // 30 to 100 a minute with a free key; without one the limit is unstated and lower.
        policy: |settings| {
            settings.policy(&settings.coingecko, if settings.coingecko.header().is_some() { 30 } else { 10 })
        },
    },
    Registration {
        name: csv::NAME,
        open: |settings| csv::open(&settings.csv_paths, settings.batch_size, settings.csv_as_of),
        policy: |settings| settings.policy(&settings.coinpaprika, 600),
    },
];

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

    #[test]
    fn every_source_opens_with_default_settings() {
        let settings = Settings { csv_paths: vec!["prices.csv".into()], ..Settings::for_tests() };
        for registration in REGISTRY {
            assert!((registration.open)(&settings).is_ok(), "{}", registration.name);
        }
    }
}
