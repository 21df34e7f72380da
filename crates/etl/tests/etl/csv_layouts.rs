//! Layouts of public files through the program: loaded as they mean it, or refused with the way out.

use std::fs;

use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::Output;

use crate::support::{check_invariants, etl, texts};

/// Loads a text into a database of its own and tells what became of it.
fn load(text: &str) -> (Output, Vec<String>) {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.csv");
    fs::write(&path, text).unwrap();
    let output =
        etl(database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", &path).run();
    let connection = &mut database.connect();
    check_invariants(connection);
    let rows = "select concat_ws(' ', crypto_id, price_usd, to_char(observed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')) \
                  from cleaned_data where observed_at < '2026-01-01' order by 1";
    (output, texts(connection, rows))
}

#[test]
fn what_a_file_means_is_loaded() {
    for (text, rows) in [
        // yfinance, stacked
        (
            "Date,Ticker,Close,Volume\n2024-01-01,BTC-USD,44167.33,1\n2024-01-01,ETH-USD,2352.32,1\n",
            &["btc 44167.33 2024-01-01 00:00", "eth 2352.32 2024-01-01 00:00"][..],
        ),
        // a document store
        (
            "_id,name,symbol,price,last_updated\n507f1f,Bitcoin,BTC,1,2024-01-01T00:00:00Z\n507f2f,Bitcoin,BTC,2,2024-01-02T00:00:00Z\n",
            &["btc-bitcoin 1 2024-01-01 00:00", "btc-bitcoin 2 2024-01-02 00:00"],
        ),
        // days beside the times of these days
        (
            "unix,date,symbol,close\n1589292000,2020-05-12,BTC,8800.5\n1589288400,2020-05-12,BTC,8700.5\n",
            &["btc 8700.5 2020-05-12 13:00", "btc 8800.5 2020-05-12 14:00"],
        ),
        // blanks before quotes, a comment above, a currency behind
        (
            "# Source: example.com, downloaded today\ndate, coin, price\n2024-01-01, \"Bitcoin\", \"29000.5 USD\"\n",
            &["bitcoin 29000.5 2024-01-01 00:00"],
        ),
        // a history whose rows were all fetched at once
        (
            "symbol,date,price,last_updated\nBTC,2024-01-01,1,2024-02-01 10:00:00\nBTC,2024-01-02,2,2024-02-01 10:00:00\n\
             BTC,2024-01-03,3,2024-02-01 10:00:00\n",
            &["btc 1 2024-01-01 00:00", "btc 2 2024-01-02 00:00", "btc 3 2024-01-03 00:00"],
        ),
        // the hours alone beside the days, and hours, minutes and seconds without signs between
        (
            "Date,Hour,Symbol,Close\n2024-01-01,9,BTC,1\n2024-01-01,23,BTC,2\n",
            &["btc 1 2024-01-01 09:00", "btc 2 2024-01-01 23:00"],
        ),
        (
            "<TICKER>,<DATE>,<TIME>,<CLOSE>\nBTC,20240101,130000,1\nBTC,20240101,140000,2\n",
            &["btc 1 2024-01-01 13:00", "btc 2 2024-01-01 14:00"],
        ),
        // what says that there is nothing
        (
            "date,id,price,market cap\n2024-01-01,bitcoin,1,#N/A\n2024-01-01,NaN,1,inf\n",
            &["bitcoin 1 2024-01-01 00:00"],
        ),
    ] {
        let (output, found) = load(text);
        assert_eq!(
            (output.code, found),
            (0, rows.iter().map(|row| (*row).to_owned()).collect()),
            "{text}{}",
            output.stderr
        );
    }
}

#[test]
fn what_would_be_a_guess_is_refused_with_the_way_out() {
    for (text, words) in [
        (
            "unix,date,symbol,open,high,low,close\n1,2020-01-01,ETHBTC,1,1,1,0.02\n",
            &["ETHBTC", "[file.coin]"][..],
        ),
        ("date,symbol,currency,close\n2024-01-01,ETH,BTC,0.03\n", &["currency", "BTC", "US dollars"]),
        ("date,name,close\n2024-01-01,ETH-EUR,1\n", &["ETH-EUR", "pairs"]),
        ("id;price\nbitcoin;45.123\n", &["45.123", "decimal"]),
        (
            "symbol,when,price\nBTC,2017-01-01,1\nBTC,2017-01-02,8\n",
            &["again and again", "[file.columns] time"],
        ),
        (
            "Date,Symbol,Open,High,Low,Close\n2024-01-01,BTC,1,1,1,1\n2024-01-01,BTC,1,1,1,2\n2024-01-01,BTC,1,1,1,3\n",
            &["most rows", "[file.columns] time"],
        ),
        ("symbol,price\nETHBTC,0.05\nBTCUSDT,97000\nETHUSDT,3400\n", &["ETHBTC", "pairs"]),
        (
            "symbol,date,open,close\nBTC,2024-01-01,1,2\nBTC,2024-01-02,1,2\nsymbol,date,close,open\nBTC,2024-01-03,20,10\n",
            &["\"symbol,date,close,open\" is another header", "split the file there"],
        ),
        ("Bitcoin, all,\nid,price\na,1\n", &["skip_lines"]),
        ("<!doctype html>\n<p>404\n", &["HTML"]),
        ("[{\"id\":\"bitcoin\",\"price\":1}]", &["JSON"]),
        ("id,price\na,\"45,123\"\nb,\"45,124\"\n", &["every one of 2", "rejects", "reprocess"]),
    ] {
        let (output, found) = load(text);
        assert_eq!((output.code, found.len()), (65, 0), "{text}{}{}", output.stdout, output.stderr);
        for word in words {
            assert!(output.stderr.contains(word), "{word} in {} of {text}", output.stderr);
        }
    }
}

#[test]
fn times_under_an_unknown_name_are_pointed_at() {
    let (output, _) = load("symbol,when seen,price\nBTC,2017-01-01,1000\nETH,2017-01-01,8\n");
    assert_eq!(output.code, 0);
    assert!(output.stderr.contains("time = \"when seen\""), "{}", output.stderr);
}

#[test]
fn check_tells_what_files_are_taken_for() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &str| {
        let path = folder.path().join(path);
        let program = etl(database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", path);
        program.arguments(["check"]).run()
    };
    fs::write(folder.path().join("good.csv"), "id,price,Date\na,1,2024-01-01\n").unwrap();
    fs::write(folder.path().join("bad.csv"), "a report\n").unwrap();
    let good = check("good.csv");
    assert_eq!(good.code, 0, "{}", good.stderr);
    assert!(
        good.stdout.contains("price_usd from \"price\", observed_at")
            || good.stdout.contains("from \"Date\""),
        "{}",
        good.stdout
    );
    assert_eq!((check("bad.csv").code, check("none.csv").code), (65, 66));
    assert!(check("").stderr.contains("bad.csv"));
}

#[test]
fn volumes_of_exchanges_are_in_dollars_or_left_out() {
    for (header, cells, volume, warned) in [
        ("Volume,Quote asset volume", "1000,42000000", Some("42000000"), false),
        ("volume,number of trades", "1000,5", None, true),
        ("Volume", "1000", Some("1000"), false),
    ] {
        let database = TestDatabase::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prices.csv");
        let rows = ["01", "02"].map(|day| format!("2024-01-{day},BTC,1,1,1,42000,{cells}\n")).concat();
        fs::write(&path, format!("date,symbol,open,high,low,close,{header}\n{rows}")).unwrap();
        let output =
            etl(database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", &path).run();
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(output.stderr.contains("counts in coins"), warned, "{header}: {}", output.stderr);
        let found = texts(
            &mut database.connect(),
            "select distinct coalesce(volume_24h_usd::text, '') from cleaned_data",
        );
        assert_eq!(found, [volume.unwrap_or_default()], "{header}");
    }
}
