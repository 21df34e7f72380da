//! CSV files on the way into the database.

use std::fs;
use std::path::Path;

use diesel::PgConnection;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::Output;

use crate::support::{check_invariants, etl, newest_tally, number, raw_bytes, texts};

const HEAD: &str = "id,name,price_usd,market_cap_usd,volume_24h_usd\n";

fn load(database: &TestDatabase, path: &Path) -> Output {
    etl(database.url())
        .variable("KASPARRO_SOURCES", "csv")
        .variable("CSV_FILE_PATH", path)
        .variable("BATCH_SIZE", "3")
        .run()
}

fn dated(rows: std::ops::Range<u32>) -> String {
    rows.map(|n| format!("coin{n},Coin {n},{n}.25,2026-01-01T00:00:{:02}Z\n", n % 60)).collect()
}

#[test]
fn the_sample_loads_and_a_second_run_finds_nothing_new() {
    let database = TestDatabase::new();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/crypto_sample.csv");
    let first = load(&database, &sample);
    assert_eq!(first.code, 0, "{}", first.stderr);
    let mut connection = database.connect();
    let lines = fs::read_to_string(&sample).unwrap().lines().count() as i64;
    assert_eq!(newest_tally(&mut connection, "csv").loaded, lines - 1);
    let second = load(&database, &sample);
    assert!(second.stdout.contains("nothing new"), "{}", second.stdout);
    assert_eq!(newest_tally(&mut connection, "csv").extracted, 0, "the file is not even opened");
    check_invariants(&mut connection);
}

#[test]
fn a_grown_file_is_read_from_where_it_ended_and_a_replaced_one_from_the_start() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prices.csv");
    let head = "id,name,price_usd,date\n".to_owned();
    fs::write(&path, head.clone() + &dated(0..10)).unwrap();
    assert_eq!(load(&database, &path).code, 0);
    let mut connection = database.connect();
    assert_eq!(newest_tally(&mut connection, "csv").loaded, 10);

    fs::write(&path, head.clone() + &dated(0..14)).unwrap();
    assert_eq!(load(&database, &path).code, 0);
    let tally = newest_tally(&mut connection, "csv");
    assert_eq!((tally.extracted, tally.loaded), (4, 4), "only the new rows are read");

    fs::write(&path, head + &dated(5..12)).unwrap();
    assert_eq!(load(&database, &path).code, 0);
    let tally = newest_tally(&mut connection, "csv");
    assert_eq!((tally.extracted, tally.unchanged), (7, 7));
    assert_eq!(texts(&mut connection, "select generation from csv_files"), ["2"]);
    check_invariants(&mut connection);
}

#[test]
fn a_price_list_without_times_that_is_written_anew_keeps_its_history() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("now.csv");
    for (price, loaded, unchanged) in [("10.50", 2, 0), ("11", 1, 1), ("10.50", 1, 1)] {
        fs::write(&path, format!("{HEAD}a,A,{price},1,0\nb,B,5,,\n")).unwrap();
        assert_eq!(load(&database, &path).code, 0);
        let tally = newest_tally(&mut database.connect(), "csv");
        assert_eq!((tally.loaded, tally.unchanged), (loaded, unchanged), "{price}");
    }
    let mut connection = database.connect();
    let prices = texts(
        &mut connection,
        "select price_usd from cleaned_data where crypto_id = 'a' order by observed_at",
    );
    assert_eq!(prices, ["10.50", "11", "10.50"]);
    check_invariants(&mut connection);
}

#[test]
fn the_bytes_that_are_kept_are_the_bytes_of_the_file() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.csv");
    let text = "\u{feff}id,name,price_usd,date\r\n\"a\",\"A \"\"x\"\",\nb\",1.50,2026-01-01\r\nbad,B,-1,2026-01-01\r\nc,C,2,2026-01-02\r\nd,D,3,2026-01-02";
    fs::write(&path, text).unwrap();
    let output = load(&database, &path);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut connection = database.connect();
    let kept: Vec<u8> = raw_bytes(&mut connection).into_iter().flat_map(|(_, _, bytes)| bytes).collect();
    assert_eq!(String::from_utf8(kept).unwrap(), text);
    let tally = newest_tally(&mut connection, "csv");
    assert_eq!((tally.extracted, tally.loaded, tally.rejected), (4, 3, 1));
    check_invariants(&mut connection);
}

