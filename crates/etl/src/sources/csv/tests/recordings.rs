//! Real files, where they are at hand: each loads with its count, or is refused for its reason, and no price
//! differs from a plain reading of its cell.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;

use flate2::read::GzDecoder;
use kasparro_core::Decimal;

use super::*;

/// What a file must become.
enum Becomes {
    /// This many records, without a reject; the column of the price.
    Records { count: usize, price: usize },
    /// Nothing, with this in the reason.
    Refused(&'static str),
}

use Becomes::{Records, Refused};

const FILES: [(&str, Becomes); 12] = [
    ("cmc_bitcoin_price_MonDDYYYY.csv", Refused("no column that says which coin")),
    ("cmc_scrape_crcrlf.csv", Records { count: 2713, price: 2 }),
    ("coin_gecko_2022-03-16.csv", Records { count: 500, price: 2 }),
    ("coingecko_indian_grouping_bom.csv", Records { count: 4150, price: 3 }),
    ("coingecko_markets_as_csv.csv", Records { count: 100, price: 4 }),
    ("comma_plus_tab_trailing_comma.csv", Records { count: 100, price: 1 }),
    ("gecko_perday_1640563200000.csv", Records { count: 2453, price: 3 }),
    ("kaggle_coin_Bitcoin.csv", Records { count: 2991, price: 7 }),
    ("kaggle_coin_Bitcoin_isodate.csv", Records { count: 2991, price: 7 }),
    ("kaggle_crypto_markets_nodate.csv", Refused("no column says when")),
    ("report_style_not_tabular.csv", Refused("no column that says which coin")),
    ("scrape_timeseries_dollar_plus.csv.gz", Records { count: 33_250, price: 3 }),
];

#[test]
fn every_recorded_file_becomes_what_it_must() {
    let Some(folder) = recordings() else { return };
    for (name, becomes) in FILES {
        let (_guard, path) = plain_file(&folder.join(name));
        let run = extract_at(NOW, &path, &[], 700);
        match becomes {
            Refused(reason) => {
                let failure = run.failure.as_ref().unwrap();
                assert!(
                    run.batches.is_empty() && failure.message.contains(reason),
                    "{name}: {}",
                    failure.message
                );
            }
            Records { count, price } => {
                assert!(run.failure.is_none(), "{name}: {:?}", run.failure);
                assert_eq!(run.rejects(), [], "{name}");
                assert_eq!(prices(&run), plain_prices(&path, price), "{name}");
                assert_eq!(run.records().len(), count, "{name}");
                assert_eq!(
                    run.batches.iter().flat_map(|batch| batch.bytes.clone()).collect::<Vec<_>>(),
                    fs::read(&path).unwrap()
                );
            }
        }
    }
}

#[test]
fn no_recorded_file_is_left_out() {
    let Some(folder) = recordings() else { return };
    let found: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn the_columns_that_lie_or_are_rounded_are_left_out() {
    let Some(folder) = recordings() else { return };
    let first = |name: &str| {
        let (_guard, path) = plain_file(&folder.join(name));
        extract(&path, &[]).records().remove(0)
    };
    let text = |number: &Option<Decimal>| number.as_ref().map(Decimal::to_string);

    let scraped = first("scrape_timeseries_dollar_plus.csv.gz");
    assert_eq!(text(&scraped.values.volume_24h_usd).as_deref(), Some("56542.00"));
    assert_eq!(text(&scraped.values.change_24h_percent).as_deref(), Some("0.00"));
    assert_eq!(scraped.observed_at, Some(at("2026-02-16T01:59:53Z")));

    let fractions = first("coin_gecko_2022-03-16.csv");
    assert_eq!((fractions.crypto_id.as_str(), &fractions.values.change_24h_percent), ("btc-bitcoin", &None));
    assert_eq!(text(&fractions.values.market_cap_usd).as_deref(), Some("770991461396"));

    let indian = first("coingecko_indian_grouping_bom.csv");
    assert_eq!(text(&indian.values.circulating_supply).as_deref(), Some("19549806"));
    assert_eq!(text(&indian.values.volume_24h_usd).as_deref(), Some("22801222945.00"));
    assert_eq!((indian.values.total_supply, indian.values.rank, indian.observed_at), (None, Some(1), None));

    let markets = first("coingecko_markets_as_csv.csv");
    assert_eq!(text(&markets.values.change_24h_percent).as_deref(), Some("-0.20378"));
    assert_eq!((markets.crypto_id.as_str(), markets.symbol.as_deref()), ("bitcoin", Some("btc")));

    let millis = first("gecko_perday_1640563200000.csv");
    assert_eq!(millis.observed_at, Some(at("2021-12-27T00:00:00Z")));
    assert_eq!(text(&millis.values.market_cap_usd).as_deref(), Some("961723851972.3851"));
}

/// `None`, with a word about it, where the recordings are not at hand.
fn recordings() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/recordings/csv");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: the recordings are not at {}", folder.display());
    None
}

/// The file, unpacked if need be.
fn plain_file(path: &Path) -> (Option<tempfile::TempDir>, PathBuf) {
    if path.extension().is_none_or(|extension| extension != "gz") {
        return (None, path.to_owned());
    }
    let dir = tempfile::TempDir::new().unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    let plain = dir.path().join("unpacked.csv");
    fs::write(&plain, bytes).unwrap();
    (Some(dir), plain)
}

fn prices(run: &Run) -> Vec<Option<Decimal>> {
    run.records().into_iter().map(|record| record.values.price_usd).collect()
}

/// The cells of a column as a person would read them.
fn plain_prices(path: &Path, column: usize) -> Vec<Option<Decimal>> {
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_path(path).unwrap();
    let cells =
        reader.records().map(Result::unwrap).filter(|record| record.iter().any(|cell| !cell.is_empty()));
    cells
        .map(|record| {
            let digits: String =
                record[column].chars().filter(|c| !matches!(c, '$' | ',' | ' ' | '\t')).collect();
            (!matches!(digits.as_str(), "" | "-" | "?")).then(|| Decimal::parse(&digits).unwrap())
        })
        .collect()
}
