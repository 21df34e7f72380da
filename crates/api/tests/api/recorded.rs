//! Real recorded bodies, through the loader and out of the service: every number served is the number sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use chrono::{DateTime, Utc};
use kasparro_core::Decimal;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::{Program, workspace_binary};
use kasparro_testkit::recordings::lists::{Contracts, RecordedLists};
use kasparro_testkit::recordings::skip_without_recordings;
use kasparro_testkit::simulator::{Route, Simulator, Universe};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::{Answer, Service};

/// A page as text: numbers are compared as they stand in the body.
#[derive(Deserialize)]
struct Page<'a> {
    total: i64,
    #[serde(borrow)]
    data: Vec<BTreeMap<String, &'a RawValue>>,
    next_cursor: Option<String>,
}

/// Loads both APIs, which answer with what the simulator was given.
fn load(database: &TestDatabase, simulator: &Simulator, sources: &str) {
    let output = Program::new(workspace_binary("kasparro-etl"))
        .arguments(["run", "--sources", sources])
        .variable("DATABASE_URL", database.url())
        .variable("COINPAPRIKA_BASE_URL", simulator.coinpaprika_base_url())
        .variable("COINGECKO_BASE_URL", simulator.coingecko_base_url())
        .run();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

/// Walks all pages of a source by cursor; figures by coin, as they stand in the bodies.
fn served(service: &Service, source: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut path = format!("/data?source={source}&limit=100&sort_by=price_usd&order=asc");
    loop {
        let answer = service.get(&path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let page: Page<'_> = serde_json::from_str(&answer.body).unwrap();
        for item in page.data {
            let id: String = serde_json::from_str(item["crypto_id"].get()).unwrap();
            let figures = item.iter().map(|(name, raw)| (name.clone(), raw.get().to_owned())).collect();
            assert!(all.insert(id.clone(), figures).is_none(), "{id} twice");
        }
        let Some(cursor) = page.next_cursor else {
            assert_eq!(page.total, all.len() as i64);
            return all;
        };
        path = format!("/data?source={source}&limit=100&sort_by=price_usd&order=asc&cursor={cursor}");
    }
}

/// How a number that was sent must be served: all digits, plain notation.
fn plain(raw: Option<&RawValue>, zero_is_unknown: bool) -> String {
    let Some(text) = raw.map(RawValue::get).filter(|text| *text != "null") else { return "null".to_owned() };
    let number = Decimal::parse(text).unwrap();
    if zero_is_unknown && number.is_zero() { "null".to_owned() } else { number.to_string() }
}

/// A time, which may be written with or without milliseconds.
fn time(json: &str) -> DateTime<Utc> {
    serde_json::from_str(json).unwrap()
}

#[test]
fn every_number_of_the_coinpaprika_universe_of_2021_is_served_as_sent() {
    let Some(folder) =
        skip_without_recordings("every_number_of_the_coinpaprika_universe_of_2021_is_served_as_sent")
    else {
        return;
    };
    let body =
        fs::read_to_string(folder.join("coinpaprika/2021-08-12/tickers_quotes_USD.full.json")).unwrap();
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1)));
    simulator.serve_body(Route::CoinpaprikaTickers, body.clone());
    load(&database, &simulator, "coinpaprika");
    let service = Service::on(database.url());
    let got = served(&service, "coinpaprika");
    assert_eq!(got.len(), 3795);

    let sent: Vec<BTreeMap<String, &RawValue>> = serde_json::from_str(&body).unwrap();
    for ticker in &sent {
        let id: String = serde_json::from_str(ticker["id"].get()).unwrap();
        let quotes: BTreeMap<String, BTreeMap<String, &RawValue>> =
            serde_json::from_str(ticker["quotes"].get()).unwrap();
        let usd = &quotes["USD"];
        let item = &got[&id];
        for (served, raw, zero_is_unknown) in [
            ("price_usd", usd.get("price"), false),
            ("market_cap_usd", usd.get("market_cap"), true),
            ("volume_24h_usd", usd.get("volume_24h"), false),
            ("change_24h_percent", usd.get("percent_change_24h"), false),
            ("rank", ticker.get("rank"), true),
            ("circulating_supply", ticker.get("circulating_supply"), true),
            ("total_supply", ticker.get("total_supply"), true),
            ("max_supply", ticker.get("max_supply"), true),
        ] {
            assert_eq!(item[served], plain(raw.copied(), zero_is_unknown), "{id} {served}");
        }
        for name in ["name", "symbol"] {
            let served = if name == "name" { "crypto_name" } else { name };
            let text = |raw: &str| serde_json::from_str::<String>(raw).unwrap();
            assert_eq!(text(&item[served]), text(ticker[name].get()), "{id} {name}");
        }
        assert_eq!(time(&item["observed_at"]), time(ticker["last_updated"].get()), "{id}");
    }
}

