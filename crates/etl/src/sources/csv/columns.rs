//! Which column may hold what, by its name.

use serde::Deserialize;

use super::map::Declared;
use super::records::trim;

/// What a column can stand for; in a CSV map by the name of the unified record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    Id,
    Name,
    Symbol,
    /// Not a column of ours: in what the prices are.
    #[serde(skip)]
    Currency,
    #[serde(rename = "price_usd")]
    Price,
    #[serde(rename = "market_cap_usd")]
    MarketCap,
    #[serde(rename = "volume_24h_usd")]
    Volume,
    #[serde(rename = "change_24h_percent")]
    Change,
    Rank,
    CirculatingSupply,
    TotalSupply,
    MaxSupply,
    Time,
    /// Beside a column of times that holds days only.
    TimeOfDay,
}

/// The names of each role, reduced by [`key`], the most telling first. They are those of the original, of the
/// CSV dumps of CoinGecko, CoinMarketCap and CoinPaprika data that circulate, and of data frames made from
/// their JSON.
const NAMES: [(Role, &[&str]); 14] = [
    (Role::Id, &["cryptoid", "coinid", "id", "slug"]),
    (
        Role::Name,
        &[
            "name",
            "coinname",
            "cryptoname",
            "cryptocurrencyname",
            "cryptocurrency",
            "crypto",
            "coin",
            "asset",
            "token",
            "currencyname",
            "currency",
        ],
    ),
    (
        Role::Symbol,
        &[
            "symbol",
            "ticker",
            "coinsymbol",
            "cryptosymbol",
            "tickersymbol",
            "baseasset",
            "basecurrency",
            "fromsymbol",
            "fsym",
            "pair",
            "tradingpair",
            "currencypair",
        ],
    ),
    (
        Role::Currency,
        &[
            "currency",
            "vscurrency",
            "quotecurrency",
            "pricecurrency",
            "quoteasset",
            "quotecoin",
            "quotesymbol",
            "tosymbol",
            "tsym",
            "quote",
            "convert",
        ],
    ),
    (
        Role::Price,
        &[
            "priceusd",
            "usdprice",
            "quotesusdprice",
            "quoteusdprice",
            "currentpriceusd",
            "currentprice",
            "price",
            "closeusd",
            "close",
            "closeprice",
            "closingprice",
            "closingpriceusd",
            "lastprice",
            "prices",
        ],
    ),
    (
        Role::MarketCap,
        &[
            "marketcapusd",
            "quotesusdmarketcap",
            "quoteusdmarketcap",
            "currentmarketcap",
            "marketcap",
            "marketcapitalization",
            "marketcaps",
            "capmrktcurusd",
            "mktcap",
            "mcap",
            "market",
        ],
    ),
    (
        Role::Volume,
        &[
            "volume24husd",
            "24hvolumeusd",
            "quotesusdvolume24h",
            "quoteusdvolume24h",
            "totalvolumeusd",
            "volumeusd",
            // What was traded for the coins, in what the prices are in.
            "quotevolume",
            "quoteassetvolume",
            "volume24h",
            "24hvolume",
            "vol24h",
            "24hvol",
            "totalvolume",
            "totalvolumes",
            "totalvol",
            "volume24",
            "volume",
            "vol",
        ],
    ),
    (
        Role::Change,
        &[
            "change24hpercent",
            "pricechangepercentage24h",
            "percentchange24h",
            "quotesusdpercentchange24h",
            "quoteusdpercentchange24h",
            "changepercent24h",
            "pctchange24h",
            "changepct24h",
            "24hchangepercent",
            "24hpercentchange",
            "change24h%",
            "24hchange%",
            "%change24h",
            "24h%change",
            "24h%",
            "%24h",
            "change24h",
            "24hchange",
            "chg24h",
            "24hchg",
            "change24",
            "pricechange24h",
            "24h",
        ],
    ),
    (Role::Rank, &["rank", "marketcaprank", "cmcrank", "coinrank", "ranknow"]),
    (Role::CirculatingSupply, &["circulatingsupply", "availablesupply", "circulating"]),
    (Role::TotalSupply, &["totalsupply"]),
    (Role::MaxSupply, &["maxsupply", "maximumsupply"]),
    (
        Role::Time,
        &[
            "lastupdated",
            "lastupdatedat",
            "lastupdate",
            "lastupdatedutc",
            "quotesusdlastupdated",
            "quoteusdlastupdated",
            "updatedat",
            "observedat",
            "pricetimestamp",
            "pricedate",
            "recordedat",
            "timestamp",
            "snappedat",
            "datetime",
            "date",
            "time",
            "unixtimestamp",
            "unixtime",
            "unix",
            "readabletimestamp",
            "dateutc",
            "timeutc",
            "datetimeutc",
            "timestamputc",
            "closetime",
            "timeclose",
            "opentime",
            // When it was fetched is the time of the price only where nothing else is.
            "fetchedat",
            "scrapedat",
            "collectedat",
            "snapshotat",
            "snapshottime",
            "snapshotdate",
        ],
    ),
    (Role::TimeOfDay, &["timeofday", "time", "timeutc", "hour", "clock"]),
];

