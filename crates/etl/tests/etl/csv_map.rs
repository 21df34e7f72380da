//! Packed files and CSV maps through the program.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use kasparro_testkit::database::TestDatabase;
use kasparro_testkit::process::Output;
use kasparro_testkit::recordings::skip_without_recordings;

use crate::support::{check_invariants, etl, newest_tally, number, texts};

fn load(database: &TestDatabase, path: &Path, map: &Path) -> Output {
    etl(database.url())
        .variable("KASPARRO_SOURCES", "csv")
        .variable("CSV_FILE_PATH", path)
        .variable("CSV_MAP", map)
        .variable("BATCH_SIZE", "3")
        .run()
}

const GERMAN: &str = "Datum;Kurs;Veränderung\n03.04.2018;1.234,50;1,5\n04.04.2018;0,00000161;-2\n05.04.2018;7;0\n06.04.2018;8;0\n";

const MAP: &str = r#"
[[file]]
path = "*_de.csv.gz"
encoding = "windows-1252"
decimal = ","
time_format = "%d.%m.%Y"
change = "percent"

[file.columns]
time = "Datum"
price_usd = "Kurs"
change_24h_percent = "Veränderung"

[file.coin]
id = "bitcoin"
name = "Bitcoin"
symbol = "BTC"
"#;

/// Packs a text in the encoding of old spreadsheets.
fn pack(path: &Path, text: &str) {
    let bytes: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let mut encoder = GzEncoder::new(File::create(path).unwrap(), Compression::default());
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap();
}

#[test]
fn a_packed_foreign_file_is_loaded_as_declared_and_again_from_its_bytes() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let (path, map) = (folder.path().join("btc_de.csv.gz"), folder.path().join("map.toml"));
    pack(&path, GERMAN);
    fs::write(&map, MAP).unwrap();
    let output = load(&database, &path, &map);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut connection = database.connect();
    let rows = "select concat_ws('|', crypto_id, symbol, price_usd, change_24h_percent, observed_at at time zone 'UTC') from cleaned_data order by observed_at";
    let loaded = texts(&mut connection, rows);
    assert_eq!(
        loaded[..2],
        ["bitcoin|BTC|1234.50|1.5|2018-04-03 00:00:00", "bitcoin|BTC|0.00000161|-2|2018-04-04 00:00:00"]
    );
    let kept = "select string_agg(convert_from(body, 'UTF8'), '' order by first_byte) from raw_csv_data";
    assert_eq!(texts(&mut connection, kept), [GERMAN]);

    assert!(load(&database, &path, &map).stdout.contains("nothing new"));
    pack(&path, &format!("{GERMAN}07.04.2018;9;0\n"));
    assert_eq!(load(&database, &path, &map).code, 0);
    let tally = newest_tally(&mut connection, "csv");
    assert_eq!((tally.extracted, tally.loaded), (1, 1), "only the new row is read");

    let again =
        etl(database.url()).variable("CSV_MAP", &map).arguments(["reprocess", "--source", "csv"]).run();
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert_eq!(texts(&mut connection, rows)[..4], loaded[..]);
    assert_eq!(number(&mut connection, "select count(*) from observations"), 5);
    check_invariants(&mut connection);
}

#[test]
fn without_the_map_the_file_is_refused_and_the_way_out_is_said() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("btc_de.csv.gz");
    pack(&path, GERMAN);
    let output = load(&database, &path, Path::new(""));
    assert_eq!(output.code, 65, "{}", output.stderr);
    assert!(output.stderr.contains("CSV_MAP") && output.stderr.contains("encoding"), "{}", output.stderr);
}

#[test]
fn everything_that_is_wrong_with_a_map_is_a_problem_of_the_configuration() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let map = folder.path().join("map.toml");
    fs::write(&map, "[[file]]\ndelimiter = \"::\"\nencoding = \"klingon\"\n").unwrap();
    let run = |map: &Path| {
        etl(database.url())
            .variable("CSV_FILE_PATH", "prices.csv")
            .variable("CSV_MAP", map)
            .variable("BATCH_SIZE", "0")
            .run()
    };
    let output = run(&map);
    assert_eq!(output.code, 78, "{}", output.stderr);
    for part in ["CSV_MAP", "map.toml", "delimiter", "klingon", "BATCH_SIZE"] {
        assert!(output.stderr.contains(part), "{part} in {}", output.stderr);
    }
    fs::write(&map, "[[file]]\ndelimeter = \";\"\n").unwrap();
    assert!(run(&map).stderr.contains("expected one of"));
    let output = run(&folder.path().join("none.toml"));
    assert_eq!(output.code, 78);
    assert!(output.stderr.contains("none.toml"), "{}", output.stderr);
}

#[test]
fn recorded_files_that_are_refused_load_with_the_option_that_is_named() {
    let test = "recorded_files_that_are_refused_load_with_the_option_that_is_named";
    let Some(folder) = skip_without_recordings(test) else { return };
    let path = folder.join("csv/cmc_bitcoin_price_MonDDYYYY.csv");
    let maps = tempfile::tempdir().unwrap();
    let map = maps.path().join("map.toml");
    fs::write(&map, "[[file]]\npath = \"cmc_bitcoin*\"\n[file.coin]\nid = \"bitcoin\"\n").unwrap();
    let database = TestDatabase::new();
    let output = load(&database, &path, &map);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut connection = database.connect();
    let tally = newest_tally(&mut connection, "csv");
    assert_eq!((tally.extracted, tally.loaded, tally.rejected), (1760, 1760, 0));
    let row = "select concat_ws('|', price_usd, volume_24h_usd) from cleaned_data where observed_at = '2018-02-20Z'";
    assert_eq!(texts(&mut connection, row), ["11403.70|9926540000"]);
}

#[test]
fn a_folder_of_files_that_are_called_by_their_coins() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let map = folder.path().join("map.toml");
    fs::write(&map, "[[file]]\npath = \"*-USD.csv\"\n[file.coin]\nsymbol = \"*\"\n").unwrap();
    // The form of Yahoo, and one with the time of day in a column of its own behind Excel's hint.
    let days = "Date,Open,High,Low,Close,Adj Close,Volume\n2024-1-5,1,2,0.5,1.5,1.5,7\n";
    let hours =
        "sep=;\nDate;Time;Close;Change 24h %\n05.01.2024;1:30 PM;0.25;(1.5%)\n13.01.2024;23:59;0.5;2%\n";
    fs::write(folder.path().join("BTC-USD.csv"), days).unwrap();
    fs::write(folder.path().join("XRP-USD.csv"), hours).unwrap();
    let output = load(&database, folder.path(), &map);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let mut connection = database.connect();
    let kept = "select concat_ws(' ', crypto_id, symbol, price_usd, change_24h_percent, observed_at at time zone 'UTC') \
                from cleaned_data order by 1";
    assert_eq!(
        texts(&mut connection, kept),
        [
            "btc BTC 1.5 2024-01-05 00:00:00",
            "xrp XRP 0.25 -1.5 2024-01-05 13:30:00",
            "xrp XRP 0.5 2 2024-01-13 23:59:00"
        ]
    );
    check_invariants(&mut connection);
}
