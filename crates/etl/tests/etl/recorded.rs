//! Real recorded bodies and files, where they are at hand: every number comes out as it went in.

use std::collections::BTreeMap;
use std::fs;

use diesel::prelude::*;
use kasparro_core::Decimal;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::recordings::skip_without_recordings;
use kasparro_testkit::simulator::Route;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::{World, check_invariants, etl, newest_tally, number, raw_bytes, texts};

type Figures = BTreeMap<String, Vec<Option<String>>>;

/// All figures of a source as stored, by coin.
fn stored(world: &World, source: &str) -> Figures {
    let rows = texts(
        &mut world.database.connect(),
        &format!(
            "select json_build_array(crypto_id, crypto_name, symbol, price_usd::text, market_cap_usd::text, volume_24h_usd::text, \
                    change_24h_percent::text, rank::text, circulating_supply::text, total_supply::text, max_supply::text) \
               from cleaned_data where data_source = '{source}'"
        ),
    );
    let parse = |row: &String| {
        let mut cells: Vec<Option<String>> = serde_json::from_str(row).unwrap();
        let id = cells.remove(0).unwrap();
        (id, cells)
    };
    rows.iter().map(parse).collect()
}

/// The plain text of a number; `None` for null, and for zero where that means unknown.
fn plain(raw: Option<&RawValue>, zero_is_unknown: bool) -> Option<String> {
    let text = raw.map(RawValue::get).filter(|text| *text != "null")?;
    let number = Decimal::parse(text).unwrap();
    (!zero_is_unknown || !number.is_zero()).then(|| number.to_string())
}

#[test]
fn the_full_coinpaprika_universe_of_2021() {
    let Some(folder) = skip_without_recordings("the_full_coinpaprika_universe_of_2021") else { return };
    let body =
        fs::read_to_string(folder.join("coinpaprika/2021-08-12/tickers_quotes_USD.full.json")).unwrap();
    let world = World::new();
    world.simulator.serve_body(Route::CoinpaprikaTickers, body.clone());
    world.run("coinpaprika");
    let tally = world.tally("coinpaprika");
    assert_eq!((tally.extracted, tally.loaded, tally.rejected), (3795, 3795, 0), "{tally:?}");

    #[derive(Deserialize)]
    struct Ticker<'a> {
        id: String,
        name: String,
        symbol: String,
        #[serde(borrow)]
        rank: &'a RawValue,
        #[serde(borrow)]
        circulating_supply: &'a RawValue,
        #[serde(borrow)]
        total_supply: &'a RawValue,
        #[serde(borrow)]
        max_supply: &'a RawValue,
        #[serde(borrow)]
        quotes: BTreeMap<String, BTreeMap<String, &'a RawValue>>,
    }
    let sent: Vec<Ticker<'_>> = serde_json::from_str(&body).unwrap();
    let got = stored(&world, "coinpaprika");
    assert_eq!(got.len(), 3795);
    for ticker in &sent {
        let usd = &ticker.quotes["USD"];
        let quote = |name: &str, unknown| plain(usd.get(name).copied(), unknown);
        let want = vec![
            Some(ticker.name.clone()),
            Some(ticker.symbol.clone()),
            quote("price", false),
            quote("market_cap", true),
            quote("volume_24h", false),
            quote("percent_change_24h", false),
            plain(Some(ticker.rank), true),
            plain(Some(ticker.circulating_supply), true),
            plain(Some(ticker.total_supply), true),
            plain(Some(ticker.max_supply), true),
        ];
        assert_eq!(got[&ticker.id], want, "{}", ticker.id);
    }
    let raw = raw_bytes(&mut world.database.connect()).pop().unwrap().2;
    assert_eq!(String::from_utf8(raw).unwrap(), body);
    world.run("coinpaprika");
    assert_eq!(world.tally("coinpaprika").unchanged, 3795);
    check_invariants(&mut world.database.connect());
}

