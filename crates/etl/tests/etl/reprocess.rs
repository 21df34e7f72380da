//! Reading kept bytes again, and batches that are refused as a whole.

use std::fs;
use std::path::Path;

use diesel::RunQueryDsl;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::Output;
use kasparro_testkit::simulator::Route;
use serde_json::Value;

use crate::support::{World, check_invariants, contents, etl, newest_tally, number, texts};

fn reprocess(database: &TestDatabase, arguments: &[&str]) -> (Value, Output) {
    let output = etl(database.url()).arguments(["reprocess", "--json"]).arguments(arguments).run();
    let report =
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}{}", output.stdout, output.stderr));
    (report, output)
}

fn sum(report: &Value, counter: &str) -> i64 {
    report["sources"]
        .as_array()
        .unwrap_or_else(|| panic!("{report}"))
        .iter()
        .map(|source| source[counter].as_i64().unwrap_or(0))
        .sum()
}

fn load_csv(database: &TestDatabase, path: &Path) {
    let output = etl(database.url())
        .variable("KASPARRO_SOURCES", "csv")
        .variable("CSV_FILE_PATH", path)
        .variable("BATCH_SIZE", "3")
        .run();
    assert_eq!(output.code, 0, "{}", output.stderr);
}

#[test]
fn where_nothing_was_ever_loaded_there_is_nothing_to_be_read_again() {
    let world = World::new();
    let says_so = |source: &[&str]| {
        let output = world.etl().arguments(["reprocess"]).arguments(source).run();
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stdout.contains("there is nothing to be read again"), "{}", output.stdout);
        assert!(!output.stdout.contains("another run"), "{}", output.stdout);
    };
    says_so(&[]);
    world.run("coinpaprika");
    says_so(&["--source", "csv"]);
}

/// A world with two ticks of both APIs and records without a time, and files with and without times.
fn full_world(folder: &Path) -> World {
    let world = World::new();
    world.run("coinpaprika,coingecko");
    world.simulator.advance_by(5);
    world.run("coinpaprika,coingecko");
    for price in ["1", "1", "2"] {
        let body = format!(r#"[{{"id":"timeless","current_price":{price},"total_volume":{price}0}}]"#);
        // Blanks make other bytes of the same record.
        let body = body.replace(',', &format!(",{}", " ".repeat(world.simulator.requests().len())));
        world.simulator.serve_pages(Route::CoingeckoMarkets, [body, "[]".to_owned()]);
        world.run("coingecko");
    }
    let rows: String = (0..10).map(|n| format!("coin{n},Coin {n},{n}.25,2026-01-01T00:00:0{n}Z\n")).collect();
    fs::write(folder.join("history.csv"), format!("id,name,price_usd,date\n{rows}")).unwrap();
    let rows: String = (0..5).map(|n| format!("snap{n},Snap {n},{n}.5\n")).collect();
    fs::write(folder.join("snapshot.csv"), format!("id,name,price_usd\n{rows}")).unwrap();
    load_csv(&world.database, folder);
    world
}

#[test]
fn reading_everything_again_with_the_same_code_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let world = full_world(folder.path());
    fs::remove_dir_all(folder.path()).unwrap();
    let mut connection = world.database.connect();
    let (before, batches) =
        (contents(&mut connection), number(&mut connection, "select count(*) from etl_batches"));
    let (report, output) = reprocess(&world.database, &[]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let preview = &report["preview"];
    assert_eq!(
        (sum(preview, "loaded"), sum(preview, "restated"), &report["result"]),
        (0, 0, &Value::Null),
        "{report}"
    );
    assert!(sum(preview, "extracted") > 160, "{report}");
    assert_eq!(contents(&mut connection), before);
    assert_eq!(number(&mut connection, "select count(*) from etl_batches"), batches);
    check_invariants(&mut connection);
}

#[test]
fn values_that_other_code_would_have_read_are_restated_from_the_kept_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let world = full_world(folder.path());
    let mut connection = world.database.connect();
    let prices = "select concat_ws('|', id, crypto_id, price_usd, volume_24h_usd, observed_at) from cleaned_data order by id";
    let before = texts(&mut connection, prices);
    // As if an earlier version had read every price wrong.
    for table in ["observations", "coin_latest"] {
        diesel::sql_query(format!("update {table} set price_usd = price_usd + 1"))
            .execute(&mut connection)
            .unwrap();
    }
    let wrong = contents(&mut connection);

    let (report, _) = reprocess(&world.database, &["--dry-run"]);
    let would = sum(&report["preview"], "restated");
    assert!(would > 90 && report["result"].is_null(), "{report}");
    assert_eq!(contents(&mut connection), wrong, "a dry run changes nothing");

    let (report, output) = reprocess(&world.database, &["--source", "csv"]);
    assert!(report["result"].is_object(), "{report} {}", output.stderr);
    assert_eq!((output.code, sum(&report["result"], "restated")), (0, 15), "{report}");
    let (report, output) = reprocess(&world.database, &[]);
    assert_eq!((output.code, sum(&report["result"], "restated")), (0, would - 15), "{report}");
    let (report, _) = reprocess(&world.database, &[]);
    assert!(report["result"].is_null(), "{report}");
    check_invariants(&mut connection);
    assert_eq!(texts(&mut connection, prices), before);
}