/// The columns of a header that mean something, by role, the most telling name first.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    found: Vec<(Role, usize, usize)>,
    /// The coin is declared for the file as a whole.
    coin_is_given: bool,
}

impl Columns {
    /// Looks the cells of a header up.
    pub(super) fn of(header: &[String]) -> Self {
        let mut found = Vec::new();
        for (index, cell) in header.iter().enumerate() {
            let key = key(cell);
            // A document store's name for its own keys.
            let is_of_store = trim(cell) == "_id";
            for (role, names) in NAMES.into_iter().filter(|(role, _)| !is_of_store || *role != Role::Id) {
                found.extend(
                    names.iter().position(|name| *name == key).map(|priority| (role, priority, index)),
                );
            }
        }
        found.sort_by_key(|(_, priority, index)| (*priority, *index));
        Self { found, coin_is_given: false }
    }

    /// Lets what is declared prevail over the names.
    ///
    /// # Errors
    /// The header of a declared column that is not there.
    pub(super) fn declare(&mut self, declared: &Declared, header: &[String]) -> Result<(), String> {
        for (role, name) in &declared.columns {
            self.found.retain(|(other, ..)| other != role);
            if name.is_empty() {
                continue;
            }
            let Some(index) = header.iter().position(|cell| cell == trim(name)) else {
                return Err(name.clone());
            };
            self.found.retain(|(.., other)| *other != index);
            self.found.push((*role, 0, index));
        }
        self.coin_is_given = declared.coin.is_some();
        Ok(())
    }

    /// The columns that may have a role, the most telling name first.
    pub(super) fn of_role(&self, wanted: Role) -> impl Iterator<Item = usize> + '_ {
        self.found.iter().filter(move |(role, ..)| *role == wanted).map(|(.., index)| *index)
    }

    /// Whether a column may have any role.
    pub(super) fn is_known(&self, column: usize) -> bool {
        self.found.iter().any(|(.., index)| *index == column)
    }

    /// Whether there is what no file can do without: a coin and a price.
    pub(super) fn suffice(&self) -> bool {
        self.has_coin() && self.of_role(Role::Price).next().is_some()
    }

    /// Whether any column names a coin.
    pub(super) fn has_coin(&self) -> bool {
        let named = |role| self.of_role(role).next().is_some();
        self.coin_is_given || [Role::Id, Role::Name, Role::Symbol].into_iter().any(named)
    }

    /// Two columns that would be the same one.
    pub(super) fn duplicate(&self) -> Option<(usize, usize)> {
        let same = |pair: &&[(Role, usize, usize)]| pair[0].0 == pair[1].0 && pair[0].1 == pair[1].1;
        let mut by_role = self.found.clone();
        by_role.sort_by_key(|(role, priority, index)| (*role as u8, *priority, *index));
        by_role.windows(2).find(same).map(|pair| (pair[0].2, pair[1].2))
    }
}

/// A name of a column without case, blanks and the punctuation that people vary. Other signs stay: `Price (€)`
/// is no price in dollars.
fn key(name: &str) -> String {
    const VARIES: &str = "_-.()[]<>/:$*\"'";
    let kept = trim(name).chars().filter(|c| !c.is_whitespace() && !VARIES.contains(*c) && *c != '\u{feff}');
    kept.flat_map(char::to_lowercase).collect()
}