#[test]
fn the_coingecko_pages_of_2023() {
    let Some(folder) = skip_without_recordings("the_coingecko_pages_of_2023") else { return };
    let page = |n: u32| {
        fs::read_to_string(folder.join(format!("coingecko/2023-12-02/coins_markets_usd_pp250_p{n}.json")))
            .unwrap()
    };
    let pages = [page(1), page(2)];
    let world = World::new();
    world.simulator.serve_pages(Route::CoingeckoMarkets, pages.clone());
    world.run("coingecko");
    let tally = world.tally("coingecko");
    assert_eq!((tally.extracted, tally.loaded, tally.rejected), (500, 500, 0), "{tally:?}");
    let got = stored(&world, "coingecko");
    for body in &pages {
        let sent: Vec<BTreeMap<String, &RawValue>> = serde_json::from_str(body).unwrap();
        for item in sent {
            let text = |name: &str| serde_json::from_str::<String>(item[name].get()).unwrap();
            let figure = |name: &str, unknown| plain(item.get(name).copied(), unknown);
            let want = vec![
                Some(text("name")),
                Some(text("symbol")),
                figure("current_price", false),
                figure("market_cap", true),
                figure("total_volume", false),
                figure("price_change_percentage_24h", false),
                figure("market_cap_rank", true),
                figure("circulating_supply", true),
                figure("total_supply", false),
                figure("max_supply", false),
            ];
            assert_eq!(got[&text("id")], want, "{}", text("id"));
        }
    }
    check_invariants(&mut world.database.connect());
}

#[test]
fn the_times_are_those_of_the_source() {
    let Some(folder) = skip_without_recordings("the_times_are_those_of_the_source") else { return };
    let body =
        fs::read_to_string(folder.join("coingecko/2022-02-23/coins_markets_usd_analytics_p1.json")).unwrap();
    let world = World::new();
    world.simulator.serve_body(Route::CoingeckoMarkets, body.clone());
    world.run("coingecko");
    let mut connection: PgConnection = world.database.connect();
    let got = texts(
        &mut connection,
        "select to_char(observed_at, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') from cleaned_data order by 1",
    );
    let sent: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    let mut want: Vec<String> =
        sent.iter().map(|item| item["last_updated"].as_str().unwrap().to_owned()).collect();
    want.sort();
    assert_eq!(got, want);
    // Beside the one that was made ahead.
    let months = "select count(*) from observation_partitions where month < now()";
    assert_eq!(number(&mut connection, months), 1);
}

/// What each recorded file becomes: so many records, or a refusal that says why.
const FILES: [(&str, Result<i64, &str>); 12] = [
    ("cmc_bitcoin_price_MonDDYYYY.csv", Err("coin")),
    ("cmc_scrape_crcrlf.csv", Ok(2713)),
    ("coin_gecko_2022-03-16.csv", Ok(500)),
    ("coingecko_indian_grouping_bom.csv", Ok(4150)),
    ("coingecko_markets_as_csv.csv", Ok(100)),
    ("comma_plus_tab_trailing_comma.csv", Ok(100)),
    ("gecko_perday_1640563200000.csv", Ok(2453)),
    ("kaggle_coin_Bitcoin.csv", Ok(2991)),
    ("kaggle_coin_Bitcoin_isodate.csv", Ok(2991)),
    ("kaggle_crypto_markets_nodate.csv", Err("time")),
    ("report_style_not_tabular.csv", Err("coin")),
    ("scrape_timeseries_dollar_plus.csv", Ok(33250)),
];

#[test]
fn every_recorded_file_is_loaded_whole_or_refused_with_a_reason() {
    let Some(folder) =
        skip_without_recordings("every_recorded_file_is_loaded_whole_or_refused_with_a_reason")
    else {
        return;
    };
    let unpacked = tempfile::tempdir().unwrap();
    for (name, want) in FILES {
        let recorded = folder.join("csv").join(name);
        let path = if recorded.exists() {
            recorded
        } else {
            unpack(&folder.join("csv").join(format!("{name}.gz")), unpacked.path())
        };
        let database = TestDatabase::new();
        let load =
            || etl(database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", &path).run();
        let output = load();
        let mut connection = database.connect();
        let tally = newest_tally(&mut connection, "csv");
        match want {
            Ok(records) => {
                assert_eq!(output.code, 0, "{name}: {}", output.stderr);
                assert_eq!((tally.extracted, tally.rejected), (records, 0), "{name}: {tally:?}");
                let rows = number(&mut connection, "select count(*) from observations");
                assert_eq!(
                    (tally.loaded, tally.loaded + tally.duplicate),
                    (rows, records),
                    "{name}: {tally:?}"
                );
                assert!(load().stdout.contains("nothing new"), "{name}");
            }
            Err(reason) => {
                assert_eq!(output.code, 65, "{name}: {}", output.stderr);
                assert!(
                    output.stderr.contains(name) && output.stderr.contains(reason),
                    "{name}: {}",
                    output.stderr
                );
                assert_eq!(tally.extracted, 0, "{name}");
            }
        }
        check_invariants(&mut connection);
    }
}

fn unpack(packed: &std::path::Path, folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join(packed.file_stem().unwrap());
    let mut file = fs::File::create(&path).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(fs::File::open(packed).unwrap()), &mut file).unwrap();
    path
}
