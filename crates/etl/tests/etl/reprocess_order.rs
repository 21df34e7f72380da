//! Reading kept bytes again never wins over what was said or done later.

use std::fs;
use std::path::PathBuf;

use diesel::connection::SimpleConnection;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::Output;
use kasparro_testkit::simulator::Route;
use tempfile::TempDir;

use crate::support::{World, check_invariants, contents, etl, number, texts};

const HEADER: &str = "id,price_usd,market_cap_usd,last_updated\n";
const PRICES: &str = "select crypto_id || ' ' || price_usd from cleaned_data order by 1";

/// A database and a file that is written anew.
struct Case {
    database: TestDatabase,
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        Self { database: TestDatabase::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self, name: &str, text: &str, arguments: &[&str]) -> Output {
        fs::write(self.path(name), text).unwrap();
        self.run("run", arguments)
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Output {
        etl(self.database.url())
            .variable("KASPARRO_SOURCES", "csv")
            .variable("CSV_FILE_PATH", self.folder.path())
            .arguments([command])
            .arguments(arguments)
            .run()
    }

    fn reprocess(&self, arguments: &[&str]) -> Output {
        let output = self.run("reprocess", arguments);
        check_invariants(&mut self.database.connect());
        output
    }

    fn prices(&self) -> Vec<String> {
        texts(&mut self.database.connect(), PRICES)
    }
}

fn row(id: &str, price: &str) -> String {
    format!("{id},{price},7,2026-01-01T00:00:00Z\n")
}

#[test]
fn what_newer_bytes_said_stands() {
    let case = Case::new();
    case.load("x.csv", &[HEADER, &row("btc", "100"), &row("eth", "-5")].concat(), &[]);
    case.load("x.csv", &[HEADER, &row("btc", "999"), &row("eth", "5")].concat(), &[]);
    let right = ["btc 999", "eth 5"];
    assert_eq!(case.prices(), right);
    for arguments in [&["--rejects-only"][..], &[]] {
        let output = case.reprocess(arguments);
        assert_eq!((output.code, case.prices()), (0, right.map(str::to_owned).to_vec()), "{}", output.stdout);
        assert!(!output.stdout.contains("restated"), "{}", output.stdout);
    }
}

#[test]
fn bytes_that_came_again_are_as_new_as_the_last_time() {
    let case = Case::new();
    for price in ["100", "999", "100"] {
        assert_eq!(case.load("x.csv", &[HEADER, &row("btc", price)].concat(), &[]).code, 0);
    }
    let world = World::new();
    for price in [1, 2, 1] {
        let body = format!(
            r#"[{{"id":"a","last_updated":"2026-01-01T00:00:00Z","quotes":{{"USD":{{"price":{price}}}}}}}]"#
        );
        world.simulator.serve_body(Route::CoinpaprikaTickers, body);
        world.run("coinpaprika");
    }
    let mut connection = case.database.connect();
    let before = contents(&mut connection);
    for _ in 0..2 {
        let output = case.reprocess(&[]);
        assert_eq!((output.code, case.prices()), (0, vec!["btc 100".to_owned()]), "{}", output.stdout);
        assert!(output.stdout.contains("nothing new"), "{}", output.stdout);
        assert_eq!(contents(&mut connection), before);
        let output = world.etl().arguments(["reprocess"]).run();
        assert!(output.code == 0 && output.stdout.contains("nothing new"), "{}", output.stdout);
    }
    assert_eq!(texts(&mut world.database.connect(), PRICES), ["a 1"]);
}

#[test]
fn a_chunk_is_read_under_the_header_that_it_came_with() {
    let case = Case::new();
    let strict = ["--max-reject-rate", "0.1"];
    let refused = [HEADER, &row("btc", "100"), &row("eth", "-5")].concat();
    assert_eq!(case.load("x.csv", &refused, &strict).code, 65);
    let text = "id,market_cap_usd,price_usd,last_updated\nbtc,7,999,2026-01-01T00:00:00Z\n";
    assert_eq!(case.load("x.csv", text, &strict).code, 0);
    case.reprocess(&strict);
    assert_eq!(case.prices(), ["btc 999"]);
    // What was refused is older: it brings what it alone has, under its own header.
    case.reprocess(&["--max-reject-rate", "1"]);
    assert_eq!(case.prices(), ["btc 999"]);
    assert_eq!(texts(&mut case.database.connect(), "select code from rejects"), ["negative_number"]);
}

#[test]
fn what_was_pruned_stays_away() {
    let case = Case::new();
    let rows: String = (1..=6).map(|month| format!("btc,{month},7,2020-0{month}-01T00:00:00Z\n")).collect();
    assert_eq!(case.load("x.csv", &[HEADER, &rows].concat(), &[]).code, 0);
    assert_eq!(case.run("prune", &["--older-than", "30d"]).code, 0);
    assert_eq!(case.prices(), ["btc 6"]);
    let output = case.reprocess(&[]);
    assert_eq!((output.code, case.prices()), (0, vec!["btc 6".to_owned()]), "{}", output.stdout);
    // A file that comes now is wanted.
    assert_eq!(case.load("y.csv", &[HEADER, &rows].concat(), &["--batch-size", "2"]).code, 0);
    assert_eq!(case.prices().len(), 6);
}

#[test]
fn a_file_that_cannot_be_read_any_more_costs_that_file() {
    let case = Case::new();
    case.load("a.csv", &[HEADER, &row("btc", "1")].concat(), &[]);
    case.load("b.csv", &[HEADER, &row("eth", "2")].concat(), &[]);
    let mut connection = case.database.connect();
    // As if an earlier version had read it wrong.
    let wrong = "update observations set price_usd = 9 where price_usd = 2; update coin_latest set price_usd = 9 where price_usd = 2";
    connection.batch_execute(wrong).unwrap();
    assert_eq!(case.prices(), ["btc 1", "eth 9"]);
    let map = case.path("map.toml");
    fs::write(&map, "[[file]]\npath = \"a.csv\"\n[file.columns]\nprice_usd = \"gone\"\n").unwrap();
    let output = case.reprocess(&["--csv-map", map.to_str().unwrap()]);
    assert_eq!(output.code, 65, "{}", output.stdout);
    assert!(output.stdout.contains("a.csv") && output.stdout.contains("gone"), "{}", output.stdout);
    assert_eq!(case.prices(), ["btc 1", "eth 2"]);
}

#[test]
fn the_beginning_of_a_file_stays_as_long_as_a_part_of_it_does() {
    let case = Case::new();
    let old: String = (1..=3).map(|n| format!("c{n},1,7,2020-01-0{n}T00:00:00Z\n")).collect();
    let text = [HEADER, &old].concat();
    assert_eq!(case.load("x.csv", &text, &[]).code, 0);
    let new: String = (1..=3).map(|n| format!("c{n},2,7,2026-01-0{n}T00:00:00Z\n")).collect();
    assert_eq!(case.load("x.csv", &[text, new].concat(), &[]).code, 0);
    let mut connection = case.database.connect();
    connection
        .batch_execute("update raw_csv_data set fetched_at = '2020-02-01T00:00:00Z' where first_byte = 0")
        .unwrap();
    assert_eq!(case.run("prune", &["--older-than", "30d"]).code, 0);
    assert_eq!(number(&mut connection, "select count(*) from observations"), 3);
    assert_eq!(number(&mut connection, "select count(*) from raw_csv_data"), 2);
    let output = case.reprocess(&[]);
    assert_eq!(output.code, 0, "{}", output.stdout);
}