#[test]
fn every_number_of_the_coingecko_pages_of_2023_is_served_as_sent() {
    let Some(folder) =
        skip_without_recordings("every_number_of_the_coingecko_pages_of_2023_is_served_as_sent")
    else {
        return;
    };
    let page = |n: u32| {
        fs::read_to_string(folder.join(format!("coingecko/2023-12-02/coins_markets_usd_pp250_p{n}.json")))
            .unwrap()
    };
    let pages = [page(1), page(2)];
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1)));
    simulator.serve_pages(Route::CoingeckoMarkets, pages.clone());
    load(&database, &simulator, "coingecko");
    let service = Service::on(database.url());
    let got = served(&service, "coingecko");
    assert_eq!(got.len(), 500);
    for body in &pages {
        let sent: Vec<BTreeMap<String, &RawValue>> = serde_json::from_str(body).unwrap();
        for market in &sent {
            let id: String = serde_json::from_str(market["id"].get()).unwrap();
            for (served, sent, zero_is_unknown) in [
                ("price_usd", "current_price", false),
                ("market_cap_usd", "market_cap", true),
                ("volume_24h_usd", "total_volume", false),
                ("change_24h_percent", "price_change_percentage_24h", false),
                ("rank", "market_cap_rank", true),
                ("circulating_supply", "circulating_supply", true),
                ("total_supply", "total_supply", false),
                ("max_supply", "max_supply", false),
            ] {
                assert_eq!(
                    got[&id][served],
                    plain(market.get(sent).copied(), zero_is_unknown),
                    "{id} {served}"
                );
            }
            assert_eq!(time(&got[&id]["observed_at"]), time(market["last_updated"].get()), "{id}");
        }
    }
}

#[test]
fn a_committed_batch_becomes_visible() {
    let (database, simulator) = (TestDatabase::new(), Simulator::start(Universe::new(1).coins(40)));
    load(&database, &simulator, "coinpaprika");
    let service = Service::on(database.url());
    let first = service.get("/data?source=coinpaprika");
    assert_eq!(first.json()["total"], 40);
    simulator.advance();
    load(&database, &simulator, "coinpaprika");
    let tag = first.header("etag").unwrap();
    service.when("/data?source=coinpaprika", |answer| answer.header("etag") != Some(tag));
    let second = service.request("GET", "/data?source=coinpaprika", &[("If-None-Match", tag)]);
    assert_eq!(second.status, 200, "the data has changed");
    assert!(second.json()["total"].as_i64().unwrap() > 40);
    load(&database, &simulator, "coinpaprika");
    let tag = second.header("etag").unwrap();
    assert_ne!(tag, first.header("etag").unwrap());
    let rows = |answer: &Answer| {
        let mut body = answer.json();
        for row in body["data"].as_array_mut().unwrap() {
            row.as_object_mut().unwrap().remove("age_seconds");
        }
        body
    };
    let third = service.get("/data?source=coinpaprika");
    assert_eq!(rows(&third), rows(&second), "a run that found nothing new changes nothing but the age");
}

/// From lists of names and contracts alone, without a price.
#[test]
fn every_one_of_the_first_hundred_coins_is_one_asset_of_both_vendors() {
    let Some(folder) =
        skip_without_recordings("every_one_of_the_first_hundred_coins_is_one_asset_of_both_vendors")
    else {
        return;
    };
    let lists = RecordedLists::read(&folder).unwrap();
    let (database, simulator) = (TestDatabase::new(), lists.play(&folder, Contracts::Recorded).unwrap());
    load(&database, &simulator, "coinpaprika,coingecko");
    let service = Service::on(database.url());
    let first = lists.first_hundred();
    assert_eq!((first.len(), &first[..2]), (100, &["btc-bitcoin", "eth-ethereum"][..]));
    let mut seen = BTreeSet::new();
    for id in first {
        let asset = service.json(&format!("/assets/{id}"))["asset"].take();
        let slug = asset["asset_id"].as_str().unwrap();
        assert!(seen.insert(slug.to_owned()), "{slug} stands for two of them");
        let sources = asset["sources"].as_array().unwrap();
        let of = |source: &str| sources.iter().filter(|member| member["data_source"] == source).count();
        assert_eq!((of("coinpaprika"), of("coingecko")), (1, 1), "{asset}");
    }
}