#[test]
fn what_is_no_file_is_said_to_be_none_and_the_rest_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.csv");
    fs::write(&good, format!("{HEAD}a,A,1,,\n")).unwrap();
    let missing = folder.path().join("missing.csv");
    let database = TestDatabase::new();
    let both = format!("{},{}", good.display(), missing.display());
    let output = load(&database, Path::new(&both));
    assert_eq!(output.code, 66, "{}", output.stderr);
    assert!(output.stderr.contains("missing.csv"), "{}", output.stderr);
    assert_eq!(number(&mut database.connect(), "select count(*) from observations"), 1);

    let database = TestDatabase::new();
    let output = load(&database, Path::new("/dev/zero"));
    assert_eq!(output.code, 74, "{}", output.stderr);
}

#[test]
fn a_folder_is_all_its_files() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    for n in 0..3 {
        fs::write(
            folder.path().join(format!("{n}.csv")),
            format!("id,price,date\ncoin{n},1.{n},2026-01-0{}\n", n + 1),
        )
        .unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "not a table").unwrap();
    assert_eq!(load(&database, folder.path()).code, 0);
    assert_eq!(number(&mut database.connect(), "select count(*) from observations"), 3);
}

/// So many rows of one month that they are loaded in bulk.
fn many(rows: u32) -> String {
    let row = |n: u32| format!("coin{},Coin,{n}.5,2025-03-{:02}T00:00:00Z\n", n / 28, 1 + n % 28);
    "id,name,price_usd,date\n".to_owned() + &(0..rows).map(row).collect::<String>()
}

#[test]
fn a_bulk_load_ends_with_every_index_and_nothing_twice() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.csv");
    fs::write(&path, many(14_000)).unwrap();
    let bulk =
        || etl(database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", &path).run();
    assert_eq!(bulk().code, 0);
    let mut connection = database.connect();
    assert_eq!(newest_tally(&mut connection, "csv").loaded, 14_000);
    check_invariants(&mut connection);
    let rows_read_whole = |connection: &mut PgConnection| {
        texts(connection, "select pg_stat_force_next_flush()::text");
        number(
            connection,
            "select coalesce(sum(seq_tup_read), 0)::bigint from pg_stat_user_tables where relname like 'observations%'",
        )
    };
    let before = rows_read_whole(&mut connection);

    // The same rows under another name: looked up, and found, although nothing is known yet of the month that they are in.
    let copy = folder.path().join("copy.csv");
    fs::rename(&path, &copy).unwrap();
    let output =
        etl(database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", &copy).run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(newest_tally(&mut connection, "csv").unchanged, 14_000);
    assert_eq!(rows_read_whole(&mut connection), before, "each is looked up by its key");
    check_invariants(&mut connection);

    // So are a few that are corrected.
    let before = rows_read_whole(&mut connection);
    let corrected = folder.path().join("corrected.csv");
    fs::write(&corrected, many(100).replace(".5,", ".75,")).unwrap();
    let output =
        etl(database.url()).variable("KASPARRO_SOURCES", "csv").variable("CSV_FILE_PATH", &corrected).run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(newest_tally(&mut connection, "csv").restated, 100);
    assert_eq!(rows_read_whole(&mut connection), before, "and each is found by its key");
    check_invariants(&mut connection);
}

#[test]
fn a_bulk_load_that_was_killed_is_finished_by_the_next_run() {
    use kasparro_testkit::proxy::PostgresProxy;
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.csv");
    fs::write(&path, many(21_000)).unwrap();
    let program = |url: &str| {
        etl(url)
            .variable("KASPARRO_SOURCES", "csv")
            .variable("CSV_FILE_PATH", &path)
            .variable("BATCH_SIZE", "7000")
    };
    let relay = PostgresProxy::start(database.url()).unwrap();
    relay.hold_at(80);
    let killed = program(&relay.url()).spawn();
    assert!(relay.wait_held(std::time::Duration::from_secs(60)));
    killed.signal(rustix::process::Signal::KILL);
    killed.wait(std::time::Duration::from_secs(60));
    drop(relay);
    let mut connection = database.connect();
    assert_eq!(number(&mut connection, "select count(*) from observation_partitions where not indexed"), 1);

    let output = program(database.url()).run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(number(&mut connection, "select count(*) from observations"), 21_000);
    check_invariants(&mut connection);
}
