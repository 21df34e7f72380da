//! The routes that can be played, given a body or given a fault.

use std::fmt;
use std::str::FromStr;

use super::coin::Vendor;

/// Path under which CoinPaprika is played.
pub(crate) const COINPAPRIKA_ROOT: &str = "/coinpaprika/v1";
/// Path under which CoinGecko is played.
pub(crate) const COINGECKO_ROOT: &str = "/coingecko/api/v3";

/// An endpoint of a vendor, or a group of them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Route {
    /// `GET /tickers` of CoinPaprika.
    CoinpaprikaTickers,
    /// `GET /tickers/{id}` of CoinPaprika.
    CoinpaprikaTicker,
    /// `GET /coins` of CoinPaprika.
    CoinpaprikaCoins,
    /// `GET /coins/{id}` of CoinPaprika.
    CoinpaprikaCoin,
    /// `GET /contracts` of CoinPaprika.
    CoinpaprikaPlatforms,
    /// `GET /contracts/{platform}` of CoinPaprika.
    CoinpaprikaContracts,
    /// `GET /coins/markets` of CoinGecko.
    CoingeckoMarkets,
    /// `GET /coins/list` of CoinGecko.
    CoingeckoList,
    /// `GET /ping` of CoinGecko.
    CoingeckoPing,
    /// Every path under CoinPaprika's base URL.
    AnyCoinpaprika,
    /// Every path under CoinGecko's base URL.
    AnyCoingecko,
    /// Every request.
    Any,
}

const NAMES: [(Route, &str); 12] = [
    (Route::CoinpaprikaTickers, "coinpaprika-tickers"),
    (Route::CoinpaprikaTicker, "coinpaprika-ticker"),
    (Route::CoinpaprikaCoins, "coinpaprika-coins"),
    (Route::CoinpaprikaCoin, "coinpaprika-coin"),
    (Route::CoinpaprikaPlatforms, "coinpaprika-platforms"),
    (Route::CoinpaprikaContracts, "coinpaprika-contracts"),
    (Route::CoingeckoMarkets, "coingecko-markets"),
    (Route::CoingeckoList, "coingecko-list"),
    (Route::CoingeckoPing, "coingecko-ping"),
    (Route::AnyCoinpaprika, "coinpaprika"),
    (Route::AnyCoingecko, "coingecko"),
    (Route::Any, "any"),
];

/// A path taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// The most specific route of the path; a group when the vendor has no such endpoint here.
    pub(crate) route: Route,
    /// The decoded `{id}` or `{platform}`.
    pub(crate) parameter: Option<String>,
    /// Whether the path ended in `/`.
    pub(crate) trailing_slash: bool,
}

impl Route {
    /// Whether a request that goes to `actual` is one of this route or group.
    pub fn covers(self, actual: Self) -> bool {
        match self {
            Self::Any => true,
            Self::AnyCoinpaprika => actual.vendor() == Some(Vendor::Coinpaprika),
            Self::AnyCoingecko => actual.vendor() == Some(Vendor::Coingecko),
            one => one == actual,
        }
    }

    /// Whose route it is; None for [`Route::Any`].
    pub fn vendor(self) -> Option<Vendor> {
        match self {
            Self::CoingeckoMarkets | Self::CoingeckoList | Self::CoingeckoPing | Self::AnyCoingecko => {
                Some(Vendor::Coingecko)
            }
            Self::Any => None,
            _ => Some(Vendor::Coinpaprika),
        }
    }

    pub(crate) fn of_path(path: &str) -> Target {
        if let Some(rest) = under(path, COINPAPRIKA_ROOT) {
            return coinpaprika_target(rest);
        }
        match under(path, COINGECKO_ROOT) {
            Some(rest) => coingecko_target(rest),
            None => Target { route: Self::Any, parameter: None, trailing_slash: path.ends_with('/') },
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(route, _)| route == self).map_or("", |(_, name)| name);
        formatter.write_str(name)
    }
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, name)| *name == text).map(|(route, _)| *route);
        found.ok_or_else(|| {
            format!("no such route: {text}; known are {}", NAMES.map(|(_, name)| name).join(", "))
        })
    }
}

fn under<'a>(path: &'a str, root: &str) -> Option<&'a str> {
    path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn coinpaprika_target(rest: &str) -> Target {
    let trailing_slash = rest.len() > 1 && rest.ends_with('/');
    let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    let (route, parameter) = match segments.as_slice() {
        ["tickers"] => (Route::CoinpaprikaTickers, None),
        ["tickers", id] => (Route::CoinpaprikaTicker, Some(*id)),
        ["coins"] => (Route::CoinpaprikaCoins, None),
        ["coins", id] => (Route::CoinpaprikaCoin, Some(*id)),
        ["contracts"] => (Route::CoinpaprikaPlatforms, None),
        ["contracts", platform] => (Route::CoinpaprikaContracts, Some(*platform)),
        _ => (Route::AnyCoinpaprika, None),
    };
    Target { route, parameter: parameter.map(percent_decoded), trailing_slash }
}

fn coingecko_target(rest: &str) -> Target {
    let route = match rest.trim_end_matches('/') {
        "/coins/markets" => Route::CoingeckoMarkets,
        "/coins/list" => Route::CoingeckoList,
        "/ping" => Route::CoingeckoPing,
        _ => Route::AnyCoingecko,
    };
    Target { route, parameter: None, trailing_slash: rest.ends_with('/') }
}

/// Undoes percent-encoding; a stray `%` stays.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let escaped =
            others.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, escaped) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                rest = others.get(2..).unwrap_or_default();
            }
            _ => {
                decoded.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