#[test]
fn a_batch_with_too_many_refused_records_is_kept_and_not_published() {
    let world = World::new();
    let body = r#"[{"id":"a","quotes":{"USD":{"price":-5}}},{"id":"b","quotes":{"USD":{"price":5}}},{"id":"c","quotes":{"USD":{"price":6}}}]"#;
    world.simulator.serve_body(Route::CoinpaprikaTickers, body);
    let strict = || {
        world
            .etl()
            .variable("ETL_MAX_REJECT_RATE", "0.3")
            .arguments(["run", "--sources", "coinpaprika"])
            .run()
    };
    let output = strict();
    assert_eq!(output.code, 65, "{}", output.stderr);
    assert!(output.stderr.contains("1 of 3 records are refused (1 negative_number)"), "{}", output.stderr);
    let mut connection = world.database.connect();
    for table in ["observations", "etl_batches", "rejects", "coins"] {
        assert_eq!(number(&mut connection, &format!("select count(*) from {table}")), 0, "{table}");
    }
    assert_eq!(number(&mut connection, "select count(*) from raw_api_data"), 1);
    assert_eq!(world.tally("coinpaprika").failure_kind.as_deref(), Some("refused"));
    assert_eq!(strict().code, 65, "the next run meets it again");

    let (report, output) = reprocess(&world.database, &["--since", "1h"]);
    assert_eq!(
        (output.code, sum(&report["result"], "loaded"), sum(&report["result"], "new_rejects")),
        (0, 2, 1),
        "{report}"
    );
    assert_eq!(texts(&mut connection, "select crypto_id from cleaned_data order by 1"), ["b", "c"]);
    check_invariants(&mut connection);
    assert_eq!(world.etl().arguments(["run", "--max-reject-rate", "1.5"]).run().code, 78);
}

#[test]
fn a_refused_chunk_of_a_file_is_met_again_by_the_next_run() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.csv");
    let row = |n: u32, price: &str| format!("coin{n},Coin {n},{price},2026-01-01T00:00:{n:02}Z\n");
    let text = format!(
        "id,name,price_usd,date\n{}{}{}{}{}{}",
        row(0, "1"),
        row(1, "2"),
        row(2, "3"),
        row(3, "-1"),
        row(4, "-1"),
        row(5, "6")
    );
    fs::write(&path, text).unwrap();
    let load = |rate: &str| {
        etl(database.url())
            .variable("KASPARRO_SOURCES", "csv")
            .variable("CSV_FILE_PATH", &path)
            .variable("BATCH_SIZE", "3")
            .variable("ETL_MAX_REJECT_RATE", rate)
            .run()
            .code
    };
    let mut connection = database.connect();
    for _ in 0..2 {
        assert_eq!(load("0.5"), 65);
        assert_eq!(number(&mut connection, "select count(*) from observations"), 3);
    }
    assert_eq!(load("1"), 0);
    let tally = newest_tally(&mut connection, "csv");
    assert_eq!((tally.loaded, tally.rejected), (1, 2), "{tally:?}");
    check_invariants(&mut connection);
}

#[test]
fn a_record_that_is_taken_now_leaves_the_list_and_one_that_is_not_is_not_counted_again() {
    let world = World::new();
    let body = r#"[{"id":"a","quotes":{"USD":{"price":-5}}},{"id":"b","quotes":{"USD":{"price":5}}}]"#;
    world.simulator.serve_body(Route::CoinpaprikaTickers, body);
    world.run("coinpaprika");
    let mut connection = world.database.connect();
    // As if an earlier version had refused the second record as well.
    diesel::sql_query(
        "insert into rejects (source, fingerprint, code, message, excerpt, batch_id, raw_position) \
         select source, sha256('x'), 'invalid_number', 'x', 'x', batch_id, 1 from etl_batches",
    )
    .execute(&mut connection)
    .unwrap();
    assert_eq!(number(&mut connection, "select count(*) from rejects"), 2);
    let (report, _) = reprocess(&world.database, &["--rejects-only", "--source", "coinpaprika"]);
    let result = &report["result"];
    assert_eq!((sum(result, "resolved_rejects"), sum(result, "new_rejects")), (1, 0), "{report}");
    assert_eq!(texts(&mut connection, "select code || ' ' || times from rejects"), ["negative_number 1"]);
    check_invariants(&mut connection);
    let (report, _) = reprocess(&world.database, &["--rejects-only", "--source", "coingecko"]);
    assert_eq!(sum(&report["preview"], "extracted"), 0);
}
