//! The recorded lists of coins of both vendors, played as if these served them today.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::simulator::{Response, Route, Simulator, Universe};

/// Which contracts CoinPaprika lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contracts {
    /// Neither vendor lists any.
    None,
    /// Those that were recorded: of one chain, in 2021.
    Recorded,
    /// Besides, of every pair that is known, those that CoinGecko lists.
    Complete,
}

/// Chains by CoinGecko's name, with CoinPaprika's. The others get a name here that nobody knows.
const PLATFORMS: [(&str, &str); 6] = [
    ("ethereum", "eth-ethereum"),
    ("binance-smart-chain", "bnb-binance-coin"),
    ("solana", "sol-solana"),
    ("polygon-pos", "matic-polygon"),
    ("arbitrum-one", "arb-arbitrum"),
    ("tron", "trx-tron"),
];

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
    pub fn play(&self, recorded: &Path, contracts: Contracts) -> Result<Simulator> {
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
        if contracts != Contracts::None {
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
            let by_platform = self.contracts(recorded, contracts)?;
            simulator.serve_body(
                Route::CoinpaprikaPlatforms,
                json!(by_platform.keys().collect::<Vec<_>>()).to_string(),
            );
            for (platform, contracts) in by_platform {
                let path = format!("/coinpaprika/v1/contracts/{platform}");
                simulator
                    .serve_at(&path, Response::new(200, "application/json", json!(contracts).to_string()));
            }
        }
        Ok(simulator)
    }

    /// CoinPaprika's ids of the known pairs of which both vendors then list an address in common.
    ///
    /// # Errors
    /// When the recorded contracts cannot be read.
    pub fn with_contracts(&self, recorded: &Path, contracts: Contracts) -> Result<BTreeSet<String>> {
        let listed = self.contracts(recorded, contracts)?;
        let mut ours: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for contract in listed.values().flatten() {
            if let (Some(id), Some(address)) = (contract["id"].as_str(), contract["address"].as_str()) {
                ours.entry(id).or_default().insert(address.to_lowercase());
            }
        }
        let shares = |(one, other): &(&String, &String)| {
            let theirs = self.platforms.get(*other).and_then(Value::as_object).into_iter().flatten();
            let mut theirs = theirs.filter_map(|(_, address)| address.as_str());
            theirs.any(|theirs| {
                ours.get(one.as_str()).is_some_and(|ours| ours.contains(&theirs.to_lowercase()))
            })
        };
        Ok(self.truth.iter().filter(shares).map(|(one, _)| one.clone()).collect())
    }

    /// What CoinPaprika lists, by platform.
    fn contracts(&self, recorded: &Path, contracts: Contracts) -> Result<BTreeMap<String, Vec<Value>>> {
        let mut by_platform = BTreeMap::new();
        if contracts == Contracts::None {
            return Ok(by_platform);
        }
        let body = fs::read(recorded.join("coinpaprika/2021-08-12/contracts_eth-ethereum.json"))?;
        by_platform.insert("eth-ethereum".to_owned(), serde_json::from_slice(&body)?);
        if contracts == Contracts::Complete {
            self.complete(&mut by_platform);
        }
        Ok(by_platform)
    }

    /// Adds what CoinPaprika would list of the known pairs today: the addresses that CoinGecko gives them. So it is measured
    /// what is made of contracts, not which of them there are.
    fn complete(&self, by_platform: &mut BTreeMap<String, Vec<Value>>) {
        for (one, other) in &self.truth {
            let platforms = self.platforms.get(other).and_then(Value::as_object).into_iter().flatten();
            for (chain, address) in
                platforms.filter(|(chain, address)| !chain.is_empty() && address.is_string())
            {
                let known = PLATFORMS.iter().find(|(theirs, _)| theirs == chain);
                let platform = known.map_or_else(|| format!("{chain}-chain"), |(_, ours)| (*ours).to_owned());
                by_platform.entry(platform).or_default().push(json!({ "id": one, "address": address }));
            }
        }
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