/// Whether there are columns of candles beside the closing price: open, high and low.
pub(super) fn are_candles(header: &[String]) -> bool {
    let keys: Vec<String> = header.iter().map(|cell| key(cell)).collect();
    ["open", "high", "low"].iter().all(|word| keys.iter().any(|key| key.starts_with(word)))
}

/// Whether there are columns that exchanges alone have, whose volumes are in coins unless the name says otherwise.
pub(super) fn are_of_exchange(header: &[String]) -> bool {
    const WORDS: [&str; 5] = ["takerbuy", "numberoftrades", "tradecount", "trades", "tradescount"];
    let keys: Vec<String> = header.iter().map(|cell| key(cell)).collect();
    keys.iter().any(|key| WORDS.iter().any(|word| key.starts_with(word)))
}

/// Whether the name of a column of volumes says no unit.
pub(super) fn is_bare_volume(name: &str) -> bool {
    ["volume", "vol"].contains(&key(name).as_str())
}

/// Whether the name itself says that the cells are trading pairs.
pub(super) fn says_pair(name: &str) -> bool {
    key(name).contains("pair")
}

/// Whether the name itself says that the numbers are per cent; else they must show a `%`.
pub(super) fn says_percent(name: &str) -> bool {
    let key = key(name);
    ["percent", "pct", "%"].iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &str) -> Columns {
        let cells: Vec<String> = header.split(',').map(str::to_owned).collect();
        Columns::of(&cells)
    }

    fn first(header: &str, role: Role) -> Option<usize> {
        columns(header).of_role(role).next()
    }

    #[test]
    fn names_are_met_however_they_are_written() {
        for name in [
            "price_usd",
            "Price (USD)",
            " PRICE USD ",
            "\u{feff}\"price-usd\"",
            "Price",
            "current_price",
            "Close",
            "quotes.USD.price",
            "<CLOSE>",
            "\tprice",
        ] {
            assert_eq!(first(name, Role::Price), Some(0), "{name}");
        }
        for name in [
            "price_eur",
            "Price (€)",
            "price_btc",
            "price_change_24h",
            "high",
            "open",
            "Adj Close",
            "pricing",
        ] {
            assert_eq!(first(name, Role::Price), None, "{name}");
        }
        for name in ["Volume(24h)", "24h Volume", "volume_24h_usd", "total_volume", "totalVolume", "Volume"] {
            assert_eq!(first(name, Role::Volume), Some(0), "{name}");
        }
        for name in ["Volume BTC", "volume_change_24h", "Volume (BTC)"] {
            assert_eq!(first(name, Role::Volume), None, "{name}");
        }
        for name in
            ["Change(24)", "24h %", "% 24h", "percent_change_24h", "price_change_percentage_24h", "24h"]
        {
            assert_eq!(first(name, Role::Change), Some(0), "{name}");
        }
    }

    #[test]
    fn the_most_telling_name_comes_first() {
        assert_eq!(first("close,price_usd,price", Role::Price), Some(1));
        assert_eq!(first("slug,id", Role::Id), Some(1));
        // As in our own exports, where the id is that of the observation.
        assert_eq!(first("id,crypto_id", Role::Id), Some(1));
        assert_eq!(first("date,last_updated", Role::Time), Some(1));
        assert_eq!(first("_id,name", Role::Id), None);
        assert_eq!(first("total_vol,vol_24h", Role::Volume), Some(1));
    }

    #[test]
    fn the_same_name_twice_is_noticed() {
        assert_eq!(columns("id,price,volume,Volume").duplicate(), Some((2, 3)));
        assert_eq!(columns("id,price_usd,Price (USD)").duplicate(), Some((1, 2)));
        assert_eq!(columns("id,price,close,foo,foo").duplicate(), None);
    }

    #[test]
    fn every_listed_name_is_in_its_reduced_form_and_once_in_its_role() {
        for (role, names) in NAMES {
            for name in names {
                assert_eq!(key(name), *name);
                assert_eq!(names.iter().filter(|other| other == &name).count(), 1, "{role:?} {name}");
            }
        }
    }
}
