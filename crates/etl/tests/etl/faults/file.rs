//! Files that are hard to read: what the rows F ask for and no older test shows.

use std::fmt::Write as _;
use std::path::Path;

use kasparro_testkit::database::TestDatabase;

use crate::support::{check_invariants, etl, newest_tally};

/// Loads a file of so many rows; returns the peak of the memory in KiB.
fn peak_of(folder: &Path, rows: u32) -> u64 {
    let path = folder.join(format!("{rows}.csv"));
    let mut text = "id,name,price_usd,date\n".to_owned();
    for n in 0..rows {
        let (day, coin) = (1 + n / 1000 % 28, n % 1000);
        writeln!(text, "coin{coin},Coin {coin},{n}.25,2025-{:02}-{day:02}T00:00:00Z", 1 + n / 28_000 % 12)
            .unwrap();
    }
    std::fs::write(&path, text).unwrap();
    let database = TestDatabase::new();
    let output = etl(database.url())
        .variable("KASPARRO_SOURCES", "csv")
        .variable("CSV_FILE_PATH", &path)
        .variable("BATCH_SIZE", "5000")
        .measured()
        .run();
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut connection = database.connect();
    assert_eq!(newest_tally(&mut connection, "csv").extracted, i64::from(rows));
    check_invariants(&mut connection);
    output.peak_kib
}

#[test]
#[ignore = "minutes: make test-chaos"]
fn f6_the_memory_of_a_load_does_not_grow_with_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (short, long) = (peak_of(folder.path(), 20_000), peak_of(folder.path(), 300_000));
    assert!(long < short + short / 4, "{short} KiB for 20,000 rows, {long} KiB for 300,000");
}
