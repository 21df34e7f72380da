//! The recorded lists of coins of both vendors, played as if these served them today.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::simulator::{Route, Simulator, Universe};

/// Both vendors' lists of 2025, and which of their ids are known to be one.
pub struct RecordedLists {
    coinpaprika: Vec<Value>,
    coingecko: Vec<Value>,
    /// Platforms of the coins whose details are recorded.
    platforms: BTreeMap<String, Value>,
    /// CoinGecko's id by CoinPaprika's, where somebody has said so.
    pub truth: BTreeMap<String, String>,
}

impl RecordedLists {
    /// Reads them from the folder of the recordings.
    ///
    /// # Errors
    /// When a file is not there or not what it should be.
    pub fn read(recorded: &Path) -> Result<Self> {
        let coinpaprika = coinpaprika_coins(&recorded.join("coinpaprika/2025-09-22/coins.full.csv.gz"))?;
        let folder = recorded.join("coingecko/2025-07_2026-01");
        let list: Vec<Value> =
            serde_json::from_reader(unpacked(&folder.join("coins_list.2025-07-19.full.json.gz"))?)?;
        let mut platforms = BTreeMap::new();
        for line in BufReader::new(unpacked(&folder.join("coin_details_usd_slim.jsonl.gz"))?).lines() {
            let mut detail: Value = serde_json::from_str(&line?)?;
            if let Some(id) = detail["id"].as_str().map(str::to_owned) {
                platforms.insert(id, detail["platforms"].take());
            }
        }
        let ids = |list: &[Value]| -> BTreeSet<String> {
            list.iter().filter_map(|coin| coin["id"].as_str().map(str::to_owned)).collect()
        };
        let (ours, theirs) = (ids(&coinpaprika), ids(&list));
        let mut truth = BTreeMap::new();
        let map = fs::read_to_string(recorded.join("mapping/coinpaprika_coingecko_ground_truth.csv"))?;
        for line in map.lines().skip(1) {
            let mut cells = line.split(',');
            if let (Some(one), Some(other)) = (cells.next(), cells.next())
                && ours.contains(one)
                && theirs.contains(other)
            {
                truth.insert(one.to_owned(), other.to_owned());
            }
        }
        Ok(Self { coinpaprika, coingecko: list, platforms, truth })
    }

    /// Both vendors with these coins, and no prices: names and contracts alone decide.
    ///
    /// # Errors
    /// When the recorded contracts cannot be read.
    pub fn play(&self, recorded: &Path, with_contracts: bool) -> Result<Simulator> {
        let simulator = Simulator::start(Universe::new(1).coins(1));
        let tickers: Vec<Value> = self.coinpaprika.iter().map(|coin| {
            json!({
                "id": coin["id"], "symbol": coin["symbol"], "name": coin["name"], "rank": coin["rank"], "total_supply": 0,
                "max_supply": 0, "last_updated": "2025-09-22T00:00:00Z",
                "quotes": { "USD": { "price": null, "volume_24h": null, "market_cap": null, "percent_change_24h": null } },
            })
        }).collect();
        simulator.serve_body(Route::CoinpaprikaTickers, json!(tickers).to_string());
        let markets: Vec<Value> = self.coingecko.iter().map(|coin| {
            json!({
                "id": coin["id"], "symbol": coin["symbol"], "name": coin["name"], "current_price": null, "market_cap": null,
                "market_cap_rank": null, "total_volume": null, "price_change_percentage_24h": null, "circulating_supply": null,
                "total_supply": null, "max_supply": null, "last_updated": "2025-09-22T00:00:00Z",
            })
        }).collect();
        simulator
            .serve_pages(Route::CoingeckoMarkets, markets.chunks(250).map(|page| json!(page).to_string()));
        if with_contracts {
            let list: Vec<Value> = self
                .coingecko
                .iter()
                .map(|coin| {
                    let platforms = coin["id"].as_str().and_then(|id| self.platforms.get(id)).cloned();
                    json!({
                        "id": coin["id"], "symbol": coin["symbol"], "name": coin["name"],
                        "platforms": platforms.unwrap_or_else(|| json!({})),
                    })
                })
                .collect();
            simulator.serve_body(Route::CoingeckoList, json!(list).to_string());
            let coins: Vec<Value> =
                self.coinpaprika.iter().map(|coin| json!({ "id": coin["id"], "is_active": true })).collect();
            simulator.serve_body(Route::CoinpaprikaCoins, json!(coins).to_string());
            simulator.serve_body(Route::CoinpaprikaPlatforms, "[\"eth-ethereum\"]");
            let contracts = fs::read(recorded.join("coinpaprika/2021-08-12/contracts_eth-ethereum.json"))?;
            simulator.serve_body(Route::CoinpaprikaContracts, contracts);
        }
        Ok(simulator)
    }

    /// CoinPaprika's ids of the first hundred coins by rank, in their order.
    pub fn first_hundred(&self) -> Vec<&str> {
        let ranks =
            self.coinpaprika.iter().filter_map(|coin| Some((coin["rank"].as_u64()?, coin["id"].as_str()?)));
        let mut first: Vec<(u64, &str)> = ranks.filter(|(rank, _)| (1..=100).contains(rank)).collect();
        first.sort_unstable();
        first.into_iter().map(|(_, id)| id).collect()
    }
}

fn unpacked(path: &Path) -> Result<impl Read> {
    Ok(GzDecoder::new(File::open(path).with_context(|| path.display().to_string())?))
}

/// The active coins of `id,name,symbol,rank,is_new,is_active,type`; a name may be quoted.
fn coinpaprika_coins(path: &Path) -> Result<Vec<Value>> {
    let mut coins = Vec::new();
    for line in BufReader::new(unpacked(path)?).lines().skip(1) {
        let line = line?;
        let cells = cells(&line);
        if let [id, name, symbol, rank, _, active, ..] = &cells[..]
            && active == "True"
        {
            coins.push(
                json!({ "id": id, "name": name, "symbol": symbol, "rank": rank.parse::<u32>().unwrap_or(0) }),
            );
        }
    }
    Ok(coins)
}

fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, quoted) {
            ('"', true) if characters.peek() == Some(&'"') => {
                characters.next();
                cells.last_mut().into_iter().for_each(|cell| cell.push('"'));
            }
            ('"', _) => quoted = !quoted,
            (',', false) => cells.push(String::new()),
            _ => cells.last_mut().into_iter().for_each(|cell| cell.push(c)),
        }
    }
    cells
}
